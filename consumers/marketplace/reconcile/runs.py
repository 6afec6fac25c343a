"""The runs: who asks for a reconciliation, how far it is, and that one goes after the other."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy

from consumers.marketplace.reconcile.tables import COMPARED, FINDINGS, HEARD, RUNS, SWEEPS, SWEPT
from ledger.ledger import Ledger
from ledger.times import microseconds, moment
from ledger.transaction import Transaction, Work
from ledger.writer import SYSTEM_CALLER

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT: Final = 10
"""How many reports are kept, of dry runs and of all others each: those tell nobody when it is time again."""
TROUBLE_MAX: Final = 15
"""After how many failures in a row, in pauses that grow to a minute, a run goes on without what AWS does not answer."""


class Phase(StrEnum):
    """How far a run is."""

    ASKED = "asked"
    SWEEPING = "sweeping"
    SEARCHING = "searching"
    COMPARING = "comparing"
    CHECKING = "checking"
    WEIGHING = "weighing"
    MENDING = "mending"
    SETTLING = "settling"
    DONE = "done"
    FAILED = "failed"


ENDED: Final = (Phase.DONE, Phase.FAILED)

_WEIGHED: Final = frozenset({Phase.MENDING, Phase.SETTLING, *ENDED})
"""Its losses are let go, or held back."""

# Asked in each turn of the work, so that they are made once.
_CURRENT: Final = sqlalchemy.select(RUNS).where(RUNS.c.phase.not_in(ENDED)).order_by(RUNS.c.number).limit(1)
_CURRENT_DRY: Final = _CURRENT.where(RUNS.c.dry_run == 1)
_LAST_ASKED: Final = sqlalchemy.select(sqlalchemy.func.max(RUNS.c.asked_at)).where(RUNS.c.dry_run == 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One reconciliation.

    Attributes:
        number: grows from one to the next.
        dry_run: it only looks.
        apply_losses: it applies losses however many there are.
        phase: how far it is.
        asked_at: when it was asked for, the last time.
        begun_at: when it began; null if it has not.
        agreements_after: from when on agreements are searched; null for all.
        agreements_token: where the search goes on; null at its beginning.
        agreements: how many agreements were heard of.
        search_restarts: how often the search began anew.
        compared_to: the licenses up to this id are compared.
        failures: how many tries in a row failed.
        trouble: why the latest try failed; null if it did not.
    """

    number: int
    dry_run: bool
    apply_losses: bool
    phase: Phase
    asked_at: datetime
    begun_at: datetime | None
    agreements_after: datetime | None
    agreements_token: str | None
    agreements: int
    search_restarts: int
    compared_to: str
    failures: int
    trouble: str | None


def ask(ledger: Ledger, *, dry_run: bool = False, apply_losses: bool = False) -> int:
    """Ask for a reconciliation; returns its number. One that was asked for alike and is not done yet is the one.

    Raises:
        LedgerError: the database can't be written.
    """

    def decide(transaction: Transaction) -> int:
        rows = transaction.rows
        alike = (RUNS.c.dry_run == int(dry_run)) & (RUNS.c.apply_losses == int(apply_losses))
        found: int | None = rows.scalar(
            sqlalchemy.select(RUNS.c.number).where(alike, RUNS.c.phase.not_in(ENDED)).order_by(RUNS.c.number).limit(1)
        )
        if found is None:
            return _insert(transaction, dry_run=dry_run, apply_losses=apply_losses)
        asked_at = microseconds(transaction.at)
        rows.execute(sqlalchemy.update(RUNS).where(RUNS.c.number == found).values(asked_at=asked_at))
        return found

    return ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))


def hold_losses_back(ledger: Ledger, number: int) -> bool:
    """Take back that a run may let losses go however many they are; false if it is too late, since they are let go.

    Raises:
        LedgerError: the database can't be written.
    """

    def decide(transaction: Transaction) -> bool:
        this = (RUNS.c.number == number) & RUNS.c.phase.not_in(_WEIGHED)
        return bool(transaction.rows.execute(sqlalchemy.update(RUNS).where(this).values(apply_losses=0)).rowcount)

    return ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))


def ask_if_due(ledger: Ledger, *, every: timedelta) -> None:
    """Ask for a reconciliation if the last one that mends began so long ago, and none is under way.

    Raises:
        LedgerError: the database can't be written.
    """

    def decide(transaction: Transaction) -> None:
        if _is_due(transaction.rows, every=every, at=transaction.at):
            _insert(transaction, dry_run=False, apply_losses=False)

    ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))


def is_due(reading: sqlalchemy.Connection, *, every: timedelta, at: datetime) -> bool:
    """Whether the last run that mends began so long ago, and none is under way."""
    return _is_due(reading, every=every, at=at)


def current(reading: sqlalchemy.Connection, *, dry_only: bool = False) -> Run | None:
    """The run that is to be carried on, of dry runs alone if so told; null if there is none."""
    row = reading.execute(_CURRENT_DRY if dry_only else _CURRENT).one_or_none()
    return None if row is None else _run(row)


def find(reading: sqlalchemy.Connection, number: int) -> Run | None:
    """A run; null if it is not kept any more."""
    row = reading.execute(sqlalchemy.select(RUNS).where(RUNS.c.number == number)).one_or_none()
    return None if row is None else _run(row)


def is_at(transaction: Transaction, run: Run) -> bool:
    """Whether a run still stands where it was read, so that what was read for it may be written."""
    now = find(transaction.rows, run.number)
    return now is not None and _stands(now) == _stands(run)


def _stands(run: Run) -> tuple[object, ...]:
    searched = (run.agreements, run.agreements_token, run.search_restarts)
    return run.phase, run.apply_losses, searched, run.compared_to


def write(transaction: Transaction, run: Run, **values: Any) -> None:  # noqa: ANN401 -- columns
    """Say how far a run is now; whatever was in its way is over. One that has ended stays as it is."""
    this = (RUNS.c.number == run.number) & RUNS.c.phase.not_in(ENDED)
    transaction.rows.execute(sqlalchemy.update(RUNS).where(this).values(values | {"failures": 0, "trouble": None}))


def note_trouble(transaction: Transaction, run: Run, *, reason: str) -> None:
    """A step failed; it is tried again."""
    values = {"failures": run.failures + 1, "trouble": reason}
    transaction.rows.execute(sqlalchemy.update(RUNS).where(RUNS.c.number == run.number).values(values))


def add_note(transaction: Transaction, run: Run, sentence: str) -> None:
    """Something could not be asked, which the report is to say."""
    this = RUNS.c.number == run.number
    before = transaction.rows.scalar(sqlalchemy.select(RUNS.c.notes).where(this)) or ""
    lines = dict.fromkeys((*before.splitlines(), sentence))
    transaction.rows.execute(sqlalchemy.update(RUNS).where(this).values(notes="\n".join(lines)))


def begin_again(transaction: Transaction, run: Run) -> None:
    """Compare everything anew. What the search has told stays heard, since it is told as news once."""
    for table in (COMPARED, FINDINGS):
        transaction.rows.execute(sqlalchemy.delete(table).where(table.c.run == run.number))
    counted = ("agreements", "searched", "licenses", "licenses_running", "seats_running", "licenses_awaited")
    begun = {
        "phase": Phase.SWEEPING,
        "agreements_token": None,
        "compared_to": "",
        "losses": None,
        "sees_nothing": 0,
        "notes": "",
    }
    write(transaction, run, **begun, **dict.fromkeys(counted, 0))


def finish(transaction: Transaction, run: Run, *, phase: Phase, report: bytes) -> None:
    """Keep the report, and forget what led to it."""
    rows = transaction.rows
    write(transaction, run, phase=phase, report=report, finished_at=microseconds(transaction.at))
    for table in (COMPARED, HEARD, SWEPT, FINDINGS, SWEEPS):
        rows.execute(sqlalchemy.delete(table).where(table.c.run == run.number))
    alike = RUNS.c.phase.in_(ENDED) & (RUNS.c.dry_run == int(run.dry_run))
    kept = sqlalchemy.select(RUNS.c.number).where(alike).order_by(RUNS.c.number.desc()).limit(KEPT)
    numbers: Sequence[int] = rows.scalars(kept).all()
    rows.execute(sqlalchemy.delete(RUNS).where(alike, RUNS.c.number.not_in(numbers)))


def _insert(transaction: Transaction, *, dry_run: bool, apply_losses: bool) -> int:
    number = (transaction.rows.scalar(sqlalchemy.select(sqlalchemy.func.max(RUNS.c.number))) or 0) + 1
    transaction.rows.execute(
        sqlalchemy.insert(RUNS).values(
            number=number,
            dry_run=int(dry_run),
            apply_losses=int(apply_losses),
            phase=Phase.ASKED,
            asked_at=microseconds(transaction.at),
        )
    )
    return number


def _is_due(rows: sqlalchemy.Connection, *, every: timedelta, at: datetime) -> bool:
    if rows.execute(_CURRENT).one_or_none() is not None:
        return False
    last = rows.scalar(_LAST_ASKED)
    return last is None or moment(last) + every <= at


def _run(row: "sqlalchemy.Row[Any]") -> Run:
    return Run(
        number=row.number,
        dry_run=bool(row.dry_run),
        apply_losses=bool(row.apply_losses),
        phase=Phase(row.phase),
        asked_at=moment(row.asked_at),
        begun_at=None if row.begun_at is None else moment(row.begun_at),
        agreements_after=None if row.agreements_after is None else moment(row.agreements_after),
        agreements_token=row.agreements_token,
        agreements=row.agreements,
        search_restarts=row.search_restarts,
        compared_to=row.compared_to,
        failures=row.failures,
        trouble=row.trouble,
    )
