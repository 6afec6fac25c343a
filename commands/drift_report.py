"""The drift report as a terminal shows it: in blocks that any width has room for, and commands that can be copied."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from commands.texts import counted
from ledger.drift import (
    KINDS,
    STANDINGS,
    Candidate,
    CandidateSide,
    Difference,
    DriftKind,
    DriftReport,
    Standing,
    Terms,
    Unexplained,
    Verdict,
    verdict,
    what_it_would_do,
    what_was_done,
)

SHOWN_MAX: Final = 50
"""How many differences are shown; the page and --json have more."""

_VERDICTS: Final[Mapping[Verdict, str]] = {
    Verdict.AGREE: "The ledger and AWS agree.",
    Verdict.DIFFER: "The ledger and AWS do not agree.",
    Verdict.UNKNOWN: "It can't be told whether the ledger and AWS agree.",
}
_TOLD_BY_THE_TERMS: Final = frozenset(DriftKind) - {DriftKind.KEY, DriftKind.UNREADABLE}
_COMMAND: Final = re.compile(r"`([^`]*)`")
_NO_BREAK: Final = "\0"


def tell(report: DriftReport, console: Console) -> None:
    """Print a report: the verdict, what needs a person, what was done."""
    console.print(Text(_VERDICTS[verdict(report)], style="bold green" if report.agrees else "bold red"))
    _say(console, _summary(report))
    for alarm in report.alarms:
        _say(console, alarm.detail, label="ALARM  ", style="bold red")
    for note in report.notes:
        _say(console, note, label="Note  ", style="bold")
    shown = report.differences[:SHOWN_MAX]
    for (standing, reason), alike in groupby(sorted(shown, key=_place), key=lambda one: (one.standing, one.reason)):
        _differences(console, standing, reason, [*alike])
    left_out = sum(report.counts.values()) - len(shown)
    if left_out:
        _say(console, f"And {left_out:,} more: the page /drift shows a thousand, and so does --json.")
    if report.unexplained:
        _unexplained(console, report.unexplained)
    for candidate in report.candidates:
        _propose(console, candidate)


def _place(one: Difference) -> tuple[int, str]:
    return [*STANDINGS].index(one.standing), one.reason or ""


def _summary(report: DriftReport) -> str:
    stood = ", ".join(f"{report.counts[one]:,} {words}" for one, words in STANDINGS.items() if report.counts.get(one))
    dry = " Nothing was changed: it was a dry run." if report.dry_run else ""
    return (
        f"Report {report.number} of {_time(report.finished_at)}:"
        f" {counted(report.licenses, 'license was', 'licenses were')} compared with"
        f" {counted(report.rows, 'row', 'rows')} of AWS. Differences: {stood or 'none'}.{dry}"
    )


def _differences(console: Console, standing: Standing, reason: str | None, differences: Sequence[Difference]) -> None:
    stands = STANDINGS[standing].capitalize()
    console.print()
    _say(console, reason or "", label=f"{stands}: " if reason else stands, style="bold")
    for one in differences:
        _name(console, one.license_id or _last_part(one.key), one.customer_id)
        _say(console, " ".join(_about(one)), indent=4)


def _about(one: Difference) -> Iterator[str]:
    yield f"Ledger: {_terms(one.here)}. AWS: {_terms(one.there)}."
    yield from (f"{KINDS[kind]}." for kind in one.kinds if kind not in _TOLD_BY_THE_TERMS)
    if one.standing is Standing.MENDED:
        yield what_was_done(one)
    elif one.standing in (Standing.WITHHELD, Standing.MENDABLE):
        yield what_it_would_do(one)


def _unexplained(console: Console, unexplained: Sequence[Unexplained]) -> None:
    console.print()
    console.print(Text("Unexplained", style="bold"))
    for one in unexplained:
        _name(console, one.license_id, one.customer_id)
        _say(console, f"Ledger: {_terms(one.here)}. AWS has shown nothing since {_time(one.since)}.", indent=4)


def _propose(console: Console, candidate: Candidate) -> None:
    console.print()
    _say(console, f"Customer {candidate.customer_id}", label="Perhaps one license renewed: ", style="bold")
    _name(console, candidate.license_id, None)
    _say(console, f"The older one, until {_time(candidate.ended_at)}{_side(candidate.older)}.", indent=4)
    _name(console, candidate.successor_id, None)
    _say(console, f"The newer one, since {_time(candidate.began_at)}{_side(candidate.newer)}.", indent=4)
    _say(console, candidate.obstacle or "If it is that one renewed:", indent=2)
    if candidate.obstacle is None:
        _print(console, f"  licensing-ledger succeed {candidate.license_id} --by {candidate.key}")


def _side(side: CandidateSide | None) -> str:
    if side is None:
        return ""
    seats = "no seats" if side.seats_max is None else counted(side.seats_max, "seat", "seats")
    return f", with {seats} and {counted(side.seats_active, 'user', 'users')}"


def _name(console: Console, name: str, customer_id: str | None) -> None:
    _print(console, f"  {name}" if customer_id is None else f"  {name}  customer {customer_id}")


def _last_part(key: str | None) -> str:
    """What tells the ARN of a license from others."""
    return (key or "").rpartition(":")[2]


def _terms(terms: Terms | None) -> str:
    if terms is None:
        return "nothing"
    until = "" if terms.renews_at is None else f" until {terms.renews_at:%Y-%m-%d}"
    return f"{counted(terms.seats_max, 'seat', 'seats')}{until}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


# -- on the screen -----------------------------------------------------------------------------------------------------


def _say(console: Console, text: str, *, label: str = "", style: str = "", indent: int = 0) -> None:
    """Print prose, whose lines end between words but never within a command."""
    whole = _COMMAND.sub(lambda command: command[1].replace(" ", _NO_BREAK), text)
    lines = textwrap.fill(
        label + whole,
        width=console.width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent or len(label)),
        break_long_words=False,
        break_on_hyphens=False,
    )
    said = Text(lines.replace(_NO_BREAK, " "))
    said.stylize(style, indent, indent + len(label))
    said.highlight_words(_COMMAND.findall(text), style="bold")
    _print(console, said)


def _print(console: Console, text: str | Text) -> None:
    """Print a line as it is: a terminal that is narrower wraps it, and what is copied from there is whole."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)
