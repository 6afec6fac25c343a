"""The eventsourcing library's own tests of a recorder, on the recorder whose positions the writer gives."""

import tempfile
import threading
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import ClassVar, Final
from unittest import TestCase
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresDatastore
from eventsourcing.sqlite import SQLiteDatastore
from eventsourcing.tests import persistence as library
from psycopg.conninfo import conninfo_to_dict

from ledger.store.postgres_recorder import PositionedPostgresRecorder
from ledger.store.recorder import PositionedSQLiteRecorder
from tests.integration.ledgers import database_in, drop_databases, url_of

PositionedRecorder = PositionedSQLiteRecorder | PositionedPostgresRecorder


def sqlite_recorder(folder: Path) -> PositionedSQLiteRecorder:
    """A recorder on a new file."""
    datastore = SQLiteDatastore(str(folder / "recorder.db"), originator_id_type="text", pool_size=20)
    recorder = PositionedSQLiteRecorder(datastore)
    recorder.create_table()
    return recorder


def postgres_recorder(folder: Path) -> PositionedPostgresRecorder:
    """A recorder on a new database, reached as the library does; its own insert takes its own lock of the table."""
    told = conninfo_to_dict(url_of(database_in(folder, "postgres")).text)
    datastore = PostgresDatastore(
        dbname=str(told["dbname"]),
        host=str(told["host"]),
        port=str(told["port"]),
        user=str(told["user"]),
        password=str(told["password"]),
        originator_id_type="text",
        pool_size=20,
    )
    recorder = PositionedPostgresRecorder(datastore)
    recorder.create_table()
    return recorder


RECORDERS: Final[dict[str, Callable[[Path], PositionedRecorder]]] = {
    "sqlite": sqlite_recorder,
    "postgres": postgres_recorder,
}


class InAFolder(TestCase):
    """Each case of the library's in a folder of its own."""

    engine: ClassVar[str]

    def setUp(self) -> None:
        """Make the folder."""
        self.folder = tempfile.TemporaryDirectory()
        self.recorder: PositionedRecorder | None = None
        self.threads = threading.enumerate()

    def tearDown(self) -> None:
        """Leave nothing open, once the readers that the library starts have gone."""
        for thread in threading.enumerate():
            if thread not in self.threads and thread.name.startswith("Thread-"):
                thread.join(timeout=10)
        if self.recorder is not None:
            self.recorder.datastore.close()
        drop_databases(Path(self.folder.name))
        self.folder.cleanup()

    def new_originator_id(self) -> str:
        """Streams have text for a name here."""
        return str(uuid4())

    def create_recorder(self) -> PositionedRecorder:
        """What the library's tests run on."""
        self.recorder = RECORDERS[self.engine](Path(self.folder.name))
        return self.recorder


class TestRecorderOnSqlite(InAFolder, library.ApplicationRecorderTestCase[PositionedRecorder]):
    """Inserts, selections by stream and by position, conflicts, and threads."""

    engine = "sqlite"


class TestRecorderOnPostgres(InAFolder, library.ApplicationRecorderTestCase[PositionedRecorder]):
    """The same. Not the library's case of subscriptions, which nothing here uses: the store listens by itself."""

    engine = "postgres"


class TestPositionsDoNotInterleaveOnSqlite(InAFolder, library.NonInterleavingNotificationIDsBaseCase):
    """Positions of one insert follow one another, whoever else inserts."""

    engine = "sqlite"
    insert_num = 100


class TestPositionsDoNotInterleaveOnPostgres(InAFolder, library.NonInterleavingNotificationIDsBaseCase):
    """The same."""

    engine = "postgres"
    insert_num = 100


def insert_positioned(recorder: PositionedRecorder, rows: list[tuple[object, ...]]) -> None:
    """Insert events at the positions that stand first in the rows."""
    if isinstance(recorder, PositionedSQLiteRecorder):
        with recorder.datastore.transaction(commit=True) as cursor:
            cursor.execute(recorder.insert_positioned(len(rows)), [*chain(*rows)])
        return
    with recorder.datastore.get_connection() as connection:
        connection.execute(recorder.insert_positioned.encode(), [list(column) for column in zip(*rows, strict=True)])


@pytest.mark.parametrize("engine", RECORDERS)
def test_positions_that_are_given_are_the_ones_of_the_notifications(engine: str, tmp_path: Path) -> None:
    """Not the numbers of SQLite's rows or of a sequence: the writer's own."""
    recorder = RECORDERS[engine](tmp_path)
    insert_positioned(recorder, [(5, "ada", 1, "t", b"1"), (8, "ada", 2, "t", b"2")])
    assert [one.id for one in recorder.select_notifications(1, 10)] == [5, 8]
    assert [one.id for one in recorder.select_notifications(5, 10, inclusive_of_start=False)] == [8]
    assert [one.id for one in recorder.select_notifications(1, 10, stop=7)] == [5]
    assert recorder.max_notification_id() == 8
    assert recorder.select_events("ada") == [
        StoredEvent("ada", 1, "t", b"1"),
        StoredEvent("ada", 2, "t", b"2"),
    ]
    recorder.datastore.close()
    drop_databases(tmp_path)


def test_a_position_can_be_taken_once_on_postgres(tmp_path: Path) -> None:
    """As on SQLite, where it is the key of the row."""
    recorder = postgres_recorder(tmp_path)
    insert_positioned(recorder, [(5, "ada", 1, "t", b"1")])
    with pytest.raises(IntegrityError):
        insert_positioned(recorder, [(5, "grace", 1, "t", b"1")])
    recorder.datastore.close()
    drop_databases(tmp_path)
