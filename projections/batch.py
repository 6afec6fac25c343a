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
    licenses = LicenseChanges.load(connection, tables.licenses, batch)
    seats = SeatChanges.load(connection, tables.seats, batch)
    history = HistoryChanges()
    for recorded in batch:
        license_key = licenses.key_of(recorded.stream)
        moved = seats.apply(recorded, license_key=license_key)
        licenses.apply(recorded, moved)
        history.apply(recorded, moved, license_key=license_key)
    licenses.write(connection, tables.licenses, tables.access_policy)
    seats.write(connection, tables.seats)
    history.write(connection, tables.history)
