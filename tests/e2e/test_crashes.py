"""What was answered is kept, whatever is killed."""

import random
import threading
import time

import pytest
import urllib3

from tests.e2e.activations import activate, active_users
from tests.e2e.composed import Answer, InThreads, Ledgers, Served
from tests.e2e.stories import buy, get_information

USERS = 2_000
SEATS = 1_500
CALLERS = 32
KILLS = 10


@pytest.mark.timeout(600)
def test_acknowledged_activations_survive_ten_kills(composed: Ledgers) -> None:
    """Killed ten times in the middle of 2,000 activations: each one acknowledged is there once, and none too many."""
    marketplace = composed.start_marketplace()
    served = composed.serve(**marketplace)
    _, license_id = buy(served, account="210987654321", seats=SEATS)
    story = _Activations(license_id)

    chance = random.Random(20270303)
    for _ in range(KILLS):
        threads = story.start(served, until=USERS)
        time.sleep(chance.uniform(0.05, 0.2))
        served.kill()
        story.stop()
        threads.join()
        served = composed.serve(**marketplace)
    story.start(served, until=USERS).join()

    taken = {user for user, answer in story.answers.items() if answer.status in (200, 201)}
    assert len(story.answers) == USERS
    assert {answer.status for answer in story.answers.values()} <= {200, 201, 409}
    assert len(taken) == SEATS
    position = max(answer.json["position"] for answer in story.answers.values() if answer.status == 201)
    assert served.call("GET", f"/v1/licenses/{license_id}?min_position={position}").status == 200
    assert active_users(served, license_id) == sorted(taken)
    information = get_information(served, license_id)
    assert (information["seats_active"], information["seats_max"]) == (SEATS, SEATS)
    assert story.kept, "no answer came before a kill"
    for user, first in story.kept.items():
        again = activate(served, license_id, user)
        assert (again.status, again.json) == (first.status, first.json)
    assert served.stop() == 0


class _Activations:
    """Many callers who activate users, each with an Idempotency-Key of its own, and remember what was answered."""

    def __init__(self, license_id: str) -> None:
        self.answers: dict[str, Answer] = {}
        self.kept: dict[str, Answer] = {}
        self._license_id = license_id
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self, served: Served, *, until: int) -> InThreads:
        """Go on with the users who have no answer yet."""
        self._stopped.clear()
        waiting = [f"user-{number}" for number in range(until) if f"user-{number}" not in self.answers]
        with self._lock:
            # The answers of the round before, one of which is asked for again at the end.
            self.kept.update(list(self.answers.items())[-1:])

        def run() -> None:
            while not self._stopped.is_set():
                with self._lock:
                    if not waiting:
                        return
                    user = waiting.pop(0)
                try:
                    answer = activate(served, self._license_id, user)
                except urllib3.exceptions.HTTPError:
                    return
                assert answer.status in (200, 201, 409), answer.body
                with self._lock:
                    self.answers[user] = answer

        threads = InThreads()
        for _ in range(CALLERS):
            threads.start(run)
        return threads

    def stop(self) -> None:
        """No caller begins another call."""
        self._stopped.set()
