"""`licensing-ledger reconcile`: does the ledger agree with AWS? What differs is reported, and mended if it can be."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from commands.parts import marketplace_settings, open_ledger, read_settings
from commands.stopping import stop_at_once, stop_on_signals
from commands.texts import counted
from consumers.marketplace import (
    Consumer,
    DriftReports,
    MarketplaceSettings,
    ask_for_reconciliation,
    aws_clients,
    hold_losses_back,
)
from ledger.drift import (
    KINDS,
    STANDINGS,
    Candidate,
    CandidateSide,
    Difference,
    DriftReport,
    Terms,
    Unexplained,
    Verdict,
    verdict,
)
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.store import StoreError
from ledger.times import system_now

DISAGREES: Final = 1
NO_REPORT: Final = 3
_LOOK_SECONDS: Final = 0.2
_LOOK_AGAIN_SECONDS: Final = 2
_STOP_SECONDS: Final = 5
_SHOWN_MAX: Final = 50
_ID_LENGTH: Final = 36
_NO_DATABASE: Final = "The ledger's database does not answer."
_VERDICTS: Final = {
    Verdict.AGREE: "The ledger and AWS agree.",
    Verdict.DIFFER: "The ledger and AWS do not agree.",
    Verdict.UNKNOWN: "It can't be told whether the ledger and AWS agree.",
}
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
        _tell(report)
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
        task = progress.add_task("Reconciling", total=None)
        while not stop.is_set():
            try:
                report, now = reports.report(number), reports.progress(number)
            except SQLAlchemyError:
                progress.update(task, description=f"{_NO_DATABASE} Trying again")
                stop.wait(_LOOK_AGAIN_SECONDS)
                continue
            if report is not None:
                return report
            if now is not None:
                described = now.doing if now.trouble is None else f"{now.doing}. {now.trouble} Trying again"
                progress.update(task, description=described, completed=now.done, total=now.total)
            stop.wait(_LOOK_SECONDS)
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


def _tell(report: DriftReport) -> None:
    console = Console()
    console.print(Text(_VERDICTS[verdict(report)], style="bold green" if report.agrees else "bold red"))
    console.print(_summary(report))
    for alarm in report.alarms:
        console.print(Text.assemble(("ALARM  ", "bold red"), alarm.detail))
    for note in report.notes:
        console.print(Text.assemble(("Note  ", "bold"), note))
    if report.differences:
        console.print(_differences(report.differences[:_SHOWN_MAX]))
        left_out = sum(report.counts.values()) - len(report.differences[:_SHOWN_MAX])
        if left_out:
            console.print(f"and {left_out:,} more; --json and the page /drift show a thousand of them.")
    if report.unexplained:
        console.print(_unexplained(report.unexplained))
    for candidate in report.candidates:
        console.print(Text(_proposal(candidate)))
        if candidate.obstacle is None:
            console.print(f"  licensing-ledger succeed {candidate.license_id} --by {candidate.key}", soft_wrap=True)


def _summary(report: DriftReport) -> str:
    stood = ", ".join(f"{report.counts[one]:,} {words}" for one, words in STANDINGS.items() if report.counts.get(one))
    dry = " Nothing was changed: it was a dry run." if report.dry_run else ""
    return (
        f"Report {report.number} of {_time(report.finished_at)}: {report.licenses:,} licenses were compared with"
        f" {report.rows:,} rows of AWS. Differences: {stood or 'none'}.{dry}"
    )


def _differences(differences: Sequence[Difference]) -> Table:
    table = Table(_whole("License"), "Ledger", "AWS", "What differs, and what became of it")
    for one in differences:
        stands = STANDINGS[one.standing].capitalize()
        became = f"{stands}." if one.reason is None else f"{stands}: {one.reason}"
        table.add_row(
            _license(one.license_id or _last_part(one.key), one.customer_id),
            _terms(one.here),
            _terms(one.there),
            "\n".join((*(f"{KINDS[kind]}." for kind in one.kinds), became)),
        )
    return table


def _unexplained(unexplained: Sequence[Unexplained]) -> Table:
    table = Table(_whole("Unexplained license"), "Ledger", "AWS has shown nothing since")
    for one in unexplained:
        table.add_row(_license(one.license_id, one.customer_id), _terms(one.here), _time(one.since))
    return table


def _whole(header: str) -> Column:
    """A column of ids, which somebody wants to copy."""
    return Column(header, no_wrap=True, min_width=_ID_LENGTH, overflow="fold")


def _license(name: str, customer_id: str | None) -> str:
    return name if customer_id is None else f"{name}\nof customer {customer_id}"


def _last_part(key: str | None) -> str:
    """What tells the ARN of a license from others."""
    return (key or "").rpartition(":")[2]


def _proposal(candidate: Candidate) -> str:
    return (
        f"Customer {candidate.customer_id} has a new license {candidate.successor_id} since"
        f" {_time(candidate.began_at)}{_side(candidate.newer)}, near the end of {candidate.license_id}"
        f" ({_time(candidate.ended_at)}{_side(candidate.older)}). {candidate.obstacle or 'If it is that one renewed:'}"
    )


def _side(side: CandidateSide | None) -> str:
    if side is None:
        return ""
    seats = "no seats" if side.seats_max is None else counted(side.seats_max, "seat", "seats")
    return f", with {seats} and {counted(side.seats_active, 'user', 'users')}"


def _terms(terms: Terms | None) -> str:
    if terms is None:
        return "nothing"
    until = "" if terms.renews_at is None else f"\nuntil {terms.renews_at:%Y-%m-%d}"
    return f"{counted(terms.seats_max, 'seat', 'seats')}{until}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
