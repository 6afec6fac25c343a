"""The stored form of an event: what it says, its limit, and what is done about bytes that are none."""

import json
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

import pytest

from ledger.envelope import (
    BYTES_MAX,
    EnvelopeIsTooLargeError,
    Event,
    EventTypeIsUnknownError,
    StoredEventDisagreesError,
    decode,
    encode,
    event_types,
)
from ledger.license import events as license_events
from ledger.license.events import Personal
from ledger.system.events import KeyIssued, KeyRole
from tests.stories import ADA_ACTIVATED, ADA_BLOCKED, ADMIN, LICENSE, NOON, REGISTERED

KEY_ISSUED: Final = KeyIssued(
    key_id="key-1b2c3d4e5f607182",
    name="SoftPhone",
    role=KeyRole.CLIENT,
    licenses=(LICENSE,),
    customer_id=None,
    product_id=None,
    expires_at=NOON,
)
LEDGER_ID = "0d9a4c1e-6d0c-4f0b-8b4c-2b1c9f0a7e55"


def stored(event: Event, *, recorded_at: datetime = NOON) -> bytes:
    """The bytes of an event that an administrator caused at noon."""
    return encode(
        ledger_id=LEDGER_ID,
        stream=LICENSE,
        version=3,
        position=7,
        append=(3, 3),
        recorded_at=recorded_at,
        actor=ADMIN.actor,
        cause=ADMIN.cause,
        command_id="5b0e7c52-4f7e-4a0e-9a35-9f4a4f0f1b11",
        event=event,
    )


def test_the_envelope_says_all_of_an_event_in_one_document() -> None:
    """Members and order are those of the design; whose a name is stands beside it."""
    document = json.loads(stored(ADA_ACTIVATED))
    assert document == {
        "ledger_id": LEDGER_ID,
        "stream": LICENSE,
        "version": 3,
        "position": 7,
        "type": "license.seat-activated",
        "append": [3, 3],
        "recorded_at": "2026-11-24T12:00:00Z",
        "actor": {"role": "admin", "id": "key-0a1b2c3d4e5f6071"},
        "cause": "0b5f3f86-2a37-4f6a-9f7e-8f2f7c1f2a11",
        "command_id": "5b0e7c52-4f7e-4a0e-9a35-9f4a4f0f1b11",
        "data": {
            "seat_id": "ada00000-0000-4000-8000-000000000001",
            "user": {"of": "ada00000-0000-4000-8000-000000000001", "plain": "Ada Lovelace"},
        },
    }
    assert [*document] == [
        *("ledger_id", "stream", "version", "position", "type", "append"),
        *("recorded_at", "actor", "cause", "command_id", "data"),
    ]


@pytest.mark.parametrize("event", [ADA_ACTIVATED, ADA_BLOCKED, REGISTERED, KEY_ISSUED])
def test_what_is_stored_is_read_the_same(event: Event) -> None:
    """Tuples, enums and times come back as they were, and all that stands beside the fact too."""
    read = decode(stored(event))
    assert read.event == event
    assert json.loads(read.data) == json.loads(stored(event))["data"]
    assert (read.stream, read.version, read.position, read.append) == (LICENSE, 3, 7, (3, 3))
    assert (read.recorded_at, read.actor, read.cause) == (NOON, ADMIN.actor, ADMIN.cause)
    assert read.ends_append


def test_microseconds_are_kept() -> None:
    """Two appends can be one microsecond apart."""
    later = NOON + timedelta(microseconds=1)
    assert decode(stored(ADA_ACTIVATED, recorded_at=later)).recorded_at == later


def test_an_envelope_has_65535_bytes_at_most() -> None:
    """The largest is stored, one byte more is refused in words."""
    empty = len(stored(replace(ADA_ACTIVATED, user=Personal("a", ""))))
    assert len(stored(replace(ADA_ACTIVATED, user=Personal("a", "n" * (BYTES_MAX - empty))))) == BYTES_MAX
    with pytest.raises(EnvelopeIsTooLargeError, match="65536 bytes"):
        stored(replace(ADA_ACTIVATED, user=Personal("a", "n" * (BYTES_MAX - empty + 1))))


def test_an_unknown_type_stops_the_reader_with_one_line() -> None:
    """A newer program wrote it: this one is not to guess, and says so."""
    newer = stored(ADA_ACTIVATED).replace(b"seat-activated", b"seat-lent")
    with pytest.raises(EventTypeIsUnknownError, match=r"^.*'license.seat-lent'.*newer version\.$"):
        decode(newer)


@pytest.mark.parametrize("damaged", [b"", b"{}", b"[]", b"\xff\xfe", b'{"type":"license.seat-activated"}'])
def test_bytes_that_are_no_envelope_are_noticed(damaged: bytes) -> None:
    """What is no JSON, no object, or lacks members."""
    with pytest.raises(StoredEventDisagreesError, match="can't be read"):
        decode(damaged)


@pytest.mark.parametrize(
    ("was", "became"),
    [
        (b"}}", b"}"),
        (b'"version":3', b'"version":"3"'),
        (b'"role":"admin"', b'"role":"root"'),
        (b"2026-11-24T12:00:00Z", b"noon"),
        (b'"seat_id"', b'"chair_id"'),
        (b'"plain":"Ada Lovelace"', b'"plain":null'),
    ],
)
def test_a_damaged_envelope_is_noticed(was: bytes, became: bytes) -> None:
    """Nothing is read out of a damaged record."""
    whole = stored(ADA_ACTIVATED)
    assert was in whole
    with pytest.raises(StoredEventDisagreesError, match="can't be read"):
        decode(whole.replace(was, became))


def test_every_type_is_the_name_of_its_class() -> None:
    """`license.` or `system.`, and the class in kebab case: a string that never changes, never a module path."""
    for name, cls in event_types().items():
        kebab = "".join("-" + letter.lower() if letter.isupper() else letter for letter in cls.__name__)
        layer = "license" if cls.__module__ == license_events.__name__ else "system"
        assert name == f"{layer}.{kebab.removeprefix('-')}"


def test_every_class_of_events_is_a_member_of_the_union() -> None:
    """A class that is written but not listed could be stored and never read."""
    written = {cls for cls in vars(license_events).values() if isinstance(cls, type) and hasattr(cls, "TYPE")}
    assert written <= set(event_types().values())


def test_names_and_notes_and_contacts_are_personal() -> None:
    """Fields that tell of people are of type Personal, in every event."""
    of_people = {"user", "note", "contact"}
    for cls in event_types().values():
        for one in fields(cast("Any", cls)):
            assert ("Personal" in str(one.type)) == (one.name in of_people), f"{cls.__name__}.{one.name}"
