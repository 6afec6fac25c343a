"""What was ever stored still loads: an event of every type, byte for byte, and a whole ledger."""

from pathlib import Path

import pytest

from ledger.envelope import decode, encode, event_types

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
