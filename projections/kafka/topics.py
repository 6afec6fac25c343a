"""The two topics: what is sent to each for a batch of events, and what each must be like."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from ledger.envelope import RecordedEvent
from ledger.license.events import LicenseId
from ledger.system.events import STREAM as SYSTEM_STREAM
from projections.kafka import cloud_events, licenses
from projections.kafka.cloud_events import PersonalData
from projections.kafka.connection import KafkaUnusableError
from projections.kafka.partitions import partition_of
from projections.kafka.records import FoundRecord, Headers, Record, Tail, Topic
from projections.views import Views

PARTITIONS: Final = 12
"""How many a topic gets that is made by the publisher: so many consumers can share it, and it can't be more later."""

_KIND: Final = "kind"
_WATERMARK: Final = b"watermark"
_SOURCE: Final = "source"


class _TailValue(msgspec.Struct):
    """What is read of a record that was found: a CloudEvent, a watermark, or License Information."""

    position: int | None = None
    id: str | None = None
    source: str | None = None
    subject: str | None = None
    time: datetime | None = None


_DECODE: Final = msgspec.json.Decoder(_TailValue).decode


class OutTopic(Protocol):
    """One of the two."""

    name: str
    cleanup: str
    setting: str

    def check(self, topic: Topic) -> None:
        """Whether the brokers keep its records as they have to be kept.

        Raises:
            KafkaUnusableError: they do not.
        """

    def due(self, batch: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        """Those of the next events that can be published by now."""

    def records(self, batch: Sequence[RecordedEvent], topic: Topic) -> Sequence[Record]:
        """What is sent for a batch."""

    def reached(self, topic: Topic, tails: Mapping[int, Tail]) -> Mapping[int, int]:
        """Up to which position each partition has everything."""

    def watermarks(self, topic: Topic, *, position: int) -> Sequence[Record]:
        """What tells consumers how far the topic is."""


class EventsTopic:
    """Every event as a CloudEvent, keyed by its stream."""

    cleanup = "delete"
    setting = "LEDGER_KAFKA_EVENTS_TOPIC"

    def __init__(self, name: str, *, ledger_id: str, personal: PersonalData) -> None:
        """Name it."""
        self.name = name
        self._source = cloud_events.source_of(ledger_id)
        self._to_cloud_event = cloud_events.cloud_events_of(ledger_id, personal=personal)
        self._headers: Headers = [("content-type", cloud_events.CONTENT_TYPE.encode())]
        self._watermark_headers: Headers = [
            ("content-type", b"application/json"),
            (_KIND, _WATERMARK),
            (_SOURCE, self._source.encode()),
        ]

    def check(self, topic: Topic) -> None:
        """None may be dropped because a later one has the same key."""
        if "compact" in _cleanup_of(topic):
            raise KafkaUnusableError(
                f"The topic {topic.name} is compacted, so that of each license only the last event would be kept. Set"
                f" its cleanup.policy to delete, or name another topic in {self.setting}."
            )

    def due(self, batch: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        """All of them."""
        return batch

    def records(self, batch: Sequence[RecordedEvent], topic: Topic) -> Sequence[Record]:
        """One record for each event, in order."""
        return [
            Record(
                topic=self.name,
                partition=partition_of(one.stream, topic.partitions),
                key=one.stream.encode(),
                value=self._to_cloud_event(one),
                headers=self._headers,
                told=f"the event at position {one.position} ({one.event.TYPE})",
            )
            for one in batch
        ]

    def watermarks(self, topic: Topic, *, position: int) -> Sequence[Record]:
        """One record for each partition."""
        value = json.dumps({"position": position}).encode()
        return [
            Record(
                topic=self.name,
                partition=partition,
                key=None,
                value=value,
                headers=self._watermark_headers,
                told=f"the watermark of position {position}",
            )
            for partition in range(topic.partitions)
        ]

    def reached(self, topic: Topic, tails: Mapping[int, Tail]) -> Mapping[int, int]:
        """By the last record of each partition, an event or a watermark.

        Raises:
            KafkaUnusableError: somebody else writes to this topic.
        """
        return {
            partition: self._position_of(topic, tail.last) for partition, tail in tails.items() if tail.last is not None
        }

    def _position_of(self, topic: Topic, found: FoundRecord) -> int:
        value, headers = _decoded(topic, found), dict(found.headers)
        source: str | None
        if headers.get(_KIND) == _WATERMARK:
            position, source = value.position, headers.get(_SOURCE, b"").decode()
        else:
            position, source = int(value.id) if value.id and value.id.isdecimal() else None, value.source
        if position is None or source != self._source:
            raise KafkaUnusableError(
                f"The topic {topic.name} has records of {source or 'somebody else'}, not of {self._source} alone. Give"
                f" each ledger a topic of its own ({self.setting})."
            )
        return position

    def last_events(self, tails: Mapping[int, Tail]) -> Iterator[tuple[int, str | None, datetime | None]]:
        """Position, stream and time of the events that stand last in a partition."""
        for tail in tails.values():
            if tail.last is None or dict(tail.last.headers).get(_KIND) == _WATERMARK:
                continue
            value = _DECODE(tail.last.value)
            yield int(value.id or 0), value.subject, value.time


class LicensesTopic:
    """The License Information of each license, keyed by its id; of an older one nothing is kept."""

    cleanup = "compact"
    setting = "LEDGER_KAFKA_LICENSES_TOPIC"

    def __init__(self, name: str, *, views: Views) -> None:
        """Tell what the views know."""
        self.name = name
        self._views = views
        self._headers: Headers = [("content-type", licenses.CONTENT_TYPE.encode())]

    def check(self, topic: Topic) -> None:
        """The last one of each key has to be kept for ever, and no more is needed."""
        if _cleanup_of(topic) != {"compact"}:
            raise KafkaUnusableError(
                f"The topic {topic.name} is not compacted (its cleanup.policy is {topic.cleanup}), so that licenses"
                f" would be forgotten. Set it to compact, or name another topic in {self.setting}."
            )

    def due(self, batch: Sequence[RecordedEvent]) -> Sequence[RecordedEvent]:
        """Those that are in the views."""
        position = self._views.position()
        return list(itertools.takewhile(lambda one: one.position <= position, batch))

    def records(self, batch: Sequence[RecordedEvent], topic: Topic) -> Sequence[Record]:
        """One record for each license that the events are about, as it is now."""
        license_ids = {one.stream: None for one in batch if one.stream != SYSTEM_STREAM}
        position, facts = self._views.licenses.facts([LicenseId(one) for one in license_ids])
        return [
            Record(
                topic=self.name,
                partition=partition_of(one.license_id, topic.partitions),
                key=one.license_id.encode(),
                value=licenses.license_information(one, position=position),
                headers=self._headers,
                told=f"the License Information of {one.license_id}",
            )
            for one in facts
        ]

    def reached(self, topic: Topic, tails: Mapping[int, Tail]) -> Mapping[int, int]:
        """Of nothing that is known from its records alone: they are only what was touched last."""
        for tail in tails.values():
            if tail.last is not None:
                _decoded(topic, tail.last)
        return {}

    def watermarks(self, topic: Topic, *, position: int) -> Sequence[Record]:  # noqa: ARG002 -- it has none
        """None: there is nothing to drop."""
        return ()


def _cleanup_of(topic: Topic) -> set[str]:
    if topic.cleanup is None:
        raise KafkaUnusableError(
            f"The settings of the topic {topic.name} can't be read. Let the ledger describe it (the operation"
            " DescribeConfigs)."
        )
    return {one.strip() for one in topic.cleanup.split(",")}


def _decoded(topic: Topic, found: FoundRecord) -> _TailValue:
    try:
        return _DECODE(found.value)
    except msgspec.MsgspecError as error:
        raise KafkaUnusableError(
            f"The topic {topic.name} has a record that this program did not write (partition {found.partition}, offset"
            f" {found.offset}). Give the ledger a topic of its own."
        ) from error


def position_found(found: FoundRecord) -> int:
    """The position that a record of either topic tells."""
    value = _DECODE(found.value)
    return value.position if value.position is not None else int(value.id or 0)
