"""A buyer chooses "Set up your account" of a renewal before anybody knows that it is one."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.sandbox import AgreementStatus, AtEnd, Contract, FaultPlan, SuccessorTerms
from ledger.license.events import Actor, ActorRole, Contact, KeyKind, LicenseId
from ledger.license.state import Subscription
from ledger.transaction import Caller
from ledger.users import parse_user
from tests.integration.consumers_stage import (
    ADMIN,
    END_OF_NEXT_MAY,
    ENGINES,
    MINUTE,
    USERS,
    Stage,
    anew,
    database,
    staged,
)
from tests.integration.test_consumers_succession import read_soon
from tests.integration.test_reconcile import reconciled

DAY = timedelta(days=1)
BUYER = Caller(Actor(ActorRole.ADMIN, "registration-of-ada"))
ADA = Contact(name="Ada Lovelace", email="ada@example.com", phone=None)
COMPANY = "Analytical Engines"


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def renewed_unlinked(stage: Stage) -> tuple[Contract, Contract]:
    """Five users work under a contract, and it is renewed; AWS does not tell yet that the one follows the other."""
    before = stage.bought(seats=5)
    stage.activate(*USERS)
    stage.clock.move(DAY)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, seats=6, is_linked=False)
    after = stage.sandbox.marketplace.succeed(before.agreement_id, terms).contract
    stage.held_back()
    return before, after


def set_up(stage: Stage, contract: Contract) -> LicenseId:
    """Choose "Set up your account"; gives the license for which the company form is shown."""
    token = stage.sandbox.marketplace.issue_token(contract.agreement_id).token
    return stage.registration.resolve(token, cause="request-1").license_id


def send_form(stage: Stage, license_id: LicenseId) -> None:
    """Send the company form."""
    stage.ledger.companies.register(license_id, company_name=COMPANY, contact=ADA, caller=BUYER)


def created(stage: Stage, contract: Contract) -> Mapping[str, Any]:
    """Purchase Agreement Created about a contract, as the sandbox sent it."""
    for message in stage.sandbox.marketplace.messages:
        if message.agreement_id == contract.agreement_id and message.title.startswith("Purchase Agreement Created"):
            found: Mapping[str, Any] = json.loads(message.body)
            return found
    raise LookupError(contract.agreement_id)


def tell_the_link(stage: Stage, before: Contract, after: Contract) -> None:
    """Let AWS say at last that the one agreement follows the other."""
    event = created(stage, after)
    agreement = {**event["detail"]["agreement"], "previousAgreementId": before.agreement_id, "intent": "RENEW"}
    stage.send(anew(event, detail={"agreement": agreement}))
    stage.consume()


def ended_as_renewed(stage: Stage, contract: Contract) -> str:
    """Purchase Agreement Ended about a contract, which says that it was renewed."""
    for message in stage.sandbox.marketplace.messages:
        if message.agreement_id == contract.agreement_id and message.title.startswith("Purchase Agreement Ended"):
            stage.sandbox.marketplace.book.put(
                replace(stage.sandbox.marketplace.find(contract.agreement_id), status=AgreementStatus.RENEWED)
            )
            return anew(
                json.loads(message.body), detail={"agreement": {"id": contract.agreement_id, "status": "RENEWED"}}
            )
    raise LookupError(contract.agreement_id)


def newest(stage: Stage) -> Subscription:
    """The subscription of the license that was issued last."""
    subscription = stage.licenses()[-1].subscription
    assert subscription is not None
    return subscription


def test_a_form_that_is_sent_after_the_link_is_known_is_of_the_license_that_goes_on(stage: Stage) -> None:
    """It was opened for a license that is none any more; nobody fills it in twice, and every user keeps a seat."""
    before, after = renewed_unlinked(stage)
    license_id = set_up(stage, after)
    older, twin = stage.licenses()
    assert (twin.license_id, twin.seats_max) == (license_id, 6)

    tell_the_link(stage, before, after)
    send_form(stage, license_id)
    goes_on, twin = stage.licenses()
    assert twin.folded_into == goes_on.license_id == older.license_id
    assert (goes_on.company_name, twin.company_name) == (COMPANY, None)
    assert (goes_on.seats_max, goes_on.seats_active) == (6, 5)
    assert goes_on.name(KeyKind.LICENSE_ARN) == after.license_arn
    assert set_up(stage, after) == older.license_id


def test_a_company_that_registered_before_the_link_was_known_is_not_folded_away(stage: Stage) -> None:
    """Its administrator works with that license by now: a person decides, and both let their users work meanwhile."""
    before, after = renewed_unlinked(stage)
    license_id = set_up(stage, after)
    send_form(stage, license_id)
    stage.ledger.seats.activate(license_id, user=parse_user("joan"), caller=ADMIN)
    events = stage.events()

    tell_the_link(stage, before, after)
    assert stage.events() == events
    status, reason = stage.inbox()[-1]
    assert status == "failed"
    assert reason is not None
    assert "is in use" in reason
    older, twin = stage.licenses()
    assert twin.folded_into is None
    for license_, user in ((older, "ada"), (twin, "joan")):
        answer = stage.ledger.seats.access(license_.license_id, user=parse_user(user), caller=ADMIN)
        assert answer.code == "ALLOWED"


def in_use(stage: Stage) -> tuple[Contract, Contract, LicenseId]:
    """The renewal has a license with a company and a user of its own when AWS comes to tell what it follows."""
    before, after = renewed_unlinked(stage)
    license_id = set_up(stage, after)
    send_form(stage, license_id)
    stage.ledger.seats.activate(license_id, user=parse_user("joan"), caller=ADMIN)
    stage.link(after, follows=before)
    stage.clock.move(MINUTE)
    return before, after, license_id


def test_two_licenses_of_one_chain_that_are_in_use_each_go_on_with_their_own_agreement(stage: Stage) -> None:
    """What is told of the newer agreement later, by messages or when AWS is asked, counts for its own license."""
    _, after, license_id = in_use(stage)
    marketplace = stage.sandbox.marketplace
    marketplace.decide_end(after.agreement_id, at_end=AtEnd.EXPIRE)
    stage.consume()
    stage.clock.move(MINUTE)
    marketplace.set_seats(after.agreement_id, seats=9)
    stage.consume()
    older, newer = stage.licenses()
    assert (newer.license_id, newer.seats_max, older.seats_max) == (license_id, 9, 5)
    assert set_up(stage, after) == license_id
    stage.clock.move(MINUTE)
    marketplace.cancel(after.agreement_id)
    stage.consume()
    assert newest(stage).lapse is not None
    assert "failed" not in stage.statuses()


def test_a_reconciliation_reports_two_licenses_of_one_chain_and_holds_up_neither(stage: Stage) -> None:
    """A person decides; until then the buyer comes to the license that was set up."""
    _, after, license_id = in_use(stage)
    report = reconciled(stage)
    assert any("is in use" in note for note in report.notes)
    assert set_up(stage, after) == license_id
    stage.sandbox.marketplace.cancel(after.agreement_id)
    stage.consume()
    assert newest(stage).lapse is not None


def test_a_license_whose_users_were_all_deleted_is_folded(stage: Stage) -> None:
    """Nobody needs it any more; what was done with it stays in its history."""
    before, after = renewed_unlinked(stage)
    license_id = set_up(stage, after)
    stage.ledger.seats.activate(license_id, user=parse_user("joan"), caller=ADMIN)
    (seat_id,) = stage.licenses()[-1].seats
    stage.ledger.seats.delete(license_id, seat_id=seat_id, caller=ADMIN)
    tell_the_link(stage, before, after)
    older, twin = stage.licenses()
    assert twin.folded_into == older.license_id
    assert (older.seats_max, older.seats_active) == (6, 5)


def test_a_link_that_comes_to_light_when_aws_is_asked_folds_the_twin(stage: Stage) -> None:
    """Only the word that the old agreement was renewed comes; its chain tells as which one it goes on."""
    before, after = renewed_unlinked(stage)
    set_up(stage, after)
    ended = ended_as_renewed(stage, before)
    stage.link(after, follows=before)
    stage.send(ended)
    stage.consume()
    older, twin = stage.licenses()
    assert twin.folded_into == older.license_id
    assert (older.seats_max, older.seats_active, older.name(KeyKind.AGREEMENT)) == (6, 5, after.agreement_id)
    assert stage.statuses()[-1] == "done"
    folded = [one for one in stage.ledger.feed(after=0, limit=1_000) if one.event.TYPE == "license.license-folded"]
    assert [one.cause for one in folded] == [json.loads(ended)["id"]]


# -- a renewal that is signed long before ------------------------------------------------------------------------------


def folded_before_its_start(stage: Stage) -> tuple[Contract, Contract]:
    """A renewal that is signed early is set up at once, and only then told to be one."""
    before = stage.bought(seats=5)
    stage.activate(*USERS)
    stage.clock.move(DAY)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, seats=8, starts_at=before.ends_at, is_linked=False)
    after = stage.sandbox.marketplace.succeed(before.agreement_id, terms).contract
    stage.consume()
    set_up(stage, after)
    stage.link(after, follows=before)
    tell_the_link(stage, before, after)
    older, twin = stage.licenses()
    assert twin.folded_into == older.license_id
    assert older.name(KeyKind.AGREEMENT) == before.agreement_id
    stage.clock.move(DAY)
    return before, after


def test_the_end_of_the_old_contract_counts_until_the_renewal_begins(stage: Stage) -> None:
    """The keys of the renewal are the license's, and not yet the current ones."""
    before, after = folded_before_its_start(stage)
    assert (KeyKind.AGREEMENT, after.agreement_id) in stage.licenses()[0].names
    stage.sandbox.marketplace.cancel(before.agreement_id)
    stage.consume()
    subscription = stage.licenses()[0].subscription
    assert subscription is not None
    assert subscription.lapse is not None


def test_the_end_of_a_renewal_before_its_start_takes_nothing_of_the_old_contract(stage: Stage) -> None:
    """Not even if AWS shows nothing for a moment."""
    before, after = folded_before_its_start(stage)
    stage.sandbox.marketplace.cancel(after.agreement_id)
    stage.consume()
    stage.sandbox.faults.set(FaultPlan(rows={before.agreement_id: ()}))
    read_soon(stage, stage.licenses()[0])
    subscription = stage.licenses()[0].subscription
    assert subscription is not None
    assert subscription.lapse is None


def test_a_renewal_that_was_folded_before_its_start_begins_on_its_day(stage: Stage) -> None:
    """Number and date are its own from then on."""
    before, after = folded_before_its_start(stage)
    stage.clock.at = before.ends_at
    stage.sandbox.marketplace.start(after.agreement_id)
    stage.sandbox.marketplace.expire(before.agreement_id)
    stage.consume()
    license_ = stage.licenses()[0]
    assert (license_.seats_max, license_.seats_active) == (8, 5)
    assert license_.name(KeyKind.AGREEMENT) == after.agreement_id
