"""Who is counted as one where tries are limited."""

import pytest

from api.pages.limits import REGISTRATIONS_PER_MINUTE, WRONG_KEYS_PER_MINUTE, AddressLimits
from api.problems import Problem


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("2001:db8::1", "2001:db8::ffff:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("unix:", "unix:", True),
        ("", "192.0.2.7", False),
    ],
)
def test_who_holds_a_network_is_counted_once(one: str, other: str, *, is_one: bool) -> None:
    """Of IPv6 all addresses with the same 64 bits, of IPv4 each; what is no address as it stands."""
    limits = AddressLimits()
    for _ in range(REGISTRATIONS_PER_MINUTE):
        limits.count_registration(one)
    for _ in range(WRONG_KEYS_PER_MINUTE):
        limits.count_wrong_key(one)
    if is_one:
        with pytest.raises(Problem, match="from your address"):
            limits.count_registration(other)
        with pytest.raises(Problem, match="from your address"):
            limits.refuse_guessing(other)
    else:
        limits.count_registration(other)
        limits.refuse_guessing(other)
