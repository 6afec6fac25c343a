"""Reconciliation of very many licenses by the command itself, at AWS's quota, killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy

from consumers.marketplace import known_agreements
from consumers.marketplace.agreement import Agreement, AgreementStatus
from consumers.marketplace.inbox import MARKETPLACE
from consumers.marketplace.reconcile.tables import SWEEPS
from consumers.marketplace.tables import OBSERVATIONS
from consumers.sandbox import Contract, MischiefPlan
from ledger.license import decisions
from ledger.license.events import KeyKind, LicenseId, RenewalIntent
from ledger.times import system_now
from ledger.transaction import Caller, Transaction, Work
from tests.integration.consumers_stage import PRODUCT_CODE, Stage, database, staged

LICENSES = 20_000
PAGES = LICENSES // 25
LICENSES_AT_ONCE = 500
PATIENCE_SECONDS = 400
AWS_ALLOWS_A_SECOND = 20


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A sandbox and a ledger by the machine's clock, since the command knows no other."""
    with database("sqlite", tmp_path) as url, staged(url) as stage:
        # AWS tells times to the millisecond.
        stage.clock.at = system_now().replace(microsecond=0)
        yield stage


def sell(stage: Stage, contracts: int) -> list[Contract]:
    """Let so many companies buy five seats each; no message of it arrives."""
    stage.sandbox.marketplace.mischief.set(MischiefPlan(drop=1.0))
    until = stage.clock.at + timedelta(days=200)
    return [stage.buy(seats=5, account_id=f"{111_122_220_000 + number}", until=until) for number in range(contracts)]


def know(stage: Stage, contracts: Sequence[Contract]) -> None:
    """Let the ledger have these licenses, as messages and readings would have brought them."""
    for begin in range(0, len(contracts), LICENSES_AT_ONCE):
        part = contracts[begin : begin + LICENSES_AT_ONCE]

        def decide(transaction: Transaction, part: Sequence[Contract] = part, begin: int = begin) -> None:
            license_ids = [LicenseId(f"00000000-0000-4000-8000-{begin + place:012}") for place in range(len(part))]
            for license_id, contract in zip(license_ids, part, strict=True):
                _issue(transaction, license_id, contract)
            values = [{"license_id": license_id, "observation": 1} for license_id in license_ids]
            transaction.rows.execute(sqlalchemy.insert(OBSERVATIONS), values)

        stage.ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))


def _issue(transaction: Transaction, license_id: LicenseId, contract: Contract) -> None:
    names = (
        (KeyKind.LICENSE_ARN, contract.license_arn),
        (KeyKind.AGREEMENT, contract.agreement_id),
        (KeyKind.ACCOUNT, contract.account_id),
    )
    issued = decisions.issue_license(transaction.any_license(license_id), product_code=PRODUCT_CODE, names=names)
    license_ = transaction.append(license_id, issued)
    started = decisions.observe_subscription(license_, seats_max=5, renews_at=contract.ends_at, confirmed=True)
    transaction.append(license_id, started)
    known_agreements.note(
        transaction,
        Agreement(
            agreement_id=contract.agreement_id,
            license_id=license_id,
            account_id=contract.account_id,
            initial_agreement_id=contract.agreement_id,
            license_arn=contract.license_arn,
            status=AgreementStatus.ACTIVE,
            starts_at=contract.starts_at,
            ends_at=contract.ends_at,
            renewal=RenewalIntent.RENEWS,
            renewal_source="SearchAgreements",
            renewal_told_at=transaction.at,
        ),
    )


@contextmanager
def reconciling(stage: Stage) -> Iterator["subprocess.Popen[str]"]:
    """Run the command."""
    environment = os.environ | dict(stage.environment)
    environment |= {"LEDGER_DATABASE_URL": stage.url.text, "LEDGER_PRODUCT_CODES": f"{PRODUCT_CODE}:users"}
    command = [str(Path(sys.executable).with_name("licensing-ledger")), "reconcile", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def pages(stage: Stage) -> int:
    """How many pages the sweep has read."""
    with stage.ledger.reading.connect() as reading:
        return reading.scalar(sqlalchemy.select(SWEEPS.c.pages)) or 0


def kill_after(stage: Stage, started: "subprocess.Popen[str]", *, pages_read: int) -> None:
    """Kill the command as soon as so many pages are read; there are never fewer than there were."""
    deadline, before = time.monotonic() + PATIENCE_SECONDS, pages(stage)
    while (now := pages(stage)) < pages_read:
        assert now >= before, "it began anew"
        assert started.poll() is None, "it ended"
        assert time.monotonic() < deadline
        before = now
        time.sleep(0.05)
    started.send_signal(signal.SIGKILL)
    started.wait()


@pytest.mark.timeout(600)
def test_a_reconciliation_of_very_many_licenses_goes_on_where_it_was_killed(stage: Stage) -> None:
    """Twice, without reading a page again; what differs is found among the others, and mended."""
    contracts = sell(stage, LICENSES)
    know(stage, contracts[:-1])
    marketplace = stage.sandbox.marketplace
    marketplace.set_seats(contracts[7].agreement_id, seats=8)
    marketplace.cancel(contracts[11_111].agreement_id)
    began_at = time.monotonic()
    for part in (PAGES // 4, PAGES // 2):
        with reconciling(stage) as started:
            kill_after(stage, started, pages_read=part)
    assert pages(stage) / (time.monotonic() - began_at) < AWS_ALLOWS_A_SECOND
    with reconciling(stage) as started:
        told, _ = started.communicate(timeout=PATIENCE_SECONDS)
    report = json.loads(told)
    assert started.returncode == 0
    assert report["agrees"]
    # A contract that was cancelled has no row.
    assert (report["licenses"], report["rows"], report["pages"]) == (LICENSES - 1, LICENSES - 1, PAGES)
    assert report["counts"] == {"left": 0, "withheld": 0, "mendable": 0, "on-its-way": 0, "mended": 3}
    assert {one["kinds"][0] for one in report["differences"]} == {"number", "missing-there", "missing-here"}
