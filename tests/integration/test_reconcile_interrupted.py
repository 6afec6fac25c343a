"""A reconciliation of which whoever asked for it was stopped: what it may still do, and what goes on without it."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from consumers.marketplace import Consumer, DriftReports, ask_for_reconciliation, hold_losses_back
from consumers.marketplace.reconcile import sweeping
from consumers.marketplace.reconcile.runs import Phase
from ledger.drift import AlarmCode, Standing
from tests.integration.consumers_stage import ENGINES, MINUTE, UNLIMITED, Stage, database, staged
from tests.integration.test_reconcile import DAY, buy_and_lose_the_messages, carry_on, ended, is_in, reconciled


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Three of ten contracts were cancelled, which was held back."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        agreements = buy_and_lose_the_messages(stage, contracts=10)
        for agreement_id in agreements[:3]:
            stage.sandbox.marketplace.cancel(agreement_id)
        stage.held_back()
        assert reconciled(stage).counts[Standing.WITHHELD] == 3
        yield stage


def lapsed(stage: Stage) -> int:
    """How many licenses have ended."""
    return stage.events().count("subscription-lapsed")


def test_losses_for_which_nobody_waits_any_more_are_held_back(stage: Stage) -> None:
    """Whoever carries the run on does the rest of it."""
    number = ask_for_reconciliation(stage.ledger, apply_losses=True)
    carry_on(stage, until=partial(is_in, Phase.CHECKING))
    assert hold_losses_back(stage.ledger, number)
    report = ended(stage, number)
    assert [alarm.code for alarm in report.alarms] == [AlarmCode.LOSSES_WITHHELD]
    assert not report.apply_losses
    assert lapsed(stage) == 0


def test_losses_that_were_let_go_cant_be_held_back(stage: Stage) -> None:
    """Whoever asks is told so."""
    number = ask_for_reconciliation(stage.ledger, apply_losses=True)
    carry_on(stage, until=partial(is_in, Phase.MENDING))
    assert not hold_losses_back(stage.ledger, number)
    assert ended(stage, number).counts[Standing.MENDED] == 3
    assert lapsed(stage) == 3


def test_losses_are_applied_on_the_day_on_which_somebody_looked_at_them(stage: Stage) -> None:
    """A run that was killed and goes on days later may meet others; who asks again has looked again."""
    number = ask_for_reconciliation(stage.ledger, apply_losses=True)
    stage.clock.move(DAY + MINUTE)
    assert ended(stage, number).counts[Standing.WITHHELD] == 3
    number = ask_for_reconciliation(stage.ledger, apply_losses=True)
    stage.clock.move(DAY + MINUTE)
    assert ask_for_reconciliation(stage.ledger, apply_losses=True) == number
    assert ended(stage, number).counts[Standing.MENDED] == 3


def test_who_only_looks_carries_on_nothing_that_mends(stage: Stage) -> None:
    """A run that was killed before waits for somebody who mends; the dry run goes before it."""
    number = ask_for_reconciliation(stage.ledger, apply_losses=True)
    dry = ask_for_reconciliation(stage.ledger, dry_run=True)
    before = stage.events()
    settings = replace(stage.settings, reconcile_dry_only=True)
    stage.consumer.stand_back()
    looking = Consumer(stage.ledger, settings, stage.clients, now=stage.clock, readings_per_second=UNLIMITED)
    while looking.run_once():
        pass
    reports = DriftReports(stage.ledger)
    report = reports.report(dry)
    assert report is not None
    assert report.dry_run
    assert reports.report(number) is None
    assert stage.events() == before
    looking.stand_back()
    assert ended(stage, number).counts[Standing.MENDED] == 3


@pytest.mark.parametrize("phase", [Phase.SEARCHING, Phase.COMPARING, Phase.CHECKING])
def test_a_run_that_goes_on_days_later_reads_everything_again(tmp_path: Path, phase: Phase) -> None:
    """What agreed when it was interrupted may not agree any more; the report tells of the day on which it is made."""
    with database("sqlite", tmp_path) as url, staged(url) as stage:
        agreements = buy_and_lose_the_messages(stage, contracts=4)
        stage.sandbox.marketplace.set_seats(agreements[1], seats=7)
        stage.held_back()
        number = ask_for_reconciliation(stage.ledger)
        carry_on(stage, until=partial(is_in, phase))
        stage.clock.move(3 * DAY)
        stage.sandbox.marketplace.set_seats(agreements[0], seats=9)
        stage.held_back()
        report = ended(stage, number)
        assert report.agrees
        assert (report.licenses, report.rows, report.counts[Standing.MENDED]) == (4, 4, 2)
        assert sorted(license_.seats_max for license_ in stage.licenses()) == [5, 5, 7, 9]


def test_a_run_that_is_never_done_within_a_day_says_so(tmp_path: Path) -> None:
    """It does not begin anew for ever."""
    with database("sqlite", tmp_path) as url, staged(url) as stage:
        buy_and_lose_the_messages(stage, contracts=4)
        number = ask_for_reconciliation(stage.ledger)
        for _ in range(sweeping.RESTARTS_MAX + 1):
            carry_on(stage, until=partial(is_in, Phase.SWEEPING))
            carry_on(stage, until=partial(is_in, Phase.CHECKING))
            stage.clock.move(DAY + MINUTE)
        (alarm,) = ended(stage, number).alarms
        assert alarm.code is AlarmCode.NOT_SWEPT
        assert "a day old before it could be compared" in alarm.detail
