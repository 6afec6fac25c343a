"""The servers as pytest's fixtures: each is started when the first test asks for it and ends with the last."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.services import kafka as brokers
from tests.services import postgres as servers
from tests.services.kafka import KafkaCluster
from tests.services.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """A running PostgreSQL, Debian's version; for tests that leave it running."""
    return servers.shared()


@pytest.fixture(scope="session")
def postgres18() -> PostgresServer:
    """A running PostgreSQL 18; for tests that leave it running."""
    return servers.shared_18()


@pytest.fixture
def postgres_database(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database of this test alone."""
    yield from _database(postgres, request)


@pytest.fixture
def postgres18_database(postgres18: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The same on PostgreSQL 18."""
    yield from _database(postgres18, request)


def _database(server: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    url = servers.fresh_database(request.node.name, server=server)
    yield url
    server.drop_database(urlsplit(url).path.removeprefix("/"))


@pytest.fixture(scope="session")
def kafka() -> KafkaCluster:
    """A running broker; for tests that leave it running."""
    return brokers.shared()


@pytest.fixture(scope="session")
def kafka_cluster() -> KafkaCluster:
    """Three running brokers; a test that kills one brings it back."""
    return brokers.shared_cluster()
