"""Views in an SQLite file of their own, so that readers never hold up the ledger's writer."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy import Connection, Engine

_LOCK_TIMEOUT_SECONDS: Final = 30
_CACHE_KIBIBYTES: Final = 65_536
_PAGE_BYTES: Final = 16_384
_CHECKPOINT_PAGES: Final = 2_000


class SqliteEngines:
    """How an SQLite file is read and written.

    Attributes:
        readers: in WAL mode a read transaction sees one state.
        writers: each transaction takes the file's lock when it begins.
    """

    def __init__(self, path: Path, *, readers_max: int) -> None:
        """Name the file; it is opened when it is first used."""
        self.readers: Final = _engine(path, pool_size=readers_max, begin="BEGIN", on_connect=_set_reader)
        self.writers: Final = _engine(path, pool_size=4, begin="BEGIN IMMEDIATE", on_connect=_set_writer)

    def keep_to_oneself(self, connection: Connection) -> None:
        """Who writes has the whole file already."""

    def outlives_readers(self, *, timeout_seconds: float) -> bool:  # noqa: ARG002 -- nobody is waited for
        """A reader keeps the tables of the state that it sees, also where they were dropped since."""
        return True


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
