"""Reconciliation against the sandbox: what differs is found and mended, and nothing is taken by mistake."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from consumers.marketplace import Consumer, DriftReports, MarketplaceOperating, ask_for_reconciliation
from consumers.marketplace.budget import ReadingsBudget
from consumers.marketplace.consumer import JOB
from consumers.marketplace.reconcile import looking, runs, sweeping
from consumers.marketplace.reconcile.comparing import Row
from consumers.marketplace.reconcile.reconciler import Reconciler
from consumers.marketplace.reconcile.runs import Phase, Run
from consumers.marketplace.reconcile.sweeping import Page
from consumers.marketplace.reconcile.tables import COMPARED, FINDINGS, SWEEPS, SWEPT
from consumers.sandbox import (
    Contract,
    FaultPlan,
    Generation,
    Intent,
    Offer,
    PredecessorEnds,
    Product,
    SuccessorTerms,
)
from ledger.drift import AlarmCode, CandidateSide, Difference, DriftKind, DriftReport, Standing
from ledger.license.decisions import TwinIsInUseError
from ledger.license.events import KeyKind, SuccessionReason
from ledger.license.state import License
from ledger.transaction import Transaction, Work
from ledger.users import parse_user
from ledger.writer import SYSTEM_CALLER
from tests.integration.consumers_stage import (
    ADMIN,
    ANALYTICAL_ENGINES,
    COMPILERS_INC,
    END_OF_MAY,
    END_OF_NEXT_MAY,
    ENGINES,
    MINUTE,
    NOON,
    UNLIMITED,
    USERS,
    Stage,
    database,
    staged,
)
from tests.integration.test_consumers_together import running, wait_for

DAY = timedelta(days=1)
TURNS_MAX = 3_000


on_each_engine = pytest.mark.parametrize("engine", ENGINES)
"""For tests of what the database does; the others are about rules, and SQLite is quick."""


@pytest.fixture
def engine() -> str:
    """The engine of tests that are not about engines."""
    return "sqlite"


@pytest.fixture
def stage(engine: str, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(engine, tmp_path) as url, staged(url) as stage:
        yield stage


def reconciled(stage: Stage, *, dry_run: bool = False, apply_losses: bool = False) -> DriftReport:
    """Ask for a reconciliation and let it come to its end; time passes only while AWS does not answer."""
    number = ask_for_reconciliation(stage.ledger, dry_run=dry_run, apply_losses=apply_losses)
    return ended(stage, number)


def ended(stage: Stage, number: int) -> DriftReport:
    """Let a reconciliation come to its end."""
    reports = DriftReports(stage.ledger)
    for _ in range(TURNS_MAX):
        report = reports.report(number)
        if report is not None:
            return report
        if not stage.consumer.run_once():
            stage.clock.move(timedelta(seconds=10))
    pytest.fail(f"it did not come to its end: {reports.progress(number)}")


def carry_on(stage: Stage, *, until: Callable[[Run], bool]) -> None:
    """Let the run that is under way go on step by step, in a process that is killed as soon as something holds."""
    stage.consumer.stand_back()
    campaign = stage.ledger.campaign(JOB)
    budget = ReadingsBudget(campaign, UNLIMITED)
    reconciler = Reconciler(stage.ledger, stage.settings, stage.clients, budget=budget, now=stage.clock)
    for _ in range(TURNS_MAX):
        with stage.ledger.reading.connect() as reading:
            run = runs.current(reading)
        assert run is not None
        if until(run):
            campaign.resign()
            return
        reconciler.step(at=stage.clock.at)
    pytest.fail("it did not come to hold")


def is_in(phase: Phase, run: Run) -> bool:
    """Whether a run has come so far."""
    return run.phase is phase


def pages_read(stage: Stage) -> int:
    """How many pages the sweep has read."""
    with stage.ledger.reading.connect() as reading:
        return reading.scalar(sqlalchemy.select(SWEEPS.c.pages)) or 0


def the_only(report: DriftReport) -> Difference:
    """The one difference of a report."""
    (difference,) = report.differences
    return difference


def buy_and_lose_the_messages(stage: Stage, *, contracts: int) -> list[str]:
    """Let companies buy five seats each, and the ledger hear of them; returns the agreements."""
    accounts = [f"{111122220000 + number}" for number in range(contracts)]
    bought = [stage.buy(seats=5, account_id=account).agreement_id for account in accounts]
    stage.consume()
    return bought


@on_each_engine
def test_a_ledger_that_heard_everything_agrees(stage: Stage) -> None:
    """Nothing is found, nothing recorded, and nothing of the work is left behind."""
    stage.bought()
    before = stage.events()
    report = reconciled(stage)
    assert report.agrees
    assert (report.licenses, report.rows, report.pages) == (1, 1, 1)
    assert (report.differences, report.alarms, report.unexplained, report.candidates) == ((), (), (), ())
    assert stage.events() == before
    with stage.ledger.reading.connect() as reading:
        for table in (COMPARED, FINDINGS, SWEEPS, SWEPT):
            assert reading.execute(sqlalchemy.select(table)).all() == []


@on_each_engine
def test_a_purchase_whose_messages_were_lost_is_issued(stage: Stage) -> None:
    """The license is read at once, and known by its ARN and account."""
    contract = stage.buy(seats=7)
    stage.held_back()
    report = reconciled(stage)
    assert report.agrees
    difference = the_only(report)
    assert (difference.kinds, difference.standing) == ((DriftKind.MISSING_HERE,), Standing.MENDED)
    license_ = stage.license()
    assert difference.license_id == license_.license_id
    assert (license_.seats_max, license_.subscription and license_.subscription.renews_at) == (7, END_OF_MAY)
    assert {contract.license_arn, contract.agreement_id} <= {value for _, value in license_.names}
    assert reconciled(stage).differences == ()


@pytest.mark.parametrize("generation", [Generation.CONCURRENT, Generation.LEGACY])
def test_more_seats_and_a_later_date_are_taken_over(stage: Stage, generation: Generation) -> None:
    """As if the lost messages had come."""
    contract = stage.buy(seats=5, generation=generation)
    stage.consume()
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
    stage.sandbox.marketplace.renew(contract.agreement_id, until=END_OF_NEXT_MAY)
    stage.held_back()
    report = reconciled(stage)
    assert report.agrees
    difference = the_only(report)
    assert (difference.kinds, difference.standing) == ((DriftKind.NUMBER, DriftKind.DATE), Standing.MENDED)
    assert stage.license().seats_max == 8
    assert stage.events()[-2:] == ["seat-limit-raised", "subscription-renewed"]


def test_a_dry_run_only_reports(stage: Stage) -> None:
    """Whatever there is: gains, losses and what is missing here."""
    contract = stage.bought(seats=5)
    stage.buy(seats=3, account_id=COMPILERS_INC)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
    stage.held_back()
    before = stage.events()
    report = reconciled(stage, dry_run=True)
    assert not report.agrees
    assert {one.kinds for one in report.differences} == {(DriftKind.NUMBER,), (DriftKind.MISSING_HERE,)}
    assert report.counts[Standing.MENDABLE] == 2
    assert stage.events() == before


def test_a_dry_run_tells_what_it_would_mend_from_what_needs_a_person(stage: Stage) -> None:
    """As the reconciliation after it does, and with the same reason."""
    agreements = buy_and_lose_the_messages(stage, contracts=4)
    stage.sandbox.marketplace.set_seats(agreements[0], seats=9)
    stage.sandbox.marketplace.cancel(agreements[1])
    stage.held_back()
    odd = ({"Dimension": "users", "Value": {"IntegerValue": -1}},)
    stage.sandbox.faults.set(FaultPlan(rows={agreements[2]: odd, agreements[3]: ()}))
    dry = reconciled(stage, dry_run=True)
    assert (dry.counts[Standing.MENDABLE], dry.counts[Standing.LEFT]) == (2, 2)
    report = reconciled(stage)
    assert (report.counts[Standing.MENDED], report.counts[Standing.LEFT]) == (2, 2)
    for one in (dry, report):
        left = [difference for difference in one.differences if difference.standing is Standing.LEFT]
        unreadable, not_shown = sorted(difference.reason or "" for difference in left)
        assert "a negative number. Nothing changes until AWS shows a row that can be read" in unreadable
        assert "if it has ended, `licensing-ledger lapse` records that" in not_shown


def test_a_decrease_that_deletes_users_waits_for_its_second_reading(stage: Stage) -> None:
    """Until then it is on its way, and no drift."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=3)
    stage.held_back()
    report = reconciled(stage)
    assert the_only(report).standing is Standing.ON_ITS_WAY
    assert report.agrees
    assert stage.license().seats_active == 5
    stage.pass_time(6 * MINUTE)
    assert (stage.license().seats_max, stage.license().seats_active) == (3, 0)
    assert reconciled(stage).differences == ()


@on_each_engine
def test_of_ten_licenses_the_one_that_ended_goes_alone(stage: Stage) -> None:
    """One of ten is more than five percent, but a single one is nothing to wonder about."""
    agreements = buy_and_lose_the_messages(stage, contracts=10)
    stage.sandbox.marketplace.expire(agreements[3])
    stage.held_back()
    report = reconciled(stage)
    assert report.agrees
    difference = the_only(report)
    assert (difference.kinds, difference.standing) == ((DriftKind.MISSING_THERE,), Standing.MENDED)
    lapsed = [one for one in stage.licenses() if one.subscription is not None and one.subscription.lapse is not None]
    assert [one.license_id for one in lapsed] == [difference.license_id]
    assert stage.events().count("subscription-lapsed") == 1


@on_each_engine
def test_credentials_that_see_nothing_take_nothing(stage: Stage) -> None:
    """Those of a buyer's account get an empty answer about everybody; it is an alarm, each time."""
    buy_and_lose_the_messages(stage, contracts=10)
    stage.sandbox.faults.set(FaultPlan(as_buyer=True))
    before = stage.events()
    for options in ({}, {"apply_losses": True}):
        report = reconciled(stage, **options)
        assert not report.agrees
        assert [alarm.code for alarm in report.alarms] == [AlarmCode.SEES_NOTHING]
        stage.pass_time(DAY + MINUTE)
    assert stage.events() == before


def test_of_a_missing_license_with_an_agreement_and_its_successor_the_larger_number_counts(stage: Stage) -> None:
    """Both give its ARN and show their rows; they don't add up."""
    contract = stage.buy(seats=2)
    terms = SuccessorTerms(
        until=END_OF_NEXT_MAY, seats=6, keeps_license=True, predecessor_ends=PredecessorEnds.ON_ITS_DATE
    )
    stage.sandbox.marketplace.succeed(contract.agreement_id, terms)
    stage.held_back()
    assert reconciled(stage).agrees
    assert stage.license().seats_max == 6


def test_a_sweep_in_which_aws_shows_nothing_is_made_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer may be empty by mistake; what is missing here is not left for the next day because of it."""
    contract = stage.buy()
    stage.held_back()
    pages = [Page(rows=(), next_token=None)]
    ask_aws = sweeping.read_page

    def read_page(*args: Any, **options: Any) -> Page:  # noqa: ANN401 -- as it is
        return pages.pop() if pages else ask_aws(*args, **options)

    monkeypatch.setattr(sweeping, "read_page", read_page)
    report = reconciled(stage)
    assert report.agrees
    assert (report.rows, report.pages) == (1, 1)
    assert stage.license().name(KeyKind.LICENSE_ARN) == contract.license_arn


def test_what_a_sweep_showed_is_looked_for_again_where_a_look_shows_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either answer may be the mistaken one; who bought does not wait for the next run because of it."""
    contract = stage.buy()
    stage.held_back()
    mistaken: list[list[Row]] = [[], []]
    ask_aws = looking.look

    def look(*args: Any, **options: Any) -> list[Row]:  # noqa: ANN401 -- as it is
        return mistaken.pop() if mistaken else ask_aws(*args, **options)

    monkeypatch.setattr(looking, "look", look)
    assert reconciled(stage).agrees
    assert stage.license().name(KeyKind.LICENSE_ARN) == contract.license_arn


@on_each_engine
def test_losses_that_are_too_many_are_withheld_until_somebody_looked(stage: Stage) -> None:
    """All of them, with an alarm; then they go."""
    agreements = buy_and_lose_the_messages(stage, contracts=10)
    for agreement_id in agreements[:3]:
        stage.sandbox.marketplace.cancel(agreement_id)
    stage.held_back()
    before = stage.events()
    report = reconciled(stage)
    assert not report.agrees
    assert [alarm.code for alarm in report.alarms] == [AlarmCode.LOSSES_WITHHELD]
    assert report.counts[Standing.WITHHELD] == 3
    assert stage.events() == before
    applied = reconciled(stage, apply_losses=True)
    assert applied.agrees
    assert applied.counts[Standing.MENDED] == 3
    assert stage.events().count("subscription-lapsed") == 3


def test_losses_of_a_day_count_together(stage: Stage) -> None:
    """Two go, then the third within a day is one too many; a day later it goes."""
    agreements = buy_and_lose_the_messages(stage, contracts=10)
    for agreement_id in agreements[:2]:
        stage.sandbox.marketplace.cancel(agreement_id)
    stage.held_back()
    assert reconciled(stage).counts[Standing.MENDED] == 2
    stage.sandbox.marketplace.cancel(agreements[2])
    stage.held_back()
    assert reconciled(stage).counts[Standing.WITHHELD] == 1
    stage.pass_time(DAY + MINUTE)
    assert reconciled(stage).counts[Standing.MENDED] == 1


@on_each_engine
def test_an_empty_answer_without_a_word_why_takes_nothing_and_is_an_alarm_after_a_day(stage: Stage) -> None:
    """Before that it is a difference that is left."""
    agreements = buy_and_lose_the_messages(stage, contracts=4)
    stage.sandbox.faults.set(FaultPlan(rows={agreements[0]: ()}))
    report = reconciled(stage)
    assert not report.agrees
    assert the_only(report).standing is Standing.LEFT
    assert report.unexplained == ()
    stage.pass_time(DAY + MINUTE)
    report = reconciled(stage)
    assert [alarm.code for alarm in report.alarms] == [AlarmCode.UNEXPLAINED]
    (unexplained,) = report.unexplained
    assert unexplained.license_id == the_only(report).license_id
    assert "subscription-lapsed" not in stage.events()
    stage.sandbox.faults.clear()
    report = reconciled(stage)
    assert report.agrees
    assert report.unexplained == ()


def test_a_contract_that_was_cancelled_long_before_its_date_ends_though_nobody_heard(stage: Stage) -> None:
    """Three years to go, and both messages lost: AWS tells the seller alone how the agreement stands."""
    contract = stage.bought(until=END_OF_MAY.replace(year=2029))
    stage.pass_time(DAY)
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.held_back()
    report = reconciled(stage)
    assert report.agrees
    assert the_only(report).standing is Standing.MENDED
    subscription = stage.license().subscription
    assert subscription is not None
    assert subscription.lapse is not None
    assert subscription.lapse.reason.value == "cancelled"


def test_a_renewal_whose_messages_were_lost_goes_on_as_the_same_license(stage: Stage) -> None:
    """The search for agreements tells what follows what; the users keep their seats."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    terms = SuccessorTerms(intent=Intent.RENEW, seats=6, until=END_OF_NEXT_MAY)
    renewed = stage.sandbox.marketplace.succeed(contract.agreement_id, terms).contract
    stage.held_back()
    report = reconciled(stage)
    assert report.agrees
    license_ = stage.license()
    assert (license_.seats_max, license_.seats_active) == (6, 5)
    assert renewed.agreement_id in {value for _, value in license_.names}
    assert reconciled(stage).differences == ()


def test_a_successor_that_never_comes_explains_no_number_that_aws_shows(stage: Stage) -> None:
    """A partner's agreement is replaced under its ARN, which nobody tells but a message that got lost."""
    marketplace = stage.sandbox.marketplace
    offer = Offer(via_partner=True)
    old = marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, offer=offer).contract
    stage.consume()
    stage.activate(*USERS)
    terms = SuccessorTerms(intent=Intent.REPLACE, seats=5, until=END_OF_NEXT_MAY, keeps_license=True)
    new = marketplace.succeed(old.agreement_id, terms).contract
    stage.send(*(body for body in stage.held_back() if "Ended" in body))
    stage.consume()
    assert stage.statuses()[-1] == "parked"
    for number in (9, 4):
        marketplace.set_seats(new.agreement_id, seats=number)
        stage.held_back()
        reconciled(stage)
        stage.pass_time(6 * MINUTE)
        assert stage.license().seats_max == number
    assert stage.license().seats_active == 0
    assert reconciled(stage).differences == ()


def test_a_legacy_license_learns_the_arn_under_which_aws_shows_it_now(stage: Stage) -> None:
    """Its listing has moved to concurrent agreements, of which AWS says nothing."""
    contract = stage.buy(generation=Generation.LEGACY)
    stage.consume()
    stage.sandbox.marketplace.opt_in(contract.agreement_id)
    stage.held_back()
    report = reconciled(stage)
    assert report.agrees
    assert (the_only(report).kinds, the_only(report).standing) == ((DriftKind.KEY,), Standing.MENDED)
    assert contract.license_arn in {value for _, value in stage.license().names}
    assert reconciled(stage).differences == ()


@on_each_engine
def test_a_legacy_license_that_a_reconciliation_named_is_found_by_its_next_agreement(stage: Stage) -> None:
    """The search has heard of the agreement before anybody knew whose it is, so that AWS is not asked for it again."""
    contract = stage.buy(generation=Generation.LEGACY)
    stage.consume()
    stage.sandbox.marketplace.opt_in(contract.agreement_id)
    stage.held_back()
    reconciled(stage)
    renewed = stage.sandbox.marketplace.succeed(
        contract.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, seats=9, keeps_license=False)
    )
    stage.consume()
    license_ = stage.license()
    assert license_.subscription is not None
    assert (license_.subscription.seats_max, license_.name(KeyKind.AGREEMENT)) == (9, renewed.contract.agreement_id)
    assert set(stage.statuses()) == {"done", "ignored"}
    assert reconciled(stage).differences == ()


def test_a_later_purchase_beside_a_legacy_license_is_known_by_what_the_search_tells(stage: Stage) -> None:
    """Its listing has moved, and no message of either was heard: when their agreements began tells which is which."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    stage.clock.move(DAY)
    stage.sandbox.marketplace.opt_in(contract.agreement_id)
    second = stage.buy(seats=3, generation=Generation.OPTED_IN)
    stage.held_back()
    reconciled(stage)
    stage.pass_time(60 * MINUTE)
    # The legacy license has its ARN now, so that the other one is seen to be missing.
    assert reconciled(stage).agrees
    first, other = stage.licenses()
    assert (first.seats_max, first.name(KeyKind.LICENSE_ARN)) == (5, contract.license_arn)
    assert (other.seats_max, other.name(KeyKind.LICENSE_ARN)) == (3, second.license_arn)
    assert reconciled(stage).differences == ()


def test_what_aws_does_not_link_is_proposed_and_not_applied(stage: Stage) -> None:
    """A new license of the same account near the end of an old one may be that one renewed."""
    old = stage.bought(until=NOON + 5 * DAY)
    stage.pass_time(3 * DAY)
    new = stage.buy(seats=6)
    stage.buy(seats=6, account_id=COMPILERS_INC)
    stage.consume()
    stage.clock.move(3 * DAY)
    stage.sandbox.marketplace.expire(old.agreement_id)
    stage.consume()
    before = stage.events()
    report = reconciled(stage)
    assert report.agrees
    (candidate,) = report.candidates
    assert (candidate.customer_id, candidate.key) == (ANALYTICAL_ENGINES, new.license_arn)
    older, newer, _ = stage.licenses()
    assert (candidate.license_id, candidate.successor_id) == (older.license_id, newer.license_id)
    assert (candidate.older, candidate.newer) == (
        CandidateSide(seats_max=5, seats_active=0),
        CandidateSide(seats_max=6, seats_active=0),
    )
    assert stage.events() == before


def near_the_end_of_an_old_one(stage: Stage, generation: Generation = Generation.CONCURRENT) -> Sequence[License]:
    """A contract ends soon after its customer bought another one, which AWS does not link."""
    old = stage.bought(until=NOON + 5 * DAY)
    stage.pass_time(3 * DAY)
    stage.buy(seats=6, generation=generation)
    stage.consume()
    stage.clock.move(3 * DAY)
    stage.sandbox.marketplace.expire(old.agreement_id)
    stage.consume()
    return stage.licenses()


def test_what_is_proposed_can_be_done(stage: Stage) -> None:
    """By the key that the report names; a license with users has to be freed before, which the report says."""
    older, newer = near_the_end_of_an_old_one(stage)
    seat_id = stage.ledger.seats.activate(newer.license_id, user=parse_user("ada"), caller=ADMIN).seat.seat_id
    operating, reason = MarketplaceOperating(stage.ledger), SuccessionReason.PRIVATE_RENEWAL
    (candidate,) = reconciled(stage).candidates
    assert candidate.obstacle is not None
    with pytest.raises(TwinIsInUseError):
        operating.preview(older.license_id, key=candidate.key, caller=ADMIN)
    stage.ledger.seats.delete(newer.license_id, seat_id=seat_id, caller=ADMIN)
    (candidate,) = reconciled(stage).candidates
    assert candidate.obstacle is None
    operating.succeed(candidate.license_id, key=candidate.key, reason=reason, caller=ADMIN)
    stage.consume()
    goes_on, twin = stage.licenses()
    assert (goes_on.seats_max, twin.folded_into) == (6, older.license_id)
    assert reconciled(stage).candidates == ()


def test_no_license_is_proposed_whose_seats_would_not_be_seen(stage: Stage) -> None:
    """The older one is read by its LicenseArn, and the newer one is shown to its legacy customer alone."""
    near_the_end_of_an_old_one(stage, Generation.LEGACY)
    (candidate,) = reconciled(stage).candidates
    assert candidate.obstacle is not None
    assert "They go on beside each other." in candidate.obstacle


def test_the_second_product_of_a_renewed_agreement_is_proposed(engine: str, tmp_path: Path) -> None:
    """One agreement sold two products, and its renewal was heard of without either: only the first one is linked.

    Which licenses the agreement before gave, AWS does not tell a seller for sure; so a person says it.
    """
    second = Product(code="another", id="prod-another", title="DeskPhone", dimensions=("users",))
    with (
        database(engine, tmp_path) as url,
        staged(
            url,
            change=lambda settings: replace(
                settings, products={**settings.products, second.code: frozenset({"users"})}
            ),
            change_sandbox=lambda settings: replace(settings, products=(second,)),
        ) as stage,
    ):
        market, agreements = stage.sandbox.marketplace, dict[str, str]()

        def tell() -> None:
            """What the sandbox sells by two agreements was sold by one."""
            for body in stage.held_back():
                named = body
                for of_second, of_both in agreements.items():
                    named = named.replace(of_second, of_both)
                stage.send(named)
            stage.consume()

        def buy_second(until: datetime) -> Contract:
            offer = Offer(product_code=second.code)
            return market.buy(account_id=ANALYTICAL_ENGINES, seats=3, until=until, offer=offer).contract

        phones, desks = stage.buy(until=NOON + 5 * DAY), buy_second(NOON + 5 * DAY)
        agreements[desks.agreement_id] = phones.agreement_id
        tell()
        stage.clock.move(3 * DAY)
        terms = SuccessorTerms(until=END_OF_NEXT_MAY, intent=Intent.RENEW, keeps_license=False)
        renewed, renewed_desks = market.succeed(phones.agreement_id, terms).contract, buy_second(END_OF_NEXT_MAY)
        agreements[renewed_desks.agreement_id] = renewed.agreement_id
        tell()
        stage.clock.move(3 * DAY)
        market.expire(desks.agreement_id)
        tell()
        of_phones, of_desks, of_new_desks = stage.licenses()
        assert of_phones.name(KeyKind.AGREEMENT) == renewed.agreement_id
        assert [one.product_code for one in (of_desks, of_new_desks)] == [second.code, second.code]
        (candidate,) = reconciled(stage).candidates
        assert (candidate.license_id, candidate.successor_id) == (of_desks.license_id, of_new_desks.license_id)
        assert candidate.key == renewed_desks.license_arn
        MarketplaceOperating(stage.ledger).succeed(
            candidate.license_id, key=candidate.key, reason=SuccessionReason.OTHER, caller=ADMIN
        )
        stage.consume()
        _, goes_on, twin = stage.licenses()
        assert (goes_on.seats_max, twin.folded_into) == (3, goes_on.license_id)
        assert goes_on.subscription is not None
        assert goes_on.subscription.renews_at == END_OF_NEXT_MAY


def test_a_sweep_of_which_aws_forgot_where_it_was_begins_anew(stage: Stage) -> None:
    """Tokens expire; what was read before is read again, and counts once."""
    buy_and_lose_the_messages(stage, contracts=60)
    number = ask_for_reconciliation(stage.ledger)
    carry_on(stage, until=lambda _: pages_read(stage) == 2)

    def forget(transaction: Transaction) -> None:
        transaction.rows.execute(sqlalchemy.update(SWEEPS).values(next_token="forgotten"))

    stage.ledger.submit(Work(decide=forget, caller=SYSTEM_CALLER, writes_rows=True))
    report = ended(stage, number)
    assert report.agrees
    assert (report.licenses, report.rows, report.pages) == (60, 60, 3)


def test_it_goes_on_after_each_step_as_if_nothing_had_been(stage: Stage) -> None:
    """Whoever is killed after any step leaves to the next one what it had read and found."""
    agreements = buy_and_lose_the_messages(stage, contracts=30)
    stage.buy(account_id=COMPILERS_INC)
    stage.sandbox.marketplace.set_seats(agreements[0], seats=9)
    stage.sandbox.marketplace.cancel(agreements[1])
    stage.held_back()
    number = ask_for_reconciliation(stage.ledger)
    for phase in (Phase.SWEEPING, Phase.SEARCHING, Phase.COMPARING, Phase.CHECKING, Phase.MENDING, Phase.SETTLING):
        carry_on(stage, until=partial(is_in, phase))
    report = ended(stage, number)
    assert report.agrees
    assert report.counts[Standing.MENDED] == 3
    assert (report.licenses, report.pages) == (30, 2)


@on_each_engine
def test_a_row_that_was_missing_from_the_sweep_alone_is_no_drift(stage: Stage) -> None:
    """Each difference is read again by itself before anything is said."""
    agreements = buy_and_lose_the_messages(stage, contracts=4)
    stage.sandbox.faults.set(FaultPlan(rows={agreements[0]: ()}))
    number = ask_for_reconciliation(stage.ledger)
    carry_on(stage, until=partial(is_in, Phase.CHECKING))
    stage.sandbox.faults.clear()
    assert ended(stage, number).agrees


def test_odd_rows_are_reported_and_change_nothing(stage: Stage) -> None:
    """The other licenses are compared all the same."""
    agreements = buy_and_lose_the_messages(stage, contracts=2)
    stage.sandbox.faults.set(FaultPlan(rows={agreements[0]: ({"Dimension": "users", "Value": {"IntegerValue": -1}},)}))
    before = stage.events()
    report = reconciled(stage)
    difference = the_only(report)
    assert (difference.kinds, difference.standing) == ((DriftKind.UNREADABLE,), Standing.LEFT)
    assert difference.reason is not None
    assert stage.events() == before


def test_aws_that_throttles_makes_it_late_and_not_wrong(stage: Stage) -> None:
    """A page that was refused is asked for again, and empty pages are turned over."""
    buy_and_lose_the_messages(stage, contracts=60)
    stage.sandbox.faults.set(FaultPlan(throttle={"GetEntitlements": 3}, empty_pages=1))
    report = reconciled(stage)
    assert report.agrees
    assert (report.licenses, report.rows, report.pages) == (60, 60, 6)


def test_aws_that_does_not_answer_ends_it_with_an_alarm(stage: Stage) -> None:
    """Nothing was compared, and the next one begins anew."""
    stage.bought()
    stage.sandbox.faults.set(FaultPlan(fail={"GetEntitlements": 1_000}))
    report = reconciled(stage)
    assert not report.agrees
    assert [alarm.code for alarm in report.alarms] == [AlarmCode.FAILED]
    stage.sandbox.faults.clear()
    assert reconciled(stage).agrees


def test_it_is_done_by_itself_as_often_as_the_setting_says(tmp_path: Path) -> None:
    """The first one at once, and none while one is under way."""
    every = timedelta(hours=24)
    with (
        database("sqlite", tmp_path) as url,
        staged(url, change=lambda settings: replace(settings, reconcile_every=every)) as stage,
    ):
        reports = DriftReports(stage.ledger)
        stage.consume()
        assert reports.numbers() == [1]
        stage.pass_time(timedelta(hours=23))
        assert reports.numbers() == [1]
        stage.buy(account_id=ANALYTICAL_ENGINES)
        stage.held_back()
        stage.pass_time(timedelta(hours=1))
        assert reports.numbers() == [2, 1]
        assert stage.license().seats_max == 5


def test_dry_runs_do_not_bring_the_next_one_nearer(tmp_path: Path) -> None:
    """However many there are, it is remembered when the last one that mends was."""
    with (
        database("sqlite", tmp_path) as url,
        staged(url, change=lambda settings: replace(settings, reconcile_every=DAY)) as stage,
    ):
        stage.bought()
        for _ in range(runs.KEPT + 1):
            reconciled(stage, dry_run=True)
        stage.consume()
        reports = DriftReports(stage.ledger)
        assert reports.numbers() == [*range(runs.KEPT + 2, 2, -1), 1]
        stage.pass_time(DAY + MINUTE)
        assert reports.numbers()[0] == runs.KEPT + 3


def test_who_asks_twice_alike_gets_one_and_the_same(stage: Stage) -> None:
    """Another kind is another one, and goes after it."""
    first = ask_for_reconciliation(stage.ledger)
    assert ask_for_reconciliation(stage.ledger) == first
    dry = ask_for_reconciliation(stage.ledger, dry_run=True)
    assert dry != first
    assert ended(stage, dry).dry_run
    assert DriftReports(stage.ledger).numbers() == [dry, first]


def test_the_limit_of_losses_is_a_setting(tmp_path: Path) -> None:
    """A hundred percent lets everything go."""
    with (
        database("sqlite", tmp_path) as url,
        staged(url, change=lambda settings: replace(settings, reconcile_max_loss=Decimal(100))) as stage,
    ):
        agreements = buy_and_lose_the_messages(stage, contracts=4)
        for agreement_id in agreements:
            stage.sandbox.marketplace.cancel(agreement_id)
        stage.held_back()
        report = reconciled(stage)
        assert report.counts[Standing.MENDED] == 4


def test_a_sweep_lets_everything_else_go_first(stage: Stage) -> None:
    """A purchase is read between two of its pages, long before it is done; all calls come from one budget."""
    buy_and_lose_the_messages(stage, contracts=60)
    stage.sandbox.faults.set(FaultPlan(page_size=1))
    stage.consumer.stand_back()
    slow = Consumer(stage.ledger, stage.settings, stage.clients, now=stage.clock, readings_per_second=20)
    ask_for_reconciliation(stage.ledger)
    with running(slow):
        wait_for(lambda: pages_read(stage) > 3)
        stage.buy(seats=7, account_id=COMPILERS_INC)
        wait_for(lambda: any(license_.seats_max == 7 for license_ in stage.licenses()))
        assert pages_read(stage) < 60
