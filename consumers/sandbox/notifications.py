"""The messages that AWS Marketplace sends about a contract, exactly as they lie in an SQS queue.

Concurrent agreements are told by EventBridge (source `aws.agreement-marketplace`), legacy ones by two SNS topics. No
message says how many seats there are: each only says that GetEntitlements has something new.

Where AWS's documentation and captured events differ, the captured ones are followed: the ARN of a license, `Ended`
without an offer, fractions of a second where there are any.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from consumers.sandbox.contracts import AgreementStatus, Contract, Generation, Product

REGION = "us-east-1"
"""The one region from which AWS Marketplace speaks."""
SELLER_ACCOUNT_ID = "444455556666"
"""The account in which the sandbox's seller publishes the product."""

_SNS_OWNER = "287250355862"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message for the seller's queue."""

    agreement_id: str
    title: str
    """EventBridge's detail-type, or the action of a legacy notification."""
    body: str
    """The body of the SQS message."""
    sent_at: datetime
    delivered: bool = True
    """False if the queue did not take it."""


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
        """Say that a buyer accepted the offer, then that there is a license to read."""
        if contract.generation is Generation.LEGACY:
            return (
                self._subscription(contract, "subscribe-success", at=at, offer=contract.offer_id),
                self._entitlement(contract, at=at),
            )
        return (self._agreement_created(contract, at=at), self._license(contract, "Updated", at=at))

    def of_amendment(self, contract: Contract, *, at: datetime) -> tuple[Message, ...]:
        """Say that the same agreement goes on with other seats or another end."""
        if contract.generation is Generation.LEGACY:
            return (self._entitlement(contract, at=at),)
        return (self._agreement_amended(contract, at=at), self._license(contract, "Updated", at=at))

    def of_end(self, contract: Contract, *, at: datetime) -> tuple[Message, ...]:
        """Say that the agreement ended and its license is gone.

        A legacy contract that expires is told by `entitlement-updated` alone; the unsubscribe messages are those of a
        buyer who cancels.
        """
        if contract.generation is Generation.CONCURRENT:
            return (self._agreement_ended(contract, at=at), self._license(contract, "Deprovisioned", at=at))
        if contract.status is AgreementStatus.EXPIRED:
            return (self._entitlement(contract, at=at),)
        return (
            self._subscription(contract, "unsubscribe-pending", at=at),
            self._entitlement(contract, at=at),
            self._subscription(contract, "unsubscribe-success", at=at),
        )

    def _agreement_created(self, contract: Contract, *, at: datetime) -> Message:
        return self._event(
            contract,
            "Purchase Agreement Created - Proposer",
            {
                "offer": {"id": contract.offer_id},
                "agreement": _agreement(contract, intent="NEW"),
                "resaleAuthorization": {"id": None},
            },
            at=at,
        )

    def _agreement_amended(self, contract: Contract, *, at: datetime) -> Message:
        return self._event(
            contract,
            "Purchase Agreement Amended - Proposer",
            {
                "offer": {"id": contract.offer_id},
                "agreement": _agreement(contract, intent="AMEND") | {"autoRenewalEnabled": contract.auto_renews},
                "renewalSummary": {
                    "lockoutStartTime": None,
                    "disabledBy": None if contract.auto_renews else "ACCEPTOR",
                },
                "product": {"id": self.product.id, "title": self.product.title},
                "resaleAuthorization": {"id": None},
            },
            at=at,
        )

    def _agreement_ended(self, contract: Contract, *, at: datetime) -> Message:
        return self._event(
            contract,
            "Purchase Agreement Ended - Proposer",
            {
                "agreement": {"id": contract.agreement_id, "status": contract.status.value},
                "resaleAuthorization": {"id": None},
            },
            at=at,
        )

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

    def _event(self, contract: Contract, detail_type: str, detail: Mapping[str, Any], *, at: datetime) -> Message:
        event = {
            "version": "0",
            "id": str(self.ids()),
            "detail-type": detail_type,
            "source": "aws.agreement-marketplace",
            "account": SELLER_ACCOUNT_ID,
            "time": instant(at.replace(microsecond=0)),
            "region": REGION,
            "resources": [f"arn:aws:aws-marketplace::aws:agreement:{contract.agreement_id}"],
            "detail": {
                "requestId": str(self.ids()),
                "catalog": "AWSMarketplace",
                "acceptor": {"accountId": contract.account_id},
                "proposer": {"accountId": SELLER_ACCOUNT_ID},
                **detail,
            },
        }
        return Message(agreement_id=contract.agreement_id, title=detail_type, body=json.dumps(event), sent_at=at)

    def _entitlement(self, contract: Contract, *, at: datetime) -> Message:
        return self._notification(contract, "entitlement", "entitlement-updated", {}, at=at)

    def _subscription(self, contract: Contract, action: str, *, at: datetime, offer: str | None = None) -> Message:
        offered = {} if offer is None else {"offer-identifier": offer}
        return self._notification(
            contract, "subscription", action, offered | {"isFreeTrialTermPresent": "false"}, at=at
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


def instant(at: datetime) -> str:
    """Write a time as AWS's agreement events do: milliseconds only where there are any."""
    in_utc = at.astimezone(UTC).replace(tzinfo=None)
    timespec = "milliseconds" if in_utc.microsecond >= 1000 else "seconds"  # noqa: PLR2004  microseconds in a millisecond
    return in_utc.isoformat(timespec=timespec) + "Z"


def _agreement(contract: Contract, *, intent: str) -> dict[str, Any]:
    return {
        "id": contract.agreement_id,
        "intent": intent,
        "status": contract.status.value,
        "acceptanceTime": instant(contract.accepted_at),
        "startTime": instant(contract.accepted_at),
        "endTime": instant(contract.ends_at),
    }
