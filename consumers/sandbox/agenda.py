"""What falls due in the life of a contract as time passes: its start, notices, its renewal, its end."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from consumers.sandbox.contracts import AtEnd, Contract, Generation
from consumers.sandbox.notices import ENDING_DAYS

RENEWAL_SPREAD = timedelta(hours=1)
"""AWS renews around the date, not at it: the sandbox up to so long before or after, at a moment of each agreement's
own."""


_LAST = datetime.max.replace(tzinfo=UTC)


class Event(StrEnum):
    """The kinds of what falls due."""

    STARTS = "starts"
    IS_ENDING = "is-ending"
    RENEWS = "renews"
    ENDS = "ends"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Due:
    """Something that falls due. What is earlier is less."""

    at: datetime
    agreement_id: str
    event: Event
    days: int = 0
    """How many days before its end an ending contract is told of."""


def due_for(contract: Contract, *, is_followed: bool, notices_after: datetime) -> Iterator[Due]:
    """Tell all that falls due for a contract as it stands.

    Args:
        contract: which one.
        is_followed: whether another agreement is there that takes its place.
        notices_after: notices up to this moment were given, or are left out.
    """
    if not contract.is_active:
        return
    if not contract.has_started:
        yield _due(contract, Event.STARTS, contract.starts_at)
    for days in ENDING_DAYS if contract.is_told_by_events and not contract.via_partner else ():
        at = contract.ends_at - timedelta(days=days)
        if at > max(notices_after, contract.accepted_at):
            yield _due(contract, Event.IS_ENDING, at, days=days)
    if is_followed or contract.at_end is AtEnd.EXPIRE:
        yield _due(contract, Event.ENDS, contract.ends_at)
    else:
        # What ends with the last year that there is does not live to see the time after.
        yield _due(contract, Event.RENEWS, contract.ends_at + min(_spread(contract), _LAST - contract.ends_at))


def next_end(contract: Contract, *, at: datetime) -> datetime | None:
    """Tell until when a contract is renewed at a moment: for its own length from then on; null past the last year."""
    try:
        return at + (contract.ends_at - contract.starts_at)
    except OverflowError:
        return None


def _due(contract: Contract, event: Event, at: datetime, *, days: int = 0) -> Due:
    return Due(at=at, agreement_id=contract.agreement_id, event=event, days=days)


def _spread(contract: Contract) -> timedelta:
    digest = hashlib.sha256(contract.agreement_id.encode()).digest()
    seconds = int(RENEWAL_SPREAD.total_seconds())
    earliest = max(-seconds, -int((contract.ends_at - contract.starts_at).total_seconds()) // 2)
    if contract.generation is Generation.LEGACY:
        # One agreement of a buyer at a time.
        earliest = 0
    return timedelta(seconds=earliest + int.from_bytes(digest[:8], "big") % (seconds - earliest + 1))
