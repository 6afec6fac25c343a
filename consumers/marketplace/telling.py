"""What a message of AWS Marketplace says, as one would tell it to people. Nothing is decided by it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import structlog

from consumers.marketplace.messages import time_of
from consumers.marketplace.showing import shown
from ledger.inbox import Failure, Sentence

Json: TypeAlias = Mapping[str, Any]

FREE_TRIAL: Final = "Free trial"
"""The kind of notice that tells of one; AWS has no message for that alone."""
_SHOWN_MAX: Final = 100
_ID_SHOWN_MAX: Final = 16
_NO_END: Final = 9999
"""The year that AWS writes for an agreement without an end."""
_LOGGER: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a message says.

    Attributes:
        says: in a sentence.
        notice: what kind of notice it is, if it says something about a license beside its seats; else null.
        failure: why nothing of it is said but what it looks like; null if it could be told.
    """

    says: Sentence
    notice: str | None = None
    failure: Failure | None = None


def tell(body: str, *, whole: bool = True) -> Told:
    """What a message says, whatever it is: many are told on one page, and none may keep the others from it.

    Args:
        body: as it came.
        whole: whether this is all of it; where it is not, it is longer than any message of AWS Marketplace.
    """
    try:
        return _tell(body, whole=whole)
    except Exception:
        _LOGGER.exception("it could not be told what a message says")
        return _not_told("What it says can't be told.", Failure.NOT_UNDERSTOOD)


def _tell(body: str, *, whole: bool) -> Told:
    document = _object(body) if whole else None
    if document is None:
        return _not_told(f"It is no message of AWS Marketplace. It begins with {shown(body)}.", Failure.NOT_UNDERSTOOD)
    message = document.get("Message")
    # AWS's own sample code sends an object where SNS has a text.
    inner = _object(message) if isinstance(message, str) else message
    said = inner if isinstance(inner, dict) else document
    if "detail-type" in said:
        return _tell_event(said)
    if "action" in said:
        return _tell_notification(said)
    topic = _text(document, "TopicArn") or "a topic"
    if document.get("Type") == "SubscriptionConfirmation":
        return _not_told(f"SNS asks whether this queue is to get the messages of {topic}.", Failure.ABOUT_QUEUE)
    if document.get("Type") == "UnsubscribeConfirmation":
        return _not_told(f"SNS tells that this queue gets no more messages of {topic}.", Failure.ABOUT_QUEUE)
    nothing = "It is no message of AWS Marketplace: it has neither a detail-type nor an action."
    return _not_told(nothing, Failure.NOT_UNDERSTOOD)


# -- EventBridge -------------------------------------------------------------------------------------------------------


def _tell_event(event: Json) -> Told:
    detail_type = event["detail-type"]
    known_as = detail_type.partition(" - ")[0].strip() if isinstance(detail_type, str) else ""
    tell_of = _EVENTS.get(known_as) or _NOTICES.get(known_as)
    if tell_of is None:
        return _unknown(detail_type)
    detail = event.get("detail")
    notice = known_as if known_as in _NOTICES else None
    return Told(says=tell_of(detail if isinstance(detail, dict) else {}), notice=notice)


def _license_updated(detail: Json) -> Sentence:
    return (f"Something about {_license(detail)} has changed. AWS does not say what: it is read.",)


def _license_deprovisioned(detail: Json) -> Sentence:
    return (_begin(f"{_license(detail)} was deprovisioned: the customer has it no more."),)


def _created(detail: Json) -> Sentence:
    agreement, previous = _agreement(detail), _text(detail, "agreement", "previousAgreementId")
    before = _short(previous) if previous else "an earlier one"
    match _text(detail, "agreement", "intent"):
        case "RENEW":
            said = _begin(f"{agreement} renews {before}")
        case "REPLACE":
            said = _begin(f"{agreement} replaces {before}")
        case _:
            said = f"{_customer(detail)} bought: {agreement}"
    return (said, *_period(detail), ".")


def _amended(detail: Json) -> Sentence:
    return (_begin(f"{_agreement(detail)} was amended{_renewing(detail)}."),)


def _ended(detail: Json) -> Sentence:
    status = _text(detail, "agreement", "status")
    how = _ENDS.get(status or "", f"ended with the status {status}" if status else "ended")
    return (_begin(f"{_agreement(detail)} {how}."),)


_ENDS: Final[Mapping[str, str]] = {
    "CANCELLED": "was cancelled",
    "EXPIRED": "expired",
    "TERMINATED": "was terminated by AWS",
    "ARCHIVED": "was archived",
    "RENEWED": "is over and goes on as its renewal",
    "REPLACED": "is over and goes on as its replacement",
}


def _ending(detail: Json) -> Sentence:
    days, end = _find(detail, "agreement", "daysBeforeEndTime"), _time(detail, "agreement", "endTime")
    notice = f"{days} days' notice: " if isinstance(days, int) else ""
    on = (" on ", end) if end else ()
    return (_begin(f"{notice}{_agreement(detail)} ends"), *on, f"{_renewing(detail)}.")


def _terms_finalized(detail: Json) -> Sentence:
    return (f"The terms on which {_agreement(detail)} is renewed are final.",)


def _renewal_upcoming(detail: Json) -> Sentence:
    end = _time(detail, "agreement", "endTime")
    on = (" on ", end) if end else ()
    locked = _find(detail, "renewalSummary", "lockoutReached") is True
    follows = ", and this can't be called off any more" if locked else ""
    return (_begin(f"{_agreement(detail)} is going to be renewed"), *on, f"{follows}.")


def _about_agreement(sentence: str) -> Callable[[Json], Sentence]:
    def tell_of(detail: Json) -> Sentence:
        return (_begin(sentence.format(agreement=_agreement(detail))),)

    return tell_of


def _cancellation(sentence: str) -> Callable[[Json], Sentence]:
    def tell_of(detail: Json) -> Sentence:
        code = _text(detail, "agreementCancellationRequest", "reasonCode")
        reason = f" ({code.replace('_', ' ').lower()})" if code else ""
        return (sentence.format(agreement=_agreement(detail), reason=reason),)

    return tell_of


_EVENTS: Final[Mapping[str, Callable[[Json], Sentence]]] = {
    "License Updated": _license_updated,
    "License Deprovisioned": _license_deprovisioned,
    "Purchase Agreement Created": _created,
    "Purchase Agreement Amended": _amended,
    "Purchase Agreement Ended": _ended,
}
_NOTICES: Final[Mapping[str, Callable[[Json], Sentence]]] = {
    "Purchase Agreement Ending": _ending,
    "Purchase Agreement Renewal Terms Finalized": _terms_finalized,
    "Purchase Agreement Renewal Upcoming": _renewal_upcoming,
    "Purchase Agreement Advisory Issued": _about_agreement("AWS issued an advisory about {agreement}."),
    "Purchase Agreement Advisory Resolved": _about_agreement("AWS's advisory about {agreement} is resolved."),
    "Purchase Agreement Billing Adjustment Completed": _about_agreement("A refund on {agreement} was made."),
    "Purchase Agreement Billing Adjustment Failed": _about_agreement("A refund on {agreement} failed."),
    "Agreement Cancellation Request Pending Approval": _cancellation(
        "The seller asks to cancel {agreement}{reason}. The customer has 7 days to answer; then it is approved."
    ),
    "Agreement Cancellation Request Approved": _cancellation(
        "The seller's request to cancel {agreement}{reason} was approved: it ends."
    ),
    "Agreement Cancellation Request Rejected": _cancellation(
        "The customer rejected the seller's request to cancel {agreement}{reason}: it goes on."
    ),
    "Agreement Cancellation Request Cancelled": _cancellation(
        "The seller withdrew the request to cancel {agreement}{reason}: it goes on."
    ),
    "Agreement Cancellation Request Validation Failed": _cancellation(
        "The seller's request to cancel {agreement}{reason} was not valid: it goes on."
    ),
}


# -- SNS ---------------------------------------------------------------------------------------------------------------


def _tell_notification(said: Json) -> Told:
    action, customer = said["action"], _text(said, "customer-identifier") or _text(said, "CustomerIdentifier")
    sentence = _ACTIONS.get(action) if isinstance(action, str) else None
    if sentence is None:
        return _unknown(action)
    # AWS writes it as a text.
    on_trial = action == "subscribe-success" and said.get("isFreeTrialTermPresent") in ("true", True)
    if on_trial:
        sentence = "{customer} subscribed, with a free trial."
    whom = f"customer {customer}" if customer else "a customer"
    return Told(says=(_begin(sentence.format(customer=whom)),), notice=FREE_TRIAL if on_trial else None)


_ACTIONS: Final[Mapping[str, str]] = {
    "entitlement-updated": "The entitlements of {customer} have changed. AWS does not say how: they are read.",
    "subscribe-success": "{customer} subscribed.",
    "subscribe-fail": "The subscription of {customer} did not come about: the payment may have failed.",
    "unsubscribe-pending": "{customer} is unsubscribing.",
    "unsubscribe-success": "{customer} has unsubscribed.",
}


# -- what both have ----------------------------------------------------------------------------------------------------


def _unknown(name: object) -> Told:
    return _not_told(f"It is {shown(name)}, which this version of the ledger does not know.", Failure.UNKNOWN_TYPE)


def _not_told(looks_like: str, failure: Failure) -> Told:
    return Told(says=(looks_like,), failure=failure)


def _license(detail: Json) -> str:
    arn = _text(detail, "license", "arn")
    return f"license {_short(arn.rpartition(':')[2].rpartition('/')[2])}" if arn else "a license"


def _agreement(detail: Json) -> str:
    agreement_id = _text(detail, "agreement", "id")
    return f"agreement {_short(agreement_id)}" if agreement_id else "an agreement"


def _customer(detail: Json) -> str:
    account_id = _text(detail, "acceptor", "accountId")
    return f"The AWS account {account_id}" if account_id else "A customer"


def _period(detail: Json) -> Sentence:
    start, end = _time(detail, "agreement", "startTime"), _time(detail, "agreement", "endTime")
    begins: Sentence = (", from ", start) if start else ()
    if end is None or end.year == _NO_END:
        return (*begins, " on") if begins else ()
    return (*begins, " to " if begins else ", until ", end)


def _renewing(detail: Json) -> str:
    match _find(detail, "agreement", "autoRenewalEnabled"):
        case True:
            return " and renews by itself"
        case False:
            return " and does not renew by itself"
        case _:
            return ""


def _short(id_: str) -> str:
    """An id as people tell it from others at a glance."""
    return id_ if len(id_) <= _ID_SHOWN_MAX else f"{id_[:9]}…{id_[-4:]}"


def _begin(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _find(document: Json, *path: str) -> object:
    found: object = document
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _text(document: Json, *path: str) -> str | None:
    found = _find(document, *path)
    return found[:_SHOWN_MAX] if isinstance(found, str) and found and found.isprintable() else None


def _time(document: Json, *path: str) -> datetime | None:
    return time_of(_find(document, *path))


def _object(text: str) -> Json | None:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None
