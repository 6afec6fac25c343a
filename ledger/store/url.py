"""Where a database is: an SQLite file, or a PostgreSQL database by an address that the driver gets whole."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict

_POSTGRES: Final = ("postgresql://", "postgres://")
_EXPECTED: Final = "an address like sqlite:///licensing-ledger.db or postgresql://user@host/database"
_QUOTED: Final = re.compile(r'".*"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """The address of a database.

    Attributes:
        text: the address whole, password included; never to be shown.
        sqlite_path: the file; null on PostgreSQL.
        shown: the address for people, without password and options.
    """

    text: str
    sqlite_path: Path | None
    shown: str

    def __repr__(self) -> str:
        """The address as it may be seen in a log."""
        return f"DatabaseUrl({self.shown})"

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """An SQLite file."""
        return cls(text=f"sqlite:///{path}", sqlite_path=path, shown=str(path))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address: `sqlite:///FILE`, or a PostgreSQL URI as libpq takes it.

        Raises:
            ValueError: it is neither; the text says what is expected.
        """
        if text.startswith(_POSTGRES):
            return cls(text=text, sqlite_path=None, shown=_without_secrets(text))
        try:
            url = sqlalchemy.make_url(text)
        except sqlalchemy.exc.ArgumentError as error:
            raise ValueError(_EXPECTED) from error
        if url.drivername != "sqlite" or not url.database or url.database == ":memory:" or url.host:
            raise ValueError(_EXPECTED)
        return cls.of_file(Path(url.database))


def _without_secrets(text: str) -> str:
    _refuse_half_a_password(text)
    try:
        told = conninfo_to_dict(text)
    except psycopg.ProgrammingError as error:
        # What libpq quotes may be a password.
        reason = _QUOTED.sub("…", str(error).strip())
        raise ValueError(f"{_EXPECTED} as libpq reads it ({reason})") from error
    user = f"{told['user']}@" if told.get("user") else ""
    return f"postgresql://{user}{_hosts(told)}/{told.get('dbname') or ''}"


def _refuse_half_a_password(text: str) -> None:
    """Refuse what libpq takes for a host or a database, and would show, though it is the rest of a password."""
    server, _, rest = text.partition("://")[2].partition("/")
    if server.count("@") > 1 or "@" in rest.partition("?")[0]:
        raise ValueError(f"{_EXPECTED}; in a password @ is written %40, / %2F and % %25")


def _hosts(told: Mapping[str, Any]) -> str:
    hosts = str(told.get("host") or "").split(",")
    ports = str(told.get("port") or "").split(",")
    if len(ports) != len(hosts):
        ports = ports[:1] * len(hosts)
    return ",".join(f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=True))
