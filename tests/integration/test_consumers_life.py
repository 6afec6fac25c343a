"""The life of a contract, from AWS's messages on a real SQS protocol to the events of a license."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.sandbox import FaultPlan, Generation
from ledger.license.events import KeyKind, LapseReason
from ledger.license.state import Lapse
from ledger.store.url import DatabaseUrl
from tests.integration.consumers_stage import (
    ANALYTICAL_ENGINES,
    BOUGHT,
    COMPILERS_INC,
    END_OF_MAY,
    END_OF_NEXT_MAY,
    ENGINES,
    MINUTE,
    NOON,
    PRODUCT_CODE,
    PRODUCT_ID,
    USERS,
    Stage,
    anew,
    database,
    staged,
    unverified,
)


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def test_a_purchase_becomes_a_license_with_seats(stage: Stage) -> None:
    """Its messages name it; the number and the date come from the entitlements."""
    contract = stage.bought(seats=5)
    license_ = stage.license()
    assert license_.product_code == PRODUCT_CODE
    assert {kind: license_.name(kind) for kind in KeyKind} == {
        KeyKind.LICENSE_ARN: contract.license_arn,
        KeyKind.AGREEMENT: contract.agreement_id,
        KeyKind.ACCOUNT: ANALYTICAL_ENGINES,
        KeyKind.PRODUCT: PRODUCT_ID,
        KeyKind.CUSTOMER: None,
    }
    assert license_.subscription is not None
    assert (license_.seats_max, license_.subscription.renews_at) == (5, END_OF_MAY)
    assert stage.events() == BOUGHT
    assert stage.statuses() == ["done", "done"]
    assert stage.queue_is_empty()


def test_events_say_which_message_they_follow_from(stage: Stage) -> None:
    """The actor is AWS Marketplace, and the cause is the id of its message."""
    stage.bought()
    messages = stage.sandbox.marketplace.messages
    recorded = stage.ledger.feed(after=0, limit=100)
    assert {(event.actor.role.value, event.actor.id) for event in recorded} == {("marketplace", "aws-marketplace")}
    assert all(any(f'"id": "{event.cause}"' in message.body for message in messages) for event in recorded)


def test_more_seats_raise_the_limit_at_once(stage: Stage) -> None:
    """Without waiting for a second reading."""
    contract = stage.bought(seats=5)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
    stage.consume()
    assert stage.license().seats_max == 8
    assert stage.events() == [*BOUGHT, "seat-limit-raised"]


def test_fewer_seats_than_users_need_a_second_reading(stage: Stage) -> None:
    """All active users lose their seats in one append, but not before AWS has said so twice."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=3)
    stage.consume()
    assert (stage.license().seats_max, stage.license().seats_active) == (5, 5)
    assert stage.statuses()[-1] == "waiting"

    stage.pass_time(4 * MINUTE)
    assert stage.license().seats_max == 5

    stage.pass_time(2 * MINUTE)
    assert (stage.license().seats_max, stage.license().seats_active) == (3, 0)
    assert stage.events()[-6:] == [*["seat-deleted"] * 5, "seat-limit-lowered"]
    appends = {event.append for event in stage.ledger.feed(after=0, limit=100)[-6:]}
    assert len(appends) == 1
    assert set(stage.statuses()) == {"done"}
    assert stage.observation().due_at is not None


def test_a_poke_in_between_is_no_second_reading_before_its_time(stage: Stage) -> None:
    """AWS may answer wrongly twice within seconds."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=3)
    stage.consume()
    poke = json.loads(stage.sandbox.marketplace.messages[0].body)
    stage.send(anew(poke, id="another"))
    stage.pass_time(MINUTE)
    assert stage.license().seats_active == 5
    stage.pass_time(5 * MINUTE)
    assert stage.license().seats_active == 0


def test_a_different_second_reading_is_a_first_one_again(stage: Stage) -> None:
    """It must itself be said twice."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    marketplace = stage.sandbox.marketplace
    marketplace.set_seats(contract.agreement_id, seats=3)
    stage.consume()
    marketplace.set_seats(contract.agreement_id, seats=2)
    stage.pass_time(6 * MINUTE)
    assert stage.license().seats_max == 5
    stage.pass_time(6 * MINUTE)
    assert (stage.license().seats_max, stage.license().seats_active) == (2, 0)


def test_a_decrease_that_is_taken_back_deletes_nobody(stage: Stage) -> None:
    """The second reading shows the old number."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    marketplace = stage.sandbox.marketplace
    marketplace.set_seats(contract.agreement_id, seats=3)
    stage.consume()
    marketplace.set_seats(contract.agreement_id, seats=5)
    stage.consume()
    stage.pass_time(10 * MINUTE)
    assert (stage.license().seats_max, stage.license().seats_active) == (5, 5)
    assert set(stage.statuses()) == {"done"}


def test_a_user_who_signs_in_between_two_readings_is_deleted_with_the_others(stage: Stage) -> None:
    """The decision is made on the users as they are at the append."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS[:4])
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=3)
    stage.consume()
    stage.activate(USERS[4])
    stage.pass_time(6 * MINUTE)
    assert (stage.license().seats_max, stage.license().seats_active) == (3, 0)
    assert stage.events().count("seat-deleted") == 5


def test_fewer_seats_that_still_suffice_delete_nobody(stage: Stage) -> None:
    """One reading is enough for them."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS[:3])
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=3)
    stage.consume()
    assert (stage.license().seats_max, stage.license().seats_active) == (3, 3)


def test_a_renewal_moves_the_date(stage: Stage) -> None:
    """And nothing else."""
    contract = stage.bought()
    stage.sandbox.marketplace.renew(contract.agreement_id, until=END_OF_NEXT_MAY)
    stage.consume()
    subscription = stage.license().subscription
    assert subscription is not None
    assert subscription.renews_at == END_OF_NEXT_MAY
    assert stage.events() == [*BOUGHT, "subscription-renewed"]


def test_a_cancelled_contract_lapses_and_keeps_its_seats(stage: Stage) -> None:
    """An end is not a decrease."""
    contract = stage.bought()
    stage.activate(*USERS)
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.consume()
    license_ = stage.license()
    assert license_.subscription is not None
    assert license_.subscription.lapse is not None
    assert license_.subscription.lapse.reason is LapseReason.CANCELLED
    assert (license_.seats_max, license_.seats_active) == (5, 5)
    assert set(stage.statuses()) == {"done"}
    assert stage.observation().due_at is None


def test_an_expired_contract_lapses_as_expired(stage: Stage) -> None:
    """AWS's status says which of the ends it is."""
    contract = stage.bought()
    stage.sandbox.marketplace.expire(contract.agreement_id)
    stage.consume()
    subscription = stage.license().subscription
    assert subscription is not None
    assert subscription.lapse is not None
    assert subscription.lapse.reason is LapseReason.EXPIRED
    assert stage.events()[-1] == "subscription-lapsed"


def test_each_contract_of_one_account_is_a_license_of_its_own(stage: Stage) -> None:
    """An account names a license, but claims none."""
    stage.buy(seats=5)
    stage.buy(seats=7)
    stage.buy(seats=2, account_id=COMPILERS_INC)
    stage.consume()
    assert sorted(license_.seats_max for license_ in stage.licenses()) == [2, 5, 7]


def test_a_legacy_contract_is_known_by_its_customer_identifier(stage: Stage) -> None:
    """Together with the product code, since one customer may hold several products."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    license_ = stage.license()
    assert license_.name(KeyKind.CUSTOMER) == f"{PRODUCT_CODE}/{contract.customer_identifier}"
    assert license_.name(KeyKind.ACCOUNT) == ANALYTICAL_ENGINES
    assert license_.seats_max == 5
    assert stage.statuses() == ["done", "done"]


def test_a_legacy_contract_ends_by_unsubscribing_and_resumes_by_subscribing(stage: Stage) -> None:
    """The same customer identifier goes on."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.consume()
    subscription = stage.license().subscription
    assert subscription is not None
    assert subscription.lapse is not None
    assert subscription.lapse.reason is LapseReason.CANCELLED

    stage.clock.move(MINUTE)
    stage.buy(seats=7, generation=Generation.LEGACY)
    stage.consume()
    assert stage.license().seats_max == 7
    assert stage.events()[-2:] == ["subscription-resumed", "seat-limit-raised"]
    assert set(stage.statuses()) == {"done"}


def test_an_unsubscription_that_is_heard_of_late_does_not_end_what_was_subscribed_again(stage: Stage) -> None:
    """Even while AWS shows nothing yet."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    stage.clock.move(MINUTE)
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    unsubscribed = stage.held_back()[-1]
    stage.clock.move(MINUTE)
    again = stage.buy(seats=7, generation=Generation.LEGACY)
    stage.sandbox.faults.set(FaultPlan(rows={again.agreement_id: ()}))
    stage.consume()
    stage.send(unsubscribed)
    stage.consume()
    assert stage.inbox()[-1] == ("ignored", "The customer has subscribed again since.")
    assert "subscription-lapsed" not in stage.events()


def test_raw_legacy_messages_are_each_heard(tmp_path: Path) -> None:
    """Without an envelope they are the same text each time, and still each one is a poke."""
    with staged(DatabaseUrl.of_file(tmp_path / "ledger.db"), raw_delivery=True, change=unverified) as stage:
        contract = stage.buy(seats=5, generation=Generation.LEGACY)
        stage.consume()
        for seats in (6, 7):
            stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=seats)
            stage.consume()
        assert stage.license().seats_max == 7
        assert stage.statuses() == ["done"] * 4


def test_past_the_date_nothing_is_taken_before_the_renewal_wait(stage: Stage) -> None:
    """AWS renews around the date, not at it."""
    until = NOON + timedelta(hours=1)
    contract = stage.bought(until=until)
    stage.pass_time(timedelta(hours=1, minutes=30))
    subscription = stage.license().subscription
    assert subscription is not None
    assert subscription.lapse is None

    stage.sandbox.marketplace.renew(contract.agreement_id, until=END_OF_MAY)
    stage.pass_time(timedelta(hours=3))
    subscription = stage.license().subscription
    assert subscription is not None
    assert (subscription.renews_at, subscription.lapse) == (END_OF_MAY, None)


def test_past_the_date_and_the_wait_a_trusted_empty_reading_ends_it(stage: Stage) -> None:
    """The same credentials see another customer's seats."""
    until = NOON + timedelta(hours=1)
    stage.bought(until=until)
    stage.buy(account_id=COMPILERS_INC)
    stage.consume()
    for _ in range(10):
        stage.pass_time(timedelta(minutes=30))
    first, second = (license_.subscription for license_ in stage.licenses())
    assert first is not None
    assert second is not None
    assert first.lapse == Lapse(reason=LapseReason.EXPIRED, ended_at=until)
    assert second.lapse is None


def test_a_renewal_after_the_lapse_resumes_it(stage: Stage) -> None:
    """A license comes back with its seats."""
    contract = stage.bought(until=NOON + timedelta(hours=1))
    stage.activate(*USERS)
    stage.buy(account_id=COMPILERS_INC)
    stage.pass_time(timedelta(hours=4))
    stage.sandbox.marketplace.renew(contract.agreement_id, until=END_OF_MAY)
    stage.consume()
    license_ = stage.licenses()[0]
    assert license_.subscription is not None
    assert (license_.subscription.lapse, license_.seats_active) == (None, 5)
    assert stage.events()[-2:] == ["subscription-resumed", "subscription-renewed"]
