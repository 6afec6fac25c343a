"""The table of the ledger on PostgreSQL."""

import statistics
from collections.abc import Sequence
from typing import Final

from bench.load import Figures
from bench.postgres.plan import Sizes, key_of
from bench.table import Measured, Row, in_ms, median, memory, rate, times

HEADINGS: Final = (
    "measured",
    "ledger",
    "stock `eventsourcing`",
    "ratio",
    "wanted",
    "`pgbench`: one-row inserts per second; the ledger's share",
    "memory: ledger; stock",
)


def rows(measured: Measured, sizes: Sizes) -> list[Row]:
    """The table of all that was measured."""
    return [
        *(_activations(measured, processes, callers) for processes, callers in sizes.loads),
        _views(measured, "following", f"events per second into the three views, following {sizes.following_events:,}"),
        _views(
            measured,
            "rebuild",
            f"events per second into the three views, made again from {sizes.rebuild_events:,} in"
            f" {measured['rebuild'][0]['seconds']:,.1f} s",
        ),
        _latency(measured["latency"]),
    ]


def _activations(measured: Measured, processes: int, callers: int) -> Row:
    key = key_of(processes, callers)
    ours, pgbench = measured[key], measured[f"{key}/pgbench"]
    one, each, fastest = (measured[f"{key}/stock-{licenses}"] for licenses in ("one", "each", "each-fastest"))
    stock = (
        f"{rate(one)} on one license; {rate(each)} with a license for each caller; {rate(fastest)} so, with its fastest"
        " settings"
    )
    return (
        f"durable activations per second, {_who(processes, callers)} on one license",
        rate(ours) + (f"; {rate(measured[f'{key}/each'])} with a license for each process" if processes > 1 else ""),
        stock,
        "; ".join(times(ours, peer) for peer in (one, each, fastest)),
        "≥ 8 x" if (processes, callers) == (1, 32) else "",
        f"{rate(pgbench)}; {median(ours) / median(pgbench):.0%}",
        f"{memory(ours)}; {memory(fastest)}",
    )


def _who(processes: int, callers: int) -> str:
    those = f"{callers} caller{'s' if callers > 1 else ''}"
    return f"{processes} processes with {those} each" if processes > 1 else those


def _views(measured: Measured, key: str, what: str) -> Row:
    ours, stock = measured[key], measured["views/stock"]
    kept = f"{memory(ours)}; {memory(stock)}"
    return (what, rate(ours), f"{rate(stock)} (ProjectionRunner)", times(ours, stock), "≥ 20 x", "", kept)


def _latency(rounds: Sequence[Figures]) -> Row:
    middle = statistics.median(one["median"] for one in rounds)
    p95 = statistics.median(one["p95"] for one in rounds)
    told = f"median {in_ms(middle)}, p95 {in_ms(p95)}"
    return ("from the answer to the views, idle ledger", told, "", "", "median ≤ 100 ms", "", memory(rounds))
