"""What is measured of the ledger itself. Each function runs in a process of its own, on a directory of its own."""

import sqlite3
import statistics
import time
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random

from bench.ledgers import CLIENT, activate_together, activation, fill, new_license, opened, seats_active
from bench.load import Figures, names, one_by_one, percentile, seconds_of, together
from ledger.ledger import Ledger
from ledger.license.events import LicenseId
from ledger.store.url import DatabaseUrl
from ledger.transaction import Transaction, Work
from ledger.users import parse_user
from projections.views import Views, ViewsSettings

STEADY_SECONDS = 0.2


def activations(directory: Path, *, callers: int, count: int) -> Figures:
    """Durable activations per second of so many callers on one license."""
    with _ledger(directory) as ledger:
        activate_together(ledger, new_license(ledger), callers=callers, users=names("warm", max(callers, count // 10)))
        users = names("user", count)
        seconds = activate_together(ledger, license_id := new_license(ledger), callers=callers, users=users)
        assert seats_active(ledger, license_id) == count
        assert _synchronous(ledger) == "FULL"
        return {"per_second": count / seconds}


def crowd(directory: Path, *, seats_few: int, seats_many: int, samples: int) -> Figures:
    """The median time of an activation on licenses with few and with many seats, alone and with 32 callers at once."""
    with _ledger(directory) as ledger:
        many = new_license(ledger)
        fill(ledger, many, names("seat", seats_many))
        times: dict[str, list[float]] = {"few_1": [], "many_1": [], "few_32": [], "many_32": []}
        for part in range(5):
            few = new_license(ledger)
            fill(ledger, few, names("seat", seats_few))
            for license_id, where in ((few, "few"), (many, "many")):
                users = names(f"alone-{part}", samples)
                times[f"{where}_1"] += one_by_one(users, activation(ledger, license_id))
                times[f"{where}_32"] += _times_together(ledger, license_id, f"crowd-{part}", samples)
        return {where: statistics.median(values) for where, values in times.items()}


def history(directory: Path, *, events: int) -> Figures:
    """A stream of so many events: bytes for each, and the first command in a new process with and without snapshots."""
    with _ledger(directory) as ledger:
        license_id = new_license(ledger)
        fill(ledger, license_id, names("seat", events - ledger.head().position))
        stored = ledger.head().position
    size = _path(directory).stat().st_size
    envelope_bytes = _sum(directory, "SELECT SUM(LENGTH(state)) FROM stored_events") / stored
    from_snapshots = _first_command(directory, license_id, "ada@example.com")
    _drop_snapshots(directory)
    from_events = _first_command(directory, license_id, "grace@example.com")
    return {
        "bytes_per_event": size / stored,
        "envelope_bytes": envelope_bytes,
        "from_snapshots": from_snapshots,
        "from_events": from_events,
    }


def views(directory: Path, *, events: int) -> Figures:
    """Events per second into all three views, from the first event on."""
    with _ledger(directory) as ledger:
        fill(ledger, new_license(ledger), names("seat", events))
        views_ = Views.open(ViewsSettings(url=DatabaseUrl.of_file(directory / "views.db")), ledger)
        seconds = seconds_of(views_.run_once)
        applied = views_.position()
        views_.stop()
        assert applied == ledger.head().position
        return {"per_second": applied / seconds}


def latency(directory: Path, *, samples: int) -> Figures:
    """How long after its answer an event is in the views, while nothing else happens."""
    random = Random(samples)
    with _ledger(directory) as ledger:
        license_id = new_license(ledger)
        views_ = Views.open(ViewsSettings(url=DatabaseUrl.of_file(directory / "views.db")), ledger)
        views_.start()
        waits: list[float] = []
        for user in names("user", samples):
            position = ledger.seats.activate(license_id, user=parse_user(user), caller=CLIENT).position
            begin = time.perf_counter()
            assert views_.wait_for(position, timeout_seconds=5)
            waits.append(time.perf_counter() - begin)
            # Not in step with the views' own looks.
            time.sleep(random.uniform(0, STEADY_SECONDS))
        views_.stop()
        return {"median": statistics.median(waits), "p95": percentile(waits, 95)}


def disk(directory: Path, *, commits: int) -> Figures:
    """The yardstick: commits per second of one row, as durable as the ledger's."""
    connection = sqlite3.connect(directory / "disk.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE commits (number INTEGER PRIMARY KEY)")

    def commit() -> None:
        for number in range(commits):
            connection.execute("INSERT INTO commits VALUES (?)", (number,))

    seconds = seconds_of(commit)
    connection.close()
    return {"per_second": commits / seconds}


def _path(directory: Path) -> Path:
    return directory / "ledger.db"


def _ledger(directory: Path) -> AbstractContextManager[Ledger]:
    return opened(DatabaseUrl.of_file(_path(directory)))


def _times_together(ledger: Ledger, license_id: LicenseId, prefix: str, samples: int) -> list[float]:
    callers, times = 32, list[float]()
    activate = activation(ledger, license_id)
    together(callers, lambda number: times.extend(one_by_one(names(f"{prefix}-{number}", samples // 8), activate)))
    return times


def _synchronous(ledger: Ledger) -> str:
    def decide(transaction: Transaction) -> int:
        return int(transaction.rows.exec_driver_sql("PRAGMA synchronous").scalar_one())

    return ("OFF", "NORMAL", "FULL", "EXTRA")[ledger.submit(Work(decide=decide, caller=CLIENT, writes_rows=True))]


def _first_command(directory: Path, license_id: LicenseId, user: str) -> float:
    with _ledger(directory) as ledger:
        return seconds_of(lambda: ledger.seats.activate(license_id, user=parse_user(user), caller=CLIENT))


def _sum(directory: Path, query: str) -> int:
    connection = sqlite3.connect(_path(directory))
    found = connection.execute(query).fetchone()[0]
    connection.close()
    return int(found)


def _drop_snapshots(directory: Path) -> None:
    connection = sqlite3.connect(_path(directory))
    assert connection.execute("DELETE FROM snapshots").rowcount
    connection.commit()
    connection.close()
