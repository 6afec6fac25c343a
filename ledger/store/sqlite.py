"""The store on SQLite: one file, WAL mode, `synchronous=FULL`: what is committed is on the disk."""

import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy
from eventsourcing.persistence import PersistenceError
from eventsourcing.sqlite import SQLiteCursor, SQLiteDatastore

from ledger.envelope import RecordedEvent
from ledger.license.holding import Holding
from ledger.store import (
    REMEMBERED_FOR,
    SECRET_NAMES,
    Appended,
    CounterKey,
    DirectoryEntry,
    DirectoryKey,
    Head,
    LicenseKey,
    RememberedAnswer,
    Rows,
    RowsAreRefusedError,
    Snapshot,
    StoreCannotOpenError,
    StoreError,
    head_of,
    holdings,
    recorded_of,
)
from ledger.store.file_jobs import FileJob
from ledger.store.recorder import PositionedSQLiteRecorder, values_of
from ledger.store.rows import rows_on
from ledger.store.tables import METADATA, SCHEMA_VERSION, SNAPSHOT_FORMAT, schema_is_wrong
from ledger.times import microseconds, moment, system_now

_LOCK_TIMEOUT_SECONDS: Final = 5
_ASKED_FOR_MILLISECONDS: Final = 20
_CACHE_KIBIBYTES: Final = 32_768
_CHECKPOINT_PAGES: Final = 4_000

T = TypeVar("T")


class SqliteStore:
    """The ledger in one SQLite file. One thread writes through it; any thread reads."""

    def __init__(self, path: Path, *, tables: Sequence[sqlalchemy.MetaData] = (), readers_max: int = 64) -> None:
        """Open the file, making it and its schema where they are missing.

        Raises:
            StoreCannotOpenError: the file can't be opened, is no database, or has another schema.
        """
        self._path = path
        self._metadata = (METADATA, *tables)
        self._datastore = SQLiteDatastore(
            str(path), pool_size=readers_max, max_overflow=readers_max, originator_id_type="text"
        )
        self._readers = _Readers()
        self._jobs: dict[str, FileJob] = {}
        self._jobs_lock = threading.Lock()
        self._recorder = PositionedSQLiteRecorder(self._datastore)
        self.reading: sqlalchemy.Engine = sqlalchemy.create_engine(
            sqlalchemy.URL.create("sqlite", database=str(path)),
            pool_size=readers_max,
            max_overflow=0,
            # What people sent stays out of errors, and so out of logs.
            hide_parameters=True,
        )
        try:
            self._connect()
            self._make_schema()
            self._secrets = self._read_secrets()
        except StoreCannotOpenError:
            self.close()
            raise
        except (sqlite3.Error, PersistenceError, sqlalchemy.exc.SQLAlchemyError) as error:
            reason = str(error.__cause__ or error).splitlines()[0]
            msg = f"The ledger's database {path} can't be opened: {reason}."
            raise StoreCannotOpenError(msg) from error

    # -- the writer's side ---------------------------------------------------------------------------------------------

    @property
    def rows(self) -> sqlalchemy.Connection:
        """The writer's connection, for rows beside the events."""
        return self._rows

    def begin(self) -> Head:
        """Lock the file for writing and read the head."""
        with _store_errors():
            self._lock()
            return head_of(self._writer.execute(_SELECT_HEAD).fetchone())

    def look(self) -> Head:
        """Read the head, and all else as it was then, while others may write."""
        with _store_errors():
            self._writer.execute("BEGIN")
            return head_of(self._writer.execute(_SELECT_HEAD).fetchone())

    def clock(self) -> datetime:
        """The machine's time: all processes on one file are on one machine."""
        return system_now()

    def stay(self) -> None:
        """SQLite ends no transaction by itself."""

    def commit(self) -> None:
        """Commit; with `synchronous=FULL` it returns when the disk has it."""
        with _store_errors():
            self._writer.execute("COMMIT")

    def rollback(self) -> None:
        """Undo what is open; a broken connection has nothing open."""
        try:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            return

    def savepoint(self) -> None:
        """Mark a place to return to."""
        with _store_errors():
            self._writer.execute("SAVEPOINT work")

    def undo_savepoint(self) -> None:
        """Return to the mark."""
        with _store_errors():
            self._writer.execute("ROLLBACK TO work")

    def reconnect(self) -> None:
        """Drop the writer's connection and make a new one."""
        self._disconnect()
        with _store_errors():
            self._connect()

    def appended_since(self, position: int, head: int) -> Appended:
        """What other processes appended after a position."""
        with _store_errors():
            streams = self._writer.execute(_SELECT_STREAMS_SINCE, (position,)).fetchall()
            stored = self._writer.execute(_SELECT_STORED_AT, (position, head)).fetchall()
            return Appended(streams={row[0] for row in streams}, stored=dict(stored))

    def events_of(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]:
        """The events of these streams after the given versions."""
        with _store_errors():
            return [
                recorded_of(row)
                for stream, version in streams.items()
                for row in self._writer.execute(_SELECT_STREAM, (stream, version, _VERSION_MAX))
            ]

    def snapshots_of(self, streams: Collection[str]) -> Sequence[Snapshot]:
        """The latest snapshots of these streams."""
        with _store_errors():
            asked = ((stream, self._writer.execute(_SELECT_SNAPSHOT, (stream, _VERSION_MAX))) for stream in streams)
            found = ((stream, rows.fetchone()) for stream, rows in asked)
            return [_snapshot_of(stream, row) for stream, row in found if row is not None]

    def directory(self, keys: Collection[DirectoryKey]) -> dict[DirectoryKey, DirectoryEntry]:
        """The seats of these users."""
        found = self._look_up("directory", ("license_id", "identity_hash"), ("seat_id", "named_version"), keys)
        return {(row[0], row[1]): DirectoryEntry(row[2], row[3]) for row in found}

    def licenses_of(self, keys: Collection[LicenseKey]) -> dict[LicenseKey, str]:
        """The licenses that have these keys."""
        found = self._look_up("license_keys", ("kind", "value"), ("license_id",), keys)
        return {(row[0], row[1]): row[2] for row in found}

    def licenses_held(self, holdings: Collection[Holding], *, limit: int) -> dict[Holding, tuple[str, ...]]:
        """The licenses that these customers hold of these products."""
        with _store_errors():
            found = {one: self._writer.execute(_SELECT_HELD, (*one, limit)).fetchall() for one in holdings}
        return {one: tuple(row[0] for row in rows) for one, rows in found.items() if rows}

    def remembered(self, key_hashes: Collection[bytes]) -> dict[bytes, RememberedAnswer]:
        """The answers given to these Idempotency-Keys."""
        found = self._look_up(
            "idempotency",
            ("key_hash",),
            ("request_hash", "answer", "answered_at_microseconds"),
            [(key_hash,) for key_hash in key_hashes],
        )
        return {
            row[0]: RememberedAnswer(request_hash=row[1], answer=row[2], answered_at=moment(row[3])) for row in found
        }

    def new_users(self, counters: Collection[CounterKey]) -> dict[CounterKey, int]:
        """How many new users these keys brought in these hours."""
        found = self._look_up("new_users", ("key_id", "hour"), ("users",), counters)
        return {(row[0], row[1]): row[2] for row in found}

    def write(self, rows: Rows, head: Head) -> None:
        """Insert a batch and move the head."""
        with _store_errors():
            self._insert_events(rows)
            self._insert_rows(rows)
            self._forget_old(rows, head)
            self._writer.execute(
                "UPDATE head SET position = ?, recorded_at_microseconds = ?",
                (head.position, microseconds(head.recorded_at)),
            )

    def secret(self, name: str) -> bytes:
        """A random key of 32 bytes, made with the schema."""
        return self._secrets[name]

    # -- the readers' side ---------------------------------------------------------------------------------------------

    def head(self) -> Head:
        """The end of the ledger as readers see it."""
        with self._reader() as cursor:
            cursor.execute(_SELECT_HEAD)
            return head_of(cursor.fetchone())

    def read_stream(self, stream: str, *, after: int = 0, up_to: int | None = None) -> Sequence[RecordedEvent]:
        """Events of a stream by version."""
        with self._reader() as cursor:
            cursor.execute(_SELECT_STREAM, (stream, after, _VERSION_MAX if up_to is None else up_to))
            return [recorded_of(row) for row in cursor.fetchall()]

    def version_of(self, stream: str) -> int:
        """The latest version of a stream; 0 if there is none."""
        with self._reader() as cursor:
            cursor.execute("SELECT MAX(originator_version) FROM stored_events WHERE originator_id = ?", (stream,))
            return cursor.fetchone()[0] or 0

    def read_ledger(self, *, after: int, limit: int) -> Sequence[RecordedEvent]:
        """Events of the whole ledger by position."""
        with self._reader() as cursor:
            cursor.execute(_SELECT_LEDGER, (after, limit))
            return [recorded_of(row) for row in cursor.sqlite_cursor]

    def snapshot_before(self, stream: str, *, version: int | None = None) -> Snapshot | None:
        """The latest snapshot at or before a version."""
        with self._reader() as cursor:
            cursor.execute(_SELECT_SNAPSHOT, (stream, _VERSION_MAX if version is None else version))
            row = cursor.fetchone()
        return None if row is None else _snapshot_of(stream, row)

    # -- between processes ---------------------------------------------------------------------------------------------

    def on_append(self, callback: Callable[[], None]) -> bool:  # noqa: ARG002 -- SQLite tells nobody
        """SQLite does not tell: poll the head."""
        return False

    def elect(self, job: str, holder: str, *, seconds: float) -> int | None:  # noqa: ARG002 -- a file's lock needs no time
        """Take or keep a job by locking a file, which the system undoes with the process."""
        with self._jobs_lock:
            return self._jobs.setdefault(job, FileJob(self._path.with_name(f"{self._path.name}.{job}-lock"))).take(
                holder
            )

    def resign(self, job: str, holder: str) -> None:
        """Let another process have a job."""
        with self._jobs_lock:
            if job in self._jobs:
                self._jobs[job].leave(holder)

    def close(self) -> None:
        """Close every connection."""
        self._disconnect()
        for job in self._jobs.values():
            job.close()
        if self._readers.close():
            self._datastore.close()
        self.reading.dispose()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        writer = sqlite3.connect(
            self._path, timeout=_LOCK_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            writer.execute("PRAGMA journal_mode=WAL")
            writer.execute("PRAGMA synchronous=FULL")
            # Users' places in the directory are random, so that a larger share of its pages is written once for many.
            writer.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
            writer.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            rows = rows_on(writer, dialect="sqlite://")
        except BaseException:
            writer.close()
            raise
        # Only a connection that is whole takes the place of the one before: half of one would write without the rows.
        self._writer, self._rows = writer, rows

    def _lock(self) -> None:
        """Wait for the lock of the file, and ask for it often.

        SQLite asks ever more rarely, at last ten times a second, and so misses the short moments in which a process
        that writes one thing after the other lets it go. A new wait begins with the short pauses.
        """
        deadline = time.monotonic() + _LOCK_TIMEOUT_SECONDS
        self._writer.execute(f"PRAGMA busy_timeout={_ASKED_FOR_MILLISECONDS}")
        try:
            while not self._locks_now():
                if time.monotonic() > deadline:
                    raise StoreError(f"another process has the lock of the file for {_LOCK_TIMEOUT_SECONDS} seconds")
        finally:
            self._writer.execute(f"PRAGMA busy_timeout={_LOCK_TIMEOUT_SECONDS * 1_000}")

    def _locks_now(self) -> bool:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    def _disconnect(self) -> None:
        try:
            self._writer.close()
        except sqlite3.Error:
            return

    def _make_schema(self) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            self._recorder._create_table(SQLiteCursor(self._writer.cursor()))  # noqa: SLF001 -- inside our transaction, so that two processes can start at once
            holdings_missing = holdings.is_missing(self._rows)
            for metadata in self._metadata:
                metadata.create_all(self._rows)
            self._check_schema()
            if holdings_missing:
                recorded = self._writer.execute(_SELECT_TYPES, holdings.TYPES)
                holdings.fill(self._rows, map(recorded_of, recorded))
            self._writer.execute("COMMIT")
        except BaseException:
            self.rollback()
            raise

    def _check_schema(self) -> None:
        row = self._writer.execute("SELECT schema_version FROM head").fetchone()
        if row is None:
            self._writer.execute("INSERT INTO head VALUES (1, ?, ?, 0, 0)", (SCHEMA_VERSION, str(uuid.uuid4())))
            made = [(name, secrets.token_bytes(32)) for name in SECRET_NAMES]
            self._writer.executemany("INSERT INTO secrets (name, value) VALUES (?, ?)", made)
        elif row[0] != SCHEMA_VERSION:
            raise StoreCannotOpenError(schema_is_wrong(str(self._path), row[0]))

    def _read_secrets(self) -> dict[str, bytes]:
        return dict(self._writer.execute("SELECT name, value FROM secrets").fetchall())

    def _look_up(
        self, table: str, key: tuple[str, ...], columns: tuple[str, ...], keys: Collection[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        with _store_errors():
            found: list[tuple[Any, ...]] = []
            for block in _blocks(list(keys)):
                found += self._writer.execute(_select_by_keys(table, key, columns, len(block)), [*chain(*block)])
            return found

    def _insert_events(self, rows: Rows) -> None:
        for block in _blocks(rows.events):
            self._writer.execute(self._recorder.insert_positioned(len(block)), [*chain(*block)])

    def _insert_rows(self, rows: Rows) -> None:
        self._put(
            "directory",
            ("license_id", "identity_hash", "seat_id", "named_version"),
            [(*key, entry.seat_id, entry.named_version) for key, entry in rows.directory.items()],
        )
        self._put(
            "license_keys",
            ("kind", "value", "license_id"),
            [(*key, license_id) for key, license_id in rows.license_keys.items()],
            verb="INSERT",
        )
        self._put(
            "license_keys",
            ("kind", "value", "license_id"),
            [(*key, license_id) for key, license_id in rows.moved_keys.items()],
        )
        self._put(
            "holdings",
            ("customer_id", "product", "license_id"),
            [(*holding, license_id) for holding, license_id in rows.holdings],
        )
        self._put(
            "idempotency",
            ("key_hash", "request_hash", "answer", "answered_at_microseconds"),
            [
                (key_hash, answer.request_hash, answer.answer, microseconds(answer.answered_at))
                for key_hash, answer in rows.answers.items()
            ],
        )
        self._put(
            "new_users",
            ("key_id", "hour", "users"),
            [(*counter, users) for counter, users in rows.new_users.items()],
        )

    def _forget_old(self, rows: Rows, head: Head) -> None:
        """Drop what nobody asks for any more, some at a time, so that no batch waits for a long one."""
        if rows.answers:
            self._writer.execute(_DELETE_ANSWERS, (microseconds(head.recorded_at - REMEMBERED_FOR), _FORGOTTEN_MAX))
        self._writer.executemany("DELETE FROM new_users WHERE key_id = ? AND hour < ?", list(rows.new_users))

    def _put(
        self, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]], *, verb: str = "INSERT OR REPLACE"
    ) -> None:
        for block in _blocks(rows):
            self._writer.execute(_insert(verb, table, columns, len(block)), [*chain(*block)])

    @contextmanager
    def _reader(self) -> Iterator[SQLiteCursor]:
        with _store_errors(), self._readers.one_more(), self._datastore.transaction(commit=False) as cursor:
            yield cursor


class _Readers:
    """Who reads just now: a connection that is in use must not be closed, or SQLite breaks the whole process."""

    def __init__(self) -> None:
        self._count = 0
        self._closed = False
        self._none = threading.Condition()

    @contextmanager
    def one_more(self) -> Iterator[None]:
        with self._none:
            if self._closed:
                msg = "the ledger's database is closed"
                raise StoreError(msg)
            self._count += 1
        try:
            yield
        finally:
            with self._none:
                self._count -= 1
                self._none.notify_all()

    def close(self) -> bool:
        """Let nobody in any more; whether all went in time."""
        with self._none:
            self._closed = True
            return self._none.wait_for(lambda: not self._count, timeout=_LOCK_TIMEOUT_SECONDS)


_BLOCK_MAX: Final = 128


def _blocks(rows: list[T]) -> Iterator[list[T]]:
    """The rows in blocks of 128, 64, … 1: one statement for many, and few different statements.

    Each step of a statement lets another thread run in the meantime, and then has to wait for it.
    """
    begin = 0
    while begin < len(rows):
        size = min(_BLOCK_MAX, 1 << ((len(rows) - begin).bit_length() - 1))
        yield rows[begin : begin + size]
        begin += size


@cache
def _select_by_keys(table: str, key: tuple[str, ...], columns: tuple[str, ...], count: int) -> str:
    values = values_of(count, len(key))
    matches = " AND ".join(f"{name} = wanted.column{number}" for number, name in enumerate(key, 1))
    # A join, since SQLite would read the whole table for a list of pairs.
    return f"SELECT {', '.join((*key, *columns))} FROM ({values}) AS wanted CROSS JOIN {table} ON {matches}"  # noqa: S608 -- own names


@cache
def _insert(verb: str, table: str, columns: tuple[str, ...], count: int) -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) {values_of(count, len(columns))}"


_VERSION_MAX: Final = 2**53
_FORGOTTEN_MAX: Final = 1_000
_DELETE_ANSWERS: Final = (
    "DELETE FROM idempotency WHERE key_hash IN"
    " (SELECT key_hash FROM idempotency WHERE answered_at_microseconds < ? LIMIT ?)"
)
_SELECT_STREAMS_SINCE: Final = "SELECT DISTINCT originator_id FROM stored_events WHERE position > ?"
_SELECT_STORED_AT: Final = "SELECT position, state FROM stored_events WHERE position IN (?, ?)"
_SELECT_HEAD: Final = "SELECT ledger_id, position, recorded_at_microseconds FROM head"
_SELECT_LEDGER: Final = (
    "SELECT position, originator_id, originator_version, topic, state FROM stored_events"
    " WHERE position > ? ORDER BY position LIMIT ?"
)
_SELECT_TYPES: Final = (
    "SELECT position, originator_id, originator_version, topic, state FROM stored_events"
    " WHERE topic IN (?, ?, ?) ORDER BY position"
)
_SELECT_SNAPSHOT: Final = (
    "SELECT version, position, state FROM snapshots WHERE stream = ? AND version <= ?"  # noqa: S608 -- a number
    f" AND format = {SNAPSHOT_FORMAT} ORDER BY version DESC LIMIT 1"
)
_SELECT_HELD: Final = (
    "SELECT license_id FROM holdings WHERE customer_id = ? AND product = ? ORDER BY license_id LIMIT ?"
)
_SELECT_STREAM: Final = (
    "SELECT position, originator_id, originator_version, topic, state FROM stored_events"
    " WHERE originator_id = ? AND originator_version > ? AND originator_version <= ? ORDER BY originator_version"
)


def _snapshot_of(stream: str, row: tuple[int, int, bytes]) -> Snapshot:
    return Snapshot(stream=stream, version=row[0], position=row[1], state=row[2])


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.DataError) as error:
        raise RowsAreRefusedError(str(error)) from error
    except (sqlite3.Error, PersistenceError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise StoreError(str(error)) from error
