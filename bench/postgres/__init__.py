"""The ledger on PostgreSQL, in one process and in several, against stock `eventsourcing` and `pgbench`."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

from bench.postgres import report
from bench.postgres.plan import TINY, Sizes, steps
from bench.section import Prepared, Section
from bench.servers import postgres, postgres_facts


@contextmanager
def _prepare(*, tiny: bool) -> Iterator[Prepared]:
    sizes = TINY if tiny else Sizes()
    with postgres() as server:
        yield Prepared(
            steps=list(steps(sizes, server=server.url(), pgbench=os.fspath(server.binaries / "pgbench"))),
            rows=lambda measured: report.rows(measured, sizes),
            facts=[*postgres_facts(server), _libraries()],
        )


def _libraries() -> str:
    names = ("psycopg", "sqlalchemy", "eventsourcing")
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)])


SECTION: Final = Section(name="postgres", headings=report.HEADINGS, prepare=_prepare)
