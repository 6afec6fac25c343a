"""A look at a ledger's database without opening the ledger: nothing is made, and nothing held up."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import psycopg

from ledger.store import StoreCannotOpenError
from ledger.store.postgres_connections import connect, reason_of
from ledger.store.tables import SCHEMA_VERSION, schema_is_wrong
from ledger.store.url import DatabaseUrl

_SQLITE_SECONDS: Final = 5
_SELECT: Final = "SELECT schema_version, position FROM head"


class _Head(NamedTuple):
    schema_version: int
    position: int


def last_position(url: DatabaseUrl) -> int | None:
    """The position of a ledger's last event; null where no ledger was made yet.

    Args:
        url: of its database.

    Raises:
        StoreCannotOpenError: in one line, why the database can't be read, or is not this program's.
    """
    head = _head_of_postgres(url) if url.sqlite_path is None else _head_of_file(url.sqlite_path)
    if head is None:
        return None
    if head.schema_version != SCHEMA_VERSION:
        raise StoreCannotOpenError(schema_is_wrong(url.shown, head.schema_version))
    return head.position


def _head_of_file(path: Path) -> _Head | None:
    if not path.exists():
        return None
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_SQLITE_SECONDS)
        ) as connection:
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'head'").fetchone() is None:
                return None
            row = connection.execute(_SELECT).fetchone()
    except sqlite3.Error as error:
        raise _unreadable(path, str(error)) from error
    return None if row is None else _Head(*row)


def _head_of_postgres(url: DatabaseUrl) -> _Head | None:
    try:
        with closing(connect(url, purpose="doctor")) as connection:
            found = connection.execute("SELECT to_regclass('head') IS NOT NULL").fetchone()
            row = connection.execute(_SELECT).fetchone() if found and found[0] else None
    except psycopg.Error as error:
        raise _unreadable(url.shown, reason_of(error)) from error
    return None if row is None else _Head(*row)


def _unreadable(database: object, reason: str) -> StoreCannotOpenError:
    return StoreCannotOpenError(f"The ledger's database {database} can't be read: {reason}.")
