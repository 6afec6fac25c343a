"""The store on SQLite: what is on the disk is safe, and what is no ledger is refused in one line."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger.store import StoreCannotOpenError, StoreError
from ledger.store.sqlite import SqliteStore
from ledger.store.tables import SCHEMA_VERSION


def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    """WAL mode with `synchronous=FULL`, also on the connection that follows a failed one."""
    store = SqliteStore(tmp_path / "ledger.db")
    for _ in range(2):
        assert store.rows.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert store.rows.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        store.reconnect()
    store.close()


def test_positions_survive_a_dump_and_reload(tmp_path: Path) -> None:
    """They are a column of their own, and no hidden number of the row."""
    SqliteStore(tmp_path / "ledger.db").close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("INSERT INTO stored_events VALUES (7, 'a', 1, 't', x'00'), (9, 'a', 2, 't', x'00')")
    dump = "\n".join(connection.iterdump())
    with sqlite3.connect(tmp_path / "again.db") as again:
        again.executescript(dump)
    assert again.execute("SELECT position FROM stored_events ORDER BY 1").fetchall() == [(7,), (9,)]
    connection.close()
    again.close()


@pytest.mark.parametrize("content", [b"This is a letter to Grace.\n" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """One line says which file; not a byte of it is touched."""
    path = tmp_path / "letter.txt"
    path.write_bytes(content)
    with pytest.raises(StoreCannotOpenError, match=r"letter\.txt can't be opened: [^\n]+\.$"):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The file is made, its directory is not."""
    with pytest.raises(StoreCannotOpenError, match="can't be opened: unable to open database file"):
        SqliteStore(tmp_path / "nowhere" / "ledger.db")
    with pytest.raises(StoreCannotOpenError):
        SqliteStore(tmp_path)


@pytest.mark.parametrize(("version", "age"), [(SCHEMA_VERSION + 1, "newer"), (SCHEMA_VERSION - 1, "older")])
def test_another_schema_is_refused_and_left_alone(tmp_path: Path, version: int, age: str) -> None:
    """The line says whether the program or the ledger is the older one, and no table is added."""
    path = tmp_path / "ledger.db"
    SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE head SET schema_version = ?", (version,))
        connection.execute("DROP TABLE new_users")
    with pytest.raises(StoreCannotOpenError, match=rf"schema {version}, {age} than"):
        SqliteStore(path)
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE name = 'new_users'").fetchall()
    assert tables == []
    connection.close()


def test_many_open_a_new_file_at_once(tmp_path: Path) -> None:
    """One makes the schema, the others find it: all have the same ledger."""

    def open_it(_: int) -> str:
        store = SqliteStore(tmp_path / "ledger.db", readers_max=2)
        ledger_id = store.head().ledger_id
        store.close()
        return ledger_id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(open_it, range(16)))) == 1


_WRITES_ALL_THE_TIME = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
while True:
    connection.execute("BEGIN IMMEDIATE")
    print("locked", flush=True)
    time.sleep(0.4)
    connection.execute("COMMIT")
    time.sleep(0.01)
"""


def test_a_process_that_writes_all_the_time_lets_others_in(tmp_path: Path) -> None:
    """It lets the lock go for short moments only, and whoever waits meets one of the next."""
    store = SqliteStore(tmp_path / "ledger.db")
    waited: list[float] = []
    with subprocess.Popen(
        [sys.executable, "-c", _WRITES_ALL_THE_TIME, tmp_path / "ledger.db"], stdout=subprocess.PIPE
    ) as busy:
        try:
            assert busy.stdout is not None
            for _ in range(8):
                busy.stdout.readline()
                begun_at = time.monotonic()
                store.begin()
                waited.append(time.monotonic() - begun_at)
                store.rollback()
        finally:
            busy.kill()
    store.close()
    assert max(waited) < 2, waited


def test_nothing_stays_open_after_a_close(tmp_path: Path) -> None:
    """The last one out leaves one file, without the log beside it; closing twice is once."""
    store = SqliteStore(tmp_path / "ledger.db")
    store.head()
    store.close()
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db"]


def test_closing_waits_for_those_who_read(tmp_path: Path) -> None:
    """A connection closed under a reader would break the whole process; whoever comes later hears that it is closed."""
    store = SqliteStore(tmp_path / "ledger.db")
    outcomes: list[str] = []

    def read_on() -> None:
        try:
            while True:
                store.read_ledger(after=0, limit=10)
        except StoreError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=read_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    store.head()
    store.close()
    for thread in threads:
        thread.join(timeout=10)
    assert outcomes == ["the ledger's database is closed"] * 4
    with pytest.raises(StoreError, match="closed"):
        store.head()


@pytest.fixture
def shared_path() -> Iterator[Path]:
    """A directory that other users of the machine can reach."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


OPEN_AS_ANYBODY = """
import os, sys
from pathlib import Path
from ledger.store import StoreCannotOpenError
from ledger.store.sqlite import SqliteStore
if os.geteuid() == 0:  # to root nothing is read-only
    os.setgid(65534)
    os.setuid(65534)
try:
    SqliteStore(Path(sys.argv[1]))
except StoreCannotOpenError as error:
    print(error)
"""


@pytest.mark.parametrize("only", ["file", "directory"])
def test_what_is_read_only_is_refused(shared_path: Path, only: str) -> None:
    """A ledger that can't be written is no ledger; the line says so."""
    path = shared_path / "ledger.db"
    if only == "file":
        SqliteStore(path).close()
        path.chmod(0o444)
    else:
        shared_path.chmod(0o555)
    process = subprocess.run(
        [sys.executable, "-c", OPEN_AS_ANYBODY, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.stdout.startswith(f"The ledger's database {path} can't be opened: ")
    assert process.stdout.count("\n") == 1
    assert process.stderr == ""
