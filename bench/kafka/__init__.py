"""Kafka out, against a bare loop of the same client library."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from bench.section import Prepared, Section, Step
from bench.servers import kafka, kafka_facts, postgres, postgres_facts
from bench.table import Measured, Row, memory, rate, times

HEADINGS: Final = ("measured", "ledger", "bare kafka-python loop", "ratio", "memory: ledger; loop")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is done in each measurement."""

    rounds: int = 3
    events: int = 100_000


TINY: Final = Sizes(rounds=1, events=500)


@contextmanager
def _prepare(*, tiny: bool) -> Iterator[Prepared]:
    sizes = TINY if tiny else Sizes()
    with kafka() as cluster, postgres() as server:
        libraries = (f"Python {platform.python_version()}", f"kafka-python {version('kafka-python')}")
        yield Prepared(
            steps=list(_steps(sizes, server=server.url(), bootstrap=cluster.bootstrap)),
            rows=lambda measured: _rows(measured, sizes),
            facts=[*kafka_facts(), *postgres_facts(server), ", ".join(libraries)],
        )


def _steps(sizes: Sizes, *, server: str, bootstrap: str) -> Iterator[Step]:
    where: dict[str, int | str] = {"server": server, "bootstrap": bootstrap, "events": sizes.events}
    for _ in range(sizes.rounds):
        yield Step("publisher", "kafka.ours", "publisher", where)
        yield Step("loop", "kafka.peers", "loop", where)
        yield Step("loop/large", "kafka.peers", "loop", where | {"batch_bytes": 262_144, "linger_ms": 100})


def _rows(measured: Measured, sizes: Sizes) -> list[Row]:
    ours, loop, large = (measured[key] for key in ("publisher", "loop", "loop/large"))
    return [
        (
            f"events per second to Kafka, {sizes.events:,} of 12 licenses",
            f"{rate(ours)}, read from PostgreSQL, in transactions",
            f"{rate(loop)} of the same records, with the library's settings; {rate(large)} with the ledger's",
            "; ".join(times(ours, peer) for peer in (loop, large)),
            f"{memory(ours)}; {memory(loop)}",
        )
    ]


SECTION: Final = Section(name="kafka", headings=HEADINGS, prepare=_prepare)
