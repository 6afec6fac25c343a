"""The peers on the same PostgreSQL server: stock `eventsourcing` with its own recorder and lock, and `pgbench`."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from bench.embedded.peers import StockLedger, StockLicense, activate_all, fill
from bench.load import Figures, names, seconds_of, together
from bench.machine import memory_mb
from bench.processes import await_all, in_processes
from bench.servers import fresh_database, parts_of

if TYPE_CHECKING:
    from psycopg import Cursor
    from psycopg.rows import DictRow

FASTEST = {"AGGREGATE_CACHE_FASTFORWARD": "n", "DEEPCOPY_FROM_AGGREGATE_CACHE": "n"}

VIEWS = (
    """CREATE TABLE licenses (
        license_id text PRIMARY KEY, version bigint, seats_max bigint, seats_active bigint)""",
    """CREATE TABLE seats (
        seat_id text PRIMARY KEY, license_id text, "user" text, identity text, status text, activated_at text,
        actor text, version bigint)""",
    "CREATE INDEX seats_by_user ON seats (license_id, identity)",
    """CREATE TABLE history (
        position bigint PRIMARY KEY, license_id text, version bigint, type text, recorded_at text, actor text,
        cause text, seat_id text, "user" text)""",
    "CREATE INDEX history_by_license ON history (license_id, version)",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What one process is to do: so many of its callers let users take seats, each on one of the licenses."""

    environment: dict[str, str]
    licenses: Sequence[UUID]
    prefix: str
    callers: int
    count: int


def activations(_: Path, *, server: str, processes: int, callers: int, count: int, licenses: str) -> Figures:
    """Durable activations per second: of all callers on `one` license, or of each caller on a license of `each`.

    With a license for each caller nothing conflicts, so that the cached aggregates need neither be copied nor brought
    up to date for each command: `each-fastest`.
    """
    with fresh_database(server) as database:
        environment = _environment(database) | (FASTEST if licenses == "each-fastest" else {})
        with StockLedger(environment) as ledger:
            started = [ledger.start() for _ in range(1 if licenses == "one" else processes * callers)]
            own = len(started) // processes or 1
            loads = [
                Load(
                    environment=environment,
                    licenses=(started[number * own :] or started)[:own],
                    prefix=f"user-{number}",
                    callers=callers,
                    count=count // processes,
                )
                for number in range(processes)
            ]
            measured = in_processes(_activate, loads)
        with StockLedger(environment) as ledger:
            assert sum(ledger.seats_active(one) for one in started) == count // processes * processes
        return {
            "per_second": sum(load.count for load in loads) / max(one["seconds"] for one in measured),
            "memory_mb": max(one["memory_mb"] for one in measured),
            "processes": processes,
        }


def _activate(load: Load) -> Figures:
    # Several at once that make the tables which are there already disturb each other.
    with StockLedger(load.environment | {"CREATE_TABLE": "n"}) as ledger:
        warm = [ledger.start() for _ in range(load.callers)]
        few = names("warm", max(1, load.count // load.callers // 10))
        together(load.callers, lambda number: activate_all(ledger, warm[number], few))
        users = names(load.prefix, load.count)

        def call(number: int) -> None:
            activate_all(ledger, load.licenses[number % len(load.licenses)], users[number :: load.callers])

        await_all()
        return {"seconds": together(load.callers, call), "memory_mb": memory_mb()}


def pgbench(directory: Path, *, server: str, program: str, clients: int, count: int) -> Figures:
    """Transactions per second that insert one row each, as prepared statements of so many clients."""
    script = directory / "insert.sql"
    script.write_text("INSERT INTO events (state) VALUES ('a seat was activated');\n")
    with fresh_database(server) as database:
        create = "CREATE TABLE events (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL)"
        _run([program.replace("pgbench", "psql"), "--quiet", "--command", create, database])
        command = [
            *(program, "--no-vacuum", "--protocol=prepared", f"--file={script}"),
            # Not for so many seconds: many connections take as long.
            *(
                f"--client={clients}",
                f"--jobs={min(clients, os.cpu_count() or 1)}",
                f"--transactions={count // clients}",
                database,
            ),
        ]
        found = re.search(r"^tps = ([0-9.]+)", _run(command), flags=re.MULTILINE)
        assert found is not None
        return {"per_second": float(found[1])}


def views(_: Path, *, server: str, events: int) -> Figures:
    """Events per second into the same three views by a ProjectionRunner, from the first event on."""
    with fresh_database(server) as database, _relaxed_database(server) as relaxed:
        environment = _environment(database) | {"SEATS_POSTGRES_DBNAME": parts_of(relaxed)["dbname"]}
        with StockLedger(environment) as ledger:
            fill(ledger, ledger.start(), names("seat", events - 1))
        return {"per_second": events / seconds_of(lambda: _project(environment, events))}


class StockViews(PostgresTrackingRecorder):
    """The three views in tables, each event and its position in one transaction."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:  # noqa: ANN401 -- the library's own
        """Add the views' tables and indexes."""
        super().__init__(datastore, **kwargs)
        self.sql_create_statements += [SQL(statement).format() for statement in VIEWS]

    def start(self, one: StockLicense.Started, tracking: Tracking) -> None:  # type: ignore[name-defined]  # made by @event
        """A license started."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO licenses VALUES (%s, %s, %s, 0)",
                (one.originator_id.hex, one.originator_version, one.seats_max),
                prepare=True,
            )
            self._tell(cursor, one, tracking, "Started", (None, None, None, None))

    def activate(self, one: StockLicense.SeatActivated, tracking: Tracking) -> None:  # type: ignore[name-defined]  # made by @event
        """A user took a seat."""
        license_id, version, at = one.originator_id.hex, one.originator_version, one.timestamp.isoformat()
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "UPDATE licenses SET version=%s, seats_active=seats_active+1 WHERE license_id=%s",
                (version, license_id),
                prepare=True,
            )
            cursor.execute(
                "INSERT INTO seats VALUES (%s, %s, %s, %s, 'active', %s, %s, %s) ON CONFLICT (seat_id) DO UPDATE SET"
                " status = excluded.status, activated_at = excluded.activated_at, version = excluded.version",
                (one.seat_id, license_id, one.user, one.user.casefold(), at, one.actor, version),
                prepare=True,
            )
            self._tell(cursor, one, tracking, "SeatActivated", (one.actor, one.cause, one.seat_id, one.user))

    @staticmethod
    def _tell(
        cursor: "Cursor[DictRow]",
        one: Any,  # noqa: ANN401 -- classes made by @event
        tracking: Tracking,
        type_: str,
        rest: tuple[str | None, ...],
    ) -> None:
        where = (tracking.notification_id, one.originator_id.hex, one.originator_version)
        cursor.execute(
            "INSERT INTO history VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (*where, type_, one.timestamp.isoformat(), *rest),
            prepare=True,
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


@contextmanager
def _relaxed_database(server: str) -> Iterator[str]:
    """One whose commits need not reach the disk, as those of the ledger's views: views can be made again."""
    with fresh_database(server) as database, psycopg.connect(database, autocommit=True) as connection:
        name = Identifier(parts_of(database)["dbname"])
        connection.execute(SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
        yield database


def _environment(database: str) -> dict[str, str]:
    parts = parts_of(database)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts["dbname"],
        "POSTGRES_HOST": parts["host"],
        "POSTGRES_PORT": parts["port"],
        "POSTGRES_USER": parts["user"],
        "POSTGRES_PASSWORD": parts["password"],
        "AGGREGATE_CACHE_MAXSIZE": "1000",
    }


def _run(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
