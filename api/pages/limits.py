"""How often one address may knock: before AWS is asked, and with keys that open nothing."""

import time
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from api.problems import Problem

REGISTRATIONS_PER_MINUTE: Final = 10
WRONG_KEYS_PER_MINUTE: Final = 20

_REGISTRATIONS: Final = RateLimitItemPerMinute(REGISTRATIONS_PER_MINUTE, namespace="registrations")
_WRONG_KEYS: Final = RateLimitItemPerMinute(WRONG_KEYS_PER_MINUTE, namespace="wrong-keys")


class AddressLimits:
    """Counts by address, in this process alone."""

    def __init__(self) -> None:
        """Begin with nobody counted."""
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def count_registration(self, address: str) -> None:
        """One more registration token comes from an address.

        Raises:
            Problem: `TOO_MANY`.
        """
        if not self._limiter.hit(_REGISTRATIONS, address):
            raise self._too_many(_REGISTRATIONS, address)

    def count_wrong_key(self, address: str) -> None:
        """One more key that opens nothing comes from an address."""
        self._limiter.hit(_WRONG_KEYS, address)

    def refuse_guessing(self, address: str) -> None:
        """Let nobody try keys one after the other.

        Raises:
            Problem: `TOO_MANY`.
        """
        if not self._limiter.test(_WRONG_KEYS, address):
            raise self._too_many(_WRONG_KEYS, address)

    def _too_many(self, limit: RateLimitItem, address: str) -> Problem:
        seconds = max(1, round(self._limiter.get_window_stats(limit, address).reset_time - time.time()))
        return Problem(
            "TOO_MANY",
            f"There were too many tries from your address. Wait {seconds} seconds, then try again.",
            headers={"Retry-After": str(seconds)},
        )
