"""Messages twice, late, out of order, about nobody, or no messages at all: the ledger ends in the same state."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from consumers.marketplace import Clients
from consumers.sandbox import Contract, FaultPlan
from ledger.license import decisions
from ledger.license.events import KeyKind, LicenseId
from ledger.transaction import Caller, Transaction, Work
from tests.integration.consumers_stage import (
    ADMIN,
    END_OF_NEXT_MAY,
    ENGINES,
    MINUTE,
    PRODUCT_CODE,
    USERS,
    Stage,
    anew,
    database,
    staged,
)
from tests.sns import signed


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def changed(body: str, **members: Any) -> str:  # noqa: ANN401 -- JSON
    """A message with other members."""
    return json.dumps(json.loads(body) | members)


def kind_of(body: str) -> str:
    """The detail-type of an event, without the role."""
    return str(json.loads(body)["detail-type"]).split(" - ")[0]


def of_kind(bodies: Sequence[str], kind: str) -> str:
    """The first message of a detail-type."""
    return next(body for body in bodies if kind_of(body) == kind)


class Calls:
    """Counts the calls of GetEntitlements."""

    def __init__(self, clients: Clients) -> None:
        """Count from now on."""
        self.count = 0
        clients.entitlements.meta.events.register("before-call.*.GetEntitlements", self._count)

    def _count(self, **_: object) -> None:
        self.count += 1


def test_every_message_twice_adds_no_event(stage: Stage) -> None:
    """It is known by its id, and stored once."""
    stage.buy()
    bodies = stage.held_back()
    stage.send(*bodies, *bodies)
    stage.consume()
    events = stage.events()
    stage.send(*bodies)
    stage.consume()
    assert stage.events() == events
    assert len(stage.inbox()) == len(bodies)
    assert stage.queue_is_empty()


def test_the_same_news_under_another_id_adds_no_event(stage: Stage) -> None:
    """It leads to another reading, which says nothing new."""
    stage.buy()
    bodies = stage.held_back()
    stage.send(*bodies)
    stage.consume()
    events = stage.events()
    stage.send(*(changed(body, id=f"again-{number}") for number, body in enumerate(bodies)))
    stage.consume()
    assert stage.events() == events
    assert stage.statuses() == ["done", "done", "repeated", "repeated"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[1::5])
def test_messages_in_any_order_end_in_the_same_state(stage: Stage, order: tuple[int, ...]) -> None:
    """Each only says that there is something to read."""
    contract = stage.buy(seats=5)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
    bodies = stage.held_back()
    for place in order:
        stage.send(bodies[place])
        stage.consume()
    license_ = stage.license()
    assert license_.seats_max == 8
    assert license_.name(KeyKind.AGREEMENT) == contract.agreement_id
    assert set(stage.statuses()) == {"done"}
    assert stage.events().count("subscription-started") == 1


def test_news_from_before_the_end_does_not_bring_a_license_back(stage: Stage) -> None:
    """The reading after it shows no seats."""
    contract = stage.buy()
    bodies = stage.held_back()
    stage.send(*bodies)
    stage.consume()
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.consume()
    events = stage.events()
    stage.send(changed(of_kind(bodies, "License Updated"), id="late"))
    stage.consume()
    assert stage.events() == events
    assert events[-1] == "subscription-lapsed"


def test_pokes_that_wait_together_cost_one_reading(stage: Stage) -> None:
    """Ten of them are not ten calls to AWS."""
    stage.buy()
    bodies = stage.held_back()
    updated = json.loads(of_kind(bodies, "License Updated"))
    stage.send(*(anew(updated) for _ in range(10)))
    calls = Calls(stage.clients)
    stage.consume()
    assert calls.count == 1
    assert stage.statuses() == ["done"] * 10


def test_an_agreement_that_nobody_knows_waits_for_its_license(stage: Stage) -> None:
    """It wakes when a message names both."""
    stage.buy()
    bodies = stage.held_back()
    stage.send(of_kind(bodies, "Purchase Agreement Created"))
    stage.consume()
    ((status, reason),) = stage.inbox()
    assert (status, reason) == (
        "parked",
        "Nothing is known of the agreement yet. It waits for a message that names its license.",
    )
    assert stage.licenses() == []
    stage.send(of_kind(bodies, "License Updated"))
    stage.consume()
    assert stage.statuses() == ["done", "done"]


def test_a_parked_message_wakes_when_the_buyer_registers(stage: Stage) -> None:
    """AWS tells the agreement with the registration token."""
    contract = stage.buy()
    stage.send(of_kind(stage.held_back(), "Purchase Agreement Created"))
    stage.consume()
    assert stage.statuses() == ["parked"]
    token = stage.sandbox.marketplace.issue_token(contract.agreement_id).token
    stage.registration.resolve(token, cause="request-1")
    stage.consume()
    assert stage.statuses() == ["done"]


def test_a_parked_message_is_looked_at_again_by_itself(stage: Stage) -> None:
    """Whoever made the key known."""
    contract = stage.buy()
    stage.send(of_kind(stage.held_back(), "Purchase Agreement Created"))
    stage.consume()
    license_id = LicenseId("6f0c0c0c-0000-4000-8000-000000000001")

    def issue(transaction: Transaction) -> None:
        names = [(KeyKind.LICENSE_ARN, contract.license_arn), (KeyKind.AGREEMENT, contract.agreement_id)]
        events = decisions.issue_license(transaction.any_license(license_id), product_code=PRODUCT_CODE, names=names)
        transaction.append(license_id, events)

    stage.ledger.submit(Work(decide=issue, caller=Caller(ADMIN.actor)))
    stage.pass_time(MINUTE)
    assert stage.statuses() == ["parked"]
    stage.pass_time(5 * MINUTE)
    assert stage.statuses() == ["done"]
    assert stage.license().seats_max == 5


def test_the_end_of_what_nobody_knows_is_ignored_with_the_reason(stage: Stage) -> None:
    """No license is issued to end it."""
    contract = stage.buy()
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    bodies = stage.held_back()
    stage.send(of_kind(bodies, "Purchase Agreement Ended"), of_kind(bodies, "License Deprovisioned"))
    stage.consume()
    reason = "It says that something has ended that this ledger never heard of."
    assert stage.inbox() == [("ignored", reason)] * 2
    assert stage.licenses() == []


@pytest.mark.parametrize("action", ["subscribe-fail", "unsubscribe-pending", "unsubscribe-success"])
def test_what_begins_no_purchase_issues_no_license(stage: Stage, action: str) -> None:
    """A payment that failed is waited for."""
    said = {"action": action, "customer-identifier": "X01EXAMPLEX", "product-code": PRODUCT_CODE}
    stage.send(json.dumps(signed(json.dumps(said))))
    stage.consume()
    assert stage.statuses() == ["ignored"]
    assert stage.licenses() == []


@pytest.mark.parametrize("status", ["RENEWED", "REPLACED"])
def test_an_agreement_that_goes_on_as_another_one_is_parked_and_nothing_is_taken(stage: Stage, status: str) -> None:
    """Even if AWS shows no seats meanwhile."""
    contract = stage.bought()
    created = next(message.body for message in stage.sandbox.marketplace.messages if "Created" in message.title)
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: ()}))
    ended = {
        "id": "goes-on",
        "detail-type": "Purchase Agreement Ended - Proposer",
        "detail": {"agreement": {"id": contract.agreement_id, "status": status}},
    }
    stage.send(changed(created, **ended))
    stage.pass_time(30 * MINUTE)
    assert stage.inbox()[-1] == (
        "parked",
        "The agreement goes on as another one, which is awaited. Nothing is taken.",
    )
    assert stage.events()[-1] == "subscription-started"


def test_another_product_is_ignored_with_the_reason(stage: Stage) -> None:
    """The queue may carry a whole account's messages."""
    stage.buy()
    body = of_kind(stage.held_back(), "License Updated")
    detail = json.loads(body)["detail"]
    stage.send(changed(body, detail=detail | {"product": {"id": "prod-other", "code": "another"}}))
    stage.consume()
    assert stage.inbox() == [("ignored", "The product is not one of those that this ledger serves.")]
    assert stage.licenses() == []


def test_the_three_spellings_of_an_arn_are_one_license(stage: Stage) -> None:
    """Whichever comes first."""
    stage.buy()
    body = of_kind(stage.held_back(), "License Updated")
    detail = json.loads(body)["detail"]
    id_ = detail["license"]["arn"].rpartition(":l-")[2]
    spellings = (
        f"aws:license-manager:us-east-1:123456789012:l-{id_}",
        f"arn:aws:license-manager:us-east-1:123456789012:license/lic-{id_}",
        detail["license"]["arn"],
    )
    for number, arn in enumerate(spellings):
        stage.send(changed(body, id=f"spelling-{number}", detail=detail | {"license": {"arn": arn}}))
        stage.consume()
    license_ = stage.license()
    assert [value for kind, value in license_.names if kind is KeyKind.LICENSE_ARN] == [spellings[2]]
    assert license_.seats_max == 5


def test_what_is_no_message_is_kept_and_does_not_hold_up_the_others(stage: Stage) -> None:
    """It is acknowledged, so that it does not come for ever."""
    stage.buy()
    bodies = stage.held_back()
    unknown = changed(bodies[0], **{"id": "unknown", "detail-type": "Purchase Agreement Sung - Proposer"})
    nameless = changed(bodies[0], id="nameless", detail={})
    timeless = changed(bodies[0], id="timeless", time="9999-12-31T23:59:59-08:00", detail={"agreement": {"id": "a b"}})
    stage.send("not JSON", "[]", "{}", "x" * 100_000, unknown, nameless, timeless, *bodies)
    stage.consume()
    assert stage.inbox() == [
        ("failed", "The message is not JSON."),
        ("failed", "The message is not a JSON object."),
        ("failed", "The message has neither a detail-type nor an action."),
        ("failed", "The message is not JSON."),
        ("failed", 'The detail-type "Purchase Agreement Sung - Proposer" is not known.'),
        ("failed", "The member detail.agreement.id is missing."),
        ("failed", "The agreement's id is not of the form that AWS gives it."),
        ("done", None),
        ("done", None),
    ]
    assert stage.queue_is_empty()
    assert stage.license().seats_max == 5


def end_notice_while_aws_still_shows_seats(stage: Stage) -> tuple[Contract, Sequence[str]]:
    """A contract of which AWS says that it was cancelled, while GetEntitlements is behind; and its messages."""
    contract = stage.bought()
    stage.activate(*USERS)
    stage.clock.move(MINUTE)
    marketplace = stage.sandbox.marketplace
    marketplace.set_seats(contract.agreement_id, seats=6)
    stage.consume()
    marketplace.cancel(contract.agreement_id)
    return contract, stage.held_back()


def test_an_end_notice_stays_open_while_aws_still_shows_seats(stage: Stage) -> None:
    """It is read again until they are gone."""
    contract, bodies = end_notice_while_aws_still_shows_seats(stage)
    row = {"Value": {"IntegerValue": 6}, "ExpirationDate": END_OF_NEXT_MAY.timestamp()}

    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (row,)}))
    stage.send(of_kind(bodies, "Purchase Agreement Ended"))
    stage.consume()
    assert stage.inbox()[-1] == (
        "waiting",
        "AWS still shows the license's seats. It is read again until they are gone.",
    )
    stage.pass_time(6 * MINUTE)
    assert stage.statuses()[-1] == "waiting"
    stage.sandbox.faults.clear()
    stage.pass_time(12 * MINUTE)
    assert stage.statuses()[-1] == "done"
    assert stage.events()[-1] == "subscription-lapsed"


def test_a_later_message_overtakes_an_end_notice(stage: Stage) -> None:
    """AWS says that the license goes on, and shows its seats."""
    contract = stage.bought()
    about = json.loads(stage.sandbox.marketplace.messages[0].body)
    for title, hour in (("License Deprovisioned - Manufacturer", 13), ("License Updated - Manufacturer", 14)):
        stage.send(anew(about, **{"detail-type": title, "time": f"2026-11-24T{hour}:00:00Z"}))
        stage.consume()
    reason = "A later message tells that the license goes on, and AWS shows its seats."
    assert stage.inbox()[-2:] == [("ignored", reason), ("done", None)]
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: ()}))
    stage.pass_time(60 * MINUTE)
    assert "subscription-lapsed" not in stage.events()


def test_an_earlier_message_that_comes_late_does_not_overtake_an_end_notice(stage: Stage) -> None:
    """AWS's clock tells which of them is later."""
    contract, bodies = end_notice_while_aws_still_shows_seats(stage)
    row = {"Value": {"IntegerValue": 6}, "ExpirationDate": END_OF_NEXT_MAY.timestamp()}
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (row,)}))
    stage.send(of_kind(bodies, "Purchase Agreement Ended"))
    stage.consume()
    deprovisioned = of_kind(bodies, "License Deprovisioned")
    updated = {"id": "earlier", "time": "2026-11-24T00:00:00Z", "detail-type": "License Updated - Manufacturer"}
    stage.send(changed(deprovisioned, **updated))
    stage.consume()
    assert stage.statuses()[-2:] == ["waiting", "done"]
    stage.sandbox.faults.clear()
    stage.pass_time(60 * MINUTE)
    assert stage.events()[-1] == "subscription-lapsed"


def test_the_end_of_an_earlier_agreement_is_ignored(stage: Stage) -> None:
    """The license has another one by now."""
    contract = stage.bought()
    updated = next(message.body for message in stage.sandbox.marketplace.messages if "License" in message.title)
    detail = json.loads(updated)["detail"]
    stage.send(changed(updated, id="moved", detail=detail | {"agreement": {"id": "agmt-the-next-one"}}))
    stage.consume()
    assert stage.license().name(KeyKind.AGREEMENT) == "agmt-the-next-one"
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.send(of_kind(stage.held_back(), "Purchase Agreement Ended"))
    stage.consume()
    reason = "It says that an earlier agreement or license has ended, not the one that stands now."
    assert stage.inbox()[-1] == ("ignored", reason)
    assert "subscription-lapsed" not in stage.events()


def test_a_message_that_had_failed_is_worked_on_when_it_comes_mended(stage: Stage) -> None:
    """Under the same id, which would add nothing if it had been understood before."""
    stage.buy(seats=5)
    *_, updated = stage.held_back()
    torn = json.loads(updated)
    license_ = torn["detail"].pop("license")
    stage.send(json.dumps(torn))
    stage.consume()
    assert stage.inbox() == [("failed", "The member detail.license.arn is missing.")]
    stage.send(json.dumps(torn))
    stage.consume()
    assert stage.statuses() == ["failed"]
    torn["detail"]["license"] = license_
    stage.send(json.dumps(torn), json.dumps(torn))
    stage.consume()
    assert stage.inbox() == [("done", None)]
    assert stage.license().seats_max == 5
