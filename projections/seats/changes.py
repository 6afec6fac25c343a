"""What a batch of events does to the seats."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self, assert_never

import sqlalchemy
from sqlalchemy import Connection, Table

from ledger.envelope import RecordedEvent
from ledger.license import events
from ledger.license.state import SeatStatus
from ledger.system import events as system_events
from ledger.times import microseconds
from ledger.users import identity_of
from projections.statements import insert_rows, update_rows

ACTIVE: Final = SeatStatus.ACTIVE.value
BLOCKED: Final = SeatStatus.BLOCKED.value
INACTIVE: Final = SeatStatus.INACTIVE.value
DELETED: Final = SeatStatus.DELETED.value

_Key = tuple[str, str]


class SeatRow(NamedTuple):
    """A row of the table, in the order of its columns."""

    seat_id: str
    license_id: str
    user: str
    identity: str
    status: str
    activated_at_microseconds: int | None
    blocked_at_microseconds: int | None
    deleted_at_microseconds: int | None
    reason: str | None
    note: str | None
    actor_role: str
    actor_id: str
    version: int


class SeatMove(NamedTuple):
    """What one event did to a seat: its status before (null: never heard of) and after, and its user's name."""

    was: str | None
    now: str
    seat_id: str
    user: str


class SeatChanges:
    """The net effect of a batch: one write for each seat, however many events it had."""

    def __init__(self, before: Sequence[SeatRow]) -> None:
        """Begin with the seats as they stand."""
        self._rows = {(row.seat_id, row.license_id): row for row in before}
        self._known = frozenset(self._rows)
        self._touched: set[_Key] = set()

    @classmethod
    def load(cls, connection: Connection, table: Table, batch: Sequence[RecordedEvent]) -> Self:
        """Read the seats that a batch is about, all at once."""
        seat_ids = {recorded.event.seat_id for recorded in batch if isinstance(recorded.event, _SEAT_EVENTS)}
        if not seat_ids:
            return cls(())
        found = connection.execute(sqlalchemy.select(table).where(table.c.seat_id.in_(seat_ids)))
        return cls([SeatRow(*row) for row in found])

    def apply(self, recorded: RecordedEvent) -> SeatMove | None:
        """One more event; tells which seat it moved, if any."""
        match recorded.event:
            case events.SeatActivated() as event:
                return self._put(recorded, event.seat_id, _activated(recorded, event))
            case events.SeatBlocked() as event:
                return self._put(recorded, event.seat_id, self._blocked(recorded, event))
            case events.SeatUnblocked() as event:
                return self._keep_out_no_more(recorded, event)
            case events.SeatDeleted() as event:
                return self._delete(recorded, event)
            case (
                events.LicenseIssued()
                | events.LicenseIdentified()
                | events.CompanyRegistered()
                | events.SubscriptionStarted()
                | events.SeatLimitRaised()
                | events.SeatLimitLowered()
                | events.SubscriptionRenewed()
                | events.SubscriptionShortened()
                | events.SubscriptionLapsed()
                | events.SubscriptionResumed()
                | events.AgreementSucceeded()
            ):
                return None  # About the license, not about one seat: a limit that deletes says so in events of its own.
            case system_events.AccessPolicySet() | system_events.KeyIssued() | system_events.KeyRevoked():
                return None  # About the ledger itself.
            case _ as unknown:
                assert_never(unknown)

    def write(self, connection: Connection, table: Table) -> None:
        """Write each seat that was touched, once."""
        insert_rows(connection, table, [self._rows[key] for key in self._touched - self._known])
        update_rows(connection, table, [self._rows[key] for key in self._touched & self._known])

    def _blocked(self, recorded: RecordedEvent, event: events.SeatBlocked) -> SeatRow:
        before = self._rows.get((event.seat_id, recorded.stream))
        at, user, actor = microseconds(recorded.recorded_at), event.user.plain, recorded.actor
        return SeatRow(
            event.seat_id,
            recorded.stream,
            user,
            identity_of(user),
            BLOCKED,
            before.activated_at_microseconds if before else None,
            at,
            None,
            event.reason.value,
            event.note.plain if event.note else None,
            actor.role.value,
            actor.id,
            recorded.version,
        )

    def _keep_out_no_more(self, recorded: RecordedEvent, event: events.SeatUnblocked) -> SeatMove | None:
        before = self._rows.get((event.seat_id, recorded.stream))
        if before is None:
            return None
        after = _freed(before, recorded, status=INACTIVE, deleted_at=None, reason=None)
        return self._put(recorded, event.seat_id, after)

    def _delete(self, recorded: RecordedEvent, event: events.SeatDeleted) -> SeatMove | None:
        before = self._rows.get((event.seat_id, recorded.stream))
        if before is None:
            return None
        at = microseconds(recorded.recorded_at)
        after = _freed(before, recorded, status=DELETED, deleted_at=at, reason=event.reason.value)
        return self._put(recorded, event.seat_id, after)

    def _put(self, recorded: RecordedEvent, seat_id: str, after: SeatRow) -> SeatMove:
        key = (seat_id, recorded.stream)
        before = self._rows.get(key)
        self._rows[key] = after
        self._touched.add(key)
        return SeatMove(before.status if before else None, after.status, seat_id, after.user)


_SEAT_EVENTS: Final = (events.SeatActivated, events.SeatBlocked, events.SeatUnblocked, events.SeatDeleted)


def _activated(recorded: RecordedEvent, event: events.SeatActivated) -> SeatRow:
    user, actor = event.user.plain, recorded.actor
    return SeatRow(
        event.seat_id,
        recorded.stream,
        user,
        identity_of(user),
        ACTIVE,
        microseconds(recorded.recorded_at),
        None,
        None,
        None,
        None,
        actor.role.value,
        actor.id,
        recorded.version,
    )


def _freed(
    before: SeatRow, recorded: RecordedEvent, *, status: str, deleted_at: int | None, reason: str | None
) -> SeatRow:
    return SeatRow(
        before.seat_id,
        before.license_id,
        before.user,
        before.identity,
        status,
        before.activated_at_microseconds,
        None,
        deleted_at,
        reason,
        None,
        recorded.actor.role.value,
        recorded.actor.id,
        recorded.version,
    )
