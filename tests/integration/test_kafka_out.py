"""Events and licenses as they arrive at other systems, through a real broker."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from projections.kafka import saved
from projections.kafka.broker import PublisherIsFencedError
from projections.kafka.partitions import partition_of
from projections.kafka.tenure import Tenure
from tests.integration.kafka_out_stage import (
    PARTITIONS,
    Stage,
    running,
    set_up,
    sqlite_in,
    wait_published,
    wait_until,
)
from tests.services.kafka import KafkaCluster


@pytest.fixture
def stage(kafka: KafkaCluster, tmp_path: Path) -> Iterator[Stage]:
    """A ledger with topics that an operator made."""
    with set_up(kafka, sqlite_in(tmp_path)) as made:
        made.make_topics()
        yield made


def test_every_event_arrives_in_order_and_licenses_as_the_view_has_them(stage: Stage) -> None:
    """Several transactions, and what is appended while the publisher runs."""
    stage.buy(20)
    stage.sign_in(6_000)
    with stage.publishing() as publisher:
        wait_published(publisher)
        stage.sign_in(30, at_once=1)
        wait_published(publisher)
    reader = stage.assert_published()
    assert reader.dropped == 0
    assert all(
        partition_of(one["subject"], PARTITIONS) == partition
        for partition, taken in reader.events.items()
        for one in taken
    )


def test_every_partition_gets_watermarks_also_where_nothing_happens(stage: Stage) -> None:
    """One license has all its events in one partition, and the others learn of the head too."""
    stage.buy(1)
    head = stage.ledger.head().position
    with stage.publishing():
        wait_until(lambda: stage.read().watermarks == dict.fromkeys(range(PARTITIONS), head), what="watermarks")
    assert len(stage.read().events) == 1


def test_an_empty_ledger_is_told_to_be_empty(stage: Stage) -> None:
    """Nobody has to wait for a first event to know that there is none."""
    with stage.publishing():
        wait_until(lambda: len(stage.read().watermarks) == PARTITIONS, what="watermarks")
    assert set(stage.read().watermarks.values()) == {0}


def test_a_publisher_goes_on_where_the_last_one_stopped(stage: Stage) -> None:
    """Stopped and started, it sends nothing twice."""
    stage.buy(3)
    for _ in range(2):
        stage.sign_in(200)
        with stage.publishing() as publisher:
            wait_published(publisher)
        stage.views.stop()
    stage.views.start()
    assert stage.assert_published().dropped == 0


def test_a_place_that_was_not_saved_is_found_in_the_topic(stage: Stage) -> None:
    """The brokers have transactions whose place the publisher did not live to save: at most the last comes twice."""
    stage.buy(6)
    with stage.publishing() as publisher:
        wait_published(publisher)
        before = saved.load(stage.ledger, stage.events_topic)
        assert before is not None
        stage.sign_in(500)
        wait_published(publisher)
    stage.views.stop()
    stage.sign_in(500)
    assert saved.save(stage.ledger, before)
    stage.views.start()
    with running(stage.publisher()) as publisher:
        wait_published(publisher)
    assert stage.assert_published().dropped <= 500


def test_an_older_publisher_does_not_put_its_place_over_a_newer_one(stage: Stage) -> None:
    """The place goes with the election: who was elected later has the last word."""
    stage.buy(1)
    with stage.publishing() as publisher:
        wait_published(publisher)
    place = saved.load(stage.ledger, stage.events_topic)
    assert place is not None
    assert saved.save(stage.ledger, replace(place, term=place.term + 1))
    assert not saved.save(stage.ledger, replace(place, position=0))
    assert saved.load(stage.ledger, stage.events_topic) == replace(place, term=place.term + 1)


def test_an_older_publisher_is_refused_by_the_brokers(stage: Stage) -> None:
    """Whoever begins shuts out who began before, in both topics, also if that one has not noticed yet."""
    outs = stage.publisher().outs
    stage.buy(3)
    stage.views.run_once()
    older = Tenure.begin(stage.ledger, stage.settings.connection, outs, term=1, blocked={})
    assert older.turn()
    newer = Tenure.begin(stage.ledger, stage.settings.connection, outs, term=2, blocked={})
    stage.sign_in(3)
    stage.views.run_once()
    with pytest.raises(PublisherIsFencedError):
        older.turn()
    older.end()
    assert newer.turn()
    newer.end()
    assert stage.assert_published().dropped == 0


def test_a_topic_that_is_missing_is_made(kafka: KafkaCluster, tmp_path: Path) -> None:
    """With as many partitions as are told in the docs, and the licenses compacted."""
    with set_up(kafka, sqlite_in(tmp_path)) as stage:
        stage.buy(3)
        with stage.publishing() as publisher:
            wait_published(publisher)
            wait_until(lambda: len(stage.read().watermarks) == 12, what="12 partitions")
        stage.assert_published()


def test_nothing_personal_is_in_a_topic_that_others_read(kafka: KafkaCluster, tmp_path: Path) -> None:
    """With `omit` the names of the users stay in the ledger."""
    with set_up(kafka, sqlite_in(tmp_path), personal="omit") as stage:
        stage.make_topics()
        stage.buy(1)
        stage.sign_in(3)
        with stage.publishing() as publisher:
            wait_published(publisher)
        activated = [one for taken in stage.read().events.values() for one in taken if "seat_id" in one["data"]]
        assert [one["data"]["user"] for one in activated] == [None] * 3


@pytest.mark.parametrize("left_out", ["events_topic", "licenses_topic"])
def test_either_topic_is_enough(kafka: KafkaCluster, tmp_path: Path, left_out: str) -> None:
    """Who wants only one of them leaves the other's setting out."""
    with set_up(kafka, sqlite_in(tmp_path), **{left_out: None}) as stage:
        stage.buy(2)
        with stage.publishing() as publisher:
            wait_published(publisher)
        if left_out == "events_topic":
            stage.assert_licenses()
        else:
            assert stage.read().positions == [one.position for one in stage.everything()]
