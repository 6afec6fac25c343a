"""A database that fails: no answer claims what is not so, nothing is lost or done twice, and it goes on when it can."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy

from ledger.envelope import EventTypeIsUnknownError
from ledger.errors import UnavailableError
from ledger.ledger import Ledger
from ledger.license.events import KeyKind
from ledger.seats import Once, SeatAnswer
from ledger.store import Head, Rows, StoreCannotOpenError, StoreError
from ledger.store.sqlite import SqliteStore
from ledger.store.tables import NEW_USERS
from ledger.transaction import Transaction, Work
from ledger.writer import HeadWentBackError
from tests.integration.ledgers import activated, at_once, everything, issue, license_now, opened, rows_of
from tests.stories import (
    ADA_SIGNS_IN,
    ADMIN,
    AGREEMENT,
    CLIENT,
    GRACE_SIGNS_IN,
    IDENTIFIED_BY_AGREEMENT,
    KATHERINE_SIGNS_IN,
    LICENSE,
    OTHER_LICENSE,
    Clock,
    colleague,
)

FOREVER: Final = 1_000


class FailingStore(SqliteStore):
    """A database on a machine that can be told to fail: how many of the next begins, writes and commits do.

    Attributes:
        begins_failing: the lock can't be had.
        writes_failing: an insert fails.
        commits_lost: the connection breaks before the commit took place.
        commits_unheard: the connection breaks after the commit took place.
        pages_max: how large the file may grow, as SQLite itself counts it; 0 is no limit.
        lock_timeout_milliseconds: how long the lock is waited for.
        before_reconnecting: happens once, between a failure and the next connection.
    """

    begins_failing = 0
    writes_failing = 0
    commits_lost = 0
    commits_unheard = 0
    pages_max = 0
    lock_timeout_milliseconds = 5_000
    before_reconnecting: Callable[[], object] | None = None

    def begin(self) -> Head:
        """Lock, or fail to."""
        if self.begins_failing:
            self.begins_failing -= 1
            raise StoreError("no lock")
        return super().begin()

    def write(self, rows: Rows, head: Head) -> None:
        """Write, or fail halfway."""
        super().write(rows, head)
        if self.writes_failing:
            self.writes_failing -= 1
            raise StoreError("no room")

    def commit(self) -> None:
        """Commit, or break before or after it."""
        if self.commits_lost:
            self.commits_lost -= 1
            self.reconnect()
            raise StoreError("the connection broke")
        super().commit()
        if self.commits_unheard:
            self.commits_unheard -= 1
            self.reconnect()
            raise StoreError("the connection broke")

    def reconnect(self) -> None:
        """Let happen what happens in between, then connect."""
        happening, self.before_reconnecting = self.before_reconnecting, None
        if happening is not None:
            happening()
        super().reconnect()

    def go_away(self) -> None:
        """Answer nothing from now on."""
        self.begins_failing = FOREVER

    def let_grow(self, *, pages: int) -> None:
        """Let the file grow by this many pages from now on, on this connection and on those that follow."""
        page_count = self.rows.exec_driver_sql("PRAGMA page_count").scalar_one()
        self.pages_max = page_count + pages
        self._limit()

    def _connect(self) -> None:
        super()._connect()
        self._limit()

    def _limit(self) -> None:
        self._writer.execute(f"PRAGMA busy_timeout = {self.lock_timeout_milliseconds}")
        if self.pages_max:
            self._writer.execute(f"PRAGMA max_page_count = {self.pages_max}")


@pytest.fixture
def store(tmp_path: Path) -> FailingStore:
    """A store that works until told otherwise."""
    return FailingStore(tmp_path / "ledger.db")


def test_a_database_that_fails_for_a_moment_is_tried_again(store: FailingStore, tmp_path: Path) -> None:
    """The caller hears of nothing but success, and it is recorded once."""
    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=5)
        store.begins_failing = 1
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        store.writes_failing = 2
        ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        assert activated(everything(ledger)) == ["Ada Lovelace", "grace@navy.example"]


def test_a_database_that_stays_away_is_said_to_be_unavailable(store: FailingStore, tmp_path: Path) -> None:
    """After a few tries everybody who waits is told that nothing was changed; when it is back, it goes on."""
    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=5)
        store.writes_failing = FOREVER
        with pytest.raises(UnavailableError, match="Nothing was changed"):
            ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        store.writes_failing = 0
        assert activated(everything(ledger)) == []
        assert license_now(ledger).seats_active == 0
        assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).took_seat


def test_a_commit_that_took_place_though_it_was_not_heard_of_is_found(store: FailingStore, tmp_path: Path) -> None:
    """The ledger is looked at: the events are there, so the first answer is the right one and nothing is done twice."""
    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=5)
        store.commits_unheard = 1
        answer = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert answer.took_seat
        assert answer.position == 4
        assert activated(everything(ledger)) == ["Ada Lovelace"]
        assert ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT).position == 5


def test_a_commit_that_did_not_take_place_is_made_again(store: FailingStore, tmp_path: Path) -> None:
    """The ledger is looked at: nothing is there, so it is decided again."""
    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=5)
        store.commits_lost = 1
        answer = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert (answer.took_seat, answer.position) == (True, 4)
        assert activated(everything(ledger)) == ["Ada Lovelace"]


def test_many_callers_survive_commits_that_fail_in_either_way(store: FailingStore, tmp_path: Path) -> None:
    """Lost and unheard commits in turn: everybody gets the seat that the events tell of, once."""
    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=64)

        def activate(number: int) -> SeatAnswer:
            if number % 8 == 0:
                store.commits_lost = 1
            if number % 8 == 4:
                store.commits_unheard = 1
            return ledger.seats.activate(LICENSE, user=colleague(number), caller=CLIENT)

        answers = at_once(*[partial(activate, number) for number in range(64)])
        assert [answer for answer in answers if not isinstance(answer, SeatAnswer)] == []
        recorded = everything(ledger)
        assert len(activated(recorded)) == len(set(activated(recorded))) == 64
        positions = {answer.seat.user: answer.position for answer in answers if isinstance(answer, SeatAnswer)}
        places = dict(zip(activated(recorded), [one.position for one in recorded[3:]], strict=True))
        assert positions == places


def test_another_process_that_wrote_in_between_does_not_hide_what_took_place(
    store: FailingStore, tmp_path: Path
) -> None:
    """After an unheard commit another process appends first: both are seen, and the states are right."""
    with opened(tmp_path, open_store=lambda _: store) as ledger, opened(tmp_path / "ledger.db") as other:
        issue(ledger, seats_max=5)
        store.commits_unheard = 1
        store.before_reconnecting = partial(other.seats.activate, LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert activated(everything(ledger)) == ["Ada Lovelace", "grace@navy.example"]
        assert license_now(ledger).seats_active == 2
        assert license_now(ledger) == license_now(other)


def test_a_commit_of_unknown_outcome_is_said_to_be_one(store: FailingStore, tmp_path: Path) -> None:
    """When the database can't even be looked at, the answer doesn't claim that nothing was changed."""
    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=5)
        store.commits_unheard = 1
        store.before_reconnecting = store.go_away
        with pytest.raises(UnavailableError, match="not known"):
            ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        store.begins_failing = 0
        assert not ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).took_seat
        assert activated(everything(ledger)) == ["Ada Lovelace"]


def test_a_repeated_idempotency_key_finds_out_what_became_of_an_unknown_outcome(
    store: FailingStore, tmp_path: Path
) -> None:
    """Sent again with its key, the command gets the answer that the first one would have had."""
    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=5)
        once = Once(key_hash=b"key", request_hash=b"request")
        store.commits_unheard = 1
        store.before_reconnecting = store.go_away
        with pytest.raises(UnavailableError):
            ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=once)
        store.begins_failing = 0
        assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=once).took_seat


def test_a_full_disk_changes_nothing_and_is_gone_when_there_is_room(store: FailingStore, tmp_path: Path) -> None:
    """SQLite's own SQLITE_FULL, at the insert or at the commit: 503, then it goes on, and nothing was half written."""
    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=1_000)
        store.let_grow(pages=1)
        took = list(_activate_while_there_is_room(ledger))
        assert 0 < len(took) < 1_000
        with pytest.raises(UnavailableError, match="Nothing was changed"):
            ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert ledger.seats.access(LICENSE, user=colleague(0), caller=CLIENT).code == "ALLOWED"
        store.pages_max = 0
        store.rows.exec_driver_sql("PRAGMA max_page_count = 1000000")
        assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).took_seat
        assert activated(everything(ledger)) == [*took, "Ada Lovelace"]
        assert license_now(ledger).seats_active == len(took) + 1


def _activate_while_there_is_room(ledger: Ledger) -> Iterator[str]:
    for number in range(1_000):
        try:
            yield ledger.seats.activate(LICENSE, user=colleague(number), caller=CLIENT).seat.user
        except UnavailableError:
            return


def test_rows_that_find_no_room_are_unavailable_too(store: FailingStore, tmp_path: Path) -> None:
    """A decision that writes rows itself meets the full disk first; its caller hears the same as all others."""

    def decide(transaction: Transaction) -> None:
        rows = [{"key_id": f"key-{number}" * 100, "hour": 1, "users": 1} for number in range(1_000)]
        transaction.rows.execute(sqlalchemy.insert(NEW_USERS), rows)

    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=1)
        store.let_grow(pages=1)
        # Pages are taken from the file while the statement runs.
        with pytest.raises(UnavailableError):
            ledger.submit(Work(decide=decide, caller=ADMIN, writes_rows=True))
        assert rows_of(ledger, "SELECT COUNT(*) FROM new_users") == [(0,)]
        store.pages_max = 0
        store.rows.exec_driver_sql("PRAGMA max_page_count = 1000000")
        ledger.submit(Work(decide=decide, caller=ADMIN, writes_rows=True))
        assert rows_of(ledger, "SELECT COUNT(*) FROM new_users") == [(1_000,)]


def test_a_database_held_by_another_for_long_is_unavailable_until_it_lets_go(
    store: FailingStore, tmp_path: Path
) -> None:
    """Whoever holds the lock holds up the writer, not for ever and not for good."""
    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=5)
        store.lock_timeout_milliseconds = 1
        store.reconnect()
        holder = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="Nothing was changed"):
            ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        holder.execute("ROLLBACK")
        holder.close()
        assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).took_seat


def test_a_connection_that_opens_by_half_is_not_used(store: FailingStore, tmp_path: Path) -> None:
    """If the new connection breaks while it is set up, the next try makes another, and rows go on being written."""
    with opened(tmp_path, open_store=lambda _: store) as ledger:
        issue(ledger, seats_max=5)
        path, store._path = store._path, tmp_path  # noqa: SLF001 -- a directory can't be opened
        with pytest.raises(StoreError):
            store.reconnect()
        store._path = path  # noqa: SLF001 -- the file is there again
        assert ledger.keys.all() == []
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        ledger.submit(
            Work(
                decide=lambda transaction: (
                    transaction.rows.execute(
                        sqlalchemy.insert(NEW_USERS).values(key_id="key", hour=1, users=1)
                    ).rowcount
                ),
                caller=ADMIN,
                writes_rows=True,
            )
        )
        assert rows_of(ledger, "SELECT users FROM new_users") == [(1,)]


def test_a_head_that_went_back_stops_the_process(tmp_path: Path) -> None:
    """An older copy was put in the file's place: this process has answered for what is gone, so it stops."""
    told: list[Exception] = []
    path = tmp_path / "ledger.db"
    with opened(path, on_fatal=told.append) as ledger:
        issue(ledger, seats_max=5)
        with sqlite3.connect(path) as source, sqlite3.connect(tmp_path / "backup.db") as backup:
            source.backup(backup)
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        with sqlite3.connect(path) as restored, sqlite3.connect(tmp_path / "backup.db") as backup:
            backup.backup(restored)
        for _ in range(2):
            with pytest.raises(UnavailableError):
                ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        assert [type(error) for error in told] == [HeadWentBackError]
        assert "older copy" in str(told[0])
    source.close()
    backup.close()
    restored.close()
    with opened(path) as again:
        assert again.head().position == 3
        assert again.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT).position == 4


def test_a_writer_that_meets_an_unknown_type_stops(tmp_path: Path) -> None:
    """Another process is newer and wrote what this one can't judge by: it stops, and refuses from then on."""
    told: list[Exception] = []
    path = tmp_path / "ledger.db"
    with opened(path, on_fatal=told.append) as ledger, opened(path) as newer:
        issue(ledger, seats_max=5)
        newer.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        _rename_type(path, was="license.seat-activated", became="license.seat-lent")
        with pytest.raises(UnavailableError):
            ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        assert [type(error) for error in told] == [EventTypeIsUnknownError]
        with pytest.raises(UnavailableError):
            ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
    with opened(path, on_fatal=told.append) as cold:
        with pytest.raises(UnavailableError):
            cold.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        assert [type(error) for error in told] == [EventTypeIsUnknownError] * 2


def _rename_type(path: Path, *, was: str, became: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE stored_events SET topic = ?, state = CAST(REPLACE(CAST(state AS TEXT), ?, ?) AS BLOB)"
            " WHERE topic = ?",
            (became, was, became, was),
        )
    connection.close()


def test_one_damaged_license_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """Whoever asks for the edited license is told of an error of ours; the next license is served as ever."""
    path = tmp_path / "ledger.db"
    with opened(path) as ledger:
        issue(ledger, seats_max=5)
        issue(ledger, seats_max=5, license_id=OTHER_LICENSE, names=((KeyKind.AGREEMENT, "agmt-other"),))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE stored_events SET originator_version = 9 WHERE position = 3")
    connection.close()
    with opened(path) as ledger:
        with pytest.raises(Exception, match="edited or damaged"):
            ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert ledger.seats.activate(OTHER_LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).took_seat


def test_a_key_that_another_license_has_is_refused_for_that_command_alone(tmp_path: Path) -> None:
    """A decision that forgot to look the key up is refused; whoever waited with it is served."""
    with opened(tmp_path / "ledger.db") as ledger:
        issue(ledger, seats_max=5)
        issue(ledger, seats_max=5, license_id=OTHER_LICENSE, names=())

        def claim(transaction: Transaction) -> None:
            transaction.append(OTHER_LICENSE, [IDENTIFIED_BY_AGREEMENT])

        answers = at_once(
            lambda: ledger.submit(Work(decide=claim, caller=ADMIN, licenses=(OTHER_LICENSE,))),
            *[partial(ledger.seats.activate, LICENSE, user=colleague(n), caller=CLIENT) for n in range(4)],
        )
        assert type(answers[0]).__name__ == "KeyIsClaimedError"
        assert all(isinstance(answer, SeatAnswer) for answer in answers[1:])
        assert rows_of(ledger, "SELECT license_id FROM license_keys WHERE value = :value", value=AGREEMENT[1]) == [
            (LICENSE,)
        ]


def test_a_seat_is_found_though_the_work_did_not_say_that_it_would_look(tmp_path: Path) -> None:
    """Forgetting to announce a look-up costs time, not a second seat for one user."""
    with opened(tmp_path / "ledger.db") as ledger:
        issue(ledger, seats_max=5)
        seat_id = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).seat.seat_id
        found = ledger.submit(Work(decide=lambda transaction: transaction.seat_of(LICENSE, ADA_SIGNS_IN), caller=ADMIN))
        assert found == seat_id
        owner = ledger.submit(Work(decide=lambda transaction: transaction.license_of(*AGREEMENT), caller=ADMIN))
        assert owner == LICENSE


def test_a_ledger_that_was_copied_goes_on_by_itself(tmp_path: Path) -> None:
    """A backup of the closed file is a whole ledger: the same id, the same states, the same next position."""
    with opened(tmp_path / "ledger.db") as ledger:
        issue(ledger, seats_max=5)
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        state = license_now(ledger)
    shutil.copy(tmp_path / "ledger.db", tmp_path / "copy.db")
    with opened(tmp_path / "copy.db") as copy:
        assert license_now(copy) == state
        assert copy.seats.activate(LICENSE, user=KATHERINE_SIGNS_IN, caller=CLIENT).position == 5


def test_a_ledger_that_cannot_be_opened_says_so_before_anything_starts(tmp_path: Path) -> None:
    """No thread is left behind by a ledger that did not come to be."""
    (tmp_path / "ledger.db").write_text("no database", encoding="utf-8")
    with pytest.raises(StoreCannotOpenError):
        Ledger(SqliteStore(tmp_path / "ledger.db"), now=Clock())
