"""The table of the embedded ledger."""

import statistics
from collections.abc import Sequence
from typing import Final

from bench.embedded.plan import CALLERS, Sizes
from bench.load import Figures
from bench.table import Measured, Row, in_ms, median, rate

HEADINGS: Final = ("measured", "ledger", "stock `eventsourcing`", "ratio", "wanted")


def rows(measured: Measured, sizes: Sizes) -> list[Row]:
    """The table of all that was measured."""
    return [
        _row("commits of one row per second: the disk's yardstick", rate(measured["disk"])),
        *(_activations(measured, callers) for callers in CALLERS),
        _views(measured),
        _latency(measured["latency"]),
        *_crowd(measured["crowd"][0], sizes),
        *_history(measured["history"][0], measured["history/stock"][0], sizes),
    ]


def _activations(measured: Measured, callers: int) -> Row:
    key = f"activations/{callers}"
    ours, fastest = measured[key], measured[f"{key}/each-fastest"]
    each, one = measured[f"{key}/each"], measured[f"{key}/one"]
    return _row(
        f"durable activations per second, {callers} caller{'s' if callers > 1 else ''} on one license",
        rate(ours),
        f"{rate(one)} on one license; {rate(each)} with a license for each caller; {rate(fastest)} so, with its"
        " fastest settings",
        "; ".join(f"{median(ours) / median(stock):.1f} x" for stock in (one, each, fastest)),
        "≥ 6 x" if callers == 32 else "",  # noqa: PLR2004 -- the number of callers that the promise is about
    )


def _views(measured: Measured) -> Row:
    ours, stock = measured["views"], measured["views/stock"]
    return _row(
        "events per second into the three views",
        rate(ours),
        f"{rate(stock)} (ProjectionRunner)",
        f"{median(ours) / median(stock):.1f} x",
        "≥ 20 x",
    )


def _latency(rounds: Sequence[Figures]) -> Row:
    middle = statistics.median(one["median"] for one in rounds)
    p95 = statistics.median(one["p95"] for one in rounds)
    return _row(
        "from the answer to the views, idle ledger",
        f"median {in_ms(middle)}, p95 {in_ms(p95)}",
        wanted="median ≤ 100 ms",
    )


def _crowd(figures: Figures, sizes: Sizes) -> list[Row]:
    return [
        _row(
            f"an activation at {sizes.seats_many:,} seats, {who}",
            f"{in_ms(figures[f'many_{callers}'])}; {in_ms(figures[f'few_{callers}'])} at {sizes.seats_few:,} seats",
            ratio=f"{figures[f'many_{callers}'] / figures[f'few_{callers}']:.2f} x",
            wanted="≤ 1.3 x",
        )
        for callers, who in ((1, "one caller"), (32, "32 callers"))
    ]


def _history(ours: Figures, stock: Figures, sizes: Sizes) -> list[Row]:
    events = f"{sizes.history_events:,} events"
    return [
        _row(
            f"bytes per event in the file, {events}",
            f"{ours['bytes_per_event']:.0f}, of them {ours['envelope_bytes']:.0f} the event itself",
            f"{stock['bytes_per_event']:.0f}",
        ),
        *(
            _row(f"first command on a stream of {events}, {how}", in_ms(ours[key]), in_ms(stock[key]))
            for key, how in (("from_snapshots", "with snapshots"), ("from_events", "without"))
        ),
    ]


def _row(what: str, ours: str, stock: str = "", ratio: str = "", wanted: str = "") -> Row:
    return (what, ours, stock, ratio, wanted)
