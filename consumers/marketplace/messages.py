"""What AWS Marketplace says: from the body of an SQS message to a poke, or a reason in words why not.

EventBridge events (concurrent agreements) and the two legacy SNS topics, wrapped in their envelope or raw. No message
says how many seats there are: each says only that there is something to read.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias

import structlog

from consumers.marketplace import names
from consumers.marketplace.agreement import LOST, SUCCEEDED, Agreement, AgreementStatus, status_of
from consumers.marketplace.names import Name, NameIsMalformedError
from consumers.marketplace.showing import shown
from ledger.license.events import KeyKind, RenewalIntent

Json: TypeAlias = Mapping[str, Any]


class PokeKind(StrEnum):
    """What a message is about."""

    LICENSE_UPDATED = "license-updated"
    LICENSE_DEPROVISIONED = "license-deprovisioned"
    AGREEMENT_CREATED = "agreement-created"
    AGREEMENT_AMENDED = "agreement-amended"
    AGREEMENT_ENDED = "agreement-ended"
    ENTITLEMENT_UPDATED = "entitlement-updated"
    SUBSCRIBE_SUCCESS = "subscribe-success"
    SUBSCRIBE_FAIL = "subscribe-fail"
    UNSUBSCRIBE_PENDING = "unsubscribe-pending"
    UNSUBSCRIBE_SUCCESS = "unsubscribe-success"
    NOTICE = "notice"


@dataclass(frozen=True, kw_only=True, slots=True)
class Poke:
    """There is something to read about a license.

    Attributes:
        message_id: AWS's id of the message; the same message twice has it twice.
        kind: what it is about.
        names: every name of the license that the message carries.
        product_code: the product, where the message says it.
        status: how an agreement ended; null in other messages, and for a status that tells nothing here.
        sent_at: AWS's clock; null where the message does not say it.
        license_arn_heard: the ARN as the message spells it.
        agreement: what the message tells of the agreement; null where it tells of none.
        request_id: AWS's own id of what the message tells of; the same event sent anew has it again.
        title: of a notice, as AWS calls it.
    """

    message_id: str
    kind: PokeKind
    names: tuple[Name, ...]
    product_code: str | None = None
    status: AgreementStatus | None = None
    sent_at: datetime | None = None
    license_arn_heard: str | None = None
    agreement: Agreement | None = None
    request_id: str | None = None
    title: str | None = None

    @property
    def ends(self) -> bool:
        """Whether it says that a license has ended, if AWS's entitlements agree."""
        if self.kind is PokeKind.AGREEMENT_ENDED:
            return self.status in LOST
        return self.kind in {PokeKind.LICENSE_DEPROVISIONED, PokeKind.UNSUBSCRIBE_SUCCESS}

    @property
    def awaits_successor(self) -> bool:
        """Whether it says that an agreement goes on as another one."""
        return self.status in SUCCEEDED


@dataclass(frozen=True, kw_only=True, slots=True)
class Unrelated:
    """A message that is known and has nothing to do with seats."""

    message_id: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NotUnderstood:
    """A message of which nothing can be made, and why."""

    message_id: str
    reason: str


Parsed: TypeAlias = Poke | Unrelated | NotUnderstood


class Form(StrEnum):
    """In which of its forms a message came."""

    EVENT = "event"
    """An event of EventBridge."""
    ENVELOPE = "envelope"
    """What SNS sends, with its signature."""
    NOTIFICATION = "notification"
    """A legacy notification out of its envelope, by raw delivery."""


def form_of(document: Json) -> Form:
    """The form of a message; what is none of them is taken for a notification that says nothing."""
    if "detail-type" in document:
        return Form.EVENT
    return Form.ENVELOPE if "Message" in document else Form.NOTIFICATION


_MESSAGE_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
# AWS adds in whose role the seller is told; it makes no difference to a license.
_ROLE: Final = re.compile(r"\s+-\s+(?:Proposer|Manufacturer)$")
_EVENTS: Final[Mapping[str, PokeKind]] = {
    "License Updated": PokeKind.LICENSE_UPDATED,
    "License Deprovisioned": PokeKind.LICENSE_DEPROVISIONED,
    "Purchase Agreement Created": PokeKind.AGREEMENT_CREATED,
    "Purchase Agreement Amended": PokeKind.AGREEMENT_AMENDED,
    "Purchase Agreement Ended": PokeKind.AGREEMENT_ENDED,
}
# These say something to people, and change no seats.
_NOTICES: Final = frozenset(
    {
        "Purchase Agreement Ending",
        "Purchase Agreement Renewal Terms Finalized",
        "Purchase Agreement Renewal Upcoming",
        "Purchase Agreement Advisory Issued",
        "Purchase Agreement Advisory Resolved",
        "Purchase Agreement Billing Adjustment Completed",
        "Purchase Agreement Billing Adjustment Failed",
        "Agreement Cancellation Request Pending Approval",
        "Agreement Cancellation Request Approved",
        "Agreement Cancellation Request Rejected",
        "Agreement Cancellation Request Cancelled",
        "Agreement Cancellation Request Validation Failed",
    }
)
_RENEWAL_UPCOMING: Final = "Purchase Agreement Renewal Upcoming"
TELLING: Final = frozenset(_EVENTS)
"""The detail-types, without the role behind them, after which there is something to read."""
DETAIL_TYPES: Final = TELLING | _NOTICES
"""All that are understood."""
_ACTIONS: Final = frozenset(
    {
        PokeKind.ENTITLEMENT_UPDATED,
        PokeKind.SUBSCRIBE_SUCCESS,
        PokeKind.SUBSCRIBE_FAIL,
        PokeKind.UNSUBSCRIBE_PENDING,
        PokeKind.UNSUBSCRIBE_SUCCESS,
    }
)
_LOGGER: Final = structlog.get_logger(__name__)


class _NotUnderstoodError(Exception):
    """Why a message can't be understood, in words."""


def parse(body: str, *, transport_id: str) -> Parsed:
    """Read the body of an SQS message, whatever it is.

    Args:
        body: as it lay in the queue.
        transport_id: SQS's id of the message, for a body that carries no id of its own. (Its content would not do: a
            raw notification about the next change of the same customer is the same text again.)
    """
    message_id = transport_id
    try:
        document = _object(_json(body), what="The message")
        message_id = _message_id(document) or transport_id
        return _parse(document, message_id=message_id)
    except (_NotUnderstoodError, NameIsMalformedError) as error:
        return NotUnderstood(message_id=message_id, reason=str(error))
    except Exception as error:
        # It is not stored yet, and what came with it must not wait or be lost behind it.
        _LOGGER.exception("a message could not be read", message_id=message_id)
        return NotUnderstood(message_id=message_id, reason=f"The program failed over it: {type(error).__name__}.")


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise _NotUnderstoodError("The message is not JSON.") from None


def _object(value: object, *, what: str) -> Json:
    if not isinstance(value, dict):
        raise _NotUnderstoodError(f"{what} is not a JSON object.")
    return value


def _message_id(document: Json) -> str | None:
    found = document.get("MessageId") if "Message" in document else document.get("id")
    return found if isinstance(found, str) and _MESSAGE_ID.fullmatch(found) else None


def _parse(document: Json, *, message_id: str) -> Parsed:
    match form_of(document):
        case Form.EVENT:
            return _parse_event(document, message_id=message_id)
        case Form.ENVELOPE:
            return _parse_envelope(document, message_id=message_id)
        case Form.NOTIFICATION:
            return _parse_notification(document, message_id=message_id, sent_at=None)


# -- EventBridge -------------------------------------------------------------------------------------------------------


def _parse_event(event: Json, *, message_id: str) -> Parsed:
    detail_type = event["detail-type"]
    known_as = _ROLE.sub("", detail_type) if isinstance(detail_type, str) else ""
    if known_as in _NOTICES:
        return _parse_notice(event, known_as, message_id=message_id)
    kind = _EVENTS.get(known_as)
    if kind is None:
        raise _NotUnderstoodError(f"The detail-type {shown(detail_type)} is not known.")
    detail = _object(event.get("detail"), what="The member detail")
    of_license = kind in {PokeKind.LICENSE_UPDATED, PokeKind.LICENSE_DEPROVISIONED}
    sent_at = time_of(event.get("time"))
    known_by = _license_names(detail) if of_license else _agreement_names(detail)
    return Poke(
        message_id=message_id,
        kind=kind,
        names=known_by,
        product_code=names.product_code(_member(detail, "product", "code")) if of_license else None,
        status=_status(detail) if kind is PokeKind.AGREEMENT_ENDED else None,
        sent_at=sent_at,
        license_arn_heard=str(_member(detail, "license", "arn")).strip() if of_license else None,
        agreement=_agreement(detail, known_by, source=known_as, sent_at=sent_at),
        request_id=_request_id(detail),
    )


def _parse_notice(event: Json, title: str, *, message_id: str) -> Poke | Unrelated:
    """A notice is understood whatever it looks like: nothing hangs on it."""
    detail = event.get("detail")
    try:
        known_by = _agreement_names(detail) if isinstance(detail, dict) else ()
    except (_NotUnderstoodError, NameIsMalformedError):
        known_by = ()
    if not known_by or not isinstance(detail, dict):
        return Unrelated(message_id=message_id, reason=f"{title} changes no seats.")
    sent_at = time_of(event.get("time"))
    return Poke(
        message_id=message_id,
        kind=PokeKind.NOTICE,
        names=known_by,
        sent_at=sent_at,
        agreement=_agreement(detail, known_by, source=title, sent_at=sent_at),
        request_id=_request_id(detail),
        title=title,
    )


def _agreement(detail: Json, known_by: tuple[Name, ...], *, source: str, sent_at: datetime | None) -> Agreement | None:
    """What an event tells of its agreement; what is absent or odd is left out."""
    agreement_id = names.value_of(known_by, KeyKind.AGREEMENT)
    if agreement_id is None:
        return None
    previous = _optional(KeyKind.AGREEMENT, names.agreement_id, detail, "agreement", "previousAgreementId")
    status = _find(detail, "agreement", "status")
    product_id = names.value_of(known_by, KeyKind.PRODUCT)
    renewal = _renewal(detail, source=source)
    return Agreement(
        agreement_id=agreement_id,
        account_id=names.value_of(known_by, KeyKind.ACCOUNT),
        previous_agreement_id=names.value_of(previous, KeyKind.AGREEMENT),
        license_arn=names.value_of(known_by, KeyKind.LICENSE_ARN),
        product_ids=None if product_id is None else (product_id,),
        status=status_of(status) if isinstance(status, str) else None,
        starts_at=time_of(_find(detail, "agreement", "startTime")),
        ends_at=time_of(_find(detail, "agreement", "endTime")),
        renewal=renewal,
        renewal_source=None if renewal is None else source,
        renewal_told_at=None if renewal is None else sent_at,
    )


def _renewal(detail: Json, *, source: str) -> RenewalIntent | None:
    """What an event tells of the agreement's end; null if nothing."""
    if source == _RENEWAL_UPCOMING:
        return RenewalIntent.RENEWS
    enabled = _find(detail, "agreement", "autoRenewalEnabled")
    if not isinstance(enabled, bool):
        return None
    return RenewalIntent.RENEWS if enabled else RenewalIntent.ENDS


def _request_id(detail: Json) -> str | None:
    found = detail.get("requestId")
    return found if isinstance(found, str) and _MESSAGE_ID.fullmatch(found) else None


def _license_names(detail: Json) -> tuple[Name, ...]:
    return (
        (KeyKind.LICENSE_ARN, names.license_arn(_member(detail, "license", "arn"))),
        *_optional(KeyKind.AGREEMENT, names.agreement_id, detail, "agreement", "id"),
        *_optional(KeyKind.ACCOUNT, names.account_id, detail, "acceptor", "accountId"),
        *_optional(KeyKind.PRODUCT, names.product_id, detail, "product", "id"),
    )


def _agreement_names(detail: Json) -> tuple[Name, ...]:
    # Cancellation requests have the ids side by side.
    account = _optional(KeyKind.ACCOUNT, names.account_id, detail, "acceptor", "accountId")
    return (
        (KeyKind.AGREEMENT, names.agreement_id(_member(detail, "agreement", "id"))),
        *(account or _optional(KeyKind.ACCOUNT, names.account_id, detail, "agreement", "acceptorId")),
        *_optional(KeyKind.PRODUCT, names.product_id, detail, "product", "id"),
    )


def _optional(kind: KeyKind, read: Callable[[object], str], detail: Json, *path: str) -> tuple[Name, ...]:
    """A name beside the one that counts: where it is absent or odd, the message is understood without it."""
    found = _find(detail, *path)
    if found is None:
        return ()
    try:
        return ((kind, read(found)),)
    except NameIsMalformedError:
        return ()


def _status(detail: Json) -> AgreementStatus | None:
    status = _member(detail, "agreement", "status")
    if not isinstance(status, str):
        raise _NotUnderstoodError("The member detail.agreement.status is not a text.")
    return status_of(status)


def _member(detail: Json, *path: str) -> object:
    found = _find(detail, *path)
    if found is None:
        raise _NotUnderstoodError(f"The member detail.{'.'.join(path)} is missing.")
    return found


def _find(detail: Json, *path: str) -> object:
    found: object = detail
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


# -- SNS ---------------------------------------------------------------------------------------------------------------


_ABOUT_SUBSCRIPTIONS: Final[Mapping[str, str]] = {
    "SubscriptionConfirmation": (
        "SNS asks to confirm a subscription of the queue, which the ledger does not do by itself. If the topic is AWS"
        " Marketplace's, confirm it with aws sns confirm-subscription and the TopicArn and Token of the message. Then"
        " dismiss the message."
    ),
    "UnsubscribeConfirmation": (
        "SNS tells that the queue's subscription to a topic has ended. If nobody meant that, subscribe the queue again."
        " Then dismiss the message."
    ),
}


def _parse_envelope(envelope: Json, *, message_id: str) -> Parsed:
    type_ = envelope.get("Type")
    if isinstance(type_, str) and type_ in _ABOUT_SUBSCRIPTIONS:
        raise _NotUnderstoodError(_ABOUT_SUBSCRIPTIONS[type_])
    message = envelope["Message"]
    # AWS's own sample code sends an object where SNS has a text.
    inner = _object(_json(message) if isinstance(message, str) else message, what="The member Message")
    sent_at = time_of(envelope.get("Timestamp"))
    if "detail-type" in inner:
        return _parse_event(inner, message_id=_message_id(inner) or message_id)
    return _parse_notification(inner, message_id=message_id, sent_at=sent_at)


def _parse_notification(said: Json, *, message_id: str, sent_at: datetime | None) -> Poke:
    action = said.get("action")
    if action is None:
        raise _NotUnderstoodError("The message has neither a detail-type nor an action.")
    if not isinstance(action, str) or action not in _ACTIONS:
        raise _NotUnderstoodError(f"The action {shown(action)} is not known.")
    code = names.product_code(_either(said, "product-code", "ProductCode"))
    identifier = _either(said, "customer-identifier", "CustomerIdentifier")
    return Poke(
        message_id=message_id,
        kind=PokeKind(action),
        names=((KeyKind.CUSTOMER, names.customer(code, identifier)),),
        product_code=code,
        sent_at=sent_at,
    )


def _either(said: Json, name: str, older_name: str) -> object:
    found = said.get(name, said.get(older_name))
    if found is None:
        raise _NotUnderstoodError(f"The member {name} is missing.")
    return found


# -- what both have ----------------------------------------------------------------------------------------------------


def time_of(text: object) -> datetime | None:
    """A time of AWS, in whole seconds or with fractions; only the order of messages hangs on it."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        return None if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
