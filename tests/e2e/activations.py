"""Many callers who activate users at several ledgers at once, and send again what was not answered."""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

import urllib3

from tests.e2e.composed import Answer, InThreads, Served

ANSWERS: Final = frozenset({200, 201, 409})
_AGAIN_SECONDS: Final = 0.1
_GIVE_UP_SECONDS: Final = 120.0


class Activations:
    """Each user is activated with an Idempotency-Key of its own, at whichever ledger comes next."""

    def __init__(self, served: Sequence[Served], license_id: str, *, users: int = 0) -> None:
        """Nobody has called yet."""
        self.answers: dict[str, Answer] = {}
        self.sent_again = 0
        self._license_id = license_id
        self._served = list(served)
        self._users = [f"user-{number}" for number in range(users)]
        self._lock = threading.Lock()
        self._turns = itertools.count()
        self._finished = threading.Event()

    def start(self, *, callers: int) -> InThreads:
        """Let the callers begin."""
        waiting = iter(self._users)
        threads = InThreads()
        for _ in range(callers):
            threads.start(lambda: self._work_off(waiting))
        return threads

    def leave_out(self, served: Served) -> None:
        """A ledger is gone: the others are asked instead."""
        with self._lock:
            self._served.remove(served)

    def finish(self) -> None:
        """No caller begins with another user."""
        self._finished.set()

    @property
    def done(self) -> int:
        """How many were answered for good."""
        return len(self.answers)

    @property
    def taken(self) -> set[str]:
        """Who was told of a seat."""
        return {user for user, answer in self.answers.items() if answer.status in (200, 201)}

    @property
    def last_position(self) -> int:
        """The highest position that was answered."""
        told: list[int] = [one.json["position"] for one in self.answers.values() if one.status in (200, 201)]
        return max(told)

    def _work_off(self, waiting: Iterator[str]) -> None:
        while not self._finished.is_set():
            with self._lock:
                user = next(waiting, None)
            if user is None:
                return
            answer = self.activate(user)
            with self._lock:
                self.answers[user] = answer

    def activate(self, user: str) -> Answer:
        """Call until there is an answer that is for good."""
        give_up_at, last = time.monotonic() + _GIVE_UP_SECONDS, "nothing"
        while time.monotonic() < give_up_at:
            with self._lock:
                served = self._served[next(self._turns) % len(self._served)]
            try:
                answer = activate(served, self._license_id, user)
            except urllib3.exceptions.HTTPError as error:
                answer, last = None, repr(error)
            if answer is not None and answer.status in ANSWERS:
                return answer
            if answer is not None:
                assert answer.status == 503, answer.body
                last = str(answer.body)
            with self._lock:
                self.sent_again += 1
            time.sleep(_AGAIN_SECONDS)
        raise AssertionError(f"{user} had no answer in time, the last was: {last}")


def activate(served: Served, license_id: str, user: str) -> Answer:
    """One call; repeated, it has the same Idempotency-Key."""
    return served.call(
        "POST", f"/v1/licenses/{license_id}/seats", {"user": user}, headers={"Idempotency-Key": f"key-{user}"}
    )


def active_users(served: Served, license_id: str) -> list[str]:
    """Who has a seat, as the view lists them page by page."""
    users: list[str] = []
    path = f"/v1/licenses/{license_id}/seats?status=active&limit=1000"
    page = served.call("GET", path).json
    while True:
        users += [seat["user"] for seat in page["items"]]
        if page["next"] is None:
            return sorted(users)
        page = served.call("GET", f"{path}&cursor={page['next']}").json
