"""The servers that the other tests stand on."""

import psycopg
import pytest

from tests.services import absent
from tests.services.postgres import PostgresServer, installation


@pytest.mark.parametrize(("fixture", "version"), [("postgres", 15), ("postgres18", 18)])
def test_a_new_database_answers_over_tcp_and_by_the_socket(
    fixture: str, version: int, request: pytest.FixtureRequest
) -> None:
    """Both versions of PostgreSQL run, whoever runs the tests."""
    server: PostgresServer = request.getfixturevalue(fixture)
    server.create_database("answers")
    for url in (server.url("answers"), server.socket_url("answers")):
        with psycopg.connect(url) as connection:
            assert connection.info.server_version // 10_000 == version
            assert connection.info.encoding == "utf-8"
    server.drop_database("answers")


def test_a_server_stopped_as_by_a_power_failure_is_found_again_with_what_was_committed() -> None:
    """Its port stays, so that those who wait for it get back to it."""
    software = installation()
    if isinstance(software, str):
        absent(software)
    server = PostgresServer(software)
    try:
        server.start()
        server.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server.restart("immediate")
        assert server.execute("SELECT one FROM kept") == [(1,)]
    finally:
        server.remove()
