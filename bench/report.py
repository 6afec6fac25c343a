"""The table, on the terminal and in `bench/README.md`."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.load import Figures
from bench.plan import CALLERS, Sizes

BEGIN: Final = "<!-- measured -->\n"
END: Final = "<!-- /measured -->\n"
HEADINGS: Final = ("measured", "ledger", "stock `eventsourcing`", "ratio", "wanted")

Measured = Mapping[str, Sequence[Figures]]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    what: str
    ours: str
    stock: str = ""
    ratio: str = ""
    wanted: str = ""

    def cells(self) -> tuple[str, ...]:
        """In the order of the headings."""
        return (self.what, self.ours, self.stock, self.ratio, self.wanted)


def rows(measured: Measured, sizes: Sizes) -> list[Row]:
    """The table of all that was measured."""
    return [
        Row("commits of one row per second: the disk's yardstick", _rate(measured["disk"])),
        *(_activations(measured, callers) for callers in CALLERS),
        _views(measured),
        _latency(measured["latency"]),
        *_crowd(measured["crowd"][0], sizes),
        *_history(measured["history"][0], measured["history/stock"][0], sizes),
    ]


def write(readme: Path, table: Sequence[Row], facts: Sequence[str]) -> None:
    """Put the table between the markers of the README."""
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + BEGIN + _markdown(table, facts) + END + after, encoding="utf-8")


def _markdown(table: Sequence[Row], facts: Sequence[str]) -> str:
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells() for row in table)]
    listed = "".join(f"- {fact}\n" for fact in facts)
    return f"{listed}\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _activations(measured: Measured, callers: int) -> Row:
    key = f"activations/{callers}"
    ours, fastest = measured[key], measured[f"{key}/each-fastest"]
    each, one = measured[f"{key}/each"], measured[f"{key}/one"]
    return Row(
        f"durable activations per second, {callers} caller{'s' if callers > 1 else ''} on one license",
        _rate(ours),
        f"{_rate(one)} on one license; {_rate(each)} with a license for each caller; {_rate(fastest)} so, with its"
        " fastest settings",
        "; ".join(f"{_median(ours) / _median(stock):.1f} x" for stock in (one, each, fastest)),
        "≥ 6 x" if callers == 32 else "",  # noqa: PLR2004 -- the number of callers that the promise is about
    )


def _views(measured: Measured) -> Row:
    ours, stock = measured["views"], measured["views/stock"]
    return Row(
        "events per second into the three views",
        _rate(ours),
        f"{_rate(stock)} (ProjectionRunner)",
        f"{_median(ours) / _median(stock):.1f} x",
        "≥ 20 x",
    )


def _latency(rounds: Sequence[Figures]) -> Row:
    median = statistics.median(one["median"] for one in rounds)
    p95 = statistics.median(one["p95"] for one in rounds)
    return Row(
        "from the answer to the views, idle ledger", f"median {_ms(median)}, p95 {_ms(p95)}", wanted="median ≤ 100 ms"
    )


def _crowd(figures: Figures, sizes: Sizes) -> list[Row]:
    return [
        Row(
            f"an activation at {sizes.seats_many:,} seats, {who}",
            f"{_ms(figures[f'many_{callers}'])}; {_ms(figures[f'few_{callers}'])} at {sizes.seats_few:,} seats",
            ratio=f"{figures[f'many_{callers}'] / figures[f'few_{callers}']:.2f} x",
            wanted="≤ 1.3 x",
        )
        for callers, who in ((1, "one caller"), (32, "32 callers"))
    ]


def _history(ours: Figures, stock: Figures, sizes: Sizes) -> list[Row]:
    events = f"{sizes.history_events:,} events"
    return [
        Row(
            f"bytes per event in the file, {events}",
            f"{ours['bytes_per_event']:.0f}, of them {ours['envelope_bytes']:.0f} the event itself",
            f"{stock['bytes_per_event']:.0f}",
        ),
        *(
            Row(f"first command on a stream of {events}, {how}", _ms(ours[key]), _ms(stock[key]))
            for key, how in (("from_snapshots", "with snapshots"), ("from_events", "without"))
        ),
    ]


def _median(rounds: Sequence[Figures]) -> float:
    return float(statistics.median(one["per_second"] for one in rounds))


def _rate(rounds: Sequence[Figures]) -> str:
    values = [one["per_second"] for one in rounds]
    return f"{_median(rounds):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"
