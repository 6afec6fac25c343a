"""The store on PostgreSQL: the head's row is the append lock, and the database's clock the clock of decisions."""

import secrets
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import psycopg
import sqlalchemy
import structlog
from eventsourcing.persistence import PersistenceError
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

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
from ledger.store.postgres_connections import Connection, connect, engine, reason_of
from ledger.store.postgres_recorder import PositionedPostgresRecorder, UrlDatastore
from ledger.store.rows import rows_on
from ledger.store.tables import METADATA, SCHEMA_VERSION, SNAPSHOT_FORMAT, schema_is_wrong
from ledger.store.url import DatabaseUrl
from ledger.times import microseconds, moment

CHANNEL: Final = "licensing_ledger"
READERS_MAX: Final = 6

_ANY_NUMBER: Final = 2**53
_FORGOTTEN_MAX: Final = 1_000
_LISTEN_SECONDS: Final = 1.0
_LISTEN_AGAIN_SECONDS: Final = 1.0
# Of the key "licensing-ledger": two processes may make the schema at once.
_SCHEMA_LOCK: Final = 7_017_280_452_180_297_001

_LOGGER: Final = structlog.get_logger(__name__)

_Statement: TypeAlias = tuple[str, Sequence[Any]]


class PostgresStore:
    """The ledger in one PostgreSQL database. One thread writes through it; any thread reads."""

    def __init__(
        self, url: DatabaseUrl, *, tables: Sequence[sqlalchemy.MetaData] = (), readers_max: int = READERS_MAX
    ) -> None:
        """Connect, making the schema where it is missing.

        Raises:
            StoreCannotOpenError: the database can't be reached or used, would not keep what it commits, or has another
                schema.
        """
        self._url = url
        self._metadata = (METADATA, *tables)
        self._locked_at, self._locked_monotonic = moment(0), 0.0
        self._closing = threading.Event()
        self._listening: threading.Thread | None = None
        self._callbacks: list[Callable[[], None]] = []
        self.reading: sqlalchemy.Engine = engine(url, purpose="rows", pool_size=readers_max, autocommit=True)
        # What can't be used is left as it was met, without a connection of ours.
        with _cannot_open(url), ExitStack() as undone:
            self._connect()
            undone.callback(self._disconnect)
            schema = _named(self._writer.execute("SELECT current_schema()").fetchone())
            if schema is None:
                raise StoreError("it has no schema of the search path, or none that this role may use")
            self._datastore = UrlDatastore(url, schema=schema, connections_max=readers_max)
            undone.callback(self._datastore.close)
            self._recorder = PositionedPostgresRecorder(self._datastore)
            self._make_schema()
            self._secrets: dict[str, bytes] = dict(self._writer.execute("SELECT name, value FROM secrets").fetchall())
            undone.pop_all()

    # -- the writer's side ---------------------------------------------------------------------------------------------

    @property
    def rows(self) -> sqlalchemy.Connection:
        """The writer's connection, for rows beside the events."""
        return self._rows

    def begin(self) -> Head:
        """Lock the head's row and read it and the clock, in one round trip."""
        return self._begin(_BEGIN)

    def look(self) -> Head:
        """Read the head and the clock, and all else as it was then, while others may write."""
        return self._begin(_LOOK)

    def _begin(self, statements: str) -> Head:
        with _store_errors():
            found = self._writer.execute(statements, prepare=False)
            found.nextset()
            ledger_id, position, recorded_at, locked_at = found.fetchone() or _no_head()
            self._locked_at, self._locked_monotonic = moment(locked_at), time.monotonic()
            return head_of((ledger_id, position, recorded_at))

    def clock(self) -> datetime:
        """The database's time, so that it is one for all processes; asked under the lock."""
        return self._locked_at + timedelta(seconds=time.monotonic() - self._locked_monotonic)

    def stay(self) -> None:
        """Begin the server's waiting for this session anew."""
        with _store_errors():
            self._writer.execute("SELECT", prepare=False)

    def commit(self) -> None:
        """Commit; with `synchronous_commit` on it returns when the server's disk has it."""
        with _store_errors():
            told = self._writer.execute("COMMIT", prepare=False).statusmessage
            if told != "COMMIT":
                raise StoreError(f"the server answered {told} to COMMIT")

    def rollback(self) -> None:
        """Undo what is open; a broken connection has nothing open."""
        try:
            if self._writer.info.transaction_status is not TransactionStatus.IDLE:
                self._writer.execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            return

    def savepoint(self) -> None:
        """Mark a place to return to."""
        with _store_errors():
            self._writer.execute("SAVEPOINT work", prepare=False)

    def undo_savepoint(self) -> None:
        """Return to the mark."""
        with _store_errors():
            self._writer.execute("ROLLBACK TO work", prepare=False)

    def reconnect(self) -> None:
        """Drop the writer's connection and make a new one."""
        self._disconnect()
        with _store_errors():
            try:
                self._connect()
            except StoreCannotOpenError as error:
                raise StoreError(str(error)) from error

    def appended_since(self, position: int, head: int) -> Appended:
        """What others appended after a position."""
        with _store_errors():
            streams = self._writer.execute(_SELECT_STREAMS_SINCE, (position,)).fetchall()
            stored = self._writer.execute(_SELECT_STORED_AT, ([position, head],)).fetchall()
            return Appended(streams={row[0] for row in streams}, stored=dict(stored))

    def events_of(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]:
        """The events of these streams after the given versions."""
        with _store_errors():
            found = self._writer.execute(_SELECT_STREAMS, ([*streams], [*streams.values()]), binary=True)
            return [recorded_of(row) for row in found.fetchall()]

    def snapshots_of(self, streams: Collection[str]) -> Sequence[Snapshot]:
        """The latest snapshots of these streams."""
        with _store_errors():
            found = self._writer.execute(_SELECT_SNAPSHOTS, ([*streams], SNAPSHOT_FORMAT), binary=True).fetchall()
        return [Snapshot(stream=row[0], version=row[1], position=row[2], state=row[3]) for row in found]

    def directory(self, keys: Collection[DirectoryKey]) -> dict[DirectoryKey, DirectoryEntry]:
        """The seats of these users."""
        found = self._look_up(_SELECT_DIRECTORY, keys)
        return {(row[0], row[1]): DirectoryEntry(row[2], row[3]) for row in found}

    def licenses_of(self, keys: Collection[LicenseKey]) -> dict[LicenseKey, str]:
        """The licenses that have these keys."""
        return {(row[0], row[1]): row[2] for row in self._look_up(_SELECT_LICENSE_KEYS, keys)}

    def licenses_held(self, holdings: Collection[Holding], *, limit: int) -> dict[Holding, tuple[str, ...]]:
        """The licenses that these customers hold of these products."""
        if not holdings:
            return {}
        with _store_errors():
            values = [*_columns(holdings), limit]
            found = self._writer.execute(_SELECT_HELD, values, prepare=True, binary=True).fetchall()
        return {Holding(customer_id, product): tuple(held) for customer_id, product, held in found}

    def remembered(self, key_hashes: Collection[bytes]) -> dict[bytes, RememberedAnswer]:
        """The answers given to these Idempotency-Keys."""
        found = self._look_up(_SELECT_ANSWERS, [(key_hash,) for key_hash in key_hashes])
        return {
            row[0]: RememberedAnswer(request_hash=row[1], answer=row[2], answered_at=moment(row[3])) for row in found
        }

    def new_users(self, counters: Collection[CounterKey]) -> dict[CounterKey, int]:
        """How many new users these keys brought in these hours."""
        return {(row[0], row[1]): row[2] for row in self._look_up(_SELECT_NEW_USERS, counters)}

    def write(self, rows: Rows, head: Head) -> None:
        """Insert a batch, forget what is old, move the head and tell who listens, in one round trip."""
        # A pipeline is more work, and may end with a Flush: the server reads it and forgets its waiting for this
        # session, so that a process which stops then would hold the lock for ever.
        statement, values = _in_one(self._statements(rows, head))
        with _store_errors():
            self._writer.execute(statement, values, prepare=True)

    def secret(self, name: str) -> bytes:
        """A random key of 32 bytes, made with the schema."""
        return self._secrets[name]

    # -- the readers' side ---------------------------------------------------------------------------------------------

    def head(self) -> Head:
        """The end of the ledger as readers see it."""
        return head_of(self._read(_SELECT_HEAD)[0])

    def read_stream(self, stream: str, *, after: int = 0, up_to: int | None = None) -> Sequence[RecordedEvent]:
        """Events of a stream by version."""
        found = self._read(_SELECT_STREAM, (stream, after, _ANY_NUMBER if up_to is None else up_to))
        return [recorded_of(row) for row in found]

    def version_of(self, stream: str) -> int:
        """The latest version of a stream; 0 if there is none."""
        return self._read(_SELECT_VERSION, (stream,))[0][0] or 0

    def read_ledger(self, *, after: int, limit: int) -> Sequence[RecordedEvent]:
        """Events of the whole ledger by position."""
        return [recorded_of(row) for row in self._read(_SELECT_LEDGER, (after, limit))]

    def snapshot_before(self, stream: str, *, version: int | None = None) -> Snapshot | None:
        """The latest snapshot at or before a version."""
        found = self._read(_SELECT_SNAPSHOT, (stream, _ANY_NUMBER if version is None else version, SNAPSHOT_FORMAT))
        return Snapshot(stream=stream, version=found[0][0], position=found[0][1], state=found[0][2]) if found else None

    # -- between processes ---------------------------------------------------------------------------------------------

    def on_append(self, callback: Callable[[], None]) -> bool:
        """Be told of what any process appends, by LISTEN."""
        self._callbacks.append(callback)
        if self._listening is None:
            self._listening = threading.Thread(target=self._listen, name="listener", daemon=True)
            self._listening.start()
        return True

    def elect(self, job: str, holder: str, *, seconds: float) -> int | None:
        """Take or keep a job for some seconds, by the database's clock."""
        found = self._read(_ELECT, {"job": job, "holder": holder, "microseconds": round(seconds * 1e6)})
        return found[0][0] if found else None

    def resign(self, job: str, holder: str) -> None:
        """Let another process have a job at once."""
        self._read(_RESIGN, (job, holder))

    def close(self) -> None:
        """Close every connection."""
        self._closing.set()
        self._disconnect()
        self._datastore.close()
        self.reading.dispose()
        if self._listening is not None and self._listening is not threading.current_thread():
            self._listening.join(2 * _LISTEN_SECONDS)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        writer = connect(self._url, purpose="writer")
        try:
            _refuse_forgetful(writer, self._url)
            # All that the writer asks is found by a key, also where the statistics are of yesterday's empty table.
            writer.execute("SET enable_hashjoin = off; SET enable_mergejoin = off", prepare=False)
            rows = rows_on(writer, dialect="postgresql+psycopg://")
        except BaseException:
            writer.close()
            raise
        # Only a connection that is whole takes the place of the one before: half of one would write without the rows.
        self._writer, self._rows = writer, rows

    def _disconnect(self) -> None:
        try:
            self._writer.close()
        except psycopg.Error:
            return

    def _make_schema(self) -> None:
        self._writer.execute("BEGIN ISOLATION LEVEL READ COMMITTED", prepare=False)
        try:
            self._writer.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            # Where it is there, a program that may only read and write rows can open it.
            if _named(self._writer.execute("SELECT to_regclass('head')::text").fetchone()) is None:
                for statement in self._recorder.table_statements:
                    self._writer.execute(statement, prepare=False)
            holdings_missing = holdings.is_missing(self._rows)
            for metadata in self._metadata:
                metadata.create_all(self._rows)
            self._check_schema()
            if holdings_missing:
                recorded = self._writer.execute(_SELECT_TYPES, ([*holdings.TYPES],), binary=True)
                holdings.fill(self._rows, map(recorded_of, recorded.fetchall()))
            self.commit()
        finally:
            self.rollback()

    def _check_schema(self) -> None:
        row = self._writer.execute("SELECT schema_version FROM head").fetchone()
        if row is None:
            self._writer.execute("INSERT INTO head VALUES (1, %s, %s, 0, 0)", (SCHEMA_VERSION, str(uuid.uuid4())))
            made = [(name, secrets.token_bytes(32)) for name in SECRET_NAMES]
            self._writer.cursor().executemany("INSERT INTO secrets (name, value) VALUES (%s, %s)", made)
        elif row[0] != SCHEMA_VERSION:
            raise StoreCannotOpenError(schema_is_wrong(self._url.shown, row[0]))

    def _look_up(self, statement: str, keys: Collection[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        if not keys:
            return []
        with _store_errors():
            columns = [list(column) for column in zip(*keys, strict=True)]
            return self._writer.execute(statement, columns, prepare=True, binary=True).fetchall()

    def _statements(self, rows: Rows, head: Head) -> Iterator[_Statement]:
        if rows.events:
            yield self._recorder.insert_positioned, _columns(rows.events)
        if rows.directory:
            yield _PUT_DIRECTORY, _columns([(*key, *entry) for key, entry in rows.directory.items()])
        if rows.license_keys:
            yield _INSERT_LICENSE_KEYS, _columns([(*key, owner) for key, owner in rows.license_keys.items()])
        if rows.moved_keys:
            yield _MOVE_LICENSE_KEYS, _columns([(*key, owner) for key, owner in rows.moved_keys.items()])
        if rows.holdings:
            yield _PUT_HOLDINGS, _columns([(*holding, held) for holding, held in rows.holdings])
        if rows.answers:
            answers = rows.answers.items()
            yield (
                _PUT_ANSWERS,
                _columns([(key, one.request_hash, one.answer, microseconds(one.answered_at)) for key, one in answers]),
            )
            # Some at a time, so that no batch waits for a long one.
            answered_before = microseconds(head.recorded_at - REMEMBERED_FOR)
            yield _DELETE_ANSWERS, (answered_before, [*rows.answers], _FORGOTTEN_MAX)
        if rows.new_users:
            yield _PUT_NEW_USERS, _columns([(*counter, users) for counter, users in rows.new_users.items()])
            yield _DELETE_NEW_USERS, _columns(rows.new_users)
        yield _UPDATE_HEAD, (head.position, microseconds(head.recorded_at))
        if rows.events:
            yield _NOTIFY, ()

    def _read(self, statement: str, values: "Sequence[Any] | Mapping[str, Any]" = ()) -> list[tuple[Any, ...]]:
        """Ask once more where the first connection was one to a server that has gone since."""
        with _store_errors():
            try:
                return self._read_once(statement, values)
            except (psycopg.OperationalError, PersistenceError):
                if self._closing.is_set():
                    raise
                self._datastore.pool.check()
                return self._read_once(statement, values)

    def _read_once(self, statement: str, values: "Sequence[Any] | Mapping[str, Any]") -> list[tuple[Any, ...]]:
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row, binary=True)
            return cursor.execute(statement, values, prepare=True).fetchall()

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                with connect(self._url, purpose="listener") as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    # Something may have been appended before.
                    self._tell()
                    while not self._closing.is_set():
                        for _ in connection.notifies(timeout=_LISTEN_SECONDS, stop_after=1):
                            self._tell()
            except psycopg.Error as error:
                _LOGGER.info("it is polled for what is appended", reason=reason_of(error))
                self._closing.wait(_LISTEN_AGAIN_SECONDS)

    def _tell(self) -> None:
        for callback in self._callbacks:
            callback()


def _in_one(statements: Iterable[_Statement]) -> _Statement:
    """One statement of several that write to different rows: all but the last are parts of it, run all the same."""
    *parts, (last, last_values) = statements
    named = ", ".join(f"part_{number} AS ({statement})" for number, (statement, _) in enumerate(parts))
    values = [value for _, its_values in parts for value in its_values]
    return (f"WITH {named} {last}" if parts else last), [*values, *last_values]


def _columns(rows: Collection[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _named(row: tuple[Any, ...] | None) -> Any:  # noqa: ANN401 -- a name or null
    return None if row is None else row[0]


def _no_head() -> Any:  # noqa: ANN401 -- raises
    raise StoreError("the ledger's head is gone")


def _refuse_forgetful(connection: Connection, url: DatabaseUrl) -> None:
    """Refuse a server that answers before it has written, and one that can't hold every name."""
    # Told at the beginning of each connection; what is asked for comes as bytes where the encoding is none.
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreCannotOpenError(
            f"The ledger's database {url.shown} has the encoding {encoding}, which can't hold every name."
            " Make one with ENCODING 'UTF8'."
        )
    asked = "SELECT current_setting('synchronous_commit'), current_setting('fsync')"
    synchronous_commit, fsync = connection.execute(asked).fetchone() or _no_head()
    if synchronous_commit in ("off", "local"):
        raise StoreCannotOpenError(
            f"The ledger's database {url.shown} has synchronous_commit {synchronous_commit}: it would lose what was"
            " answered. Set it to on."
        )
    if fsync != "on":
        _LOGGER.warning("the database does not wait for its disk (fsync is off): a power cut loses what was answered")


@contextmanager
def _cannot_open(url: DatabaseUrl) -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, PersistenceError, sqlalchemy.exc.SQLAlchemyError, StoreError) as error:
        reason = reason_of(error.__cause__ or error)
        raise StoreCannotOpenError(f"The ledger's database {url.shown} can't be opened: {reason}.") from error


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        raise RowsAreRefusedError(reason_of(error)) from error
    except (psycopg.Error, PersistenceError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise StoreError(reason_of(error)) from error


# The clock is read above the lock, so that it is the time at which the lock was had.
_BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
    " WITH locked AS MATERIALIZED (SELECT ledger_id, position, recorded_at_microseconds FROM head FOR UPDATE)"
    " SELECT locked.*, floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM locked"
)
_LOOK: Final = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
    " SELECT ledger_id, position, recorded_at_microseconds,"
    " floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM head"
)
_SELECT_HEAD: Final = "SELECT ledger_id, position, recorded_at_microseconds FROM head"
_UPDATE_HEAD: Final = "UPDATE head SET position = %b, recorded_at_microseconds = %b"
_NOTIFY: Final = f"SELECT pg_notify('{CHANNEL}', '')"
_EVENT: Final = "notification_id, originator_id, originator_version, topic, state"
_SELECT_LEDGER: Final = f"SELECT {_EVENT} FROM stored_events WHERE notification_id > %b ORDER BY 1 LIMIT %b"  # noqa: S608 -- own names
_SELECT_STREAM: Final = (
    f"SELECT {_EVENT} FROM stored_events"  # noqa: S608 -- own names
    " WHERE originator_id = %b AND originator_version > %b AND originator_version <= %b ORDER BY originator_version"
)
_SELECT_STREAMS: Final = (
    f"SELECT {_EVENT} FROM unnest(%b::text[], %b::bigint[]) AS wanted (stream, version)"  # noqa: S608 -- own names
    " JOIN stored_events ON originator_id = stream AND originator_version > version ORDER BY 1"
)
_SELECT_STREAMS_SINCE: Final = "SELECT DISTINCT originator_id FROM stored_events WHERE notification_id > %b"
_SELECT_STORED_AT: Final = "SELECT notification_id, state FROM stored_events WHERE notification_id = ANY (%b::bigint[])"
_SELECT_VERSION: Final = "SELECT max(originator_version) FROM stored_events WHERE originator_id = %b"
_SELECT_SNAPSHOT: Final = (
    "SELECT version, position, state FROM snapshots WHERE stream = %b AND version <= %b AND format = %b"
    " ORDER BY version DESC LIMIT 1"
)
_SELECT_TYPES: Final = f"SELECT {_EVENT} FROM stored_events WHERE topic = ANY (%b::text[]) ORDER BY 1"  # noqa: S608 -- own names
_SELECT_SNAPSHOTS: Final = (
    "SELECT a, latest.* FROM unnest(%b::text[]) AS wanted (a) CROSS JOIN LATERAL (SELECT version, position, state"
    " FROM snapshots WHERE stream = a AND format = %b ORDER BY version DESC LIMIT 1) AS latest"
)
_SELECT_HELD: Final = (
    "SELECT a, b, array_agg(license_id ORDER BY license_id) FROM unnest(%b::text[], %b::text[]) AS wanted (a, b)"
    " CROSS JOIN LATERAL (SELECT license_id FROM holdings WHERE customer_id = a AND product = b"
    " ORDER BY license_id LIMIT %b) AS held GROUP BY a, b"
)
_SELECT_DIRECTORY: Final = (
    "SELECT license_id, identity_hash, seat_id, named_version FROM unnest(%b::text[], %b::bytea[]) AS wanted (a, b)"
    " JOIN directory ON license_id = a AND identity_hash = b"
)
_SELECT_LICENSE_KEYS: Final = (
    "SELECT kind, value, license_id FROM unnest(%b::text[], %b::text[]) AS wanted (a, b)"
    " JOIN license_keys ON kind = a AND value = b"
)
_SELECT_ANSWERS: Final = (
    "SELECT key_hash, request_hash, answer, answered_at_microseconds FROM unnest(%b::bytea[]) AS wanted (a)"
    " JOIN idempotency ON key_hash = a"
)
_SELECT_NEW_USERS: Final = (
    "SELECT key_id, hour, users FROM unnest(%b::text[], %b::bigint[]) AS wanted (a, b)"
    " JOIN new_users ON key_id = a AND hour = b"
)
_PUT_DIRECTORY: Final = (
    "INSERT INTO directory (license_id, identity_hash, seat_id, named_version)"
    " SELECT * FROM unnest(%b::text[], %b::bytea[], %b::text[], %b::bigint[]) ON CONFLICT (license_id, identity_hash)"
    " DO UPDATE SET seat_id = excluded.seat_id, named_version = excluded.named_version"
)
_INSERT_LICENSE_KEYS: Final = (
    "INSERT INTO license_keys (kind, value, license_id) SELECT * FROM unnest(%b::text[], %b::text[], %b::text[])"
)
_PUT_HOLDINGS: Final = (
    "INSERT INTO holdings (customer_id, product, license_id) SELECT * FROM"
    " unnest(%b::text[], %b::text[], %b::text[]) ON CONFLICT DO NOTHING"
)
_MOVE_LICENSE_KEYS: Final = (
    "UPDATE license_keys SET license_id = c FROM unnest(%b::text[], %b::text[], %b::text[]) AS moved (a, b, c)"
    " WHERE kind = a AND value = b"
)
# One statement can't both overwrite a row and delete it: what is put is never among what is forgotten.
_PUT_ANSWERS: Final = (
    "INSERT INTO idempotency (key_hash, request_hash, answer, answered_at_microseconds)"
    " SELECT * FROM unnest(%b::bytea[], %b::bytea[], %b::bytea[], %b::bigint[]) ON CONFLICT (key_hash) DO UPDATE SET"
    " request_hash = excluded.request_hash, answer = excluded.answer,"
    " answered_at_microseconds = excluded.answered_at_microseconds"
)
_DELETE_ANSWERS: Final = (
    "DELETE FROM idempotency WHERE key_hash IN"
    " (SELECT key_hash FROM idempotency WHERE answered_at_microseconds < %b AND key_hash <> ALL(%b::bytea[]) LIMIT %b)"
)
_PUT_NEW_USERS: Final = (
    "INSERT INTO new_users (key_id, hour, users) SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bigint[])"
    " ON CONFLICT (key_id, hour) DO UPDATE SET users = excluded.users"
)
_DELETE_NEW_USERS: Final = (
    "DELETE FROM new_users USING (SELECT a, min(b) FROM unnest(%b::text[], %b::bigint[]) AS wanted (a, b) GROUP BY a)"
    " AS kept (key, since) WHERE key_id = key AND hour < since"
)
_NOW: Final = "floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_ELECT: Final = (
    "INSERT INTO elections AS held (job, holder, term, until_microseconds)"  # noqa: S608 -- own names
    f" VALUES (%(job)s, %(holder)s, 1, {_NOW} + %(microseconds)s)"
    " ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, until_microseconds = excluded.until_microseconds,"
    " term = held.term + CASE WHEN held.holder = excluded.holder THEN 0 ELSE 1 END"
    f" WHERE held.holder = excluded.holder OR held.until_microseconds < {_NOW} RETURNING term"
)
_RESIGN: Final = "UPDATE elections SET until_microseconds = 0 WHERE job = %s AND holder = %s RETURNING term"
