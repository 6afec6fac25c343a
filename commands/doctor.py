"""`licensing-ledger doctor`: is everything around the ledger as it must be?"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from commands.parts import read_settings
from commands.settings import (
    AWS_ACCOUNTS,
    DATABASE_URL,
    PRODUCT_CODES,
    SNS_TOPIC_ARNS,
    SNS_VERIFY,
    SQS_QUEUE_URL,
    Settings,
)
from consumers.marketplace.doctor import Doctor, DoctorSettings, Finding, Verdict, is_wrong, ok, warning, wrong
from ledger.store import StoreCannotOpenError
from ledger.store.looking import last_position
from ledger.store.url import DatabaseUrl
from ledger.times import system_now

_STYLES: Final = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.WRONG: "bold red",
    Verdict.COULD_NOT_LOOK: "dim",
}
_VERDICT_WIDTH: Final = max(len(verdict) for verdict in Verdict)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(*, as_json: bool) -> None:
    """Look whether the ledger can hear AWS Marketplace and ask it, and say what is wrong and what to do.

    Changes nothing. Exit code 1 if anything is wrong; a warning is not.
    """
    settings = read_settings()
    findings = []
    for finding in _examine(settings, Console(stderr=True)):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        _print_total(findings)
    sys.exit(1 if is_wrong(findings) else 0)


def _examine(settings: Settings, console: Console) -> Iterator[Finding]:
    if settings.unknown:
        told = f"{', '.join(settings.unknown)} is no setting, and ignored."
        yield warning("settings", told, "Compare it with docs/settings.md.")
    yield _look_at_database(settings[DATABASE_URL])
    accounts, topic_arns = settings.optional(AWS_ACCOUNTS), settings.optional(SNS_TOPIC_ARNS)
    physician = Doctor(
        DoctorSettings(
            queue_url=settings.optional(SQS_QUEUE_URL),
            products=settings.products if settings.optional(PRODUCT_CODES) else {},
            accounts=accounts or (),
            topic_arns=topic_arns or (),
            verifies=settings[SNS_VERIFY] == "on",
        ),
        now=system_now,
    )
    for examination in physician.examinations():
        with console.status(f"Looking at: {examination.title}"):
            findings = physician.examine(examination)
        yield from findings


def _look_at_database(url: DatabaseUrl) -> Finding:
    check = "database"
    try:
        position = last_position(url)
    except StoreCannotOpenError as error:
        return wrong(check, str(error), f"Mend {DATABASE_URL.name}, or start the database.")
    if position is None:
        told = f"There is no ledger in {url.shown} yet."
        return warning(
            check, told, f"`licensing-ledger serve` makes it. If there should be one, mend {DATABASE_URL.name}."
        )
    return ok(check, f"The ledger in {url.shown} has {position:,} events.")


def _print_total(findings: Sequence[Finding]) -> None:
    counted = Counter(finding.verdict for finding in findings)
    told = ", ".join(f"{verdict} {counted[verdict]}" for verdict in Verdict)
    Console().print(f"In all {len(findings)}: {told}.", soft_wrap=True, highlight=False)


def _print(finding: Finding) -> None:
    line = Text.assemble(
        (finding.verdict.ljust(_VERDICT_WIDTH), _STYLES[finding.verdict]),
        "  ",
        (finding.check, "bold"),
        ": ",
        finding.told,
    )
    if finding.remedy is not None:
        line.append(f" → {finding.remedy}")
    # One line however narrow the terminal is, so that it can be searched.
    Console().print(line, soft_wrap=True)
