"""Fields take what their JSON Schema says, and refuse the rest in words."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from api.v1.fields import LINE_PATTERN, NOTE_PATTERN, TEXT_PATTERN, Text, Time, is_uuid, line, note, user
from ledger.users import NAME_LENGTH_MAX, parse_user
from tests.stories import LICENSE

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(TEXT)
def test_a_name_is_taken_if_its_pattern_says_so(text: str) -> None:
    """The description of a name promises no more and no less than the ledger takes."""
    _agree(user(), LINE_PATTERN, text)
    _agree(line("The name"), LINE_PATTERN, text)


@given(TEXT)
def test_a_note_is_taken_if_its_pattern_says_so(text: str) -> None:
    """A note may be empty and have line breaks."""
    _agree(note(), NOTE_PATTERN, text)


def _agree(field: object, pattern: str, text: str) -> None:
    described = re.compile(pattern.removesuffix("$") + r"\Z").match(text) is not None
    try:
        field.deserialize(text)  # type: ignore[attr-defined]
        taken = True
    except ValidationError:
        taken = False
    assert taken is described


@given(st.text(st.characters(codec="utf-8"), max_size=3) | st.sampled_from(["\0", "a\0b", "\n", "a\nb"]))
def test_text_is_taken_if_its_pattern_says_so(text: str) -> None:
    """No database keeps a NUL."""
    _agree(Text(length_max=3), TEXT_PATTERN, text)


def test_a_name_has_its_length_after_it_was_stripped() -> None:
    """Spaces around it don't count."""
    read: object = user().deserialize(" " + "a" * NAME_LENGTH_MAX + " ")
    assert read == parse_user("a" * NAME_LENGTH_MAX)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-24T09:00:00Z", datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("2026-11-24t09:00:00z", datetime(2026, 11, 24, 9, tzinfo=UTC)),
        ("2026-11-24T09:00:00.5+01:00", datetime(2026, 11, 24, 8, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-24T09:00:00.123456789Z", datetime(2026, 11, 24, 9, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-11-24T09:00:00 01:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24T09:00:00-00:30", datetime(2026, 11, 24, 9, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_what_rfc_3339_says(text: str, time: datetime) -> None:
    """In UTC; a plus sign that came as a space is one."""
    assert Time().deserialize(text) == time


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T09:00Z",
        "2026-11-24T09:00:00",
        "2026-W48-2T09:00:00Z",
        "2026-13-24T09:00:00Z",
        "0001-01-01T00:00:00+01:00",
    ],
)
def test_what_is_no_such_time(text: str) -> None:
    """It is refused with an example, or because there is none."""
    with pytest.raises(ValidationError):
        Time().deserialize(text)


def test_only_lower_case_uuids_are_ids() -> None:
    """Another spelling is another id, which nobody has."""
    assert is_uuid(LICENSE)
    assert not is_uuid(LICENSE.upper())
    assert not is_uuid(LICENSE + "\n")
    assert not is_uuid("{" + LICENSE + "}")
