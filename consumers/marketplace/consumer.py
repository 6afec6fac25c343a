"""The consumer: takes AWS's messages from where they come, and does what is due by itself."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from consumers.marketplace.backlog import Backlog
from consumers.marketplace.budget import READINGS_PER_SECOND, Priority, ReadingsBudget
from consumers.marketplace.clients import POLL_SECONDS, Clients
from consumers.marketplace.inbox import SETTLED_AT_ONCE, Inbox
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.observing import Observer, Outcome
from consumers.marketplace.origin.verifying import Verifier
from consumers.marketplace.pauses import OUTAGE
from consumers.marketplace.reconcile.reconciler import Reconciler, Step
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.sources import Source
from consumers.marketplace.sqs import SqsQueue
from consumers.marketplace.turns import again_until
from consumers.marketplace.upkeep import Upkeep
from ledger.ledger import Ledger
from ledger.store import StoreError
from ledger.transaction import Work
from ledger.writer import SYSTEM_CALLER

JOB: Final = "marketplace"
"""The job of reading AWS, which one process does for all."""
IDLE_SECONDS: Final = 0.5
"""How often it is looked for what is due."""
SETTLED_IN_A_ROW_MAX: Final = 100
"""How many portions of new messages are worked off before a license is read."""
STOP_SECONDS: Final = 2.0
"""How long a stop waits for a call to AWS; what is cut off is done again by whoever comes next."""

_LOGGER: Final = structlog.get_logger(__name__)


class Consumer:
    """Brings what AWS Marketplace says into the ledger.

    Any number may run beside each other on one ledger. All of them fill the inbox; the elected one works it off and
    reads AWS, so that AWS's budget is one process's.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: MarketplaceSettings,
        clients: Clients,
        *,
        now: Callable[[], datetime],
        source: Source | None = None,
        readings_per_second: float = READINGS_PER_SECOND,
    ) -> None:
        """Consume for this ledger.

        Args:
            ledger: where to.
            settings: what is sold.
            clients: by which AWS is asked.
            now: the clock, aware UTC.
            source: where messages come from; null is the queue of the settings, if they name one.
            readings_per_second: how many calls are made to AWS at most.
        """
        self._ledger = ledger
        self._settings = settings
        self._source = source or _queue_of(settings, clients)
        self._campaign = ledger.campaign(JOB)
        self._upkeep = Upkeep(ledger, retention=settings.inbox_retention)
        self._verifier = Verifier(ledger, settings, clients.certificates)
        budget = ReadingsBudget(self._campaign, readings_per_second)
        lineages = Lineages(ledger, clients, budget=ReadingsBudget(self._campaign, readings_per_second), now=now)
        self._observer = Observer(ledger, settings, clients, budget=budget, lineages=lineages, now=now)
        self._inbox = Inbox(
            ledger,
            settings,
            lineages,
            observe=lambda license_id, cause: self._observer.observe(license_id, cause=cause) is not Outcome.NO_ANSWER,
        )
        self._reconciler = Reconciler(ledger, settings, clients, budget=budget, now=now)
        self._backlog = Backlog()
        self._heard = threading.Event()
        self._outages = 0
        self._aws_rests_until: datetime | None = None
        self._parked_looked_at: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        """Consume until told to stop; returns within a few seconds of that."""
        self._verifier.announce()
        worker = threading.Thread(target=self._work_until, args=(stop,), name="marketplace-work", daemon=True)
        fetcher = threading.Thread(
            target=self._verifier.fetch_until,
            args=(stop,),
            kwargs={"fetched": self._heard.set},
            name="marketplace-certificates",
            daemon=True,
        )
        worker.start()
        fetcher.start()
        try:
            self._take_until(stop)
        finally:
            self._heard.set()
            self._verifier.wake()
            worker.join(STOP_SECONDS)
            fetcher.join(STOP_SECONDS)
            if self._source is not None:
                self._source.close()

    def run_once(self) -> bool:
        """Take what lies at the source now and, if elected, do all that is due; whether there was anything.

        Raises:
            SourceFailedError: the source does not answer.
            LedgerError: the database can't be written.
        """
        did = self._take(wait_seconds=0)
        while self._work() or self._verifier.fetch_wanted():
            did = True
        return did

    def stand_back(self) -> None:
        """Let another process have the readings at once.

        Raises:
            StoreError: it has them when the lease has run out.
        """
        self._campaign.resign()

    # -- the source ----------------------------------------------------------------------------------------------------

    def _take_until(self, stop: threading.Event) -> None:
        if self._source is None:
            stop.wait()
            return
        again_until(stop, self._take_in_turn, failed="messages could not be taken")

    def _take_in_turn(self) -> bool:
        took = self._take(wait_seconds=POLL_SECONDS)
        self._backlog.note(took=took)
        return took

    def _take(self, *, wait_seconds: int) -> bool:
        took = self._source is not None and self._source.take(self._inbox, wait_seconds=wait_seconds)
        if took:
            self._heard.set()
        return took

    # -- the work ------------------------------------------------------------------------------------------------------

    def _work_until(self, stop: threading.Event) -> None:
        again_until(stop, lambda: self._work_off(stop), failed="what is due could not be done")
        try:
            self.stand_back()
        except StoreError as error:
            _LOGGER.info("another process takes over when the lease has run out", reason=str(error))

    def _work_off(self, stop: threading.Event) -> None:
        """Do all that is due, then wait for a message, or until it is time to look again."""
        self._heard.clear()
        while self._work():
            if stop.is_set():
                return
        self._heard.wait(IDLE_SECONDS)

    def _work(self) -> bool:
        """One round: what the new messages are about, then one license, or else one step of a reconciliation.

        Returns whether there was anything.
        """
        if not self._campaign.holds():
            return False
        at = self._time()
        self._upkeep.work(at=at)
        settled = self._settle(at)
        woken = self._wake_parked(at)
        if self._backlog.holds():
            return self._observe(at, up_to=Priority.REGISTRATION) or settled or woken
        return self._observe(at, up_to=Priority.SWEEP) or settled or woken or self._reconcile(at)

    def _settle(self, at: datetime) -> bool:
        """Work off the new messages, many before a license is read: a reading comes after all that tell of it."""
        settled = self._verifier.verify_new(at=at)
        for _ in range(SETTLED_IN_A_ROW_MAX):
            looked_at = self._inbox.settle_new(at=at)
            settled = settled or looked_at > 0
            if looked_at < SETTLED_AT_ONCE:
                break
        return settled

    def _wake_parked(self, at: datetime) -> bool:
        looked_at = self._parked_looked_at
        if looked_at is not None and at - looked_at < self._settings.recheck:
            return False
        self._parked_looked_at = at
        return self._inbox.wake_parked()

    def _observe(self, at: datetime, *, up_to: Priority) -> bool:
        if self._aws_rests(at):
            return False
        outcome = self._observer.observe_next(at=at, up_to=up_to)
        if outcome is not Outcome.NOTHING_DUE and outcome is not Outcome.SUPERSEDED:
            self._note_answer(at, answered=outcome is not Outcome.NO_ANSWER)
        return outcome not in {Outcome.NO_ANSWER, Outcome.NOTHING_DUE}

    def _reconcile(self, at: datetime) -> bool:
        """One step of a reconciliation, when nothing else is due."""
        if self._aws_rests(at):
            return False
        step = self._reconciler.step(at=at)
        if step is not Step.NOTHING_DUE:
            self._note_answer(at, answered=step is not Step.NO_ANSWER)
        return step is Step.DONE

    def _aws_rests(self, at: datetime) -> bool:
        return self._aws_rests_until is not None and at < self._aws_rests_until

    def _note_answer(self, at: datetime, *, answered: bool) -> None:
        self._outages = 0 if answered else self._outages + 1
        self._aws_rests_until = None if answered else at + OUTAGE.after(self._outages)

    def _time(self) -> datetime:
        """The time of a decision made now, since due times are told by it: on PostgreSQL the database's."""
        return self._ledger.submit(_TIME)


_TIME: Final = Work(decide=lambda transaction: transaction.at, caller=SYSTEM_CALLER, only_asks=True)


def _queue_of(settings: MarketplaceSettings, clients: Clients) -> SqsQueue | None:
    return None if settings.queue_url is None else SqsQueue(clients.sqs, queue_url=settings.queue_url)
