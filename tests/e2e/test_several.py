"""Several `serve` processes on one PostgreSQL database: they keep the rules together, whatever stops or dies."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import urllib3

from tests.e2e.activations import Activations, activate, active_users
from tests.e2e.composed import Ledgers, Served, wait_for
from tests.e2e.stories import buy, get_information
from tests.services.postgres import PostgresServer

PROCESSES = 4
CALLERS = 64
SEATS = 500
USERS = 5_000


@pytest.mark.timeout(600)
def test_four_processes_give_out_exactly_the_seats_there_are(several: Ledgers) -> None:
    """64 callers bring 5,000 users to four processes: 500 get a seat, 500 are in the view, all others are refused."""
    served, license_id = _begin(several, seats=SEATS)
    story = Activations(served, license_id, users=USERS)
    story.start(callers=CALLERS).join()
    assert story.sent_again == 0
    _exactly_the_seats(story, served, license_id)
    assert [one.stop() for one in served] == [0] * PROCESSES


@pytest.mark.timeout(600)
def test_they_do_so_while_the_database_and_one_of_them_are_killed(several: Ledgers, server: PostgresServer) -> None:
    """The server is stopped as by a power cut twice, one process is killed: sent again, each call has one answer."""
    served, license_id = _begin(several, seats=SEATS)
    story = Activations(served, license_id, users=USERS)
    threads = story.start(callers=CALLERS)
    for done in (200, 900):
        _await_done(story, done)
        server.restart("immediate")
    _await_done(story, 1_500)
    victim = served.pop()
    story.leave_out(victim)
    victim.kill()
    threads.join()
    assert story.sent_again > 0
    _exactly_the_seats(story, served, license_id)
    first = next(user for user in story.taken)
    again = activate(served[0], license_id, first)
    assert (again.status, again.json) == (story.answers[first].status, story.answers[first].json)


@pytest.mark.timeout(600)
def test_they_give_out_the_seats_of_all_licenses_of_a_customer(several: Ledgers) -> None:
    """150 users sign in twice, at two processes, by a key that names no license: 60 get a seat, each of them one."""
    marketplace = several.start_marketplace()
    served = [several.serve(**marketplace) for _ in range(PROCESSES)]
    licenses = {buy(served[0], account="210987654321", seats=seats)[1]: seats for seats in (10, 20, 30)}
    key = _issue_key_by_customer(served[0], next(iter(licenses)))
    calls = [(f"user-{number}", served[(number + turn) % PROCESSES]) for turn in (0, 1) for number in range(150)]
    with ThreadPoolExecutor(CALLERS // 2) as callers:
        answers = list(callers.map(lambda call: _sign_in_by_key(call[1], call[0], key), calls))
    last_position = max(answer["position"] for answer in answers)
    for license_id, seats in licenses.items():
        wait_for(partial(_is_in_view, served[1], license_id, last_position), what="the view")
        users = {answer["user"] for answer in answers if answer["allowed"] and answer["license_id"] == license_id}
        assert active_users(served[1], license_id) == sorted(users)
        assert len(users) == seats
    assert len({answer["seat_id"] for answer in answers if answer["allowed"]}) == sum(licenses.values())
    assert {answer["code"] for answer in answers} == {"ALLOWED", "NO_SEAT_FREE"}


def test_each_process_reads_what_another_wrote(several: Ledgers) -> None:
    """The position that one answered is there at every other, and so is the answer to its Idempotency-Key."""
    served, license_id = _begin(several, seats=5, processes=2)
    one, other = served
    for name in ("Ada", "Grace", "Katherine"):
        answer = activate(one, license_id, name)
        assert answer.status == 201
        position = answer.json["position"]
        told = other.call("GET", f"/v1/licenses/{license_id}?min_position={position}")
        assert (told.status, told.json["seats_active"]) == (200, get_information(one, license_id)["seats_active"])
        again = activate(other, license_id, name)
        assert (again.status, again.json) == (answer.status, answer.json)


@pytest.mark.parametrize("ending", ["killed", "hanging"])
def test_another_process_takes_over_the_views(several: Ledgers, server: PostgresServer, ending: str) -> None:
    """The elected one dies or hangs: within seconds another keeps the views, and a woken one leaves them to it."""
    served, license_id = _begin(several, seats=50, processes=3)
    holder = _holder_of_views(server, served)
    others = [one for one in served if one is not holder]
    with _ended(holder, ending):
        answer = activate(others[0], license_id, "Ada")
        assert answer.status == 201
        wait_for(
            lambda: _is_in_view(others[1], license_id, answer.json["position"]), what="another to take over", seconds=20
        )
    if ending == "hanging":
        position = activate(holder, license_id, "Grace").json["position"]
        for one in served:
            wait_for(partial(_is_in_view, one, license_id, position), what="the view")
            assert active_users(one, license_id) == ["Ada", "Grace"]


@pytest.mark.timeout(300)
def test_a_process_that_hangs_with_the_append_lock_holds_others_up_for_seconds(
    several: Ledgers, server: PostgresServer
) -> None:
    """Stopped in the middle of a transaction, it loses the lock to the others, and goes on when it is woken."""
    served, license_id = _begin(several, seats=20_000, processes=2)
    hanging, other = served
    with _stopped_with_the_lock(hanging, server, license_id):
        began = time.monotonic()
        assert Activations([other], license_id).activate("Ada").status == 201
        assert time.monotonic() - began < 30
    assert Activations([hanging], license_id).activate("Grace").status == 201


def test_a_restored_backup_stops_the_processes(several: Ledgers, server: PostgresServer) -> None:
    """An older copy is put in the database's place: each process that has answered for more ends with one line."""
    served, license_id = _begin(several, seats=50, processes=2)
    activate(served[0], license_id, "Ada")
    copy = _dump(server)
    for name in ("Grace", "Katherine", "Mary"):
        for one in served:
            assert activate(one, license_id, f"{name} of {one.url}").status == 201
    _restore(server, copy)
    for one in served:
        # Where the process ends first, the connection is cut.
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            activate(one, license_id, "Dorothy")
        wait_for(partial(_has_ended, one), what="the end")
        assert one.process.returncode == 1
        assert "older copy was put in its place" in one.log.read_text()
    again = several.serve()
    wait_for(lambda: active_users(again, license_id) == ["Ada"], what="what the copy has")
    assert activate(again, license_id, "Grace").status == 201


# -- how it is set up and looked at ------------------------------------------------------------------------------------


def _begin(several: Ledgers, *, seats: int, processes: int = PROCESSES) -> tuple[list[Served], str]:
    marketplace = several.start_marketplace()
    served = [several.serve(**marketplace) for _ in range(processes)]
    _, license_id = buy(served[0], account="210987654321", seats=seats)
    return served, license_id


def _issue_key_by_customer(served: Served, license_id: str) -> str:
    information = get_information(served, license_id)
    scope = {name: information[name] for name in ("customer_id", "product_id")}
    key: str = served.call("POST", "/v1/keys", {"name": "softphone", "role": "client", **scope}).json["key"]
    return key


def _sign_in_by_key(served: Served, user: str, key: str) -> dict[str, Any]:
    answer = served.call("POST", "/v1/sign-ins", {"user": user}, key=key)
    assert answer.status == 200, answer.body
    signed_in: dict[str, Any] = answer.json
    return signed_in


def _exactly_the_seats(story: Activations, served: Sequence[Served], license_id: str) -> None:
    assert story.done == USERS
    assert len(story.taken) == SEATS
    for one in served:
        wait_for(partial(_is_in_view, one, license_id, story.last_position), what="the view")
        assert active_users(one, license_id) == sorted(story.taken)
        information = get_information(one, license_id)
        assert (information["seats_active"], information["seats_max"]) == (SEATS, SEATS)


def _await_done(story: Activations, count: int) -> None:
    wait_for(lambda: story.done >= count, what=f"{count} answers", seconds=120)


def _is_in_view(served: Served, license_id: str, position: int) -> bool:
    return served.call("GET", f"/v1/licenses/{license_id}?min_position={position}").status == 200


def _has_ended(served: Served) -> bool:
    return served.process.poll() is not None


def _holder_of_views(server: PostgresServer, served: Sequence[Served]) -> Served:
    """The process whose sessions follow the ledger for the views: stopped, it lets the others wait."""
    ((holder,),) = server.execute("SELECT holder FROM elections WHERE job LIKE 'views-%'", database="ledger")
    (found,) = [one for one in served if holder.endswith(f"-{one.process.pid}")]
    return found


@contextmanager
def _ended(served: Served, ending: str) -> Iterator[None]:
    if ending == "killed":
        served.kill()
        yield
        return
    served.process.send_signal(signal.SIGSTOP)
    yield
    served.process.send_signal(signal.SIGCONT)


@contextmanager
def _stopped_with_the_lock(served: Served, server: PostgresServer, license_id: str) -> Iterator[None]:
    """Stop a busy process again and again until it is in the middle of a transaction."""
    story = Activations([served], license_id, users=15_000)
    threads = story.start(callers=8)
    _await_done(story, 20)
    _stop_until(served, lambda: _is_in_transaction(server))
    yield
    served.process.send_signal(signal.SIGCONT)
    story.finish()
    threads.join()


def _stop_until(served: Served, holds: Callable[[], bool]) -> None:
    for _ in range(500):
        os.kill(served.process.pid, signal.SIGSTOP)
        if holds():
            return
        os.kill(served.process.pid, signal.SIGCONT)
        time.sleep(0.003)
    raise AssertionError("the process was never stopped in the middle of a transaction")


def _is_in_transaction(server: PostgresServer) -> bool:
    """Whether a writer waits for its client: looked at twice, since the server may just be about to answer."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'licensing-ledger writer' AND state = 'idle in transaction'"
    )
    for _ in range(2):
        time.sleep(0.02)
        ((count,),) = server.execute(asked)
        if not count:
            return False
    return True


def _dump(server: PostgresServer) -> bytes:
    command = [str(server.binaries / "pg_dump"), "--clean", "--if-exists", server.url("ledger")]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _restore(server: PostgresServer, copy: bytes) -> None:
    # Some versions write a line that only their own psql understands.
    script = re.sub(rb"^\\(un)?restrict .*$", b"", copy, flags=re.MULTILINE)
    command = [
        str(server.binaries / "psql"),
        "--quiet",
        "--single-transaction",
        "-v",
        "ON_ERROR_STOP=1",
        server.url("ledger"),
    ]
    subprocess.run(command, input=script, capture_output=True, check=True)
