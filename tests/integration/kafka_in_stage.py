"""The stage of the tests of Kafka in: topics of a test's own, and what lies in them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from consumers.kafka import Forwarder, KafkaInSettings, KafkaSource
from consumers.marketplace import Consumer
from consumers.marketplace.sqs import SqsQueue
from projections.kafka.connection import KafkaConnection
from tests.integration.consumers_stage import UNLIMITED, Stage
from tests.services.kafka import KafkaCluster

PARTITIONS = 4

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A record of the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Topics:
    """The topics of one test."""

    cluster: KafkaCluster
    settings: KafkaInSettings
    producer: Any

    def put(self, *values: bytes | None, key: bytes = b"engines", headers: Headers = ()) -> None:
        """Put records into the messages topic, in this order."""
        sent = [
            self.producer.send(self.settings.messages_topic, value, key=key, headers=list(headers)) for value in values
        ]
        self.producer.flush()
        for future in sent:
            future.get(timeout=10)

    def put_all(self, bodies: Iterable[str]) -> None:
        """Put messages into the messages topic, in this order."""
        self.put(*(body.encode() for body in bodies))

    def dead_letters(self) -> list[DeadLetter]:
        """All that lies in the dead-letter topic."""
        assert self.settings.dead_letter_topic is not None
        return [
            DeadLetter(
                key=record.key,
                value=record.value,
                headers={name: value.decode() for name, value in record.headers},
            )
            for record in self.everything_in(self.settings.dead_letter_topic)
        ]

    def everything_in(self, topic: str) -> list[Any]:
        """All records of a topic, partition by partition."""
        consumer = KafkaConsumer(bootstrap_servers=self.cluster.bootstrap, auto_offset_reset="earliest")
        try:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            found: list[Any] = []
            while any(consumer.position(one) < ends[one] for one in partitions):
                for records in consumer.poll(timeout_ms=1_000).values():
                    found += records
            return sorted(found, key=lambda record: (record.partition, record.offset))
        finally:
            consumer.close(autocommit=False)

    def committed(self) -> int:
        """How many records the group says to have read."""
        consumer = KafkaConsumer(bootstrap_servers=self.cluster.bootstrap, group_id=self.settings.group)
        try:
            numbers = range(PARTITIONS)
            told = [consumer.committed(TopicPartition(self.settings.messages_topic, number)) for number in numbers]
            return sum(offset or 0 for offset in told)
        finally:
            consumer.close(autocommit=False)

    def make_anew(self) -> None:
        """Delete the messages topic and make it again."""
        self.cluster.delete_topic(self.settings.messages_topic)
        self.cluster.create_topic(self.settings.messages_topic, partitions=PARTITIONS)


def connection_to(cluster: KafkaCluster) -> KafkaConnection:
    """How the brokers of the tests are reached."""
    return KafkaConnection(bootstrap=tuple(cluster.bootstrap.split(",")))


@contextmanager
def topics_on(cluster: KafkaCluster, *, message_bytes_max: int = 1_048_588) -> Iterator[Topics]:
    """Make a messages topic and a dead-letter topic of a test's own."""
    name = uuid4().hex
    settings = KafkaInSettings(
        connection=connection_to(cluster),
        messages_topic=f"messages-{name}",
        dead_letter_topic=f"dead-letters-{name}",
        group=f"ledger-{name}",
    )
    cluster.create_topic(
        settings.messages_topic, partitions=PARTITIONS, configs={"max.message.bytes": str(message_bytes_max)}
    )
    cluster.create_topic(f"dead-letters-{name}")
    producer = KafkaProducer(
        bootstrap_servers=cluster.bootstrap,
        max_request_size=16 * 1_048_576,
        allow_auto_create_topics=False,
        metadata_max_age_ms=1_000,
    )
    try:
        yield Topics(cluster=cluster, settings=settings, producer=producer)
    finally:
        producer.close(timeout=5)


@contextmanager
def consuming(stage: Stage, settings: KafkaInSettings) -> Iterator[Consumer]:
    """Let a consumer of the stage read a topic in place of the queue."""
    source = KafkaSource.open(settings, now=stage.clock)
    stage.consumer.stand_back()
    consumer = Consumer(
        stage.ledger,
        replace(stage.settings, queue_url=None),
        stage.clients,
        now=stage.clock,
        source=source,
        readings_per_second=UNLIMITED,
    )
    try:
        yield consumer
    finally:
        source.close()
        consumer.stand_back()


def forwarder(stage: Stage, settings: KafkaInSettings) -> Forwarder:
    """What brings the stage's queue to the topic."""
    return Forwarder.open(settings, SqsQueue(stage.clients.sqs, queue_url=stage.sandbox.queue_url))
