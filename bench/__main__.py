"""Run all measurements, print the table and write it into `bench/README.md`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import report
from bench.load import Figures
from bench.machine import facts
from bench.plan import TINY, Sizes, Step, steps

ROOT = Path(__file__).parents[1]
README = Path(__file__).with_name("README.md")
SECONDS_MAX = 180


def main() -> None:
    """Measure everything once."""
    arguments = _arguments()
    sizes = TINY if arguments.tiny else Sizes()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.dir) as directory:
        load_before = os.getloadavg()[0]
        measured = _measure(list(steps(sizes)), Path(directory), console)
        lines = facts(Path(directory), load_before=load_before)
    rows = report.rows(measured, sizes)
    _print(console, rows, lines)
    if not arguments.tiny:
        report.write(README, rows, lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--dir",
        type=Path,
        default=ROOT,
        help="where to make a directory for the databases; its disk is the one measured",
    )
    parser.add_argument("--tiny", action="store_true", help="show that everything runs; the figures mean nothing")
    return parser.parse_args()


def _measure(todo: list[Step], directory: Path, console: Console) -> dict[str, list[Figures]]:
    measured: dict[str, list[Figures]] = defaultdict(list)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(todo))
        for step in todo:
            progress.update(task, description=step.key)
            measured[step.key].append(_run(step, directory))
            progress.advance(task)
    return measured


def _run(step: Step, parent: Path) -> Figures:
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        command = [sys.executable, "-m", "bench.measure", step.side, step.name, directory, json.dumps(step.sizes)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=SECONDS_MAX)
    figures: Figures = json.loads(done.stdout)
    return figures


def _print(console: Console, rows: list[report.Row], lines: list[str]) -> None:
    table = Table(*report.HEADINGS)
    for row in rows:
        table.add_row(*row.cells())
    console.print(table)
    for line in lines:
        console.print(line)


if __name__ == "__main__":
    main()
