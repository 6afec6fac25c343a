"""The peer: stock `eventsourcing`, used as its documentation shows, with the same rule on the same disk.

Each function runs in a process of its own, since importing the library changes `dataclasses` for the whole process.
"""

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import (
    ApplicationRecorder,
    ListenNotifySubscription,
    PersistenceError,
    Subscription,
    Tracking,
)
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteTrackingRecorder,
)

from bench.load import Figures, names, seconds_of, together

ACTOR, CAUSE = "client:key-5f1c", "7b0b8a52-7a3a-4f0e-9a55-3d1c3a0e6b10"
PLENTY = 10_000_000
VIEWS = (
    """CREATE TABLE IF NOT EXISTS licenses (
        license_id TEXT PRIMARY KEY, version INTEGER, seats_max INTEGER, seats_active INTEGER)""",
    """CREATE TABLE IF NOT EXISTS seats (
        seat_id TEXT PRIMARY KEY, license_id TEXT, user TEXT, identity TEXT, status TEXT, activated_at TEXT,
        actor TEXT, version INTEGER)""",
    "CREATE INDEX IF NOT EXISTS seats_by_user ON seats (license_id, identity)",
    """CREATE TABLE IF NOT EXISTS history (
        position INTEGER PRIMARY KEY, license_id TEXT, version INTEGER, type TEXT, recorded_at TEXT, actor TEXT,
        cause TEXT, seat_id TEXT, user TEXT)""",
    "CREATE INDEX IF NOT EXISTS history_by_license ON history (license_id, version)",
)
SYNCHRONOUS_FULL = 2


class StockLicense(Aggregate):
    """A license with the rule "no more active users than seats"."""

    @event("Started")
    def __init__(self, seats_max: int) -> None:
        """The subscription starts."""
        self.seats_max = seats_max
        self.active: dict[str, str] = {}

    def activate(self, user: str) -> None:
        """A user takes a seat; the rule stands outside of the event's body, which runs again on each load."""
        if user in self.active:
            return
        if len(self.active) >= self.seats_max:
            msg = "no seat is free"
            raise ValueError(msg)
        self._take_seat(seat_id=str(uuid.uuid4()), user=user, actor=ACTOR, cause=CAUSE)

    @event("SeatActivated")
    def _take_seat(self, seat_id: str, user: str, actor: str, cause: str) -> None:  # noqa: ARG002 -- the event's fields
        self.active[user] = seat_id


class StockLedger(Application[UUID]):
    """The licenses."""

    name = "ledger"
    snapshotting_intervals: ClassVar[dict[type[Any], int]] = {}

    def start(self) -> UUID:
        """A new license."""
        license_ = StockLicense(seats_max=PLENTY)
        self.save(license_)
        return license_.id

    def activate(self, license_id: UUID, user: str) -> None:
        """A user takes a seat."""
        license_: StockLicense = self.repository.get(license_id)
        license_.activate(user)
        self.save(license_)

    def seats_active(self, license_id: UUID) -> int:
        """How many users have a seat."""
        license_: StockLicense = self.repository.get(license_id)
        return len(license_.active)

    def activate_in_the_end(self, license_id: UUID, user: str) -> None:
        """The same, tried again when another caller was faster or the database was locked."""
        while True:
            try:
                self.activate(license_id, user)
            except (PersistenceError, RuntimeError):
                # The latter where another thread changed the library's cache of aggregates in the middle.
                continue
            return


def activations(directory: Path, *, callers: int, count: int, licenses: str) -> Figures:
    """Durable activations per second: of all callers on `one` license, or of each caller on a license of `each`.

    With a license for each caller nothing conflicts, so that in a process that writes alone the cached aggregates need
    neither be copied nor brought up to date for each command: `each-fastest`.
    """
    fastest = {"AGGREGATE_CACHE_FASTFORWARD": "n", "DEEPCOPY_FROM_AGGREGATE_CACHE": "n"}
    with StockLedger(_environment(directory) | (fastest if licenses == "each-fastest" else {})) as ledger:
        assert _synchronous(ledger) == SYNCHRONOUS_FULL
        warm = [ledger.start() for _ in range(callers)]
        few = names("warm", max(1, count // callers // 10))
        together(callers, lambda number: activate_all(ledger, warm[number], few))
        started = [ledger.start() for _ in range(1 if licenses == "one" else callers)]
        users = names("user", count)

        def call(number: int) -> None:
            activate_all(ledger, started[number % len(started)], users[number::callers])

        seconds = together(callers, call)
        assert sum(ledger.seats_active(license_id) for license_id in started) == count
        return {"per_second": count / seconds}


def history(directory: Path, *, events: int) -> Figures:
    """A stream of so many events: bytes for each, and the first command in a new process with and without snapshot."""
    environment = _environment(directory) | {"IS_SNAPSHOTTING_ENABLED": "y"}
    with StockLedger(environment) as ledger:
        license_id = ledger.start()
        fill(ledger, license_id, names("seat", events - 1))
    size = _path(directory).stat().st_size
    from_events = _first_command(environment, license_id, "ada@example.com")
    with StockLedger(environment) as ledger:
        ledger.take_snapshot(license_id)
    from_snapshots = _first_command(environment, license_id, "grace@example.com")
    return {"bytes_per_event": size / events, "from_snapshots": from_snapshots, "from_events": from_events}


def views(directory: Path, *, events: int) -> Figures:
    """Events per second into the same three views by a ProjectionRunner, from the first event on."""
    environment = _environment(directory) | {"APPLICATION_RECORDER_TOPIC": f"{__name__}:SubscribedRecorder"}
    with StockLedger(environment) as ledger:
        fill(ledger, ledger.start(), names("seat", events - 1))
    seconds = seconds_of(lambda: _project(environment | {"SEATS_SQLITE_DBNAME": str(directory / "views.db")}, events))
    return {"per_second": events / seconds}


class SubscribedRecorder(SQLiteApplicationRecorder):
    """The library's SQLite recorder, with the subscription that its runner needs and that only others have."""

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Begin after a position."""
        return ListenNotifySubscription(self, gt=gt, topics=topics)


class RelaxedPool(SQLiteConnectionPool):
    """Connections whose commits need not reach the disk, as those of the ledger's views: views can be made again."""

    def _create_connection(self) -> SQLiteConnection:
        connection = super()._create_connection()
        connection.cursor().execute("PRAGMA synchronous=NORMAL")
        return connection


class StockViews(SQLiteTrackingRecorder):
    """The three views in tables, each event and its position in one transaction."""

    def __init__(self, datastore: SQLiteDatastore) -> None:
        """Relax the connections."""
        datastore.pool.close()
        datastore.pool = RelaxedPool(db_name=datastore.pool.db_name)
        super().__init__(datastore)

    def construct_create_table_statements(self) -> list[str]:
        """The views' tables and indexes."""
        return [*super().construct_create_table_statements(), *VIEWS]

    def start(self, one: StockLicense.Started, tracking: Tracking) -> None:  # type: ignore[name-defined]  # made by @event
        """A license started."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO licenses VALUES (?,?,?,0)", (one.originator_id.hex, one.originator_version, one.seats_max)
            )
            self._tell(cursor, one, tracking, "Started", (None, None, None, None))

    def activate(self, one: StockLicense.SeatActivated, tracking: Tracking) -> None:  # type: ignore[name-defined]  # made by @event
        """A user took a seat."""
        license_id, version, at = one.originator_id.hex, one.originator_version, one.timestamp.isoformat()
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "UPDATE licenses SET version=?, seats_active=seats_active+1 WHERE license_id=?", (version, license_id)
            )
            cursor.execute(
                "INSERT OR REPLACE INTO seats VALUES (?,?,?,?,'active',?,?,?)",
                (one.seat_id, license_id, one.user, one.user.casefold(), at, one.actor, version),
            )
            self._tell(cursor, one, tracking, "SeatActivated", (one.actor, one.cause, one.seat_id, one.user))

    @staticmethod
    def _tell(cursor: SQLiteCursor, one: Any, tracking: Tracking, type_: str, rest: tuple[str | None, ...]) -> None:  # noqa: ANN401 -- classes made by @event
        where = (tracking.notification_id, one.originator_id.hex, one.originator_version)
        cursor.execute(
            "INSERT INTO history VALUES (?,?,?,?,?,?,?,?,?)", (*where, type_, one.timestamp.isoformat(), *rest)
        )


class StockProjection(Projection[StockViews]):
    """Which event goes where."""

    name = "seats"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ANN401, ARG002 -- the library's signature
        """An event of no interest is tracked all the same."""
        self.view.insert_tracking(tracking)

    @process_event.register
    def _(self, domain_event: StockLicense.Started, tracking: Tracking) -> None:  # type: ignore[name-defined]  # made by @event
        self.view.start(domain_event, tracking)

    @process_event.register
    def _(self, domain_event: StockLicense.SeatActivated, tracking: Tracking) -> None:  # type: ignore[name-defined]  # made by @event
        self.view.activate(domain_event, tracking)


def _project(environment: dict[str, str], events: int) -> None:
    runner = ProjectionRunner(
        application_class=StockLedger, projection_class=StockProjection, view_class=StockViews, env=environment
    )
    with runner:
        runner.wait(events, timeout=120)


def _path(directory: Path) -> Path:
    return directory / "stock.db"


def _environment(directory: Path) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": os.fspath(_path(directory)),
        "AGGREGATE_CACHE_MAXSIZE": "1000",
    }


def _synchronous(ledger: StockLedger) -> int:
    assert isinstance(ledger.recorder, SQLiteApplicationRecorder)
    with ledger.recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA synchronous")
        return int(cursor.fetchone()[0])


def activate_all(ledger: StockLedger, license_id: UUID, users: Sequence[str]) -> None:
    """Let users take seats, one after the other."""
    for user in users:
        ledger.activate_in_the_end(license_id, user)


def fill(ledger: StockLedger, license_id: UUID, users: Sequence[str]) -> None:
    """Let users take seats, a thousand in one command."""
    license_: StockLicense = ledger.repository.get(license_id)
    for begin in range(0, len(users), 1_000):
        for user in users[begin : begin + 1_000]:
            license_.activate(user)
        ledger.save(license_)


def _first_command(environment: dict[str, str], license_id: UUID, user: str) -> float:
    with StockLedger(environment) as ledger:
        return seconds_of(lambda: ledger.activate(license_id, user))
