"""The publisher: of all processes one, which sends to Kafka what was appended, in order."""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import structlog

from ledger.envelope import EventTypeIsUnknownError, StoredEventDisagreesError
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.store import StoreError
from projections.kafka import saved
from projections.kafka.broker import Brokers, PublisherIsFencedError
from projections.kafka.cloud_events import PersonalData
from projections.kafka.connection import KafkaConnection, KafkaIsAwayError, KafkaUnusableError
from projections.kafka.tenure import (
    ElectionIsLostError,
    EventIsTooLargeError,
    HistoryIsAnotherError,
    Tenure,
    TopicIsNotAsItWasError,
    find_topic,
)
from projections.kafka.topics import EventsTopic, LicensesTopic, OutTopic
from projections.views import Views

JOB: Final = "kafka"

# SQLite is looked at; PostgreSQL tells, and is looked at all the same.
_LOOK_AGAIN_SECONDS: Final = 0.05
_TOLD_LOOK_AGAIN_SECONDS: Final = 0.25
_NOT_ELECTED_SECONDS: Final = 0.5
_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)

_LOGGER: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PublisherSettings:
    """What the publisher needs to know.

    Attributes:
        connection: to the brokers.
        events_topic: gets every event; null: none does.
        licenses_topic: gets the License Information of each license; null: none does.
        personal: whether personal fields are handed over as they are stored, or are null.
    """

    connection: KafkaConnection
    events_topic: str | None
    licenses_topic: str | None
    personal: PersonalData = "full"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublisherStatus:
    """How far Kafka is behind the ledger.

    Attributes:
        position: of the last event that is known to be published, in the topic that is behind the other.
        head: of the last event of the ledger.
        lag_events: how many events are missing.
        stopped: why it does not go on, in one line; null if it does, or another process does it.
    """

    position: int
    head: int
    lag_events: int
    stopped: str | None = None


class Publisher:
    """Publishes what is appended, while this process is elected to.

    Attributes:
        outs: the topics that it writes.
    """

    def __init__(self, settings: PublisherSettings, ledger: Ledger, outs: Sequence[OutTopic]) -> None:
        """Begin in `run`."""
        self._settings: Final = settings
        self._ledger: Final = ledger
        self.outs: Final = outs
        self._campaign: Final = ledger.campaign(JOB)
        self._blocked: Final[dict[str, int]] = {}
        self._tenure: Tenure | None = None
        self._stopped: str | None = None
        self._failures = 0

    @classmethod
    def open(cls, settings: PublisherSettings, ledger: Ledger, views: Views) -> Self:
        """Look whether the topics can be used, and make those that are missing.

        Brokers that do not answer now are waited for in `run`, and `status` says so.

        Raises:
            KafkaUnusableError: in one line, why not and what to do.
            StoreError: the ledger can't be read.
        """
        outs: list[OutTopic] = []
        if settings.events_topic is not None:
            outs.append(EventsTopic(settings.events_topic, ledger_id=ledger.ledger_id, personal=settings.personal))
        if settings.licenses_topic is not None:
            outs.append(LicensesTopic(settings.licenses_topic, views=views))
        if not outs:
            raise KafkaUnusableError(
                "LEDGER_KAFKA_EVENTS_TOPIC and LEDGER_KAFKA_LICENSES_TOPIC are not set: nothing would be published."
            )
        publisher = cls(settings, ledger, outs)
        publisher._check()
        return publisher

    def _check(self) -> None:
        try:
            brokers = Brokers.connect(self._settings.connection)
            with contextlib.closing(brokers):
                for out in self.outs:
                    topic = find_topic(brokers, out, before=saved.load(self._ledger, out.name))
                    out.reached(topic, brokers.tails(topic))
        except KafkaIsAwayError as error:
            self._stop_for(error)

    def run(self, stop: threading.Event) -> None:
        """Publish until told to stop."""
        appended = threading.Event()
        told = self._ledger.on_append(appended.set)
        look_again = _TOLD_LOOK_AGAIN_SECONDS if told else _LOOK_AGAIN_SECONDS
        while not stop.is_set():
            appended.clear()
            pause = self._go_on()
            if pause is None:
                appended.wait(look_again)
            else:
                stop.wait(pause)
        self._end_tenure()
        with contextlib.suppress(StoreError):
            self._campaign.resign()

    def _go_on(self) -> float | None:
        """One turn; returns how many seconds to pause, null if there is nothing new."""
        try:
            if not self._campaign.holds():
                self._end_tenure()
                self._stopped, self._failures = None, 0
                return _NOT_ELECTED_SECONDS
            moved = self._turn()
        except EventIsTooLargeError as error:
            self._end_tenure()
            known = self._blocked.get(error.topic) == error.position
            self._blocked[error.topic] = error.position
            # What comes before it is published first.
            return self._stop_for(error) if known else 0.0
        except (PublisherIsFencedError, ElectionIsLostError, TopicIsNotAsItWasError) as error:
            self._end_tenure()
            _LOGGER.warning("the publisher begins again", reason=str(error))
            return _PAUSES_SECONDS[0]
        except (
            KafkaUnusableError,
            HistoryIsAnotherError,
            StoreError,
            LedgerError,
            EventTypeIsUnknownError,
            StoredEventDisagreesError,
        ) as error:
            self._end_tenure()
            return self._stop_for(error)
        if self._stopped is not None:
            _LOGGER.info("the publisher goes on")
        self._stopped, self._failures = None, 0
        return 0.0 if moved else None

    def _turn(self) -> bool:
        if self._tenure is None:
            self._tenure = Tenure.begin(
                self._ledger,
                self._settings.connection,
                self.outs,
                term=self._campaign.term,
                blocked=self._blocked,
            )
        return self._tenure.turn()

    def _end_tenure(self) -> None:
        if self._tenure is not None:
            self._tenure.end()
            self._tenure = None

    def _stop_for(self, error: Exception) -> float:
        """Say it once, however often it is tried again; returns how many seconds to pause."""
        words = str(error)
        if words != self._stopped:
            log = _LOGGER.warning if isinstance(error, KafkaIsAwayError | StoreError | LedgerError) else _LOGGER.error
            log("the publisher stops", reason=words)
        self._stopped = words
        pause = _PAUSES_SECONDS[min(self._failures, len(_PAUSES_SECONDS) - 1)]
        self._failures += 1
        return pause

    def status(self) -> PublisherStatus:
        """How far Kafka is behind the ledger, and what stops the publisher.

        Raises:
            StoreError: the ledger can't be read.
        """
        places = [saved.load(self._ledger, out.name) for out in self.outs]
        position = min(place.position if place else 0 for place in places)
        head = self._ledger.head().position
        return PublisherStatus(position=position, head=head, lag_events=max(0, head - position), stopped=self._stopped)
