"""Many messages about few licenses: they cost one reading for each license, and AWS's limit holds across consumers."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy

from consumers.marketplace import Clients, Consumer, MarketplaceSettings, aws_clients
from consumers.marketplace.budget import CALLS_PER_SECOND_MAX
from consumers.marketplace.inbox import Inbox, received
from consumers.marketplace.tables import INBOX
from consumers.sandbox import MischiefPlan
from tests.integration.consumers_stage import END_OF_MAY, UNLIMITED, Stage, anew, database, open_ledger, staged

LICENSES = 500
POKES = 10_000
BATCH = 500
PATIENCE_SECONDS = 300
AT_ONCE_SECONDS = 5


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production, on SQLite: which engine it is makes no difference to AWS."""
    with database("sqlite", tmp_path) as url, staged(url) as stage:
        yield stage


class Reads:
    """When GetEntitlements was called, by whichever of the clients."""

    def __init__(self, *clients: Clients) -> None:
        """Listen from now on."""
        self.at: list[float] = []
        for one in clients:
            one.entitlements.meta.events.register("before-call.*.GetEntitlements", self._note)

    def _note(self, **_: object) -> None:
        self.at.append(time.monotonic())

    def most_in_a_second(self) -> int:
        """The busiest second."""
        return max(sum(begin <= at < begin + 1 for at in self.at) for begin in self.at)


def known(stage: Stage, inbox: Inbox) -> Sequence[str]:
    """The ledger knows of all licenses; a message about each."""
    # What AWS sends of the purchases is not needed in a queue that nobody empties, which gets slower with each message.
    stage.sandbox.marketplace.mischief.set(MischiefPlan(drop=1.0))
    outcomes = [
        stage.sandbox.marketplace.buy(account_id=f"{number:012}", seats=5, until=END_OF_MAY)
        for number in range(LICENSES)
    ]
    bodies = [
        message.body
        for outcome in outcomes
        for message in outcome.messages
        if message.title.startswith("License Updated")
    ]
    store(inbox, bodies)
    work = Consumer(stage.ledger, without_queue(stage), stage.clients, now=stage.clock, readings_per_second=UNLIMITED)
    while work.run_once():
        pass
    work.stand_back()
    return bodies


def without_queue(stage: Stage) -> MarketplaceSettings:
    """What lies in the inbox is all there is to do."""
    return replace(stage.settings, queue_url=None)


def store(inbox: Inbox, bodies: Sequence[str]) -> None:
    """As a source does that was handed these messages."""
    for begin in range(0, len(bodies), BATCH):
        inbox.store([received(body, transport_id="-") for body in bodies[begin : begin + BATCH]])


@contextmanager
def consuming(stage: Stage, clients: Clients) -> Iterator[None]:
    """Another consumer runs beside the others, on a ledger of its own."""
    stop = threading.Event()
    with closing(open_ledger(stage.url, clock=stage.clock)) as ledger:
        consumer = Consumer(ledger, without_queue(stage), clients, now=stage.clock)
        thread = threading.Thread(target=consumer.run, args=(stop,), name="consumer")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.mark.timeout(500)
def test_ten_thousand_pokes_about_five_hundred_licenses_cost_five_hundred_readings(stage: Stage) -> None:
    """Under 20 calls a second in all, while two consumers run and a buyer who registers is answered at once."""
    inbox = Inbox(stage.ledger, stage.settings, stage.lineages, observe=lambda *_: True)
    bodies = known(stage, inbox)
    events = stage.ledger.head().position
    documents = [json.loads(body) for body in bodies]
    store(inbox, [anew(documents[number % LICENSES]) for number in range(POKES)])
    buyer = stage.sandbox.marketplace.buy(account_id="999900001111", seats=7, until=END_OF_MAY).contract
    token = stage.sandbox.marketplace.issue_token(buyer.agreement_id).token
    clients = [aws_clients(stage.environment) for _ in range(2)]
    reads = Reads(stage.clients, *clients)
    with ExitStack() as stack:
        for one in clients:
            stack.callback(one.close)
            stack.enter_context(consuming(stage, one))
        wait_until(lambda: bool(reads.at))
        begun_at = time.monotonic()
        resolved = stage.registration.resolve(token, cause="request")
        assert (resolved.seats_max, time.monotonic() - begun_at < AT_ONCE_SECONDS) == (7, True)
        wait_until(lambda: statuses(stage) == {"done"})
    assert LICENSES <= len(reads.at) <= LICENSES + 50
    assert reads.most_in_a_second() < CALLS_PER_SECOND_MAX
    of_the_buyer = len(stage.ledger.past.license_now(resolved.license_id).names) + 3
    assert stage.ledger.head().position - events == of_the_buyer


def statuses(stage: Stage) -> set[str]:
    """How the messages stand."""
    with stage.ledger.reading.connect() as reading:
        return set(reading.scalars(sqlalchemy.select(INBOX.c.status).distinct()))


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.5)
