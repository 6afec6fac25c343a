"""Where a database is: an SQLite file, or a PostgreSQL database by an address that the driver gets whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict

_POSTGRES: Final = ("postgresql://", "postgres://")
_EXPECTED: Final = "an address like sqlite:///licensing-ledger.db or postgresql://user@host/database"


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
    try:
        told = conninfo_to_dict(text)
    except psycopg.ProgrammingError as error:
        raise ValueError(f"{_EXPECTED} as libpq reads it ({str(error).strip()})") from error
    user = f"{told['user']}@" if told.get("user") else ""
    port = f":{told['port']}" if told.get("port") else ""
    return f"postgresql://{user}{told.get('host') or ''}{port}/{told.get('dbname') or ''}"
