"""What a person is called stands where it can be found and, one day, erased: in personal fields, and in the views."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.composed import Ledgers, Served, wait_for
from tests.e2e.stories import buy, get_information, issue_client_key, sign_in

NAMES = ("Zuleikha Quux", "Xanthippe Blau", "Quirinus Vogel")
NOTE = "caught at the biscuits"


def test_names_are_in_personal_fields_and_views_alone(composed: Ledgers) -> None:
    """Searched after a story: every row of the ledger's file, and the logs at their most talkative."""
    served = composed.serve("--sandbox", "--sandbox-port", "0", LEDGER_LOG_LEVEL="debug")
    _play(served)
    assert served.stop() == 0

    found = {place for place, text in _values(composed.folder / "ledger.db") if _holds_name(text)}
    assert found == {"stored_events.state"}
    for (state,) in _rows(composed.folder / "ledger.db", "SELECT state FROM stored_events"):
        assert not _holds_name(json.dumps(_without_personal(json.loads(state))))
    assert not _holds_name(served.log.read_text())
    assert any(_holds_name(text) for _, text in _values(composed.folder / "ledger.views.db"))


def _play(served: Served) -> None:
    _, license_id = buy(served, account="210987654321", seats=2)
    key = issue_client_key(served, license_id)
    first, second, blocked = NAMES
    assert sign_in(served, license_id, first, key)["allowed"]
    once = {"Idempotency-Key": f"for {second}"}
    for _ in range(2):
        assert served.call("POST", f"/v1/licenses/{license_id}/seats", {"user": second}, headers=once).status == 201
    block = {"user": blocked, "reason": "misuse", "note": NOTE}
    assert served.call("POST", f"/v1/licenses/{license_id}/blocks", block).status == 200
    assert (
        served.call("GET", f"/v1/licenses/{license_id}/access?user={first.replace(' ', '%20')}", key=key).status == 200
    )
    assert served.call("GET", f"/v1/licenses/{license_id}/history?user={first.replace(' ', '%20')}").status == 200
    assert served.call("GET", f"/v1/licenses/{license_id}/seats?q=zul", headers={"X-Request-ID": first}).status == 200
    assert served.call("POST", f"/v1/licenses/{license_id}/seats", {"user": f"{first}\x00"}).status == 422
    assert served.call("POST", f"/v1/licenses/{license_id}/{first.replace(' ', '%20')}", {}).status == 404
    assert served.call("GET", f"/v1/licenses/{first.replace(' ', '%20')}/seats").status == 404
    wait_for(lambda: get_information(served, license_id)["seats_blocked"] == 1, what="the view")


def _holds_name(text: str) -> bool:
    lowered = text.lower()
    words = [word for name in NAMES for word in name.lower().split()]
    return any(word in lowered for word in (*words, NOTE))


def _without_personal(document: object) -> object:
    if isinstance(document, dict):
        if document.keys() == {"of", "plain"}:
            return None
        return {name: _without_personal(value) for name, value in document.items()}
    if isinstance(document, list):
        return [_without_personal(value) for value in document]
    return document


def _values(path: Path) -> Iterator[tuple[str, str]]:
    for (table,) in _rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = [row[1] for row in _rows(path, f"PRAGMA table_info('{table}')")]
        for row in _rows(path, f"SELECT * FROM '{table}'"):  # noqa: S608 -- the names are the file's own
            for column, value in zip(columns, row, strict=True):
                text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                yield f"{table}.{column}", text


def _rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()
