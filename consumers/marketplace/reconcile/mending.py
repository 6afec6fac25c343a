"""Mending: losses are weighed together, then every difference goes to the observer, which reads and decides by itself.

Reconciliation changes no license: a license that is missing is issued as for a message, and everything else is a
request to read, so that the same evidence is needed as at any other time.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
import sqlalchemy
import structlog

from consumers.marketplace import known_agreements, observations
from consumers.marketplace.budget import Priority
from consumers.marketplace.entitlements import NoAnswerError, NoObservationError
from consumers.marketplace.inbox import MARKETPLACE
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.names import Name, value_of
from consumers.marketplace.reconcile import findings, hearing, looking, losses, runs
from consumers.marketplace.reconcile.checking import IF_IT_ENDED, NO_EVIDENCE
from consumers.marketplace.reconcile.comparing import terms_of
from consumers.marketplace.reconcile.findings import Finding, Stage
from consumers.marketplace.reconcile.losses import Course
from consumers.marketplace.reconcile.runs import Phase, Run
from consumers.marketplace.reconcile.tables import FINDINGS, RUNS
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.succession import ContradictionError
from consumers.marketplace.tables import OBSERVATIONS
from ledger.drift import Difference, Losses, Standing
from ledger.ledger import Ledger
from ledger.license.events import KeyKind, LicenseId
from ledger.license.state import License
from ledger.times import microseconds
from ledger.transaction import Caller, Transaction, Work
from ledger.writer import SYSTEM_CALLER

_AT_ONCE: Final = 100

_WITHHELD: Final = "Too much would be lost at once."
_STANDS: Final = (
    "AWS was read again, and the ledger stands by what it holds. If the next reconciliation finds it again, compare the"
    " license's history with AWS Marketplace."
)
_LOGGER: Final = structlog.get_logger(__name__)


class Mender:
    """Lets the observer mend what may be mended."""

    def __init__(self, ledger: Ledger, settings: MarketplaceSettings, *, lineages: Lineages) -> None:
        """Mend in this ledger; `lineages` issues licenses that are missing."""
        self._ledger = ledger
        self._settings = settings
        self._lineages = lineages

    def weigh(self, run: Run) -> None:
        """Withhold the losses if they are too many, and release everything else; of a dry run nothing."""
        with self._ledger.reading.connect() as reading:
            found = findings.losses(reading, run)
        weighed = self._weigh(run, found) if found else None
        withheld = weighed is not None and losses.are_too_many(weighed) and not self._may_lose(run)
        kept = None if weighed is None else msgspec.json.encode(weighed)

        def decide(transaction: Transaction) -> bool:
            if not runs.is_at(transaction, run):
                return False
            if withheld:
                for finding in found:
                    findings.settle(transaction, finding, Standing.WITHHELD, reason=_WITHHELD)
            if run.dry_run:
                runs.write(transaction, run, phase=Phase.SETTLING, losses=kept)
                return withheld
            if not withheld:
                losses.note(transaction, {id_: one.here for id_, one in _by_license(found).items() if one.here})
            findings.release_confirmed(transaction, run)
            runs.write(transaction, run, phase=Phase.MENDING, losses=kept)
            return withheld

        if self._ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True)):
            _LOGGER.error("losses are withheld", licenses=len(found), reconciliation=run.number)

    def mend(self, run: Run) -> bool:
        """Go on with some of what is released; false if all of it was.

        Raises:
            NoAnswerError: AWS did not tell the lineage of a license that is missing.
            LedgerError: the database can't be written.
        """
        if self._read_heard(run):
            return True
        with self._ledger.reading.connect() as reading:
            released = findings.at_stage(reading, run, Stage.RELEASED, limit=_AT_ONCE)
        known = [finding for finding in released if finding.difference.license_id is not None]
        if known:
            self._request(run, known)
        elif released:
            self._issue(run, released[0])
        return bool(released)

    def settle(self, run: Run) -> bool:
        """See what became of what was requested; whether anything came of it."""

        def decide(transaction: Transaction) -> bool:
            concluded = _concluded(transaction, run)
            for finding in concluded:
                _settle(transaction, finding)
            if concluded:
                runs.write(transaction, run)
            return bool(concluded)

        return self._ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))

    def _read_heard(self, run: Run) -> bool:
        """Let some of the licenses be read of whose agreements there is news; whether there were any."""

        def decide(transaction: Transaction) -> bool:
            heard = hearing.heard_of(transaction.rows, run, limit=_AT_ONCE)
            for license_id in heard:
                _request_reading(transaction, license_id)
            hearing.forget(transaction, run, heard)
            return bool(heard)

        return self._ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))

    def _may_lose(self, run: Run) -> bool:
        """Whether somebody has looked at the losses: a run that was killed and goes on days later meets others."""
        return run.apply_losses and self._ledger.now() - run.asked_at <= losses.COUNT_FOR

    def _weigh(self, run: Run, found: Sequence[Finding]) -> Losses:
        """What is lost with these losses, and with what was let go within a day."""
        with self._ledger.reading.connect() as reading:
            had = losses.had_within_a_day(reading, at=self._ledger.now())
            this = RUNS.c.number == run.number
            totals = reading.execute(sqlalchemy.select(RUNS.c.licenses_running, RUNS.c.seats_running).where(this)).one()
        differences = _by_license(found)
        has = {id_: terms_of(self._ledger.past.license_now(id_)) for id_ in {*had, *differences}}
        courses = (
            Course(had=had.get(id_, ()), has=now, is_left=differences[id_].there if id_ in differences else now)
            for id_, now in has.items()
        )
        return losses.weigh(
            courses,
            licenses=totals.licenses_running,
            seats=totals.seats_running,
            percent_max=self._settings.reconcile_max_loss,
        )

    def _request(self, run: Run, known: Sequence[Finding]) -> None:
        def decide(transaction: Transaction) -> None:
            for finding in known:
                if finding.difference.license_id is not None and findings.is_at(transaction, finding, Stage.RELEASED):
                    _request_reading(transaction, finding.difference.license_id)
                    findings.move(transaction, finding, Stage.REQUESTED)
            runs.write(transaction, run)

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))

    def _issue(self, run: Run, finding: Finding) -> None:
        caller = Caller(MARKETPLACE, f"reconciliation-{run.number}")
        code = finding.difference.product_code
        with self._ledger.reading.connect() as reading:
            known_by = _with_agreement(reading, finding.names, at=self._ledger.now())
        try:
            license_id = self._lineages.introduce(known_by, product_code=code, caller=caller)
        except NoAnswerError:
            raise
        except (ContradictionError, NoObservationError) as error:
            self._leave(run, finding, reason=str(error))
            return

        def decide(transaction: Transaction) -> None:
            if findings.is_at(transaction, finding, Stage.RELEASED):
                findings.move(transaction, finding, Stage.REQUESTED, license_id=license_id)
                runs.write(transaction, run)

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))

    def _leave(self, run: Run, finding: Finding, *, reason: str) -> None:
        def decide(transaction: Transaction) -> None:
            if findings.is_at(transaction, finding, Stage.RELEASED):
                findings.settle(transaction, finding, Standing.LEFT, reason=reason)
                runs.write(transaction, run)

        self._ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))


def _with_agreement(reading: sqlalchemy.Connection, known_by: Sequence[Name], *, at: datetime) -> tuple[Name, ...]:
    """The names, and the agreement that gives the license, if the search told it: the latest that has begun."""
    arn = value_of(known_by, KeyKind.LICENSE_ARN)
    givers = () if arn is None else known_agreements.of_arn(reading, arn)
    begun = [one for one in givers if one.has_started(at=at)] or list(givers)
    return (*known_by, (KeyKind.AGREEMENT, begun[-1].agreement_id)) if begun else tuple(known_by)


def _request_reading(transaction: Transaction, license_id: LicenseId) -> None:
    observation = observations.find(transaction.rows, license_id)
    # What is due already is read before that, in its own turn.
    if observation is None or observation.due_at is None or observation.due_at > transaction.at:
        observations.request(transaction, license_id, priority=Priority.SWEEP)


def _by_license(found: Sequence[Finding]) -> Mapping[LicenseId, Difference]:
    """The differences of licenses that the ledger has, which alone can lose something."""
    differences = (finding.difference for finding in found)
    return {one.license_id: one for one in differences if one.license_id is not None}


def _concluded(transaction: Transaction, run: Run) -> list[Finding]:
    """Some of the findings whose licenses the observer is done with."""
    at = microseconds(transaction.at)
    busy = sqlalchemy.select(OBSERVATIONS.c.license_id).where(
        OBSERVATIONS.c.license_id == FINDINGS.c.license_id,
        (OBSERVATIONS.c.due_at <= at) | (OBSERVATIONS.c.leased_until > at),
    )
    return findings.at_stage(transaction.rows, run, Stage.REQUESTED, limit=_AT_ONCE, where=~busy.exists())


def _settle(transaction: Transaction, finding: Finding) -> None:
    license_id = finding.difference.license_id
    if license_id is None:
        return
    license_ = transaction.any_license(license_id)
    observation = observations.find(transaction.rows, license_id)
    reason = None if observation is None else _reason_of(transaction, license_id)
    if _is_mended(finding, license_):
        findings.mended(transaction, finding, after=terms_of(license_))
        return
    shown = finding.difference.there is not None
    way = looking.on_its_way(transaction.rows, license_id, shown=shown)
    if way is None and observation is not None and observation.failures:
        way = reason
    if way is not None:
        findings.settle(transaction, finding, Standing.ON_ITS_WAY, reason=way)
        return
    why = reason or _STANDS if shown else f"{reason or NO_EVIDENCE} {IF_IT_ENDED}"
    findings.settle(transaction, finding, Standing.LEFT, reason=why)


def _is_mended(finding: Finding, license_: License) -> bool:
    """Whether the license says what AWS says, or the reading after the sweep has led to something newer."""
    now, difference = terms_of(license_), finding.difference
    if now == difference.here != difference.there:
        return False
    arns = [value for kind, value in finding.names if kind.value == "license-arn"]
    return all(value in {known for _, known in license_.names} for value in arns)


def _reason_of(transaction: Transaction, license_id: LicenseId) -> str | None:
    query = sqlalchemy.select(OBSERVATIONS.c.reason).where(OBSERVATIONS.c.license_id == license_id)
    reason: str | None = transaction.rows.scalar(query)
    return reason
