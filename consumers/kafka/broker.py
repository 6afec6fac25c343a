"""Kafka's brokers as the consumers use them. The one module here that imports the client library."""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, errors
from kafka.structs import OffsetAndMetadata

from consumers.kafka.records import InRecord, OutRecord
from projections.kafka import reaching
from projections.kafka.broker import make_client
from projections.kafka.connection import KafkaConnection, KafkaIsAwayError, KafkaUnusableError

# What it has to say is said by those who call it, in one line; it says it again with each attempt.
logging.getLogger("kafka").setLevel(logging.CRITICAL)

RECORDS_MAX: Final = 500
"""How many records are taken at once."""

_REQUEST_SECONDS: Final = 10
_COMMIT_SECONDS: Final = 10
# In less, the partitions can't be shared out.
_POLL_SECONDS_MIN: Final = 0.3
_CLOSE_SECONDS: Final = 3
# A process that was killed holds its partitions for so long.
_SESSION_SECONDS: Final = 10
_HEARTBEAT_SECONDS: Final = 3
_DELIVERY_SECONDS: Final = 20
# Whatever the topic takes is for its broker to say.
_REQUEST_BYTES_MAX: Final = 64 * 1_048_576
_UNKNOWN_TOPIC: Final = 3
# Others have the partitions by now, and read from where was committed before.
_NOT_OURS_ANY_MORE: Final = (
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.RebalanceInProgressError,
    errors.UnknownMemberIdError,
)
_TOO_LARGE: Final = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)


class OffsetsAreGoneError(Exception):
    """What was to be read next is not in the topic any more; it is read from its beginning."""

    def __init__(self, partitions: Collection[int]) -> None:
        """Keep where."""
        super().__init__(f"partitions {sorted(partitions)}")
        self.partitions = sorted(partitions)


@dataclass(frozen=True, kw_only=True, slots=True)
class Committed:
    """Up to where a partition was read.

    Attributes:
        offset: of the next record.
        topic_id: of the topic that was read.
    """

    offset: int
    topic_id: str


class Reader:
    """One member of the group that reads a topic. For one thread."""

    def __init__(self, connection: KafkaConnection, topic: str, *, admin: Any, consumer: Any) -> None:  # noqa: ANN401 -- ships no types
        self._connection = connection
        self._topic = topic
        self._admin = admin
        self._consumer = consumer

    @classmethod
    def join(cls, connection: KafkaConnection, *, topic: str, group: str) -> Self:
        """Join a group.

        Raises:
            KafkaIsAwayError: no broker answers.
            KafkaUnusableError: the brokers or the topic can't be used.
        """
        reaching.look(connection)
        admin = _make(KafkaAdminClient, connection)
        try:
            consumer = _make(
                KafkaConsumer,
                connection,
                group_id=group,
                enable_auto_commit=False,
                # Where to begin is decided here, and said.
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                isolation_level="read_committed",
                max_poll_records=RECORDS_MAX,
                session_timeout_ms=_SESSION_SECONDS * 1_000,
                heartbeat_interval_ms=_HEARTBEAT_SECONDS * 1_000,
                metrics_enabled=False,
            )
        except KafkaUnusableError:
            admin.close()
            raise
        made = cls(connection, topic, admin=admin, consumer=consumer)
        try:
            made.topic_id()
            with _words(connection):
                consumer.subscribe([topic])
        except BaseException:
            made.close()
            raise
        return made

    def topic_id(self) -> str | None:
        """Tells the topic from an earlier one of the same name; null from brokers older than Kafka 2.8.

        Raises:
            KafkaIsAwayError: no broker answers.
            KafkaUnusableError: there is no such topic, or it may not be looked at.
        """
        return _topic_id(self._admin, self._connection, self._topic)

    def poll(self, *, wait_seconds: float) -> Sequence[InRecord]:
        """The records that come next, those of each partition in order; `topic_id` is not filled in.

        Raises:
            OffsetsAreGoneError: some of them are not there any more; call it again.
            KafkaUnusableError: they can't be had.
        """
        try:
            with _words(self._connection):
                polled = self._consumer.poll(timeout_ms=int(max(wait_seconds, _POLL_SECONDS_MIN) * 1_000))
        except _NothingCommittedError as error:
            self._consumer.seek_to_beginning(*error.partitions)
            return ()
        except _OffsetsAreLostError as error:
            self._consumer.seek_to_beginning(*error.partitions)
            raise OffsetsAreGoneError([one.partition for one in error.partitions]) from error
        return [_read(record) for records in polled.values() for record in records]

    @property
    def generation(self) -> int:
        """Another number after each sharing out of the partitions."""
        number: int = self._consumer.group_metadata().generation_id
        return number

    def assigned(self) -> set[int]:
        """The partitions that are this member's."""
        return {one.partition for one in self._consumer.assignment() or ()}

    def committed(self, partitions: Collection[int]) -> Mapping[int, Committed]:
        """Up to where these partitions were read, as far as it is known.

        Raises:
            KafkaUnusableError: it can't be found out.
        """
        found: dict[int, Committed] = {}
        with _words(self._connection):
            for number in partitions:
                partition = TopicPartition(self._topic, number)
                told = self._consumer.committed(partition, metadata=True, timeout_ms=_REQUEST_SECONDS * 1_000)
                if told is not None:
                    found[number] = Committed(offset=told.offset, topic_id=told.metadata or "")
        return found

    def commit(self, offsets: Mapping[int, int], *, topic_id: str | None) -> bool:
        """Say up to where was read; false if the partitions are another member's by now.

        Args:
            offsets: of the next record, by partition.
            topic_id: of the topic that was read.

        Raises:
            KafkaUnusableError: it can't be said.
        """
        told = {
            TopicPartition(self._topic, number): OffsetAndMetadata(offset, topic_id or "", -1)
            for number, offset in offsets.items()
        }
        try:
            with _words(self._connection):
                self._consumer.commit(told, timeout_ms=_COMMIT_SECONDS * 1_000)
        except _PartitionsAreAnothersError:
            return False
        return True

    def go_back(self, offsets: Mapping[int, int]) -> None:
        """Read again from these offsets on, where the partitions are still this member's."""
        assigned = self.assigned()
        for number, offset in offsets.items():
            if number in assigned:
                self._consumer.seek(TopicPartition(self._topic, number), offset)

    def begin_anew(self, partitions: Collection[int]) -> None:
        """Read these partitions from their beginning."""
        ours = self.assigned().intersection(partitions)
        if ours:
            self._consumer.seek_to_beginning(*(TopicPartition(self._topic, number) for number in ours))

    def close(self) -> None:
        """Leave the group, so that others have the partitions at once; never raises."""
        with contextlib.suppress(Exception):
            self._consumer.close(autocommit=False, timeout_ms=_CLOSE_SECONDS * 1_000)
        with contextlib.suppress(Exception):
            self._admin.close()


class Writer:
    """Writes records, each at least once, in the order of each key. For one thread."""

    def __init__(self, connection: KafkaConnection, producer: Any) -> None:  # noqa: ANN401 -- ships no types
        self._connection = connection
        self._producer = producer

    @classmethod
    def connect(cls, connection: KafkaConnection, *, topic: str) -> Self:
        """Connect, and see that there is such a topic.

        Raises:
            KafkaIsAwayError: no broker answers.
            KafkaUnusableError: the brokers or the topic can't be used.
        """
        reaching.look(connection)
        admin = _make(KafkaAdminClient, connection)
        try:
            _topic_id(admin, connection, topic)
        finally:
            admin.close()
        producer = _make(
            KafkaProducer,
            connection,
            acks="all",
            # A record that is refused would make an idempotent producer useless; twice is as good as once here.
            enable_idempotence=False,
            max_in_flight_requests_per_connection=1,
            allow_auto_create_topics=False,
            max_request_size=_REQUEST_BYTES_MAX,
            max_block_ms=_REQUEST_SECONDS * 1_000,
            delivery_timeout_ms=_DELIVERY_SECONDS * 1_000,
            metrics_enabled=False,
        )
        return cls(connection, producer)

    def write(self, topic: str, records: Sequence[OutRecord]) -> Sequence[bool]:
        """Write records; returns when all replicas that are in sync have them. False stands for one that is too large.

        Raises:
            KafkaIsAwayError: the brokers did not take them in time; some of them may be there.
            KafkaUnusableError: the brokers refuse them.
        """
        taken = self._write(topic, records)
        # Those that shared a batch with one that is too large were refused with it.
        return [one or self._write(topic, [record])[0] for one, record in zip(taken, records, strict=True)]

    def _write(self, topic: str, records: Sequence[OutRecord]) -> Sequence[bool]:
        with _words(self._connection):
            sent = [
                self._producer.send(topic, record.value, key=record.key, headers=list(record.headers))
                for record in records
            ]
            self._producer.flush(_DELIVERY_SECONDS + _REQUEST_SECONDS)
            return [self._was_taken(future) for future in sent]

    @staticmethod
    def _was_taken(future: Any) -> bool:  # noqa: ANN401 -- ships no types
        if future.succeeded():
            return True
        error = future.exception or errors.KafkaTimeoutError("a record")
        if isinstance(error, _TOO_LARGE):
            return False
        raise error

    def close(self) -> None:
        """Let it go; never raises."""
        with contextlib.suppress(Exception):
            self._producer.close(timeout=_CLOSE_SECONDS)


def _topic_id(admin: Any, connection: KafkaConnection, topic: str) -> str | None:  # noqa: ANN401 -- ships no types
    with _words(connection):
        (described,) = admin.describe_topics([topic])
        code = described["error_code"]
        if code == _UNKNOWN_TOPIC:
            raise KafkaUnusableError(f"Kafka has no topic {topic}. Make it, or set another name.")
        if code:
            raise errors.for_code(code)(f"topic {topic}")
        return str(described.get("topic_id") or "") or None


def _read(record: Any) -> InRecord:  # noqa: ANN401 -- ships no types
    return InRecord(
        topic=record.topic,
        topic_id=None,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


def _make(client: Callable[..., Any], connection: KafkaConnection, **options: Any) -> Any:  # noqa: ANN401 -- ships no types
    return make_client(client, connection, request_seconds=_REQUEST_SECONDS, **options)


class _NothingCommittedError(Exception):
    def __init__(self, partitions: Collection[TopicPartition]) -> None:
        super().__init__()
        self.partitions = partitions


class _OffsetsAreLostError(Exception):
    def __init__(self, partitions: Collection[TopicPartition]) -> None:
        super().__init__()
        self.partitions = partitions


class _PartitionsAreAnothersError(Exception):
    pass


@contextlib.contextmanager
def _words(connection: KafkaConnection) -> Iterator[None]:
    """Say what the library's errors mean."""
    try:
        yield
    except errors.NoOffsetForPartitionError as error:
        raise _NothingCommittedError(error.args[0]) from error
    except errors.OffsetOutOfRangeError as error:
        raise _OffsetsAreLostError(list(error.args[0])) from error
    except errors.LogTruncationError as error:
        raise _OffsetsAreLostError(list(error.divergent_offsets)) from error
    except _NOT_OURS_ANY_MORE as error:
        raise _PartitionsAreAnothersError from error
    except errors.AuthorizationError as error:
        raise KafkaUnusableError(
            f"Kafka does not allow the ledger what it needs ({_reason(error)}). It has to describe and read its"
            " messages topic, to read as its group, and to describe and write its dead-letter topic."
        ) from error
    except errors.RetriableError as error:
        raise KafkaIsAwayError(
            f"The Kafka brokers {connection.shown} do not answer in time ({_reason(error)}). Look whether enough of"
            " them run."
        ) from error
    except errors.KafkaError as error:
        raise KafkaUnusableError(f"Kafka refuses ({_reason(error)}).") from error
    except KafkaUnusableError:
        raise
    except Exception as error:
        raise KafkaUnusableError(f"The Kafka client failed ({_reason(error)}).") from error


def _reason(error: BaseException) -> str:
    name = type(error).__name__.removesuffix("Error")
    return name if not error.args or error.args[0] is None else f"{name}: {str(error.args[0]).splitlines()[0]}"
