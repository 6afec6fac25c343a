"""What happens in the sandbox as time passes."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from consumers.sandbox import (
    AgreementStatus,
    AtEnd,
    Contract,
    Generation,
    Intent,
    MischiefPlan,
    Offer,
    PredecessorEnds,
    SuccessorTerms,
)
from consumers.sandbox.agenda import RENEWAL_SPREAD, Event
from consumers.sandbox.clock import ClockGoesForwardError
from consumers.sandbox.contracts import TooManyContractsError
from tests.unit.sandbox.story import (
    ANALYTICAL_ENGINES,
    COMPILERS_INC,
    END_OF_MAY,
    END_OF_NEXT_MAY,
    NOON,
    RunningClock,
    Stage,
)

JUNE = datetime(2027, 6, 1, 12, 0, tzinfo=UTC)
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


def bought(stage: Stage, at_end: AtEnd = AtEnd.RENEW, generation: Generation = Generation.CONCURRENT) -> Contract:
    """Let the company of Ada buy five seats until the end of May."""
    return stage.marketplace.buy(
        account_id=ANALYTICAL_ENGINES,
        seats=5,
        until=END_OF_MAY,
        generation=generation,
        offer=Offer(at_end=at_end),
    ).contract


def test_by_itself_nothing_happens_when_a_date_passes() -> None:
    """The contract is active without a live seat, as with AWS around a renewal."""
    stage = Stage()
    contract = bought(stage)
    stage.sent.clear()
    stage.clock.at = JUNE
    stage.marketplace.tick()
    assert stage.marketplace.contracts == (contract,)
    assert stage.sent == []


def test_the_clock_goes_ahead_of_the_real_one_and_runs_on() -> None:
    """It is moved, not stopped."""
    stage = Stage()
    stage.marketplace.advance(NOON + timedelta(days=30))
    stage.clock.move(timedelta(hours=1))
    assert stage.marketplace.now() == NOON + timedelta(days=30, hours=1)
    assert stage.marketplace.time.ahead == timedelta(days=30)


@pytest.mark.parametrize("to", [NOON - timedelta(seconds=1), NOON + timedelta(days=3_654)])
def test_the_clock_goes_neither_back_nor_too_far(to: datetime) -> None:
    """What happened stays, and everything has a limit."""
    stage = Stage()
    with pytest.raises(ClockGoesForwardError):
        stage.marketplace.advance(to)
    assert stage.marketplace.now() == NOON


def test_a_moment_is_past_if_it_was_when_it_was_chosen() -> None:
    """Time goes on until the clock is moved: now is still now."""
    stage = Stage(clock=RunningClock())
    chosen_at = stage.marketplace.now()
    bought(stage, AtEnd.EXPIRE)
    assert stage.marketplace.advance(chosen_at, chosen_at=chosen_at) == ()
    with pytest.raises(ClockGoesForwardError):
        stage.marketplace.advance(chosen_at)


def test_a_contract_renews_around_its_date() -> None:
    """Within an hour of it, by another agreement of the same length, as its message says at its own time."""
    stage = Stage()
    first = bought(stage)
    stage.marketplace.advance(END_OF_MAY + RENEWAL_SPREAD)
    old, new = stage.marketplace.contracts
    assert (old.status, new.status) == (AgreementStatus.RENEWED, AgreementStatus.ACTIVE)
    assert (new.intent, new.previous_agreement_id) == (Intent.RENEW, first.agreement_id)
    assert abs(new.accepted_at - END_OF_MAY) <= RENEWAL_SPREAD
    assert new.ends_at - new.starts_at == END_OF_MAY - NOON
    assert new.license_arn != old.license_arn
    created = next(message for message in stage.sent if "Created" in message.title and message.sent_at > NOON)
    assert created.sent_at == new.accepted_at


@pytest.mark.parametrize("length", [timedelta(minutes=2), timedelta(hours=3)], ids=["minutes", "hours"])
def test_a_contract_renews_with_the_same_length_for_ever(length: timedelta) -> None:
    """However short it is, and however late each renewal comes."""
    stage = Stage()
    stage.marketplace.buy(account_id=COMPILERS_INC, seats=1, until=NOON + length)
    stage.marketplace.advance(NOON + timedelta(days=5))
    chain = stage.marketplace.contracts
    assert len(chain) > 20
    assert {contract.ends_at - contract.starts_at for contract in chain} == {length}


def test_a_contract_of_a_moment_renews_though_time_goes_on_meanwhile() -> None:
    """It is renewed from the moment at which that is decided."""
    stage = Stage(clock=RunningClock())
    first = stage.marketplace.buy(account_id=COMPILERS_INC, seats=1, until=NOON + timedelta(microseconds=4)).contract
    stage.marketplace.advance(NOON + timedelta(hours=2))
    second = stage.marketplace.contracts[1]
    assert second.ends_at - second.starts_at == first.ends_at - first.starts_at


def test_renewals_come_before_and_after_the_date() -> None:
    """Some overlap, some leave a gap; each agreement has a moment of its own."""
    stage = Stage()
    for _ in range(20):
        bought(stage)
    stage.marketplace.advance(JUNE)
    renewed_at = {new.accepted_at for new in stage.marketplace.contracts if new.intent is Intent.RENEW}
    assert len(renewed_at) == 20
    assert min(renewed_at) < END_OF_MAY < max(renewed_at)
    assert {old.status for old in stage.marketplace.contracts[:20]} == {AgreementStatus.RENEWED}


def test_a_legacy_contract_renews_from_its_date_on() -> None:
    """A legacy buyer has one agreement at a time: some renewals leave a gap, and none overlaps."""
    stage = Stage()
    for number in range(20):
        stage.marketplace.buy(account_id=f"{number:012d}", seats=5, until=END_OF_MAY, generation=Generation.LEGACY)
    most: list[int] = []
    for minutes in range(-60, 61, 5):
        stage.marketplace.advance(END_OF_MAY + timedelta(minutes=minutes))
        at = stage.marketplace.now()
        live = Counter(contract.account_id for contract in stage.marketplace.contracts if contract.is_live(at=at))
        most.append(max(live.values(), default=0))
    assert max(most) == 1
    assert {contract.status for contract in stage.marketplace.contracts[:20]} == {AgreementStatus.RENEWED}


def test_a_legacy_contract_makes_way_for_another_one_that_is_signed() -> None:
    """One that AWS does not link to it: the contract expires on its date, and does not renew beside it."""
    stage = Stage()
    first = bought(stage, generation=Generation.LEGACY)
    private = SuccessorTerms(until=END_OF_NEXT_MAY, starts_at=END_OF_MAY, is_linked=False)
    stage.marketplace.succeed(first.agreement_id, private)
    stage.marketplace.advance(JUNE)
    assert [contract.status for contract in stage.marketplace.contracts] == ["EXPIRED", "ACTIVE"]


def test_an_overlapping_renewal_ends_the_old_agreement_at_its_date() -> None:
    """Not before: both are live until then."""
    stage = Stage()
    for _ in range(20):
        bought(stage)
    stage.marketplace.advance(END_OF_MAY - timedelta(seconds=1))
    early = [new for new in stage.marketplace.contracts if new.intent is Intent.RENEW]
    assert early
    olds = [stage.marketplace.find(str(new.previous_agreement_id)) for new in early]
    assert {old.status for old in olds} == {AgreementStatus.ACTIVE}
    stage.marketplace.advance(END_OF_MAY)
    assert {stage.marketplace.find(old.agreement_id).status for old in olds} == {AgreementStatus.RENEWED}


def test_a_contract_can_renew_with_the_license_that_it_had() -> None:
    """As it is wanted."""
    stage = Stage()
    bought(stage)
    stage.marketplace.set_auto(auto=False, renewals_keep_license=True)
    stage.marketplace.advance(JUNE)
    old, new = stage.marketplace.contracts
    assert new.license_arn == old.license_arn


def test_a_contract_that_moves_to_another_offer_is_replaced() -> None:
    """A private offer ends, and the public one takes its place."""
    stage = Stage()
    bought(stage, AtEnd.REPLACE)
    stage.marketplace.advance(JUNE)
    old, new = stage.marketplace.contracts
    assert (old.status, new.intent) == (AgreementStatus.REPLACED, Intent.REPLACE)
    assert old.offer_id != new.offer_id


def test_a_contract_that_does_not_renew_expires_on_its_date() -> None:
    """With its messages, at its time."""
    stage = Stage()
    contract = bought(stage, AtEnd.EXPIRE)
    stage.marketplace.advance(JUNE)
    assert stage.marketplace.find(contract.agreement_id).status is AgreementStatus.EXPIRED
    ended, gone = stage.sent[-2:]
    assert ended.title.startswith("Purchase Agreement Ended")
    assert gone.title.startswith("License Deprovisioned")
    assert ended.sent_at == END_OF_MAY


def test_a_future_start_comes_on_its_day_and_its_predecessor_is_renewed() -> None:
    """Whatever falls due happens in its order."""
    stage = Stage()
    first = bought(stage, AtEnd.EXPIRE)
    second = stage.marketplace.succeed(
        first.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, starts_at=END_OF_MAY + timedelta(hours=2))
    ).contract
    happened = stage.marketplace.advance(JUNE)
    events = [(one.due.event, one.due.agreement_id) for one in happened if one.due.event is not Event.IS_ENDING]
    assert events == [(Event.ENDS, first.agreement_id), (Event.STARTS, second.agreement_id)]
    assert stage.marketplace.find(first.agreement_id).status is AgreementStatus.RENEWED
    assert stage.sent[-1].title == "License Updated - Manufacturer"
    assert stage.sent[-1].sent_at == END_OF_MAY + timedelta(hours=2)


def test_endings_are_told_on_the_days_of_aws() -> None:
    """180, 120, 90, 60 and 30 days before, as far as the contract ran then; once each, not to legacy buyers."""
    stage = Stage()
    bought(stage)
    bought(stage, generation=Generation.LEGACY)
    stage.sent.clear()
    stage.marketplace.advance(END_OF_MAY - timedelta(days=100))
    stage.marketplace.advance(END_OF_MAY - timedelta(days=1))
    days = [body["detail"]["agreement"]["daysBeforeEndTime"] for body in stage.bodies()]
    assert days == [180, 120, 90, 60, 30]


def test_what_happens_is_in_order_over_many_contracts() -> None:
    """And every message is sent at the time of what it tells."""
    stage = Stage()
    for day in range(1, 11):
        stage.marketplace.buy(
            account_id=COMPILERS_INC, seats=1, until=NOON + timedelta(days=day), auto_renews=day % 2 == 0
        )
    happened = stage.marketplace.advance(NOON + timedelta(days=31))
    assert len(happened) > 40
    assert all(earlier.due.at <= later.due.at for earlier, later in pairwise(happened))
    assert [message.sent_at for message in stage.sent] == sorted(message.sent_at for message in stage.sent)


def test_what_fell_due_while_nothing_happened_by_itself_happens_when_the_clock_moves() -> None:
    """At the moment it is moved, since the clock does not go back; notices of the time before are left out."""
    stage = Stage()
    contract = bought(stage, AtEnd.EXPIRE)
    stage.clock.at = JUNE
    stage.sent.clear()
    (happening,) = stage.marketplace.advance(JUNE + timedelta(days=1))
    assert happening.outcome.contract.ends_at == contract.ends_at
    assert [message.sent_at for message in stage.sent] == [JUNE, JUNE]


def test_everything_can_happen_by_itself() -> None:
    """As the real clock goes on; and no more once that is switched off."""
    stage = Stage()
    bought(stage, AtEnd.EXPIRE)
    stage.marketplace.set_auto(auto=True)
    stage.sent.clear()
    stage.clock.at = END_OF_MAY - timedelta(days=30)
    stage.marketplace.tick()
    stage.marketplace.tick()
    assert len(stage.sent) == 5
    stage.marketplace.set_auto(auto=False)
    stage.clock.at = JUNE
    stage.marketplace.tick()
    assert len(stage.sent) == 5
    stage.marketplace.set_auto(auto=True)
    stage.marketplace.tick()
    assert len(stage.sent) == 7
    assert stage.marketplace.contracts[0].status is AgreementStatus.EXPIRED


def test_a_contract_bought_while_all_happens_by_itself_is_on_the_agenda() -> None:
    """Also when it ends before everything that was there."""
    stage = Stage()
    bought(stage)
    stage.marketplace.set_auto(auto=True)
    stage.marketplace.tick()
    soon = stage.marketplace.buy(
        account_id=COMPILERS_INC, seats=1, until=NOON + timedelta(hours=1), auto_renews=False
    ).contract
    assert stage.marketplace.time.next is not None
    assert stage.marketplace.time.next.agreement_id == soon.agreement_id
    stage.clock.move(timedelta(hours=1))
    stage.marketplace.tick()
    assert stage.marketplace.find(soon.agreement_id).status is AgreementStatus.EXPIRED


def test_renewals_that_fill_the_sandbox_stop_the_clock_there() -> None:
    """With the reason."""
    stage = Stage()
    stage.marketplace.contracts_max = 2
    stage.marketplace.buy(account_id=COMPILERS_INC, seats=1, until=NOON + timedelta(days=1))
    with pytest.raises(TooManyContractsError):
        stage.marketplace.advance(NOON + timedelta(days=30))
    assert NOON < stage.marketplace.now() < NOON + timedelta(days=3)


def test_a_successor_that_waits_for_a_date_is_the_renewal() -> None:
    """A contract that renews by itself does not renew twice."""
    stage = Stage()
    first = bought(stage)
    stage.marketplace.succeed(
        first.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, predecessor_ends=PredecessorEnds.ON_ITS_DATE)
    )
    stage.marketplace.advance(JUNE)
    assert len(stage.marketplace.contracts) == 2


def test_a_successor_that_was_replaced_itself_is_the_renewal_too() -> None:
    """Renewed ahead, and the renewal replaced before the date: nothing more is signed then."""
    stage = Stage()
    first = bought(stage)
    ahead = SuccessorTerms(until=END_OF_NEXT_MAY, predecessor_ends=PredecessorEnds.ON_ITS_DATE)
    second = stage.marketplace.succeed(first.agreement_id, ahead).contract
    replacement = SuccessorTerms(until=END_OF_NEXT_MAY, seats=9, intent=Intent.REPLACE)
    third = stage.marketplace.succeed(second.agreement_id, replacement).contract
    stage.marketplace.advance(JUNE)
    assert [contract.status for contract in stage.marketplace.contracts] == ["RENEWED", "REPLACED", "ACTIVE"]
    assert stage.marketplace.contracts[-1].agreement_id == third.agreement_id


def test_a_successor_that_was_broken_off_is_no_renewal() -> None:
    """The contract renews by itself, as if nothing had been signed."""
    stage = Stage()
    first = bought(stage)
    ahead = SuccessorTerms(until=END_OF_NEXT_MAY, predecessor_ends=PredecessorEnds.ON_ITS_DATE)
    stage.marketplace.cancel(stage.marketplace.succeed(first.agreement_id, ahead).contract.agreement_id)
    stage.marketplace.advance(JUNE)
    assert [contract.status for contract in stage.marketplace.contracts] == ["RENEWED", "CANCELLED", "ACTIVE"]


def test_what_the_last_year_has_no_room_for_expires() -> None:
    """There is no date to renew it to."""
    stage = Stage()
    stage.clock.at = datetime(9999, 1, 1, tzinfo=UTC)
    contract = stage.marketplace.buy(account_id=COMPILERS_INC, seats=1, until=datetime(9999, 9, 1, tzinfo=UTC)).contract
    stage.marketplace.advance(datetime(9999, 10, 1, tzinfo=UTC))
    assert stage.marketplace.find(contract.agreement_id).status is AgreementStatus.EXPIRED


def test_a_contract_can_run_to_the_last_moment_that_there_is() -> None:
    """Nothing falls due after it."""
    stage = Stage()
    stage.marketplace.buy(
        account_id=COMPILERS_INC, seats=1, until=datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    )
    assert stage.marketplace.time.next is not None


def test_delayed_messages_come_whatever_becomes_of_what_falls_due() -> None:
    """A renewal that can't be is no reason to keep them."""
    stage = Stage()
    stage.marketplace.contracts_max = 1
    stage.marketplace.mischief.set(MischiefPlan(delay_seconds=(60, 60)))
    stage.marketplace.set_auto(auto=True)
    bought(stage)
    stage.clock.at = JUNE
    with pytest.raises(TooManyContractsError):
        stage.marketplace.tick()
    assert len(stage.sent) == 2


def test_delayed_messages_come_as_the_clock_moves() -> None:
    """Each at its time, between what happens."""
    stage = Stage()
    stage.marketplace.mischief.set(MischiefPlan(delay_seconds=(60, 60)))
    bought(stage)
    assert stage.sent == []
    stage.marketplace.advance(NOON + timedelta(seconds=59))
    assert stage.sent == []
    stage.marketplace.advance(NOON + timedelta(seconds=60))
    assert len(stage.sent) == 2
