"""Ledgers on real stores, and how the tests bring them to a beginning."""

import re
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import psycopg
import sqlalchemy

from ledger.envelope import RecordedEvent
from ledger.ledger import Ledger
from ledger.license import events
from ledger.license.decisions import (
    announce_renewal,
    issue_license,
    lapse_subscription,
    observe_subscription,
)
from ledger.license.events import KeyKind, LapseReason, LicenseId, RenewalIntent
from ledger.license.state import License
from ledger.store import Store
from ledger.store import postgres_connections as postgres
from ledger.store.postgres import PostgresStore
from ledger.store.sqlite import SqliteStore
from ledger.store.url import DatabaseUrl
from ledger.transaction import Transaction, Work
from tests.services.postgres import PostgresServer, fresh_database, shared
from tests.stories import AGREEMENT, LICENSE, MARKETPLACE, NOON, PRODUCT_CODE, RENEWS_AT, Clock

T = TypeVar("T")

OpenStore = Callable[[Path], Store]

ENGINES: Final = ("sqlite", "postgres")
"""Each test that is not about one of them runs on each."""

_POSTGRES_SUFFIX: Final = ".postgres"
_SUFFIXES: Final = {"sqlite": ".db", "postgres": _POSTGRES_SUFFIX}
_READERS_MAX: Final = 2


def database_in(folder: Path, engine: str, *, name: str = "ledger") -> Path:
    """The path that stands for a database: an SQLite file, or a file with the address of a PostgreSQL database."""
    return folder / f"{name}{_SUFFIXES[engine]}"


def url_of(database: Path) -> DatabaseUrl:
    """The address of the database for which a path stands; a PostgreSQL database is made when it is first asked for."""
    if database.suffix != _POSTGRES_SUFFIX:
        return DatabaseUrl.of_file(database)
    if not database.exists():
        database.write_text(fresh_database(database.parent.name), encoding="utf-8")
    return DatabaseUrl.parse(database.read_text(encoding="utf-8"))


def database_on(server: PostgresServer, folder: Path) -> Path:
    """The path that stands for a new database on a server that a test may stop."""
    database = database_in(folder, "postgres")
    database.write_text(fresh_database(folder.name, server=server), encoding="utf-8")
    return database


def drop_databases(folder: Path) -> None:
    """Drop the PostgreSQL databases for which paths in a folder stand."""
    for database in folder.glob(f"*{_POSTGRES_SUFFIX}"):
        shared().drop_database(urlsplit(database.read_text(encoding="utf-8")).path.removeprefix("/"))
        database.unlink()


def store_on(database: Path) -> SqliteStore | PostgresStore:
    """The store on the database for which a path stands."""
    url = url_of(database)
    if url.sqlite_path is not None:
        return SqliteStore(url.sqlite_path)
    return PostgresStore(url, readers_max=_READERS_MAX)


@contextmanager
def new_database(engine: str) -> Iterator[Path]:
    """A database on an engine, gone at the end; for tests that need many."""
    with tempfile.TemporaryDirectory() as folder:
        yield database_in(Path(folder), engine)
        drop_databases(Path(folder))


def engine_of(url: DatabaseUrl) -> sqlalchemy.Engine:
    """For looking into a database past the ledger and the views."""
    if url.sqlite_path is not None:
        return sqlalchemy.create_engine(url.text)
    return postgres.engine(url, purpose="tests", pool_size=1)


def execute(database: Path, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 -- columns
    """Run a statement past the ledger, in a transaction of its own; the rows, if it has any."""
    engine = engine_of(url_of(database))
    try:
        with engine.begin() as connection:
            done = connection.execute(sqlalchemy.text(statement), parameters)
            return [tuple(row) for row in done] if done.returns_rows else []
    finally:
        engine.dispose()


def tables_of(database: Path) -> list[str]:
    """The names of the tables."""
    engine = engine_of(url_of(database))
    try:
        return sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()


def back_up(database: Path) -> bytes:
    """A whole copy, made while the database is used."""
    url = url_of(database)
    if url.sqlite_path is None:
        command = [str(shared().binaries / "pg_dump"), "--clean", "--if-exists", "--inserts", url.text]
        dump = subprocess.run(command, check=True, capture_output=True).stdout
        # Some versions write a line that only their own psql understands.
        return re.sub(rb"^\\(un)?restrict .*$", b"", dump, flags=re.MULTILINE)
    with _beside(url.sqlite_path) as path:
        with closing(sqlite3.connect(url.sqlite_path)) as file, closing(sqlite3.connect(path)) as copy:
            file.backup(copy)
        return path.read_bytes()


def restore(database: Path, copy: bytes) -> None:
    """Put a copy in a database's place, whoever is in it."""
    url = url_of(database)
    if url.sqlite_path is None:
        with psycopg.connect(url.text) as connection:
            connection.execute(copy)
        return
    with _beside(url.sqlite_path) as path:
        path.write_bytes(copy)
        with closing(sqlite3.connect(url.sqlite_path)) as file, closing(sqlite3.connect(path)) as older:
            older.backup(file)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        yield Path(folder) / "copy.db"


def position_column(database: Path) -> str:
    """What the column of the position is called in the table of the events."""
    return "notification_id" if database.suffix == _POSTGRES_SUFFIX else "position"


@contextmanager
def opened(
    database: Path,
    *,
    now: Callable[[], datetime] | None = None,
    open_store: OpenStore = store_on,
    waiting_max: int = 1_000,
    on_fatal: Callable[[Exception], None] | None = None,
) -> Iterator[Ledger]:
    """A ledger, closed at the end."""
    ledger = Ledger(open_store(database), now=now or Clock(), waiting_max=waiting_max, on_fatal=on_fatal)
    try:
        yield ledger
    finally:
        ledger.close()


def issue(
    ledger: Ledger,
    *,
    seats_max: int,
    license_id: LicenseId = LICENSE,
    names: Sequence[tuple[KeyKind, str]] = (AGREEMENT,),
    renews_at: datetime = RENEWS_AT,
) -> LicenseId:
    """AWS tells of a purchase."""

    def decide(transaction: Transaction) -> None:
        license_ = transaction.any_license(license_id)
        license_ = transaction.append(license_id, issue_license(license_, product_code=PRODUCT_CODE, names=names))
        started = observe_subscription(license_, seats_max=seats_max, renews_at=renews_at, confirmed=True)
        transaction.append(license_id, started)

    ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,), keys=tuple(names)))
    return license_id


def observe(
    ledger: Ledger, *, seats_max: int, license_id: LicenseId = LICENSE, renews_at: datetime = RENEWS_AT
) -> License:
    """AWS is asked again, twice."""

    def decide(transaction: Transaction) -> License:
        license_ = transaction.license(license_id)
        observed = observe_subscription(license_, seats_max=seats_max, renews_at=renews_at, confirmed=True)
        return transaction.append(license_id, observed)

    return ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,)))


def lapse(ledger: Ledger, *, reason: LapseReason, license_id: LicenseId = LICENSE) -> License:
    """AWS says that the contract ended."""

    def decide(transaction: Transaction) -> License:
        license_ = transaction.license(license_id)
        return transaction.append(license_id, lapse_subscription(license_, reason=reason, at=transaction.at))

    return ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,)))


def announce(ledger: Ledger, renewal: RenewalIntent, *, license_id: LicenseId = LICENSE) -> License:
    """AWS says at noon what becomes of the contract at its end."""

    def decide(transaction: Transaction) -> License:
        license_ = transaction.license(license_id)
        announced = announce_renewal(license_, renewal=renewal, source="DescribeAgreement", announced_at=NOON)
        return transaction.append(license_id, announced)

    return ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,)))


def license_now(ledger: Ledger, license_id: LicenseId = LICENSE) -> License:
    """The license as the writer knows it."""
    return ledger.submit(
        Work(decide=lambda transaction: transaction.any_license(license_id), caller=MARKETPLACE, licenses=(license_id,))
    )


def everything(ledger: Ledger) -> list[RecordedEvent]:
    """All events of a ledger, looked over: positions and versions without gaps, times in order."""
    recorded = list(ledger.feed(after=0, limit=1_000_000))
    assert [one.position for one in recorded] == [*range(1, len(recorded) + 1)]
    versions: dict[str, int] = {}
    for before, one in zip([None, *recorded], recorded, strict=False):
        assert one.version == versions.get(one.stream, 0) + 1
        versions[one.stream] = one.version
        same_append = before is not None and before.command_id == one.command_id
        assert before is None or (before.recorded_at == one.recorded_at if same_append else True)
        assert before is None or same_append or before.recorded_at < one.recorded_at
    return recorded


def activated(recorded: Sequence[RecordedEvent]) -> list[str]:
    """The names of those who took a seat, in order."""
    return [one.event.user.plain for one in recorded if isinstance(one.event, events.SeatActivated)]


def at_once(*calls: Callable[[], T]) -> list[T | Exception]:
    """Make calls in as many threads, all let go at one moment; what each answered or raised."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | Exception:
        barrier.wait(timeout=30)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 -- it is the answer
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.001)


@contextmanager
def held(ledger: Ledger) -> Iterator[threading.Event]:
    """The writer is busy with a command until the event is set, so that all that comes meanwhile waits together."""
    begun, go_on = threading.Event(), threading.Event()

    def decide(_: Transaction) -> None:
        begun.set()
        assert go_on.wait(timeout=30)

    busy = threading.Thread(target=lambda: ledger.submit(Work(decide=decide, caller=MARKETPLACE)))
    busy.start()
    assert begun.wait(timeout=30)
    try:
        yield go_on
    finally:
        go_on.set()
        busy.join(timeout=30)


def waiting(ledger: Ledger, *calls: Callable[[], object]) -> tuple[list[threading.Thread], list[object]]:
    """Begin calls that will wait, one after the other; returns when all do, with the list that the answers go to."""
    answers: list[object] = [None] * len(calls)

    def run(number: int, call: Callable[[], object]) -> None:
        try:
            answers[number] = call()
        except Exception as error:  # noqa: BLE001 -- it is the answer
            answers[number] = error

    # Who holds the others up has been let in; else it would count as the first of them.
    until(lambda: ledger.waiting == 0)
    threads = []
    for number, call in enumerate(calls):
        thread = threading.Thread(target=run, args=(number, call))
        thread.start()
        threads.append(thread)
        until(partial(_wait, ledger, number + 1))
    return threads, answers


def _wait(ledger: Ledger, count: int) -> bool:
    return ledger.waiting >= count


def rows_of(ledger: Ledger, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 -- columns
    """Read the ledger's rows."""
    with ledger.reading.connect() as connection:
        return [tuple(row) for row in connection.execute(sqlalchemy.text(statement), parameters)]
