"""Reconciliation while AWS does not answer about something: everything else goes on, and the report tells what not."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from consumers.marketplace import ask_for_reconciliation
from consumers.marketplace.entitlements import NoAnswerError
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.reconcile import looking, sweeping
from consumers.marketplace.reconcile.runs import Phase
from consumers.sandbox import FaultPlan, Offer, Product
from ledger.drift import AlarmCode, Standing
from ledger.license.events import LicenseId
from tests.integration.consumers_stage import ANALYTICAL_ENGINES, COMPILERS_INC, END_OF_MAY, Stage, database, staged
from tests.integration.test_reconcile import buy_and_lose_the_messages, carry_on, ended, is_in, reconciled, the_only

FAILURE = "AWS Marketplace answered GetEntitlements with InternalServiceErrorException."
ANOTHER = Product(code="another", id="prod-another", title="DeskPhone", dimensions=("users",))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A consumer of two products, with the patience of production."""
    with (
        database("sqlite", tmp_path) as url,
        staged(
            url,
            change=lambda settings: replace(
                settings, products={**settings.products, ANOTHER.code: frozenset({"users"})}
            ),
            change_sandbox=lambda settings: replace(settings, products=(ANOTHER,)),
        ) as stage,
    ):
        yield stage


def failing(ask: Callable[..., Any], *, where: Callable[..., bool]) -> Callable[..., Any]:
    """A question that AWS never answers in some cases."""

    def asked(*args: Any, **options: Any) -> Any:  # noqa: ANN401 -- as it is
        if where(*args, **options):
            raise NoAnswerError(FAILURE)
        return ask(*args, **options)

    return asked


def names_one_of(license_arns: Collection[str], _clients: object, known_by: Any, **_: Any) -> bool:  # noqa: ANN401
    """Whether a question is about one of these licenses."""
    return any(value in license_arns for _, value in known_by)


@pytest.mark.parametrize("unanswered", [1, 2])
def test_licenses_that_aws_does_not_answer_about_hold_up_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, unanswered: int
) -> None:
    """The others are mended; these are left, with what AWS answered and that they are asked about again."""
    agreements = buy_and_lose_the_messages(stage, contracts=4)
    for agreement_id in agreements:
        stage.sandbox.marketplace.set_seats(agreement_id, seats=9)
    stage.held_back()
    arns = [stage.sandbox.marketplace.find(one).license_arn for one in agreements[:unanswered]]
    monkeypatch.setattr(looking, "look", failing(looking.look, where=partial(names_one_of, arns)))
    report = reconciled(stage)
    assert report.alarms == ()
    assert (report.counts[Standing.LEFT], report.counts[Standing.MENDED]) == (unanswered, 4 - unanswered)
    reasons = {one.reason for one in report.differences if one.standing is Standing.LEFT}
    assert reasons == {f"{FAILURE} It was tried 15 times; the next reconciliation tries again."}
    assert sorted(license_.seats_max for license_ in stage.licenses()) == [5] * unanswered + [9] * (4 - unanswered)
    monkeypatch.undo()
    assert reconciled(stage).counts[Standing.MENDED] == unanswered


def test_a_license_over_which_the_program_fails_holds_up_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left with the reason."""
    agreements = buy_and_lose_the_messages(stage, contracts=2)
    for agreement_id in agreements:
        stage.sandbox.marketplace.set_seats(agreement_id, seats=9)
    stage.held_back()
    arn = stage.sandbox.marketplace.find(agreements[0]).license_arn
    ask_aws = looking.look

    def look(clients: Any, known_by: Any, **options: Any) -> Any:  # noqa: ANN401 -- as it is
        if names_one_of([arn], clients, known_by):
            raise KeyError(arn)
        return ask_aws(clients, known_by, **options)

    monkeypatch.setattr(looking, "look", look)
    report = reconciled(stage)
    assert (report.counts[Standing.LEFT], report.counts[Standing.MENDED]) == (1, 1)
    assert (report.differences[0].reason or "").startswith("The program failed: KeyError.")


def test_a_missing_license_whose_lineage_aws_does_not_tell_holds_up_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is issued."""
    contract = stage.buy(account_id=ANALYTICAL_ENGINES)
    stage.buy(account_id=COMPILERS_INC, seats=7)
    stage.held_back()
    introduce = Lineages.introduce

    def introduced(lineages: Lineages, known_by: Any, **options: Any) -> LicenseId:  # noqa: ANN401 -- as it is
        if names_one_of([contract.license_arn], lineages, known_by):
            raise NoAnswerError(FAILURE)
        return introduce(lineages, known_by, **options)

    monkeypatch.setattr(Lineages, "introduce", introduced)
    report = reconciled(stage)
    assert (report.counts[Standing.LEFT], report.counts[Standing.MENDED]) == (1, 1)
    assert [license_.seats_max for license_ in stage.licenses()] == [7]


def test_a_product_that_aws_does_not_answer_about_holds_up_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said about its licenses; those of the other product are mended."""
    agreement_id = stage.bought().agreement_id
    offer = Offer(product_code=ANOTHER.code)
    stage.sandbox.marketplace.buy(account_id=COMPILERS_INC, seats=5, until=END_OF_MAY, offer=offer)
    stage.consume()
    stage.sandbox.marketplace.set_seats(agreement_id, seats=9)
    stage.held_back()
    unanswered = failing(sweeping.read_page, where=lambda _, sweep, **__: sweep.product_code == ANOTHER.code)
    monkeypatch.setattr(sweeping, "read_page", unanswered)
    report = reconciled(stage)
    assert the_only(report).standing is Standing.MENDED
    (alarm,) = report.alarms
    assert alarm.code is AlarmCode.NOT_SWEPT
    assert ANOTHER.code in alarm.detail
    assert FAILURE in alarm.detail
    assert report.licenses == 1
    assert sorted(license_.seats_max for license_ in stage.licenses()) == [5, 9]


def test_a_search_that_aws_does_not_answer_is_noted(stage: Stage) -> None:
    """What the sweep finds is mended without news of agreements."""
    agreement_id = stage.bought().agreement_id
    stage.sandbox.marketplace.set_seats(agreement_id, seats=9)
    stage.held_back()
    stage.sandbox.faults.set(FaultPlan(fail={"SearchAgreements": 1_000}))
    report = reconciled(stage)
    assert report.agrees
    assert report.counts[Standing.MENDED] == 1
    (note,) = report.notes
    assert note.startswith("News of agreements could not be read: ")


def test_aws_that_falls_silent_while_differences_are_read_again_leaves_them(stage: Stage) -> None:
    """All of them, soon after the patience with the first is over."""
    for agreement_id in buy_and_lose_the_messages(stage, contracts=30):
        stage.sandbox.marketplace.set_seats(agreement_id, seats=9)
    stage.held_back()
    number = ask_for_reconciliation(stage.ledger)
    carry_on(stage, until=partial(is_in, Phase.CHECKING))
    stage.sandbox.faults.set(FaultPlan(fail={"GetEntitlements": 10_000}))
    assert ended(stage, number).counts[Standing.LEFT] == 30
    stage.sandbox.faults.clear()
    assert reconciled(stage).counts[Standing.MENDED] == 30
