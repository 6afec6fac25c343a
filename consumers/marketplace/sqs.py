"""The consumer: takes AWS's messages from an SQS queue, and does what is due by itself."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.exc import SQLAlchemyError

from consumers.marketplace.clients import POLL_SECONDS, Clients
from consumers.marketplace.entitlements import code_of
from consumers.marketplace.inbox import Inbox, Received
from consumers.marketplace.observing import Observer, Outcome
from consumers.marketplace.pauses import OUTAGE
from consumers.marketplace.settings import MarketplaceSettings
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.store import StoreError

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import DeleteMessageBatchRequestEntryTypeDef, MessageTypeDef

BATCH_MAX: Final = 10
"""SQS's limit."""
IDLE_SECONDS: Final = 0.5
"""How often it is looked for what is due."""
STOP_SECONDS: Final = 2.0
"""How long a stop waits for a call to AWS; what is cut off is done again by whoever comes next."""

_LOGGER: Final = structlog.get_logger(__name__)


class Consumer:
    """Brings what AWS Marketplace says into the ledger. Several may run beside each other on one ledger and queue."""

    def __init__(
        self, ledger: Ledger, settings: MarketplaceSettings, clients: Clients, *, now: Callable[[], datetime]
    ) -> None:
        """Consume for this ledger; `now` is the clock, aware UTC."""
        self._ledger = ledger
        self._settings = settings
        self._clients = clients
        self._now = now
        self._inbox = Inbox(ledger, settings)
        self._observer = Observer(ledger, settings, clients, now=now)
        self._heard = threading.Event()
        self._outages = 0
        self._aws_rests_until: datetime | None = None
        self._parked_looked_at: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        """Consume until told to stop; returns within a few seconds of that."""
        worker = threading.Thread(target=self._work_until, args=(stop,), name="marketplace-work", daemon=True)
        worker.start()
        try:
            self._receive_until(stop)
        finally:
            self._heard.set()
            worker.join(STOP_SECONDS)

    def run_once(self) -> bool:
        """Take what lies in the queue now and do all that is due; whether there was anything.

        Raises:
            LedgerError: the database can't be written.
        """
        did = self._receive(wait_seconds=0)
        while self._work():
            did = True
        return did

    # -- the queue -----------------------------------------------------------------------------------------------------

    def _receive_until(self, stop: threading.Event) -> None:
        if self._settings.queue_url is None:
            stop.wait()
            return
        _again_until(stop, lambda: self._receive(wait_seconds=POLL_SECONDS), failed="the queue could not be emptied")

    def _receive(self, *, wait_seconds: int) -> bool:
        """Take one batch: stored first, deleted from the queue after; whether there was any."""
        if self._settings.queue_url is None:
            return False
        answer = self._clients.sqs.receive_message(
            QueueUrl=self._settings.queue_url, MaxNumberOfMessages=BATCH_MAX, WaitTimeSeconds=wait_seconds
        )
        messages = answer.get("Messages", [])
        if not messages:
            return False
        self._inbox.store(
            [Received(transport_id=message["MessageId"], body=message.get("Body", "")) for message in messages]
        )
        self._heard.set()
        self._delete(messages, queue_url=self._settings.queue_url)
        return True

    def _delete(self, messages: "Sequence[MessageTypeDef]", *, queue_url: str) -> None:
        entries: list[DeleteMessageBatchRequestEntryTypeDef] = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)
        ]
        deleted = self._clients.sqs.delete_message_batch(QueueUrl=queue_url, Entries=entries)
        for failed in deleted.get("Failed", []):
            # It comes again, and is known then.
            _LOGGER.warning("a message was not deleted from the queue", reason=failed.get("Code"))

    # -- the work ------------------------------------------------------------------------------------------------------

    def _work_until(self, stop: threading.Event) -> None:
        _again_until(stop, lambda: self._work_off(stop), failed="what is due could not be done")

    def _work_off(self, stop: threading.Event) -> None:
        """Do all that is due, then wait for a message, or until it is time to look again."""
        self._heard.clear()
        while self._work():
            if stop.is_set():
                return
        self._heard.wait(IDLE_SECONDS)

    def _work(self) -> bool:
        """One round: what the new messages are about, then one license; whether there was anything."""
        at = self._time()
        settled = self._inbox.settle_new(at=at)
        woken = self._wake_parked(at)
        return self._observe(at) or settled or woken

    def _wake_parked(self, at: datetime) -> bool:
        looked_at = self._parked_looked_at
        if looked_at is not None and at - looked_at < self._settings.recheck:
            return False
        self._parked_looked_at = at
        return self._inbox.wake_parked()

    def _observe(self, at: datetime) -> bool:
        if self._aws_rests_until is not None and at < self._aws_rests_until:
            return False
        outcome = self._observer.observe_next(at=at)
        if outcome is Outcome.NO_ANSWER:
            self._outages += 1
            self._aws_rests_until = at + OUTAGE.after(self._outages)
        elif outcome in {Outcome.OBSERVED, Outcome.NO_OBSERVATION}:
            self._outages = 0
            self._aws_rests_until = None
        return outcome not in {Outcome.NO_ANSWER, Outcome.NOTHING_DUE}

    def _time(self) -> datetime:
        """The time of a decision made now, since due times are told by it: later than all that is recorded."""
        return max(self._now(), self._ledger.head().recorded_at + timedelta(microseconds=1))


def _again_until(stop: threading.Event, turn: Callable[[], object], *, failed: str) -> None:
    """Take one turn after the other until told to stop, with growing pauses while they fail."""
    failures = 0
    while not stop.is_set():
        try:
            turn()
        except (BotoCoreError, ClientError, LedgerError, StoreError, SQLAlchemyError) as error:
            failures += 1
            _LOGGER.warning(failed, reason=_in_words(error), failures=failures)
        except Exception as error:
            failures += 1
            _LOGGER.exception(failed, error=type(error).__name__, failures=failures)
        else:
            failures = 0
            continue
        stop.wait(OUTAGE.after(failures).total_seconds())


def _in_words(error: Exception) -> str:
    if isinstance(error, ClientError):
        return code_of(error)
    return str(error).splitlines()[0] if str(error) else type(error).__name__
