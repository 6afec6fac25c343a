"""Publishers and brokers that die or hang: nothing is lost, put in another order, or put back to an older state."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.store.url import DatabaseUrl
from projections.kafka import saved
from projections.kafka.tenure import EVENTS_PER_TRANSACTION
from tests.integration.kafka_out_stage import Stage, set_up, sqlite_in, wait_published, wait_until
from tests.services.kafka import KafkaCluster

ROOT = Path(__file__).parents[2]
SIGN_INS_AT_ONCE = 50


class PublisherProcess:
    """A publisher that can be killed and stopped."""

    def __init__(self, stage: Stage, log: Path) -> None:
        """Start it and wait until it is about to publish."""
        self._log = log
        with log.open("wb") as error:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.kafka_out_process"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error,
            )
        told = {
            "url": stage.url.text,
            "bootstrap": stage.cluster.bootstrap,
            "events_topic": stage.events_topic,
            "licenses_topic": stage.licenses_topic,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"ready\n", log.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """As `kill -9` does."""
        self._process.kill()
        self._process.communicate()

    def says(self, words: str) -> bool:
        """Whether it has said this."""
        return words in self._log.read_text()


@contextlib.contextmanager
def publisher_process(stage: Stage, log: Path) -> Iterator[PublisherProcess]:
    """A publisher of its own, which does not outlive the test."""
    process = PublisherProcess(stage, log)
    try:
        yield process
    finally:
        process.kill()


def published(stage: Stage, topic: str | None = None) -> int:
    """Up to which position it is known that everything arrived."""
    place = saved.load(stage.ledger, topic or stage.events_topic)
    return place.position if place else 0


def wait_moved(stage: Stage, *, to: int = 1, seconds: float = 60) -> None:
    """Wait until so many more events arrived."""
    before = published(stage)
    wait_until(lambda: published(stage) >= before + to, seconds=seconds, what=f"{to} events after {before}")


@pytest.mark.timeout(300)
def test_a_publisher_killed_in_the_middle_loses_nothing(kafka: KafkaCluster, tmp_path: Path) -> None:
    """Killed again and again while it publishes; what comes twice is at most one transaction for each."""
    kills = 2
    with set_up(kafka, sqlite_in(tmp_path)) as stage:
        stage.make_topics()
        stage.buy(40)
        stage.sign_in(18_000)
        stage.views.run_once()
        for number in range(kills):
            with publisher_process(stage, tmp_path / f"log-{number}") as process:
                wait_moved(stage)
                process.kill()
        assert published(stage) < stage.ledger.head().position, "they were killed when there was nothing left to do"
        with stage.publishing() as publisher:
            wait_published(publisher)
        reader = stage.assert_published()
        assert reader.dropped <= kills * (EVENTS_PER_TRANSACTION + SIGN_INS_AT_ONCE)
        careless = stage.read(isolation_level="read_uncommitted")
        assert careless.by_stream == reader.by_stream


@pytest.mark.timeout(300)
def test_a_publisher_that_hung_and_wakes_up_is_shut_out(
    kafka: KafkaCluster, postgres_database: str, tmp_path: Path
) -> None:
    """Stopped in the middle, it loses the election; awake again it must not put older licenses over newer ones."""
    with set_up(kafka, DatabaseUrl.parse(postgres_database)) as stage:
        stage.make_topics()
        stage.buy(40)
        stage.sign_in(15_000)
        stage.views.run_once()
        with publisher_process(stage, tmp_path / "hung") as hung:
            # The licenses go last in a turn, so that it is stopped in the next one's events.
            wait_until(lambda: published(stage, stage.licenses_topic) > 0, what="it to publish")
            hung.signal(signal.SIGSTOP)
            assert published(stage) < stage.ledger.head().position, "it was stopped when there was nothing left to do"
            with stage.publishing() as publisher:
                wait_published(publisher, seconds=90)
                stage.sign_in(40 * SIGN_INS_AT_ONCE)
                wait_published(publisher)
                hung.signal(signal.SIGCONT)
                wait_until(lambda: hung.says("the publisher"), what="it to be shut out")
                stage.sign_in(40 * SIGN_INS_AT_ONCE)
                wait_published(publisher)
        stage.assert_published()


@pytest.mark.timeout(600)
def test_brokers_and_publishers_die_during_a_hundred_thousand_events(
    kafka_cluster: KafkaCluster, tmp_path: Path
) -> None:
    """One of three brokers is killed and brought back, then the publisher: all arrives, in order, once by the rule."""
    with set_up(kafka_cluster, sqlite_in(tmp_path)) as stage:
        stage.make_topics(partitions=6)
        stage.buy(100)
        stage.sign_in(100_000 - stage.ledger.head().position)
        stage.views.run_once()
        with publisher_process(stage, tmp_path / "first") as process:
            wait_moved(stage, to=10_000, seconds=120)
            victim = kafka_cluster.leader(stage.events_topic)
            kafka_cluster.kill(victim)
            wait_moved(stage, to=10_000, seconds=120)
            kafka_cluster.start_broker(victim)
            wait_moved(stage, to=10_000, seconds=120)
            process.kill()
        assert published(stage) < stage.ledger.head().position, "it was killed when there was nothing left to do"
        with publisher_process(stage, tmp_path / "second"):
            wait_until(lambda: published(stage) == 100_000, seconds=240, what="all events")
        reader = stage.assert_published()
        assert reader.dropped <= 2 * (EVENTS_PER_TRANSACTION + SIGN_INS_AT_ONCE)
