"""Fields as they are taken: each refuses in words, and its JSON Schema says the same."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from ledger.users import NAME_LENGTH_MAX, NOTE_LENGTH_MAX, InvalidTextError, User, parse_line, parse_note, parse_user

INTEGER_MAX: Final = 2**53 - 1
UUID_PATTERN: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_UUID: Final = re.compile(UUID_PATTERN.removesuffix("$") + r"\Z")

# What `ledger.users` refuses, as a class of characters for JSON Schema, which knows no unpaired surrogates.
_REFUSED: Final = r"\u0000-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069"
_SPACES: Final = r"\s\u0085\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000"
LINE_PATTERN: Final = f"^[^{_REFUSED}]*[^{_REFUSED}{_SPACES}][^{_REFUSED}]*$"
TEXT_PATTERN: Final = r"^[^\u0000]*$"
NOTE_PATTERN: Final = rf"^([^{_REFUSED}]|\t|\n|\r\n)*$"

_RFC_3339: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?(?P<zone>[Zz]|[-+ ]\d\d:\d\d)",
    re.ASCII,
)
_WHOLE: Final = re.compile(r"-?\d{1,16}", re.ASCII)


def is_uuid(text: str) -> bool:
    """Whether this is a lower-case UUID, as licenses and seats are named by."""
    return _UUID.match(text) is not None


class Whole(fields.Integer):
    """A whole number: `5` and `5.0`, never `true`, `"5"` or `5.5`."""

    def __init__(self, *, at_least: int, at_most: int = INTEGER_MAX, **options: Any) -> None:  # noqa: ANN401
        """Keep the limits."""
        limits = validate.Range(at_least, at_most, error=f"Give a whole number from {at_least:,} to {at_most:,}.")
        super().__init__(strict=True, validate=limits, **options)
        self._sentence = f"Give a whole number from {at_least:,} to {at_most:,}."

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> int:  # noqa: ANN401, ARG002
        whole = self._read(value)
        if whole is None:
            raise ValidationError(self._sentence)
        return whole

    def _read(self, value: object) -> int | None:
        match value:
            case bool():
                return None
            case int():
                return value
            case float() if value.is_integer():
                return int(value)
            case _:
                return None


class WholeInQuery(Whole):
    """A whole number in a query, where everything is text."""

    def _read(self, value: object) -> int | None:
        return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else None


class Text(fields.String):
    """Text of a limited length, with such characters alone as a database keeps."""

    def __init__(
        self,
        *,
        length_max: int,
        length_min: int = 0,
        metadata: Mapping[str, Any] | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Keep the limits."""
        sentence = f"Give {length_min} to {length_max} characters."
        described = {"pattern": TEXT_PATTERN, **(metadata or {})}
        super().__init__(
            validate=validate.Length(length_min, length_max, error=sentence), metadata=described, **options
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> str:  # noqa: ANN401, ARG002
        if not isinstance(value, str):
            raise ValidationError("Give text.")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValidationError("Remove the unpaired surrogates.") from error
        if "\0" in value:
            raise ValidationError("Remove the NUL characters.")
        return value


class Parsed(fields.String):
    """Text that the ledger reads by its own rules."""

    def __init__(self, parse: Callable[[str], object], *, schema: Mapping[str, object], **options: Any) -> None:  # noqa: ANN401
        """Keep how to read it, and the rules as JSON Schema."""
        super().__init__(metadata=dict(schema), **options)
        self._parse = parse

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:  # noqa: ANN401, ARG002
        if not isinstance(value, str):
            raise ValidationError("Give text.")
        try:
            return self._parse(value)
        except InvalidTextError as error:
            raise ValidationError(str(error)) from error


def user(**options: Any) -> Parsed:  # noqa: ANN401
    """The name of a user; `ledger.users.User` when read."""
    schema = {
        "minLength": 1,
        "maxLength": NAME_LENGTH_MAX,
        "pattern": LINE_PATTERN,
        "description": "The name that the client signs in with; case, surrounding spaces and Unicode form don't count.",
    }
    return Parsed(_parse_user, schema=schema, **options)


def _parse_user(text: str) -> User:
    return parse_user(text)


def note(**options: Any) -> Parsed:  # noqa: ANN401
    """The free text beside a block."""
    return Parsed(parse_note, schema={"maxLength": NOTE_LENGTH_MAX, "pattern": NOTE_PATTERN}, **options)


def line(what: str, **options: Any) -> Parsed:  # noqa: ANN401
    """One line of text, such as the name of a key."""
    schema = {"minLength": 1, "maxLength": NAME_LENGTH_MAX, "pattern": LINE_PATTERN}
    return Parsed(lambda text: parse_line(text, what=what), schema=schema, **options)


def identifier(**options: Any) -> fields.String:  # noqa: ANN401
    """The id of a license or seat: a lower-case UUID."""
    return Parsed(_parse_uuid, schema={"format": "uuid", "pattern": UUID_PATTERN}, **options)


def _parse_uuid(text: str) -> str:
    if not is_uuid(text):
        msg = "Give a lower-case UUID."
        raise InvalidTextError(msg)
    return text


class TrueOrFalse(fields.Boolean):
    """One of JSON's two, and nothing that looks like one."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> bool:  # noqa: ANN401, ARG002
        if not isinstance(value, bool):
            msg = "Give true or false."
            raise ValidationError(msg)
        return value


class Choice(fields.Enum[Any]):
    """One of the values of an enumeration; what is read is its member."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> Any:  # noqa: ANN401, ARG002
        try:
            return self.enum(value)
        except ValueError as error:
            values = ", ".join(str(member.value) for member in self.enum)
            raise ValidationError(f"Give one of: {values}.") from error


class Time(fields.DateTime):
    """A time by RFC 3339 with its zone; aware UTC when read."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> datetime:  # noqa: ANN401, ARG002
        found = _RFC_3339.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValidationError("Give a time with its zone, such as 2026-11-24T09:00:00Z (RFC 3339).")
        fraction = (found["fraction"] or "0")[:6]
        # A plus sign that was not escaped arrives as a space.
        zone = "+00:00" if found["zone"] in "Zz" else found["zone"].replace(" ", "+")
        try:
            return datetime.fromisoformat(f"{found['day']}T{found['time']}.{fraction:0<6}{zone}").astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise ValidationError("There is no such time.") from error
