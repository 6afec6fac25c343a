"""What a batch of events adds to the history."""

from typing import assert_never

from sqlalchemy import Connection, Table

from ledger.envelope import RecordedEvent
from ledger.license import events
from ledger.system import events as system_events
from projections.seats.changes import SeatMove
from projections.statements import Row, insert_rows


class HistoryChanges:
    """The rows that a batch adds; none is ever rewritten."""

    def __init__(self) -> None:
        """Begin with nothing to add."""
        self._rows: list[Row] = []

    def apply(self, recorded: RecordedEvent, moved: SeatMove | None, *, license_key: int, at: int) -> None:
        """One more event, recorded `at` (microseconds), and the seat that it moved."""
        match recorded.event:
            case events.SeatActivated() | events.SeatBlocked() | events.SeatUnblocked() | events.SeatDeleted():
                self._add(recorded, moved, license_key, at)
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
                self._add(recorded, None, license_key, at)
            case system_events.AccessPolicySet() | system_events.KeyIssued() | system_events.KeyRevoked():
                pass  # About the ledger itself: this is the history of licenses.
            case _ as unknown:
                assert_never(unknown)

    def write(self, connection: Connection, table: Table) -> None:
        """Add the rows."""
        insert_rows(connection, table, self._rows)
        self._rows = []

    def _add(self, recorded: RecordedEvent, moved: SeatMove | None, license_key: int, at: int) -> None:
        first, last = recorded.append
        actor = recorded.actor
        self._rows.append(
            (
                recorded.position,
                license_key,
                None if moved is None else moved.seat_key,
                recorded.version,
                first,
                last,
                recorded.event.TYPE,
                at,
                str(actor.role),
                actor.id,
                recorded.cause,
                None if moved is None else moved.user,
                recorded.data.decode(),
            )
        )
