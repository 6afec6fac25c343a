"""Checking: each difference that the sweep found is read again by itself, before anything is said or done about it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy

from consumers.marketplace import endings, known_agreements, observations
from consumers.marketplace.agreement import SUCCEEDED, AgreementStatus
from consumers.marketplace.budget import Budget
from consumers.marketplace.clients import Clients
from consumers.marketplace.entitlements import NoAnswerError, NoObservationError
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.reconcile import findings, held, looking, runs, sweeping
from consumers.marketplace.reconcile.comparing import Claims, Found, Row, compare, missing_here
from consumers.marketplace.reconcile.findings import Finding, Stage
from consumers.marketplace.reconcile.runs import Run
from consumers.marketplace.reconcile.tables import UNSEEN
from consumers.marketplace.settings import MarketplaceSettings
from ledger.drift import Standing
from ledger.ledger import Ledger
from ledger.license.events import KeyKind, LicenseId
from ledger.license.state import License
from ledger.times import microseconds
from ledger.transaction import Transaction, Work
from ledger.writer import SYSTEM_CALLER

RENEWS_WITHIN: Final = timedelta(days=1)
"""How long after its date a contract that AWS does not show is left to the readings that its date brings about."""

NO_EVIDENCE: Final = "AWS does not say that it has ended, so that nothing is taken."
IF_IT_ENDED: Final = "Ask AWS or the customer; if it has ended, `licensing-ledger lapse` records that."
_DATE_PASSED: Final = "Its date has passed. AWS is asked again and again until it is renewed or has ended."


class Checker:
    """Reads what differs again, and compares anew."""

    def __init__(
        self,
        ledger: Ledger,
        settings: MarketplaceSettings,
        clients: Clients,
        *,
        budget: Budget,
        lineages: Lineages,
        now: Callable[[], datetime],
    ) -> None:
        """Read with these clients.

        Args:
            ledger: what to compare with.
            settings: what is sold.
            clients: by which AWS is asked.
            budget: how often it may be asked about entitlements.
            lineages: asks about agreements.
            now: the clock, aware UTC.
        """
        self._ledger = ledger
        self._settings = settings
        self._clients = clients
        self._budget = budget
        self._lineages = lineages
        self._now = now

    def check(self, run: Run, finding: Finding) -> None:
        """Read one license, and say where the difference stands now.

        Raises:
            NoCallIsLeftError: AWS must not be asked by this process now.
            NoAnswerError: AWS did not answer.
            LedgerError: the database can't be written.
        """
        license_id = finding.difference.license_id
        try:
            rows = self._look_often(finding) if license_id is None else self._look(finding, license_id)
        except NoAnswerError:
            raise
        except NoObservationError as error:
            self._settle_unread(run, finding, reason=error.reason)
            return
        at = self._now()
        with self._ledger.reading.connect() as reading:
            claims = held.claims_on(reading, rows)
        if any(row.is_live(at=at) for row in rows):
            self._clients.trust.note(finding.difference.product_code, at=at)
        if license_id is None:
            self._check_missing_here(run, finding, next(iter(missing_here(rows, claims=claims, at=at)), None))
        else:
            self._check_license(run, finding, license_id, rows, claims=claims, at=at)

    def _look_often(self, finding: Finding) -> list[Row]:
        # The sweep saw it, so that an answer without it may be the mistaken one: whoever bought it would wait a run.
        rows: list[Row] = []
        for _ in range(sweeping.EMPTY_MAX):
            rows = rows or self._look(finding, None)
        return rows

    def _look(self, finding: Finding, license_id: LicenseId | None) -> list[Row]:
        known_by = finding.names
        heard = None
        if license_id is not None:
            known_by = self._ledger.past.license_now(license_id).names
            with self._ledger.reading.connect() as reading:
                observation = observations.find(reading, license_id)
                agreements = known_agreements.of_license(reading, license_id)
            arns = [(KeyKind.LICENSE_ARN, one.license_arn) for one in agreements if one.license_arn is not None]
            known_by = tuple(dict.fromkeys((*known_by, *arns)))
            heard = None if observation is None else observation.license_arn_heard
        return looking.look(
            self._clients,
            known_by,
            product_code=finding.difference.product_code,
            license_arn_heard=heard,
            dimensions=self._settings.products,
            budget=self._budget,
        )

    def _check_missing_here(self, run: Run, finding: Finding, found: Found | None) -> None:
        def decide(transaction: Transaction) -> None:
            if not findings.is_at(transaction, finding, Stage.FOUND):
                return
            if found is None:
                findings.drop(transaction, finding)
            else:
                findings.confirm(transaction, run, finding, found)
            runs.write(transaction, run)

        self._ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))

    def _check_license(
        self, run: Run, finding: Finding, license_id: LicenseId, rows: list[Row], *, claims: Claims, at: datetime
    ) -> None:
        ours = [row for row in rows if claims.owner(row) == license_id]
        shown = any(row.is_live(at=at) for row in ours)
        status = None if shown else self._status(license_id)

        def decide(transaction: Transaction) -> None:
            if not findings.is_at(transaction, finding, Stage.FOUND):
                return
            license_ = transaction.license(license_id)
            agreements = known_agreements.of_license(transaction.rows, license_id)
            found = compare(license_, ours, claims=claims, at=at, agreements=agreements)
            note_unseen(transaction, license_, shown=shown)
            if found is None:
                findings.drop(transaction, finding)
            else:
                takes = shown or self._has_ended(transaction, license_, status=status)
                found = found if takes else _without_loss(found)
                goes_on = takes or status in SUCCEEDED
                self._place(transaction, run, finding, found, license_, goes_on=goes_on)
            runs.write(transaction, run)

        self._ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, licenses=(license_id,), writes_rows=True))

    def _status(self, license_id: LicenseId) -> AgreementStatus | None:
        """How AWS says that the agreement behind a license stands; null if it does not tell.

        Raises:
            NoAnswerError: AWS did not answer.
        """
        license_ = self._ledger.past.license_now(license_id)
        agreement_id = license_.name(KeyKind.AGREEMENT)
        if agreement_id is None or license_.running is None:
            return None
        described = self._lineages.describe(agreement_id)
        return None if described is None else described.status

    def _has_ended(self, transaction: Transaction, license_: License, *, status: AgreementStatus | None) -> bool:
        """Whether there is evidence that a license of which nothing is shown has ended: without it nothing is taken."""
        subscription, policy = license_.running, transaction.policy
        if subscription is None:
            return False
        reason = endings.reason_to_lapse(
            subscription,
            # One that says so is waiting, and the difference on its way.
            notices=(),
            agreement_status=status,
            # The sweep has seen others, or nothing is compared.
            trusted=True,
            renewal_wait=self._settings.renewal_wait,
            successor_wait=max(policy.blind_wait, policy.expiry_grace),
            at=transaction.at,
        )
        return reason is not None

    def _place(
        self, transaction: Transaction, run: Run, finding: Finding, found: Found, license_: License, *, goes_on: bool
    ) -> None:
        """There is a difference still: somebody has to look, it is on its way, or it can be mended.

        One without evidence is looked at by the observer as well, which alone decides; a dry run knows the outcome.
        """
        way = looking.on_its_way(transaction.rows, license_.license_id, shown=found.there is not None)
        way = way or self._awaits_renewal(found, license_, at=transaction.at)
        if found.reason is not None:
            findings.settle(transaction, finding, Standing.LEFT, reason=found.reason, found=found)
        elif way is not None:
            findings.settle(transaction, finding, Standing.ON_ITS_WAY, reason=way, found=found)
        elif run.dry_run and not goes_on:
            findings.settle(transaction, finding, Standing.LEFT, reason=f"{NO_EVIDENCE} {IF_IT_ENDED}", found=found)
        else:
            findings.confirm(transaction, run, finding, found)

    def _awaits_renewal(self, found: Found, license_: License, *, at: datetime) -> str | None:
        subscription = license_.running
        if found.there is not None or subscription is None or subscription.renews_at > at:
            return None
        waits = max(RENEWS_WITHIN, self._settings.renewal_wait)
        return _DATE_PASSED if at - subscription.renews_at < waits else None

    def _settle_unread(self, run: Run, finding: Finding, *, reason: str) -> None:
        def decide(transaction: Transaction) -> None:
            if findings.is_at(transaction, finding, Stage.FOUND):
                findings.leave_one(transaction, finding, reason=reason)
                runs.write(transaction, run)

        self._ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))


def note_unseen(transaction: Transaction, license_: License, *, shown: bool) -> None:
    """Keep since when AWS shows nothing of a license that runs and has not come to its date."""
    rows, this = transaction.rows, UNSEEN.c.license_id == license_.license_id
    subscription = license_.running
    if shown or subscription is None or subscription.renews_at <= transaction.at:
        rows.execute(sqlalchemy.delete(UNSEEN).where(this))
    elif rows.scalar(sqlalchemy.select(UNSEEN.c.since).where(this)) is None:
        values = {"license_id": license_.license_id, "since": microseconds(transaction.at)}
        rows.execute(sqlalchemy.insert(UNSEEN).values(values))


def _without_loss(found: Found) -> Found:
    """A difference that AWS shows, and that takes nothing away."""
    return replace(found, is_loss=False, seats_lost=0)
