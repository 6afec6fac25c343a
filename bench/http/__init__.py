"""Access checks over HTTP, against a bare Flask route on the same server."""

import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from bench.section import Prepared, Section, Step
from bench.servers import postgres, postgres_facts
from bench.table import Measured, Row, in_ms, median, memory, rate

HEADINGS: Final = ("measured", "ledger", "bare Flask route", "ratio", "memory: ledger; Flask")
DATABASES: Final = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is done in each measurement, on how many connections."""

    connections: tuple[int, ...] = (1, 32)
    rounds: int = 3
    seconds: int = 5
    users: int = 1_000


TINY: Final = Sizes(connections=(2,), rounds=1, seconds=1, users=10)


@contextmanager
def _prepare(*, tiny: bool) -> Iterator[Prepared]:
    sizes = TINY if tiny else Sizes()
    loaded = "wrk" if shutil.which("wrk") else "threads of one Python process"
    names = ("flask", "waitress", "sqlalchemy", "psycopg")
    libraries = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    with postgres() as server:
        yield Prepared(
            steps=list(_steps(sizes, server=server.url())),
            rows=lambda measured: _rows(measured, sizes),
            facts=[
                *postgres_facts(server),
                ", ".join(libraries),
                f"Requests made by {loaded}, on connections that are kept, on the same machine",
            ],
        )


def _steps(sizes: Sizes, *, server: str) -> Iterator[Step]:
    load: dict[str, int | str] = {"seconds": sizes.seconds, "users": sizes.users}
    for _ in range(sizes.rounds):
        for connections in sizes.connections:
            yield Step(f"flask/{connections}", "http.peers", "route", load | {"connections": connections})
            for database in DATABASES:
                kept: dict[str, int | str] = {"connections": connections, "database": database, "server": server}
                yield Step(f"{database}/{connections}", "http.ours", "access", load | kept)


def _rows(measured: Measured, sizes: Sizes) -> list[Row]:
    return [_row(measured, database, connections) for database in DATABASES for connections in sizes.connections]


def _row(measured: Measured, database: str, connections: int) -> Row:
    ours, flask = measured[f"{database}/{connections}"], measured[f"flask/{connections}"]
    p99 = max(one["p99"] for one in ours)
    return (
        f"access checks per second on {DATABASES[database]}, {connections} connection{'s' if connections > 1 else ''}",
        f"{rate(ours)}; p99 {in_ms(p99)}",
        rate(flask),
        f"{median(ours) / median(flask):.2f} x",
        f"{memory(ours)}; {memory(flask)}",
    )


SECTION: Final = Section(name="http", headings=HEADINGS, prepare=_prepare)
