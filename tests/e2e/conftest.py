"""What the tests of the composed system and of the pages share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests import browsers
from tests.e2e.composed import Ledgers, ledgers
from tests.services import absent
from tests.services.postgres import PostgresServer, installation


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Ledgers]:
    """A folder to start ledgers in; none outlives the test."""
    with ledgers(tmp_path) as started:
        yield started


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of one test's own, which it may stop."""
    software = installation()
    if isinstance(software, str):
        absent(software)
    started = PostgresServer(software)
    started.start()
    yield started
    started.remove()


@pytest.fixture
def several(tmp_path: Path, server: PostgresServer) -> Iterator[Ledgers]:
    """A place to start many ledgers on one PostgreSQL database; none outlives the test."""
    with ledgers(tmp_path, database_url=server.create_database("ledger")) as started:
        yield started


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real browser; where it is not installed the test is skipped, but never on a machine that must have it."""
    lacking = browsers.missing()
    if lacking is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(lacking)
        pytest.skip(lacking)
    with browsers.chromium() as browser:
        yield browser
