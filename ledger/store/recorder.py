"""The `eventsourcing` library's SQLite recorder, with positions that the writer gives.

The library leaves the position to SQLite's implicit rowid, which a dump and reload numbers anew; here it is a column of
its own.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

from eventsourcing.persistence import Notification
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

_POSITION_MAX: Final = 2**63 - 1


class PositionedSQLiteRecorder(SQLiteApplicationRecorder):
    """Stored events in SQLite, each at a position that the caller may give."""

    def __init__(self, datastore: SQLiteDatastore, events_table_name: str = "stored_events") -> None:
        """Name the columns, since the position is one more than the library knows of."""
        super().__init__(datastore, events_table_name)
        columns = "originator_id, originator_version, topic, state"
        table = self.events_table_name
        self.insert_events_statement = f"INSERT INTO {table} ({columns}) VALUES (?,?,?,?)"  # noqa: S608 -- own names
        self._insert_positioned = f"INSERT INTO {table} (position, {columns}) "

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

    def insert_positioned(self, count: int) -> str:
        """The statement that inserts this many events: of each position, stream, version, type and bytes, in a row."""
        return self._insert_positioned + values_of(count, 5)


@cache
def values_of(rows: int, columns: int) -> str:
    """`VALUES (?,?),(?,?)`: places for this many rows."""
    return "VALUES " + ",".join([f"({','.join('?' * columns)})"] * rows)
