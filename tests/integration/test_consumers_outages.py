"""AWS on a bad day: nothing changes by an answer that is none, and it goes on when AWS does."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.marketplace import Consumer, aws_clients
from consumers.sandbox import Contract, FaultPlan
from ledger.errors import UnavailableError
from ledger.license.events import LapseReason
from tests.integration.consumers_stage import (
    COMPILERS_INC,
    END_OF_MAY,
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

SECOND = timedelta(seconds=1)
DATE = END_OF_NEXT_MAY.timestamp()
ALL_CALLS = ("GetEntitlements", "DescribeAgreement", "ResolveCustomer")


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def row(value: Mapping[str, Any] | None, *, date: float | None = DATE, **members: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    """A row of GetEntitlements; the sandbox adds the names of the license."""
    dated = {} if date is None else {"ExpirationDate": date}
    valued = {} if value is None else {"Value": value}
    return {**valued, **dated, **members}


def show(stage: Stage, contract: Contract, *rows: Mapping[str, Any]) -> None:
    """Let AWS show these rows for a contract from now on."""
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: rows}))


def poke(stage: Stage, contract: Contract, *, id_: str) -> None:
    """Send License Updated about a contract once more."""
    bodies = [json.loads(message.body) for message in stage.sandbox.marketplace.messages]
    (updated, *_) = (
        body
        for body in bodies
        if body["detail-type"].startswith("License") and body["detail"]["agreement"]["id"] == contract.agreement_id
    )
    stage.send(anew(updated, **{"id": id_, "detail-type": "License Updated - Manufacturer"}))


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (
            FaultPlan(throttle={"GetEntitlements": 3}),
            "AWS Marketplace answered GetEntitlements with ThrottlingException.",
        ),
        (
            FaultPlan(fail={"GetEntitlements": 3}),
            "AWS Marketplace answered GetEntitlements with InternalServiceErrorException.",
        ),
    ],
)
def test_an_answer_that_is_an_error_changes_nothing_and_is_asked_for_again(
    stage: Stage, plan: FaultPlan, reason: str
) -> None:
    """The message waits, with the reason; the pauses grow."""
    contract = stage.bought(seats=5)
    events = stage.events()
    stage.sandbox.faults.set(plan)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
    stage.consume()
    assert stage.inbox()[-2:] == [("waiting", reason)] * 2
    for _ in range(2):
        stage.pass_time(10 * SECOND)
    assert stage.events() == events
    assert stage.statuses()[-1] == "waiting"
    stage.pass_time(10 * SECOND)
    assert stage.license().seats_max == 8
    assert set(stage.statuses()) == {"done"}


def test_aws_is_left_alone_between_two_tries(stage: Stage) -> None:
    """No license is read while AWS does not answer, whichever it is."""
    stage.sandbox.faults.set(FaultPlan(throttle={"GetEntitlements": 100}))
    for _ in range(3):
        stage.buy()
    stage.consume()
    assert stage.sandbox.faults.plan.throttle == {"GetEntitlements": 99}
    stage.pass_time(SECOND)
    assert stage.sandbox.faults.plan.throttle == {"GetEntitlements": 98}


def test_a_connection_that_hangs_is_given_up(stage: Stage) -> None:
    """After a few seconds."""
    contract = stage.bought()
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
    (_, updated) = stage.held_back()
    stage.send(updated)
    stage.sandbox.faults.set(FaultPlan(hang_seconds=60))
    stage.consume()
    assert stage.inbox()[-1] == ("waiting", "AWS Marketplace did not answer GetEntitlements: ReadTimeoutError.")
    stage.sandbox.faults.clear()
    stage.pass_time(10 * SECOND)
    assert stage.license().seats_max == 8


def test_nothing_is_issued_whose_lineage_aws_does_not_tell(stage: Stage) -> None:
    """It might be the renewal of another license: the message waits until AWS answers."""
    stage.buy()
    stage.sandbox.faults.set(FaultPlan(throttle={"DescribeAgreement": 1}))
    stage.consume()
    assert stage.licenses() == []
    assert set(stage.statuses()) == {"parked"}
    (_, reason) = stage.inbox()[0]
    assert reason is not None
    assert reason.startswith("AWS Marketplace answered DescribeAgreement with ThrottlingException.")
    stage.pass_time(10 * SECOND)
    assert stage.license().seats_max == 5
    assert set(stage.statuses()) == {"done"}


def test_a_reading_that_breaks_off_between_two_pages_counts_for_nothing(stage: Stage) -> None:
    """Half of the seats are not the number of seats."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    show(stage, contract, row({"IntegerValue": 3}), row({"IntegerValue": 2}))
    pages = 0

    def break_off(**_: object) -> None:
        nonlocal pages
        pages += 1
        faults = stage.sandbox.faults
        faults.set(FaultPlan(page_size=1, rows=faults.plan.rows, throttle={"GetEntitlements": 1}))

    stage.sandbox.faults.set(FaultPlan(page_size=1, rows=stage.sandbox.faults.plan.rows))
    stage.clients.entitlements.meta.events.register_first("after-call.*.GetEntitlements", break_off, "breaks-off")
    poke(stage, contract, id_="half-read")
    stage.consume()
    assert pages > 1
    stage.clients.entitlements.meta.events.unregister("after-call.*.GetEntitlements", unique_id="breaks-off")
    assert stage.events()[-1] == "seat-activated"
    assert stage.statuses()[-1] == "waiting"
    for _ in range(3):
        stage.pass_time(10 * SECOND)
    assert (stage.license().seats_max, stage.license().seats_active) == (5, 5)
    assert stage.statuses()[-1] == "done"


@pytest.mark.parametrize(
    ("odd", "what"),
    [
        (row({"IntegerValue": -1}), "has a negative number"),
        (row({"IntegerValue": 10_000_001}), "has a number above 10,000,000"),
        # What was sold without a limit: AWS does not say how it shows that.
        (row({}), "has no whole number"),
        (row({"StringValue": "Unlimited"}), "has no whole number"),
        (row({"BooleanValue": True}), "has no whole number"),
        (row(None), "has no whole number"),
        (row({"IntegerValue": 5}, date=None), "has no date"),
    ],
)
def test_one_odd_row_makes_the_whole_reading_none(stage: Stage, odd: dict[str, Any], what: str) -> None:
    """It is kept and reported, and the good row beside it does not count either."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    events = stage.events()
    show(stage, contract, row({"IntegerValue": 1}), odd)
    poke(stage, contract, id_="odd")
    stage.consume()
    assert stage.inbox()[-1] == ("waiting", f"A row of a dimension that counts users {what}.")
    stage.pass_time(6 * MINUTE)
    assert stage.events() == events
    stage.sandbox.faults.clear()
    stage.pass_time(timedelta(days=1))
    assert stage.statuses()[-1] == "done"
    assert stage.events() == events


@pytest.mark.parametrize("date", [1e300, "yesterday", [5]])
def test_a_date_that_is_none_makes_the_reading_none(stage: Stage, date: Any) -> None:  # noqa: ANN401 -- JSON
    """It can't even be parsed."""
    contract = stage.bought(seats=5)
    show(stage, contract, row({"IntegerValue": 1}, date=date))
    poke(stage, contract, id_="odd")
    stage.consume()
    assert stage.inbox()[-1] == ("waiting", "AWS Marketplace's answer to GetEntitlements can't be read.")
    assert stage.license().seats_max == 5


def test_the_number_is_the_sum_of_the_live_rows_of_the_dimension(stage: Stage) -> None:
    """Other dimensions and past dates do not count; the date is the latest."""
    contract = stage.bought(seats=5)
    show(
        stage,
        contract,
        row({"IntegerValue": 4}, date=END_OF_MAY.timestamp()),
        row({"IntegerValue": 3}),
        row({"IntegerValue": 100}, date=NOON.timestamp() - 1),
        row({"IntegerValue": 100}, Dimension="storage"),
        row({"BooleanValue": True}, Dimension="support"),
    )
    poke(stage, contract, id_="several-rows")
    stage.consume()
    subscription = stage.license().subscription
    assert subscription is not None
    assert (subscription.seats_max, subscription.renews_at) == (7, END_OF_NEXT_MAY)


def test_the_license_is_read_again_when_its_earliest_row_passes(stage: Stage) -> None:
    """No message tells of that."""
    contract = stage.bought(seats=5)
    show(
        stage,
        contract,
        row({"IntegerValue": 4}, date=(NOON + 10 * MINUTE).timestamp()),
        row({"IntegerValue": 3}),
    )
    poke(stage, contract, id_="two-rows")
    stage.consume()
    assert stage.license().seats_max == 7
    stage.pass_time(11 * MINUTE)
    assert stage.license().seats_max == 3


def test_no_seats_are_a_number_on_a_running_license(stage: Stage) -> None:
    """A live row of 0 is no empty answer."""
    contract = stage.bought(seats=5)
    show(stage, contract, row({"IntegerValue": 0}))
    poke(stage, contract, id_="none")
    stage.consume()
    assert stage.license().seats_max == 0


def test_no_seats_start_nothing(stage: Stage) -> None:
    """The license stays pending, and is read again by itself until there are some."""
    contract = stage.buy(seats=5)
    show(stage, contract, row({"IntegerValue": 0}))
    stage.consume()
    assert stage.license().subscription is None
    assert "subscription-started" not in stage.events()
    stage.sandbox.faults.clear()
    stage.pass_time(6 * MINUTE)
    assert stage.license().seats_max == 5


def test_empty_pages_are_read_over(stage: Stage) -> None:
    """A page without rows is not the last one as long as it names another."""
    contract = stage.buy()
    stage.sandbox.faults.set(
        FaultPlan(
            page_size=1,
            empty_pages=2,
            rows={contract.agreement_id: (row({"IntegerValue": 3}), row({"IntegerValue": 4}))},
        )
    )
    stage.consume()
    assert stage.license().seats_max == 7


def test_an_empty_answer_alone_takes_nobodys_seat(stage: Stage) -> None:
    """With messages about every license, again and again."""
    contracts = [stage.buy(), stage.buy(account_id=COMPILERS_INC)]
    stage.consume()
    events = stage.events()
    stage.sandbox.faults.set(FaultPlan(as_buyer=True))
    for number, contract in enumerate(contracts * 3):
        poke(stage, contract, id_=f"poke-{number}")
        stage.pass_time(timedelta(hours=1))
    assert stage.events() == events
    assert set(stage.statuses()) == {"done"}


def test_a_bad_credential_ends_nothing_even_past_the_date(stage: Stage) -> None:
    """It sees nobody's seats, so that its empty answers mean nothing."""
    until = NOON + timedelta(hours=1)
    for account_id in ("111122223333", COMPILERS_INC):
        stage.buy(account_id=account_id, until=until)
    stage.consume()
    events = stage.events()
    stage.sandbox.faults.set(FaultPlan(as_buyer=True))
    # A process of its own, which never saw a row.
    clients = aws_clients(stage.environment)
    stage.consumer.stand_back()
    consumer = Consumer(stage.ledger, stage.settings, clients, now=stage.clock)
    for _ in range(6):
        stage.clock.move(timedelta(hours=12))
        while consumer.run_once():
            pass
    clients.close()
    assert stage.events() == events


def test_a_deprovisioned_license_whose_agreement_is_active_waits_for_a_renewal(stage: Stage) -> None:
    """It counts only after the time that AWS may take to renew."""
    contract = stage.bought()
    show(stage, contract)
    body = json.loads(stage.sandbox.marketplace.messages[0].body)
    stage.send(anew(body, **{"id": "gone", "detail-type": "License Deprovisioned - Manufacturer"}))
    stage.consume()
    assert stage.inbox()[-1][0] == "waiting"
    for _ in range(3):
        stage.pass_time(timedelta(minutes=38))
    assert stage.events()[-1] == "subscription-started"
    stage.pass_time(timedelta(minutes=7))
    assert stage.events()[-1] == "subscription-lapsed"
    assert stage.statuses()[-1] == "done"


def described_as(stage: Stage, status: str) -> None:
    """Let DescribeAgreement tell this status from now on."""

    def tell(parsed: dict[str, Any], **_: object) -> None:
        parsed["status"] = status

    stage.clients.agreements.meta.events.register("after-call.*.DescribeAgreement", tell)


def test_a_deprovisioned_license_whose_agreement_was_renewed_awaits_the_next_one(stage: Stage) -> None:
    """However long that takes."""
    contract = stage.bought()
    show(stage, contract)
    described_as(stage, "RENEWED")
    body = json.loads(stage.sandbox.marketplace.messages[0].body)
    stage.send(anew(body, **{"id": "gone", "detail-type": "License Deprovisioned - Manufacturer"}))
    for _ in range(3):
        stage.pass_time(timedelta(hours=2))
    assert stage.inbox()[-1] == (
        "parked",
        "The agreement goes on as another one, which is awaited. Nothing is taken.",
    )
    assert stage.events()[-1] == "subscription-started"


def test_an_end_whose_message_was_lost_is_seen_at_the_next_reading(stage: Stage) -> None:
    """DescribeAgreement says it, and nothing is shown."""
    contract = stage.bought()
    show(stage, contract)
    described_as(stage, "TERMINATED")
    poke(stage, contract, id_="poke")
    stage.consume()
    subscription = stage.license().subscription
    assert subscription is not None
    assert subscription.lapse is not None
    assert subscription.lapse.reason is LapseReason.TERMINATED


def test_an_agreement_that_this_seller_may_not_read_is_judged_without_it(stage: Stage) -> None:
    """A deprovisioned license then counts after the renewal wait."""
    contract = stage.bought()
    body = json.loads(stage.sandbox.marketplace.messages[0].body)
    next_one = body["detail"] | {"agreement": {"id": "agmt-of-a-partner"}}
    stage.send(anew(body, id="partner", detail=next_one))
    stage.consume()
    show(stage, contract)
    gone = {"id": "gone", "detail-type": "License Deprovisioned - Manufacturer", "detail": next_one}
    stage.send(json.dumps(body | gone))
    stage.consume()
    assert stage.statuses()[-1] == "waiting"
    stage.pass_time(timedelta(hours=2, minutes=1))
    assert stage.events()[-1] == "subscription-lapsed"


def test_pages_without_end_are_no_observation(stage: Stage) -> None:
    """There is a limit on how many are read."""
    contract = stage.bought()
    stage.sandbox.faults.set(FaultPlan(empty_pages=10_000))
    poke(stage, contract, id_="endless")
    stage.consume()
    assert stage.inbox()[-1] == ("waiting", "GetEntitlements has more than 100 pages for one license.")
    assert stage.events()[-1] == "subscription-started"


def test_news_during_a_reading_leads_to_another_one(stage: Stage) -> None:
    """The reading may have come before the change, of which the process hears that was elected meanwhile."""
    contract = stage.bought(seats=5)
    second = Consumer(stage.ledger, stage.settings, stage.clients, now=stage.clock)
    readings = 0

    def change(**_: object) -> None:
        nonlocal readings
        readings += 1
        if readings == 1:
            stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
            stage.consumer.stand_back()
            second.run_once()

    stage.clients.entitlements.meta.events.register("after-call.*.GetEntitlements", change)
    poke(stage, contract, id_="poke")
    stage.consume()
    assert readings == 1
    while second.run_once():
        pass
    assert readings == 2
    assert stage.license().seats_max == 8
    assert set(stage.statuses()) == {"done"}


def test_a_message_that_can_not_be_stored_stays_in_the_queue(stage: Stage) -> None:
    """It is deleted there once it is durable here."""
    stage.buy()
    stage.ledger.close()
    with pytest.raises(UnavailableError):
        stage.consumer.run_once()
    assert not stage.queue_is_empty()


def test_an_agreement_that_can_not_be_asked_about_now_decides_nothing(stage: Stage) -> None:
    """A status that AWS may tell in a minute is waited for."""
    contract = stage.bought()
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.sandbox.faults.set(FaultPlan(throttle={"DescribeAgreement": 1}))
    stage.consume()
    assert stage.events()[-1] == "subscription-started"
    assert stage.inbox()[-1] == ("waiting", "AWS Marketplace answered DescribeAgreement with ThrottlingException.")
    stage.pass_time(10 * SECOND)
    assert stage.events()[-1] == "subscription-lapsed"
