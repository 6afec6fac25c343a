"""Random ids, for commands and seats."""

import os
from typing import Final

_BYTES: Final = 16
_IDS_AT_ONCE: Final = 256

# Asking the system for randomness lets another thread run in the meantime; one question for many ids is much faster.
_unused: list[str] = []
os.register_at_fork(after_in_child=_unused.clear)


def random_id() -> str:
    """A random UUID (RFC 9562, version 4) in lower case."""
    try:
        digits = _unused.pop()
    except IndexError:
        drawn = os.urandom(_BYTES * _IDS_AT_ONCE).hex()
        _unused.extend(drawn[begin : begin + 2 * _BYTES] for begin in range(0, len(drawn), 2 * _BYTES))
        return random_id()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
