"""Reporting: what a run ends with: its report, and what a person has to look at in the log."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import sqlalchemy
import structlog

from consumers.marketplace.reconcile import alarming, candidates, findings, reports, runs, sweeping
from consumers.marketplace.reconcile.runs import Phase, Run
from consumers.marketplace.reconcile.tables import RUNS, UNSEEN
from ledger.drift import OPEN, Alarm, AlarmCode, Difference, DriftReport, Losses, Terms, Unexplained
from ledger.ledger import Ledger
from ledger.license.events import KeyKind, LicenseId
from ledger.license.state import License
from ledger.times import microseconds, moment
from ledger.transaction import Transaction, Work
from ledger.writer import SYSTEM_CALLER

UNEXPLAINED_AFTER: Final = timedelta(days=1)
"""From when on it is an alarm that AWS shows nothing of a license that runs."""
UNEXPLAINED_MAX: Final = 200

_LOSSES: Final = msgspec.json.Decoder(Losses)
_LOGGER: Final = structlog.get_logger(__name__)


def report(ledger: Ledger, run: Run) -> None:
    """End a run with its report.

    Raises:
        LedgerError: the database can't be written.
    """
    _finish(ledger, run, phase=Phase.DONE, failure=None)


def report_failure(ledger: Ledger, run: Run, *, reason: str) -> None:
    """End a run that can't go on.

    Raises:
        LedgerError: the database can't be written.
    """
    _finish(ledger, run, phase=Phase.FAILED, failure=reason)


def _finish(ledger: Ledger, run: Run, *, phase: Phase, failure: str | None) -> None:
    at = ledger.submit(_TIME)
    with ledger.reading.connect() as reading:
        unseen = [] if failure else _unseen(reading, run, ledger, at=at)
        proposed = () if failure else candidates.find(reading, run, ledger, at=at)

    def decide(transaction: Transaction) -> DriftReport | None:
        if not runs.is_at(transaction, run):
            return None
        rows = transaction.rows
        row = rows.execute(sqlalchemy.select(RUNS).where(RUNS.c.number == run.number)).one()
        counts, (swept, pages) = findings.counts(rows, run), sweeping.totals(rows, run)
        alarms = (
            *([Alarm(code=AlarmCode.FAILED, detail=failure)] if failure else []),
            *_alarms(row, findings.withheld_differences(rows, run), unseen),
            *_not_swept(rows, run),
        )
        made = DriftReport(
            number=run.number,
            begun_at=moment(row.begun_at or row.asked_at),
            finished_at=transaction.at,
            dry_run=run.dry_run,
            apply_losses=run.apply_losses,
            agrees=not alarms and not any(counts[standing] for standing in OPEN),
            licenses=row.licenses,
            rows=swept,
            pages=pages,
            agreements=row.agreements,
            counts=counts,
            alarms=alarms,
            differences=findings.differences(rows, run, limit=reports.DIFFERENCES_MAX),
            unexplained=tuple(unseen),
            candidates=proposed,
            notes=tuple(row.notes.splitlines()),
            losses=_losses(row),
        )
        runs.finish(transaction, run, phase=phase, report=reports.encode(made))
        return made

    made = ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))
    if made is not None:
        _tell(made)


def _tell(made: DriftReport) -> None:
    counts = {standing.value: number for standing, number in made.counts.items() if number}
    for alarm in made.alarms:
        _LOGGER.error("the reconciliation raises an alarm", alarm=alarm.code.value, detail=alarm.detail)
    told = _LOGGER.info if made.agrees else _LOGGER.warning
    told("a reconciliation is done", number=made.number, agrees=made.agrees, licenses=made.licenses, differences=counts)


def _alarms(
    row: "sqlalchemy.Row[Any]", withheld: Sequence[Difference], unseen: Sequence[Unexplained]
) -> Sequence[Alarm]:
    alarms = []
    if row.sees_nothing:
        alarms.append(Alarm(code=AlarmCode.SEES_NOTHING, detail=alarming.SEES_NOTHING))
    losses = _losses(row)
    if withheld and losses is not None:
        alarms.append(Alarm(code=AlarmCode.LOSSES_WITHHELD, detail=alarming.losses_withheld(losses, withheld)))
    if unseen and not row.sees_nothing:
        alarms.append(Alarm(code=AlarmCode.UNEXPLAINED, detail=alarming.unexplained(len(unseen))))
    return alarms


def _losses(row: "sqlalchemy.Row[Any]") -> Losses | None:
    return None if row.losses is None else _LOSSES.decode(row.losses)


def _not_swept(rows: sqlalchemy.Connection, run: Run) -> Sequence[Alarm]:
    return [
        Alarm(code=AlarmCode.NOT_SWEPT, detail=alarming.not_swept(code, reason=reason))
        for code, reason in sorted(sweeping.not_swept(rows, run).items())
    ]


def _unseen(reading: sqlalchemy.Connection, run: Run, ledger: Ledger, *, at: datetime) -> list[Unexplained]:
    """The licenses that run before their date, and of which AWS has shown nothing for a day without a word why."""
    query = (
        sqlalchemy.select(UNSEEN)
        .where(
            UNSEEN.c.since <= microseconds(at - UNEXPLAINED_AFTER),
            UNSEEN.c.license_id.not_in(findings.withheld(run)),
        )
        .order_by(UNSEEN.c.since)
        .limit(UNEXPLAINED_MAX)
    )
    known = [(ledger.past.license_now(LicenseId(row.license_id)), moment(row.since)) for row in reading.execute(query)]
    told = (_unexplained(license_, since=since, at=at) for license_, since in known)
    return [one for one in told if one is not None]


def _unexplained(license_: License, *, since: datetime, at: datetime) -> Unexplained | None:
    subscription = license_.running
    if subscription is None or subscription.renews_at <= at:
        return None
    return Unexplained(
        license_id=license_.license_id,
        since=since,
        product_code=license_.product_code,
        customer_id=license_.name(KeyKind.ACCOUNT),
        here=Terms(seats_max=subscription.seats_max, renews_at=subscription.renews_at),
    )


_TIME: Final = Work(decide=lambda transaction: transaction.at, caller=SYSTEM_CALLER, only_asks=True)
