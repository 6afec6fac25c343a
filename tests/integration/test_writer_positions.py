"""Positions are committed in their order: who follows them never has to look back."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.envelope import encode
from ledger.license.events import LicenseId
from ledger.store import Head, NewEvent, Rows, Store
from ledger.store.postgres import PostgresStore
from tests.integration.ledgers import (
    activated,
    database_in,
    drop_databases,
    everything,
    execute,
    issue,
    opened,
    store_on,
    until,
    url_of,
)
from tests.stories import ADMIN, ISSUED, LICENSE, NOON, OTHER_LICENSE, colleague

ROOT = Path(__file__).parents[2]
PROCESSES = 8
USERS = 60

ACTIVATE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from ledger.times import system_now
from tests.integration.ledgers import opened
from tests.stories import CLIENT, LICENSE, colleague

users = range(int(sys.argv[2]), int(sys.argv[3]))
with opened(Path(sys.argv[1]), now=system_now) as ledger, ThreadPoolExecutor(4) as pool:
    print("ready", file=sys.stderr, flush=True)
    sys.stdin.readline()
    list(pool.map(lambda user: ledger.seats.activate(LICENSE, user=colleague(user), caller=CLIENT), users))
"""


class Follower:
    """Somebody who reads on from the last position that was there, as views and consumers do.

    Attributes:
        position: of the last event that was read.
        missed: the positions that were not there when one behind them was.
    """

    def __init__(self, store: Store) -> None:
        """Begin at the first event."""
        self._store = store
        self.position = 0
        self.missed: list[int] = []

    def look(self) -> int:
        """Read what is there by now; the position of the last event."""
        for event in self._store.read_ledger(after=self.position, limit=50):
            self.missed += range(self.position + 1, event.position)
            self.position = event.position
        return self.position


@pytest.fixture
def postgres_path(tmp_path: Path) -> Iterator[Path]:
    """The path that stands for a PostgreSQL database."""
    yield database_in(tmp_path, "postgres")
    drop_databases(tmp_path)


def test_who_follows_positions_of_eight_processes_misses_none(postgres_path: Path) -> None:
    """Whatever order they write in, no position appears behind one that was seen."""
    with opened(postgres_path) as ledger:
        issue(ledger, seats_max=PROCESSES * USERS)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", ACTIVATE, str(postgres_path), str(number * USERS), str((number + 1) * USERS)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]
        for process in processes:
            assert process.stderr is not None
            assert process.stderr.readline() == b"ready\n"
        store = store_on(postgres_path)
        follower = Follower(store)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        end = 3 + PROCESSES * USERS
        looked_at = set()
        while follower.position < end and any(process.poll() is None for process in processes):
            follower.look()
            looked_at.add(follower.position)
        for process in processes:
            process.communicate(timeout=60)
            assert process.returncode == 0
        follower.look()
        assert (follower.missed, follower.position) == ([], end)
        # It followed while they wrote, and did not come when all was over.
        assert len(looked_at) > PROCESSES
        assert sorted(activated(everything(ledger))) == sorted(colleague(n).name for n in range(PROCESSES * USERS))
        store.close()


class WithoutLock(PostgresStore):
    """A store that takes its positions from a sequence, as tables usually do, instead of under the lock."""

    def begin(self) -> Head:
        """Take the next position, and lock nothing."""
        self._writer.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        row = self._writer.execute("SELECT ledger_id, nextval('positions') FROM head").fetchone()
        assert row is not None
        return Head(ledger_id=row[0], position=row[1] - 1, recorded_at=NOON)


def append_issued(store: Store, head: Head, license_id: LicenseId) -> None:
    """Append one event after a head that was begun at, and commit."""
    state = encode(
        ledger_id=head.ledger_id,
        stream=license_id,
        version=1,
        position=head.position + 1,
        append=(1, 1),
        recorded_at=NOON,
        actor=ADMIN.actor,
        cause=None,
        command_id="5b0e7c52-4f7e-4a0e-9a35-9f4a4f0f1b11",
        event=ISSUED,
    )
    moved = Head(ledger_id=head.ledger_id, position=head.position + 1, recorded_at=NOON)
    store.write(Rows(events=[NewEvent(moved.position, license_id, 1, ISSUED.TYPE, state)]), moved)
    store.commit()


def test_without_the_lock_a_position_is_missed(postgres_path: Path) -> None:
    """The test above can fail: the second to begin commits first, and the first one's position is never read."""
    execute(postgres_path, "CREATE SEQUENCE positions")
    one, other = (WithoutLock(url_of(postgres_path), readers_max=2) for _ in range(2))
    follower = Follower(one)
    first, second = one.begin(), other.begin()
    append_issued(other, second, OTHER_LICENSE)
    follower.look()
    append_issued(one, first, LICENSE)
    follower.look()
    assert follower.missed == [1]
    assert [event.position for event in one.read_ledger(after=0, limit=10)] == [1, 2]
    one.close()
    other.close()


def test_with_the_lock_the_same_order_of_calls_misses_none(database: Path) -> None:
    """The second to begin waits until the first has committed."""
    one, other = store_on(database), store_on(database)
    follower = Follower(one)
    first = one.begin()
    began = threading.Event()

    def append_the_second() -> None:
        began.set()
        append_issued(other, other.begin(), OTHER_LICENSE)

    appending = threading.Thread(target=append_the_second)
    appending.start()
    assert began.wait(10)
    for _ in range(50):
        assert follower.look() == 0
    append_issued(one, first, LICENSE)
    until(lambda: follower.look() == 2)
    appending.join(timeout=10)
    assert follower.missed == []
    one.close()
    other.close()
