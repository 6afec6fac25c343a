"""The sentences of the page: contracts, messages, what falls due, and mischief, as people say it."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final

from consumers.sandbox.agenda import Due, Event
from consumers.sandbox.contracts import AgreementStatus, AtEnd, Contract, Generation, Intent, NoRenewal, Party
from consumers.sandbox.mischief import MischiefPlan
from consumers.sandbox.notifications import Fate, Message
from consumers.sandbox.outcomes import Happening, Outcome

GENERATIONS: Final[Mapping[str, str]] = {
    Generation.CONCURRENT.value: "Concurrent Agreements (EventBridge)",
    Generation.LEGACY.value: "Legacy (SNS)",
    Generation.OPTED_IN.value: "Legacy, opted into Concurrent Agreements (both)",
}
ENDS: Final[Mapping[str, str]] = {
    AtEnd.RENEW.value: "it renews",
    AtEnd.EXPIRE.value: "it ends",
    AtEnd.REPLACE.value: "another offer replaces it",
}
DECIDED_BY: Final[Mapping[str, str]] = {
    Party.ACCEPTOR.value: "the buyer",
    Party.PROPOSER.value: "the seller",
    NoRenewal.NO_RENEWAL_TERM.value: "nobody: its offer has no renewal",
    NoRenewal.RENEWAL_LIMIT_EXHAUSTED.value: "nobody: it was renewed often enough",
}
NOTICES: Final[Mapping[str, str]] = {
    **{f"ending-{days}": f"The agreement ends in {days} days" for days in (180, 120, 90, 60, 30)},
    "renewal-upcoming": "Its renewal comes, and can't be opted out of any more",
    "renewal-terms-finalized": "The terms of its renewal are final",
    "advisory-issued": "An advisory was issued",
    "advisory-resolved": "The advisory is resolved",
    "cancellation-pending": "A cancellation was asked for",
    "cancellation-approved": "The cancellation was approved",
    "cancellation-rejected": "The cancellation was rejected",
    "cancellation-withdrawn": "The cancellation was withdrawn",
    "cancellation-invalid": "The cancellation was not valid",
    "refund-completed": "A refund was paid",
    "refund-failed": "A refund failed",
}
MISCHIEF: Final[Mapping[str, tuple[str, str]]] = {
    "drop": ("Lost", "messages"),
    "duplicate": ("Sent twice", "messages"),
    "reorder": ("Overtaken", "messages"),
    "respell": ("License ARN respelled", "messages"),
    "throttle": ("Throttled", "calls"),
    "fail": ("Failed with a 500", "calls"),
    "hang": ("No answer for a while", "calls"),
    "empty_pages": ("Empty page first", "answers of GetEntitlements"),
    "missing_row": ("One row missing", "answers of GetEntitlements"),
    "as_buyer": ("Nothing, as to a buyer", "answers of GetEntitlements"),
    "expired_tokens": ("Token expired", "answers of ResolveCustomer"),
}
"""What each share does, and what it is a share of."""
DONE: Final[Mapping[str, str]] = {
    "dropped": "messages lost",
    "duplicated": "messages sent twice",
    "delayed": "messages delayed",
    "reordered": "messages overtaken",
    "respelled": "license ARNs spelled otherwise",
    "throttled": "calls throttled",
    "failed": "calls failed",
    "hung": "calls left without an answer",
    "empty-page": "empty pages",
    "row-missing": "rows missing",
    "answered-as-buyer": "questions answered as to a buyer",
    "token-expired": "tokens expired",
}
_FATES: Final[Mapping[Fate, tuple[str, str]]] = {
    Fate.SENT: ("On its way", "Delivered"),
    Fate.NOT_TAKEN: ("Not taken by the queue", "Not taken by the queue"),
    Fate.DROPPED: ("Lost by mischief", "Lost by mischief, then sent again"),
    Fate.DELAYED: ("On its way, delayed by mischief", "Delivered late by mischief"),
    Fate.REORDERED: ("Waits for the next one", "Delivered late by mischief"),
    Fate.DUPLICATED: ("On its way, twice by mischief", "Sent twice by mischief"),
}
"""What is said of a message before it has come to the queue, and after."""
_TROUBLES: Final[Mapping[Fate, str]] = {
    Fate.NOT_TAKEN: "not taken by the queue",
    Fate.DROPPED: "lost by mischief",
    Fate.DELAYED: "delayed by mischief",
    Fate.REORDERED: "waiting for the next one",
    Fate.DUPLICATED: "sent twice by mischief",
}

_SENTENCES: Final[Sequence[tuple[str, str]]] = (
    ("Purchase Agreement Amended", "The agreement was amended."),
    ("License Updated", "There is something new to read about the license."),
    ("License Deprovisioned", "The license is gone."),
    ("Purchase Agreement Ending", "The agreement will end soon."),
    ("Purchase Agreement Renewal Upcoming", "The renewal comes, and can't be opted out of any more."),
    ("Purchase Agreement Renewal Terms Finalized", "The terms of the renewal are final."),
    ("Purchase Agreement Advisory Issued", "An advisory was issued."),
    ("Purchase Agreement Advisory Resolved", "The advisory is resolved."),
    ("Purchase Agreement Billing Adjustment Completed", "A refund was paid."),
    ("Purchase Agreement Billing Adjustment Failed", "A refund failed."),
    ("Agreement Cancellation Request Pending", "A cancellation was asked for."),
    ("Agreement Cancellation Request Approved", "The cancellation was approved."),
    ("Agreement Cancellation Request Rejected", "The cancellation was rejected."),
    ("Agreement Cancellation Request Cancelled", "The cancellation was withdrawn."),
    ("Agreement Cancellation Request Validation Failed", "The cancellation was not valid."),
    ("subscribe-success", "The buyer subscribed."),
    ("unsubscribe-pending", "The buyer is leaving."),
    ("unsubscribe-success", "The buyer has left."),
    ("entitlement-updated", "There is something new to read about the buyer."),
)
_CREATED: Final[Mapping[str, str]] = {
    Intent.NEW: "A new agreement was signed.",
    Intent.RENEW: "An agreement was signed that renews the one before.",
    Intent.REPLACE: "An agreement was signed that replaces the one before.",
}
_ENDED: Final[Mapping[str, str]] = {
    AgreementStatus.CANCELLED: "The agreement ended: the buyer cancelled.",
    AgreementStatus.TERMINATED: "The agreement ended: AWS terminated it.",
    AgreementStatus.EXPIRED: "The agreement ended: its date passed.",
    AgreementStatus.RENEWED: "The agreement ended: another one renews it.",
    AgreementStatus.REPLACED: "The agreement ended: another one replaces it.",
}


def moment(at: datetime) -> str:
    """Write a moment."""
    return f"{at.astimezone(UTC):%-d %B %Y, %H:%M:%S} UTC"


def day_typed(at: datetime | None) -> str:
    """Write a day in UTC as a form has it; nothing if there is none."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d}"


def time_typed(at: datetime | None, *, but: str) -> str:
    """Write the time of a moment in UTC as a form has it; nothing if it is the one that a day alone means."""
    typed = "" if at is None else f"{at.astimezone(UTC):%H:%M:%S}"
    return "" if typed == but else typed


def mischief(plan: MischiefPlan, *, at: datetime) -> str:
    """Say whether mischief is made at a moment, and from when until when."""
    if not plan.is_any:
        return "No mischief is made"
    begins = "" if plan.since is None else f" from {moment(plan.since)}"
    ends = "" if plan.until is None else f" until {moment(plan.until)}"
    if plan.is_in_force(at=at):
        return f"Mischief is on{ends}"
    return (
        "The mischief is over" if plan.until is not None and at >= plan.until else f"Mischief is planned{begins}{ends}"
    )


def day(at: datetime) -> str:
    """Write a day, in UTC."""
    return f"{at.astimezone(UTC):%-d %B %Y}"


def seats_of(contract: Contract) -> str:
    """Say how many seats a contract has, by dimension where there are several."""
    total = f"{contract.seats:,} {'seat' if contract.seats == 1 else 'seats'}"
    if len(contract.quantities) == 1:
        return total
    parts = ", ".join(f"{number:,} {dimension}" for dimension, number in contract.quantities.items())
    return f"{total} ({parts})"


def state_of(contract: Contract, *, at: datetime) -> str:
    """Say where a contract stands."""
    if not contract.is_active:
        return f"{contract.status.value.capitalize()}; its date was {day(contract.ends_at)}"
    if contract.is_scheduled(at=at):
        return f"Signed, starts on {day(contract.starts_at)}"
    if not contract.is_live(at=at):
        return f"Active, but its date passed on {day(contract.ends_at)}: no seats until it is renewed"
    ends = {AtEnd.RENEW: "renews", AtEnd.EXPIRE: "ends", AtEnd.REPLACE: "is replaced"}[contract.at_end]
    return f"Active, {ends} on {day(contract.ends_at)}"


def about_messages(outcome: Outcome) -> str:
    """Say what was sent about something that was done."""
    if not outcome.messages:
        return "AWS sends nothing."
    troubles = Counter(_trouble(message) for message in outcome.messages if message.fate is not Fate.SENT)
    met = ", ".join(f"{count} {said}" for said, count in troubles.items())
    return f"Messages sent: {len(outcome.messages)}{', of which ' + met if met else ''}."


def fate(message: Message) -> str:
    """Say what has become of a message."""
    on_its_way, come = _FATES[message.fate]
    return come if message.delivered else on_its_way


def message_sentence(message: Message) -> str:
    """Say what a message tells."""
    if message.title.startswith("Purchase Agreement Created"):
        return _CREATED.get(_told(message, "intent"), "An agreement was signed.")
    if message.title.startswith("Purchase Agreement Ended"):
        return _ENDED.get(_told(message, "status"), "The agreement ended.")
    found = (sentence for start, sentence in _SENTENCES if message.title.startswith(start))
    return next(found, message.title)


def due_sentence(due: Due, contract: Contract) -> str:
    """Say what falls due."""
    whose = f"of account {contract.account_id} ({seats_of(contract)})"
    match due.event:
        case Event.STARTS:
            return f"The contract {whose} starts."
        case Event.IS_ENDING:
            return f"AWS says that the contract {whose} ends in {due.days} days."
        case Event.RENEWS:
            return f"The contract {whose} renews, by another agreement."
        case Event.ENDS:
            return f"The contract {whose} comes to its end."


def happening_sentence(happening: Happening) -> str:
    """Say what happened as the clock was moved."""
    outcome = happening.outcome
    contract = outcome.contract
    whose = f"of account {contract.account_id} ({seats_of(contract)})"
    if outcome.predecessor is not None:
        how = "replaced" if contract.intent is Intent.REPLACE else "renewed"
        return f"The contract {whose} was {how} by another agreement, until {day(contract.ends_at)}."
    match happening.due.event:
        case Event.STARTS:
            return f"The contract {whose} started."
        case Event.IS_ENDING:
            return f"AWS said that the contract {whose} ends in {happening.due.days} days."
        case _:
            return f"The contract {whose} ended: {contract.status.value.lower()}."


def pretty(body: str) -> str:
    """Lay out the body of a message."""
    return json.dumps(json.loads(body), indent=2)


def year_after(at: datetime) -> str:
    """Name the same day a year later, for a date field; the last year there is has none."""
    the_day = at.astimezone(UTC).date()
    if the_day.year == date.max.year:
        return ""
    # The 29th of February has no anniversary in most years.
    is_leap_day = (the_day.month, the_day.day) == (2, 29)
    return the_day.replace(year=the_day.year + 1, day=28 if is_leap_day else the_day.day).isoformat()


def _trouble(message: Message) -> str:
    if message.fate is Fate.REORDERED and message.delivered:
        return "overtaken by the next one"
    return _TROUBLES[message.fate]


def _told(message: Message, member: str) -> str:
    found = re.search(rf'"{member}": ?"([A-Z]+)"', message.body)
    return found[1] if found else ""
