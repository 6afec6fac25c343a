"""Clocks that do not go together: those of AWS, of the machine that asks, and of the database that decides."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

from consumers.marketplace import Consumer
from ledger.ledger import Ledger
from ledger.license.events import LapseReason, LicenseId
from ledger.users import parse_user
from tests.integration.consumers_stage import (
    ADMIN,
    ENGINES,
    NOON,
    UNLIMITED,
    USERS,
    Stage,
    anew,
    database,
    open_ledger,
    staged,
)

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
A_DAY_APART = pytest.mark.parametrize("off", [-DAY, DAY], ids=["a-day-behind", "a-day-ahead"])
TURNED_AWAY = {
    "__type": "InvalidSignatureException",
    "message": "Signature not yet current: 20261125T120000Z is still later than 20261124T120500Z",
}
"""What AWS answers whoever signs by a clock that is more than some minutes off."""


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """A ledger and its consumer, whose database has a clock of its own."""

    ledger: Ledger
    consumer: Consumer

    def consume(self) -> None:
        """Do all that is due."""
        while self.consumer.run_once():
            pass

    def activate(self, license_id: LicenseId) -> None:
        """Let five users take seats."""
        for user in USERS:
            self.ledger.seats.activate(license_id, user=parse_user(user), caller=ADMIN)

    def lets_work(self, license_id: LicenseId) -> bool:
        """Whether Ada may work."""
        return self.ledger.seats.access(license_id, user=parse_user("ada"), caller=ADMIN).code == "ALLOWED"


@contextmanager
def decided_by(stage: Stage, *, off: timedelta) -> Iterator[Decided]:
    """The clock of the database is so far from that of AWS and of the consumer's machine; nothing else writes to it."""
    ledger = open_ledger(stage.url, clock=lambda: stage.clock.at + off)
    try:
        consumer = Consumer(ledger, stage.settings, stage.clients, now=stage.clock, readings_per_second=UNLIMITED)
        yield Decided(ledger=ledger, consumer=consumer)
    finally:
        ledger.close()


def turn_away(stage: Stage) -> None:
    """Let AWS take no signature of this ledger any more."""
    refuse: Any = _refuse  # The types of boto3's events know no handler that answers.
    for client in (stage.clients.entitlements, stage.clients.agreements, stage.clients.metering):
        client.meta.events.register("before-send", refuse, "clock")


def _refuse(request: AWSPreparedRequest, **_: object) -> AWSResponse:
    headers = HTTPHeaders.from_dict({"Content-Type": "application/x-amz-json-1.1"})
    body = BytesIO(json.dumps(TURNED_AWAY).encode())
    return AWSResponse(request.url, 400, headers, HTTPResponse(body=body, preload_content=False))


def listen_to(stage: Stage) -> None:
    """Let AWS take this ledger's signatures again."""
    for client in (stage.clients.entitlements, stage.clients.agreements, stage.clients.metering):
        client.meta.events.unregister("before-send", unique_id="clock")


def told_at(body: str, *, at: datetime) -> str:
    """A message with another time."""
    event: dict[str, Any] = json.loads(body)
    return anew(event, time=at.strftime("%Y-%m-%dT%H:%M:%SZ"))


def test_whose_clock_is_a_day_off_is_turned_away_by_aws_and_changes_nothing(stage: Stage) -> None:
    """AWS takes none of its signatures: the message waits with the reason, and is worked on when the clock is right."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    events = stage.events()
    turn_away(stage)
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    for _ in range(25):
        stage.pass_time(HOUR)
    assert stage.events() == events
    assert stage.queue_is_empty()
    assert ("waiting", "AWS Marketplace answered GetEntitlements with InvalidSignatureException.") in stage.inbox()
    listen_to(stage)
    stage.pass_time(HOUR)
    assert stage.events()[-1] == "subscription-lapsed"
    assert set(stage.statuses()) == {"done"}


@A_DAY_APART
def test_a_database_whose_clock_is_a_day_off_ends_no_contract_before_its_date(stage: Stage, off: timedelta) -> None:
    """By its clock the date has passed, or is far away; AWS shows the seats until it has passed there."""
    contract = stage.buy(seats=5, until=NOON + 12 * HOUR)
    with decided_by(stage, off=off) as decided:
        decided.consume()
        license_id = stage.license().license_id
        decided.activate(license_id)
        for _ in range(11):
            stage.clock.move(HOUR)
            decided.consume()
            assert decided.lets_work(license_id)
        assert "subscription-lapsed" not in stage.events()

        stage.clock.move(HOUR)
        stage.sandbox.marketplace.expire(contract.agreement_id)
        decided.consume()
        assert stage.events()[-1] == "subscription-lapsed"
        assert stage.license().seats_active == 5


@A_DAY_APART
def test_a_database_whose_clock_is_a_day_off_deletes_nobody_by_one_reading(stage: Stage, off: timedelta) -> None:
    """The time between two readings is told by one clock."""
    contract = stage.buy(seats=5)
    with decided_by(stage, off=off) as decided:
        decided.consume()
        decided.activate(stage.license().license_id)
        stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=3)
        for _ in range(4):
            stage.clock.move(timedelta(minutes=1))
            decided.consume()
        assert (stage.license().seats_max, stage.license().seats_active) == (5, 5)
        stage.clock.move(timedelta(minutes=2))
        decided.consume()
        assert (stage.license().seats_max, stage.license().seats_active) == (3, 0)


@A_DAY_APART
def test_messages_whose_times_are_a_day_off_lead_to_what_aws_shows(stage: Stage, off: timedelta) -> None:
    """The time of a message tells the order of messages, and nothing of the license."""
    contract = stage.buy(seats=5)
    stage.send(*(told_at(body, at=stage.clock.at + off) for body in stage.held_back()))
    stage.consume()
    stage.activate(*USERS)
    stage.clock.move(HOUR)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
    stage.send(*(told_at(body, at=stage.clock.at + off) for body in stage.held_back()))
    stage.consume()
    assert (stage.license().seats_max, stage.license().seats_active) == (8, 5)
    stage.clock.move(HOUR)
    stage.sandbox.marketplace.cancel(contract.agreement_id)
    stage.send(*(told_at(body, at=stage.clock.at + off) for body in stage.held_back()))
    stage.consume()
    subscription = stage.license().subscription
    assert subscription is not None
    assert subscription.lapse is not None
    assert subscription.lapse.reason is LapseReason.CANCELLED
    assert set(stage.statuses()) == {"done"}
