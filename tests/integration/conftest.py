"""Databases for the tests: on one engine after the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.ledgers import ENGINES, database_in, drop_databases
from tests.services import absent
from tests.services.postgres import PostgresServer, installation


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A path that stands for a database, on one engine after the other; so does each path beside it of its suffix."""
    yield database_in(tmp_path, request.param)
    drop_databases(tmp_path)


@pytest.fixture(scope="module", params=ENGINES)
def module_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same for all tests of a module, which change nothing that matters to each other."""
    folder = tmp_path_factory.mktemp("module")
    yield database_in(folder, request.param)
    drop_databases(folder)


@pytest.fixture(scope="session")
def own_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL that a test may stop if it starts it again."""
    software = installation()
    if isinstance(software, str):
        absent(software)
    server = PostgresServer(software)
    server.start()
    yield server
    server.remove()
