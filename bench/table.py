"""A table of figures, for the terminal and for `bench/README.md`."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.load import Figures

Row = tuple[str, ...]
Measured = Mapping[str, Sequence[Figures]]


def write(readme: Path, *, name: str, headings: Row, rows: Sequence[Row], facts: Sequence[str]) -> None:
    """Put a table, and the facts that it depends on, between the markers of this name.

    Raises:
        ValueError: the file has no such markers.
    """
    begin, end = f"<!-- measured: {name} -->\n", f"<!-- /measured: {name} -->\n"
    text = readme.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{readme} has no place for the table {name}")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    readme.write_text(before + begin + _markdown(headings, rows, facts) + end + after, encoding="utf-8")


def median(rounds: Sequence[Figures]) -> float:
    """What happened per second, in the middle of all rounds."""
    return float(statistics.median(one["per_second"] for one in rounds))


def rate(rounds: Sequence[Figures]) -> str:
    """What happened per second: the median, the least and the most."""
    values = [one["per_second"] for one in rounds]
    return f"{median(rounds):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def memory(rounds: Sequence[Figures]) -> str:
    """The memory of a process at its highest, and of how many processes there were."""
    highest = max(one["memory_mb"] for one in rounds)
    processes = rounds[0].get("processes", 1)
    return f"{processes} x {highest:,.0f} MB" if processes > 1 else f"{highest:,.0f} MB"


def times(ours: Sequence[Figures], others: Sequence[Figures]) -> str:
    """How many times as much ours is."""
    return f"{median(ours) / median(others):.1f} x"


def in_ms(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds * 1000:,.1f} ms"


def _markdown(headings: Row, rows: Sequence[Row], facts: Sequence[str]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    listed = "".join(f"- {fact}\n" for fact in facts)
    return f"{listed}\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
