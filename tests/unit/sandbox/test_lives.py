"""Every way in which a contract of the sandbox goes on or ends, and what is sent about it."""

import json
from datetime import timedelta

import pytest

from consumers.sandbox import (
    AgreementStatus,
    AtEnd,
    Contract,
    Generation,
    Intent,
    Notice,
    Offer,
    Party,
    PredecessorEnds,
    Product,
    SuccessorTerms,
)
from consumers.sandbox.contracts import (
    AnotherContractIsActiveError,
    ContractHasEndedError,
    ContractHasStartedError,
    ContractIsNotLegacyError,
    ContractsOverlapError,
    DimensionNotFoundError,
    EndNotLaterError,
    MarketplaceRefusedError,
    ProductNotFoundError,
    SeatsOutOfRangeError,
    StartIsPastError,
)
from consumers.sandbox.courier import MessageNotFoundError
from tests.unit.sandbox.story import ANALYTICAL_ENGINES, COMPILERS_INC, END_OF_MAY, END_OF_NEXT_MAY, NOON, Stage

A_YEAR_ON = SuccessorTerms(until=END_OF_NEXT_MAY)
NEW_YEAR = NOON.replace(year=2027, month=1, day=1, hour=0)
CREATED, AMENDED, ENDED = (f"Purchase Agreement {name} - Proposer" for name in ("Created", "Amended", "Ended"))
UPDATED, GONE = "License Updated - Manufacturer", "License Deprovisioned - Manufacturer"
DESK_PHONE = Product(code="deskphone", id="prod-deskphone", title="Desk Phone", dimensions=("phones", "users"))


def bought(stage: Stage, generation: Generation = Generation.CONCURRENT, offer: Offer | None = None) -> Contract:
    """Let the company of Ada buy five seats, and forget the messages about it."""
    contract = stage.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, generation=generation, offer=offer or Offer()
    ).contract
    stage.sent.clear()
    return contract


def titles(stage: Stage) -> list[str]:
    """Name what was sent, in its order."""
    return [message.title for message in stage.sent]


def actions(stage: Stage) -> list[str]:
    """Name the actions of legacy notifications sent, in their order."""
    return [json.loads(body["Message"])["action"] for body in stage.bodies() if "Message" in body]


def test_a_renewal_is_another_agreement_of_the_same_chain() -> None:
    """New agreement, new license, the seats of before; the old one is RENEWED, and the chain keeps its first id."""
    stage = Stage()
    first = bought(stage)
    outcome = stage.marketplace.succeed(first.agreement_id, A_YEAR_ON)
    second = outcome.contract
    assert outcome.predecessor == stage.marketplace.find(first.agreement_id)
    assert outcome.predecessor is not None
    assert (outcome.predecessor.status, outcome.predecessor.ends_at) == (AgreementStatus.RENEWED, NOON)
    assert (second.intent, second.quantities, second.ends_at) == (Intent.RENEW, {"users": 5}, END_OF_NEXT_MAY)
    assert second.previous_agreement_id == first.agreement_id
    assert second.license_arn != first.license_arn
    third = stage.marketplace.succeed(second.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, seats=3)).contract
    assert third.seats == 3
    assert {first.initial_agreement_id, second.initial_agreement_id, third.initial_agreement_id} == {first.agreement_id}


def test_a_renewal_is_told_by_the_old_end_the_new_agreement_and_both_licenses() -> None:
    """In this order; the new agreement names the one before."""
    stage = Stage()
    first = bought(stage)
    second = stage.marketplace.succeed(first.agreement_id, A_YEAR_ON).contract
    assert titles(stage) == [ENDED, CREATED, UPDATED, GONE]
    ended, created, updated, gone = (body["detail"] for body in stage.bodies())
    assert ended["agreement"] == {"id": first.agreement_id, "status": "RENEWED"}
    assert created["agreement"]["intent"] == "RENEW"
    assert created["agreement"]["previousAgreementId"] == first.agreement_id
    assert created["product"]["id"] == "prod-k35yywhyj4eqg"
    assert "resaleAuthorization" not in created
    assert updated["license"] == {"arn": second.license_arn}
    assert gone["license"] == {"arn": first.license_arn}


def test_a_renewal_that_keeps_the_license_takes_none_away() -> None:
    """The same ARN stands behind another agreement, so that nothing is deprovisioned."""
    stage = Stage()
    first = bought(stage)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, keeps_license=True)
    assert stage.marketplace.succeed(first.agreement_id, terms).contract.license_arn == first.license_arn
    assert titles(stage) == [ENDED, CREATED, UPDATED]


def test_a_replacement_takes_effect_at_once() -> None:
    """An agreement-based offer: the old agreement is REPLACED, the new one has the intent REPLACE and another offer."""
    stage = Stage()
    first = bought(stage)
    outcome = stage.marketplace.succeed(
        first.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, intent=Intent.REPLACE, seats=2)
    )
    assert outcome.predecessor is not None
    assert outcome.predecessor.status is AgreementStatus.REPLACED
    assert (outcome.contract.intent, outcome.contract.seats) == (Intent.REPLACE, 2)
    assert outcome.contract.offer_id != first.offer_id


def test_two_agreements_can_overlap_until_the_date_of_the_older_one() -> None:
    """Both are live; when the date of the older one passes it is renewed, not expired."""
    stage = Stage()
    first = bought(stage)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, seats=3, predecessor_ends=PredecessorEnds.ON_ITS_DATE)
    outcome = stage.marketplace.succeed(first.agreement_id, terms)
    assert titles(stage) == [CREATED, UPDATED]
    assert outcome.predecessor == first
    assert first.is_live(at=NOON)
    assert outcome.contract.is_live(at=NOON)
    stage.sent.clear()
    assert stage.marketplace.expire(first.agreement_id).contract.status is AgreementStatus.RENEWED
    assert titles(stage) == [ENDED, GONE]


@pytest.mark.parametrize(
    ("intent", "status"), [(Intent.RENEW, AgreementStatus.RENEWED), (Intent.REPLACE, AgreementStatus.REPLACED)]
)
def test_the_end_of_an_agreement_is_told_by_the_one_that_followed_it(intent: Intent, status: AgreementStatus) -> None:
    """Also if that one has been replaced since; what was broken off follows nothing."""
    stage = Stage()
    first, other = bought(stage), bought(stage)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, intent=intent, predecessor_ends=PredecessorEnds.ON_ITS_DATE)
    second = stage.marketplace.succeed(first.agreement_id, terms).contract
    stage.marketplace.succeed(second.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, intent=Intent.REPLACE))
    assert stage.marketplace.expire(first.agreement_id).contract.status is status
    stage.marketplace.cancel(stage.marketplace.succeed(other.agreement_id, terms).contract.agreement_id)
    assert stage.marketplace.expire(other.agreement_id).contract.status is AgreementStatus.EXPIRED


def test_an_agreement_whose_license_lives_on_ends_without_taking_it() -> None:
    """The overlapping successor gives the same license."""
    stage = Stage()
    first = bought(stage)
    stage.marketplace.succeed(
        first.agreement_id,
        SuccessorTerms(until=END_OF_NEXT_MAY, keeps_license=True, predecessor_ends=PredecessorEnds.ON_ITS_DATE),
    )
    stage.sent.clear()
    stage.marketplace.expire(first.agreement_id)
    assert titles(stage) == [ENDED]


def test_there_can_be_a_gap_between_two_agreements() -> None:
    """The old one ends now, the new one is signed and starts later: nobody has a seat in between."""
    stage = Stage()
    first = bought(stage)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, starts_at=NEW_YEAR, predecessor_ends=PredecessorEnds.NOW)
    second = stage.marketplace.succeed(first.agreement_id, terms).contract
    assert titles(stage) == [ENDED, CREATED, GONE]
    assert [one.is_live(at=NOON) for one in stage.marketplace.contracts] == [False, False]
    assert second.is_live(at=NEW_YEAR)


def test_a_future_dated_contract_has_its_license_from_its_start() -> None:
    """Created at signature, License Updated when it starts; it cannot start twice."""
    stage = Stage()
    outcome = stage.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, offer=Offer(starts_at=NEW_YEAR)
    )
    contract = outcome.contract
    assert titles(stage) == [CREATED]
    assert stage.bodies()[0]["detail"]["agreement"]["startTime"] == "2027-01-01T00:00:00Z"
    assert contract.is_scheduled(at=NOON)
    assert not contract.is_live(at=NOON)
    stage.clock.at = NEW_YEAR
    assert contract.is_live(at=NEW_YEAR)
    stage.sent.clear()
    assert stage.marketplace.start(contract.agreement_id).contract.starts_at == NEW_YEAR
    assert titles(stage) == [UPDATED]
    with pytest.raises(ContractHasStartedError):
        stage.marketplace.start(contract.agreement_id)


@pytest.mark.parametrize(
    ("generation", "told"), [(Generation.CONCURRENT, [ENDED]), (Generation.LEGACY, []), (Generation.OPTED_IN, [ENDED])]
)
def test_a_contract_that_ends_before_its_start_never_had_a_license(generation: Generation, told: list[str]) -> None:
    """None is deprovisioned, nobody unsubscribes who never subscribed, and it does not end before it starts."""
    stage = Stage()
    contract = bought(stage, generation, Offer(starts_at=NEW_YEAR))
    ended = stage.marketplace.cancel(contract.agreement_id).contract
    assert (ended.starts_at, ended.ends_at) == (NEW_YEAR, NEW_YEAR)
    assert titles(stage) == told
    away = stage.marketplace.archive(bought(stage, offer=Offer(starts_at=NEW_YEAR)).agreement_id).contract
    assert (away.starts_at, away.ends_at) == (NEW_YEAR, NEW_YEAR)


def test_a_renewal_that_is_replaced_before_its_start_never_had_a_license() -> None:
    """Another agreement takes its place; the one that runs is not concerned."""
    stage = Stage()
    first = bought(stage)
    second = stage.marketplace.succeed(
        first.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, starts_at=END_OF_MAY)
    ).contract
    stage.sent.clear()
    stage.marketplace.succeed(second.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, intent=Intent.REPLACE))
    assert titles(stage) == [ENDED, CREATED, UPDATED]


def test_a_contract_whose_day_came_had_a_license() -> None:
    """Though nobody was told of its start."""
    stage = Stage()
    contract = bought(stage, offer=Offer(starts_at=NEW_YEAR))
    stage.clock.at = NEW_YEAR + timedelta(days=1)
    assert stage.marketplace.cancel(contract.agreement_id).contract.ends_at == stage.clock.at
    assert titles(stage) == [ENDED, GONE]


def test_a_renewal_can_be_signed_ahead() -> None:
    """The old one runs on to its date, with no message but that of the signature."""
    stage = Stage()
    first = bought(stage)
    outcome = stage.marketplace.succeed(
        first.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, starts_at=END_OF_MAY + timedelta(hours=2))
    )
    assert titles(stage) == [CREATED]
    assert outcome.predecessor == first
    assert first.status is AgreementStatus.ACTIVE


def test_a_start_can_be_brought_forward() -> None:
    """The day comes when it is told to come."""
    stage = Stage()
    contract = bought(stage, offer=Offer(starts_at=NEW_YEAR))
    assert stage.marketplace.start(contract.agreement_id).contract.starts_at == NOON


def test_a_renewal_that_aws_does_not_link_looks_like_a_purchase() -> None:
    """A private offer of its own: intent NEW, no agreement before, a chain of its own; the old one expires."""
    stage = Stage()
    first = bought(stage)
    outcome = stage.marketplace.succeed(first.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, is_linked=False))
    second = outcome.contract
    assert outcome.predecessor is not None
    assert outcome.predecessor.status is AgreementStatus.EXPIRED
    assert (second.intent, second.previous_agreement_id) == (Intent.NEW, None)
    assert second.initial_agreement_id == second.agreement_id
    assert "previousAgreementId" not in stage.bodies()[1]["detail"]["agreement"]


def test_a_contract_of_a_channel_partner_is_told_to_the_manufacturer_alone() -> None:
    """The partner proposes; no message says which agreement came before, or whether it renews."""
    stage = Stage()
    contract = bought(stage, offer=Offer(via_partner=True))
    stage.marketplace.set_seats(contract.agreement_id, seats=6)
    stage.marketplace.succeed(contract.agreement_id, A_YEAR_ON)
    assert all(title.endswith("- Manufacturer") for title in titles(stage))
    amended, _, _, created, _, _ = (body["detail"] for body in stage.bodies())
    assert "autoRenewalEnabled" not in amended["agreement"]
    assert "renewalSummary" not in amended
    assert "previousAgreementId" not in created["agreement"]
    assert created["proposer"] == {"accountId": "777788889999"}
    assert created["resaleAuthorization"]["id"].startswith("resaleauthz-")


def test_a_legacy_replacement_subscribes_again_with_the_new_offer() -> None:
    """AWS sends subscribe-success with the new offer, and a poke; a renewal is a poke alone."""
    stage = Stage()
    first = bought(stage, Generation.LEGACY)
    second = stage.marketplace.succeed(
        first.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, intent=Intent.REPLACE)
    ).contract
    assert actions(stage) == ["subscribe-success", "entitlement-updated"]
    assert json.loads(stage.bodies()[0]["Message"])["offer-identifier"] == second.offer_id
    assert second.customer_identifier == first.customer_identifier
    stage.sent.clear()
    stage.marketplace.succeed(second.agreement_id, A_YEAR_ON)
    assert actions(stage) == ["entitlement-updated"]


@pytest.mark.parametrize(
    "terms",
    [
        SuccessorTerms(until=END_OF_NEXT_MAY, predecessor_ends=PredecessorEnds.ON_ITS_DATE),
        SuccessorTerms(until=END_OF_NEXT_MAY, starts_at=NEW_YEAR),
        SuccessorTerms(until=END_OF_NEXT_MAY, starts_at=NEW_YEAR, is_linked=False),
    ],
    ids=["at once", "before its date", "by an offer of its own"],
)
def test_a_legacy_buyer_has_no_two_agreements_at_a_time(terms: SuccessorTerms) -> None:
    """It is refused with the dates of the other one, and nothing has changed; a listing that opted in allows it."""
    stage = Stage()
    first = bought(stage, Generation.LEGACY)
    with pytest.raises(ContractsOverlapError, match="until 31 May 2027, 23:59:59 UTC"):
        stage.marketplace.succeed(first.agreement_id, terms)
    assert (stage.marketplace.contracts, stage.sent) == ((first,), [])
    stage.marketplace.opt_in(first.agreement_id)
    assert stage.marketplace.succeed(first.agreement_id, terms).contract.is_active


def test_a_legacy_renewal_that_is_signed_ahead_keeps_its_distance() -> None:
    """It starts on the day on which the other one ends: not earlier, and that one does not go on longer."""
    stage = Stage()
    first = bought(stage, Generation.LEGACY)
    ahead = SuccessorTerms(until=END_OF_NEXT_MAY, starts_at=END_OF_MAY)
    second = stage.marketplace.succeed(first.agreement_id, ahead).contract
    with pytest.raises(ContractsOverlapError):
        stage.marketplace.start(second.agreement_id)
    with pytest.raises(ContractsOverlapError):
        stage.marketplace.renew(first.agreement_id, until=END_OF_NEXT_MAY)
    with pytest.raises(ContractsOverlapError):
        stage.marketplace.succeed(first.agreement_id, A_YEAR_ON)
    assert stage.marketplace.contracts == (first, second)
    stage.marketplace.cancel(first.agreement_id)
    assert stage.marketplace.start(second.agreement_id).contract.is_live(at=NOON)


def test_a_legacy_contract_from_a_later_day_is_silent_until_then() -> None:
    """Both topics tell of the start, not of the signature."""
    stage = Stage()
    contract = bought(stage, Generation.LEGACY, Offer(starts_at=NEW_YEAR))
    assert [message.title for message in stage.marketplace.messages] == []
    stage.marketplace.start(contract.agreement_id)
    assert actions(stage) == ["subscribe-success", "entitlement-updated"]


def test_a_legacy_gap_is_told_by_a_poke() -> None:
    """The old contract is over and the new one has not started: GetEntitlements is empty, which the poke is about."""
    stage = Stage()
    first = bought(stage, Generation.LEGACY)
    stage.marketplace.succeed(
        first.agreement_id,
        SuccessorTerms(until=END_OF_NEXT_MAY, starts_at=NEW_YEAR, predecessor_ends=PredecessorEnds.NOW),
    )
    assert actions(stage) == ["entitlement-updated"]


def test_an_opted_in_contract_is_told_in_both_ways() -> None:
    """Events and notifications; it can stand beside another one of the same buyer, with the same identifier."""
    stage = Stage()
    first = bought(stage, Generation.OPTED_IN)
    second = stage.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=2, until=END_OF_MAY, generation=Generation.OPTED_IN
    ).contract
    assert titles(stage) == [CREATED, UPDATED, "subscribe-success", "entitlement-updated"]
    assert first.customer_identifier == second.customer_identifier
    assert first.license_arn != second.license_arn


def test_a_legacy_contract_can_be_opted_in_once() -> None:
    """AWS says nothing; a second one is then possible, and another opt-in is not."""
    stage = Stage()
    first = bought(stage, Generation.LEGACY)
    assert stage.marketplace.opt_in(first.agreement_id).contract.generation is Generation.OPTED_IN
    assert stage.sent == []
    with pytest.raises(ContractIsNotLegacyError):
        stage.marketplace.opt_in(first.agreement_id)
    stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=2, until=END_OF_MAY, generation=Generation.OPTED_IN)


def test_a_free_trial_says_so_where_aws_does() -> None:
    """In the legacy message, as a string; the token's form has a field for it."""
    stage = Stage()
    trial = Offer(trial_ends_at=NEW_YEAR)
    contract = stage.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, generation=Generation.LEGACY, offer=trial
    ).contract
    assert json.loads(stage.bodies()[0]["Message"])["isFreeTrialTermPresent"] == "true"
    assert stage.marketplace.issue_token(contract.agreement_id).is_of_trial
    assert not stage.marketplace.issue_token(bought(stage).agreement_id).is_of_trial


@pytest.mark.parametrize(("by", "disabled_by"), [(Party.ACCEPTOR, "ACCEPTOR"), (Party.PROPOSER, "PROPOSER")])
def test_a_party_can_opt_out_of_the_renewal_and_back_in(by: Party, disabled_by: str) -> None:
    """It is an amendment which leaves the license alone; the same decision again is none."""
    stage = Stage()
    agreement_id = bought(stage).agreement_id
    assert not stage.marketplace.decide_end(agreement_id, at_end=AtEnd.EXPIRE, by=by).contract.auto_renews
    assert stage.marketplace.decide_end(agreement_id, at_end=AtEnd.EXPIRE, by=by).messages == ()
    stage.marketplace.decide_end(agreement_id, at_end=AtEnd.RENEW)
    assert titles(stage) == [AMENDED, AMENDED]
    out, back = (body["detail"] for body in stage.bodies())
    assert (out["agreement"]["autoRenewalEnabled"], out["renewalSummary"]["disabledBy"]) == (False, disabled_by)
    assert (back["agreement"]["autoRenewalEnabled"], back["renewalSummary"]["disabledBy"]) == (True, None)


def test_a_termination_is_an_end_before_the_date() -> None:
    """AWS ended it; a legacy buyer is unsubscribed."""
    stage = Stage()
    stage.marketplace.terminate(bought(stage).agreement_id)
    assert titles(stage) == [ENDED, GONE]
    assert stage.bodies()[0]["detail"]["agreement"]["status"] == "TERMINATED"
    legacy = bought(stage, Generation.LEGACY)
    stage.marketplace.terminate(legacy.agreement_id)
    assert actions(stage) == ["unsubscribe-pending", "entitlement-updated", "unsubscribe-success"]


def test_an_agreement_is_archived_in_silence() -> None:
    """Whether it ended before or not; once is enough."""
    stage = Stage()
    running, over = bought(stage), bought(stage)
    stage.marketplace.cancel(over.agreement_id)
    stage.sent.clear()
    for contract in (running, over):
        assert stage.marketplace.archive(contract.agreement_id).contract.status is AgreementStatus.ARCHIVED
    assert stage.sent == []
    with pytest.raises(ContractHasEndedError):
        stage.marketplace.archive(running.agreement_id)


def test_an_agreement_can_end_as_renewed_before_its_successor_is_there() -> None:
    """AWS makes no promise about the order; the successor comes later and names it."""
    stage = Stage()
    first = bought(stage)
    stage.marketplace.end(first.agreement_id, status=AgreementStatus.RENEWED)
    assert titles(stage) == [ENDED, GONE]
    stage.sent.clear()
    assert stage.marketplace.succeed(first.agreement_id, A_YEAR_ON).contract.intent is Intent.RENEW
    assert titles(stage) == [CREATED, UPDATED]


@pytest.mark.parametrize(
    ("terms", "refusal"),
    [
        (SuccessorTerms(until=NOON), EndNotLaterError),
        (SuccessorTerms(until=END_OF_MAY, starts_at=END_OF_MAY), EndNotLaterError),
        (SuccessorTerms(until=END_OF_MAY, starts_at=NOON - timedelta(seconds=1)), StartIsPastError),
        (SuccessorTerms(until=END_OF_MAY, seats=0), SeatsOutOfRangeError),
        (SuccessorTerms(until=END_OF_MAY, seats={"guests": 1}), DimensionNotFoundError),
    ],
)
def test_a_successor_that_aws_would_not_take_changes_nothing(
    terms: SuccessorTerms, refusal: type[MarketplaceRefusedError]
) -> None:
    """The agreement before runs on, and nothing is sent."""
    stage = Stage()
    first = bought(stage)
    with pytest.raises(refusal):
        stage.marketplace.succeed(first.agreement_id, terms)
    assert stage.marketplace.contracts == (first,)
    assert stage.sent == []


def test_what_was_broken_off_has_no_successor() -> None:
    """Who cancelled buys anew."""
    stage = Stage()
    first = bought(stage)
    stage.marketplace.cancel(first.agreement_id)
    with pytest.raises(ContractHasEndedError):
        stage.marketplace.succeed(first.agreement_id, A_YEAR_ON)


@pytest.mark.parametrize("notice", Notice)
def test_a_notice_changes_nothing_of_the_contract(notice: Notice) -> None:
    """It is one event that names the agreement; a legacy listing has no word for it."""
    stage = Stage()
    contract = bought(stage)
    outcome = stage.marketplace.give_notice(contract.agreement_id, notice, days=90)
    assert outcome.contract == contract
    (event,) = stage.bodies()
    assert event["detail"]["agreement"]["id"] == contract.agreement_id
    assert event["detail-type"].endswith(" - Manufacturer" if notice.startswith("advisory") else " - Proposer")
    assert bool(event["resources"]) is not notice.startswith(("cancellation", "refund"))
    stage.sent.clear()
    assert stage.marketplace.give_notice(bought(stage, Generation.LEGACY).agreement_id, notice).messages == ()


def test_an_ending_contract_is_told_with_the_days_that_are_left() -> None:
    """In the shape that AWS documents, with both parties and the offer."""
    stage = Stage()
    contract = bought(stage)
    stage.marketplace.give_notice(contract.agreement_id, Notice.ENDING, days=180)
    (event,) = stage.bodies()
    assert event["detail-type"] == "Purchase Agreement Ending - Proposer"
    detail = event["detail"]
    assert detail["agreement"] == {
        "id": contract.agreement_id,
        "startTime": "2026-11-24T12:00:00Z",
        "endTime": "2027-05-31T23:59:59.999Z",
        "status": "ACTIVE",
        "daysBeforeEndTime": 180,
        "autoRenewalEnabled": True,
    }
    assert detail["acceptor"] == {"accountId": ANALYTICAL_ENGINES}
    assert detail["proposer"] == {"name": "Mirage", "accountId": "444455556666"}
    assert detail["offer"] == {"id": contract.offer_id}


def test_a_cancellation_request_names_the_parties_in_a_way_of_its_own() -> None:
    """Flat ids, no resource, no acceptor beside the agreement."""
    stage = Stage()
    contract = bought(stage)
    stage.marketplace.give_notice(contract.agreement_id, Notice.CANCELLATION_APPROVED)
    (event,) = stage.bodies()
    assert event["detail-type"] == "Agreement Cancellation Request Approved - Proposer"
    assert set(event["detail"]) == {"requestId", "catalog", "agreement", "agreementCancellationRequest"}
    assert event["detail"]["agreement"]["acceptorId"] == ANALYTICAL_ENGINES
    assert event["detail"]["agreementCancellationRequest"]["statusCode"] == "APPROVED"


def test_a_mere_manufacturer_hears_little_beside() -> None:
    """What only the proposer is told goes to the partner; a cancellation request comes to the manufacturer too."""
    stage = Stage()
    agreement_id = bought(stage, offer=Offer(via_partner=True)).agreement_id
    for notice in (Notice.ENDING, Notice.RENEWAL_UPCOMING, Notice.REFUND_FAILED, Notice.CANCELLATION_INVALID):
        assert stage.marketplace.give_notice(agreement_id, notice).messages == ()
    stage.marketplace.give_notice(agreement_id, Notice.CANCELLATION_PENDING)
    assert titles(stage) == ["Agreement Cancellation Request Pending Approval - Manufacturer"]


def test_a_message_can_be_sent_once_more_as_it_was() -> None:
    """Word for word, so that whoever counts ids finds it twice; one that was never sent is refused."""
    stage = Stage()
    first, second = stage.marketplace.buy(account_id=COMPILERS_INC, seats=1, until=END_OF_MAY).messages
    assert (first.number, second.number) == (1, 2)
    assert stage.marketplace.send_again(1).body == first.body
    assert [message.body for message in stage.sent] == [first.body, second.body, first.body]
    with pytest.raises(MessageNotFoundError):
        stage.marketplace.send_again(3)


def test_products_are_sold_beside_each_other() -> None:
    """Each has its own dimensions and messages; a number is of the first dimension."""
    stage = Stage(products=(Stage().marketplace.product, DESK_PHONE))
    offer = Offer(product_code="deskphone")
    contract = stage.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats={"phones": 2, "users": 7}, until=END_OF_MAY, offer=offer
    ).contract
    assert (contract.product_code, contract.seats) == ("deskphone", 9)
    assert stage.bodies()[1]["detail"]["product"] == {"id": "prod-deskphone", "code": "deskphone"}
    after = stage.marketplace.set_seats(contract.agreement_id, seats=3).contract
    assert after.quantities == {"phones": 3, "users": 7}
    after = stage.marketplace.set_seats(contract.agreement_id, seats={"users": 0}).contract
    assert after.quantities == {"phones": 3, "users": 0}
    with pytest.raises(DimensionNotFoundError, match="it has phones, users"):
        stage.marketplace.set_seats(contract.agreement_id, seats={"guests": 1})
    with pytest.raises(ProductNotFoundError):
        stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=1, until=END_OF_MAY, offer=Offer(product_code="fax"))
    with pytest.raises(SeatsOutOfRangeError):
        stage.marketplace.buy(
            account_id=ANALYTICAL_ENGINES, seats={"phones": 0, "users": 0}, until=END_OF_MAY, offer=offer
        )


def test_a_legacy_buyer_has_one_identifier_for_all_products() -> None:
    """And one active contract of each."""
    stage = Stage(products=(Stage().marketplace.product, DESK_PHONE))
    first = bought(stage, Generation.LEGACY)
    second = bought(stage, Generation.LEGACY, Offer(product_code="deskphone"))
    assert first.customer_identifier == second.customer_identifier
    with pytest.raises(AnotherContractIsActiveError):
        bought(stage, Generation.LEGACY, Offer(product_code="deskphone"))
