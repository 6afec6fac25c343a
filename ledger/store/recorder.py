"""The `eventsourcing` library's SQLite recorder, with positions that the writer gives.

The library leaves the position to SQLite's implicit rowid, which a dump and reload numbers anew; here it is a column of
its own.
"""

from collections.abc import Sequence
from typing import Any, Final

from eventsourcing.persistence import Notification, StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteCursor, SQLiteDatastore

_POSITION_MAX: Final = 2**63 - 1


class PositionedSQLiteRecorder(SQLiteApplicationRecorder):
    """Stored events in SQLite, each at a position that the caller may give."""

    def __init__(self, datastore: SQLiteDatastore, events_table_name: str = "stored_events") -> None:
        """Name the columns, since the position is one more than the library knows of."""
        super().__init__(datastore, events_table_name)
        columns = "originator_id, originator_version, topic, state"
        table = self.events_table_name
        self.insert_events_statement = f"INSERT INTO {table} ({columns}) VALUES (?,?,?,?)"  # noqa: S608 -- own names
        self.insert_positioned_statement = f"INSERT INTO {table} (position, {columns}) VALUES (?,?,?,?,?)"  # noqa: S608 -- own names

    def construct_create_table_statements(self) -> list[str]:
        """The library's table with an explicit position, which SQLite takes for the rowid."""
        columns = (
            "position INTEGER PRIMARY KEY, "
            "originator_id TEXT NOT NULL, "
            "originator_version INTEGER NOT NULL, "
            "topic TEXT NOT NULL, "
            "state BLOB NOT NULL, "
            "UNIQUE (originator_id, originator_version)"
        )
        return [f"CREATE TABLE IF NOT EXISTS {self.events_table_name} ({columns})"]

    def _insert_events(
        self,
        c: SQLiteCursor,
        stored_events: Sequence[StoredEvent],
        *,
        positions: Sequence[int] | None = None,
        **kwargs: Any,  # noqa: ANN401 -- the library's signature
    ) -> Sequence[int] | None:
        if positions is None:
            return super()._insert_events(c, stored_events, **kwargs)
        c.executemany(
            self.insert_positioned_statement,
            [
                (position, stored.originator_id, stored.originator_version, stored.topic, stored.state)
                for position, stored in zip(positions, stored_events, strict=True)
            ],
        )
        return positions

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Stored events by position; SQLite names the rowid after our column, by which the library can't find it."""
        statement = (
            f"SELECT position, originator_id, originator_version, topic, state FROM {self.events_table_name}"  # noqa: S608 -- the table's name is the program's own
            f" WHERE position {'>=' if inclusive_of_start else '>'} ? AND position <= ?"
        )
        if topics:
            statement += f" AND topic IN ({','.join('?' * len(topics))})"
        with self.datastore.transaction(commit=False) as c:
            c.execute(
                statement + " ORDER BY position LIMIT ?",
                (start or 0, _POSITION_MAX if stop is None else stop, *topics, limit),
            )
            return [
                Notification(
                    id=row["position"],
                    originator_id=self.convert_originator_id(row["originator_id"]),
                    originator_version=row["originator_version"],
                    topic=row["topic"],
                    state=row["state"],
                )
                for row in c.fetchall()
            ]

    def insert_positioned(
        self, c: SQLiteCursor, stored_events: Sequence[StoredEvent], *, positions: Sequence[int]
    ) -> None:
        """Insert into a transaction that the caller holds."""
        self._insert_events(c, stored_events, positions=positions)
