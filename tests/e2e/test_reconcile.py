"""`licensing-ledger reconcile` as an operator runs it: alone, and beside a `serve` that reads AWS."""

import json
import signal
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import urllib3

from commands.reconcile import NO_REPORT
from tests.e2e.composed import Ledgers, Served, wait_for
from tests.services.postgres import PostgresServer


def settings_without_queue(composed: Ledgers) -> dict[str, str]:
    """A sandbox Marketplace whose messages nobody takes: all of them are lost, as far as the ledger knows."""
    told = composed.start_marketplace()
    return {name: value for name, value in told.items() if name != "LEDGER_SQS_QUEUE_URL"}


def control(settings: dict[str, str], method: str, path: str, body: object) -> urllib3.BaseHTTPResponse:
    """Ask the sandbox Marketplace's control interface."""
    with urllib3.PoolManager() as pool:
        answer = pool.request(method, settings["AWS_ENDPOINT_URL_MARKETPLACE_METERING"] + path, json=body)
    assert answer.status < 300, answer.data
    return answer


def buy(settings: dict[str, str], *, account: str, seats: int) -> str:
    """A customer buys, and the ledger does not hear of it; returns the agreement."""
    until = (datetime.now(UTC) + timedelta(days=189)).isoformat()
    body = {"account_id": account, "seats": seats, "until": until}
    agreement_id: str = control(settings, "POST", "/sandbox/contracts", body).json()["contract"]["agreement_id"]
    return agreement_id


def test_the_command_does_the_work_where_nobody_else_does(composed: Ledgers) -> None:
    """In JSON for programs, in words for people; the exit code says whether they agree at the end."""
    settings = settings_without_queue(composed)
    agreement_id = buy(settings, account="111122223333", seats=5)
    dry = composed.run("reconcile", "--dry-run", **settings)
    assert dry.returncode == 1, dry.stderr
    assert "The ledger and AWS do not agree." in dry.stdout
    assert "it was a dry run" in " ".join(dry.stdout.split())

    mended = composed.run("reconcile", "--json", **settings)
    assert mended.returncode == 0, mended.stderr
    (difference,) = json.loads(mended.stdout)["differences"]
    assert (difference["kinds"], difference["standing"]) == (["missing-here"], "mended")
    history = composed.run("history", difference["license_id"], **settings)
    assert f"value {agreement_id}" in history.stdout
    assert "subscription-started" in history.stdout

    again = composed.run("reconcile", **settings)
    assert again.returncode == 0
    assert "The ledger and AWS agree." in again.stdout
    assert "Differences: none." in " ".join(again.stdout.split())


def test_beside_a_serve_the_command_only_asks(composed: Ledgers) -> None:
    """The elected process reads AWS with its own credentials; the command's are worth nothing here."""
    settings = settings_without_queue(composed)
    served = composed.serve(**settings)
    buy(settings, account="111122223333", seats=5)
    done = composed.run("reconcile", "--json", **settings | nowhere())
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["counts"]["mended"] == 1
    assert [one["seats_max"] for one in licenses(served)] == [5]
    shown = served.call("GET", "/v1/drift").json
    assert shown["report"] == report
    assert served.stop() == 0


def nowhere() -> dict[str, str]:
    """Settings by which AWS can't be reached."""
    services = ("METERING", "ENTITLEMENT_SERVICE", "AGREEMENT")
    return {f"AWS_ENDPOINT_URL_MARKETPLACE_{service}": "http://127.0.0.1:9" for service in services}


def licenses(served: Served) -> list[dict[str, object]]:
    """Every license, once the views have it."""
    position = served.call("GET", "/v1/keys").json["position"]
    items: list[dict[str, object]] = served.call("GET", f"/v1/licenses?min_position={position}").json["items"]
    return items


def test_it_is_done_by_itself_as_often_as_the_setting_says(composed: Ledgers) -> None:
    """The first one at once, so that a new ledger has what AWS has sold before."""
    settings = settings_without_queue(composed)
    buy(settings, account="111122223333", seats=5)
    served = composed.serve(**settings, LEDGER_RECONCILE_EVERY="PT24H")
    wait_for(lambda: served.call("GET", "/v1/drift").json["report"], what="the report")
    assert [one["seats_max"] for one in licenses(served)] == [5]
    assert served.stop() == 0


def test_who_stops_waiting_for_losses_to_be_applied_takes_that_back(composed: Ledgers) -> None:
    """It is said what goes on, and nothing stays behind that would apply them."""
    settings = nowhere() | {"LEDGER_PRODUCT_CODES": "code:users"}
    log = composed.folder / "reconcile.log"
    process = composed.start("reconcile", "--apply-losses", log=log, **settings)
    file = sqlite3.connect(composed.database_url.removeprefix("sqlite:///"))
    runs = "SELECT apply_losses FROM marketplace_reconciliations WHERE phase != 'asked'"
    wait_for(lambda: rows_of(file, runs), what="the run")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == NO_REPORT
    assert "It was stopped, and applies no losses any more. It goes on where it was" in log.read_text()
    assert rows_of(file, runs) == [(0,)]
    file.close()


def test_a_database_that_goes_away_is_waited_for(server: PostgresServer, several: Ledgers) -> None:
    """What the command waits for is there when the database is back; nobody is told of drift because of it."""
    settings = nowhere() | {"LEDGER_PRODUCT_CODES": "code:users"}
    log = several.folder / "reconcile.log"
    process = several.start("reconcile", "--json", log=log, **settings)
    begun = "SELECT count(*) FROM marketplace_reconciliations WHERE phase != 'asked'"
    wait_for(lambda: has_tables(server) and server.execute(begun, database="ledger") == [(1,)], what="the run")
    server.stop("immediate")
    time.sleep(3)
    assert process.poll() is None
    server.start()
    time.sleep(3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == NO_REPORT
    told = log.read_text()
    assert "Traceback" not in told
    assert "It was stopped. It goes on where it was" in told


def has_tables(server: PostgresServer) -> bool:
    """Whether the command has made its tables."""
    return server.execute("SELECT to_regclass('marketplace_reconciliations')::text", database="ledger") != [(None,)]


def rows_of(file: sqlite3.Connection, query: str) -> list[tuple[object, ...]]:
    """What a query tells; nothing as long as its table is not there."""
    try:
        return file.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def test_what_contradicts_itself_is_wrong_usage(composed: Ledgers) -> None:
    """So are settings that can't be used."""
    settings = {"LEDGER_PRODUCT_CODES": "code:users"}
    both = composed.run("reconcile", "--dry-run", "--apply-losses", **settings)
    assert both.returncode == 2
    assert "A dry run applies nothing" in both.stderr
    without = composed.run("reconcile")
    assert without.returncode == 2
    assert "LEDGER_PRODUCT_CODES is not set" in without.stderr
    too_much = composed.run("reconcile", **settings, LEDGER_RECONCILE_MAX_LOSS="101")
    assert too_much.returncode == 2
    assert "a percentage from 0 to 100" in too_much.stderr
