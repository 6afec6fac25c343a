"""A process hangs in a call to AWS for longer than its lease: what it says then counts only if nobody came further."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from consumers.marketplace import DriftReports, ask_for_reconciliation
from consumers.marketplace.budget import ReadingsBudget
from consumers.marketplace.consumer import JOB
from consumers.marketplace.entitlements import NoObservationError
from consumers.marketplace.reconcile import looking, searching, sweeping
from consumers.marketplace.reconcile.reconciler import Reconciler
from consumers.marketplace.reconcile.runs import Phase
from consumers.marketplace.reconcile.searching import SearchIsRefusedError
from ledger.drift import DriftReport, Standing
from tests.integration.consumers_stage import ENGINES, UNLIMITED, Stage, database, staged
from tests.integration.test_reconcile import buy_and_lose_the_messages, carry_on, ended, is_in, the_only

DENIED = "AWS Marketplace answered SearchAgreements with AccessDeniedException."
INVALID = "AWS Marketplace answered GetEntitlements with InvalidParameterException."


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def hang(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    call: tuple[Any, str],
    *,
    meanwhile: Callable[[], None],
    then: Exception,
) -> None:
    """Take a step whose call to AWS hangs, while another process is elected and goes on, and is refused in the end."""
    stage.consumer.stand_back()
    campaign = stage.ledger.campaign(JOB)
    budget = ReadingsBudget(campaign, UNLIMITED)
    late = Reconciler(stage.ledger, stage.settings, stage.clients, budget=budget, now=stage.clock)

    def hanging(*_: object, **__: object) -> None:
        monkeypatch.undo()
        campaign.resign()
        meanwhile()
        raise then

    monkeypatch.setattr(*call, hanging)
    late.step(at=stage.clock.at)


def test_a_search_that_is_refused_late_revives_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report stays what it was."""
    buy_and_lose_the_messages(stage, contracts=4)
    number = ask_for_reconciliation(stage.ledger)
    carry_on(stage, until=partial(is_in, Phase.SEARCHING))
    made: list[DriftReport] = []
    hang(
        stage,
        monkeypatch,
        (searching, "read_page"),
        meanwhile=lambda: made.append(ended(stage, number)),
        then=SearchIsRefusedError(DENIED),
    )
    stage.consume()
    (report,) = made
    assert report.agrees
    assert DriftReports(stage.ledger).report(number) == report


def test_a_sweep_that_is_refused_late_gives_nothing_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process has read it to its end."""
    buy_and_lose_the_messages(stage, contracts=4)
    number = ask_for_reconciliation(stage.ledger)
    carry_on(stage, until=partial(is_in, Phase.SWEEPING))
    hang(
        stage,
        monkeypatch,
        (sweeping, "read_page"),
        meanwhile=lambda: carry_on(stage, until=partial(is_in, Phase.COMPARING)),
        then=NoObservationError(INVALID),
    )
    report = ended(stage, number)
    assert report.agrees
    assert report.rows == 4


def test_a_reading_that_is_refused_late_leaves_no_difference_of_another_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that it was made for is done, and the next one has found something else."""
    agreements = buy_and_lose_the_messages(stage, contracts=4)
    stage.sandbox.marketplace.set_seats(agreements[0], seats=9)
    stage.held_back()
    number = ask_for_reconciliation(stage.ledger)
    carry_on(stage, until=partial(is_in, Phase.CHECKING))
    following: list[int] = []

    def another_run() -> None:
        assert the_only(ended(stage, number)).standing is Standing.MENDED
        stage.sandbox.marketplace.set_seats(agreements[1], seats=9)
        stage.held_back()
        following.append(ask_for_reconciliation(stage.ledger))
        carry_on(stage, until=partial(is_in, Phase.CHECKING))

    hang(stage, monkeypatch, (looking, "look"), meanwhile=another_run, then=NoObservationError(INVALID))
    assert the_only(ended(stage, following[0])).standing is Standing.MENDED
