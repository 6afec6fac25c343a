"""Alarms: raised when somebody has to look, by dry runs as well, and not when nothing is wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.marketplace import DriftReports
from ledger.drift import AlarmCode, DriftKind, DriftReport, Standing
from tests.integration.consumers_stage import MINUTE, Stage, database, staged
from tests.integration.test_reconcile import DAY, buy_and_lose_the_messages, reconciled, the_only


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database("sqlite", tmp_path) as url, staged(url) as stage:
        yield stage


def cancel_three_of_ten(stage: Stage) -> None:
    """More than may go at once; the messages get lost."""
    for agreement_id in buy_and_lose_the_messages(stage, contracts=10)[:3]:
        stage.sandbox.marketplace.cancel(agreement_id)
    stage.held_back()


def codes(report: DriftReport) -> list[AlarmCode]:
    """The alarms of a report."""
    return [alarm.code for alarm in report.alarms]


def test_a_dry_run_knows_a_cancelled_contract_from_wrong_credentials(stage: Stage) -> None:
    """The only one there is has no row any more; AWS tells the seller alone that it was cancelled, and again later."""
    contract = stage.bought()
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.held_back()
    before = stage.events()
    report = reconciled(stage, dry_run=True)
    assert codes(report) == []
    difference = the_only(report)
    assert (difference.kinds, difference.standing) == ((DriftKind.MISSING_THERE,), Standing.LEFT)
    assert stage.events() == before
    assert the_only(reconciled(stage)).standing is Standing.MENDED


def test_what_is_held_back_is_not_unexplained_as_well(stage: Stage) -> None:
    """AWS has said that it was cancelled, however long it is held back."""
    cancel_three_of_ten(stage)
    assert codes(reconciled(stage)) == [AlarmCode.LOSSES_WITHHELD]
    stage.pass_time(DAY + MINUTE)
    report = reconciled(stage)
    assert codes(report) == [AlarmCode.LOSSES_WITHHELD]
    assert report.unexplained == ()


def test_a_dry_run_says_that_losses_are_too_many(stage: Stage) -> None:
    """So that looking again does not hide it, and whoever looks first is warned."""
    cancel_three_of_ten(stage)
    before = stage.events()
    for options in ({"dry_run": True}, {}, {"dry_run": True}):
        report = reconciled(stage, **options)
        assert codes(report) == [AlarmCode.LOSSES_WITHHELD]
        assert report.counts[Standing.WITHHELD] == 3
        assert DriftReports(stage.ledger).report() == report
    assert stage.events() == before
    assert reconciled(stage, apply_losses=True).counts[Standing.MENDED] == 3
