"""What else the seller sells: AWS tells of all agreements of an account, and nobody need look at those of others."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from consumers.marketplace import Consumer, MarketplaceInbox
from consumers.sandbox import Contract, SandboxSettings, SuccessorTerms
from consumers.sandbox.contracts import Offer, Product
from ledger.inbox import InboxMessage, InboxQuery, MessageStatus
from ledger.license.events import KeyKind
from tests.integration.consumers_stage import (
    BOUGHT,
    COMPILERS_INC,
    END_OF_MAY,
    END_OF_NEXT_MAY,
    ENGINES,
    UNLIMITED,
    Stage,
    anew,
    database,
    staged,
)

DAY = timedelta(days=1)
DESK_PHONE = Product(code="deskphone", id="prod-deskphone", title="Desk Phone", dimensions=("phones",))
ANOTHER_ARN = "arn:aws:license-manager::294406891311:license:l-0123456789abcdef0123456789abcdef"
NOT_SERVED = "The product is not one of those that this ledger serves."
ABOUT_NOT_SERVED = "Its agreement is about a product that is not one of those that this ledger serves."
UNKNOWN = "Nothing is known of the agreement yet. It waits for a message that names its license."


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """The seller sells desk phones too, and this ledger serves the soft phone alone."""

    def sell_both(settings: SandboxSettings) -> SandboxSettings:
        return replace(settings, products=(DESK_PHONE,))

    with database(request.param, tmp_path) as url, staged(url, change_sandbox=sell_both) as stage:
        yield stage


def buy_desk_phones(stage: Stage) -> Contract:
    """Let Grace's company buy what this ledger does not serve."""
    offer = Offer(product_code=DESK_PHONE.code)
    return stage.sandbox.marketplace.buy(account_id=COMPILERS_INC, seats=3, until=END_OF_MAY, offer=offer).contract


def renew(stage: Stage, contract: Contract, *, until: datetime) -> Contract:
    """Let another agreement follow; the ledger has not heard of it yet."""
    return stage.sandbox.marketplace.succeed(contract.agreement_id, SuccessorTerms(until=until)).contract


def without_license_events(stage: Stage) -> list[str]:
    """What lies in the queue, but for License Updated and License Deprovisioned, as for a product that has none."""
    return [body for body in stage.held_back() if not json.loads(body)["detail-type"].startswith("License")]


def messages(stage: Stage) -> list[InboxMessage]:
    """All of them, the first first."""
    return [*reversed(MarketplaceInbox(stage.ledger).list(InboxQuery(), after=None, limit=100).items)]


def need_look(stage: Stage) -> int:
    """How many messages somebody is to look at."""
    return MarketplaceInbox(stage.ledger).counts().need_look


def test_a_purchase_of_another_product_and_its_renewals_need_nobody(stage: Stage) -> None:
    """What tells of the agreement before AWS named the product wakes, and what comes later is known for what it is."""
    contract = buy_desk_phones(stage)
    stage.consume()
    for year in (2028, 2029, 2030):
        contract = renew(stage, contract, until=END_OF_MAY.replace(year=year))
        stage.consume()
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.consume()
    stage.pass_time(2 * DAY)
    assert {one.status for one in messages(stage)} == {MessageStatus.IGNORED}
    assert {one.reason for one in messages(stage)} == {NOT_SERVED, ABOUT_NOT_SERVED}
    assert (need_look(stage), stage.events()) == (0, [])


def test_an_agreement_without_license_events_is_told_from_ours_by_its_products(stage: Stage) -> None:
    """AWS tells all products of an agreement, and the ledger knows its own from a purchase."""
    stage.bought()
    contract = buy_desk_phones(stage)
    renew(stage, contract, until=END_OF_NEXT_MAY)
    told = without_license_events(stage)
    stage.send(*told)
    stage.consume()
    assert stage.inbox()[-len(told) :] == [("ignored", ABOUT_NOT_SERVED)] * len(told)
    assert stage.events() == BOUGHT


def test_it_waits_while_the_ledger_does_not_know_its_own_products(stage: Stage) -> None:
    """It may be ours; it wakes when the first purchase tells that it is not."""
    buy_desk_phones(stage)
    stage.send(*without_license_events(stage))
    stage.consume()
    stage.pass_time(2 * DAY)
    assert (stage.inbox(), need_look(stage)) == ([("parked", UNKNOWN)], 1)
    stage.bought()
    stage.pass_time(stage.settings.recheck)
    assert (stage.inbox()[0], need_look(stage)) == (("ignored", ABOUT_NOT_SERVED), 0)


def test_an_agreement_of_which_aws_tells_no_product_is_about_those_of_its_chain(stage: Stage) -> None:
    """The end of one that was bought before the ledger began waits for what follows, and not in vain."""
    stage.bought()
    contract = buy_desk_phones(stage)
    stage.held_back()
    renew(stage, contract, until=END_OF_NEXT_MAY)
    ended, created = without_license_events(stage)
    stage.send(ended)
    stage.consume()
    assert stage.statuses()[-1] == "parked"
    stage.send(created)
    stage.consume()
    stage.pass_time(stage.settings.recheck)
    assert stage.inbox()[-2:] == [("ignored", ABOUT_NOT_SERVED)] * 2


def test_one_agreement_on_several_products_is_ours_too(stage: Stage) -> None:
    """Another product of it is told of first: its license is issued all the same, and waits for nothing until then."""
    contract = stage.buy(seats=5)
    created, updated = stage.held_back()
    license_, product = {"arn": ANOTHER_ARN}, {"id": DESK_PHONE.id, "code": DESK_PHONE.code}
    stage.send(anew(json.loads(updated), detail={"license": license_, "product": product}), created)
    stage.consume()
    stage.pass_time(stage.settings.recheck)
    assert stage.inbox() == [("ignored", NOT_SERVED), ("parked", UNKNOWN)]
    stage.send(updated)
    stage.consume()
    assert stage.statuses() == ["ignored", "done", "done"]
    assert (stage.license().seats_max, stage.events()) == (5, BOUGHT)
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.consume()
    assert stage.events()[-1] == "subscription-lapsed"


def test_an_agreement_is_ours_when_its_product_comes_to_be_served(stage: Stage) -> None:
    """What was ignored before is not missed: the next message issues the license with what AWS told."""
    contract = buy_desk_phones(stage)
    stage.consume()
    stage.pass_time(stage.settings.recheck)
    both = replace(stage.settings, products={**stage.settings.products, DESK_PHONE.code: frozenset({"phones"})})
    stage.consumer.stand_back()
    consumer = Consumer(stage.ledger, both, stage.clients, now=stage.clock, readings_per_second=UNLIMITED)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=4)
    while consumer.run_once():
        pass
    assert (stage.license().seats_max, stage.license().name(KeyKind.LICENSE_ARN)) == (4, contract.license_arn)
    assert stage.statuses() == ["ignored", "ignored", "done", "done"]
