"""Where each license stands with being read: when it is due, who reads it now, and what waits for a second reading.

No lock is held during a call to AWS. A reading begins by raising the license's number; its decision, under the append
lock, counts only if the number is still the same. A lease keeps two processes from reading one license at once, and
runs out by itself if a process is killed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy

from consumers.marketplace.budget import Priority
from consumers.marketplace.tables import OBSERVATIONS
from ledger.inbox import ComingSeats
from ledger.license.events import LicenseId
from ledger.times import microseconds, moment
from ledger.transaction import Transaction

LEASE: Final = timedelta(minutes=1)
RECHECK_MAX: Final = timedelta(days=1)
RECHECK_MIN: Final = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstReading:
    """A reading that would delete seats, and is believed if a second one says the same.

    Attributes:
        seats_max: the number read.
        renews_at: the date read.
        due_at: from when on the second reading counts.
    """

    seats_max: int
    renews_at: datetime
    due_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """The row of a license.

    Attributes:
        number: fences readings.
        due_at: when to read next; null if nothing is waited for.
        leased_until: somebody reads it until then.
        recheck: the pause before the latest recheck.
        failures: how many readings in a row AWS did not answer.
        license_arn_heard: the ARN as AWS spelled it, if not in the ledger's form.
        saw_several: whether a legacy customer had several ARNs at first sight.
        first_reading: waits for its second.
    """

    number: int
    due_at: datetime | None
    leased_until: datetime
    recheck: timedelta
    failures: int
    license_arn_heard: str | None
    saw_several: bool
    first_reading: FirstReading | None

    def is_due(self, *, at: datetime) -> bool:
        """Whether it is to be read, and nobody does."""
        return self.due_at is not None and self.due_at <= at and self.leased_until <= at


@dataclass(frozen=True, kw_only=True, slots=True)
class Next:
    """When a license is read again, and why.

    Attributes:
        due_at: when; null if nothing is waited for.
        priority: what goes first when many are due.
        recheck: the pause before this recheck, 0 if it is none.
        failures: how many readings in a row AWS did not answer.
        reason: why it is read again, or what was odd, in words.
        first_reading: waits for its second.
        coming: the smaller number that is shown already for the time after the present contract.
    """

    due_at: datetime | None
    priority: Priority = Priority.RECHECK
    recheck: timedelta = timedelta()
    failures: int = 0
    reason: str | None = None
    first_reading: FirstReading | None = None
    coming: ComingSeats | None = None


_NEXT_DUE: Final = (
    sqlalchemy.select(OBSERVATIONS.c.license_id, OBSERVATIONS.c.priority)
    .where(
        OBSERVATIONS.c.due_at <= sqlalchemy.bindparam("at"), OBSERVATIONS.c.leased_until <= sqlalchemy.bindparam("at")
    )
    .order_by(OBSERVATIONS.c.priority, OBSERVATIONS.c.due_at)
    .limit(1)
)
"""Asked in each turn of the work, so that it is made once."""


def request(
    transaction: Transaction, license_id: LicenseId, *, priority: Priority, license_arn_heard: str | None = None
) -> None:
    """Something was heard of a license: it is read now, and its rechecks begin anew."""
    values: dict[str, Any] = {
        "due_at": microseconds(transaction.at),
        "priority": priority,
        "recheck": 0,
        "failures": 0,
    }
    if license_arn_heard is not None:
        values["license_arn_heard"] = license_arn_heard
    rows, this = transaction.rows, OBSERVATIONS.c.license_id == license_id
    if rows.execute(sqlalchemy.update(OBSERVATIONS).where(this).values(values)).rowcount == 0:
        rows.execute(sqlalchemy.insert(OBSERVATIONS).values(values | {"license_id": license_id, "observation": 0}))


def find(rows: sqlalchemy.Connection, license_id: LicenseId) -> Observation | None:
    """The row of a license; null if none was made yet."""
    row = rows.execute(sqlalchemy.select(OBSERVATIONS).where(OBSERVATIONS.c.license_id == license_id)).one_or_none()
    if row is None:
        return None
    first = None
    if row.reading_due_at is not None:
        first = FirstReading(
            seats_max=row.reading_seats_max,
            renews_at=moment(row.reading_renews_at),
            due_at=moment(row.reading_due_at),
        )
    return Observation(
        number=row.observation,
        due_at=None if row.due_at is None else moment(row.due_at),
        leased_until=moment(row.leased_until),
        recheck=timedelta(microseconds=row.recheck),
        failures=row.failures,
        license_arn_heard=row.license_arn_heard,
        saw_several=bool(row.saw_several),
        first_reading=first,
    )


def next_due(reading: sqlalchemy.Connection, *, at: datetime) -> tuple[LicenseId, Priority] | None:
    """The license to read next: what was heard before what is due by its date, and that before rechecks."""
    row = reading.execute(_NEXT_DUE, {"at": microseconds(at)}).one_or_none()
    return None if row is None else (LicenseId(row.license_id), Priority(row.priority))


def begin(transaction: Transaction, license_id: LicenseId, observation: Observation) -> int:
    """Raise the number and take the lease; returns the number."""
    number = observation.number + 1
    values = {"observation": number, "leased_until": microseconds(transaction.at + LEASE)}
    _write(transaction.rows, license_id, values)
    return number


def conclude(rows: sqlalchemy.Connection, license_id: LicenseId, then: Next) -> None:
    """Give the lease back and say when to read next."""
    first, coming = then.first_reading, then.coming
    values = {
        "due_at": None if then.due_at is None else microseconds(then.due_at),
        "priority": then.priority,
        "leased_until": 0,
        "recheck": then.recheck // timedelta(microseconds=1),
        "failures": then.failures,
        "reason": then.reason,
        "reading_seats_max": None if first is None else first.seats_max,
        "reading_renews_at": None if first is None else microseconds(first.renews_at),
        "reading_due_at": None if first is None else microseconds(first.due_at),
        "coming_seats_max": None if coming is None else coming.seats_max,
        "coming_since": None if coming is None else microseconds(coming.since),
    }
    _write(rows, license_id, values)


def note_several(rows: sqlalchemy.Connection, license_id: LicenseId) -> None:
    """A legacy customer has several ARNs, and none is known to be this license's."""
    _write(rows, license_id, {"saw_several": 1})


def longer_recheck(before: timedelta, *, first: timedelta) -> timedelta:
    """The pause before the next recheck: twice the one before, beginning with `first`, up to a day."""
    return max(RECHECK_MIN, min(RECHECK_MAX, before * 2 if before else first))


def _write(rows: sqlalchemy.Connection, license_id: LicenseId, values: dict[str, Any]) -> None:
    rows.execute(sqlalchemy.update(OBSERVATIONS).where(OBSERVATIONS.c.license_id == license_id).values(values))
