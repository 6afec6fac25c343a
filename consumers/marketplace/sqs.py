"""The SQS queue with AWS's messages."""

from typing import TYPE_CHECKING, Final

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from consumers.marketplace.entitlements import code_of
from consumers.marketplace.inbox import Inbox, received
from consumers.marketplace.sources import SourceFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import DeleteMessageBatchRequestEntryTypeDef, MessageTypeDef

BATCH_MAX: Final = 10
"""SQS's limit."""
STORED_AT_ONCE_MAX: Final = 100
"""Of a long queue; each time that some are stored the others who write wait, and they wait for them."""

_LOGGER: Final = structlog.get_logger(__name__)


class SqsQueue:
    """A queue. A message that is not deleted comes again, with the same id."""

    def __init__(self, client: "SQSClient", *, queue_url: str) -> None:
        """Read this queue."""
        self._client = client
        self._queue_url = queue_url

    def take(self, inbox: Inbox, *, wait_seconds: int) -> bool:
        """Take some: stored first, deleted from the queue after; whether there were any.

        Raises:
            SourceFailedError: the queue does not answer; what it gave before comes again.
            LedgerError: the database can't be written.
        """
        messages = list(self.receive(wait_seconds=wait_seconds))
        received_last = len(messages)
        while received_last == BATCH_MAX and len(messages) < STORED_AT_ONCE_MAX:
            more = self.receive(wait_seconds=0)
            received_last = len(more)
            messages += more
        if messages:
            inbox.store([received(message.get("Body", ""), transport_id=message["MessageId"]) for message in messages])
            self.delete(messages)
        return bool(messages)

    def receive(self, *, wait_seconds: int) -> "Sequence[MessageTypeDef]":
        """Some of what lies in the queue.

        Raises:
            SourceFailedError: the queue does not answer.
        """
        try:
            answer = self._client.receive_message(
                QueueUrl=self._queue_url, MaxNumberOfMessages=BATCH_MAX, WaitTimeSeconds=wait_seconds
            )
        except (BotoCoreError, ClientError) as error:
            raise SourceFailedError(_in_words(error)) from error
        return answer.get("Messages", [])

    def delete(self, messages: "Sequence[MessageTypeDef]") -> None:
        """Take these out of the queue.

        Raises:
            SourceFailedError: the queue does not answer; they come again.
        """
        for begin in range(0, len(messages), BATCH_MAX):
            self._delete_batch(messages[begin : begin + BATCH_MAX])

    def _delete_batch(self, messages: "Sequence[MessageTypeDef]") -> None:
        entries: list[DeleteMessageBatchRequestEntryTypeDef] = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)
        ]
        try:
            deleted = self._client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            raise SourceFailedError(_in_words(error)) from error
        for failed in deleted.get("Failed", []):
            # It comes again, and is known then.
            _LOGGER.warning("a message was not deleted from the queue", reason=failed.get("Code"))

    def close(self) -> None:
        """A queue holds nothing back for those who read it."""


def _in_words(error: Exception) -> str:
    if isinstance(error, ClientError):
        return code_of(error)
    return str(error).splitlines()[0] if str(error) else type(error).__name__
