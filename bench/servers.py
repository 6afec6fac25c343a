"""The servers that measurements run on: those of the tests, set as one that must lose nothing."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from bench.section import ServerIsMissingError
from tests.services import kafka as kafka_servers
from tests.services import postgres as postgres_servers
from tests.services.kafka import HIGH_THROUGHPUT, KafkaCluster
from tests.services.postgres import PostgresServer

# As on a small machine; what a commit waits for stays as the server has it.
_POSTGRES_SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB", "max_connections": "300"}


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server that waits for its disk.

    Raises:
        ServerIsMissingError: it is not installed.
    """
    software = postgres_servers.installation()
    if isinstance(software, str):
        raise ServerIsMissingError(software)
    server = PostgresServer(software, fsync=True, settings=_POSTGRES_SETTINGS)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def postgres_facts(server: PostgresServer) -> list[str]:
    """Lines about a running server."""
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")
    version, *settings = (server.execute(f"SHOW {name}")[0][0] for name in names)
    told = ", ".join(f"`{name}={value}`" for name, value in zip(names[1:], settings, strict=True))
    return [f"PostgreSQL {version} on the same machine, over TCP: {told}"]


@contextmanager
def kafka() -> Iterator[KafkaCluster]:
    """One Kafka broker.

    Raises:
        ServerIsMissingError: it is not installed.
    """
    software = kafka_servers.installation()
    if isinstance(software, str):
        raise ServerIsMissingError(software)
    cluster = KafkaCluster(software, java_options=HIGH_THROUGHPUT)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def kafka_facts() -> list[str]:
    """Lines about the broker."""
    software = kafka_servers.installation()
    if isinstance(software, str):
        raise ServerIsMissingError(software)
    jar = next(software.jars.glob("kafka_*.jar"))
    return [f"Apache Kafka {jar.stem.rpartition('-')[2]} on the same machine: one broker, one replica"]


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """An empty database on the server with this URL, which has written all that it had to; gone afterwards.

    Raises:
        RuntimeError: the server does not wait for its disk.
    """
    name = f"bench_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        _refuse_forgetful(connection)
        connection.execute(sql.SQL("CREATE DATABASE {} ENCODING UTF8 TEMPLATE template0").format(sql.Identifier(name)))
        connection.execute("CHECKPOINT")
        try:
            yield server.rpartition("/")[0] + "/" + name
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def parts_of(url: str) -> dict[str, str]:
    """What a URL of PostgreSQL says: `host`, `port`, `user`, `password`, `dbname`."""
    return {name: str(value) for name, value in conninfo_to_dict(url).items()}


def _refuse_forgetful(connection: "psycopg.Connection[tuple[str, ...]]") -> None:
    for name in ("fsync", "synchronous_commit"):
        row = connection.execute(f"SHOW {name}".encode()).fetchone()
        if row != ("on",):
            raise RuntimeError(f"the server has {name} {row}")
