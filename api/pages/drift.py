"""The drift report: whether the ledger agrees with AWS, what needs a person, and what was mended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

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

ROWS_MAX: Final = 100
"""How many differences of a kind the page shows; the interface has more of them."""
_NUMBER_DIGITS_MAX: Final = 15

_UNKNOWN: Final[Mapping[AlarmCode, str]] = {
    AlarmCode.FAILED: "It can't be told: the reconciliation could not go on",
    AlarmCode.SEES_NOTHING: "It can't be told: AWS shows nothing to these credentials",
    AlarmCode.NOT_SWEPT: "It can't be told of every product",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """Some of the differences, in the order in which a person wants to see them."""

    shown: Sequence[Difference]
    total: int


@PAGES.get("/drift")
def drift() -> ResponseReturnValue:
    """The report of the last reconciliation, or of an earlier one."""
    require(Permission.SEE_DRIFT)
    door = current_parts().drift
    if door is None:
        raise Problem("NOT_FOUND", "This ledger is not connected to AWS Marketplace.")
    number = _number(flask.request.args.get("number", ""))
    report = door.report(number)
    if report is None and number is not None:
        raise Problem("NOT_FOUND", f"There is no report {number}, or it is not kept any more.")
    return flask.render_template(
        "drift.html",
        report=report,
        running=door.progress(),
        numbers=door.numbers(),
        headline="" if report is None else _headline(report),
        parts={} if report is None else _parts(report),
        companies={} if report is None else _companies(report),
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


def _parts(report: DriftReport) -> Mapping[str, _Part]:
    """What needs a person, what a dry run left to be mended, what is on its way, and what was mended."""
    standings = {
        "open": NEED_A_PERSON,
        "mendable": {Standing.MENDABLE},
        "waiting": {Standing.ON_ITS_WAY},
        "mended": {Standing.MENDED},
    }
    return {
        name: _Part(
            shown=[one for one in report.differences if one.standing in of][:ROWS_MAX],
            total=sum(report.counts.get(standing, 0) for standing in of),
        )
        for name, of in standings.items()
    }


def _companies(report: DriftReport) -> Mapping[LicenseId, str]:
    """The companies of the licenses that the page names, as far as they have registered."""
    named = {one.license_id for one in report.differences if one.license_id is not None}
    named |= {one.license_id for one in report.unexplained}
    named |= {one for candidate in report.candidates for one in (candidate.license_id, candidate.successor_id)}
    _, facts = current_parts().views.licenses.facts(named)
    return {one.license_id: one.company_name for one in facts if one.company_name}
