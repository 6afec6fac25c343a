"""What an operator decides that AWS does not tell: which agreement follows, and that a contract has ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.marketplace import MarketplaceOperating
from consumers.marketplace.succession import ContradictionError
from consumers.sandbox import Contract, Generation
from consumers.sandbox.contracts import SuccessorTerms
from ledger.errors import LicenseIsNotFoundError
from ledger.license.decisions import TwinIsInUseError
from ledger.license.events import Actor, ActorRole, Contact, KeyKind, LapseReason, LicenseId, SuccessionReason
from ledger.succession import KeyIsMalformedError, SuccessionPlan
from ledger.transaction import Caller
from ledger.users import parse_user
from tests.integration.consumers_stage import (
    ADMIN,
    END_OF_NEXT_MAY,
    ENGINES,
    PRODUCT_CODE,
    USERS,
    Stage,
    database,
    staged,
)

OPERATOR = Caller(Actor(ActorRole.OPERATOR, "key-of-grace"))
NOBODY = LicenseId("6f0c0c0c-0000-4000-8000-000000000001")


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def renewed_in_private(stage: Stage) -> tuple[Contract, Contract]:
    """A contract with five users, and a renewal that AWS does not link to it: for now a license of its own."""
    before = stage.bought(seats=5)
    stage.activate(*USERS)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, is_linked=False)
    after = stage.sandbox.marketplace.succeed(before.agreement_id, terms).contract
    stage.consume()
    return before, after


def succeed(stage: Stage, key: str) -> SuccessionPlan:
    """Let what has a key follow behind the license that was issued first."""
    return MarketplaceOperating(stage.ledger).succeed(
        stage.licenses()[0].license_id, key=key, reason=SuccessionReason.OTHER, caller=OPERATOR
    )


def test_a_private_renewal_goes_on_as_the_same_license(stage: Stage) -> None:
    """The license that was issued for it becomes one with the one before, whose users keep their seats."""
    before, after = renewed_in_private(stage)
    old, new = stage.licenses()
    operating = MarketplaceOperating(stage.ledger)

    plan = operating.preview(old.license_id, key=after.license_arn, caller=OPERATOR)
    assert (plan.follows_already, plan.twin) == (False, new.license_id)
    assert (plan.agreement_id_before, plan.agreement_id_after) == (before.agreement_id, after.agreement_id)
    assert len(stage.licenses()) == 2
    assert stage.licenses()[1].folded_into is None

    operating.succeed(old.license_id, key=after.license_arn, reason=SuccessionReason.PRIVATE_RENEWAL, caller=OPERATOR)
    stage.consume()
    goes_on, twin = stage.licenses()
    assert goes_on.seats_active == 5
    assert (goes_on.name(KeyKind.LICENSE_ARN), goes_on.name(KeyKind.AGREEMENT)) == (
        after.license_arn,
        after.agreement_id,
    )
    assert goes_on.subscription is not None
    assert (goes_on.subscription.renews_at, goes_on.subscription.lapse) == (END_OF_NEXT_MAY, None)
    assert twin.folded_into == goes_on.license_id


def test_a_decision_made_twice_adds_nothing(stage: Stage) -> None:
    """The key stands behind the license already."""
    _, after = renewed_in_private(stage)
    old, _ = stage.licenses()
    operating = MarketplaceOperating(stage.ledger)
    plans = [
        operating.succeed(
            old.license_id, key=after.agreement_id, reason=SuccessionReason.PRIVATE_RENEWAL, caller=OPERATOR
        )
        for _ in range(2)
    ]
    assert [plan.follows_already for plan in plans] == [False, True]
    assert stage.events().count("succession-decided") == 1


def test_a_license_that_is_used_is_not_folded(stage: Stage) -> None:
    """Whose seats would count nobody can know."""
    _, after = renewed_in_private(stage)
    old, new = stage.licenses()
    stage.ledger.seats.activate(new.license_id, user=parse_user("Joan"), caller=ADMIN)
    events = stage.events()
    operating = MarketplaceOperating(stage.ledger)
    with pytest.raises(TwinIsInUseError):
        operating.preview(old.license_id, key=after.agreement_id, caller=OPERATOR)
    with pytest.raises(TwinIsInUseError):
        operating.succeed(old.license_id, key=after.agreement_id, reason=SuccessionReason.OTHER, caller=OPERATOR)
    assert stage.events() == events


@pytest.mark.parametrize("key", ["", "Ada Lovelace", "arn:aws:iam::123456789012:user/ada"])
def test_what_is_no_key_is_said_to_be_none(stage: Stage, key: str) -> None:
    """And nothing follows from it."""
    stage.bought()
    with pytest.raises(KeyIsMalformedError):
        MarketplaceOperating(stage.ledger).preview(stage.license().license_id, key=key, caller=OPERATOR)


def test_nothing_follows_behind_a_license_that_is_none(stage: Stage) -> None:
    """It has to be there."""
    with pytest.raises(LicenseIsNotFoundError):
        MarketplaceOperating(stage.ledger).preview(NOBODY, key="agmt-1", caller=OPERATOR)


def test_an_agreement_that_has_ended_follows_behind_no_license(stage: Stage) -> None:
    """The license that runs would end with it."""
    before, after = renewed_in_private(stage)
    stage.sandbox.marketplace.cancel(after.agreement_id)
    stage.consume()
    with pytest.raises(ContradictionError, match="has ended"):
        succeed(stage, after.agreement_id)
    assert stage.licenses()[0].name(KeyKind.AGREEMENT) == before.agreement_id


def test_nothing_is_put_before_an_agreement_that_is_going_to_follow(stage: Stage) -> None:
    """It begins on its day, as AWS told; both can't stand there."""
    before = stage.bought(seats=5)
    marketplace = stage.sandbox.marketplace
    signed = SuccessorTerms(until=END_OF_NEXT_MAY, seats=8, starts_at=before.ends_at)
    marketplace.succeed(before.agreement_id, signed)
    stage.consume()
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, seats=6, is_linked=False)
    private = marketplace.succeed(before.agreement_id, terms).contract
    stage.consume()
    with pytest.raises(ContradictionError, match="follows already, and begins on 31 May 2027"):
        succeed(stage, private.agreement_id)


def test_a_company_that_registered_with_the_twin_is_that_of_the_license_that_goes_on(stage: Stage) -> None:
    """A person has decided it; nobody has to fill in the form again."""
    _, after = renewed_in_private(stage)
    old, new = stage.licenses()
    contact = Contact(name="Ada Lovelace", email="ada@example.com", phone=None)
    stage.ledger.companies.register(new.license_id, company_name="Analytical Engines", contact=contact, caller=ADMIN)
    succeed(stage, after.agreement_id)
    stage.consume()
    goes_on, twin = stage.licenses()
    assert twin.folded_into == old.license_id
    assert (goes_on.company_name, goes_on.seats_active) == ("Analytical Engines", 5)
    assert stage.ledger.companies.contact(old.license_id) == contact


def test_a_legacy_license_follows_by_its_customer(stage: Stage) -> None:
    """It has neither an ARN nor an agreement that is known."""
    stage.bought(seats=5)
    stage.activate(*USERS)
    legacy = stage.buy(seats=6, generation=Generation.LEGACY)
    stage.consume()
    key = f"{PRODUCT_CODE}/{legacy.customer_identifier}"
    plan = succeed(stage, key)
    assert (plan.kind, plan.twin) == (KeyKind.CUSTOMER, stage.licenses()[1].license_id)
    stage.consume()
    assert stage.licenses()[0].name(KeyKind.CUSTOMER) == key
    assert stage.licenses()[0].seats_active == 5


def test_a_contract_that_an_operator_ends_keeps_its_seats_and_resumes_if_aws_shows_it(stage: Stage) -> None:
    """The operator knows what AWS did not tell; AWS has the last word."""
    contract = stage.bought(seats=5)
    stage.activate("ada")
    operating = MarketplaceOperating(stage.ledger)
    license_id = stage.license().license_id
    assert operating.lapse(license_id, reason=LapseReason.CANCELLED, caller=OPERATOR)
    assert not operating.lapse(license_id, reason=LapseReason.CANCELLED, caller=OPERATOR)
    assert stage.license().subscription is not None
    assert stage.license().seats_active == 1
    assert stage.events()[-1] == "subscription-lapsed"
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=6)
    stage.consume()
    assert stage.events()[-2:] == ["subscription-resumed", "seat-limit-raised"]
