"""The eventsourcing library's own tests of a recorder, on the recorder whose positions the writer gives."""

import tempfile
import threading
from pathlib import Path
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteDatastore
from eventsourcing.tests import persistence as library

from ledger.store.recorder import PositionedSQLiteRecorder


def recorder_in(directory: str) -> PositionedSQLiteRecorder:
    """A recorder on a new file."""
    datastore = SQLiteDatastore(str(Path(directory) / "recorder.db"), originator_id_type="text", pool_size=20)
    recorder = PositionedSQLiteRecorder(datastore)
    recorder.create_table()
    return recorder


class TestPositionedRecorder(library.ApplicationRecorderTestCase[PositionedSQLiteRecorder]):
    """Inserts, selections by stream and by position, conflicts, and threads."""

    def setUp(self) -> None:
        """A directory of its own."""
        self.directory = tempfile.TemporaryDirectory()
        self.recorder: PositionedSQLiteRecorder | None = None
        self.threads = threading.enumerate()

    def tearDown(self) -> None:
        """Leave nothing open, once the readers that the library starts have gone."""
        for thread in threading.enumerate():
            if thread not in self.threads:
                thread.join(timeout=10)
        if self.recorder is not None:
            self.recorder.datastore.close()
        self.directory.cleanup()

    def new_originator_id(self) -> str:
        """Streams have text for a name here."""
        return str(uuid4())

    def create_recorder(self) -> PositionedSQLiteRecorder:
        """What the library's tests run on."""
        self.recorder = recorder_in(self.directory.name)
        return self.recorder


class TestPositionsDoNotInterleave(library.NonInterleavingNotificationIDsBaseCase):
    """Positions of one insert follow one another, whoever else inserts."""

    insert_num = 100

    def setUp(self) -> None:
        """A directory of its own."""
        self.directory = tempfile.TemporaryDirectory()
        self.recorder: PositionedSQLiteRecorder | None = None
        self.threads = threading.enumerate()

    def tearDown(self) -> None:
        """Leave nothing open, once the readers that the library starts have gone."""
        for thread in threading.enumerate():
            if thread not in self.threads:
                thread.join(timeout=10)
        if self.recorder is not None:
            self.recorder.datastore.close()
        self.directory.cleanup()

    def new_originator_id(self) -> str:
        """Streams have text for a name here."""
        return str(uuid4())

    def create_recorder(self) -> PositionedSQLiteRecorder:
        """What the library's test runs on."""
        self.recorder = recorder_in(self.directory.name)
        return self.recorder


def test_positions_that_are_given_are_the_ones_of_the_notifications(tmp_path: Path) -> None:
    """Not the numbers of SQLite's rows: the writer's own."""
    recorder = recorder_in(str(tmp_path))
    with recorder.datastore.transaction(commit=True) as cursor:
        cursor.execute(recorder.insert_positioned(2), (5, "ada", 1, "t", b"1", 8, "ada", 2, "t", b"2"))
    assert [one.id for one in recorder.select_notifications(1, 10)] == [5, 8]
    assert [one.id for one in recorder.select_notifications(5, 10, inclusive_of_start=False)] == [8]
    assert [one.id for one in recorder.select_notifications(1, 10, stop=7)] == [5]
    assert recorder.max_notification_id() == 8
    assert recorder.select_events("ada") == [
        StoredEvent("ada", 1, "t", b"1"),
        StoredEvent("ada", 2, "t", b"2"),
    ]
    recorder.datastore.close()
