"""What was ever stored still loads: an event of every type, byte for byte, and a whole ledger."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from ledger.envelope import decode, encode, event_types
from ledger.license.events import KeyKind
from ledger.replay import Moment
from ledger.transaction import Work
from tests.integration.ledgers import everything, license_now, observe, opened, url_of
from tests.stories import (
    ACCOUNT,
    ADA_SIGNS_IN,
    CLIENT,
    CONTACT,
    KATHERINE_SIGNS_IN,
    LICENSE,
    LICENSE_ARN,
    NEXT_RENEWS_AT,
    NOON,
    Clock,
)

STORED = Path(__file__).parent / "stored"
LEDGER_ID = "0d9a4c1e-6d0c-4f0b-8b4c-2b1c9f0a7e55"


def test_an_event_of_every_type_is_stored_here() -> None:
    """A new type of event comes with its stored bytes; a type that was stored once is never dropped."""
    assert {path.stem for path in STORED.glob("*.json")} == set(event_types())


@pytest.mark.parametrize("type_", event_types())
def test_a_stored_event_loads_and_is_written_to_the_same_bytes(type_: str) -> None:
    """Envelope and fact come back whole: not a byte differs when they are written again."""
    stored = (STORED / f"{type_}.json").read_bytes()
    recorded = decode(stored)
    assert type_ == type(recorded.event).TYPE
    again = encode(
        ledger_id=LEDGER_ID,
        stream=recorded.stream,
        version=recorded.version,
        position=recorded.position,
        append=recorded.append,
        recorded_at=recorded.recorded_at,
        actor=recorded.actor,
        cause=recorded.cause,
        command_id=recorded.command_id,
        event=recorded.event,
    )
    assert again == stored


def load_stored(database: Path) -> None:
    """Bring the stored ledger back from its dump."""
    url = url_of(database)
    if url.sqlite_path is None:
        with psycopg.connect(url.text) as connection:
            connection.execute((STORED / "ledger-postgres.sql").read_bytes())
        return
    with closing(sqlite3.connect(url.sqlite_path)) as file:
        file.executescript((STORED / "ledger.sql").read_text(encoding="utf-8"))


def test_a_whole_ledger_that_was_stored_still_opens(database: Path) -> None:
    """Its history, its state, its keys and its directory are those of the day when it was written."""
    load_stored(database)
    with opened(database, now=Clock(NOON + timedelta(days=2))) as ledger:
        types = [one.event.TYPE for one in everything(ledger)]
        assert types == [
            "system.access-policy-set",
            "license.license-issued",
            *["license.license-identified"] * 3,
            "license.subscription-started",
            "license.company-registered",
            *["license.seat-activated"] * 2,
            "license.seat-blocked",
            *["license.seat-deleted"] * 2,
            "license.seat-limit-lowered",
            "license.subscription-renewed",
            "license.seat-activated",
            "license.subscription-lapsed",
        ]
        state = license_now(ledger)
        assert (state.seats_max, state.seats_active, state.seats_blocked) == (1, 1, 1)
        assert state.name(KeyKind.ACCOUNT) == ACCOUNT[1]
        assert state.company_name == "Analytical Engines"
        assert ledger.companies.contact(LICENSE) == CONTACT
        assert ledger.past.license_at(LICENSE, Moment(as_of=NOON + timedelta(hours=1))).license.seats_active == 2
        observe(ledger, seats_max=2, renews_at=NEXT_RENEWS_AT)
        ada = ledger.seats.sign_in(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert (ada.code, ada.seat_id) == ("ALLOWED", "35cf1540-816c-483a-8ab5-16b685cf802d")
        assert ledger.seats.sign_in(LICENSE, user=KATHERINE_SIGNS_IN, caller=CLIENT).code == "USER_BLOCKED"
        owner = ledger.submit(Work(decide=lambda one: one.license_of(*LICENSE_ARN), caller=CLIENT, keys=(LICENSE_ARN,)))
        assert owner == LICENSE
