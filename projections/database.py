"""The views' own database: an SQLite file beside the ledger's, so that readers never hold up the writer."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy import Connection, Engine

from ledger.store import StoreError
from projections import generations
from projections.generations import Generation
from projections.tables import Tables, tables_of

_LOCK_TIMEOUT_SECONDS: Final = 30
_CACHE_KIBIBYTES: Final = 65_536
_PAGE_BYTES: Final = 16_384
_CHECKPOINT_PAGES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Reading:
    """One read transaction: everything read through it is true at one position.

    Attributes:
        connection: for reading.
        tables: of the generation that answers.
        position: at which the answers are true.
    """

    connection: Connection
    tables: Tables
    position: int


class ViewsDatabase:
    """Where the views are kept. Any thread may read or write."""

    def __init__(self, path: Path, *, readers_max: int) -> None:
        """Name the file; it is opened when it is first used."""
        self.path: Final = path
        self._readers: Final = _engine(path, pool_size=readers_max, begin="BEGIN", on_connect=_set_reader)
        self._writers: Final = _engine(path, pool_size=4, begin="BEGIN IMMEDIATE", on_connect=_set_writer)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Read the live generation, in one transaction.

        Raises:
            StoreError: the views can't be read.
        """
        with _store_errors(), self._readers.begin() as connection:
            generation = generations.live(connection)
            if generation is None:
                msg = f"The views in {self.path} were taken away. Restart to make them again."
                raise StoreError(msg)
            yield Reading(connection, tables_of(generation.number), generation.position)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Change the views in one transaction, which locks them first and is undone by an error.

        Raises:
            StoreError: the views can't be written.
        """
        with _store_errors(), self._writers.begin() as connection:
            yield connection

    def live(self) -> Generation | None:
        """The generation that answers."""
        with _store_errors(), self._readers.begin() as connection:
            return generations.live(connection)

    def close(self) -> None:
        """Close every connection."""
        self._readers.dispose()
        self._writers.dispose()


def _engine(
    path: Path, *, pool_size: int, begin: str, on_connect: Callable[[sqlite3.Connection, object], None]
) -> Engine:
    engine = sqlalchemy.create_engine(
        sqlalchemy.URL.create("sqlite", database=str(path)),
        connect_args={"timeout": _LOCK_TIMEOUT_SECONDS},
        pool_size=pool_size,
        max_overflow=0,
    )
    sqlalchemy.event.listen(engine, "connect", on_connect)
    # Python's sqlite3 would begin only at the first write, so that two reads could see two states.
    sqlalchemy.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _set_reader(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only=ON")


def _set_writer(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    # Of a new file: filling it writes many pages whole, and fewer of them are less work.
    connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode=WAL")
    # Unlike the ledger's: after a power cut the views may have lost their last commits, but they are whole, know their
    # position, and read the lost events again. So no commit waits for the disk.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
    # 32 MB: seldom, since who copies pages into the file waits for the disk.
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except sqlalchemy.exc.SQLAlchemyError as error:
        msg = f"The views can't be used now: {reason_of(error)}."
        raise StoreError(msg) from error


def reason_of(error: BaseException) -> str:
    """What the database itself says, in one line."""
    said = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return str(said).splitlines()[0]
