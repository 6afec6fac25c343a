"""Databases for the tests: on one engine after the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.ledgers import ENGINES, database_in, drop_databases


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A path that stands for a database, on one engine after the other; so does each path beside it of its suffix."""
    yield database_in(tmp_path, request.param)
    drop_databases(tmp_path)
