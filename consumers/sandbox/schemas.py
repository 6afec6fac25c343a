"""What the control API and the control page take: times, seats and terms, as a person or a script writes them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec
from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from consumers.sandbox.clock import ADVANCE_MAX
from consumers.sandbox.contracts import (
    AgreementStatus,
    AtEnd,
    Generation,
    Intent,
    NoRenewal,
    Offer,
    Party,
    PredecessorEnds,
    Seats,
    SuccessorTerms,
)
from consumers.sandbox.faults import OPERATIONS
from consumers.sandbox.notices import ENDING_DAYS, Notice

CALLS_MAX = 10_000
HANG_SECONDS_MAX = 600
DELAY_SECONDS_MAX = 90 * 86_400
EMPTY_PAGES_MAX = 100

_END_OF_DAY = time(23, 59, 59, 999_000)


def _read_moment(text: object, *, day_means: time) -> datetime:
    try:
        return _parse_moment(str(text), day_means=day_means)
    except (ValueError, OverflowError) as error:
        raise ValidationError(
            "Give a day, such as 2027-05-31, or a time with its zone, such as 2027-05-31T23:59:59Z."
        ) from error


def _parse_moment(text: str, *, day_means: time) -> datetime:
    if len(text) == len("2027-05-31"):
        return datetime.combine(date.fromisoformat(text), day_means, UTC)
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at.astimezone(UTC)


def read_end(text: object) -> datetime:
    """Read a moment; a day means its last millisecond in UTC, as with AWS."""
    return _read_moment(text, day_means=_END_OF_DAY)


def read_start(text: object) -> datetime:
    """Read a moment; a day means its beginning in UTC, as with AWS."""
    return _read_moment(text, day_means=time())


def _read_start_or_none(text: object) -> datetime | None:
    return None if text is None else read_start(text)


def _read_end_or_none(text: object) -> datetime | None:
    return None if text is None else read_end(text)


def _read_duration(text: object) -> timedelta | None:
    if text is None:
        return None
    try:
        duration = msgspec.convert(text, timedelta)
    except msgspec.ValidationError as error:
        raise ValidationError("Give an ISO 8601 duration, such as P30D or PT1H.") from error
    if not timedelta() <= duration <= ADVANCE_MAX:
        raise ValidationError("Give a duration of ten years at most.")
    return duration


def _read_seats(value: object) -> Seats:
    if isinstance(value, Mapping) and value:
        return {str(dimension): _read_number(seats) for dimension, seats in value.items()}
    return _read_number(value)


def _read_number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValidationError("Not a valid integer.")
    return value


def _read_seats_or_none(value: object) -> Seats | None:
    return None if value is None else _read_seats(value)


class StrictSchema(Schema):
    """A body with known fields only."""

    class Meta:
        """What a field that nobody knows does."""

        unknown = RAISE


class PurchaseSchema(StrictSchema):
    """What a buyer accepts."""

    account_id = fields.String(required=True)
    seats = fields.Function(deserialize=_read_seats, required=True)
    until = fields.Function(deserialize=read_end, required=True)
    generation = fields.Enum(Generation, by_value=True, load_default=Generation.CONCURRENT)
    auto_renews = fields.Boolean(load_default=True)
    product_code = fields.String(allow_none=True, load_default=None)
    starts_at = fields.Function(deserialize=_read_start_or_none, load_default=None)
    trial_ends_at = fields.Function(deserialize=_read_end_or_none, load_default=None)
    via_partner = fields.Boolean(load_default=False)
    at_end = fields.Enum(AtEnd, by_value=True, allow_none=True, load_default=None)

    @post_load
    def make(self, loaded: dict[str, Any], **_options: object) -> dict[str, Any]:
        """Put what is particular about the offer together."""
        offer = Offer(**{name: loaded.pop(name) for name in Offer.__dataclass_fields__})
        return loaded | {"offer": offer}


class SuccessorSchema(StrictSchema):
    """How another agreement takes the place of one."""

    until = fields.Function(deserialize=read_end, required=True)
    intent = fields.Enum(
        Intent, by_value=True, load_default=Intent.RENEW, validate=validate.OneOf([Intent.RENEW, Intent.REPLACE])
    )
    seats = fields.Function(deserialize=_read_seats_or_none, load_default=None)
    starts_at = fields.Function(deserialize=_read_start_or_none, load_default=None)
    keeps_license = fields.Boolean(load_default=False)
    is_linked = fields.Boolean(load_default=True)
    predecessor_ends = fields.Enum(PredecessorEnds, by_value=True, allow_none=True, load_default=None)

    @post_load
    def make(self, loaded: dict[str, Any], **_options: object) -> SuccessorTerms:
        """Put the terms together."""
        return SuccessorTerms(**loaded)


class SeatsSchema(StrictSchema):
    """Another number of seats."""

    seats = fields.Function(deserialize=_read_seats, required=True)


class RenewalSchema(StrictSchema):
    """A later end."""

    until = fields.Function(deserialize=read_end, required=True)


class DecisionSchema(StrictSchema):
    """What becomes of a contract at its end."""

    at_end = fields.Enum(AtEnd, by_value=True, required=True)
    by = fields.Enum(Party, by_value=True, load_default=Party.ACCEPTOR)
    reason = fields.Enum(NoRenewal, by_value=True, allow_none=True, load_default=None)


class EndSchema(StrictSchema):
    """How a contract ends."""

    status = fields.Enum(
        AgreementStatus,
        by_value=True,
        required=True,
        validate=validate.NoneOf([AgreementStatus.ACTIVE, AgreementStatus.ARCHIVED]),
    )


class NoticeSchema(StrictSchema):
    """What AWS says beside the life of a contract."""

    notice = fields.Enum(Notice, by_value=True, required=True)
    days = fields.Integer(strict=True, load_default=ENDING_DAYS[-1], validate=validate.OneOf(ENDING_DAYS))


class AdvanceSchema(StrictSchema):
    """How far the clock goes forward."""

    advance = fields.Function(deserialize=_read_duration, load_default=None)
    to = fields.Function(deserialize=_read_start_or_none, load_default=None)

    @validates_schema
    def require_one(self, loaded: Mapping[str, Any], **_options: object) -> None:
        """One of the two is given."""
        if (loaded["advance"] is None) == (loaded["to"] is None):
            raise ValidationError("Give either advance or to.")


class AutoSchema(StrictSchema):
    """Whether what falls due happens by itself."""

    auto = fields.Boolean(required=True)
    renewals_keep_license = fields.Boolean(load_default=False)


def _share() -> fields.Float:
    return fields.Float(validate=validate.Range(0, 1))


class MischiefSchema(StrictSchema):
    """A whole plan of mischief."""

    seed = fields.Integer(strict=True, validate=validate.Range(0, 2**53))
    duplicate = _share()
    drop = _share()
    reorder = _share()
    respell = _share()
    delay_seconds = fields.Tuple(
        (
            fields.Float(validate=validate.Range(0, DELAY_SECONDS_MAX)),
            fields.Float(validate=validate.Range(0, DELAY_SECONDS_MAX)),
        )
    )
    throttle = _share()
    fail = _share()
    hang = _share()
    hang_seconds = fields.Float(validate=validate.Range(0, HANG_SECONDS_MAX))
    empty_pages = _share()
    missing_row = _share()
    as_buyer = _share()
    expired_tokens = _share()
    since = fields.Function(deserialize=_read_start_or_none, allow_none=True)
    until = fields.Function(deserialize=_read_end_or_none, allow_none=True)

    @validates_schema
    def require_order(self, loaded: Mapping[str, Any], **_options: object) -> None:
        """The least delay stands first, and the end after the beginning."""
        least, most = loaded.get("delay_seconds", (0, 0))
        if least > most:
            raise ValidationError("Give the least delay first.", "delay_seconds")
        since, until = loaded.get("since"), loaded.get("until")
        if since is not None and until is not None and until <= since:
            raise ValidationError("Give an end after the beginning.", "until")


class FaultPlanSchema(StrictSchema):
    """A whole plan of faults."""

    throttle = fields.Dict(
        keys=fields.String(validate=validate.OneOf(OPERATIONS)),
        values=fields.Integer(strict=True, validate=validate.Range(0, CALLS_MAX)),
    )
    fail = fields.Dict(
        keys=fields.String(validate=validate.OneOf(OPERATIONS)),
        values=fields.Integer(strict=True, validate=validate.Range(0, CALLS_MAX)),
    )
    hang_seconds = fields.Float(validate=validate.Range(0, HANG_SECONDS_MAX))
    as_buyer = fields.Boolean()
    page_size = fields.Integer(strict=True, allow_none=True, validate=validate.Range(1, 25))
    empty_pages = fields.Integer(strict=True, validate=validate.Range(0, EMPTY_PAGES_MAX))
    rows = fields.Dict(keys=fields.String(), values=fields.List(fields.Dict(keys=fields.String())))
