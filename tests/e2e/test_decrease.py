"""The seed's note, played through the whole chain: from AWS's message to the page."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.composed import InThreads, Ledgers, Served, wait_for
from tests.e2e.stories import buy, get_information, issue_client_key, sign_in

USERS = ("Ada", "Grace", "Katherine", "Dorothy", "Mary")
LATER_USERS = ("Ada", "Grace", "Katherine")


@pytest.fixture
def served(composed: Ledgers) -> Iterator[Served]:
    """A ledger with its Marketplace; whatever the sample customer does is of another license."""
    ledger = composed.serve("--sandbox", "--sandbox-port", "0")
    yield ledger
    assert ledger.stop() == 0


def test_all_users_are_deleted_when_fewer_licenses_are_bought(served: Served) -> None:
    """Five of five are active; three are bought: all five are deleted in one append, and three sign in afresh."""
    agreement_id, license_id = buy(served, account="210987654321", seats=len(USERS))
    client_key = issue_client_key(served, license_id)
    for user in USERS:
        assert sign_in(served, license_id, user, client_key)["code"] == "ALLOWED"
    before = get_information(served, license_id)
    assert (before["seats_active"], before["seats_max"]) == (5, 5)

    with _reader(served, license_id) as seen:
        answer = served.control("POST", f"/sandbox/contracts/{agreement_id}/seats", {"seats": 3})
        assert answer.status == 200, answer.body
        wait_for(lambda: get_information(served, license_id)["seats_max"] == 3, what="the lowered limit")

    assert set(seen) == {(5, 5), (0, 3)}, "somebody saw half of a decrease"
    events = served.call("GET", f"/v1/licenses/{license_id}/history?limit=6").json["items"]
    types = [event["type"] for event in reversed(events)]
    assert types == ["license.seat-deleted"] * 5 + ["license.seat-limit-lowered"]
    assert len({(event["recorded_at"], event["cause"]) for event in events}) == 1
    assert {event["user"] for event in events[1:]} == set(USERS)
    assert {event["data"]["reason"] for event in events[1:]} == {"limit-lowered"}

    for user in LATER_USERS:
        assert sign_in(served, license_id, user, client_key)["code"] == "ALLOWED"
    refused = sign_in(served, license_id, "Dorothy", client_key)
    assert (refused["allowed"], refused["code"]) == (False, "NO_SEAT_FREE")
    after = get_information(served, license_id)
    assert (after["seats_active"], after["seats_max"], after["seats_available"]) == (3, 3, 0)


@contextmanager
def _reader(served: Served, license_id: str) -> Iterator[list[tuple[int, int]]]:
    """Reads License Information over and over while the block runs, and keeps every pair of numbers it saw."""
    seen: list[tuple[int, int]] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            information = get_information(served, license_id)
            seen.append((information["seats_active"], information["seats_max"]))

    threads = InThreads().start(read)
    try:
        yield seen
    finally:
        stop.set()
        threads.join()
