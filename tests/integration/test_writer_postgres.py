"""Faults of a real PostgreSQL server: connections cut in COMMIT, power cuts, held locks, processes that hang."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger.errors import UnavailableError
from ledger.ledger import Ledger
from ledger.license.events import Personal, SeatActivated, SeatId
from ledger.seats import Once, SeatAnswer
from ledger.store import StoreError
from ledger.store.postgres import PostgresStore
from ledger.transaction import Transaction, Work
from tests.integration.ledgers import (
    activated,
    database_in,
    database_on,
    drop_databases,
    everything,
    issue,
    license_now,
    opened,
    until,
    url_of,
)
from tests.services.postgres import PostgresServer
from tests.stories import ADA_SIGNS_IN, CLIENT, GRACE_SIGNS_IN, LICENSE, colleague

ROOT = Path(__file__).parents[2]


@pytest.fixture
def postgres_path(tmp_path: Path) -> Iterator[Path]:
    """The path that stands for a PostgreSQL database."""
    yield database_in(tmp_path, "postgres")
    drop_databases(tmp_path)


class CutStore(PostgresStore):
    """A store whose connection the server cuts at a chosen moment of the next commit.

    Attributes:
        cut: `before` the server hears of COMMIT, or `after` it committed and before we hear of it.
    """

    cut: str | None = None

    def commit(self) -> None:
        """Commit, and be cut off."""
        cut, self.cut = self.cut, None
        if cut == "before":
            self._terminate()
        if cut == "after":
            super().commit()
            self._terminate()
            # The answer to COMMIT is what was lost: the next word on this connection fails as COMMIT's would have.
        super().commit()

    def _terminate(self) -> None:
        pid = self._writer.info.backend_pid
        with psycopg.connect(self._url.text, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_connection_lost_in_commit_is_looked_up(postgres_path: Path, cut: str) -> None:
    """Whether the server had committed or not, the seat is taken once and the answer is the one that is recorded."""
    store = CutStore(url_of(postgres_path), readers_max=2)
    with opened(postgres_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=5)
        once = Once(key_hash=b"key", request_hash=b"request")
        store.cut = cut
        answer = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=once)
        assert (answer.took_seat, answer.position) == (True, 4)
        assert activated(everything(ledger)) == ["Ada Lovelace"]
        assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=once) == answer
        assert ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT).position == 5
    assert store.cut is None


def test_connections_that_the_server_ended_are_made_again(postgres_path: Path) -> None:
    """The writer's, the readers' and the listener's: nobody hears of it."""
    told = threading.Event()
    with opened(postgres_path) as ledger:
        issue(ledger, seats_max=5)
        ledger.on_append(told.set)
        until(told.is_set)
        with psycopg.connect(url_of(postgres_path).text, autocommit=True) as other:
            ended = other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
        assert len(ended) >= 3
        told.clear()
        assert ledger.head().position == 3
        assert ledger.keys.all() == []
        assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).position == 4
        until(told.is_set)
        told.clear()
        ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        until(told.is_set)


def test_power_cuts_of_the_server_lose_nothing_that_was_answered(own_server: PostgresServer, tmp_path: Path) -> None:
    """Sixteen callers repeat what failed with the same key, while it is stopped twice: each has one seat, as told."""
    with opened(database_on(own_server, tmp_path)) as ledger:
        issue(ledger, seats_max=10_000)
        done = threading.Event()
        answers: dict[int, SeatAnswer] = {}

        def activate(first: int) -> None:
            number = first
            while not done.is_set():
                answers[number] = _again_until_answered(ledger, number)
                number += 16

        threads = [threading.Thread(target=activate, args=(first,)) for first in range(16)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            enough = len(answers) + 100
            until(lambda: len(answers) >= enough)  # noqa: B023 -- it is waited for here
            own_server.restart("immediate")
        enough = len(answers) + 100
        until(lambda: len(answers) >= enough)
        done.set()
        for thread in threads:
            thread.join(timeout=60)
        recorded = {one.position: one.event for one in everything(ledger)}
        assert sorted(activated(everything(ledger))) == sorted(colleague(number).name for number in answers)
        for number, answer in answers.items():
            assert answer.took_seat
            assert recorded[answer.position].user.plain == colleague(number).name  # type: ignore[union-attr]
        assert license_now(ledger).seats_active == len(answers)


def _again_until_answered(ledger: Ledger, number: int) -> SeatAnswer:
    once = Once(key_hash=b"key-%d" % number, request_hash=b"activate")
    for _ in range(1_000):
        try:
            return ledger.seats.activate(LICENSE, user=colleague(number), caller=CLIENT, once=once)
        except UnavailableError:
            threading.Event().wait(0.05)
    pytest.fail("it was never answered")


def test_while_the_server_is_away_answers_come_soon_and_claim_nothing(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    """Nothing hangs: commands and reads fail within seconds, and all goes on when it is back."""
    with opened(database_on(own_server, tmp_path)) as ledger:
        issue(ledger, seats_max=5)
        own_server.stop("immediate")
        try:
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="Nothing was changed"):
                ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
            with pytest.raises(StoreError):
                ledger.head()
            assert time.monotonic() - began < 20
        finally:
            own_server.start()
        assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).position == 4
        assert ledger.head().position == 4


class ImpatientStore(PostgresStore):
    """A store that waits for a lock for a moment only."""

    def _connect(self) -> None:
        super()._connect()
        self._writer.execute("SET lock_timeout = '50ms'")


def test_a_head_held_by_another_for_long_is_unavailable_until_it_lets_go(postgres_path: Path) -> None:
    """Whoever holds the lock holds up the writer, not for ever and not for good."""
    store = ImpatientStore(url_of(postgres_path), readers_max=2)
    with opened(postgres_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=5)
        with psycopg.connect(url_of(postgres_path).text) as holder:
            holder.execute("SELECT 1 FROM head FOR UPDATE")
            with pytest.raises(UnavailableError, match="Nothing was changed"):
                ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
            assert ledger.head().position == 3
            holder.rollback()
            assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).took_seat


HOLD_THE_LOCK = """
import sys
import structlog
from pathlib import Path
from ledger.transaction import Work
from tests.integration.ledgers import license_now, opened
from tests.stories import ADA_SIGNS_IN, ADMIN, CLIENT, LICENSE

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

def hang(transaction):
    print("holding", flush=True)
    sys.stdin.readline()

with opened(Path(sys.argv[1])) as ledger:
    license_now(ledger)
    ledger.submit(Work(decide=hang, caller=ADMIN, writes_rows=True))
    print(ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).position, flush=True)
"""


def test_a_process_stopped_with_the_lock_holds_others_up_for_seconds(postgres_path: Path) -> None:
    """The server ends its transaction; woken, it finds its connection gone, and decides again on what is there now."""
    with opened(postgres_path) as ledger:
        issue(ledger, seats_max=5)
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD_THE_LOCK, str(postgres_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        assert ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT).position == 4
        assert 1 < time.monotonic() - began < 15
        os.kill(process.pid, signal.SIGCONT)
        # What it was about to commit was not committed, so that it is decided once more.
        process.stdin.write("\n\n")
        process.stdin.flush()
        assert process.stdout.readline() == "holding\n"
        assert process.stdout.readline() == "5\n"
        process.stdin.close()
        process.stdout.close()
        assert process.wait(timeout=30) == 0
        assert activated(everything(ledger)) == ["grace@navy.example", "Ada Lovelace"]


def test_a_decision_of_very_many_events_keeps_its_transaction(postgres_path: Path) -> None:
    """While it computes it shows that it is at work, so that the server does not end it like one that hangs."""
    half = [
        SeatActivated(seat_id=SeatId(f"seat-{n}"), user=Personal(of=f"seat-{n}", plain=f"User {n}"))
        for n in range(5_000)
    ]

    def decide(transaction: Transaction) -> int:
        transaction.rows.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '3s'")
        for _ in range(2):
            # Two thirds of what the server waits for.
            time.sleep(2)
            transaction.append(LICENSE, half)
        return transaction.license(LICENSE).version

    with opened(postgres_path) as ledger:
        issue(ledger, seats_max=10_000)
        before = license_now(ledger).version
        done = ledger.submit(Work(decide=decide, caller=CLIENT, licenses=(LICENSE,), writes_rows=True))
        assert done == before + 10_000
        assert license_now(ledger).version == done
