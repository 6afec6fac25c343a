"""Losses: how much reconciliations take away within a day, and whether that is too much.

What a license had when a loss of it was let go is kept for a day. What it has lost is told by what it has now: so the
losses of several reconciliations add up, and what was not lost in the end does not count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import sqlalchemy

from consumers.marketplace.reconcile.comparing import seats_lost
from consumers.marketplace.reconcile.tables import LET_GO
from ledger.drift import Losses, Terms
from ledger.license.events import LicenseId
from ledger.times import microseconds, moment
from ledger.transaction import Transaction

COUNT_FOR: Final = timedelta(hours=24)
LICENSES_MIN: Final = 3
"""Fewer licenses than this lose what AWS says they lose, whatever part of all they are."""
_HUNDRED: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """How it goes with a license within a day.

    Attributes:
        had: what it had whenever a loss of it was let go.
        has: what it has now; null where nothing runs.
        is_left: what is left if the loss that was found now is let go as well; `has` if none was found.
    """

    had: Sequence[Terms]
    has: Terms | None
    is_left: Terms | None

    @property
    def seats_lost(self) -> int | None:
        """How many seats are lost by that; null where nothing is."""
        known = self.had if self.has is None else (*self.had, self.has)
        lost = [seats for one in known if (seats := seats_lost(one, self.is_left)) is not None]
        return max(lost, default=None)

    @property
    def seats_gone(self) -> int:
        """How many seats fewer there are than before the first of its losses."""
        now = 0 if self.has is None else self.has.seats_max
        return max(0, max((one.seats_max for one in self.had), default=0) - now)


def weigh(courses: Iterable[Course], *, licenses: int, seats: int, percent_max: Decimal) -> Losses:
    """What is lost together.

    Args:
        courses: of the licenses that lose something, or did so within a day.
        licenses: how many licenses run now.
        seats: how many seats they have together.
        percent_max: how many of a hundred, of either, may be lost.
    """
    known = tuple(courses)
    lost = [number for one in known if (number := one.seats_lost) is not None]
    return Losses(
        licenses=len(lost),
        seats=sum(lost),
        licenses_before=licenses + sum(bool(one.had) and one.has is None for one in known),
        seats_before=seats + sum(one.seats_gone for one in known),
        percent_max=float(percent_max),
    )


def are_too_many(losses: Losses) -> bool:
    """Whether so much looks more like a mistake than like customers who leave."""
    if losses.licenses < LICENSES_MIN:
        return False
    return (
        losses.licenses * _HUNDRED > losses.licenses_before * losses.percent_max
        or losses.seats * _HUNDRED > losses.seats_before * losses.percent_max
    )


def note(transaction: Transaction, had: Mapping[LicenseId, Terms]) -> None:
    """Losses of these licenses are let go, which have this now."""
    rows, at = transaction.rows, transaction.at
    rows.execute(sqlalchemy.delete(LET_GO).where(LET_GO.c.at <= microseconds(at - COUNT_FOR)))
    values = [
        {
            "license_id": license_id,
            "at": microseconds(at),
            "seats_max": terms.seats_max,
            "renews_at": None if terms.renews_at is None else microseconds(terms.renews_at),
        }
        for license_id, terms in had.items()
    ]
    if values:
        rows.execute(sqlalchemy.insert(LET_GO), values)


def had_within_a_day(reading: sqlalchemy.Connection, *, at: datetime) -> Mapping[LicenseId, Sequence[Terms]]:
    """What licenses had when losses of theirs were let go, of those of the last day."""
    had: dict[LicenseId, list[Terms]] = {}
    query = sqlalchemy.select(LET_GO).where(LET_GO.c.at > microseconds(at - COUNT_FOR)).order_by(LET_GO.c.number)
    for row in reading.execute(query):
        renews_at = None if row.renews_at is None else moment(row.renews_at)
        had.setdefault(LicenseId(row.license_id), []).append(Terms(seats_max=row.seats_max, renews_at=renews_at))
    return had
