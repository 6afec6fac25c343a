"""What SQLite's files add to the failures: a full disk, a file that another holds, a connection opened by half."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from ledger.errors import UnavailableError
from ledger.ledger import Ledger
from ledger.store import StoreCannotOpenError, StoreError
from ledger.store.sqlite import SqliteStore
from ledger.store.tables import NEW_USERS
from ledger.transaction import Transaction, Work
from tests.integration.ledgers import activated, everything, issue, license_now, opened, rows_of
from tests.stories import ADA_SIGNS_IN, ADMIN, CLIENT, LICENSE, Clock, colleague


class LimitedStore(SqliteStore):
    """A store whose file and whose patience have limits.

    Attributes:
        pages_max: how large the file may grow, as SQLite itself counts it; 0 is no limit.
        lock_timeout_milliseconds: how long the lock is waited for.
    """

    pages_max = 0
    lock_timeout_milliseconds = 5_000

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
def store(tmp_path: Path) -> LimitedStore:
    """A store without limits until told otherwise."""
    return LimitedStore(tmp_path / "ledger.db")


def test_a_full_disk_changes_nothing_and_is_gone_when_there_is_room(store: LimitedStore, tmp_path: Path) -> None:
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


def test_rows_that_find_no_room_are_unavailable_too(store: LimitedStore, tmp_path: Path) -> None:
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
    store: LimitedStore, tmp_path: Path
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


def test_a_connection_that_opens_by_half_is_not_used(store: LimitedStore, tmp_path: Path) -> None:
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


def test_a_ledger_that_cannot_be_opened_says_so_before_anything_starts(tmp_path: Path) -> None:
    """No thread is left behind by a ledger that did not come to be."""
    (tmp_path / "ledger.db").write_text("no database", encoding="utf-8")
    with pytest.raises(StoreCannotOpenError):
        Ledger(SqliteStore(tmp_path / "ledger.db"), now=Clock())
