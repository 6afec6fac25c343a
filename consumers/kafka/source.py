"""The topic with AWS's messages, as a source of the consumer."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Self

import structlog

from consumers.kafka.broker import OffsetsAreGoneError, Reader, Writer
from consumers.kafka.records import InRecord, dead_letter, read, without_value
from consumers.kafka.settings import KafkaInSettings
from consumers.marketplace.inbox import Inbox, Received
from consumers.marketplace.messages import NotUnderstood
from consumers.marketplace.sources import SourceFailedError
from ledger.times import system_now
from projections.kafka.connection import KafkaUnusableError

LOOK_SECONDS: Final = 5.0
"""How often it is looked, while nothing comes, whether the topic and the brokers are still there."""

_LOGGER: Final = structlog.get_logger(__name__)


class KafkaSource:
    """A topic. What was stored is known when it comes again, so that each record counts once.

    The offset of a record is committed only when its row of the inbox is durable, and always before more is asked for,
    so that a partition that goes to another process takes nothing with it that is not stored.
    """

    def __init__(self, settings: KafkaInSettings, *, now: Callable[[], datetime]) -> None:
        """Read nothing yet; `now` is the clock, aware UTC."""
        self._settings = settings
        self._now = now
        self._reader: Reader | None = None
        self._writer: Writer | None = None
        self._topic_id: str | None = None
        self._generation = -1
        # Partitions whose offset is known to be one of the topic as it is now.
        self._checked: set[int] = set()
        self._looked_at = 0.0

    @classmethod
    def open(cls, settings: KafkaInSettings, *, now: Callable[[], datetime] = system_now) -> Self:
        """Join the group.

        Args:
            settings: where to read.
            now: the clock, aware UTC.

        Raises:
            KafkaUnusableError: in one line, why it can't be.
        """
        settings.check()
        source = cls(settings, now=now)
        try:
            source._connect()
        except BaseException:
            source.close()
            raise
        return source

    def take(self, inbox: Inbox, *, wait_seconds: int) -> bool:
        """Take one batch: stored first, its offsets committed after; whether there was any.

        Raises:
            SourceFailedError: Kafka can't be used just now.
            LedgerError: the database can't be written.
        """
        try:
            reader = self._connect()
            return self._take(reader, inbox, wait_seconds=wait_seconds)
        except KafkaUnusableError as error:
            # A client that failed once may never come back by itself.
            self.close()
            raise SourceFailedError(str(error)) from error

    def close(self) -> None:
        """Leave the group, so that the others have the partitions at once; never raises."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._drop_writer()

    # -- the connection ------------------------------------------------------------------------------------------------

    def _connect(self) -> Reader:
        settings = self._settings
        if self._reader is None:
            self._reader = Reader.join(settings.connection, topic=settings.messages_topic, group=settings.group)
            self._generation, self._checked = -1, set()
        if self._writer is None and settings.dead_letter_topic is not None:
            self._writer = Writer.connect(settings.connection, topic=settings.dead_letter_topic)
        return self._reader

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # -- taking --------------------------------------------------------------------------------------------------------

    def _take(self, reader: Reader, inbox: Inbox, *, wait_seconds: int) -> bool:
        try:
            records = reader.poll(wait_seconds=wait_seconds)
        except OffsetsAreGoneError as error:
            self._say_gone(reader, error.partitions)
            return True
        if not records and time.monotonic() - self._looked_at < LOOK_SECONDS:
            return False
        # Asked after the records came, so that they are surely not of another topic than that of which it is known.
        topic_id = reader.topic_id()
        self._looked_at = time.monotonic()
        if self._was_recreated(reader, topic_id):
            return True
        ours = self._of_this_topic(reader, records)
        if ours:
            self._store(reader, inbox, [replace(record, topic_id=topic_id) for record in ours])
        return bool(records)

    def _store(self, reader: Reader, inbox: Inbox, records: Sequence[InRecord]) -> None:
        try:
            messages = [read(record) for record in records]
            self._copy_dead(inbox, records, messages)
            inbox.store(messages)
        except BaseException:
            reader.go_back(_firsts(records))
            raise
        if not reader.commit(_nexts(records), topic_id=self._topic_id):
            _LOGGER.info("the partitions are another process's by now, which finds the messages stored")

    def _copy_dead(self, inbox: Inbox, records: Sequence[InRecord], messages: Sequence[Received]) -> None:
        """Copy to the dead-letter topic what can't be understood and is not stored yet, before it is."""
        topic, writer = self._settings.dead_letter_topic, self._writer
        dead = {
            message.message_id: (record, message.parsed.reason)
            for record, message in zip(records, messages, strict=True)
            if isinstance(message.parsed, NotUnderstood)
        }
        if not dead or topic is None or writer is None:
            return
        known = inbox.known(list(dead))
        letters = [
            dead_letter(record, reason=reason, at=self._now())
            for message_id, (record, reason) in dead.items()
            if message_id not in known
        ]
        taken = writer.write(topic, letters)
        too_large = [without_value(letter) for letter, was_taken in zip(letters, taken, strict=True) if not was_taken]
        if not all(writer.write(topic, too_large)):
            _LOGGER.error("a dead letter is too large for its topic, even without its message", topic=topic)

    # -- a topic that is not what it was -------------------------------------------------------------------------------

    def _was_recreated(self, reader: Reader, topic_id: str | None) -> bool:
        before, self._topic_id = self._topic_id, topic_id
        if before is None or before == topic_id:
            return False
        _LOGGER.error(
            "the messages topic was deleted and made again: it is read from its beginning",
            topic=self._settings.messages_topic,
            topic_id_before=before,
            topic_id=topic_id,
        )
        assigned = reader.assigned()
        reader.begin_anew(assigned)
        self._generation, self._checked = reader.generation, set(assigned)
        return True

    def _of_this_topic(self, reader: Reader, records: Sequence[InRecord]) -> Sequence[InRecord]:
        """Without those that lie behind an offset that was committed for an earlier topic of the same name."""
        if self._generation != reader.generation:
            self._generation, self._checked = reader.generation, set()
        unchecked = {record.partition for record in records} - self._checked
        committed = reader.committed(unchecked)
        of_another = {
            number
            for number, told in committed.items()
            if told.topic_id and self._topic_id and told.topic_id != self._topic_id
        }
        if of_another:
            _LOGGER.error(
                "the messages topic was deleted and made again since it was read last: it is read from its beginning",
                topic=self._settings.messages_topic,
                partitions=sorted(of_another),
            )
            reader.begin_anew(of_another)
        self._checked |= unchecked
        return [record for record in records if record.partition not in of_another]

    def _say_gone(self, reader: Reader, partitions: Collection[int]) -> None:
        # One line, and the right one, where the topic itself is another.
        if self._was_recreated(reader, reader.topic_id()):
            return
        _LOGGER.error(
            "messages are not in the topic any more that were to be read next: deleted by its retention, or lost by a"
            " broker. It is read from its beginning; what was stored adds nothing",
            topic=self._settings.messages_topic,
            partitions=list(partitions),
        )


def _firsts(records: Sequence[InRecord]) -> Mapping[int, int]:
    return {record.partition: record.offset for record in reversed(records)}


def _nexts(records: Sequence[InRecord]) -> Mapping[int, int]:
    return {record.partition: record.offset + 1 for record in records}
