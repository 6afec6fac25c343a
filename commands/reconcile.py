"""`licensing-ledger reconcile`: does the ledger agree with AWS? What differs is reported, and mended if it can be."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import SQLAlchemyError

from commands.drift_report import tell
from commands.parts import marketplace_settings, open_ledger, read_settings
from commands.stopping import stop_at_once, stop_on_signals
from consumers.marketplace import (
    Consumer,
    DriftReports,
    MarketplaceSettings,
    ask_for_reconciliation,
    aws_clients,
    hold_losses_back,
)
from ledger.drift import DriftReport
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.store import StoreError
from ledger.times import system_now

DISAGREES: Final = 1
NO_REPORT: Final = 3
_LOOK_SECONDS: Final = 0.2
_LOOK_AGAIN_SECONDS: Final = 2
_STOP_SECONDS: Final = 5
_NO_DATABASE: Final = "The ledger's database does not answer."
_GOES_ON: Final = (
    "It goes on where it was in the process that reads AWS for this ledger, or when this command is run again."
)


class NoReportError(click.ClickException):
    """There is no report from which to tell whether they agree; the text says why."""

    exit_code = NO_REPORT


@click.command()
@click.option("--dry-run", is_flag=True, help="Only report.")
@click.option("--apply-losses", is_flag=True, help="Let losses go however many they are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def reconcile(*, dry_run: bool, apply_losses: bool, as_json: bool) -> None:
    """Compare all that AWS sells with the ledger, mend what differs, and report.

    Exit codes: 0 they agree, 1 they don't, 2 wrong usage or a setting that can't be used, 3 there is no report.
    """
    if dry_run and apply_losses:
        raise click.UsageError("A dry run applies nothing: give --dry-run or --apply-losses.")
    settings = read_settings()
    marketplace = replace(
        marketplace_settings(settings), queue_url=None, reconcile_every=None, reconcile_dry_only=dry_run
    )
    stop = stop_on_signals()
    try:
        with open_ledger(settings, on_fatal=partial(stop_at_once, code=NO_REPORT)) as ledger:
            report = _reconcile(ledger, marketplace, stop, dry_run=dry_run, apply_losses=apply_losses)
    except LedgerError as error:
        raise NoReportError(error.detail) from error
    except (StoreError, SQLAlchemyError) as error:
        raise NoReportError(_NO_DATABASE) from error
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        tell(report, Console())
    sys.exit(0 if report.agrees else DISAGREES)


def _reconcile(
    ledger: Ledger, marketplace: MarketplaceSettings, stop: threading.Event, *, dry_run: bool, apply_losses: bool
) -> DriftReport:
    number = ask_for_reconciliation(ledger, dry_run=dry_run, apply_losses=apply_losses)
    with _working(ledger, marketplace, stop):
        report = _wait_for(DriftReports(ledger), number, stop)
        if report is None:
            raise NoReportError(_stopped(ledger, number, apply_losses=apply_losses))
    return report


@contextmanager
def _working(ledger: Ledger, marketplace: MarketplaceSettings, stop: threading.Event) -> Iterator[None]:
    """Do the work where no other process is elected to do it; else it stands by and takes over."""
    consumer = Consumer(ledger, marketplace, aws_clients(), now=system_now)
    thread = threading.Thread(target=consumer.run, args=(stop,), name="consumer", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_STOP_SECONDS)


def _wait_for(reports: DriftReports, number: int, stop: threading.Event) -> DriftReport | None:
    """The report of a run, or null if told to stop before it is there."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task, told = progress.add_task("Reconciling", total=None), None
        while not stop.is_set():
            trouble = None
            try:
                report, now = reports.report(number), reports.progress(number)
            except SQLAlchemyError:
                report, now, trouble = None, None, _NO_DATABASE
            if report is not None:
                return report
            if now is not None:
                progress.update(task, description=now.doing, completed=now.done, total=now.total)
                trouble = now.trouble
            if trouble is not None and trouble != told:
                progress.console.print(f"{trouble} It is tried again.", markup=False)
            told = trouble
            stop.wait(_LOOK_SECONDS if trouble is None else _LOOK_AGAIN_SECONDS)
    return None


def _stopped(ledger: Ledger, number: int, *, apply_losses: bool) -> str:
    """What becomes of a run for which nobody waits any more. Nobody looks at what it loses any more, either."""
    if not apply_losses:
        return f"It was stopped. {_GOES_ON}"
    try:
        held_back = hold_losses_back(ledger, number)
    except LedgerError as error:
        return f"It was stopped, but may apply losses still: {error.detail} {_GOES_ON}"
    if held_back:
        return f"It was stopped, and applies no losses any more. {_GOES_ON}"
    return f"It was stopped when losses were let go already. {_GOES_ON}"
