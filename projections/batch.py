"""One batch of events, applied to all views in one pass."""

from collections.abc import Sequence

from sqlalchemy import Connection

from ledger.envelope import RecordedEvent
from projections.history.changes import HistoryChanges
from projections.license_information.changes import LicenseChanges
from projections.seats.changes import SeatChanges
from projections.tables import Tables


def apply_batch(connection: Connection, tables: Tables, batch: Sequence[RecordedEvent]) -> None:
    """Let a batch, which ends with an append, take effect in the tables.

    The seats go first with each event: what they know of the seat (its status before, its user's name) the others count
    and tell.
    """
    seats = SeatChanges.load(connection, tables.seats, batch)
    licenses = LicenseChanges.load(connection, tables.licenses, batch)
    history = HistoryChanges()
    for recorded in batch:
        moved = seats.apply(recorded)
        licenses.apply(recorded, moved)
        history.apply(recorded, moved)
    seats.write(connection, tables.seats)
    licenses.write(connection, tables.licenses, tables.access_policy)
    history.write(connection, tables.history)
