"""Run the measurements, print the tables and write them into `bench/README.md`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import embedded, http, kafka, postgres, table
from bench.load import Figures
from bench.machine import facts
from bench.section import Section, ServerIsMissingError, Step
from bench.table import Measured, Row

ROOT = Path(__file__).parents[1]
README = Path(__file__).with_name("README.md")
SECTIONS = {section.name: section for section in (embedded.SECTION, postgres.SECTION, http.SECTION, kafka.SECTION)}
SECONDS_MAX = 1_200


def main() -> None:
    """Measure everything once."""
    arguments = _arguments()
    console = Console()
    try:
        for name in arguments.sections or SECTIONS:
            _measure_section(SECTIONS[name], arguments, console)
    except ServerIsMissingError as error:
        sys.exit(f"{error}.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; all if none is named"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=ROOT,
        help="where to make a directory for the SQLite databases; its disk is the one measured",
    )
    parser.add_argument("--tiny", action="store_true", help="show that everything runs; the figures mean nothing")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return arguments


def _measure_section(section: Section, arguments: argparse.Namespace, console: Console) -> None:
    load_before = os.getloadavg()[0]
    with _directory(arguments.dir) as directory, section.prepare(tiny=arguments.tiny) as prepared:
        measured = _measure(prepared.steps, directory, console)
        lines = facts(directory, load_before=load_before, of_section=prepared.facts)
    rows = prepared.rows(measured)
    _print(console, section, rows, lines)
    if not arguments.tiny:
        table.write(README, name=section.name, headings=section.headings, rows=rows, facts=lines)


@contextmanager
def _directory(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as directory:
        yield Path(directory)


def _measure(todo: Sequence[Step], directory: Path, console: Console) -> Measured:
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
    with _directory(parent) as directory:
        command = [
            *(sys.executable, "-m", "bench.measure"),
            *(step.side, step.name, os.fspath(directory), json.dumps(step.sizes)),
        ]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=SECONDS_MAX)
    figures: Figures = json.loads(done.stdout)
    return figures


def _print(console: Console, section: Section, rows: Sequence[Row], lines: Sequence[str]) -> None:
    shown = Table(*section.headings, title=section.name)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
    for line in lines:
        console.print(line)


if __name__ == "__main__":
    main()
