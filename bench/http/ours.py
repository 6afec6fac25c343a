"""The ledger's own `serve`, asked whether users may work."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.http.load import ask
from bench.ledgers import CLIENT, fill, new_license, opened
from bench.load import Figures, names
from bench.machine import memory_mb
from bench.servers import fresh_database
from commands.parts import TABLES
from ledger.keys import KeyScope
from ledger.store.url import DatabaseUrl
from ledger.system.events import KeyRole
from tests.e2e.composed import ledgers


def access(directory: Path, *, server: str, database: str, connections: int, seconds: int, users: int) -> Figures:
    """`GET /v1/licenses/{id}/access` per second, of users who may work, by a client's key of that license."""
    with _database(directory, server=server, database=database) as url, ledgers(directory, database_url=url) as started:
        with opened(DatabaseUrl.parse(url), tables=TABLES) as ledger:
            license_id = new_license(ledger)
            fill(ledger, license_id, names("user", users))
            scope = KeyScope(licenses=(license_id,))
            _, key = ledger.keys.issue(name="client", role=KeyRole.CLIENT, scope=scope, expires_at=None, caller=CLIENT)
        served = started.serve(LEDGER_LOG_LEVEL="error")
        path = f"/v1/licenses/{license_id}/access"
        answer = served.call("GET", f"{path}?user=user-000000%40example.com", key=key).json
        assert answer["code"] == "ALLOWED", answer
        figures = ask(directory, served.url + path, key=key, connections=connections, seconds=seconds, users=users)
        return figures | {"memory_mb": memory_mb(served.process.pid)}


@contextmanager
def _database(directory: Path, *, server: str, database: str) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{os.fspath(directory / 'ledger.db')}"
        return
    with fresh_database(server) as url:
        yield url
