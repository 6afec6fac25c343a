"""`licensing-ledger project`: the views, run beside or after the ledger."""

import contextlib
import dataclasses
import json
from functools import partial
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from commands.parts import open_ledger, open_views, publishing, read_settings
from commands.stopping import stop_at_once, stop_on_signals
from ledger.store import StoreError

_TOLD_AGAIN_SECONDS: Final = 0.5


@click.group()
def project() -> None:
    """Run, rebuild or look at the views, which answer from the events."""


@project.command()
@click.option("--once", is_flag=True, help="Stop when the views have everything.")
def run(*, once: bool) -> None:
    """Keep the views up to date with the ledger, and publish to Kafka where topics are set, until stopped."""
    settings, stop = read_settings(), stop_on_signals()
    with (
        open_ledger(settings, on_fatal=stop_at_once) as ledger,
        open_views(settings, ledger) as views,
        _progress() as progress,
    ):
        task = progress.add_task("Events in the views", total=ledger.head().position, completed=views.position())
        tell = partial(_tell, progress, task)
        if once:
            views.run_once(progress=tell)
            return
        views.start()
        with publishing(settings, ledger, views):
            while not stop.wait(_TOLD_AGAIN_SECONDS):
                # While the database is away the views say so in the log.
                with contextlib.suppress(StoreError):
                    tell(views.position(), ledger.head().position)


@project.command()
def rebuild() -> None:
    """Make the views again from the first event, beside the ones that answer until then."""
    settings = read_settings()
    with open_ledger(settings) as ledger, open_views(settings, ledger) as views, _progress() as progress:
        task = progress.add_task("Rebuilding the views", total=ledger.head().position)
        views.rebuild(progress=partial(_tell, progress, task))
    click.echo("The views were rebuilt.")


@project.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Say how far each view is behind the ledger."""
    settings = read_settings()
    with open_ledger(settings) as ledger, open_views(settings, ledger) as views:
        found = views.status()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found]))
        return
    table = Table("View", "Position", "Head", "Events behind", "Seconds behind", "Stopped by")
    for one in found:
        counts = (f"{one.position:,}", f"{one.head:,}", f"{one.lag_events:,}", f"{one.lag_seconds:.1f}")
        table.add_row(one.name, *counts, one.stopped or "")
    Console().print(table)


def _progress() -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def _tell(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)
