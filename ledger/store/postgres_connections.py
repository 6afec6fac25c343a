"""Connections to PostgreSQL: the address goes to libpq whole, and none can hold others up for ever."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict

from ledger.store.url import DatabaseUrl

LOCK_TIMEOUT_SECONDS: Final = 12
# A process that stops inside a transaction holds the append lock: the server ends it after this long.
IDLE_IN_TRANSACTION_SECONDS: Final = 8

# Only where the address says nothing else. An unanswering server is given up after ten seconds or so.
_DEFAULTS: Final[dict[str, str]] = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_SET: Final = (
    f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s';"
    f" SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_SECONDS}s';"
    # Compiling takes longer than any of these statements.
    " SET jit = off;"
    " SET TIME ZONE 'UTC'"
)

Connection: TypeAlias = "psycopg.Connection[Any]"


def defaults_of(url: DatabaseUrl, *, purpose: str) -> dict[str, str]:
    """What a connection is given beside its address: time limits where that names none, and a name."""
    told = conninfo_to_dict(url.text)
    defaults = {"application_name": f"licensing-ledger {purpose}", **_DEFAULTS}
    return {name: value for name, value in defaults.items() if name not in told}


def set_limits(connection: Connection) -> None:
    """Let a connection neither wait for ever nor hold others up for ever."""
    connection.execute(_SET, prepare=False)


def connect(url: DatabaseUrl, *, purpose: str) -> Connection:
    """A connection that begins a transaction only when told to.

    Args:
        url: of a PostgreSQL database; whatever it says about TLS, timeouts, options and several hosts counts.
        purpose: shown in the server's list of sessions.

    Raises:
        psycopg.OperationalError: no server takes it.
    """
    connection = psycopg.connect(url.text, autocommit=True, **_as_options(defaults_of(url, purpose=purpose)))
    try:
        set_limits(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def engine(
    url: DatabaseUrl,
    *,
    purpose: str,
    pool_size: int,
    autocommit: bool = False,
    configure: Callable[[Connection], None] | None = None,
) -> sqlalchemy.Engine:
    """A bounded pool of such connections for SQLAlchemy.

    Args:
        url: of a PostgreSQL database.
        purpose: shown in the server's list of sessions.
        pool_size: how many there are at most.
        autocommit: each statement is a transaction of its own, which saves two round trips.
        configure: sets up a new connection, outside any transaction.
    """
    return sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: _for_sqlalchemy(url, purpose=purpose, configure=configure),
        pool_size=pool_size,
        max_overflow=0,
        # A server that was restarted is met by new connections, not by an error for each old one.
        pool_pre_ping=True,
        # What people sent stays out of errors, and so out of logs.
        hide_parameters=True,
        **({"isolation_level": "AUTOCOMMIT"} if autocommit else {}),
    )


def _for_sqlalchemy(url: DatabaseUrl, *, purpose: str, configure: Callable[[Connection], None] | None) -> Connection:
    connection = connect(url, purpose=purpose)
    # SQLAlchemy begins and ends transactions by itself.
    connection.autocommit = False
    if configure is not None:
        configure(connection)
    return connection


def _as_options(defaults: dict[str, str]) -> dict[str, Any]:
    return dict(defaults)


def reason_of(error: BaseException) -> str:
    """What the server or the driver says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
