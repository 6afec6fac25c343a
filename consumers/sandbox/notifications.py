"""The messages that AWS Marketplace sends about a contract, exactly as they lie in an SQS queue.

Concurrent agreements are told by EventBridge (source `aws.agreement-marketplace`), legacy ones by two SNS topics, and
those of a legacy listing that opted into Concurrent Agreements by both. No message says how many seats there are: each
only says that GetEntitlements has something new.

Where AWS's documentation and captured events differ, the captured ones are followed: the ARN of a license, `Ended`
without an offer, fractions of a second where there are any.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from consumers.sandbox import notices
from consumers.sandbox.contracts import AgreementStatus, Contract, Intent, Product
from consumers.sandbox.notices import (
    MANUFACTURER,
    PARTNER_ACCOUNT_ID,
    PROPOSER,
    SELLER_ACCOUNT_ID,
    SELLER_NAME,
    Notice,
    instant,
)

REGION = "us-east-1"
"""The one region from which AWS Marketplace speaks."""

_SNS_OWNER = "287250355862"
_LEFT = frozenset({AgreementStatus.CANCELLED, AgreementStatus.TERMINATED})


class Fate(StrEnum):
    """What became of a message on its way to the queue."""

    SENT = "sent"
    NOT_TAKEN = "not-taken"
    """The queue did not take it."""
    DROPPED = "dropped"
    """Mischief lost it."""
    DELAYED = "delayed"
    """Mischief lets it wait, or did."""
    REORDERED = "reordered"
    """Mischief lets it wait for the next one, or did."""
    DUPLICATED = "duplicated"
    """Mischief sends it twice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message for the seller's queue."""

    number: int = 0
    """Counts the messages of a sandbox, from 1."""
    agreement_id: str
    title: str
    """EventBridge's detail-type, or the action of a legacy notification."""
    body: str
    """The body of the SQS message."""
    sent_at: datetime
    delivered: bool = False
    """Whether it came to the queue, be it late or by being sent again."""
    fate: Fate = Fate.SENT


@dataclass(frozen=True, kw_only=True, slots=True)
class Announcements:
    """What AWS Marketplace says of one product's contracts."""

    product: Product
    ids: Callable[[], UUID]
    sign: Callable[[Mapping[str, str]], Mapping[str, str]]
    """Adds SNS's signature to an envelope."""
    raw_delivery: bool = False
    """Whether legacy notifications come without the SNS envelope (`RawMessageDelivery`)."""

    def of_purchase(self, contract: Contract, *, at: datetime) -> tuple[Message, ...]:
        """Say that a buyer accepted the offer, then, if the contract runs, that there is a license to read."""
        return (*self._created(contract, at=at), *self.of_start(contract, at=at))

    def of_start(self, contract: Contract, *, at: datetime) -> tuple[Message, ...]:
        """Say that there is a license to read; the SNS topics tell of a contract from its start, not its signature.

        A legacy buyer subscribes once: a renewal is no new subscription, while an offer that replaces one is.
        """
        if not contract.has_started:
            return ()
        events = (self._license(contract, "Updated", at=at),) if contract.is_told_by_events else ()
        if not contract.is_told_by_notifications:
            return events
        if contract.intent is Intent.RENEW:
            return (*events, self._entitlement(contract, at=at))
        subscribed = self._subscription(contract, "subscribe-success", at=at, offer=contract.offer_id)
        return (*events, subscribed, self._entitlement(contract, at=at))

    def of_amendment(self, contract: Contract, *, at: datetime) -> tuple[Message, ...]:
        """Say that the same agreement goes on with other seats or another end."""
        notifications = (self._entitlement(contract, at=at),) if contract.is_told_by_notifications else ()
        if not contract.is_told_by_events:
            return notifications
        return (self._agreement_amended(contract, at=at), self._license(contract, "Updated", at=at), *notifications)

    def of_decision(self, contract: Contract, *, at: datetime) -> tuple[Message, ...]:
        """Say that somebody decided what becomes of the agreement at its end; the SNS topics have no word for it."""
        return (self._agreement_amended(contract, at=at),) if contract.is_told_by_events else ()

    def of_succession(self, predecessor: Contract, successor: Contract, *, at: datetime) -> tuple[Message, ...]:
        """Say that one agreement ended and another took its place: the old one, the new one, both licenses.

        A legacy buyer's poke about the new one tells of the end of the old one too.
        """
        gone = predecessor.license_arn != successor.license_arn
        return (
            *self._ended(predecessor, at=at),
            *self.of_purchase(successor, at=at),
            *self._license_gone(predecessor, at=at, if_=gone),
            *(() if successor.has_started else self._legacy_end(predecessor, at=at)),
        )

    def of_end(self, contract: Contract, *, license_gone: bool, at: datetime) -> tuple[Message, ...]:
        """Say that the agreement ended and its license is gone, unless another agreement gives the same license.

        Of a contract that ended before its start there was no license, and no legacy buyer was told of it.
        A legacy contract that expires is told by `entitlement-updated` alone; the unsubscribe messages are those of a
        buyer who leaves before.
        """
        return (
            *self._ended(contract, at=at),
            *self._license_gone(contract, at=at, if_=license_gone),
            *self._legacy_end(contract, at=at),
        )

    def of_notice(self, contract: Contract, notice: Notice, *, days: int, at: datetime) -> tuple[Message, ...]:
        """Say something that changes no entitlement; SNS has no word for it, and a mere manufacturer hears little."""
        wording = notices.word(notice, contract, self.product, days=days, at=at)
        role = wording.role or _role(contract)
        if not contract.is_told_by_events or (contract.via_partner and role == PROPOSER):
            return ()
        resources = None if wording.names_resource else ()
        return (self._event(contract, f"{wording.name} - {role}", wording.detail, at=at, resources=resources),)

    def _created(self, contract: Contract, *, at: datetime) -> tuple[Message, ...]:
        if not contract.is_told_by_events:
            return ()
        agreement = _agreement(contract, intent=contract.intent)
        detail: dict[str, Any] = {"offer": {"id": contract.offer_id}}
        # Who is only the manufacturer is not told which agreement came before.
        if contract.previous_agreement_id is None or contract.via_partner:
            detail["resaleAuthorization"] = _resale(contract)
        else:
            agreement["previousAgreementId"] = contract.previous_agreement_id
            detail["product"] = {"id": self.product.id, "title": self.product.title}
            detail["proposer"] = {"name": SELLER_NAME, "accountId": SELLER_ACCOUNT_ID}
        name = f"Purchase Agreement Created - {_role(contract)}"
        return (self._event(contract, name, {"agreement": agreement, **detail}, at=at),)

    def _ended(self, contract: Contract, *, at: datetime) -> tuple[Message, ...]:
        if not contract.is_told_by_events:
            return ()
        return (
            self._event(
                contract,
                f"Purchase Agreement Ended - {_role(contract)}",
                {
                    "agreement": {"id": contract.agreement_id, "status": contract.status.value},
                    "resaleAuthorization": _resale(contract),
                },
                at=at,
            ),
        )

    def _license_gone(self, contract: Contract, *, at: datetime, if_: bool) -> tuple[Message, ...]:
        if not (if_ and contract.gives_license and contract.is_told_by_events):
            return ()
        return (self._license(contract, "Deprovisioned", at=at),)

    def _legacy_end(self, contract: Contract, *, at: datetime) -> tuple[Message, ...]:
        if not (contract.gives_license and contract.is_told_by_notifications):
            return ()
        if contract.status not in _LEFT:
            return (self._entitlement(contract, at=at),)
        return (
            self._subscription(contract, "unsubscribe-pending", at=at),
            self._entitlement(contract, at=at),
            self._subscription(contract, "unsubscribe-success", at=at),
        )

    def _agreement_amended(self, contract: Contract, *, at: datetime) -> Message:
        agreement = _agreement(contract, intent="AMEND")
        detail: dict[str, Any] = {"offer": {"id": contract.offer_id}, "resaleAuthorization": _resale(contract)}
        if not contract.via_partner:
            agreement["autoRenewalEnabled"] = contract.auto_renews
            detail["renewalSummary"] = notices.renewal_summary(contract)
            detail["product"] = {"id": self.product.id, "title": self.product.title}
        name = f"Purchase Agreement Amended - {_role(contract)}"
        return self._event(contract, name, {"agreement": agreement, **detail}, at=at)

    def _license(self, contract: Contract, what: str, *, at: datetime) -> Message:
        return self._event(
            contract,
            f"License {what} - Manufacturer",
            {
                "offer": {"id": contract.offer_id},
                "license": {"arn": contract.license_arn},
                "product": {"id": self.product.id, "code": self.product.code},
                "agreement": {"id": contract.agreement_id},
            },
            at=at,
        )

    def _event(
        self,
        contract: Contract,
        detail_type: str,
        detail: Mapping[str, Any],
        *,
        at: datetime,
        resources: tuple[str, ...] | None = None,
    ) -> Message:
        proposer = {"accountId": PARTNER_ACCOUNT_ID if contract.via_partner else SELLER_ACCOUNT_ID}
        named = [f"arn:aws:aws-marketplace::aws:agreement:{contract.agreement_id}"] if resources is None else []
        # What names the parties in its own way says nothing of them beside.
        parties = (
            {} if resources is not None else {"acceptor": {"accountId": contract.account_id}, "proposer": proposer}
        )
        event = {
            "version": "0",
            "id": str(self.ids()),
            "detail-type": detail_type,
            "source": "aws.agreement-marketplace",
            "account": SELLER_ACCOUNT_ID,
            "time": instant(at.replace(microsecond=0)),
            "region": REGION,
            "resources": named,
            "detail": {"requestId": str(self.ids()), "catalog": "AWSMarketplace", **parties, **detail},
        }
        return Message(agreement_id=contract.agreement_id, title=detail_type, body=json.dumps(event), sent_at=at)

    def _entitlement(self, contract: Contract, *, at: datetime) -> Message:
        return self._notification(contract, "entitlement", "entitlement-updated", {}, at=at)

    def _subscription(self, contract: Contract, action: str, *, at: datetime, offer: str | None = None) -> Message:
        offered = {} if offer is None else {"offer-identifier": offer}
        on_trial = "false" if contract.trial_ends_at is None else "true"
        return self._notification(
            contract, "subscription", action, offered | {"isFreeTrialTermPresent": on_trial}, at=at
        )

    def _notification(
        self, contract: Contract, topic: str, action: str, rest: Mapping[str, str], *, at: datetime
    ) -> Message:
        said = json.dumps(
            {
                "action": action,
                "customer-identifier": contract.customer_identifier,
                "product-code": self.product.code,
                **rest,
            }
        )
        body = said if self.raw_delivery else json.dumps(self._envelope(topic, said, at=at))
        return Message(agreement_id=contract.agreement_id, title=action, body=body, sent_at=at)

    def _envelope(self, topic: str, said: str, *, at: datetime) -> Mapping[str, str]:
        topic_arn = f"arn:aws:sns:{REGION}:{_SNS_OWNER}:aws-mp-{topic}-notification-{self.product.code}"
        sns = f"https://sns.{REGION}.amazonaws.com"
        return self.sign(
            {
                "Type": "Notification",
                "MessageId": str(self.ids()),
                "TopicArn": topic_arn,
                "Message": said,
                "Timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z",
                "UnsubscribeURL": f"{sns}/?Action=Unsubscribe&SubscriptionArn={topic_arn}:{self.ids()}",
            }
        )


def _role(contract: Contract) -> str:
    """Say as what the seller hears of an agreement: a proposer does not hear of it as the manufacturer too."""
    return MANUFACTURER if contract.via_partner else PROPOSER


def _resale(contract: Contract) -> Mapping[str, str | None]:
    """Name the authorization by which a channel partner sells; null in a direct sale."""
    return {"id": contract.offer_id.replace("offer-", "resaleauthz-") if contract.via_partner else None}


def _agreement(contract: Contract, *, intent: str) -> dict[str, Any]:
    return {
        "id": contract.agreement_id,
        "intent": intent,
        "status": contract.status.value,
        "acceptanceTime": instant(contract.accepted_at),
        "startTime": instant(contract.starts_at),
        "endTime": instant(contract.ends_at),
    }
