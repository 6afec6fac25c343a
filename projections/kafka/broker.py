"""Kafka's brokers as the publisher uses them. The one module here that imports the client library."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Self, TypeAlias

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, errors
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.net.compat import KafkaNetClient

from projections.kafka import reaching
from projections.kafka.connection import KafkaConnection, KafkaIsAwayError, KafkaUnusableError
from projections.kafka.records import FoundRecord, Record, Tail, Topic

# What it has to say is said here in one line, and it says it again with each attempt.
logging.getLogger("kafka").setLevel(logging.CRITICAL)

Ends: TypeAlias = Mapping[tuple[str, int], int]

_BOOTSTRAP_SECONDS: Final = 10
_REQUEST_SECONDS: Final = 15
# For a change of leaders: a broker that is killed is noticed after 9 s by default.
_DELIVERY_SECONDS: Final = 60
# The brokers undo a transaction that is left open so long.
_TRANSACTION_SECONDS: Final = 90
_READING_SECONDS: Final = 30
# Large, since each batch costs a round trip, and all of them are sent off when a transaction ends.
_BATCH_BYTES: Final = 262_144
_REQUEST_BYTES_MAX: Final = 4_194_304
_LINGER_MILLISECONDS: Final = 100
_TAIL_RECORDS: Final = 100

_FENCED: Final = (errors.ProducerFencedError, errors.InvalidProducerEpochError)
_UNKNOWN_TOPIC: Final = 3
_CLEANUP: Final = "cleanup.policy"
_BATCH_MAX: Final = "max.message.bytes"
# Of a batch itself, and more.
_BATCH_HEAD_BYTES: Final = 200


class PublisherIsFencedError(Exception):
    """Another publisher of this ledger began after this one, or the brokers undid a transaction left open."""

    def __init__(self) -> None:
        """Say what happened."""
        super().__init__("Another publisher took over, or the brokers gave this one up.")


class RecordIsTooLargeError(Exception):
    """The brokers take no record of this size."""

    def __init__(self, place: int, record: Record) -> None:
        """Keep which record it was.

        Args:
            place: among those that were sent together.
            record: the record.
        """
        super().__init__(f"{record.told} is too large for the topic {record.topic}.")
        self.place = place
        self.record = record


class Brokers:
    """For looking at topics: what they are, and where they end."""

    def __init__(self, connection: KafkaConnection, admin: Any, consumer: Any) -> None:  # noqa: ANN401 -- ships no types
        self._connection = connection
        self._admin = admin
        self._consumer = consumer

    @classmethod
    def connect(cls, connection: KafkaConnection) -> Self:
        """Connect to the brokers.

        Raises:
            KafkaIsAwayError: none answers.
            KafkaUnusableError: they can't be used as configured.
        """
        reaching.look(connection)
        admin = make_client(KafkaAdminClient, connection)
        try:
            consumer = make_client(
                KafkaConsumer,
                connection,
                isolation_level="read_committed",
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                auto_offset_reset="earliest",
                metrics_enabled=False,
            )
        except KafkaUnusableError:
            admin.close()
            raise
        return cls(connection, admin, consumer)

    def topic(self, name: str) -> Topic | None:
        """A topic as it is; null if there is none of this name.

        Raises:
            KafkaIsAwayError: no broker answers in time.
            KafkaUnusableError: the topic may not be looked at.
        """
        with _words(self._connection):
            (described,) = self._admin.describe_topics([name])
            code = described["error_code"]
            if code == _UNKNOWN_TOPIC:
                return None
            if code:
                raise errors.for_code(code)(f"topic {name}")
            resource = ConfigResource(ConfigResourceType.TOPIC, name, {_CLEANUP: None, _BATCH_MAX: None})
            described_configs = self._admin.describe_configs([resource], config_filter="all")
            configured = {key: told["value"] for key, told in described_configs.get("topic", {}).get(name, {}).items()}
        return Topic(
            name=name,
            topic_id=str(described.get("topic_id") or ""),
            partitions=len(described["partitions"]),
            cleanup=configured.get(_CLEANUP),
            batch_bytes_max=int(configured[_BATCH_MAX]) if _BATCH_MAX in configured else None,
        )

    def make_topic(self, name: str, *, partitions: int, cleanup: str) -> None:
        """Make a topic with as many replicas as the brokers give by default.

        Raises:
            KafkaIsAwayError: no broker answers in time.
            KafkaUnusableError: this program may not.
        """
        wanted = {name: {"num_partitions": partitions, "configs": {_CLEANUP: cleanup}}}
        with _words(self._connection), contextlib.suppress(errors.TopicAlreadyExistsError):
            self._admin.create_topics(wanted, wait_for_metadata=True)

    def tails(self, topic: Topic) -> Mapping[int, Tail]:
        """Where each partition ends, and its last committed record.

        Raises:
            KafkaIsAwayError: no broker answers in time.
            KafkaUnusableError: the topic may not be read.
        """
        partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
        with _words(self._connection):
            self._consumer.assign(partitions)
            starts = self._consumer.beginning_offsets(partitions)
            ends = self._consumer.end_offsets(partitions)
            last = {one: self._last_record(one, start=starts[one], end=ends[one]) for one in partitions}
        return {one.partition: Tail(end=ends[one], last=last[one]) for one in partitions}

    def _last_record(self, partition: TopicPartition, *, start: int, end: int) -> FoundRecord | None:
        """Further and further back, since marks of transactions and records of undone ones take offsets too."""
        size, begin = _TAIL_RECORDS, end
        while begin > start:
            until, begin = begin, max(start, begin - size)
            found = self._read(partition, begin=begin, end=until)
            if found:
                return found[-1]
            size *= 10
        return None

    def _read(self, partition: TopicPartition, *, begin: int, end: int) -> Sequence[FoundRecord]:
        self._consumer.assign([partition])
        self._consumer.seek(partition, begin)
        found: list[FoundRecord] = []
        still = _READING_SECONDS
        while self._consumer.position(partition) < end:
            polled = self._consumer.poll(timeout_ms=1_000).get(partition, ())
            found += [
                FoundRecord(
                    partition=one.partition, offset=one.offset, key=one.key, value=one.value, headers=list(one.headers)
                )
                for one in polled
                if one.offset < end
            ]
            still = _READING_SECONDS if polled else still - 1
            if still <= 0:
                raise errors.KafkaTimeoutError(f"reading {partition.topic}")
        return found

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
        self._admin.close()


class Producer:
    """Sends records in transactions: all of those sent together or none, and nothing once another producer began.

    After any error it is of no more use: let it go and make another.
    """

    def __init__(self, connection: KafkaConnection, producer: Any) -> None:  # noqa: ANN401 -- ships no types
        self._connection = connection
        self._producer = producer
        self._is_whole = True

    @classmethod
    def begin(cls, connection: KafkaConnection, topics: Iterable[Topic], *, transactional_id: str) -> Self:
        """Take over from whoever sent by this id before: what that one left open is undone, and it can send no more.

        Args:
            connection: to the brokers.
            topics: that it will send to.
            transactional_id: of all publishers that are to shut each other out.

        Raises:
            KafkaIsAwayError: no broker answers in time.
            KafkaUnusableError: the brokers can't be used as configured.
        """
        # Not larger than a topic takes: the library would split it, and then loses its way in a transaction.
        taken = [topic.batch_bytes_max - _BATCH_HEAD_BYTES for topic in topics if topic.batch_bytes_max is not None]
        made = cls(
            connection,
            make_client(
                KafkaProducer,
                connection,
                transactional_id=transactional_id,
                transaction_timeout_ms=_TRANSACTION_SECONDS * 1_000,
                max_block_ms=_DELIVERY_SECONDS * 1_000,
                delivery_timeout_ms=_DELIVERY_SECONDS * 1_000,
                batch_size=max(1, min([_BATCH_BYTES, *taken])),
                max_request_size=_REQUEST_BYTES_MAX,
                linger_ms=_LINGER_MILLISECONDS,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            ),
        )
        try:
            with _words(connection):
                made._call(made._producer.init_transactions)
        except BaseException:
            made._is_whole = False
            made.close()
            raise
        return made

    def send(self, records: Sequence[Record]) -> Ends:
        """Send records, all or none; returns the last offset in each partition that got some.

        Raises:
            PublisherIsFencedError: another producer began by the same id.
            RecordIsTooLargeError: one of them is.
            KafkaIsAwayError: the brokers did not take them in time; whether they have them is not known.
            KafkaUnusableError: the brokers refuse them.
        """
        self._is_whole = False
        with _words(self._connection):
            self._producer.begin_transaction()
            sent = [
                self._producer.send(one.topic, one.value, key=one.key, headers=one.headers, partition=one.partition)
                for one in records
            ]
            self._producer.flush(_DELIVERY_SECONDS)
            _raise_worst(records, sent)
            self._call(self._producer.commit_transaction)
        self._is_whole = True
        # A later record of a partition has the greater offset.
        return {(one.topic, one.partition): future.value.offset for one, future in zip(records, sent, strict=True)}

    def _call(self, step: Callable[[], None]) -> None:
        """Wait for a step of a transaction no longer than it may take: the library would wait for ever."""
        raised: list[BaseException] = []

        def run() -> None:
            try:
                step()
            except BaseException as error:  # noqa: BLE001 -- raised again where it is waited for
                raised.append(error)

        thread = threading.Thread(target=run, name="kafka-transaction", daemon=True)
        thread.start()
        thread.join(_DELIVERY_SECONDS)
        if thread.is_alive():
            raise errors.KafkaTimeoutError("a transaction")
        if raised:
            raise raised[0]

    def close(self) -> None:
        """Let it go. One that failed goes on its own, since its thread may be waiting for a broker that is away."""
        if self._is_whole:
            self._close()
            return
        # What it still has to send must not be waited for, and the library's own `close` does.
        self._producer._sender.force_close()  # noqa: SLF001 -- said above
        threading.Thread(target=self._close, name="kafka-closing", daemon=True).start()

    def _close(self) -> None:
        with contextlib.suppress(errors.KafkaError):
            self._producer.close(timeout=_REQUEST_SECONDS)


def _raise_worst(records: Sequence[Record], sent: Iterable[Any]) -> None:
    """Raise what was wrong with one of the records rather than what that did to the others."""
    failed = [(place, future.exception) for place, future in enumerate(sent) if not future.succeeded()]
    for place, error in failed:
        if isinstance(error, errors.MessageSizeTooLargeError | errors.RecordListTooLargeError):
            raise RecordIsTooLargeError(place, records[place])
    for _, error in failed:
        raise error


def make_client(
    client: Callable[..., Any],
    connection: KafkaConnection,
    *,
    request_seconds: int = _REQUEST_SECONDS,
    **options: Any,  # noqa: ANN401 -- ships no types
) -> Any:  # noqa: ANN401 -- ships no types
    """Make a client of the library; one that does not get in would leave its thread and its sockets behind."""
    made: list[KafkaNetClient] = []

    def network(**configured: Any) -> KafkaNetClient:  # noqa: ANN401 -- ships no types
        made.append(KafkaNetClient(**configured))
        return made[-1]

    try:
        return client(
            **connection.options(),
            **options,
            kafka_client=network,
            client_id="licensing-ledger",
            bootstrap_timeout_ms=_BOOTSTRAP_SECONDS * 1_000,
            request_timeout_ms=request_seconds * 1_000,
            reconnect_backoff_max_ms=1_000,
        )
    except errors.KafkaError as error:
        for one in made:
            one.close()
        raise reaching.not_let_in(connection) from error


@contextlib.contextmanager
def _words(connection: KafkaConnection) -> Iterator[None]:
    """Say what the library's errors mean."""
    try:
        yield
    except _FENCED as error:
        raise PublisherIsFencedError from error
    except errors.AuthorizationError as error:
        raise KafkaUnusableError(
            f"Kafka does not allow the ledger what it needs ({_reason(error)}). It has to describe, read, write and"
            " make its topics, and to write by a transactional id that begins with licensing-ledger-."
        ) from error
    except (errors.UnknownTopicOrPartitionError, errors.UnknownTopicIdError) as error:
        raise KafkaUnusableError("A topic of the ledger was taken away. It has to be made again.") from error
    except errors.RetriableError as error:
        raise KafkaIsAwayError(
            f"The Kafka brokers {connection.shown} do not answer in time ({_reason(error)}). Look whether enough of"
            " them run, for the topics and for transactions."
        ) from error
    except errors.KafkaError as error:
        # The library hands on what made the producer unusable as a second argument.
        if any(isinstance(one, _FENCED) for one in error.args):
            raise PublisherIsFencedError from error
        raise KafkaUnusableError(f"Kafka refuses ({_reason(error)}).") from error
    except (PublisherIsFencedError, RecordIsTooLargeError, KafkaUnusableError):
        raise
    except Exception as error:
        raise KafkaUnusableError(f"The Kafka client failed ({_reason(error)}).") from error


def _reason(error: BaseException) -> str:
    name = type(error).__name__.removesuffix("Error")
    return name if not error.args or error.args[0] is None else f"{name}: {str(error.args[0]).splitlines()[0]}"
