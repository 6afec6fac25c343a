"""One consumer, then four, then two, of which one is killed, while many messages come through Kafka."""

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy

from consumers.marketplace.budget import CALLS_PER_SECOND_MAX
from consumers.marketplace.tables import INBOX
from consumers.sandbox import Contract
from tests.integration.consumers_stage import Stage, anew, database, staged
from tests.integration.kafka_in_stage import Topics, topics_on
from tests.integration.test_consumers_together import process, said
from tests.services.kafka import KafkaCluster

if TYPE_CHECKING:
    import subprocess

PATIENCE_SECONDS = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How much comes.

    Attributes:
        licenses: how many are bought.
        messages: how many come in all.
        processes: how many consume at most.
    """

    licenses: int
    messages: int
    processes: int


LOADS = {
    "postgresql": Load(licenses=200, messages=20_000, processes=4),
    "sqlite": Load(licenses=20, messages=2_000, processes=2),
}


def wait_long_for(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What one test tells of."""

    stage: Stage
    topics: Topics
    load: Load
    called_at: list[float]

    def events(self) -> Counter[str]:
        """How many events of each type there are."""
        return Counter(self.stage.events())

    def kept(self) -> Counter[tuple[str, bool]]:
        """How many messages there are of each status, and whether with a reason."""
        query = sqlalchemy.select(INBOX.c.status, INBOX.c.reason.is_not(None), sqlalchemy.func.count())
        with self.stage.ledger.reading.connect() as reading:
            rows = reading.execute(query.group_by(INBOX.c.status, INBOX.c.reason.is_not(None)))
            return Counter({(row[0], bool(row[1])): row[2] for row in rows})

    def ids(self) -> Counter[str]:
        """Every message in the inbox by its id."""
        with self.stage.ledger.reading.connect() as reading:
            return Counter(reading.scalars(sqlalchemy.select(INBOX.c.message_id)))

    def bought(self) -> tuple[list[Contract], list[str]]:
        """Let companies buy; returns what they bought, and AWS's messages of that."""
        contracts, bodies = [], []
        for number in range(self.load.licenses):
            contracts.append(self.stage.buy(seats=5, account_id=f"{number:012}"))
            bodies += self.stage.held_back()
        return contracts, bodies

    def put(self, bodies: list[str]) -> list[str]:
        """Put messages into the topic, those of one agreement in one partition; returns their ids."""
        documents = [json.loads(body) for body in bodies]
        topic = self.topics.settings.messages_topic
        for body, document in zip(bodies, documents, strict=True):
            key = document["detail"]["agreement"]["id"].encode()
            self.topics.producer.send(topic, body.encode(), key=key)
        self.topics.producer.flush()
        return [document["id"] for document in documents]


def again(bodies: list[str], *, count: int) -> list[str]:
    """So many messages more, which tell of the same things."""
    documents = [json.loads(bodies[number % len(bodies)]) for number in range(count)]
    return [anew(document) for document in documents]


@pytest.fixture(params=LOADS)
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """A sandbox Marketplace that notes when it is asked, and topics."""
    called_at: list[float] = []
    with (
        database(request.param, tmp_path) as url,
        staged(url) as stage,
        topics_on(kafka) as topics,
    ):
        meet = stage.sandbox.faults.meet

        def note(operation: str) -> object:
            if operation == "GetEntitlements":
                called_at.append(time.monotonic())
            return meet(operation)

        monkeypatch.setattr(stage.sandbox.faults, "meet", note)
        yield Scene(stage=stage, topics=topics, load=LOADS[request.param], called_at=called_at)


@pytest.mark.timeout(1_800)
def test_no_message_is_lost_or_counts_twice_while_consumers_come_and_go(scene: Scene) -> None:
    """Partitions go from one to the other and back; AWS is never asked more often than it allows."""
    load, topics = scene.load, scene.topics
    contracts, bodies = scene.bought()
    changed = contracts[: load.licenses // 2]
    share = (load.messages - len(bodies) - 2 * len(changed)) // 3
    told = {
        "bootstrap": topics.cluster.bootstrap,
        "messages_topic": topics.settings.messages_topic,
        "dead_letter_topic": topics.settings.dead_letter_topic,
        "group": topics.settings.group,
    }
    with ExitStack() as stack:

        def start() -> "subprocess.Popen[str]":
            started = stack.enter_context(process(scene.stage, kafka=told))
            said(started, "ready")
            return started

        running = [start()]
        ids = scene.put(bodies) + scene.put(again(bodies, count=share))
        wait_long_for(lambda: scene.events()["subscription-started"] == load.licenses)

        running += [start() for _ in range(load.processes - 1)]
        news: list[str] = []
        for contract in changed:
            scene.stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
            news += scene.stage.held_back()
        ids += scene.put(again(bodies, count=share)) + scene.put(news)
        wait_long_for(lambda: len(scene.ids()) > load.messages // 2)

        leaving, killed = running[0], running[1]
        ids += scene.put(again(bodies, count=load.messages - len(ids)))
        leaving.send_signal(signal.SIGTERM)
        killed.kill()
        assert leaving.wait(30) == 0
        if load.processes == 2:
            running.append(start())
        wait_long_for(lambda: scene.kept() == {("done", False): load.messages})
        for staying in running[2:]:
            staying.send_signal(signal.SIGTERM)
        assert [staying.wait(30) for staying in running[2:]] == [0] * len(running[2:])

    assert scene.ids() == Counter(ids)
    assert topics.committed() == load.messages
    assert topics.dead_letters() == []
    assert scene.events() == {
        "license-issued": load.licenses,
        "license-identified": 4 * load.licenses,
        "renewal-announced": load.licenses,
        "subscription-started": load.licenses,
        "seat-limit-raised": len(changed),
    }
    assert Counter(license_.seats_max for license_ in scene.stage.licenses()) == {
        8: len(changed),
        5: load.licenses - len(changed),
    }
    assert calls_in_a_second(scene.called_at) <= CALLS_PER_SECOND_MAX


def calls_in_a_second(called_at: list[float]) -> int:
    """How many calls were made in the second that had the most."""
    most, first = 0, 0
    for last, at in enumerate(called_at):
        while called_at[first] < at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most
