"""A buyer chooses "Set up your account" of a renewal before anybody knows that it is one."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.sandbox import Contract, SuccessorTerms
from ledger.license.events import Actor, ActorRole, Contact, KeyKind, LicenseId
from ledger.transaction import Caller
from ledger.users import parse_user
from tests.integration.consumers_stage import (
    ADMIN,
    END_OF_NEXT_MAY,
    ENGINES,
    USERS,
    Stage,
    anew,
    database,
    staged,
)

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
