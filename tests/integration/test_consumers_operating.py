"""What an operator decides that AWS does not tell: which agreement follows, and that a contract has ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.marketplace import MarketplaceOperating
from consumers.sandbox import Contract
from consumers.sandbox.contracts import SuccessorTerms
from ledger.errors import LicenseIsNotFoundError
from ledger.license.decisions import TwinIsInUseError
from ledger.license.events import Actor, ActorRole, KeyKind, LapseReason, LicenseId, SuccessionReason
from ledger.succession import KeyIsMalformedError
from ledger.transaction import Caller
from ledger.users import parse_user
from tests.integration.consumers_stage import ADMIN, END_OF_NEXT_MAY, ENGINES, USERS, Stage, database, staged

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
