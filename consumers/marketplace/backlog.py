"""Whether messages come one after the other: then all of them are heard before AWS is asked about what they tell of."""

import threading
import time
from collections.abc import Callable
from typing import Final

PAUSE_SECONDS: Final = 1.0
"""So long nothing came when a backlog is over."""
HELD_SECONDS_MAX: Final = 30.0
"""How long AWS is not asked because of one backlog."""


class Backlog:
    """The messages that wait at the source, as far as they show by coming at once.

    A license that is read while messages about it still lie at the source is read once more for each time that one is
    taken. So readings wait for the end of a backlog, but not for ever. A message that comes alone waits for nothing.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing came yet; `clock` tells seconds and never goes back."""
        self._clock = clock
        self._lock = threading.Lock()
        self._began_at: float | None = None
        self._latest_at = 0.0

    def note(self, *, took: bool) -> None:
        """The source was asked: whether there were messages."""
        at = self._clock()
        with self._lock:
            goes_on = self._began_at is not None and at - self._latest_at <= PAUSE_SECONDS
            if not took:
                self._began_at = None
            elif not goes_on:
                self._began_at = at
            self._latest_at = at

    def holds(self) -> bool:
        """Whether readings wait."""
        at = self._clock()
        with self._lock:
            if self._began_at is None or self._began_at == self._latest_at:
                return False
            return at - self._latest_at <= PAUSE_SECONDS and at - self._began_at <= HELD_SECONDS_MAX
