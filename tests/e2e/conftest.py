"""What the tests of the composed system share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.composed import Ledgers, ledgers


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Ledgers]:
    """A folder to start ledgers in; none outlives the test."""
    with ledgers(tmp_path) as started:
        yield started
