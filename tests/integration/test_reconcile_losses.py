"""How much a reconciliation may take away: what AWS says has ended, as far as it is not too much within a day."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.sandbox import FaultPlan
from ledger.drift import AlarmCode, Standing
from tests.integration.consumers_stage import MINUTE, Stage, database, staged
from tests.integration.test_reconcile import DAY, buy_and_lose_the_messages, reconciled

HOUR = timedelta(hours=1)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database("sqlite", tmp_path) as url, staged(url) as stage:
        yield stage


# -- what is a loss ----------------------------------------------------------------------------------------------------


def test_what_aws_does_not_show_and_does_not_say_has_ended_holds_no_end_back(stage: Stage) -> None:
    """Nothing of it is taken, so that it is no loss: whoever stopped paying meanwhile goes all the same."""
    agreements = buy_and_lose_the_messages(stage, contracts=10)
    stage.sandbox.faults.set(FaultPlan(rows=dict.fromkeys(agreements[:2], ())))
    assert reconciled(stage).counts[Standing.LEFT] == 2
    stage.pass_time(20 * HOUR)
    stage.sandbox.marketplace.cancel(agreements[5])
    stage.held_back()
    report = reconciled(stage)
    assert (report.counts[Standing.LEFT], report.counts[Standing.MENDED]) == (2, 1)
    assert {one.is_loss for one in report.differences if one.standing is Standing.LEFT} == {False}
    assert report.alarms == ()
    assert stage.events().count("subscription-lapsed") == 1


def test_many_licenses_that_aws_does_not_show_are_left_and_not_held_back(stage: Stage) -> None:
    """Nobody is told to apply losses of which none would be applied; a day later it is an alarm of its own."""
    agreements = buy_and_lose_the_messages(stage, contracts=10)
    stage.sandbox.faults.set(FaultPlan(rows=dict.fromkeys(agreements[:8], ())))
    report = reconciled(stage)
    assert (report.counts[Standing.LEFT], report.counts[Standing.WITHHELD], report.alarms) == (8, 0, ())
    stage.pass_time(DAY + MINUTE)
    report = reconciled(stage)
    assert [alarm.code for alarm in report.alarms] == [AlarmCode.UNEXPLAINED]
    assert "subscription-lapsed" not in stage.events()
