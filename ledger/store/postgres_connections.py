"""Connections to PostgreSQL: the address goes to libpq whole, and none can hold others up for ever."""

from typing import Any, Final

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict

from ledger.store.url import DatabaseUrl

LOCK_TIMEOUT_SECONDS: Final = 10
# A process that stops inside a transaction holds the append lock: the server ends it after this long.
IDLE_IN_TRANSACTION_SECONDS: Final = 5

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
    # What is asked by these statements is indexed; a plan by statistics of yesterday's empty table would read it whole.
    " SET plan_cache_mode = 'force_generic_plan';"
    " SET TIME ZONE 'UTC'"
)


def connect(url: DatabaseUrl, *, purpose: str) -> "psycopg.Connection[tuple[Any, ...]]":
    """A connection that begins a transaction only when told to.

    Args:
        url: of a PostgreSQL database; whatever it says about TLS, timeouts, options and several hosts counts.
        purpose: shown in the server's list of sessions.

    Raises:
        psycopg.OperationalError: no server takes it.
    """
    told = conninfo_to_dict(url.text)
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in told}
    defaults.setdefault("application_name", told.get("application_name") or f"licensing-ledger {purpose}")
    connection = psycopg.connect(url.text, autocommit=True, **defaults)
    try:
        connection.execute(_SET, prepare=False)
    except BaseException:
        connection.close()
        raise
    return connection


def engine(
    url: DatabaseUrl, *, purpose: str, pool_size: int, isolation_level: Any = None  # noqa: ANN401 -- SQLAlchemy's literals
) -> sqlalchemy.Engine:
    """A bounded pool of such connections for SQLAlchemy."""
    options = {} if isolation_level is None else {"isolation_level": isolation_level}

    def creator() -> Any:  # noqa: ANN401 -- whatever the driver's connection is
        connection = connect(url, purpose=purpose)
        # SQLAlchemy begins and ends transactions by itself.
        connection.autocommit = False
        return connection

    return sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=creator,
        pool_size=pool_size,
        max_overflow=0,
        # A server that was restarted is met by new connections, not by an error for each old one.
        pool_pre_ping=True,
        # What people sent stays out of errors, and so out of logs.
        hide_parameters=True,
        **options,
    )
