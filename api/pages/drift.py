"""The drift report: whether the ledger agrees with AWS, what needs a person, and what was mended."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import flask
from flask.typing import ResponseReturnValue

from api.pages.blueprint import PAGES
from api.pages.gate import require
from api.pages.words import counted
from api.parts import current_parts
from api.principal import Permission
from api.problems import Problem
from ledger.drift import NEED_A_PERSON, AlarmCode, Difference, DriftReport, Standing, Verdict, verdict
from ledger.license.events import LicenseId

ROWS_AT_FIRST: Final = 20
"""How many differences of a part stand below the summary; all of them have pages of their own."""
ROWS_ON_PAGE: Final = 100
_NUMBER_DIGITS_MAX: Final = 15

_UNKNOWN: Final[Mapping[AlarmCode, str]] = {
    AlarmCode.FAILED: "It can't be told: the reconciliation could not go on",
    AlarmCode.SEES_NOTHING: "It can't be told: AWS shows nothing to these credentials",
    AlarmCode.NOT_SWEPT: "It can't be told of every product",
}


_STANDINGS: Final[Mapping[str, frozenset[Standing]]] = {
    "open": NEED_A_PERSON,
    "mendable": frozenset({Standing.MENDABLE}),
    "waiting": frozenset({Standing.ON_ITS_WAY}),
    "mended": frozenset({Standing.MENDED}),
}
"""What needs a person, what a dry run left to be mended, what is on its way, and what was mended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """Some of the differences, in the order in which a person wants to see them.

    Attributes:
        shown: those that this page shows.
        begins_at: how many come before them.
        kept: how many the report names.
        total: how many there are.
    """

    shown: Sequence[Difference]
    begins_at: int
    kept: int
    total: int

    @property
    def next_at(self) -> int | None:
        """Where the next page begins; null if this is the last one."""
        end = self.begins_at + len(self.shown)
        return end if end < self.kept else None


@PAGES.get("/drift")
def drift() -> ResponseReturnValue:
    """The report of the last reconciliation, or of an earlier one; or all of one part of it."""
    require(Permission.SEE_DRIFT)
    door = current_parts().drift
    if door is None:
        raise Problem("NOT_FOUND", "This ledger is not connected to AWS Marketplace.")
    arguments = flask.request.args
    number, only = _number(arguments.get("number", "")), arguments.get("part", "")
    report = door.report(number)
    if report is None and number is not None:
        raise Problem("NOT_FOUND", f"There is no report {number}, or it is not kept any more.")
    parts = {} if report is None else _parts(report, only=only, begins_at=_number(arguments.get("from", "")) or 0)
    return flask.render_template(
        "drift.html",
        report=report,
        running=door.progress(),
        summaries=door.summaries(),
        headline="" if report is None else _headline(report),
        only=only if only in parts else None,
        parts=parts,
        companies={} if report is None else _companies(report, parts.values()),
    )


def _number(typed: str) -> int | None:
    if not typed:
        return None
    if not typed.isascii() or not typed.isdigit() or len(typed) > _NUMBER_DIGITS_MAX:
        raise Problem("NOT_FOUND", "The number of a report is a number.")
    return int(typed)


def _headline(report: DriftReport) -> str:
    """Whether they agree, in a sentence without its end."""
    match verdict(report):
        case Verdict.AGREE:
            return "Yes, they agreed"
        case Verdict.UNKNOWN:
            raised = [alarm.code for alarm in report.alarms if alarm.code in _UNKNOWN]
            return _UNKNOWN[raised[0]]
        case Verdict.DIFFER:
            need = sum(report.counts.get(standing, 0) for standing in NEED_A_PERSON)
            if not need:
                return f"No, {counted(report.counts.get(Standing.MENDABLE, 0), 'license differs', 'licenses differ')}"
            return f"No, {counted(need, 'license needs a person', 'licenses need a person')}"


def _parts(report: DriftReport, *, only: str, begins_at: int) -> Mapping[str, _Part]:
    """The parts of a report: the beginning of each, or a page of the only one that is asked for."""
    return {
        name: _part(
            report,
            name,
            begins_at=begins_at if name == only else 0,
            length=ROWS_ON_PAGE if name == only else ROWS_AT_FIRST,
        )
        for name in _STANDINGS
    }


def _part(report: DriftReport, name: str, *, begins_at: int, length: int) -> _Part:
    standings = _STANDINGS[name]
    kept = [one for one in report.differences if one.standing in standings]
    return _Part(
        shown=kept[begins_at : begins_at + length],
        begins_at=begins_at,
        kept=len(kept),
        total=sum(report.counts.get(standing, 0) for standing in standings),
    )


def drift_need_look() -> int:
    """How much of the last reconciliation somebody has to look at; asked once for each page."""
    if "drift_need_look" not in flask.g:
        door = current_parts().drift
        latest = None if door is None else door.latest()
        flask.g.drift_need_look = 0 if latest is None else latest.need_look
    return cast("int", flask.g.drift_need_look)


def _companies(report: DriftReport, parts: Iterable[_Part]) -> Mapping[LicenseId, str]:
    """The companies of the licenses that the page names, as far as they have registered."""
    named = {one.license_id for part in parts for one in part.shown if one.license_id is not None}
    named |= {one.license_id for one in report.unexplained}
    named |= {one for candidate in report.candidates for one in (candidate.license_id, candidate.successor_id)}
    _, facts = current_parts().views.licenses.facts(named)
    return {one.license_id: one.company_name for one in facts if one.company_name}
