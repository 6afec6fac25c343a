"""What the interface answers while the ledger can't be read or written, and that it recovers by itself."""

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from ledger.errors import QueueIsFullError
from ledger.transaction import Transaction, Work
from tests.integration.api_stage import SEATS, Answer, Stage, open_stage
from tests.integration.ledgers import database_in, database_on, execute, license_now, tables_of, until
from tests.services.postgres import PostgresServer
from tests.stories import LICENSE, MARKETPLACE

ADA: Final = {"user": "Ada"}


@pytest.fixture
def stage(database: Path) -> Iterator[Stage]:
    """A license of three seats."""
    with open_stage(database) as stage:
        yield stage


def unavailable(answer: Answer) -> bool:
    """Whether it is 503 and says when to try again."""
    return answer.status == 503 and answer.json["code"] == "UNAVAILABLE" and "Retry-After" in answer.headers


def test_a_ready_process_says_so(stage: Stage) -> None:
    """It can read, write, and its views are there."""
    ready = stage.call("GET", "/healthz/ready", key=None)
    assert (ready.status, ready.json["status"]) == (200, "ready")
    assert set(ready.json["checks"].values()) == {"ok"}
    assert stage.call("GET", "/healthz/live", key=None).status == 200


@pytest.mark.usefixtures("capsys")  # so that the log needs no disk
def test_a_full_disk(tmp_path: Path) -> None:
    """No answer claims success that is not durable; readiness says what is missing; with room again all goes on."""
    with open_stage(database_in(tmp_path, "sqlite")) as stage:
        with full_disk():
            refused = stage.call("POST", SEATS, ADA)
            assert unavailable(refused), refused.body
            assert stage.call("GET", f"/v1/licenses/{LICENSE}").status == 200
            ready = stage.call("GET", "/healthz/ready")
            assert (ready.status, ready.json["status"]) == (503, "not ready")
            assert ready.json["checks"]["database_readable"] == "ok"
            assert ready.json["checks"]["database_writable"] != "ok"
            assert stage.call("GET", "/healthz/live").status == 200
        assert license_now(stage.ledger).seats_active == 0
        assert stage.call("POST", SEATS, ADA).status == 201
        assert stage.call("GET", "/healthz/ready").status == 200


def test_a_database_server_that_is_gone(own_server: PostgresServer, tmp_path: Path) -> None:
    """The same when PostgreSQL is stopped as by a power cut, until it is back."""
    with open_stage(database_on(own_server, tmp_path)) as stage:
        own_server.stop("immediate")
        try:
            refused = stage.call("POST", SEATS, ADA)
            assert refused.status == 503, refused.body
            ready = stage.call("GET", "/healthz/ready", key=None)
            assert (ready.status, ready.json["status"]) == (503, "not ready")
            assert ready.json["checks"]["database_readable"] != "ok"
            assert stage.call("GET", "/healthz/live", key=None).status == 200
        finally:
            own_server.start()
        until(lambda: stage.call("GET", "/healthz/ready", key=None).status == 200)
        assert license_now(stage.ledger).seats_active == 0
        assert stage.call("POST", SEATS, ADA).status == 201
        assert stage.get(f"/v1/licenses/{LICENSE}")["seats_active"] == 1


@contextmanager
def full_disk() -> Iterator[None]:
    """Nothing can be written beyond the first bytes of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_views_that_can_not_be_read(database: Path) -> None:
    """What goes by them is 503, and readiness names them; commands go on."""
    views_database = database.with_stem("views")
    with open_stage(database, views_database=views_database) as stage:
        for table in tables_of(views_database):
            execute(views_database, f"DROP TABLE {table}")
        _are_missed(stage)


def _are_missed(stage: Stage) -> None:
    assert unavailable(stage.call("GET", "/v1/licenses"))
    assert unavailable(stage.call("GET", SEATS))
    assert stage.call("POST", SEATS, ADA).status == 201
    ready = stage.call("GET", "/healthz/ready")
    assert ready.status == 503
    assert ready.json["checks"]["database_writable"] == "ok"
    assert ready.json["checks"]["views"] != "ok"
    assert b"ledger_http_requests_total" in stage.call("GET", "/metrics").body


def test_a_full_queue(database: Path) -> None:
    """503 with `Retry-After: 1`, nothing changed; when the queue moves again, so do the commands."""
    with open_stage(database, waiting_max=1) as stage:
        held, go_on = threading.Event(), threading.Event()

        def hold(_: Transaction) -> None:
            held.set()
            go_on.wait(30)

        threads = [threading.Thread(target=stage.ledger.submit, args=(Work(decide=hold, caller=MARKETPLACE),))]
        threads[0].start()
        assert held.wait(10)
        threads.append(threading.Thread(target=_submit, args=(stage, _nothing)))
        threads[1].start()
        until(lambda: stage.ledger.waiting == 1)
        full = stage.call("POST", SEATS, ADA)
        assert (full.status, full.json["code"]) == (503, "QUEUE_FULL")
        assert full.headers["Retry-After"] == "1"
        ready = stage.call("GET", "/healthz/ready")
        assert ready.status == 503
        assert b"ledger_commands_waiting 1.0" in stage.call("GET", "/metrics").body
        go_on.set()
        for thread in threads:
            thread.join()
        assert license_now(stage.ledger).seats_active == 0
        assert stage.call("POST", SEATS, ADA).status == 201


def _nothing(_: Transaction) -> None:
    """Decide nothing."""


def _submit(stage: Stage, decide: Callable[[Transaction], None]) -> None:
    try:
        stage.ledger.submit(Work(decide=decide, caller=MARKETPLACE))
    except QueueIsFullError:
        pytest.fail("there was room for one")
