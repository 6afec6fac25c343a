"""The ledger on SQLite in one process, against the same rule written with stock `eventsourcing`."""

import platform
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.embedded import report
from bench.embedded.plan import TINY, Sizes, steps
from bench.section import Prepared, Section


@contextmanager
def _prepare(*, tiny: bool) -> Iterator[Prepared]:
    sizes = TINY if tiny else Sizes()
    facts = [
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version} in WAL mode",
        "fsync at each commit (`synchronous=FULL`) on both sides; not for views (`NORMAL`), also on both sides",
    ]
    yield Prepared(
        steps=list(steps(sizes)),
        rows=lambda measured: report.rows(measured, sizes),
        facts=facts,
    )


SECTION: Final = Section(name="embedded", headings=report.HEADINGS, prepare=_prepare)
