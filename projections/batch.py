"""One batch of events, applied to all views in one pass."""

from collections.abc import Iterable, Sequence
from typing import Self

from sqlalchemy import Connection, Index

from ledger.envelope import RecordedEvent
from ledger.times import microseconds
from projections.history.changes import HistoryChanges
from projections.license_information.changes import LicenseChanges
from projections.seats.changes import SeatChanges
from projections.statements import take_stock
from projections.tables import Tables


class Changes:
    """What events do to all views.

    Those who follow load the rows that a batch is about, for each batch. Those who fill empty tables begin with no
    rows and go on with what they hold: nothing needs to be looked for, and each row is written once.
    """

    def __init__(self, *, licenses: LicenseChanges, seats: SeatChanges) -> None:
        """Begin with the rows as they stand."""
        self._licenses = licenses
        self._seats = seats
        self._history = HistoryChanges()

    @classmethod
    def of_nothing(cls) -> Self:
        """Begin before the first event."""
        return cls(licenses=LicenseChanges(), seats=SeatChanges())

    @classmethod
    def load(cls, connection: Connection, tables: Tables, batch: Sequence[RecordedEvent]) -> Self:
        """Begin with the rows that a batch is about."""
        return cls(
            licenses=LicenseChanges.load(connection, tables.licenses, batch),
            seats=SeatChanges.load(connection, tables.seats, batch),
        )

    @property
    def rows_held(self) -> int:
        """How many rows are held in memory."""
        return self._licenses.rows_held + self._seats.rows_held

    def apply(self, batch: Sequence[RecordedEvent]) -> None:
        """Let a batch, which ends with an append, take effect on the rows.

        The seats go first with each event: what they know of the seat (its status before, its user's name) the others
        count and tell.
        """
        licenses, seats, history = self._licenses, self._seats, self._history
        for recorded in batch:
            license_key, at = licenses.key_of(recorded.stream), microseconds(recorded.recorded_at)
            moved = seats.apply(recorded, license_key=license_key, at=at)
            licenses.apply(recorded, moved)
            history.apply(recorded, moved, license_key=license_key, at=at)

    def write(self, connection: Connection, tables: Tables) -> None:
        """Write the rows."""
        self._licenses.write(connection, tables.licenses, tables.access_policy)
        self._seats.write(connection, tables.seats)
        self._history.write(connection, tables.history)

    def fill(self, connection: Connection, tables: Tables, batch: Sequence[RecordedEvent]) -> None:
        """Let a batch take effect, and write of it what never changes again: the history."""
        self.apply(batch)
        self._history.write(connection, tables.history)

    def finish(self, connection: Connection, tables: Tables) -> None:
        """Write the other rows, so that those who follow can go on from them."""
        self.write(connection, tables)
        make_indexes(connection, tables, tables.indexes_to_write)


def make_indexes(connection: Connection, tables: Tables, indexes: Iterable[Index]) -> None:
    """Make indexes of tables that are filled: after many rows they cost less than with each."""
    for index in indexes:
        index.create(connection)
    take_stock(connection, tables.metadata.sorted_tables)
