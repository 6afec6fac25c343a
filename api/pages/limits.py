"""How often one address may knock: before AWS is asked, and with keys that open nothing."""

import ipaddress
import time
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from api.problems import Problem

REGISTRATIONS_PER_MINUTE: Final = 10
REGISTRATIONS_PER_MINUTE_OF_ALL: Final = 180
"""From all addresses together: as many as AWS is asked about for buyers, 3 a second."""
WRONG_KEYS_PER_MINUTE: Final = 20

_REGISTRATIONS: Final = RateLimitItemPerMinute(REGISTRATIONS_PER_MINUTE, namespace="registrations")
_REGISTRATIONS_OF_ALL: Final = RateLimitItemPerMinute(REGISTRATIONS_PER_MINUTE_OF_ALL, namespace="registrations-of-all")
_WRONG_KEYS: Final = RateLimitItemPerMinute(WRONG_KEYS_PER_MINUTE, namespace="wrong-keys")


_EVERYBODY: Final = "everybody"
# Who has one address of IPv6 has all that begin with the same 64 bits.
_OF_ONE_HOLDER: Final = 64


class AddressLimits:
    """Counts by address, in this process alone. Of IPv6 the network counts as one address."""

    def __init__(self) -> None:
        """Begin with nobody counted."""
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def count_registration(self, address: str) -> None:
        """One more registration token comes from an address.

        Raises:
            Problem: `TOO_MANY`.
        """
        holder = _holder_of(address)
        if not self._limiter.hit(_REGISTRATIONS, holder):
            raise self._too_many(_REGISTRATIONS, holder)
        # Only those that would be asked about, so that one address does not use up what there is for all.
        if not self._limiter.hit(_REGISTRATIONS_OF_ALL, _EVERYBODY):
            raise self._too_many(_REGISTRATIONS_OF_ALL, _EVERYBODY)

    def count_wrong_key(self, address: str) -> None:
        """One more key that opens nothing comes from an address."""
        self._limiter.hit(_WRONG_KEYS, _holder_of(address))

    def refuse_guessing(self, address: str) -> None:
        """Let nobody try keys one after the other.

        Raises:
            Problem: `TOO_MANY`.
        """
        holder = _holder_of(address)
        if not self._limiter.test(_WRONG_KEYS, holder):
            raise self._too_many(_WRONG_KEYS, holder)

    def _too_many(self, limit: RateLimitItem, holder: str) -> Problem:
        seconds = max(1, round(self._limiter.get_window_stats(limit, holder).reset_time - time.time()))
        whose = "" if holder == _EVERYBODY else " from your address"
        return Problem(
            "TOO_MANY",
            f"There were too many tries{whose}. Wait {seconds} seconds, then try again.",
            headers={"Retry-After": str(seconds)},
        )


def _holder_of(address: str) -> str:
    """Who is behind an address, as far as it tells."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        # Whoever believes a proxy takes what it says.
        return address
    if parsed.version == 4:  # noqa: PLR2004 -- of IP
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed.packed, _OF_ONE_HOLDER), strict=False))
