"""Forwarding: what lies in the SQS queue is brought to the messages topic, as it is."""

import threading
from typing import TYPE_CHECKING, Final, Self

import structlog

from consumers.kafka.broker import Writer
from consumers.kafka.records import OutRecord, forwarded
from consumers.kafka.settings import KafkaInSettings
from consumers.marketplace.clients import POLL_SECONDS
from consumers.marketplace.messages import parse
from consumers.marketplace.sources import SourceFailedError
from consumers.marketplace.sqs import SqsQueue
from consumers.marketplace.turns import again_until
from projections.kafka.connection import KafkaUnusableError

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_LOGGER: Final = structlog.get_logger(__name__)


class Forwarder:
    """Brings messages from the queue to the topic, each at least once. It needs no ledger; several may run."""

    def __init__(self, settings: KafkaInSettings, queue: SqsQueue) -> None:
        """Take from this queue."""
        self._settings = settings
        self._queue = queue
        self._writer: Writer | None = None

    @classmethod
    def open(cls, settings: KafkaInSettings, queue: SqsQueue) -> Self:
        """Connect.

        Raises:
            KafkaUnusableError: in one line, why it can't be.
        """
        forwarder = cls(settings, queue)
        forwarder._connect()
        return forwarder

    def run(self, stop: threading.Event) -> None:
        """Forward until told to stop; returns within a few seconds of that."""
        try:
            again_until(
                stop,
                lambda: self.forward(wait_seconds=POLL_SECONDS),
                failed="messages could not be brought from the queue to the topic",
            )
        finally:
            self.close()

    def forward(self, *, wait_seconds: int) -> bool:
        """Bring one batch over: deleted from the queue when the topic has it; whether there was any.

        Raises:
            SourceFailedError: the queue or the topic can't be used just now; what was not deleted comes again.
        """
        messages = self._queue.receive(wait_seconds=wait_seconds)
        if not messages:
            return False
        try:
            taken = self._connect().write(self._settings.messages_topic, [_record(message) for message in messages])
        except KafkaUnusableError as error:
            self.close()
            raise SourceFailedError(str(error)) from error
        for message, was_taken in zip(messages, taken, strict=True):
            if not was_taken:
                _LOGGER.error(
                    "a message is too large for the topic and stays in the queue",
                    message_id=message["MessageId"],
                    topic=self._settings.messages_topic,
                )
        self._queue.delete([message for message, was_taken in zip(messages, taken, strict=True) if was_taken])
        return True

    def close(self) -> None:
        """Disconnect; never raises."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _connect(self) -> Writer:
        if self._writer is None:
            self._writer = Writer.connect(self._settings.connection, topic=self._settings.messages_topic)
        return self._writer


def _record(message: "MessageTypeDef") -> OutRecord:
    message_id, body = message["MessageId"], message.get("Body", "")
    return forwarded(body, parse(body, transport_id=message_id), message_id=message_id)
