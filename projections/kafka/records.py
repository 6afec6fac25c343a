"""What is sent to Kafka, and what is found there."""

from dataclasses import dataclass
from typing import TypeAlias

Headers: TypeAlias = list[tuple[str, bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One record to send.

    Attributes:
        topic: where to.
        partition: of the topic, from 0.
        key: by which it was put into the partition; null for a watermark.
        value: JSON.
        headers: names and values.
        told: what the record is about, for people: the position and type of an event, or the id of a license.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Headers
    told: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRecord:
    """One record as it stands in a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Headers


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """A topic as the brokers describe it.

    Attributes:
        name: by which it is configured.
        topic_id: given anew when a topic of this name is made again; empty where the brokers tell none.
        partitions: how many it has.
        cleanup: its `cleanup.policy`, such as `delete` or `compact`; null where this program may not read it.
        batch_bytes_max: the largest batch of records that it takes; null where this program may not read it.
    """

    name: str
    topic_id: str
    partitions: int
    cleanup: str | None
    batch_bytes_max: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tail:
    """The end of a partition.

    Attributes:
        end: the offset that the next record gets, of those that are committed.
        last: the last committed record; null where there is none, or none any more.
    """

    end: int
    last: FoundRecord | None
