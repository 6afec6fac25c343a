"""Measure what ten thousand pokes about five hundred licenses cost: `python -m bench.marketplace --ministack PATH`.

The messages lie in SQS (ministack, in an environment of its own) when a `serve` and a `consume sqs` start on one
database. Each call to AWS is counted on its way to the sandbox. Buyers register meanwhile. It takes about four minutes,
and ends with 1 where what is promised was not kept.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.marketplace.pokes import GET_ENTITLEMENTS, Figures, Sizes, measure
from bench.section import ServerIsMissingError
from consumers.marketplace.budget import CALLS_PER_SECOND_MAX

READS_PER_LICENSE_MAX: Final = 1.1
REGISTERED_WITHIN_SECONDS: Final = 5.0


class _Line(NamedTuple):
    measured: str
    figure: str
    wanted: str = ""
    kept: bool = True


def main() -> None:
    """Measure once, and print the figures."""
    arguments = _arguments()
    sizes = Sizes(licenses=arguments.licenses, pokes=arguments.pokes)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            figures = measure(
                Path(directory), sizes, ministack=arguments.ministack, on_postgres=arguments.database == "postgres"
            )
    except ServerIsMissingError as error:
        sys.exit(f"{error}.")
    lines = list(_lines(figures))
    _print(lines, title=f"{sizes.pokes:,} pokes about {sizes.licenses:,} licenses, on {arguments.database}")
    sys.exit(0 if all(line.kept for line in lines) else 1)


def _arguments() -> argparse.Namespace:
    usual = Sizes()
    parser = argparse.ArgumentParser(prog="python -m bench.marketplace", description=__doc__)
    parser.add_argument("--ministack", default="ministack", metavar="PATH", help="the command that starts it")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--licenses", type=int, default=usual.licenses)
    parser.add_argument("--pokes", type=int, default=usual.pokes)
    return parser.parse_args()


def _lines(figures: Figures) -> Iterator[_Line]:
    reads, slowest = figures.calls.get(GET_ENTITLEMENTS, 0), max(figures.registrations)
    # A buyer's license is read while they wait, and again after the messages of the purchase.
    expected = (figures.licenses + 2 * len(figures.registrations)) * READS_PER_LICENSE_MAX
    yield _Line("messages in the queue", f"{figures.messages:,}")
    yield _Line("until the queue was empty", f"{figures.taken_seconds:.0f} s")
    yield _Line("until nothing waited any more", f"{figures.settled_seconds:.0f} s")
    yield _Line(GET_ENTITLEMENTS, f"{reads:,}", f"≤ {expected:,.0f}", kept=reads <= expected)
    for operation, number in sorted(figures.calls.items()):
        if operation != GET_ENTITLEMENTS:
            yield _Line(operation, f"{number:,}")
    yield _Line(
        f"{GET_ENTITLEMENTS} in the busiest second",
        f"{figures.reads_in_a_second}",
        f"< {CALLS_PER_SECOND_MAX}",
        kept=figures.reads_in_a_second < CALLS_PER_SECOND_MAX,
    )
    yield _Line("a registration, median", f"{statistics.median(figures.registrations):.2f} s")
    yield _Line(
        f"the slowest of {len(figures.registrations)} registrations",
        f"{slowest:.2f} s",
        f"≤ {REGISTERED_WITHIN_SECONDS:.0f} s",
        kept=slowest <= REGISTERED_WITHIN_SECONDS,
    )
    failed = figures.statuses.get("failed", 0)
    yield _Line("messages that failed", f"{failed:,}", "0", kept=not failed)


def _print(lines: list[_Line], *, title: str) -> None:
    shown = Table("measured", "figure", "wanted", "", title=title)
    for line in lines:
        shown.add_row(line.measured, line.figure, line.wanted, "" if line.kept else "NOT KEPT")
    Console().print(shown)


if __name__ == "__main__":
    main()
