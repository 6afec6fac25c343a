"""The queue: whether it is there, keeps what it gets, and gives it to the ledger; and what could not be delivered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from consumers.marketplace.doctor.asking import (
    AskingFailedError,
    Instruments,
    Trouble,
    looked_for,
    needed,
    shown_url,
)
from consumers.marketplace.doctor.findings import Finding, Findings, could_not_look, ok, warning, wrong

RETENTION_SECONDS_MAX: Final = 14 * 86_400
"""SQS's limit."""
WAITING_MAX: Final = 1_000
"""More messages than that wait only if nobody takes them."""
RECEIVES_MIN: Final = 100
"""A message that may come again less often than that is given up while the ledger's database is away."""

_UNKNOWN: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "InvalidAddress"})
_NO_SUCH_RECEIPT: Final = "licensing-ledger-doctor"
_DELETE_REFUSED: Final = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """A queue as SQS describes it.

    Attributes:
        url: by which it is asked.
        attributes: all of SQS's.
    """

    url: str
    attributes: Mapping[str, str]

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.attributes.get("QueueArn", "")

    @property
    def policy(self) -> str | None:
        """Who may do what with it; null if nothing is said."""
        return self.attributes.get("Policy")

    @property
    def retention_seconds(self) -> int:
        """How long it keeps a message."""
        return int(self.attributes.get("MessageRetentionPeriod", "345600"))

    @property
    def waiting(self) -> int:
        """How many messages lie in it, more or less."""
        return int(self.attributes.get("ApproximateNumberOfMessages", "0"))

    @property
    def redrive(self) -> Mapping[str, Any]:
        """Where messages go that came too often; empty if nowhere."""
        told = json.loads(self.attributes.get("RedrivePolicy", "{}"))
        return told if isinstance(told, dict) else {}

    @property
    def receives_max(self) -> int | None:
        """How often a message comes before that; null if it is never given up."""
        found = self.redrive.get("maxReceiveCount")
        return None if found is None else int(found)


def describe(instruments: Instruments, url: str) -> Queue:
    """Ask SQS about a queue.

    Raises:
        AskingFailedError: it does not tell.
    """
    if url in instruments.failures:
        raise instruments.failures[url]
    try:
        answer = instruments.ask(
            "GetQueueAttributes", lambda: instruments.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        )
    except AskingFailedError as error:
        instruments.failures[url] = error
        raise
    return Queue(url=url, attributes={str(name): value for name, value in answer.get("Attributes", {}).items()})


def look_at_queue(instruments: Instruments, url: str) -> Findings:
    """Whether it is there, and gives its messages to the ledger."""
    check = "queue"
    try:
        queue = describe(instruments, url)
    except AskingFailedError as error:
        yield _missing(check, url) if error.code in _UNKNOWN else needed(check, error)
        return
    yield _kept(check, queue)
    yield _received(instruments, queue)
    yield _deleted(instruments, queue)


def look_at_undelivered(instruments: Instruments, url: str) -> Findings:
    """Whether anything was given up."""
    check = "undelivered"
    try:
        queue = describe(instruments, url)
    except AskingFailedError:
        yield could_not_look(check, "The queue itself can't be looked at.")
        return
    arn = queue.redrive.get("deadLetterTargetArn")
    if not isinstance(arn, str):
        told = "The queue has no dead-letter queue."
        yield warning(check, told, "Give it one, as the stack does, so that nothing is lost without a trace.")
        return
    if queue.receives_max is not None and queue.receives_max < RECEIVES_MIN:
        told = f"A message that came {queue.receives_max} times is given up, as when the ledger's database is away."
        yield warning(check, told, "Raise maxReceiveCount of the queue's redrive policy to 1000.")
    # Queues are where they are, so only the name differs.
    beside = f"{queue.url.rpartition('/')[0]}/{arn.rpartition(':')[2]}"
    try:
        undelivered = describe(instruments, beside)
    except AskingFailedError as error:
        yield _missing(check, beside) if error.code in _UNKNOWN else looked_for(check, error)
        return
    if undelivered.waiting:
        told = f"{undelivered.waiting:,} messages in {shown_url(beside)} never reached the ledger."
        ends = f"--source-arn {arn} --destination-arn {queue.arn}"
        command = f"aws sqs start-message-move-task --region {instruments.region} {ends}"
        yield warning(check, told, f"See why, then put them back: {command}")
        return
    yield ok(check, f"Nothing lies in {shown_url(beside)}.")


def _missing(check: str, url: str) -> Finding:
    told = f"There is no queue {shown_url(url)}."
    return wrong(check, told, "Make the stack, or set LEDGER_SQS_QUEUE_URL to what its output Settings says.")


def _kept(check: str, queue: Queue) -> Finding:
    shown = shown_url(queue.url)
    if queue.retention_seconds < RETENTION_SECONDS_MAX:
        told = f"{shown} forgets a message after {queue.retention_seconds / 86_400:.3g} days."
        return warning(check, told, f"Set its MessageRetentionPeriod to {RETENTION_SECONDS_MAX}, which is 14 days.")
    if queue.waiting > WAITING_MAX:
        told = f"{queue.waiting:,} messages wait in {shown}."
        return warning(check, told, "See that the ledger runs, and what its log says of the queue.")
    return ok(check, f"{shown} keeps messages for 14 days; {queue.waiting:,} wait.")


def _received(instruments: Instruments, queue: Queue) -> Finding:
    check = "receiving"
    if queue.receives_max is not None and queue.receives_max < RECEIVES_MIN:
        return could_not_look(check, f"Each look counts, and a message may come only {queue.receives_max} times.")
    try:
        # A message that is seen stays visible to the ledger.
        instruments.ask(
            "ReceiveMessage",
            lambda: instruments.sqs.receive_message(
                QueueUrl=queue.url, MaxNumberOfMessages=1, VisibilityTimeout=0, WaitTimeSeconds=0
            ),
        )
    except AskingFailedError as error:
        return needed(check, error)
    return ok(check, "The ledger may take messages.")


def _deleted(instruments: Instruments, queue: Queue) -> Finding:
    """Delete a message that was never there: what may be done is told before what is there."""
    check = "deleting"
    try:
        instruments.ask(
            "DeleteMessage",
            lambda: instruments.sqs.delete_message(QueueUrl=queue.url, ReceiptHandle=_NO_SUCH_RECEIPT),
        )
    except AskingFailedError as error:
        if error.code in _DELETE_REFUSED:
            return ok(check, "The ledger may delete what it has taken.")
        if error.trouble is Trouble.DENIED:
            return needed(check, error)
        return could_not_look(check, str(error))
    return ok(check, "The ledger may delete what it has taken.")
