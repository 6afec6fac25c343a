"""Which partition a key belongs to: Kafka's own default, so that others can compute it too.

`toPositive(murmur2(key)) % partitions`, as the Java client and all that agree with it do for a record with a key.
"""

from functools import lru_cache
from typing import Final

_SEED: Final = 0x9747B28C
_MIX: Final = 0x5BD1E995
_SHIFT: Final = 24
_WORD: Final = 0xFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFF


# A key comes again with each event of its license, and the sum costs as much as sending a record.
@lru_cache(maxsize=100_000)
def partition_of(key: str, partitions: int) -> int:
    """The partition of a key, by its UTF-8 bytes, among so many."""
    return (murmur2(key.encode()) & _POSITIVE) % partitions


def murmur2(data: bytes) -> int:
    """The 32-bit MurmurHash2 of some bytes, with Kafka's seed; unsigned."""
    whole = len(data) & ~3
    sum_ = _SEED ^ len(data)
    for at in range(0, whole, 4):
        word = (int.from_bytes(data[at : at + 4], "little") * _MIX) & _WORD
        word = ((word ^ (word >> _SHIFT)) * _MIX) & _WORD
        sum_ = ((sum_ * _MIX) & _WORD) ^ word
    if rest := data[whole:]:
        sum_ = ((sum_ ^ int.from_bytes(rest, "little")) * _MIX) & _WORD
    sum_ = ((sum_ ^ (sum_ >> 13)) * _MIX) & _WORD
    return sum_ ^ (sum_ >> 15)
