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
from projections.statements import insert_rows, select_rows, update_rows

ACTIVE: Final = SeatStatus.ACTIVE.value
BLOCKED: Final = SeatStatus.BLOCKED.value
INACTIVE: Final = SeatStatus.INACTIVE.value
DELETED: Final = SeatStatus.DELETED.value


class SeatRow(NamedTuple):
    """A row of the table, in the order of its columns."""

    seat_key: int
    license_key: int
    seat_id: str
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
    seat_key: int
    user: str


class SeatChanges:
    """The net effect of a batch: one write for each seat, however many events it had."""

    def __init__(self, before: Sequence[SeatRow], *, last_key: int) -> None:
        """Begin with the seats as they stand, and the last number that a seat has."""
        self._rows = {(row.license_key, row.seat_id): row for row in before}
        self._last_known = self._last_key = last_key
        self._touched: set[tuple[int, str]] = set()

    @classmethod
    def load(cls, connection: Connection, table: Table, batch: Sequence[RecordedEvent]) -> Self:
        """Read the seats that a batch is about, all at once."""
        seat_ids = {recorded.event.seat_id for recorded in batch if isinstance(recorded.event, _SEAT_EVENTS)}
        last_key = connection.execute(sqlalchemy.select(sqlalchemy.func.max(table.c.seat_key))).scalar() or 0
        found = select_rows(connection, table, table.c.seat_id, seat_ids)
        return cls([SeatRow(*row) for row in found], last_key=last_key)

    def apply(self, recorded: RecordedEvent, *, license_key: int) -> SeatMove | None:
        """One more event; tells which seat it moved, if any."""
        match recorded.event:
            case events.SeatActivated() as event:
                return self._activate(recorded, event, license_key)
            case events.SeatBlocked() as event:
                return self._block(recorded, event, license_key)
            case events.SeatUnblocked() as event:
                return self._unblock(recorded, event, license_key)
            case events.SeatDeleted() as event:
                return self._delete(recorded, event, license_key)
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
        touched = [self._rows[key] for key in self._touched]
        insert_rows(connection, table, sorted(row for row in touched if row.seat_key > self._last_known))
        # One identity has one seat for good: only its spelling may change.
        kept = ("license_key", "seat_id", "identity")
        update_rows(connection, table, [row for row in touched if row.seat_key <= self._last_known], kept=kept)

    def _activate(self, recorded: RecordedEvent, event: events.SeatActivated, license_key: int) -> SeatMove:
        before = self._rows.get((license_key, event.seat_id))
        user, actor = event.user.plain, recorded.actor
        after = SeatRow(
            self._key_of(before),
            license_key,
            event.seat_id,
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
        return self._put(before, after)

    def _block(self, recorded: RecordedEvent, event: events.SeatBlocked, license_key: int) -> SeatMove:
        before = self._rows.get((license_key, event.seat_id))
        user, actor = event.user.plain, recorded.actor
        after = SeatRow(
            self._key_of(before),
            license_key,
            event.seat_id,
            user,
            identity_of(user),
            BLOCKED,
            before.activated_at_microseconds if before else None,
            microseconds(recorded.recorded_at),
            None,
            event.reason.value,
            event.note.plain if event.note else None,
            actor.role.value,
            actor.id,
            recorded.version,
        )
        return self._put(before, after)

    def _unblock(self, recorded: RecordedEvent, event: events.SeatUnblocked, license_key: int) -> SeatMove | None:
        before = self._rows.get((license_key, event.seat_id))
        if before is None:
            return None
        return self._put(before, _freed(before, recorded, status=INACTIVE, deleted_at=None, reason=None))

    def _delete(self, recorded: RecordedEvent, event: events.SeatDeleted, license_key: int) -> SeatMove | None:
        before = self._rows.get((license_key, event.seat_id))
        if before is None:
            return None
        at = microseconds(recorded.recorded_at)
        return self._put(before, _freed(before, recorded, status=DELETED, deleted_at=at, reason=event.reason.value))

    def _key_of(self, before: SeatRow | None) -> int:
        if before is not None:
            return before.seat_key
        self._last_key += 1
        return self._last_key

    def _put(self, before: SeatRow | None, after: SeatRow) -> SeatMove:
        key = (after.license_key, after.seat_id)
        self._rows[key] = after
        self._touched.add(key)
        return SeatMove(None if before is None else before.status, after.status, after.seat_key, after.user)


_SEAT_EVENTS: Final = (events.SeatActivated, events.SeatBlocked, events.SeatUnblocked, events.SeatDeleted)


def _freed(
    before: SeatRow, recorded: RecordedEvent, *, status: str, deleted_at: int | None, reason: str | None
) -> SeatRow:
    return before._replace(
        status=status,
        blocked_at_microseconds=None,
        deleted_at_microseconds=deleted_at,
        reason=reason,
        note=None,
        actor_role=recorded.actor.role.value,
        actor_id=recorded.actor.id,
        version=recorded.version,
    )
