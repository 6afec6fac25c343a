"""The ledger on PostgreSQL. Each function runs in a process of its own, on a fresh database of the server."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.ledgers import CLIENT, activate_together, fill, new_license, opened, seats_active
from bench.load import Figures, names, percentile, seconds_of
from bench.machine import memory_mb
from bench.processes import await_all, in_processes
from bench.servers import fresh_database
from ledger.license.events import LicenseId
from ledger.store.url import DatabaseUrl
from ledger.users import parse_user
from projections.views import Views, ViewsSettings

STEADY_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What one process is to do: so many of its callers let users take seats of a license."""

    url: DatabaseUrl
    license_id: LicenseId
    callers: int
    prefix: str
    count: int


def activations(_: Path, *, server: str, processes: int, callers: int, count: int, licenses: str) -> Figures:
    """Durable activations per second of so many callers in each of so many processes.

    All of them on `one` license, or each process on a license of its own: `each`.
    """
    with fresh_database(server) as database:
        url = DatabaseUrl.parse(database)
        with opened(url) as ledger:
            started = [new_license(ledger) for _ in range(1 if licenses == "one" else processes)]
            loads = [
                Load(
                    url=url,
                    license_id=started[number % len(started)],
                    callers=callers,
                    prefix=f"user-{number}",
                    count=count // processes,
                )
                for number in range(processes)
            ]
            measured = in_processes(_activate, loads)
            assert sum(seats_active(ledger, one) for one in started) == count // processes * processes
        return {
            "per_second": sum(load.count for load in loads) / max(one["seconds"] for one in measured),
            "memory_mb": max(one["memory_mb"] for one in measured),
            "processes": processes,
        }


def _activate(load: Load) -> Figures:
    with opened(load.url) as ledger:
        warm = names(f"{load.prefix}-warm", max(load.callers, load.count // 10))
        activate_together(ledger, new_license(ledger), callers=load.callers, users=warm)
        users = names(load.prefix, load.count)
        await_all()
        seconds = activate_together(ledger, load.license_id, callers=load.callers, users=users)
        return {"seconds": seconds, "memory_mb": memory_mb()}


def following(_: Path, *, server: str, events: int) -> Figures:
    """Events per second into all three views that follow the ledger, once they hold its first events."""
    with fresh_database(server) as database, opened(DatabaseUrl.parse(database)) as ledger:
        license_id = new_license(ledger)
        views = Views.open(ViewsSettings(url=DatabaseUrl.parse(database)), ledger)
        views.run_once()
        before = views.position()
        fill(ledger, license_id, names("seat", events))
        seconds = seconds_of(views.run_once)
        applied = views.position() - before
        assert views.position() == ledger.head().position
        views.stop()
        return {"per_second": applied / seconds}


def rebuild(_: Path, *, server: str, events: int) -> Figures:
    """Events per second into all three views that are made again from the first event."""
    with fresh_database(server) as database, opened(DatabaseUrl.parse(database)) as ledger:
        license_id = new_license(ledger)
        views = Views.open(ViewsSettings(url=DatabaseUrl.parse(database)), ledger)
        fill(ledger, license_id, names("seat", events))
        filled = memory_mb()
        seconds = seconds_of(views.rebuild)
        assert views.position() == ledger.head().position >= events
        views.stop()
        return {"per_second": events / seconds, "seconds": seconds, "memory_before_mb": filled}


def latency(_: Path, *, server: str, samples: int) -> Figures:
    """How long after its answer an event is in the views, while nothing else happens."""
    random = Random(samples)
    with fresh_database(server) as database, opened(DatabaseUrl.parse(database)) as ledger:
        license_id = new_license(ledger)
        views = Views.open(ViewsSettings(url=DatabaseUrl.parse(database)), ledger)
        views.start()
        waits: list[float] = []
        for user in names("user", samples):
            position = ledger.seats.activate(license_id, user=parse_user(user), caller=CLIENT).position
            begin = time.perf_counter()
            assert views.wait_for(position, timeout_seconds=5)
            waits.append(time.perf_counter() - begin)
            # Not in step with the views' own looks.
            time.sleep(random.uniform(0, STEADY_SECONDS))
        views.stop()
        return {"median": statistics.median(waits), "p95": percentile(waits, 95)}
