"""Reports: what a run found and what became of it, kept for those who ask."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import sqlalchemy

from consumers.marketplace.reconcile import findings, held, runs
from consumers.marketplace.reconcile.findings import Stage
from consumers.marketplace.reconcile.runs import ENDED, Phase
from consumers.marketplace.reconcile.tables import RUNS, SWEEPS
from ledger.drift import DriftProgress, DriftReport, DriftSummary

if TYPE_CHECKING:
    from ledger.ledger import Ledger

DIFFERENCES_MAX: Final = 1_000
"""How many differences a report names; all of them are counted."""

_DOING: Final = {
    Phase.ASKED: "Waiting to begin",
    Phase.SWEEPING: "Reading what AWS sells",
    Phase.SEARCHING: "Reading news of agreements",
    Phase.COMPARING: "Comparing with the ledger",
    Phase.CHECKING: "Reading again what differs",
    Phase.WEIGHING: "Weighing losses",
    Phase.MENDING: "Mending",
    Phase.SETTLING: "Waiting for what was mended",
}
_REPORT: Final = msgspec.json.Decoder(DriftReport)
_SUMMARY: Final = msgspec.json.Decoder(DriftSummary)
# Asked for each page that an operator reads, so that it is made once.
_REPORTS: Final = sqlalchemy.select(RUNS.c.report).where(RUNS.c.phase.in_(ENDED)).order_by(RUNS.c.number.desc())


class DriftReports:
    """The reports of the reconciliations of a ledger, and how far the present one is."""

    def __init__(self, ledger: "Ledger") -> None:
        """Read them from its database."""
        self._ledger = ledger

    def numbers(self) -> Sequence[int]:
        """The numbers of the reports that are kept, the latest first.

        Raises:
            SQLAlchemyError: the database can't be read.
        """
        with self._ledger.reading.connect() as reading:
            query = sqlalchemy.select(RUNS.c.number).where(RUNS.c.phase.in_(ENDED)).order_by(RUNS.c.number.desc())
            return reading.scalars(query).all()

    def summaries(self) -> Sequence[DriftSummary]:
        """What stands above the reports that are kept, the latest first.

        Raises:
            SQLAlchemyError: the database can't be read.
        """
        with self._ledger.reading.connect() as reading:
            return [_SUMMARY.decode(stored) for stored in reading.scalars(_REPORTS)]

    def latest(self) -> DriftSummary | None:
        """What stands above the latest report; null if there is none.

        Raises:
            SQLAlchemyError: the database can't be read.
        """
        with self._ledger.reading.connect() as reading:
            stored = reading.scalar(_REPORTS.limit(1))
        return None if stored is None else _SUMMARY.decode(stored)

    def report(self, number: int | None = None) -> DriftReport | None:
        """A report by its number, or the latest; null if it is not kept.

        Raises:
            SQLAlchemyError: the database can't be read.
        """
        query = _REPORTS if number is None else _REPORTS.where(RUNS.c.number == number)
        with self._ledger.reading.connect() as reading:
            stored = reading.scalar(query.limit(1))
        return None if stored is None else _REPORT.decode(stored)

    def progress(self, number: int | None = None) -> DriftProgress | None:
        """How far a run is, or the one that is under way; null if it is done, or there is none.

        Raises:
            SQLAlchemyError: the database can't be read.
        """
        with self._ledger.reading.connect() as reading:
            run = runs.current(reading) if number is None else runs.find(reading, number)
            if run is None or run.phase in ENDED:
                return None
            done, total = _measure(reading, run)
        return DriftProgress(
            number=run.number,
            begun_at=run.begun_at,
            doing=_DOING[run.phase],
            done=done,
            total=total,
            trouble=run.trouble,
        )


def encode(report: DriftReport) -> bytes:
    """A report as it is kept."""
    return msgspec.json.encode(report)


def _measure(reading: sqlalchemy.Connection, run: runs.Run) -> tuple[int, int | None]:
    """How much of the present phase is done, of how much."""
    match run.phase:
        case Phase.SWEEPING:
            swept = sqlalchemy.select(sqlalchemy.func.sum(SWEEPS.c.rows)).where(SWEEPS.c.run == run.number)
            done = int(reading.scalar(swept) or 0)
            return done, max(done, held.count(reading)) or None
        case Phase.SEARCHING:
            return run.agreements, None
        case Phase.COMPARING:
            compared = reading.scalar(sqlalchemy.select(RUNS.c.licenses).where(RUNS.c.number == run.number))
            return int(compared or 0), held.count(reading) or None
        case Phase.CHECKING | Phase.MENDING | Phase.SETTLING:
            counted = findings.stages(reading, run.number)
            total = sum(counted.values())
            waits = {
                Phase.CHECKING: (Stage.FOUND,),
                Phase.MENDING: (Stage.RELEASED,),
                Phase.SETTLING: (Stage.REQUESTED,),
            }
            return total - sum(counted.get(stage, 0) for stage in waits[run.phase]), total or None
        case _:
            return 0, None
