"""Alarms: raised when somebody has to look, by dry runs as well, and not when nothing is wrong."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from consumers.marketplace import DriftReports, ask_for_reconciliation
from consumers.marketplace.reconcile.runs import Phase
from ledger.drift import AlarmCode, DriftKind, DriftReport, Losses, Standing, what_was_done
from ledger.users import parse_user
from tests.integration.consumers_stage import ADMIN, ENGINES, MINUTE, USERS, Stage, database, staged
from tests.integration.test_reconcile import (
    DAY,
    buy_and_lose_the_messages,
    carry_on,
    ended,
    is_in,
    reconciled,
    the_only,
)


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
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
    assert (difference.kinds, difference.standing) == ((DriftKind.MISSING_THERE,), Standing.MENDABLE)
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


def test_the_alarm_says_how_much_is_held_back_and_what_applying_it_does(stage: Stage) -> None:
    """Ends, users who can't go on, and users who are deleted, before it is done; and after it, what was done."""
    agreements = buy_and_lose_the_messages(stage, contracts=10)
    for license_ in stage.licenses()[:3]:
        for user in USERS[:3]:
            stage.ledger.seats.activate(license_.license_id, user=parse_user(user), caller=ADMIN)
    stage.sandbox.marketplace.cancel(agreements[0])
    stage.held_back()
    reconciled(stage)
    stage.sandbox.marketplace.set_seats(agreements[1], seats=1)
    for agreement_id in (agreements[2], agreements[3]):
        stage.sandbox.marketplace.cancel(agreement_id)
    stage.held_back()
    report = reconciled(stage)
    (alarm,) = report.alarms
    assert alarm.detail == (
        "4 licenses of 10 would lose 19 of 50 seats within 24 hours, and no more than 5 % of either go without a"
        " person. 1 of them lost it before. So 3 licenses are held back. Look at what is held back; if AWS is right,"
        " `licensing-ledger reconcile --apply-losses` ends 2 licenses, whose 3 users can't use the client then, takes"
        " seats or time from 1 license and deletes 3 users of customer 111122220001."
    )
    assert report.losses == Losses(licenses=4, seats=19, licenses_before=10, seats_before=50, percent_max=5.0)
    number = ask_for_reconciliation(stage.ledger, apply_losses=True)
    carry_on(stage, until=partial(is_in, Phase.SETTLING))
    stage.pass_time(6 * MINUTE)
    done = {what_was_done(one) for one in ended(stage, number).differences if one.standing is Standing.MENDED}
    assert done == {"It ended.", "It ended, and its 3 users can't use the client."}
