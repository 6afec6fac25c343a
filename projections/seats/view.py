"""The seats as they are asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy
from sqlalchemy import ColumnElement, Table

from ledger.ledger import Ledger
from ledger.license.events import Actor, ActorRole, LicenseId, SeatActivated, SeatBlocked, SeatId
from ledger.license.state import License, SeatStatus
from ledger.replay import Moment
from ledger.seats import SeatRecord, seat_record
from ledger.times import moment
from ledger.users import identity_of
from projections.database import ViewsDatabase
from projections.license_information.view import count_seats
from projections.page import Page, PageKey
from projections.tables import license_key

# About what one look-up of a naming event costs, counted in events read in a row.
_EVENTS_PER_LOOK_UP: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class SeatQuery:
    """Which seats to list; what is null restricts nothing.

    Attributes:
        status: which stand like this.
        user: of the user who goes by this name, in any spelling.
        q: of users whose names have this part, in any case.
    """

    status: SeatStatus | None = None
    user: str | None = None
    q: str | None = None


class SeatsView:
    """The seats of every license."""

    def __init__(self, database: ViewsDatabase, ledger: Ledger) -> None:
        """Answer from the views, and about the past from the ledger."""
        self._database = database
        self._ledger = ledger

    def get(self, license_id: LicenseId, seat_id: SeatId) -> SeatRecord | None:
        """One seat; null if the view knows of none.

        Raises:
            StoreError: the views can't be read.
        """
        with self._database.reading() as reading:
            table = reading.tables.seats
            mine = (table.c.seat_id == seat_id) & (table.c.license_key == license_key(reading.tables, license_id))
            row = reading.connection.execute(sqlalchemy.select(table).where(mine)).first()
            return None if row is None else _record(license_id, row)

    def list(self, license_id: LicenseId, query: SeatQuery, *, after: PageKey | None, limit: int) -> Page[SeatRecord]:
        """Seats of a license sorted by the user's name, casefolded, then by `seat_id`.

        Args:
            license_id: whose.
            query: which.
            after: the key of the last item of the page before; null begins.
            limit: how many at most, from 1.

        Raises:
            StoreError: the views can't be read.
        """
        with self._database.reading() as reading:
            table = reading.tables.seats
            theirs = table.c.license_key == license_key(reading.tables, license_id)
            selected = sqlalchemy.select(table).where(theirs, *_conditions(table, query))
            if after is not None:
                selected = selected.where(sqlalchemy.tuple_(table.c.identity, table.c.seat_id) > after)
            selected = selected.order_by(table.c.identity, table.c.seat_id).limit(limit + 1)
            rows = reading.connection.execute(selected).all()
            return _page([_record(license_id, row) for row in rows], limit=limit, position=reading.position)

    def counts(self, license_id: LicenseId) -> Mapping[SeatStatus, int]:
        """How many seats of a license stand how: the counts of License Information, at the same position.

        Raises:
            StoreError: the views can't be read.
        """
        with self._database.reading() as reading:
            return count_seats(reading.connection, reading.tables.licenses, license_id)

    def then(
        self, license_id: LicenseId, moment_: Moment, query: SeatQuery, *, after: PageKey | None, limit: int
    ) -> Page[SeatRecord]:
        """The same list as it stood; a time is first reached, so that the answer never changes.

        Raises:
            LicenseIsNotFoundError: the license had not been issued by then.
            NotRecordedError: there is no such version or position.
            TimeIsInvalidError: the time has not come yet.
            StoreError: the ledger can't be read.
        """
        if moment_.as_of is not None:
            self._ledger.reach(moment_.as_of)
        then = self._ledger.past.license_at(license_id, moment_)
        found = [record for record in self._records(then.license) if _matches(record, query)]
        keyed = sorted(found, key=_key)
        rest = [record for record in keyed if after is None or _key(record) > after]
        return _page(rest[: limit + 1], limit=limit, position=then.position, as_of=then.as_of)

    def _records(self, license_: License) -> Iterator[SeatRecord]:
        naming = self._naming_events(license_)
        for seat_id, seat in license_.seats.items():
            yield seat_record(license_.license_id, seat_id, seat, naming[seat_id])

    def _naming_events(self, license_: License) -> Mapping[SeatId, SeatActivated | SeatBlocked]:
        """The event that names the user of each seat, read one by one or all in a row, whichever is less work."""
        past, seats = self._ledger.past, license_.seats
        if len(seats) * _EVENTS_PER_LOOK_UP < license_.version:
            return {seat_id: past.naming_event(license_.license_id, seat) for seat_id, seat in seats.items()}
        recorded = past.events_until(license_.license_id, version=license_.version)
        said = (one.event for one in recorded)
        return {event.seat_id: event for event in said if isinstance(event, SeatActivated | SeatBlocked)}


def _conditions(table: Table, query: SeatQuery) -> Iterator[ColumnElement[bool]]:
    if query.status is not None:
        yield table.c.status == query.status.value
    if query.user is not None:
        yield table.c.identity == identity_of(query.user)
    if query.q is not None:
        yield table.c.identity.contains(identity_of(query.q), autoescape=True)


def _matches(record: SeatRecord, query: SeatQuery) -> bool:
    identity = identity_of(record.user)
    return (
        query.status in (None, record.status)
        and (query.user is None or identity == identity_of(query.user))
        and (query.q is None or identity_of(query.q) in identity)
    )


def _key(record: SeatRecord) -> tuple[str, str]:
    return identity_of(record.user), record.seat_id


def _page(
    records: Sequence[SeatRecord], *, limit: int, position: int, as_of: datetime | None = None
) -> Page[SeatRecord]:
    """A page of at most `limit`, made from one record more if there is one."""
    more = len(records) > limit
    return Page(items=records[:limit], next=_key(records[limit - 1]) if more else None, position=position, as_of=as_of)


def _record(license_id: LicenseId, row: "sqlalchemy.Row[Any]") -> SeatRecord:
    return SeatRecord(
        license_id=license_id,
        seat_id=SeatId(row.seat_id),
        user=row.user,
        status=SeatStatus(row.status),
        activated_at=_time(row.activated_at_microseconds),
        blocked_at=_time(row.blocked_at_microseconds),
        deleted_at=_time(row.deleted_at_microseconds),
        reason=row.reason,
        note=row.note,
        actor=Actor(ActorRole(row.actor_role), row.actor_id),
        version=row.version,
    )


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else moment(microseconds)
