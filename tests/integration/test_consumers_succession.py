"""One agreement follows another: the license goes on with its seats, whatever comes first, late, twice or never."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.marketplace import MarketplaceInbox, MarketplaceOperating, observations
from consumers.marketplace.budget import Priority
from consumers.sandbox import (
    AgreementStatus,
    AtEnd,
    Contract,
    FaultPlan,
    Generation,
    Intent,
    Notice,
    Offer,
    PredecessorEnds,
    SuccessorTerms,
)
from ledger.inbox import ComingSeats
from ledger.license.events import Actor, ActorRole, KeyKind, LapseReason, LicenseId, SuccessionReason
from ledger.license.state import License
from ledger.registration import MarketplaceIsUnavailableError, PurchaseIsUnclearError
from ledger.store.url import DatabaseUrl
from ledger.transaction import Caller, Transaction, Work
from ledger.users import parse_user
from projections.license_information import LicenseQuery
from projections.views import Views, ViewsSettings
from tests.integration.consumers_stage import (
    ADMIN,
    ANALYTICAL_ENGINES,
    COMPILERS_INC,
    END_OF_MAY,
    END_OF_NEXT_MAY,
    ENGINES,
    MINUTE,
    NOON,
    USERS,
    Stage,
    anew,
    database,
    staged,
)

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
RENEWED = SuccessorTerms(until=END_OF_NEXT_MAY)
SYSTEM = Caller(Actor(ActorRole.SYSTEM, "reconcile"))


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def succeed(stage: Stage, contract: Contract, terms: SuccessorTerms = RENEWED) -> Contract:
    """Let another agreement take the place of one; the ledger has not heard of it yet."""
    return stage.sandbox.marketplace.succeed(contract.agreement_id, terms).contract


def opted_in(stage: Stage) -> Contract:
    """A legacy license with five users, whose listing has moved since it was read."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    stage.activate(*USERS)
    return stage.sandbox.marketplace.opt_in(contract.agreement_id).contract


def seats(license_: License) -> tuple[int, int]:
    """How many were bought, and how many are taken."""
    return license_.seats_max, license_.seats_active


def renews_at(license_: License) -> datetime | None:
    """The date of a subscription that runs; null if it does not."""
    subscription = license_.subscription
    return None if subscription is None or subscription.lapse is not None else subscription.renews_at


def lapse_reason(license_: License) -> LapseReason | None:
    """Why it lapsed; null if it did not."""
    subscription = license_.subscription
    return None if subscription is None or subscription.lapse is None else subscription.lapse.reason


def known_as(license_: License, kind: KeyKind) -> list[str]:
    """All names of a kind."""
    return [value for known, value in license_.names if known is kind]


def title_of(body: str) -> str:
    """The detail-type of an event, without the role."""
    return str(json.loads(body)["detail-type"]).split(" - ")[0]


def titled(bodies: Sequence[str], title: str) -> str:
    """The first message of a detail-type."""
    return next(body for body in bodies if title_of(body) == title)


def message_about(stage: Stage, contract: Contract, title: str) -> Mapping[str, Any]:
    """The latest event of a detail-type about a contract that the sandbox sent."""
    for message in stage.sandbox.marketplace.messages:
        if message.agreement_id == contract.agreement_id and title_of(message.body) == title:
            found: Mapping[str, Any] = json.loads(message.body)
            return found
    raise LookupError(title)


def says_it_follows(stage: Stage, contract: Contract, before: Contract) -> str:
    """Purchase Agreement Created about a contract, which says that it follows another one."""
    created = message_about(stage, contract, "Purchase Agreement Created")
    agreement = {**created["detail"]["agreement"], "previousAgreementId": before.agreement_id, "intent": "RENEW"}
    return anew(created, detail={"agreement": agreement})


def read_soon(stage: Stage, license_: License) -> None:
    """Let a license be read, as a reconciliation does."""

    def ask(transaction: Transaction) -> None:
        observations.request(transaction, license_.license_id, priority=Priority.SWEEP)

    stage.ledger.submit(Work(decide=ask, caller=SYSTEM, licenses=(license_.license_id,), writes_rows=True))
    stage.consume()


def listed(stage: Stage, folder: Path) -> set[LicenseId]:
    """The licenses in the list that operators see."""
    views = Views.open(ViewsSettings(url=DatabaseUrl.of_file(folder / "ledger.views")), stage.ledger)
    try:
        views.run_once()
        page = views.licenses.list(LicenseQuery(), after=None, limit=100, at=stage.clock())
        return {information.license_id for information in page.items}
    finally:
        views.stop()


# -- renewals and replacements -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keeps_license", [False, True], ids=["a-new-arn", "the-same-arn"])
@pytest.mark.parametrize("intent", [Intent.RENEW, Intent.REPLACE])
def test_an_agreement_that_another_one_follows_goes_on_as_the_same_license(
    stage: Stage, intent: Intent, *, keeps_license: bool
) -> None:
    """A renewal, or the acceptance of an agreement-based offer: the seats are kept, and nobody signs in anew."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    after = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, intent=intent, keeps_license=keeps_license))
    stage.consume()
    license_ = stage.license()
    assert (seats(license_), renews_at(license_)) == ((5, 5), END_OF_NEXT_MAY)
    assert known_as(license_, KeyKind.AGREEMENT) == [contract.agreement_id, after.agreement_id]
    assert license_.name(KeyKind.LICENSE_ARN) == after.license_arn
    assert stage.events().count("agreement-succeeded") == 1
    assert not {"seat-deleted", "subscription-lapsed"} & set(stage.events())
    assert set(stage.statuses()) <= {"done", "ignored"}


@pytest.mark.parametrize("keeps_license", [False, True], ids=["a-new-arn", "the-same-arn"])
def test_a_renewal_with_more_seats_gives_them_at_once(stage: Stage, *, keeps_license: bool) -> None:
    """Those who sat stay."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=8, keeps_license=keeps_license))
    stage.consume()
    assert (seats(stage.license()), renews_at(stage.license())) == ((8, 5), END_OF_NEXT_MAY)


@pytest.mark.parametrize("keeps_license", [False, True], ids=["a-new-arn", "the-same-arn"])
def test_a_renewal_with_fewer_seats_than_users_is_a_decrease_read_twice(stage: Stage, *, keeps_license: bool) -> None:
    """The old agreement is gone, so that its number counts no more."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=3, keeps_license=keeps_license))
    stage.consume()
    assert seats(stage.license()) == (5, 5)
    stage.pass_time(6 * MINUTE)
    assert (seats(stage.license()), renews_at(stage.license())) == ((3, 0), END_OF_NEXT_MAY)
    assert stage.events().count("seat-deleted") == 5


@pytest.mark.parametrize("keeps_license", [False, True], ids=["a-new-arn", "the-same-arn"])
def test_a_renewal_for_fewer_seats_that_is_visible_before_the_old_contract_ends(
    stage: Stage, *, keeps_license: bool
) -> None:
    """The larger number counts meanwhile; the smaller one from the end of the old agreement on, read twice."""
    contract = stage.bought(seats=5, until=NOON + 10 * DAY)
    stage.activate(*USERS)
    succeed(
        stage,
        contract,
        SuccessorTerms(
            until=END_OF_NEXT_MAY,
            seats=3,
            keeps_license=keeps_license,
            predecessor_ends=PredecessorEnds.ON_ITS_DATE,
        ),
    )
    coming = ComingSeats(seats_max=3, since=contract.ends_at)
    for _ in range(9):
        stage.pass_time(DAY)
        assert seats(stage.license()) == (5, 5)
        assert MarketplaceInbox(stage.ledger).coming(stage.license().license_id) == coming

    stage.pass_time(DAY)
    stage.sandbox.marketplace.expire(contract.agreement_id)
    stage.consume()
    assert seats(stage.license()) == (5, 5)
    stage.pass_time(6 * MINUTE)
    assert (seats(stage.license()), renews_at(stage.license())) == ((3, 0), END_OF_NEXT_MAY)
    assert (stage.events().count("seat-deleted"), stage.events().count("seat-limit-lowered")) == (5, 1)
    assert MarketplaceInbox(stage.ledger).coming(stage.license().license_id) is None


def test_a_replacement_under_the_same_arn_that_ends_on_the_same_day_counts_alone(stage: Stage) -> None:
    """Its row is told from the old one's by nothing; that the old agreement has ended is enough."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    stage.clock.move(DAY)
    terms = SuccessorTerms(until=END_OF_MAY, seats=3, keeps_license=True, intent=Intent.REPLACE)
    succeed(stage, contract, terms)
    stage.consume()
    stage.pass_time(6 * MINUTE)
    assert seats(stage.license()) == (3, 0)


def test_an_old_contract_that_ends_before_its_date_leaves_the_number_of_the_new_one(stage: Stage) -> None:
    """Its agreement has ended as renewed, whatever its row still shows."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, seats=3, predecessor_ends=PredecessorEnds.ON_ITS_DATE)
    succeed(stage, contract, terms)
    stage.consume()
    still_shown = {
        "Value": {"IntegerValue": 5},
        "ExpirationDate": END_OF_MAY.timestamp(),
    }
    stage.sandbox.marketplace.expire(contract.agreement_id)
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (still_shown,)}))
    stage.consume()
    stage.pass_time(6 * MINUTE)
    assert seats(stage.license()) == (3, 0)


def test_the_row_of_an_old_contract_that_is_missing_for_hours_takes_nobodys_seat(stage: Stage) -> None:
    """AWS says that its agreement runs: the two answers contradict each other, and a day is waited for."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, seats=3, predecessor_ends=PredecessorEnds.ON_ITS_DATE)
    succeed(stage, contract, terms)
    stage.consume()
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: ()}))
    read_soon(stage, stage.license())
    for _ in range(20):
        stage.pass_time(HOUR)
        assert seats(stage.license()) == (5, 5)
    stage.sandbox.faults.clear()
    for _ in range(48):
        stage.pass_time(HOUR)
    assert seats(stage.license()) == (5, 5)


def test_the_row_of_an_old_contract_that_is_missing_for_a_day_is_believed_to_be_gone(stage: Stage) -> None:
    """Whatever its agreement says: nobody keeps for years what AWS shows no more."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, seats=3, predecessor_ends=PredecessorEnds.ON_ITS_DATE)
    succeed(stage, contract, terms)
    stage.consume()
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: ()}))
    read_soon(stage, stage.license())
    for _ in range(26):
        stage.pass_time(HOUR)
    assert seats(stage.license()) == (3, 0)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("keeps_license", [False, True], ids=["a-new-arn", "the-same-arn"])
def test_the_messages_of_a_renewal_in_any_order_and_twice_end_in_the_same_state(
    stage: Stage, *, keeps_license: bool
) -> None:
    """Each is worked off before the next one comes."""
    first = stage.bought(seats=5)
    succeed(stage, first, SuccessorTerms(until=END_OF_NEXT_MAY, seats=7, keeps_license=keeps_license))
    number = len(stage.held_back())
    stage.consume()
    for place, order in enumerate(itertools.permutations(range(number))):
        contract = stage.buy(seats=5, account_id=f"{place:012d}")
        stage.consume()
        license_id = stage.licenses()[-1].license_id
        for user in USERS:
            stage.ledger.seats.activate(license_id, user=parse_user(user), caller=ADMIN)
        after = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=7, keeps_license=keeps_license))
        bodies = stage.held_back()
        for message in order:
            stage.send(bodies[message], bodies[message])
            stage.consume()
        license_ = stage.licenses()[-1]
        assert license_.license_id == license_id
        assert (seats(license_), renews_at(license_)) == ((7, 5), END_OF_NEXT_MAY), order
        assert license_.name(KeyKind.AGREEMENT) == after.agreement_id, order
        assert license_.name(KeyKind.LICENSE_ARN) == after.license_arn, order
    assert not {"seat-deleted", "subscription-lapsed", "license-folded"} & set(stage.events())
    assert "waiting" not in stage.statuses()
    assert "failed" not in stage.statuses()


def test_a_second_run_of_all_messages_of_a_renewal_adds_no_event(stage: Stage) -> None:
    """Neither as they were, nor with ids of their own."""
    contract = stage.bought(seats=5)
    succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=7))
    stage.consume()
    events = stage.events()
    bodies = [message.body for message in reversed(stage.sandbox.marketplace.messages)]
    stage.send(*bodies, *(anew(json.loads(body)) for body in bodies))
    for _ in range(3):
        stage.pass_time(HOUR)
    assert stage.events() == events


def test_between_an_old_contract_and_a_new_one_may_be_a_gap(stage: Stage) -> None:
    """Nothing is taken while the successor is awaited, and it goes on as the same license when it comes."""
    until = NOON + HOUR
    contract = stage.bought(seats=5, until=until)
    stage.buy(account_id=COMPILERS_INC)
    stage.consume()
    license_id = stage.licenses()[0].license_id
    for user in USERS:
        stage.ledger.seats.activate(license_id, user=parse_user(user), caller=ADMIN)
    stage.clock.move(HOUR)
    stage.sandbox.marketplace.end(contract.agreement_id, status=AgreementStatus.RENEWED)
    for _ in range(12):
        stage.pass_time(HOUR)
        assert lapse_reason(stage.licenses()[0]) is None
    succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=6))
    stage.consume()
    license_ = stage.licenses()[0]
    assert license_.license_id == license_id
    assert (seats(license_), renews_at(license_)) == ((6, 5), END_OF_NEXT_MAY)
    assert len(stage.licenses()) == 2


def test_deprovisioned_may_come_long_before_the_word_that_it_was_renewed(stage: Stage) -> None:
    """AWS says when asked that the agreement was renewed, so that nothing is taken."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    succeed(stage, contract)
    bodies = stage.held_back()
    stage.send(titled(bodies, "License Deprovisioned"))
    for _ in range(6):
        stage.pass_time(HOUR)
    assert (lapse_reason(stage.license()), stage.license().seats_active) == (None, 5)
    stage.send(titled(bodies, "Purchase Agreement Ended"))
    stage.consume()
    stage.send(titled(bodies, "Purchase Agreement Created"), titled(bodies, "License Updated"))
    stage.consume()
    assert (seats(stage.license()), renews_at(stage.license())) == ((5, 5), END_OF_NEXT_MAY)
    assert set(stage.statuses()) <= {"done", "ignored"}


def test_a_successor_whose_created_message_was_lost_is_found_by_its_chain(stage: Stage) -> None:
    """The end of the old one leads to the chain, and the chain to the new one."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    after = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=6))
    bodies = stage.held_back()
    stage.send(titled(bodies, "Purchase Agreement Ended"))
    stage.consume()
    license_ = stage.license()
    assert (seats(license_), renews_at(license_)) == ((6, 5), END_OF_NEXT_MAY)
    assert license_.name(KeyKind.AGREEMENT) == after.agreement_id
    assert set(stage.statuses()) == {"done"}


def test_a_license_updated_alone_finds_the_license_that_it_renews(stage: Stage) -> None:
    """It names a new ARN and a new agreement; the chain of that one leads to the license."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=6))
    stage.send(titled(stage.held_back(), "License Updated"))
    stage.consume()
    assert (seats(stage.license()), renews_at(stage.license())) == ((6, 5), END_OF_NEXT_MAY)


def test_who_sets_up_the_account_before_any_message_of_the_renewal_is_the_same_customer(stage: Stage) -> None:
    """AWS is asked for the lineage before a license is issued."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    license_id = stage.license().license_id
    after = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=6))
    bodies = stage.held_back()
    token = stage.sandbox.marketplace.issue_token(after.agreement_id).token
    assert stage.registration.resolve(token, cause="request-1").license_id == license_id
    stage.consume()
    stage.send(*bodies)
    stage.consume()
    assert (seats(stage.license()), renews_at(stage.license())) == ((6, 5), END_OF_NEXT_MAY)


def test_who_sets_up_the_account_while_aws_does_not_tell_the_lineage_is_asked_to_try_again(stage: Stage) -> None:
    """No twin is issued."""
    contract = stage.bought(seats=5)
    after = succeed(stage, contract)
    bodies = stage.held_back()
    token = stage.sandbox.marketplace.issue_token(after.agreement_id).token
    stage.sandbox.faults.set(FaultPlan(fail={"DescribeAgreement": 1_000, "SearchAgreements": 1_000}))
    with pytest.raises(MarketplaceIsUnavailableError):
        stage.registration.resolve(token, cause="request-1")
    stage.send(titled(bodies, "License Updated"))
    stage.consume()
    assert len(stage.licenses()) == 1
    assert stage.statuses()[-1] == "parked"
    stage.sandbox.faults.clear()
    stage.pass_time(HOUR)
    assert renews_at(stage.license()) == END_OF_NEXT_MAY


# -- agreements that start later ---------------------------------------------------------------------------------------


def test_a_contract_that_starts_later_counts_from_its_start(stage: Stage) -> None:
    """Before that there is nothing that anybody could use."""
    offer = Offer(starts_at=NOON + 10 * DAY)
    contract = stage.sandbox.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, offer=offer
    ).contract
    stage.consume()
    assert stage.licenses() == []
    assert stage.statuses() == ["parked"]
    stage.pass_time(10 * DAY)
    stage.sandbox.marketplace.start(contract.agreement_id)
    stage.consume()
    assert (seats(stage.license()), renews_at(stage.license())) == ((5, 0), END_OF_MAY)
    assert set(stage.statuses()) == {"done"}


def test_a_contract_that_is_cancelled_before_its_start_begins_nothing(stage: Stage) -> None:
    """Nobody ever had a seat of it."""
    offer = Offer(starts_at=NOON + 10 * DAY)
    contract = stage.sandbox.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, offer=offer
    ).contract
    stage.consume()
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.consume()
    stage.pass_time(20 * DAY)
    assert stage.licenses() == []


@pytest.mark.parametrize("keeps_license", [False, True], ids=["a-new-arn", "the-same-arn"])
def test_a_renewal_that_is_signed_long_before_counts_from_its_start(stage: Stage, *, keeps_license: bool) -> None:
    """Until then the old agreement counts, with its number and date."""
    until = NOON + 10 * DAY
    contract = stage.bought(seats=5, until=until)
    stage.activate(*USERS)
    after = succeed(
        stage,
        contract,
        SuccessorTerms(until=END_OF_NEXT_MAY, seats=8, starts_at=until, keeps_license=keeps_license),
    )
    stage.consume()
    license_ = stage.license()
    assert (seats(license_), renews_at(license_)) == ((5, 5), until)
    assert license_.name(KeyKind.AGREEMENT) == contract.agreement_id
    stage.pass_time(9 * DAY)
    assert stage.license().seats_max == 5

    stage.clock.move(DAY)
    stage.sandbox.marketplace.start(after.agreement_id)
    stage.sandbox.marketplace.expire(contract.agreement_id)
    stage.consume()
    license_ = stage.license()
    assert (seats(license_), renews_at(license_)) == ((8, 5), END_OF_NEXT_MAY)
    assert license_.name(KeyKind.AGREEMENT) == after.agreement_id


def test_a_renewal_whose_start_nobody_told_begins_all_the_same(stage: Stage) -> None:
    """The ledger knows the day, and reads on it by itself."""
    until = NOON + 10 * DAY
    contract = stage.bought(seats=5, until=until)
    stage.activate(*USERS)
    succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=8, starts_at=until))
    stage.consume()
    stage.pass_time(10 * DAY)
    stage.pass_time(HOUR)
    assert (seats(stage.license()), renews_at(stage.license())) == ((8, 5), END_OF_NEXT_MAY)


def test_a_renewal_that_is_cancelled_before_its_start_leaves_the_old_contract_as_it_was(stage: Stage) -> None:
    """It ends on its own date, and not before."""
    until = NOON + 10 * DAY
    contract = stage.bought(seats=5, until=until)
    stage.activate(*USERS)
    after = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=8, starts_at=until))
    stage.consume()
    stage.sandbox.marketplace.cancel(after.agreement_id)
    stage.consume()
    assert (seats(stage.license()), renews_at(stage.license())) == ((5, 5), until)
    stage.pass_time(9 * DAY)
    assert (seats(stage.license()), renews_at(stage.license())) == ((5, 5), until)

    stage.clock.move(DAY)
    stage.sandbox.marketplace.expire(contract.agreement_id)
    stage.consume()
    assert lapse_reason(stage.license()) is LapseReason.EXPIRED
    assert stage.license().seats_active == 5


# -- twins, and what contradicts itself --------------------------------------------------------------------------------


def test_a_twin_that_was_issued_before_the_link_was_known_is_folded(stage: Stage, tmp_path: Path) -> None:
    """Its keys and messages are the older license's; it stays in the history, and in no list."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    stage.clock.move(DAY)
    after = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=6, is_linked=False))
    stage.consume()
    older, twin = stage.licenses()
    assert (twin.name(KeyKind.AGREEMENT), twin.seats_max) == (after.agreement_id, 6)

    stage.send(says_it_follows(stage, after, contract))
    stage.consume()
    older, twin = stage.licenses()
    assert twin.folded_into == older.license_id
    assert (seats(older), renews_at(older), lapse_reason(older)) == ((6, 5), END_OF_NEXT_MAY, None)
    assert known_as(older, KeyKind.AGREEMENT) == [contract.agreement_id, after.agreement_id]
    assert stage.events().count("twin-absorbed") == stage.events().count("license-folded") == 1
    assert listed(stage, tmp_path) == {older.license_id}

    stage.sandbox.marketplace.set_seats(after.agreement_id, seats=9)
    stage.consume()
    older, twin = stage.licenses()
    assert (older.seats_max, twin.seats_max) == (9, 6)


def twin_in_use(stage: Stage) -> tuple[Contract, Contract]:
    """A renewal that AWS does not link yet has a license of its own, with a user; the contract and the renewal."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    stage.clock.move(DAY)
    after = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=6, is_linked=False))
    stage.consume()
    _, twin = stage.licenses()
    stage.ledger.seats.activate(twin.license_id, user=parse_user("ada"), caller=ADMIN)
    return contract, after


def test_a_twin_with_users_is_not_folded_and_is_reported(stage: Stage) -> None:
    """Nobody may lose a seat by it; a person decides."""
    contract, after = twin_in_use(stage)
    events = stage.events()
    stage.send(says_it_follows(stage, after, contract))
    stage.consume()
    assert stage.events() == events
    status, reason = stage.inbox()[-1]
    assert status == "failed"
    assert reason is not None
    assert "is in use" in reason
    assert stage.licenses()[1].folded_into is None


def test_a_twin_that_is_in_use_goes_on_with_the_renewals_of_its_own_agreement(stage: Stage) -> None:
    """Their chain leads to both licenses; the agreement that they follow says which is meant."""
    contract, after = twin_in_use(stage)
    older, _ = stage.licenses()
    stage.link(after, follows=contract)
    stage.send(says_it_follows(stage, after, contract))
    stage.consume()
    renewal = succeed(stage, after, SuccessorTerms(until=END_OF_NEXT_MAY, seats=8))
    stage.consume()
    assert stage.statuses().count("failed") == 1
    older_now, twin = stage.licenses()
    assert known_as(twin, KeyKind.AGREEMENT) == [after.agreement_id, renewal.agreement_id]
    assert (seats(twin), lapse_reason(twin)) == ((8, 1), None)
    assert known_as(older_now, KeyKind.AGREEMENT) == known_as(older, KeyKind.AGREEMENT)


def test_two_agreements_that_claim_one_predecessor_change_nothing_and_are_reported(stage: Stage) -> None:
    """The first of them stands; of the second a person hears."""
    contract = stage.bought(seats=5)
    succeed(stage, contract)
    stage.consume()
    other = stage.buy(seats=3, account_id=COMPILERS_INC)
    stage.consume()
    events = stage.events()
    stage.send(says_it_follows(stage, other, contract))
    stage.consume()
    assert stage.events() == events
    status, reason = stage.inbox()[-1]
    assert status == "failed"
    assert reason is not None
    assert reason.startswith("Two agreements say that they follow")


@pytest.mark.parametrize("account_id", [ANALYTICAL_ENGINES, COMPILERS_INC], ids=["the-same-buyer", "another-buyer"])
def test_an_agreement_whose_claim_was_refused_comes_in_by_no_other_message(stage: Stage, account_id: str) -> None:
    """Nor when its buyer registers: a person decides, and the license that goes on loses nothing."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=5))
    stage.consume()
    other = stage.buy(seats=2, account_id=account_id)
    stage.held_back()
    stage.link(other, follows=contract)
    events = stage.events()
    stage.send(says_it_follows(stage, other, contract))
    stage.consume()
    stage.send(message_for(stage, other))
    stage.consume()
    assert stage.statuses()[-2:] == ["failed", "failed"]
    with pytest.raises(PurchaseIsUnclearError):
        stage.registration.resolve(stage.sandbox.marketplace.issue_token(other.agreement_id).token, cause="request")
    stage.pass_time(HOUR)
    assert stage.events() == events
    assert seats(stage.license()) == (5, 5)


def test_an_agreement_of_another_account_follows_no_license_by_its_chain_alone(stage: Stage) -> None:
    """AWS says so when it is asked; the license stays with the buyer who has it."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    other = stage.buy(seats=9, account_id=COMPILERS_INC)
    stage.link(other, follows=contract)
    stage.consume()
    assert seats(stage.license()) == (5, 5)
    assert known_as(stage.license(), KeyKind.ACCOUNT) == [ANALYTICAL_ENGINES]
    status, reason = stage.inbox()[-1]
    assert status == "failed"
    assert reason is not None
    assert "is of another AWS account" in reason


def test_a_renewal_is_not_refused_for_another_one_that_was_called_off_without_a_word(stage: Stage) -> None:
    """Of two that follow one agreement AWS is asked about the first: it was cancelled, and both messages got lost."""
    until = NOON + 10 * DAY
    contract = stage.bought(seats=5, until=until)
    stage.activate(*USERS)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, seats=3, predecessor_ends=PredecessorEnds.ON_ITS_DATE)
    first = succeed(stage, contract, terms)
    stage.consume()
    stage.pass_time(HOUR)
    stage.sandbox.marketplace.cancel(first.agreement_id)
    stage.held_back()
    second = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=7, starts_at=until))
    stage.consume()
    assert "failed" not in stage.statuses()
    stage.clock.at = until
    stage.sandbox.marketplace.start(second.agreement_id)
    stage.sandbox.marketplace.expire(contract.agreement_id)
    stage.consume()
    stage.pass_time(HOUR)
    assert (seats(stage.license()), renews_at(stage.license())) == ((7, 5), END_OF_NEXT_MAY)


def test_agreements_that_follow_each_other_change_nothing_and_are_reported(stage: Stage) -> None:
    """A chain has a beginning."""
    contract = stage.bought(seats=5)
    after = succeed(stage, contract)
    stage.consume()
    events = stage.events()
    stage.send(says_it_follows(stage, contract, after))
    stage.consume()
    assert stage.events() == events
    status, reason = stage.inbox()[-1]
    assert status == "failed"
    assert reason is not None
    assert "follows itself" in reason


def test_an_agreement_under_the_arn_of_another_license_changes_neither(stage: Stage) -> None:
    """AWS never names it so; whoever does is reported."""
    first, second = stage.bought(seats=3), stage.bought(seats=4)
    unknown = stage.buy(seats=9, account_id=COMPILERS_INC)
    stage.held_back()
    events = stage.events()
    updated = message_about(stage, first, "License Updated")
    stage.send(anew(updated, detail={"agreement": {"id": second.agreement_id}}))
    stage.consume()
    assert stage.events() == events
    assert stage.statuses()[-1] == "failed"
    stage.send(titled([message_for(stage, unknown)], "License Updated"))
    stage.consume()
    assert [license_.seats_max for license_ in stage.licenses()] == [3, 4, 9]


def message_for(stage: Stage, contract: Contract) -> str:
    """License Updated about a contract, as it was sent."""
    return json.dumps(message_about(stage, contract, "License Updated"))


def test_two_purchases_of_one_account_stay_two_licenses_through_a_renewal_of_each(stage: Stage) -> None:
    """The account names a license, and claims none."""
    first, second = stage.buy(seats=3), stage.buy(seats=7)
    stage.consume()
    for contract, more in ((second, 8), (first, 4)):
        succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=more))
    stage.consume()
    assert [license_.seats_max for license_ in stage.licenses()] == [4, 8]
    assert [renews_at(license_) for license_ in stage.licenses()] == [END_OF_NEXT_MAY] * 2


# -- legacy listings ---------------------------------------------------------------------------------------------------


def test_a_legacy_contract_that_is_renewed_or_replaced_goes_on_under_its_customer(stage: Stage) -> None:
    """It is known by no agreement, and needs none."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    stage.activate(*USERS)
    replaced = succeed(stage, contract, SuccessorTerms(until=END_OF_MAY, seats=6, intent=Intent.REPLACE))
    stage.consume()
    assert (seats(stage.license()), renews_at(stage.license())) == ((6, 5), END_OF_MAY)
    succeed(stage, replaced, SuccessorTerms(until=END_OF_NEXT_MAY, seats=8))
    stage.consume()
    assert (seats(stage.license()), renews_at(stage.license())) == ((8, 5), END_OF_NEXT_MAY)
    assert set(stage.statuses()) == {"done"}


def test_a_legacy_listing_that_opts_into_concurrent_agreements_keeps_its_licenses(stage: Stage) -> None:
    """What was issued for the ARN, while no reading told whose it is, is folded; the next agreement follows."""
    contract, marketplace = opted_in(stage), stage.sandbox.marketplace
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: ()}))
    marketplace.set_seats(contract.agreement_id, seats=6)
    stage.consume()
    stage.pass_time(timedelta(minutes=1))
    stage.pass_time(timedelta(minutes=1))
    assert len(stage.licenses()) == 2
    stage.sandbox.faults.set(FaultPlan())
    read_soon(stage, stage.licenses()[0])
    license_, twin = stage.licenses()
    assert twin.folded_into == license_.license_id
    assert license_.name(KeyKind.LICENSE_ARN) == contract.license_arn
    assert license_.name(KeyKind.AGREEMENT) == contract.agreement_id
    assert seats(license_) == (6, 5)

    after = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=7))
    stage.consume()
    license_ = stage.licenses()[0]
    assert (seats(license_), renews_at(license_)) == ((7, 5), END_OF_NEXT_MAY)
    assert license_.name(KeyKind.AGREEMENT) == after.agreement_id
    assert len(stage.licenses()) == 2


def test_a_legacy_license_that_is_read_after_opting_in_claims_its_arn(stage: Stage) -> None:
    """So that what is said of the ARN afterwards finds it, and nothing is issued."""
    contract = opted_in(stage)
    read_soon(stage, stage.license())
    assert stage.license().name(KeyKind.LICENSE_ARN) == contract.license_arn
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=6)
    stage.consume()
    assert seats(stage.license()) == (6, 5)


def test_an_opted_in_license_that_is_first_heard_of_by_its_next_agreement_is_not_issued_again(stage: Stage) -> None:
    """It is read before another one is issued beside it, so that users who come at once find their seats."""
    contract = opted_in(stage)
    for seats_max in (6, 7):
        contract = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=seats_max))
        if seats_max == 6:
            stage.held_back()
    stage.consume()
    assert stage.license().name(KeyKind.LICENSE_ARN) == contract.license_arn
    assert seats(stage.license()) == (7, 5)


def test_a_purchase_beside_a_legacy_license_of_which_nothing_is_shown_waits_for_a_few_readings(stage: Stage) -> None:
    """Nobody who pays waits for longer, whatever became of the legacy license."""
    marketplace = stage.sandbox.marketplace
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    marketplace.opt_in(contract.agreement_id)
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: ()}))
    second = stage.buy(seats=3, account_id=contract.account_id)
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (), second.agreement_id: ()}))
    stage.consume()
    assert len(stage.licenses()) == 1
    assert stage.inbox()[-1][0] == "parked"
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: ()}))
    stage.pass_time(timedelta(minutes=1))
    stage.pass_time(timedelta(minutes=1))
    assert [license_.seats_max for license_ in stage.licenses()] == [5, 3]


def test_a_second_purchase_of_an_opted_in_customer_is_a_license_of_its_own(stage: Stage) -> None:
    """Both have one customer identifier, and each an ARN."""
    marketplace = stage.sandbox.marketplace
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    marketplace.opt_in(contract.agreement_id)
    stage.consume()
    second = stage.buy(seats=3, generation=Generation.OPTED_IN)
    stage.consume()
    stage.pass_time(HOUR)
    first, other = stage.licenses()
    assert (first.seats_max, other.seats_max) == (5, 3)
    assert known_as(other, KeyKind.LICENSE_ARN) == [second.license_arn]


def bought_twice_before_it_was_read(stage: Stage) -> tuple[Contract, Contract]:
    """A legacy license has moved, and its customer buys another one, before AWS was asked: two ARNs at first sight."""
    contract = opted_in(stage)
    stage.clock.move(DAY)
    second = stage.buy(seats=3, generation=Generation.OPTED_IN)
    return contract, second


def pass_half_an_hour(stage: Stage) -> None:
    """Let what is due within it happen in its turn."""
    stage.consume()
    for _ in range(6):
        stage.pass_time(5 * MINUTE)


def test_of_two_arns_at_first_sight_the_one_of_a_later_purchase_is_not_the_legacy_licenses(stage: Stage) -> None:
    """Its agreement began after the legacy license was heard of; what is left is the legacy license's own."""
    contract, second = bought_twice_before_it_was_read(stage)
    pass_half_an_hour(stage)
    first, other = stage.licenses()
    assert (seats(first), known_as(first, KeyKind.LICENSE_ARN)) == ((5, 5), [contract.license_arn])
    assert (other.seats_max, known_as(other, KeyKind.LICENSE_ARN)) == (3, [second.license_arn])
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=6)
    pass_half_an_hour(stage)
    assert [one.seats_max for one in stage.licenses()] == [6, 3]


def test_who_sets_up_a_later_purchase_before_anything_was_read_gets_its_own_license(stage: Stage) -> None:
    """AWS names the customer of the legacy license beside the new ARN."""
    contract, second = bought_twice_before_it_was_read(stage)
    stage.held_back()
    token = stage.sandbox.marketplace.issue_token(second.agreement_id).token
    license_id = stage.registration.resolve(token, cause="request").license_id
    first, other = stage.licenses()
    assert other.license_id == license_id
    assert (seats(first), other.seats_max) == ((5, 5), 3)
    pass_half_an_hour(stage)
    read_soon(stage, first)
    first, other = stage.licenses()
    assert known_as(first, KeyKind.LICENSE_ARN) == [contract.license_arn]
    assert known_as(other, KeyKind.LICENSE_ARN) == [second.license_arn]


def test_a_later_purchase_does_not_take_the_place_of_a_legacy_contract_that_was_cancelled(stage: Stage) -> None:
    """Nobody loses a seat to it, and who stopped paying keeps none."""
    contract, second = bought_twice_before_it_was_read(stage)
    stage.consume()
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    pass_half_an_hour(stage)
    first, other = stage.licenses()
    assert (lapse_reason(first), first.seats_active) == (LapseReason.CANCELLED, 5)
    assert (lapse_reason(other), other.seats_max, other.folded_into) == (None, 3, None)
    assert known_as(other, KeyKind.LICENSE_ARN) == [second.license_arn]


def test_a_single_arn_that_is_left_of_several_is_not_taken_for_the_legacy_licenses(stage: Stage) -> None:
    """It may be the one of the later purchase, of which no message came: the number is kept until a person decides."""
    contract, _ = bought_twice_before_it_was_read(stage)
    about_second = stage.held_back()
    read_soon(stage, stage.license())
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.held_back()
    pass_half_an_hour(stage)
    read_soon(stage, stage.license())
    assert (seats(stage.license()), known_as(stage.license(), KeyKind.LICENSE_ARN)) == ((5, 5), [])
    assert stage.observation().reason.startswith("AWS shows this legacy customer seats of several licenses")
    MarketplaceOperating(stage.ledger).lapse(stage.license().license_id, reason=LapseReason.CANCELLED, caller=SYSTEM)
    stage.send(*about_second)
    pass_half_an_hour(stage)
    assert [one.seats_max for one in stage.licenses()] == [5, 3]


def test_a_message_about_one_of_several_arns_that_may_be_the_legacy_licenses_issues_none(stage: Stage) -> None:
    """A person says which it is, and then it counts."""
    contract, _ = bought_twice_before_it_was_read(stage)
    stage.held_back()
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=6)
    pass_half_an_hour(stage)
    pass_half_an_hour(stage)
    said = "tell the ledger which is, with `licensing-ledger succeed`."
    open_ones = [(status, reason) for status, reason in stage.inbox() if reason is not None and reason.endswith(said)]
    assert {status for status, _ in open_ones} == {"parked", "waiting"}
    assert seats(stage.license()) == (5, 5)
    MarketplaceOperating(stage.ledger).succeed(
        stage.license().license_id, key=contract.license_arn, reason=SuccessionReason.OTHER, caller=SYSTEM
    )
    stage.pass_time(DAY)
    assert seats(stage.licenses()[0]) == (6, 5)
    assert "parked" not in stage.statuses()


# -- what AWS does not tell --------------------------------------------------------------------------------------------


def test_what_a_channel_partner_sold_is_read_without_its_agreement(stage: Stage) -> None:
    """AWS tells the manufacturer of the license, and refuses the agreement."""
    contract = stage.sandbox.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, offer=Offer(via_partner=True)
    ).contract
    stage.consume()
    assert (seats(stage.license()), renews_at(stage.license())) == ((5, 0), END_OF_MAY)
    stage.activate(*USERS)
    succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=6, keeps_license=True))
    stage.consume()
    assert (seats(stage.license()), renews_at(stage.license())) == ((6, 5), END_OF_NEXT_MAY)


def test_the_cancellation_of_what_a_channel_partner_sold_is_an_end(stage: Stage) -> None:
    """The event says it, and the license is gone."""
    contract = stage.sandbox.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, offer=Offer(via_partner=True)
    ).contract
    stage.consume()
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.consume()
    assert lapse_reason(stage.license()) is LapseReason.CANCELLED


def test_aws_that_is_unreachable_from_an_hour_before_the_date_until_a_day_after_takes_nothing(stage: Stage) -> None:
    """The license stays usable all the while; afterwards it is what AWS says that it is."""
    until = NOON + 2 * HOUR
    contract = stage.bought(seats=5, until=until)
    stage.activate(*USERS)
    license_id = stage.license().license_id
    stage.clock.move(HOUR)
    down = dict.fromkeys(("GetEntitlements", "DescribeAgreement", "SearchAgreements"), 1_000_000)
    stage.sandbox.faults.set(FaultPlan(fail=down))
    stage.clock.move(HOUR)
    succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=6))
    for _ in range(24):
        stage.pass_time(HOUR)
        answer = stage.ledger.seats.access(license_id, user=parse_user("ada"), caller=ADMIN)
        assert answer.code == "ALLOWED"
    stage.sandbox.faults.clear()
    stage.pass_time(HOUR)
    assert (seats(stage.license()), renews_at(stage.license())) == ((6, 5), END_OF_NEXT_MAY)
    assert not {"seat-deleted", "subscription-lapsed"} & set(stage.events())


def test_a_three_year_contract_cancelled_after_a_day_with_both_end_messages_lost_ends(stage: Stage) -> None:
    """Nobody heard of it; a reading as the reconciliation makes it finds no seats, and AWS says why when asked."""
    contract = stage.bought(seats=5, until=NOON + 3 * 365 * DAY)
    stage.activate(*USERS)
    stage.pass_time(DAY)
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    assert len(stage.held_back()) == 2
    stage.pass_time(DAY)
    assert lapse_reason(stage.license()) is None
    read_soon(stage, stage.license())
    assert lapse_reason(stage.license()) is LapseReason.CANCELLED
    assert stage.license().seats_active == 5


# -- what becomes of a contract at its end -----------------------------------------------------------------------------


def intent_of(stage: Stage) -> tuple[str, str] | None:
    """What the only license says of its end, and who told that."""
    renewal = stage.license().renewal
    return None if renewal is None else (renewal.intent.value, renewal.source)


def test_a_license_says_from_the_first_reading_on_whether_it_renews(stage: Stage) -> None:
    """DescribeAgreement tells it."""
    stage.bought()
    assert intent_of(stage) == ("renews", "DescribeAgreement")
    stage.pass_time(DAY)
    assert stage.events().count("renewal-announced") == 1


def test_a_buyer_who_opts_out_of_the_renewal_is_heard_and_each_change_is_one_event(stage: Stage) -> None:
    """Saying the same again is none."""
    contract = stage.bought()
    marketplace = stage.sandbox.marketplace
    stage.clock.move(MINUTE)
    marketplace.decide_end(contract.agreement_id, at_end=AtEnd.EXPIRE)
    stage.consume()
    assert intent_of(stage) in {("ends", "Purchase Agreement Amended"), ("ends", "DescribeAgreement")}
    stage.clock.move(MINUTE)
    marketplace.give_notice(contract.agreement_id, Notice.ENDING, days=180)
    stage.consume()
    assert stage.events().count("renewal-announced") == 2

    stage.clock.move(MINUTE)
    marketplace.decide_end(contract.agreement_id, at_end=AtEnd.RENEW)
    stage.consume()
    assert stage.events().count("renewal-announced") == 3
    renewal = stage.license().renewal
    assert renewal is not None
    assert renewal.intent.value == "renews"


@pytest.mark.parametrize(
    ("notice", "title", "said"),
    [
        (Notice.ENDING, "Purchase Agreement Ending", "ends"),
        (Notice.RENEWAL_UPCOMING, "Purchase Agreement Renewal Upcoming", "renews"),
    ],
)
def test_a_notice_says_what_becomes_of_the_contract(stage: Stage, notice: Notice, title: str, said: str) -> None:
    """Where the message of the decision was lost."""
    contract = stage.bought()
    marketplace = stage.sandbox.marketplace
    stage.clock.move(MINUTE)
    if said == "renews":
        marketplace.decide_end(contract.agreement_id, at_end=AtEnd.EXPIRE)
        stage.consume()
        stage.clock.move(MINUTE)
    marketplace.decide_end(contract.agreement_id, at_end=AtEnd.RENEW if said == "renews" else AtEnd.EXPIRE)
    stage.held_back()
    marketplace.give_notice(contract.agreement_id, notice)
    stage.consume()
    assert intent_of(stage) == (said, title)
    assert stage.statuses()[-1] == "ignored"


def test_a_contract_that_another_offer_replaces_at_its_end_says_so(stage: Stage) -> None:
    """A private offer that ends, after which the public one holds."""
    contract = stage.bought()
    stage.clock.move(MINUTE)
    stage.sandbox.marketplace.decide_end(contract.agreement_id, at_end=AtEnd.REPLACE)
    stage.consume()
    assert intent_of(stage) == ("replaced", "DescribeAgreement")


def test_a_contract_that_is_going_to_be_replaced_is_not_said_to_end_by_a_notice(stage: Stage) -> None:
    """The notice tells that it does not renew by itself; what follows was told when AWS was asked, once."""
    contract = stage.bought()
    stage.clock.move(MINUTE)
    stage.sandbox.marketplace.decide_end(contract.agreement_id, at_end=AtEnd.REPLACE)
    stage.consume()
    stage.clock.move(MINUTE)
    stage.sandbox.marketplace.give_notice(contract.agreement_id, Notice.ENDING, days=90)
    stage.consume()
    stage.pass_time(DAY)
    assert intent_of(stage) == ("replaced", "DescribeAgreement")
    assert stage.events().count("renewal-announced") == 2


def test_of_an_agreement_of_which_nothing_is_told_the_word_about_the_one_before_says_nothing(stage: Stage) -> None:
    """The old one was to end; of what a partner sold then AWS tells this seller no such thing."""
    contract = stage.bought()
    stage.clock.move(MINUTE)
    stage.sandbox.marketplace.decide_end(contract.agreement_id, at_end=AtEnd.EXPIRE)
    stage.consume()
    partners = stage.sandbox.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_NEXT_MAY, offer=Offer(via_partner=True)
    ).contract
    stage.consume()
    MarketplaceOperating(stage.ledger).succeed(
        stage.licenses()[0].license_id,
        key=partners.license_arn,
        reason=SuccessionReason.CHANNEL_PARTNER,
        caller=Caller(Actor(ActorRole.OPERATOR, "key-of-grace")),
    )
    stage.consume()
    renewal = stage.licenses()[0].renewal
    assert renewal is not None
    assert renewal.intent.value == "unknown"
    assert renews_at(stage.licenses()[0]) == END_OF_NEXT_MAY


def test_an_earlier_word_that_comes_late_does_not_undo_a_later_one(stage: Stage) -> None:
    """AWS's clock decides, not the order of arrival."""
    contract = stage.bought()
    marketplace = stage.sandbox.marketplace
    stage.clock.move(MINUTE)
    marketplace.give_notice(contract.agreement_id, Notice.ENDING, days=180)
    late = stage.held_back()
    stage.clock.move(MINUTE)
    marketplace.decide_end(contract.agreement_id, at_end=AtEnd.EXPIRE)
    stage.consume()
    stage.send(*late)
    stage.consume()
    renewal = stage.license().renewal
    assert renewal is not None
    assert renewal.intent.value == "ends"
