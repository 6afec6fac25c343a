"""Views in a PostgreSQL database: the ledger's, or another one, so that reading grows apart from writing."""

import time
from typing import Final

import sqlalchemy
from psycopg import IsolationLevel

from ledger.store.postgres_connections import Connection, engine
from ledger.store.url import DatabaseUrl

READERS_MAX: Final = 8
WRITERS_MAX: Final = 2

_LOOK_AGAIN_SECONDS: Final = 0.05
# The first letters of "views", so that it is no other program's.
_LOCK_NUMBER: Final = 1_986_618_743


class PostgresEngines:
    """How a PostgreSQL database is read and written.

    Attributes:
        readers: each transaction sees the state at its first statement.
        writers: of those who write into one generation, the first to lock its row goes on.
    """

    def __init__(self, url: DatabaseUrl, *, readers_max: int) -> None:
        """Name the database; it is opened when it is first used."""
        self.readers: Final = engine(
            url, purpose="views", pool_size=min(readers_max, READERS_MAX), configure=_set_reader
        )
        self.writers: Final = engine(url, purpose="views writer", pool_size=WRITERS_MAX, configure=_set_writer)

    def keep_to_oneself(self, connection: sqlalchemy.Connection) -> None:
        """Take a lock of the views' own: there may be no table yet whose rows could be locked."""
        connection.exec_driver_sql(_LOCK)
        # Unlike batches, tables that were lost in a crash are not made again by whoever follows.
        connection.exec_driver_sql("SET LOCAL synchronous_commit = on")

    def outlives_readers(self, *, timeout_seconds: float) -> bool:
        """Wait until no transaction is left in this database that began before now, of any program.

        A reader that has looked which tables answer, but not into them yet, holds no lock on them, and would meet none.
        """
        deadline = time.monotonic() + timeout_seconds
        with self.writers.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            now = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
            while connection.exec_driver_sql(_COUNT_OLDER, (now,)).scalar_one():
                if time.monotonic() > deadline:
                    return False
                time.sleep(_LOOK_AGAIN_SECONDS)
        return True


def _set_reader(connection: Connection) -> None:
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True


def _set_writer(connection: Connection) -> None:
    # Each statement sees what others committed before it, whatever an address's options say.
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    # Unlike the ledger's: after a crash the views may have lost their last commits, but they are whole, know their
    # position, and read the lost events again. So no commit waits for the disk.
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
    connection.commit()


_LOCK: Final = f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER}, hashtext(current_schema()))"
_COUNT_OLDER: Final = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start < %s"
)
