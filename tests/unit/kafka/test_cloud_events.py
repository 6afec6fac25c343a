"""An event as a CloudEvent."""

import dataclasses
import json
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.envelope import Event, RecordedEvent, decode, encode, event_types
from ledger.license.events import Actor, Contact, Personal
from projections.kafka.cloud_events import PersonalData, cloud_events_of
from tests.stories import (
    ADA_ACTIVATED,
    ADA_BLOCKED,
    ADA_UNBLOCKED,
    ADMIN,
    GRACE_BLOCKED,
    LICENSE,
    NOON,
    REGISTERED,
    STARTED_WITH_ONE_SEAT,
)

LEDGER = "0f2c4e0a-53a5-4c4e-9d4b-0a4a2f7f7d10"
SECRET = "Ada tells nobody"
"""Stands in every personal text, and nowhere else."""

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_secrets = _texts.map(lambda text: f"{text}{SECRET}{text}")
_contacts = st.builds(Contact, name=_secrets, email=_secrets, phone=st.none() | _secrets)
_moments = st.datetimes(datetime(2020, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 -- is given a zone


def _strategy(hint: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 -- a type as it is written
    if get_origin(hint) is Personal:
        return st.builds(Personal, of=_texts, plain=_contacts if get_args(hint) == (Contact,) else _secrets)
    if get_origin(hint) in {UnionType, Union}:
        return st.one_of([_strategy(one) for one in get_args(hint)])
    if get_origin(hint) is tuple:
        return st.lists(_texts, max_size=3).map(tuple)
    if hint is datetime:
        return _moments
    if hint is float:
        return st.floats(0, 1e9)
    is_text = hint is str or getattr(hint, "__supertype__", None) is str
    return _texts if is_text else st.from_type(hint)


def _events_of(cls: type[Event]) -> st.SearchStrategy[Event]:
    hints = {name: hint for name, hint in get_type_hints(cls).items() if name != "TYPE"}
    return st.builds(cls, **{name: _strategy(hint) for name, hint in hints.items()})


_EVENTS = st.one_of([_events_of(cls) for cls in event_types().values()])


def recorded(event: Event, *, actor: Actor = ADMIN.actor, cause: str | None = ADMIN.cause) -> RecordedEvent:
    """The event as the ledger holds it: the seventh of its license, 1,234th in all, second of three in its append."""
    return decode(
        encode(
            ledger_id=LEDGER,
            stream=LICENSE,
            version=7,
            position=1_234,
            append=(6, 8),
            recorded_at=NOON.replace(microsecond=1),
            actor=actor,
            cause=cause,
            command_id="5a90",
            event=event,
        )
    )


def told(event: Event, *, personal: PersonalData = "full", cause: str | None = ADMIN.cause) -> dict[str, Any]:
    """What is sent for an event."""
    sent: dict[str, Any] = json.loads(cloud_events_of(LEDGER, personal=personal)(recorded(event, cause=cause)))
    return sent


def test_it_has_the_attributes_of_the_specification_and_those_of_the_envelope() -> None:
    """A reader gets everything that the envelope holds but the id of the command."""
    assert told(STARTED_WITH_ONE_SEAT) == {
        "specversion": "1.0",
        "id": "1234",
        "source": f"urn:licensing-ledger:{LEDGER}",
        "type": "license.subscription-started",
        "subject": LICENSE,
        "time": "2026-11-24T12:00:00.000001Z",
        "datacontenttype": "application/json",
        "streamversion": 7,
        "appendfirst": 6,
        "appendlast": 8,
        "actorrole": "admin",
        "actorid": ADMIN.actor.id,
        "cause": ADMIN.cause,
        "data": {"seats_max": 1, "renews_at": "2027-05-31T23:59:59Z"},
    }


def test_an_attribute_that_is_absent_is_left_out() -> None:
    """The specification knows no null attributes."""
    assert "cause" not in told(STARTED_WITH_ONE_SEAT, cause=None)


@given(_EVENTS)
def test_the_names_of_all_attributes_are_lower_case_letters_and_digits(event: Event) -> None:
    """Other bindings of CloudEvents take no other names, and of the values only texts and 32-bit numbers."""
    sent = told(event)
    sent.pop("data")
    assert all(name.isascii() and name.isalnum() and name == name.lower() for name in sent)
    assert all(isinstance(value, str | int) for value in sent.values())


@given(_EVENTS)
def test_the_data_is_as_stored(event: Event) -> None:
    """With `full` the data is the stored fact, whatever its type."""
    assert told(event)["data"] == json.loads(recorded(event).data)
    assert msgspec.json.decode(json.dumps(told(event)["data"]), type=type(event)) == event


@given(_EVENTS)
def test_nothing_personal_leaks(event: Event) -> None:
    """With `omit` nothing of a personal field is anywhere in what is sent."""
    sent = cloud_events_of(LEDGER, personal="omit")(recorded(event))
    assert SECRET not in json.dumps(json.loads(sent), ensure_ascii=False)


@given(_EVENTS)
def test_what_is_not_personal_stays(event: Event) -> None:
    """With `omit` every field is there, and each that is not personal as it is stored."""
    sent, stored = told(event, personal="omit")["data"], json.loads(recorded(event).data)
    assert list(sent) == list(stored)
    personal = {one.name for one in dataclasses.fields(event) if isinstance(getattr(event, one.name), Personal)}
    assert {name: value for name, value in sent.items() if name not in personal} == {
        name: value for name, value in stored.items() if name not in personal
    }


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (ADA_ACTIVATED, {"user"}),
        (ADA_BLOCKED, {"user", "note"}),
        (GRACE_BLOCKED, {"user", "note"}),
        (ADA_UNBLOCKED, set()),
        (REGISTERED, {"contact"}),
    ],
    ids=["activated", "blocked with a note", "blocked without one", "unblocked", "registered"],
)
def test_a_personal_field_is_null(event: Event, names: set[str]) -> None:
    """With `omit` a note that was written can't be told from one that was not."""
    data = told(event, personal="omit")["data"]
    assert {name for name, value in data.items() if value is None} == names
