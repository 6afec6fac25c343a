"""Which partition a key belongs to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as of_the_client

from projections.kafka.partitions import murmur2, partition_of
from tests.stories import LICENSE, OTHER_LICENSE


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_kafkas_own_tests(key: bytes, signed: int) -> None:
    """The values stand in the tests of the Java client."""
    assert murmur2(key) == signed % 2**32


@given(st.binary(max_size=100))
def test_the_hash_is_that_of_the_client_library(key: bytes) -> None:
    """Whoever uses Kafka's default finds the same partition."""
    assert murmur2(key) == of_the_client(key) % 2**32


def test_the_partition_of_a_license_is_known_beforehand() -> None:
    """These stand in topics, so they must never be others."""
    assert [partition_of(LICENSE, 12), partition_of(OTHER_LICENSE, 12), partition_of("system", 12)] == [8, 8, 2]
