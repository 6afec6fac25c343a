"""What ends a contract and what does not: renewals that are called off, partners' renewals, words that cross."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.sandbox import (
    AgreementStatus,
    Contract,
    FaultPlan,
    Generation,
    Intent,
    Offer,
    PredecessorEnds,
    SuccessorTerms,
)
from consumers.sandbox.signing import passing_key
from ledger.license.access import AccessCode
from ledger.license.events import KeyKind, LapseReason, LicenseId
from ledger.users import parse_user
from tests.integration.consumers_stage import (
    ADMIN,
    ANALYTICAL_ENGINES,
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
from tests.integration.test_consumers_succession import (
    DAY,
    HOUR,
    lapse_reason,
    message_about,
    read_soon,
    renews_at,
    seats,
    succeed,
    titled,
)

THREE_YEARS = timedelta(days=3 * 365)
VISIBLE_BEFORE = SuccessorTerms(until=END_OF_NEXT_MAY, seats=3, predecessor_ends=PredecessorEnds.ON_ITS_DATE)


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def sold_by_partner(stage: Stage, *, until: timedelta) -> Contract:
    """A channel partner sells five seats, all of which are taken; the seller may not read the agreement."""
    offer = Offer(via_partner=True)
    contract = stage.sandbox.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=NOON + until, offer=offer
    ).contract
    stage.consume()
    stage.activate(*USERS)
    return contract


def show_nothing(stage: Stage, contract: Contract) -> None:
    """Let AWS show no row of a contract, whatever it sold."""
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: ()}))


def access_of(stage: Stage, license_id: LicenseId) -> AccessCode:
    """Whether Ada may work."""
    return stage.ledger.seats.access(license_id, user=parse_user("ada"), caller=ADMIN).code


# -- a renewal that is called off --------------------------------------------------------------------------------------


def called_off(stage: Stage, *, until: timedelta) -> tuple[Contract, Contract]:
    """A renewal shows its seats before the old contract ends, and is cancelled within the two days for that."""
    contract = stage.bought(seats=5, until=NOON + until)
    stage.activate(*USERS)
    renewal = succeed(stage, contract, VISIBLE_BEFORE)
    stage.consume()
    assert stage.license().name(KeyKind.AGREEMENT) == renewal.agreement_id
    stage.pass_time(HOUR)
    stage.sandbox.marketplace.cancel(renewal.agreement_id)
    return contract, renewal


def test_after_a_renewal_was_called_off_the_old_contract_stands_again(stage: Stage) -> None:
    """Its number and date count, and an empty answer of AWS takes nothing of it."""
    contract, _ = called_off(stage, until=100 * DAY)
    stage.consume()
    stage.pass_time(DAY)
    assert stage.license().name(KeyKind.AGREEMENT) == contract.agreement_id
    assert (seats(stage.license()), renews_at(stage.license())) == ((5, 5), contract.ends_at)
    assert "waiting" not in stage.statuses()
    show_nothing(stage, contract)
    read_soon(stage, stage.license())
    assert lapse_reason(stage.license()) is None
    stage.sandbox.faults.clear()

    stage.clock.move(DAY)
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.consume()
    assert lapse_reason(stage.license()) is LapseReason.CANCELLED


def test_a_renewal_that_is_called_off_while_aws_shows_nothing_ends_nothing(stage: Stage) -> None:
    """AWS says of the old agreement that it is active."""
    contract, _ = called_off(stage, until=100 * DAY)
    show_nothing(stage, contract)
    stage.consume()
    stage.pass_time(HOUR)
    assert lapse_reason(stage.license()) is None
    stage.sandbox.faults.clear()
    stage.pass_time(DAY)
    assert stage.license().name(KeyKind.AGREEMENT) == contract.agreement_id
    assert (seats(stage.license()), renews_at(stage.license())) == ((5, 5), contract.ends_at)


def test_what_follows_after_a_renewal_was_called_off_is_awaited(stage: Stage) -> None:
    """That the old contract is renewed all the same means another agreement than the one that was cancelled."""
    contract, _ = called_off(stage, until=10 * DAY)
    stage.consume()
    stage.clock.at = contract.ends_at
    stage.sandbox.marketplace.end(contract.agreement_id, status=AgreementStatus.RENEWED)
    stage.consume()
    for _ in range(5):
        stage.pass_time(HOUR)
    assert lapse_reason(stage.license()) is None
    assert access_of(stage, stage.license().license_id) == "ALLOWED"


# -- what partners sell ------------------------------------------------------------------------------------------------


def test_a_partners_renewal_locks_nobody_out_before_somebody_says_what_follows(stage: Stage) -> None:
    """AWS tells a seller who is not the proposer that it goes on, and not as what."""
    contract = sold_by_partner(stage, until=10 * DAY)
    license_id = stage.license().license_id
    stage.clock.at = contract.ends_at - HOUR
    succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=6))
    stage.consume()
    for _ in range(5):
        stage.pass_time(HOUR)
        assert access_of(stage, license_id) == "ALLOWED"
    assert "The agreement goes on as another one, which is awaited. Nothing is taken." in dict(stage.inbox()).values()


def test_a_partners_replacement_in_the_middle_of_the_term_locks_nobody_out(stage: Stage) -> None:
    """Deprovisioned comes with it, and is not the end that was told."""
    contract = sold_by_partner(stage, until=10 * DAY)
    stage.clock.move(DAY)
    stage.sandbox.marketplace.end(contract.agreement_id, status=AgreementStatus.REPLACED)
    stage.consume()
    for _ in range(4):
        stage.pass_time(HOUR)
    assert lapse_reason(stage.license()) is None


def test_the_end_of_a_partners_renewal_counts_though_nothing_else_was_heard_of_it(stage: Stage) -> None:
    """It names the agreement that followed, under the ARN of the one before."""
    contract = sold_by_partner(stage, until=10 * DAY)
    stage.clock.at = contract.ends_at - HOUR
    renewed = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=5, keeps_license=True))
    stage.send(*(body for body in stage.held_back() if "Ended" in body))
    stage.consume()
    assert stage.statuses()[-1] == "parked"
    stage.clock.move(DAY)
    stage.sandbox.marketplace.terminate(renewed.agreement_id)
    stage.send(*(body for body in stage.held_back() if "Deprovisioned" in body))
    stage.consume()
    for _ in range(4):
        stage.pass_time(HOUR)
    assert lapse_reason(stage.license()) is not None


def test_a_successor_that_never_comes_is_awaited_until_nobody_can_work_any_more(stage: Stage) -> None:
    """Then the contract has expired, and nothing waits for ever."""
    contract = sold_by_partner(stage, until=10 * DAY)
    license_id = stage.license().license_id
    stage.clock.move(DAY)
    stage.bought(seats=1, until=END_OF_NEXT_MAY)
    stage.sandbox.marketplace.end(contract.agreement_id, status=AgreementStatus.REPLACED)
    stage.consume()
    stage.clock.at = contract.ends_at
    for _ in range(3 * 24 - 1):
        stage.pass_time(HOUR)
        assert access_of(stage, license_id) == "ALLOWED"
    stage.pass_time(2 * DAY)
    assert access_of(stage, license_id) == "SUBSCRIPTION_LAPSED"
    assert lapse_reason(stage.licenses()[0]) is LapseReason.EXPIRED
    assert "parked" not in stage.statuses()


# -- words that cross --------------------------------------------------------------------------------------------------


def test_a_cancellation_is_not_undone_by_the_poke_that_comes_with_it(stage: Stage) -> None:
    """AWS's entitlements lag behind its events by a minute, and License Updated is told of the cancellation too."""
    contract = stage.bought(seats=5, until=NOON + THREE_YEARS)
    stage.activate(*USERS)
    stage.clock.move(DAY)
    updated = message_about(stage, contract, "License Updated")
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    bodies = stage.held_back()
    row = {"Value": {"IntegerValue": 5}, "ExpirationDate": contract.ends_at.timestamp()}
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (row,)}))
    stage.send(titled(bodies, "Purchase Agreement Ended"))
    stage.consume()
    stage.clock.move(timedelta(seconds=20))
    stage.send(anew(updated, time=f"{stage.clock():%Y-%m-%dT%H:%M:%SZ}"))
    stage.consume()
    still_shown = "AWS still shows the license's seats. It is read again until they are gone."
    assert stage.inbox()[-2] == ("waiting", still_shown)
    stage.sandbox.faults.clear()
    stage.pass_time(HOUR)
    assert lapse_reason(stage.license()) is LapseReason.CANCELLED


def test_a_legacy_cancellation_is_not_undone_by_the_poke_that_comes_with_it(stage: Stage) -> None:
    """Only subscribe-success takes unsubscribe-success back."""
    contract = stage.buy(seats=5, until=NOON + THREE_YEARS, generation=Generation.LEGACY)
    stage.consume()
    stage.clock.move(DAY)
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    told = {json.loads(said["Message"])["action"]: said for said in map(json.loads, stage.held_back())}
    row = {"Value": {"IntegerValue": 5}, "ExpirationDate": contract.ends_at.timestamp()}
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (row,)}))
    stage.send(json.dumps(told["unsubscribe-success"]))
    stage.consume()
    stage.clock.move(timedelta(seconds=1))
    later = told["entitlement-updated"] | {"Timestamp": f"{stage.clock():%Y-%m-%dT%H:%M:%S.000Z}"}
    stage.send(json.dumps(passing_key().sign(later)))
    stage.consume()
    assert stage.statuses()[-1] == "done"
    stage.sandbox.faults.clear()
    stage.pass_time(HOUR)
    assert lapse_reason(stage.license()) is LapseReason.CANCELLED


def test_the_license_of_an_earlier_agreement_may_be_deprovisioned_late_under_the_same_arn(stage: Stage) -> None:
    """It is not the one that stands now, so that an empty answer afterwards ends nothing."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    stage.clock.move(DAY)
    updated = message_about(stage, contract, "License Updated")
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, seats=6, keeps_license=True, intent=Intent.REPLACE)
    after = succeed(stage, contract, terms)
    stage.consume()
    stage.clock.move(MINUTE)
    late = {"detail-type": "License Deprovisioned - Manufacturer", "time": f"{stage.clock():%Y-%m-%dT%H:%M:%SZ}"}
    stage.send(anew(updated, **late))
    stage.consume()
    assert stage.statuses()[-1] == "ignored"
    for _ in range(5):
        stage.pass_time(HOUR)
    show_nothing(stage, after)
    read_soon(stage, stage.license())
    assert lapse_reason(stage.license()) is None
