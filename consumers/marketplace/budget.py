"""The budget of calls: AWS allows 20 GetEntitlements a second for an account, and all processes share them."""

import threading
import time
from collections.abc import Callable
from enum import IntEnum

# Two processes, `serve` and `consume`, stay under AWS's 20 together.
CALLS_PER_SECOND = 9.0
_RESERVED_CALLS = 3.0


class Priority(IntEnum):
    """What goes first when AWS has to be asked about many licenses."""

    REGISTRATION = 0
    MESSAGE = 1
    DATE = 2
    RECHECK = 3


class Budget:
    """A bucket of calls that fills as time passes; some of them are kept for people who wait. For many threads."""

    def __init__(
        self,
        calls_per_second: float = CALLS_PER_SECOND,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Begin with a full bucket, which holds a second's calls.

        Args:
            calls_per_second: how fast it fills.
            clock: seconds from any start, never going back.
            sleep: waits that many seconds.
        """
        self._rate = calls_per_second
        self._clock = clock
        self._sleep = sleep
        self._calls = calls_per_second
        self._filled_at = clock()
        self._lock = threading.Lock()

    def take(self, priority: Priority) -> None:
        """Wait until one call may be made."""
        while (wait_seconds := self._try(priority)) > 0:
            self._sleep(wait_seconds)

    def _try(self, priority: Priority) -> float:
        needed = 1.0 if priority is Priority.REGISTRATION else 1.0 + _RESERVED_CALLS
        with self._lock:
            at = self._clock()
            self._calls = min(self._rate, self._calls + (at - self._filled_at) * self._rate)
            self._filled_at = at
            # A rounding error must not make it wait for a billionth of a call.
            if self._calls >= needed - 1e-6:
                self._calls -= 1.0
                return 0.0
            return (needed - self._calls) / self._rate
