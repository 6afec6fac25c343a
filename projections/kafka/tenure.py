"""One time of being the publisher: from taking over to the first error."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import structlog

from ledger.envelope import EventTypeIsUnknownError, RecordedEvent, StoredEventDisagreesError
from ledger.ledger import Ledger
from projections.kafka import beginning, saved
from projections.kafka.broker import Brokers, Ends, Producer, RecordIsTooLargeError
from projections.kafka.connection import KafkaConnection, KafkaIsAwayError, KafkaUnusableError
from projections.kafka.records import Record, Tail, Topic
from projections.kafka.saved import Saved
from projections.kafka.topics import PARTITIONS, EventsTopic, OutTopic, position_found

EVENTS_PER_TRANSACTION: Final = 5_000
WATERMARK_SECONDS: Final = 1.0

_LOGGER: Final = structlog.get_logger(__name__)


class TopicIsNotAsItWasError(Exception):
    """A topic was made again, or lost records, while it was written to: begin again from what the brokers have."""

    def __init__(self, topic: str) -> None:
        """Say which."""
        super().__init__(f"The topic {topic} is not as it was when this publisher began.")


class ElectionIsLostError(Exception):
    """A publisher that was elected later has saved its place."""

    def __init__(self) -> None:
        """Say what happened."""
        super().__init__("Another publisher was elected meanwhile.")


class HistoryIsAnotherError(Exception):
    """The ledger is not the one whose events were published; the text is one line that says what to do."""


class EventIsTooLargeError(Exception):
    """An event is larger than the topic takes; the text is one line that says what to do.

    Attributes:
        topic: the name of the topic.
        position: of the event.
    """

    def __init__(self, *, topic: str, position: int, event_type: str) -> None:
        """Say what to do."""
        super().__init__(
            f"The event at position {position} ({event_type}) is too large for the topic {topic}; nothing after it is"
            " published. Raise max.message.bytes of the topic, or message.max.bytes of the brokers, to 131072 or more."
        )
        self.topic = topic
        self.position = position


@dataclass(kw_only=True, slots=True)
class Progress:
    """How far one topic is.

    Attributes:
        out: what is sent to it.
        topic: as it was found.
        position: of the last event published.
        command_id: of that event; empty before the first.
        ends: the last offset in each partition that was acknowledged, -1 where there is none.
    """

    out: OutTopic
    topic: Topic
    position: int
    command_id: str
    ends: dict[int, int]

    def acknowledge(self, ends: Ends) -> None:
        """Keep where each partition ends.

        Raises:
            TopicIsNotAsItWasError: before where it ended.
        """
        for (_, partition), end in ends.items():
            if end <= self.ends[partition]:
                raise TopicIsNotAsItWasError(self.topic.name)
            self.ends[partition] = end


def find_topic(brokers: Brokers, out: OutTopic, *, before: Saved | None) -> Topic:
    """A topic as it is now; one that was never published to is made where it is missing.

    Raises:
        KafkaUnusableError: it is not as it has to be.
    """
    topic = brokers.topic(out.name)
    if topic is None and before is not None:
        raise KafkaUnusableError(
            f"The topic {out.name} was taken away. Make it again, with {before.partitions} partitions or as many as you"
            f" like and cleanup.policy={out.cleanup}: everything is published to it anew."
        )
    if topic is None:
        brokers.make_topic(out.name, partitions=PARTITIONS, cleanup=out.cleanup)
        _LOGGER.info("a topic was made", topic=out.name, partitions=PARTITIONS, cleanup=out.cleanup)
        topic = brokers.topic(out.name)
    if topic is None:
        raise KafkaIsAwayError(f"The topic {out.name} was made, but the brokers don't show it yet.")
    if before is not None and before.topic_id == topic.topic_id and before.partitions != topic.partitions:
        raise KafkaUnusableError(
            f"The topic {topic.name} has {topic.partitions} partitions now and had {before.partitions}, so that what is"
            f" about one license would no longer stand in one of them. Make another topic and name it in {out.setting}."
        )
    out.check(topic)
    return topic


class Tenure:
    """One time of being the publisher."""

    def __init__(
        self, ledger: Ledger, *, term: int, blocked: Mapping[str, int], brokers: Brokers, producer: Producer
    ) -> None:
        """Nothing is known of the topics yet."""
        self._ledger = ledger
        self._term = term
        self._blocked = blocked
        self._brokers = brokers
        self._producer = producer
        self._watermark_at = 0.0
        self._progress: Sequence[Progress] = ()
        self._read: dict[int, Sequence[RecordedEvent]] = {}

    @classmethod
    def begin(
        cls,
        ledger: Ledger,
        connection: KafkaConnection,
        outs: Sequence[OutTopic],
        *,
        term: int,
        blocked: Mapping[str, int],
    ) -> Self:
        """Take over: first shut out whoever published before, then look how far that one came.

        Args:
            ledger: whose events are published.
            connection: to the brokers.
            outs: the topics.
            term: of the election.
            blocked: for each topic the position of an event that was too large for it.

        Raises:
            KafkaUnusableError, HistoryIsAnotherError, StoreError: it can't go on so.
        """
        brokers = Brokers.connect(connection)
        try:
            topics = [find_topic(brokers, out, before=saved.load(ledger, out.name)) for out in outs]
            transactional_id = f"licensing-ledger-{ledger.ledger_id}"
            producer = Producer.begin(connection, topics, transactional_id=transactional_id)
        except BaseException:
            brokers.close()
            raise
        tenure = cls(ledger, term=term, blocked=blocked, brokers=brokers, producer=producer)
        try:
            tenure._progress = [tenure._go_on(out, topic) for out, topic in zip(outs, topics, strict=True)]
        except BaseException:
            tenure.end()
            raise
        return tenure

    def end(self) -> None:
        """Let go of the brokers."""
        self._brokers.close()
        self._producer.close()

    @property
    def position(self) -> int:
        """Of the last event published to all topics."""
        return min(one.position for one in self._progress)

    # -- where to begin ------------------------------------------------------------------------------------------------

    def _go_on(self, out: OutTopic, topic: Topic) -> Progress:
        before = saved.load(self._ledger, out.name)
        tails = self._brokers.tails(topic)
        begun = beginning.begin(before, topic, tails, reached=out.reached(topic, tails))
        self._check_history(out, before, tails)
        if begun.lost is not None:
            _LOGGER.error("kafka has not all that was published", reason=begun.lost)
        event = self._event_at(begun.position)
        return Progress(
            out=out,
            topic=topic,
            position=begun.position,
            command_id=event.command_id if event else "",
            ends={partition: tail.end - 1 for partition, tail in tails.items()},
        )

    def _check_history(self, out: OutTopic, before: Saved | None, tails: Mapping[int, Tail]) -> None:
        """Hold what was published against the ledger.

        Raises:
            HistoryIsAnotherError: the ledger knows nothing of it.
        """
        head = self._ledger.head().position
        found = [position_found(tail.last) for tail in tails.values() if tail.last is not None]
        position = max([*found, before.position if before else 0])
        if position > head:
            raise _another_history(out, position)
        if before is not None and before.position:
            event = self._event_at(before.position)
            if event is None or event.command_id != before.command_id:
                raise _another_history(out, before.position)
        if isinstance(out, EventsTopic):
            self._check_events(out, tails)

    def _check_events(self, out: EventsTopic, tails: Mapping[int, Tail]) -> None:
        for position, stream, at in out.last_events(tails):
            event = self._event_at(position)
            if event is None or (event.stream, event.recorded_at) != (stream, at):
                raise _another_history(out, position)

    def _event_at(self, position: int) -> RecordedEvent | None:
        found = self._ledger.feed(after=position - 1, limit=1) if position else ()
        return found[0] if found else None

    # -- one turn ------------------------------------------------------------------------------------------------------

    def turn(self) -> bool:
        """Publish the next batch to each topic; false if there was nothing new. After an error this tenure is over.

        Raises:
            PublisherIsFencedError, ElectionIsLostError: somebody else publishes.
            TopicIsNotAsItWasError, KafkaUnusableError, EventIsTooLargeError: Kafka does not take it.
            HistoryIsAnotherError: the ledger went back.
            EventTypeIsUnknownError, StoredEventDisagreesError: the next event can't be read.
            StoreError, LedgerError: the database can't be used now.
        """
        self._read.clear()
        moved = [self._publish_next(one) for one in self._progress]
        if time.monotonic() - self._watermark_at >= WATERMARK_SECONDS:
            self._watermark_at = time.monotonic()
            self._watch()
        return any(moved)

    def _publish_next(self, progress: Progress) -> bool:
        batch = progress.out.due(self._next_batch(progress))
        if not batch:
            return False
        self._send(progress, progress.out.records(batch, progress.topic), batch)
        progress.position, progress.command_id = batch[-1].position, batch[-1].command_id
        self._save(progress)
        return True

    def _next_batch(self, progress: Progress) -> Sequence[RecordedEvent]:
        """The next events; the last one published is read with them, since it must still be the same."""
        after = progress.position
        if after not in self._read:
            self._read[after] = self._feed(after=max(0, after - 1), limit=EVENTS_PER_TRANSACTION)
        batch = self._read[after]
        if after:
            if not batch or (batch[0].position, batch[0].command_id) != (after, progress.command_id):
                raise _another_history(progress.out, after)
            batch = batch[1:]
        blocked = self._blocked.get(progress.topic.name, 0)
        return _before(batch, blocked) if blocked > after else batch

    def _feed(self, *, after: int, limit: int) -> Sequence[RecordedEvent]:
        """The next batch; a smaller one before an event that can't be read, so that all before it is published."""
        while True:
            try:
                return self._ledger.feed(after=after, limit=limit)
            except (EventTypeIsUnknownError, StoredEventDisagreesError):
                # One beside the event that was published already.
                if limit <= 2:  # noqa: PLR2004 -- said above
                    raise
                limit //= 2

    def _send(self, progress: Progress, records: Sequence[Record], batch: Sequence[RecordedEvent]) -> None:
        if not records:
            return
        try:
            progress.acknowledge(self._producer.send(records))
        except RecordIsTooLargeError as error:
            if not isinstance(progress.out, EventsTopic):
                raise KafkaUnusableError(str(error)) from error
            event = batch[error.place]
            raise EventIsTooLargeError(
                topic=progress.topic.name, position=event.position, event_type=event.event.TYPE
            ) from error

    def _save(self, progress: Progress) -> None:
        topic = progress.topic
        is_mine = saved.save(
            self._ledger,
            Saved(
                topic=topic.name,
                topic_id=topic.topic_id,
                partitions=topic.partitions,
                position=progress.position,
                command_id=progress.command_id,
                ends=[progress.ends[partition] for partition in range(topic.partitions)],
                term=self._term,
            ),
        )
        if not is_mine:
            raise ElectionIsLostError

    def _watch(self) -> None:
        """Look whether the topics are still the same, and tell consumers how far they are."""
        for progress in self._progress:
            # That brokers are away is noticed by who writes.
            with contextlib.suppress(KafkaIsAwayError):
                topic = self._brokers.topic(progress.topic.name)
                if topic is None or (topic.topic_id, topic.partitions) != (
                    progress.topic.topic_id,
                    progress.topic.partitions,
                ):
                    raise TopicIsNotAsItWasError(progress.topic.name)
            self._send(progress, progress.out.watermarks(progress.topic, position=progress.position), ())


def _before(batch: Sequence[RecordedEvent], blocked: int) -> Sequence[RecordedEvent]:
    """The appends before an event that was too large, or else the one that it belongs to, to try again."""
    ends = [place for place, one in enumerate(batch, start=1) if one.ends_append]
    before = [place for place in ends if batch[place - 1].position < blocked]
    return batch[: before[-1]] if before else batch[: ends[0]] if ends else batch


def _another_history(out: OutTopic, position: int) -> HistoryIsAnotherError:
    return HistoryIsAnotherError(
        f"The ledger no longer has the event at position {position} that was published to the topic {out.name}: it was"
        f" restored from a backup, or is another one. Name a new topic in {out.setting} and let its readers begin anew."
    )
