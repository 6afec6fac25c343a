"""A ledger whose events are published to a real Kafka, and a reader who follows the rule of docs/kafka.md."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from kafka import KafkaConsumer, TopicPartition

from ledger.envelope import RecordedEvent
from ledger.ids import random_id
from ledger.ledger import Ledger, LedgerSettings
from ledger.license import decisions, events
from ledger.license.events import KeyKind, LicenseId, Personal, SeatId
from ledger.store.url import DatabaseUrl
from ledger.transaction import Transaction, Work
from projections.kafka import METADATA, KafkaConnection, Publisher, PublisherSettings
from projections.license_information.information import LicenseInformation
from projections.views import Views, ViewsSettings
from tests.services.kafka import KafkaCluster
from tests.stories import CLIENT, MARKETPLACE, NOON, PRODUCT_CODE, RENEWS_AT

PARTITIONS: Final = 3
_SOON_SECONDS: Final = 60
_NOT_SENT: Final = {"status", "usable_until", "as_of", "holder", "products"}


def wait_until(come_true: Callable[[], bool], *, seconds: float = _SOON_SECONDS, what: str = "it") -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it did not come true.
    """
    until = time.monotonic() + seconds
    while not come_true():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.02)


def open_ledger(url: DatabaseUrl) -> Ledger:
    """The ledger with the publisher's row in it."""
    return Ledger.open(LedgerSettings(url=url, readers_max=4), tables=[METADATA])


def open_views(url: DatabaseUrl, ledger: Ledger) -> Views:
    """The views beside an SQLite file, or in the same PostgreSQL database."""
    beside = url if url.sqlite_path is None else DatabaseUrl.of_file(url.sqlite_path.with_suffix(".views.db"))
    return Views.open(ViewsSettings(url=beside, readers_max=4), ledger)


@dataclass(kw_only=True)
class Reader:
    """Reads a topic from its beginning and takes each event once, by the rule of docs/kafka.md.

    Attributes:
        events: those that were taken, by partition, as they were sent.
        watermarks: the greatest of each partition.
        dropped: how many came again.
        latest: the last value of each key.
    """

    events: dict[int, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    watermarks: dict[int, int] = field(default_factory=dict)
    dropped: int = 0
    latest: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, bootstrap: str, topic: str, *, isolation_level: str = "read_committed") -> Self:
        """Read all that is there now."""
        reader, taken = cls(), dict[int, int]()
        for partition, key, kind, value in _records(bootstrap, topic, isolation_level):
            told = json.loads(value)
            if kind == b"watermark":
                taken[partition] = max(taken.get(partition, 0), told["position"])
                reader.watermarks[partition] = taken[partition]
                continue
            assert key is not None
            reader.latest[key.decode()] = told
            position = int(told.get("id", told.get("position")))
            if "id" in told and position <= taken.get(partition, 0):
                reader.dropped += 1
                continue
            taken[partition] = position
            reader.events[partition].append(told)
        return reader

    @property
    def by_stream(self) -> dict[str, list[int]]:
        """The versions of each stream in the order in which they were taken."""
        versions: dict[str, list[int]] = defaultdict(list)
        for taken in self.events.values():
            for one in taken:
                versions[one["subject"]].append(one["streamversion"])
        return versions

    @property
    def positions(self) -> list[int]:
        """Of all that was taken, sorted."""
        return sorted(int(one["id"]) for taken in self.events.values() for one in taken)


def _records(
    bootstrap: str, topic: str, isolation_level: str
) -> Iterator[tuple[int, bytes | None, bytes | None, bytes]]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level=isolation_level,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        metrics_enabled=False,
        max_poll_records=5_000,
    )
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        consumer.seek_to_beginning()
        while any(consumer.position(one) < ends[one] for one in partitions):
            for partition, found in consumer.poll(timeout_ms=500).items():
                for one in found:
                    yield partition.partition, one.key, dict(one.headers).get("kind"), one.value
    finally:
        consumer.close()


@dataclass(kw_only=True)
class Stage:
    """A ledger, its views, and two topics of its own."""

    cluster: KafkaCluster
    url: DatabaseUrl
    ledger: Ledger
    views: Views
    settings: PublisherSettings
    licenses: list[LicenseId] = field(default_factory=list)

    @property
    def events_topic(self) -> str:
        """Where the events go."""
        assert self.settings.events_topic is not None
        return self.settings.events_topic

    @property
    def licenses_topic(self) -> str:
        """Where the licenses go."""
        assert self.settings.licenses_topic is not None
        return self.settings.licenses_topic

    def make_topics(self, *, partitions: int = PARTITIONS) -> None:
        """As an operator does."""
        self.cluster.create_topic(self.events_topic, partitions=partitions)
        self.cluster.create_topic(self.licenses_topic, partitions=partitions, configs={"cleanup.policy": "compact"})

    def buy(self, count: int) -> None:
        """Companies buy licenses with many seats."""
        for _ in range(count):
            license_id = LicenseId(random_id())
            self.licenses.append(license_id)
            names = ((KeyKind.AGREEMENT, f"agmt-{license_id}"),)

            def decide(
                transaction: Transaction,
                license_id: LicenseId = license_id,
                names: Sequence[tuple[KeyKind, str]] = names,
            ) -> None:
                before = transaction.any_license(license_id)
                issued = decisions.issue_license(before, product_code=PRODUCT_CODE, names=names)
                license_ = transaction.append(license_id, issued)
                observed = decisions.observe_subscription(
                    license_, seats_max=1_000_000, renews_at=RENEWS_AT, confirmed=True
                )
                transaction.append(license_id, observed)

            self.ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,), keys=names))

    def sign_in(self, users: int, *, at_once: int = 50) -> None:
        """So many users take seats, by turns of the licenses, some in one decision."""
        for begin in range(0, users, at_once):
            license_id = self.licenses[begin // at_once % len(self.licenses)]
            taken = [_activation() for _ in range(min(at_once, users - begin))]

            def decide(
                transaction: Transaction,
                license_id: LicenseId = license_id,
                taken: Sequence[events.SeatActivated] = taken,
            ) -> None:
                transaction.append(license_id, taken)

            self.ledger.submit(Work(decide=decide, caller=CLIENT, licenses=(license_id,)))

    def publisher(self) -> Publisher:
        """Open a publisher."""
        return Publisher.open(self.settings, self.ledger, self.views)

    @contextmanager
    def publishing(self) -> Iterator[Publisher]:
        """With a publisher and views that run."""
        self.views.start()
        with running(self.publisher()) as publisher:
            yield publisher

    def everything(self) -> Sequence[RecordedEvent]:
        """All events of the ledger."""
        return self.ledger.feed(after=0, limit=1_000_000)

    def read(self, *, isolation_level: str = "read_committed") -> Reader:
        """Read the events topic."""
        return Reader.read(self.cluster.bootstrap, self.events_topic, isolation_level=isolation_level)

    def assert_published(self) -> Reader:
        """Every event once and in order, and the licenses as the view has them; returns who read the events."""
        recorded, reader = self.everything(), self.read()
        assert reader.positions == [one.position for one in recorded]
        versions: dict[str, list[int]] = defaultdict(list)
        for one in recorded:
            versions[one.stream].append(one.version)
        assert reader.by_stream == versions
        self.assert_licenses()
        return reader

    def assert_licenses(self) -> None:
        """The compacted topic has for each license what the view has."""
        told = Reader.read(self.cluster.bootstrap, self.licenses_topic).latest
        assert set(told) == set(self.licenses)
        for license_id in self.licenses:
            information = self.views.licenses.get(license_id, at=NOON)
            assert information is not None
            assert {**told[license_id], "position": information.position} == as_sent(information)


def as_sent(information: LicenseInformation) -> dict[str, Any]:
    """The fields of the view without those of the clock and those by which it is found, as JSON has them."""
    fields = {name: getattr(information, name) for name in information.__slots__ if name not in _NOT_SENT}
    fields["renewal"] = information.renewal.intent.value if information.renewal else "unknown"
    renewal_date = information.renewal_date
    fields["renewal_date"] = renewal_date.isoformat().replace("+00:00", "Z") if renewal_date else None
    return fields


@contextmanager
def running(publisher: Publisher) -> Iterator[Publisher]:
    """With a publisher that runs on a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield publisher
    finally:
        stop.set()
        thread.join()


def wait_published(publisher: Publisher, *, seconds: float = _SOON_SECONDS) -> None:
    """Wait until a publisher has everything.

    Raises:
        TimeoutError: it has not in time.
    """
    wait_until(lambda: not publisher.status().lag_events, seconds=seconds, what=str(publisher.status()))


@contextmanager
def set_up(
    cluster: KafkaCluster,
    url: DatabaseUrl,
    *,
    connection: KafkaConnection | None = None,
    **told: Any,  # noqa: ANN401 -- settings
) -> Iterator[Stage]:
    """A ledger and topics of its own, which are not made yet."""
    name = random_id()
    settings = PublisherSettings(
        connection=connection or KafkaConnection(bootstrap=tuple(cluster.bootstrap.split(","))),
        **{"events_topic": f"events-{name}", "licenses_topic": f"licenses-{name}", **told},
    )
    ledger = open_ledger(url)
    views = open_views(url, ledger)
    try:
        yield Stage(cluster=cluster, url=url, ledger=ledger, views=views, settings=settings)
    finally:
        views.stop()
        ledger.close()


def sqlite_in(folder: Path) -> DatabaseUrl:
    """A database in a folder."""
    return DatabaseUrl.of_file(folder / "ledger.db")


def _activation() -> events.SeatActivated:
    seat_id = SeatId(random_id())
    return events.SeatActivated(seat_id=seat_id, user=Personal(seat_id, f"colleague-{seat_id}@engines.example"))
