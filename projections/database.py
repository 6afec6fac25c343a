"""The views' own database: an SQLite file, or a PostgreSQL database, which may be the ledger's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import psycopg
import sqlalchemy
from sqlalchemy import Connection, Engine

from ledger.store import StoreError
from ledger.store.url import DatabaseUrl
from projections import generations
from projections.generations import Generation
from projections.postgres import PostgresEngines
from projections.sqlite import SqliteEngines
from projections.tables import Tables, tables_of


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


class Engines(Protocol):
    """What differs between the databases that views can be in.

    Attributes:
        readers: every transaction of theirs sees one state, whatever is written meanwhile, and writes nothing.
        writers: each statement of theirs sees what others have committed.
    """

    @property
    def readers(self) -> Engine:
        """For reading."""

    @property
    def writers(self) -> Engine:
        """For writing."""

    def keep_to_oneself(self, connection: Connection) -> None:
        """Let nobody else make or drop tables of the views until the transaction's end."""

    def outlives_readers(self, *, timeout_seconds: float) -> bool:
        """Wait until no reader is left that began before now; false if one is still there."""


class ViewsDatabase:
    """Where the views are kept. Any thread may read or write."""

    def __init__(self, url: DatabaseUrl, *, readers_max: int) -> None:
        """Name the database; it is opened when it is first used."""
        self.shown: Final = url.shown
        path = url.sqlite_path
        self._engines: Final[Engines] = (
            PostgresEngines(url, readers_max=readers_max)
            if path is None
            else SqliteEngines(path, readers_max=readers_max)
        )

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Read the live generation, in one transaction.

        Raises:
            StoreError: the views can't be read.
        """
        with _store_errors(), self._engines.readers.begin() as connection:
            generation = generations.live(connection)
            if generation is None:
                raise StoreError(f"The views in {self.shown} were taken away. Restart to make them again.")
            yield Reading(connection, tables_of(generation.number), generation.position)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Change the views in one transaction, which is undone by an error.

        Raises:
            StoreError: the views can't be written.
        """
        with _store_errors(), self._engines.writers.begin() as connection:
            yield connection

    @contextmanager
    def rearranging(self) -> Iterator[Connection]:
        """Make or drop generations, or choose the one that answers: one process at a time, in one transaction.

        Raises:
            StoreError: the views can't be written.
        """
        with self.writing() as connection:
            self._engines.keep_to_oneself(connection)
            yield connection

    def live(self) -> Generation | None:
        """The generation that answers."""
        with _store_errors(), self._engines.readers.begin() as connection:
            return generations.live(connection)

    def outlives_readers(self, *, timeout_seconds: float) -> bool:
        """Wait until no reader is left that began before now; false if one is still there.

        Raises:
            StoreError: the database can't be asked.
        """
        with _store_errors():
            return self._engines.outlives_readers(timeout_seconds=timeout_seconds)

    def close(self) -> None:
        """Close every connection."""
        self._engines.readers.dispose()
        self._engines.writers.dispose()


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, psycopg.Error) as error:
        raise StoreError(f"The views can't be used now: {reason_of(error)}.") from error


def reason_of(error: BaseException) -> str:
    """What the database itself says, in one line."""
    said = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return (str(said).strip().splitlines() or [type(said).__name__])[0].rstrip(".")
