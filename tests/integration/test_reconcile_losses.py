"""How much a reconciliation may take away: what AWS says has ended, as far as it is not too much within a day."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from consumers.marketplace import ask_for_reconciliation
from consumers.marketplace.reconcile.runs import Phase
from consumers.sandbox import AtEnd, FaultPlan
from ledger.drift import AlarmCode, DriftKind, Standing
from ledger.license.events import RenewalIntent
from tests.integration.consumers_stage import ENGINES, MINUTE, Stage, database, staged
from tests.integration.test_reconcile import DAY, buy_and_lose_the_messages, carry_on, ended, is_in, reconciled

HOUR = timedelta(hours=1)


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
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


def test_ends_that_the_search_alone_tells_of_are_weighed_too(stage: Stage) -> None:
    """Eight of ten are cancelled after the sweep has seen them: they don't go unweighed because of when it was."""
    agreements = buy_and_lose_the_messages(stage, contracts=10)
    number = ask_for_reconciliation(stage.ledger)
    carry_on(stage, until=partial(is_in, Phase.SEARCHING))
    for agreement_id in agreements[:8]:
        stage.sandbox.marketplace.cancel(agreement_id)
    stage.held_back()
    report = ended(stage, number)
    assert [alarm.code for alarm in report.alarms] == [AlarmCode.LOSSES_WITHHELD]
    assert report.counts[Standing.WITHHELD] == 8
    assert {one.kinds for one in report.differences} == {(DriftKind.MISSING_THERE,)}
    assert "subscription-lapsed" not in stage.events()


def test_news_after_which_nothing_differs_is_taken_in_without_a_word(stage: Stage) -> None:
    """What becomes of a contract at its end is recorded, and no difference reported, also where AWS can't be asked."""
    agreements = buy_and_lose_the_messages(stage, contracts=4)
    for agreement_id in agreements[:2]:
        stage.sandbox.marketplace.decide_end(agreement_id, at_end=AtEnd.EXPIRE)
    stage.held_back()
    number = ask_for_reconciliation(stage.ledger)
    carry_on(stage, until=partial(is_in, Phase.CHECKING))
    odd = ({"Dimension": "users", "Value": {"IntegerValue": -1}},)
    stage.sandbox.faults.set(FaultPlan(rows={agreements[0]: odd}))
    report = ended(stage, number)
    assert [one.kinds for one in report.differences] == [(DriftKind.UNREADABLE,)]
    stage.sandbox.faults.clear()
    stage.pass_time(DAY)
    assert reconciled(stage).differences == ()
    intents = [one.renewal.intent for one in stage.licenses() if one.renewal is not None]
    assert intents.count(RenewalIntent.ENDS) == 2


# -- within a day ------------------------------------------------------------------------------------------------------


def test_losses_of_one_license_in_several_runs_add_up(tmp_path: Path) -> None:
    """Hour by hour a little less: of what there was in the morning no more goes than the limit lets."""
    with (
        database("sqlite", tmp_path) as url,
        staged(url, change=lambda settings: replace(settings, reconcile_max_loss=Decimal(60))) as stage,
    ):
        large = [stage.buy(seats=20, account_id=f"{111122220000 + number}").agreement_id for number in range(3)]
        for number in range(2):
            stage.buy(seats=5, account_id=f"{333322220000 + number}")
        stage.consume()
        left = []
        for seats in (12, 6, 2):
            for agreement_id in large:
                stage.sandbox.marketplace.set_seats(agreement_id, seats=seats)
            stage.held_back()
            reconciled(stage)
            left.append(sum(license_.seats_max for license_ in stage.licenses()))
            stage.pass_time(HOUR)
        assert left == [46, 28, 28]
        stage.pass_time(DAY)
        assert reconciled(stage).counts[Standing.MENDED] == 3
