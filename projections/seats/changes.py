"""What a batch of events does to the seats."""

from collections.abc import Sequence
from typing import Final, Self, assert_never

import msgspec
import sqlalchemy
from msgspec.structs import astuple
from sqlalchemy import Connection, Table

from ledger.envelope import RecordedEvent
from ledger.license import events
from ledger.license.state import SeatStatus
from ledger.system import events as system_events
from ledger.users import identity_of
from projections.statements import insert_rows, select_rows, update_rows

ACTIVE: Final = SeatStatus.ACTIVE.value
BLOCKED: Final = SeatStatus.BLOCKED.value
INACTIVE: Final = SeatStatus.INACTIVE.value
DELETED: Final = SeatStatus.DELETED.value

# Few enough that their tuples are still at the processor's hand when they are inserted.
_ROWS_PER_INSERT: Final = 1_000


class SeatRow(msgspec.Struct, gc=False):
    """A row of the table, in the order of its columns, while events work on it; a new one has no status yet."""

    seat_key: int
    license_key: int
    seat_id: str
    user: str = ""
    identity: str = ""
    status: str | None = None
    activated_at_microseconds: int | None = None
    blocked_at_microseconds: int | None = None
    deleted_at_microseconds: int | None = None
    reason: str | None = None
    note: str | None = None
    actor_role: str = ""
    actor_id: str = ""
    version: int = 0


class SeatMove(msgspec.Struct, frozen=True, gc=False):
    """What one event did to a seat: its status before (null: never heard of) and after, and its user's name."""

    was: str | None
    now: str
    seat_key: int
    user: str


class SeatChanges:
    """The net effect of a batch: one write for each seat, however many events it had."""

    def __init__(self, before: Sequence[SeatRow] = (), *, last_key: int = 0) -> None:
        """Begin with the seats as they stand, and the last number that a seat has."""
        self._rows = {(row.license_key, row.seat_id): row for row in before}
        self._last_written = last_key
        self._made: list[SeatRow] = []
        self._moved: dict[int, SeatRow] = {}

    @classmethod
    def load(cls, connection: Connection, table: Table, batch: Sequence[RecordedEvent]) -> Self:
        """Read the seats that a batch is about, all at once."""
        seat_ids = {recorded.event.seat_id for recorded in batch if isinstance(recorded.event, _SEAT_EVENTS)}
        last_key = connection.execute(sqlalchemy.select(sqlalchemy.func.max(table.c.seat_key))).scalar() or 0
        found = select_rows(connection, table, table.c.seat_id, seat_ids)
        return cls([SeatRow(*row) for row in found], last_key=last_key)

    @property
    def rows_held(self) -> int:
        """How many seats are held in memory."""
        return len(self._rows)

    def apply(self, recorded: RecordedEvent, *, license_key: int, at: int) -> SeatMove | None:
        """One more event, recorded `at` (microseconds); tells which seat it moved, if any."""
        match recorded.event:
            case events.SeatActivated() as event:
                seat = self._named(license_key, event)
                seat.activated_at_microseconds = at
                return self._move(seat, recorded, to=ACTIVE)
            case events.SeatBlocked() as event:
                seat = self._named(license_key, event)
                note = event.note.plain if event.note else None
                return self._move(seat, recorded, to=BLOCKED, blocked_at=at, reason=event.reason.value, note=note)
            case events.SeatUnblocked() as event:
                known = self._rows.get((license_key, event.seat_id))
                return None if known is None else self._move(known, recorded, to=INACTIVE)
            case events.SeatDeleted() as event:
                known = self._rows.get((license_key, event.seat_id))
                if known is None:
                    return None
                return self._move(known, recorded, to=DELETED, deleted_at=at, reason=event.reason.value)
            case (
                events.LicenseIssued()
                | events.LicenseIdentified()
                | events.CompanyRegistered()
                | events.RenewalAnnounced()
                | events.SuccessionDecided()
                | events.ListingSucceeded()
                | events.TwinAbsorbed()
                | events.LicenseFolded()
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
        """Write each seat that was touched, once; what is held is then as it is written."""
        for begin in range(0, len(self._made), _ROWS_PER_INSERT):
            insert_rows(connection, table, [astuple(row) for row in self._made[begin : begin + _ROWS_PER_INSERT]])
        # One identity has one seat for good: only its spelling may change.
        kept = ("license_key", "seat_id", "identity")
        update_rows(connection, table, [astuple(row) for row in self._moved.values()], kept=kept)
        self._last_written += len(self._made)
        self._made, self._moved = [], {}

    def _named(self, license_key: int, event: events.SeatActivated | events.SeatBlocked) -> SeatRow:
        """The seat, a new one if it was never heard of, with the name that the event says."""
        name = event.user.plain
        seat = self._rows.get((license_key, event.seat_id))
        if seat is None:
            seat = SeatRow(self._last_written + len(self._made) + 1, license_key, event.seat_id)
            self._rows[license_key, event.seat_id] = seat
            self._made.append(seat)
        if seat.user != name:
            seat.user, seat.identity = name, identity_of(name)
        return seat

    def _move(
        self,
        seat: SeatRow,
        recorded: RecordedEvent,
        *,
        to: str,
        blocked_at: int | None = None,
        deleted_at: int | None = None,
        reason: str | None = None,
        note: str | None = None,
    ) -> SeatMove:
        was, actor = seat.status, recorded.actor
        seat.status = to
        seat.blocked_at_microseconds, seat.deleted_at_microseconds = blocked_at, deleted_at
        seat.reason, seat.note = reason, note
        seat.actor_role, seat.actor_id, seat.version = str(actor.role), actor.id, recorded.version
        if seat.seat_key <= self._last_written:
            self._moved[seat.seat_key] = seat
        return SeatMove(was, to, seat.seat_key, seat.user)


_SEAT_EVENTS: Final = (events.SeatActivated, events.SeatBlocked, events.SeatUnblocked, events.SeatDeleted)
