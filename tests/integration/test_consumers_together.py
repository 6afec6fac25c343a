"""Several consumers and registrations on one ledger and queue, in threads and processes, stopped and killed."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from consumers.marketplace import Consumer, MarketplaceRegistration, aws_clients
from consumers.marketplace.inbox import Inbox, received
from consumers.marketplace.tables import OBSERVATIONS
from consumers.sandbox import FaultPlan
from ledger.registration import Resolved
from ledger.store.url import DatabaseUrl
from tests.integration.consumers_stage import (
    END_OF_NEXT_MAY,
    ENGINES,
    MINUTE,
    UNLIMITED,
    USERS,
    Stage,
    anew,
    database,
    open_ledger,
    staged,
)

PATIENCE_SECONDS = 30


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        threading.Event().wait(0.05)


def beside(url: DatabaseUrl, statement: str) -> None:
    """Do something to the database that no ledger does."""
    if url.sqlite_path is None:
        with psycopg.connect(url.text, autocommit=True) as connection:
            connection.execute(statement.encode())
        return
    with closing(sqlite3.connect(url.sqlite_path, isolation_level=None)) as connection:
        connection.execute(statement)


@contextmanager
def running(consumer: Consumer) -> Iterator[threading.Event]:
    """Let a consumer run, and stop it at the end; it must have stopped within a few seconds."""
    stop = threading.Event()
    thread = threading.Thread(target=consumer.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


@contextmanager
def process(
    stage: Stage, *tokens: str, kafka: Mapping[str, str | None] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Let a consumer of the queue or a topic run in a process of its own, and register these tokens there."""
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.consumers_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    told = {
        "url": stage.url.text,
        "queue_url": stage.sandbox.queue_url if kafka is None else None,
        "kafka": kafka,
        "sns_verify": stage.settings.sns_verify,
        "environment": dict(stage.environment),
        "tokens": tokens,
    }
    with started:
        try:
            assert started.stdin is not None
            started.stdin.write(json.dumps(told) + "\n")
            started.stdin.flush()
            yield started
        finally:
            started.kill()


def said(started: "subprocess.Popen[str]", line: str) -> None:
    """Wait until a process has said something."""
    assert started.stdout is not None
    for read in started.stdout:
        if read.strip() == line:
            return
    pytest.fail(f"the process ended without saying {line}")


def test_a_consumer_runs_until_it_is_told_to_stop(stage: Stage) -> None:
    """What comes meanwhile is in the ledger by itself; the stop is not kept waiting by a poll of the queue."""
    with running(stage.consumer) as stop:
        contract = stage.buy()
        wait_for(lambda: "subscription-started" in stage.events())
        stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
        wait_for(lambda: stage.license().seats_max == 8)
        wait_for(stage.queue_is_empty)
        stopped_at = time.monotonic()
        stop.set()
    assert time.monotonic() - stopped_at < 6


def test_a_stop_does_not_wait_for_aws_to_answer(stage: Stage) -> None:
    """What was cut off is done by whoever comes next."""
    contract = stage.bought(seats=4)
    stage.sandbox.faults.set(FaultPlan(hang_seconds=60))
    with running(stage.consumer) as stop:
        stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=5)
        wait_for(lambda: stage.observation().leased_until > 0)
        stopped_at = time.monotonic()
        stop.set()
    assert time.monotonic() - stopped_at < 8
    stage.sandbox.faults.clear()
    stage.pass_time(2 * MINUTE)
    assert stage.license().seats_max == 5


def test_many_messages_of_a_long_queue_are_stored_at_once(stage: Stage) -> None:
    """Whoever stores few at a time waits for the others who write as often."""
    stage.bought()
    before = len(stage.inbox())
    poke = json.loads(stage.sandbox.marketplace.messages[0].body)
    stage.send(*(anew(poke) for _ in range(25)))
    stored: list[int] = []
    stage.clients.sqs.meta.events.register(
        "before-call.sqs.DeleteMessageBatch", lambda **_: stored.append(len(stage.inbox()) - before)
    )
    stage.consume()
    assert stored == [25, 25, 25]
    assert stage.queue_is_empty()


class OneByOne:
    """A source that has another message each time that it is asked, for as long as there are some."""

    def __init__(self, bodies: Sequence[str]) -> None:
        """Give these."""
        self._bodies = list(bodies)

    def take(self, inbox: Inbox, *, wait_seconds: int) -> bool:
        """Store the next one."""
        if not self._bodies:
            threading.Event().wait(wait_seconds / 10)
            return False
        inbox.store([received(self._bodies.pop(0), transport_id="-")])
        return True

    def close(self) -> None:
        """Nothing is open."""


def test_messages_that_come_one_after_the_other_cost_few_readings(stage: Stage) -> None:
    """Those that still lie at the source are heard before AWS is asked; then it shows what is so."""
    contract = stage.bought(seats=4)
    poke = json.loads(stage.sandbox.marketplace.messages[0].body)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=5)
    stage.held_back()
    stage.consumer.stand_back()
    readings: list[float] = []
    stage.clients.entitlements.meta.events.register(
        "before-call.*.GetEntitlements", lambda **_: readings.append(time.monotonic())
    )
    source = OneByOne([anew(poke) for _ in range(400)])
    consumer = Consumer(stage.ledger, stage.settings, stage.clients, now=stage.clock, source=source)
    with running(consumer):
        wait_for(lambda: len(stage.statuses()) > 400 and set(stage.statuses()) == {"done"})
    assert stage.license().seats_max == 5
    assert 1 <= len(readings) <= 5


def test_a_queue_that_does_not_answer_is_asked_with_growing_pauses(stage: Stage) -> None:
    """It is no hot loop, and what is due is done meanwhile."""
    stage.bought()
    asked: list[float] = []
    stage.clients.sqs.meta.events.register("before-call.sqs.ReceiveMessage", lambda **_: asked.append(time.monotonic()))
    lost = replace(stage.settings, queue_url=f"{stage.sandbox.queue_url}-that-is-gone")
    with running(Consumer(stage.ledger, lost, stage.clients, now=stage.clock)):
        wait_for(lambda: len(asked) >= 3)
    first, second, third = asked[:3]
    assert second - first >= 0.5
    assert third - second >= 1.0


def test_a_database_that_fails_meanwhile_loses_nothing(stage: Stage) -> None:
    """Queue and work go on when it can be written again."""
    stage.clients.sqs.set_queue_attributes(QueueUrl=stage.sandbox.queue_url, Attributes={"VisibilityTimeout": "1"})
    with running(stage.consumer):
        beside(stage.url, "ALTER TABLE marketplace_inbox RENAME TO out_of_reach")
        failed_at: list[float] = []
        stage.clients.sqs.meta.events.register(
            "before-call.sqs.ReceiveMessage", lambda **_: failed_at.append(time.monotonic())
        )
        stage.buy()
        wait_for(lambda: len(failed_at) >= 2)
        assert not stage.queue_is_empty()
        beside(stage.url, "ALTER TABLE out_of_reach RENAME TO marketplace_inbox")
        wait_for(lambda: "subscription-started" in stage.events())
        wait_for(stage.queue_is_empty)


def test_one_purchase_heard_of_in_many_threads_is_one_license(stage: Stage) -> None:
    """Two consumers over ledgers of their own on one file, and three buyers' browsers."""
    contract = stage.buy()
    bodies = stage.held_back()
    token = stage.sandbox.marketplace.issue_token(contract.agreement_id).token
    second = open_ledger(stage.url, clock=stage.clock)
    clients = aws_clients(stage.environment)
    consumers = [stage.consumer, Consumer(second, stage.settings, clients, now=stage.clock)]
    registrations = [
        stage.registration,
        MarketplaceRegistration(second, stage.settings, clients, now=stage.clock),
        MarketplaceRegistration(second, stage.settings, clients, now=stage.clock),
    ]
    begin = threading.Barrier(len(consumers) + len(registrations))

    def consume(consumer: Consumer) -> None:
        begin.wait()
        while consumer.run_once():
            pass

    def register(registration: MarketplaceRegistration) -> Resolved:
        begin.wait()
        return registration.resolve(token, cause="request")

    stage.send(*bodies, *bodies)
    with ThreadPoolExecutor(len(consumers) + len(registrations)) as pool:
        consumed = [pool.submit(consume, consumer) for consumer in consumers]
        registered = [pool.submit(register, registration) for registration in registrations]
        assert len({resolved.result().license_id for resolved in registered}) == 1
        for future in consumed:
            future.result()
    # Whoever was elected may have been done before the other had heard of everything.
    consumers[1].stand_back()
    stage.clock.move(2 * MINUTE)
    wait_for(lambda: not stage.consumer.run_once() and set(stage.statuses()) == {"done"})
    assert stage.license().seats_max == 5
    assert sorted(stage.events()) == sorted(
        ["license-issued", *["license-identified"] * 4, "renewal-announced", "subscription-started"]
    )
    clients.close()
    second.close()


def test_one_purchase_heard_of_in_two_processes_is_one_license(stage: Stage) -> None:
    """Ten of them, each bought, told and registered at the same time."""
    contracts = [stage.buy(seats=number) for number in range(1, 11)]
    tokens = [stage.sandbox.marketplace.issue_token(contract.agreement_id).token for contract in contracts]
    with process(stage, *tokens) as first, process(stage, *reversed(tokens)) as second:
        for started in (first, second):
            said(started, "registered")
        wait_for(lambda: stage.queue_is_empty() and set(stage.statuses()) == {"done"})
        for started in (first, second):
            started.send_signal(signal.SIGTERM)
        assert [started.wait(PATIENCE_SECONDS) for started in (first, second)] == [0, 0]
    assert sorted(license_.seats_max for license_ in stage.licenses()) == list(range(1, 11))
    assert stage.events().count("subscription-started") == 10


def test_the_work_of_a_killed_process_is_taken_over(stage: Stage) -> None:
    """Its message is durable, and its lease runs out."""
    contract = stage.bought(seats=4)
    stage.consumer.stand_back()
    stage.sandbox.faults.set(FaultPlan(hang_seconds=60))
    with process(stage) as started:
        said(started, "ready")
        stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=5)
        wait_for(lambda: stage.queue_is_empty() and stage.observation().leased_until > 0)
        started.kill()
        started.wait(PATIENCE_SECONDS)
    stage.sandbox.faults.clear()
    stage.consume()
    assert stage.license().seats_max == 4
    # The clock of that process went a little ahead of the stage's.
    stage.clock.move(timedelta(seconds=90))
    wait_for(lambda: stage.consumer.run_once() and stage.license().seats_max == 5)
    stage.consume()
    assert set(stage.statuses()) == {"done"}


def test_a_reading_that_another_one_overtook_decides_nothing(stage: Stage) -> None:
    """It began earlier, and may have read what is no longer so."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    show_date = END_OF_NEXT_MAY.timestamp()
    old = {"Value": {"IntegerValue": 9}, "ExpirationDate": show_date}
    new = {"Value": {"IntegerValue": 7}, "ExpirationDate": show_date}
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (old,)}))
    token = stage.sandbox.marketplace.issue_token(contract.agreement_id).token
    overtaken = threading.Event()

    def overtake(**_: object) -> None:
        if overtaken.is_set():
            return
        overtaken.set()
        stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (new,)}))
        stage.registration.resolve(token, cause="overtakes")

    stage.clients.entitlements.meta.events.register("after-call.*.GetEntitlements", overtake)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=9)
    stage.consume()
    assert overtaken.is_set()
    assert stage.license().seats_max == 7
    assert stage.events().count("seat-limit-raised") == 1
    assert "seat-limit-lowered" not in stage.events()


def test_what_waits_for_a_second_reading_waits_through_a_restart(stage: Stage) -> None:
    """The first reading and its due time are durable."""
    contract = stage.bought(seats=5)
    stage.activate(*USERS)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=3)
    stage.consume()
    with stage.ledger.reading.connect() as reading:
        row = reading.execute(sqlalchemy.select(OBSERVATIONS)).one()
    assert (row.reading_seats_max, row.due_at) == (3, row.reading_due_at)
    stage.consumer.stand_back()
    restarted = open_ledger(stage.url, clock=stage.clock)
    consumer = Consumer(restarted, stage.settings, stage.clients, now=stage.clock)
    stage.clock.move(6 * MINUTE)
    while consumer.run_once():
        pass
    restarted.close()
    assert (stage.license().seats_max, stage.license().seats_active) == (3, 0)


@pytest.mark.parametrize("off", [timedelta(hours=-1), timedelta(hours=1)], ids=["behind", "ahead"])
def test_the_clock_of_decisions_tells_what_is_due(stage: Stage, off: timedelta) -> None:
    """Not the machine's own, which may be another machine's than that of the database."""
    stage.consumer.stand_back()
    consumer = Consumer(
        stage.ledger,
        stage.settings,
        stage.clients,
        now=lambda: stage.clock.at + off,
        readings_per_second=UNLIMITED,
    )
    contract = stage.buy(seats=5)
    while consumer.run_once():
        pass
    assert stage.license().seats_max == 5
    stage.activate(*USERS)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=3)
    while consumer.run_once():
        pass
    assert stage.license().seats_max == 5
    stage.clock.move(6 * MINUTE)
    while consumer.run_once():
        pass
    assert stage.license().seats_max == 3
