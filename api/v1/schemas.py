"""The JSON objects of the interface.

What is sent is read through these. Answers are written from the ledger's own types; here stands what they look like,
and the tests hold the two together.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from marshmallow import INCLUDE, RAISE, Schema, ValidationError, fields, post_load, validate, validates_schema

from api.v1.fields import (
    INTEGER_MAX,
    Choice,
    Text,
    Time,
    TrueOrFalse,
    Whole,
    WholeInQuery,
    identifier,
    line,
    note,
    user,
)
from ledger.drift import AlarmCode, DriftKind, Standing
from ledger.envelope import event_types
from ledger.inbox import DismissalReason, MessageStatus
from ledger.license.access import AccessCode, LicenseStatus
from ledger.license.events import ActorRole, BlockReason, KeyKind, LapseReason, RenewalIntent, SuccessionReason
from ledger.license.state import SeatStatus
from ledger.seats import CHANGES_MAX, SEATS_PREVIEWED_MAX, Change, SeatChange
from ledger.system.events import KeyRole

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 1_000
ACTOR_PATTERN: Final = f"^({'|'.join(ActorRole)})(:[!-~]{{1,200}})?$"

_LICENSE_EVENT_TYPES: Final = sorted(type_ for type_ in event_types() if type_.startswith("license."))


class _Taken(Schema):
    """What a caller sends; members that are not known are refused."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "There is no such member.", "type": "Send a JSON object: {…}."}  # noqa: RUF012


# -- queries -----------------------------------------------------------------------------------------------------------


class KeysQuery(_Taken):
    """How much of a list, and from where on."""

    limit = WholeInQuery(at_least=1, at_most=LIMIT_MAX, load_default=LIMIT_DEFAULT)
    cursor = Text(length_min=1, length_max=2_000, metadata={"description": "The `next` of the page before."})


class ListQuery(KeysQuery):
    """How much of a list, from where on, and how new."""

    min_position = WholeInQuery(at_least=0, metadata={"description": "Wait until the answer is true at this position."})


class LicensesQuery(ListQuery):
    """Which licenses."""

    customer_id = Text(length_min=1, length_max=256)
    status = Choice(LicenseStatus, by_value=True)
    q = Text(length_max=256, metadata={"description": "Part of the company's name or of an id."})


class MomentQuery(_Taken):
    """Which moment; only one of the three."""

    as_of = Time(metadata={"description": "A time up to now, with its zone."})
    version = WholeInQuery(at_least=0)
    position = WholeInQuery(at_least=0)
    min_position = WholeInQuery(at_least=0, metadata={"description": "Wait until the answer is true at this position."})

    @validates_schema
    def check_that_only_one_is_given(self, data: Mapping[str, Any], **_: object) -> None:
        """Refuse two moments at once."""
        given = [name for name in ("as_of", "version", "position") if name in data]
        if len(given) > 1:
            raise ValidationError({name: ["Give only one of as_of, version and position."] for name in given})


class SeatQuery(_Taken):
    """What of a seat."""

    min_position = WholeInQuery(at_least=0, metadata={"description": "Wait until the answer is true at this position."})


class SeatsQuery(ListQuery):
    """Which seats."""

    status = Choice(SeatStatus, by_value=True)
    user = user()
    q = Text(length_max=256, metadata={"description": "Part of the user's name."})
    as_of = Time(metadata={"description": "A time up to now, with its zone."})


class HistoryQuery(ListQuery):
    """Which events."""

    user = user()
    type = fields.String(validate=validate.OneOf(_LICENSE_EVENT_TYPES, error="Give one of: {choices}."))
    actor = fields.String(
        validate=validate.Regexp(ACTOR_PATTERN + r"\Z", error="Give a role, or a role and id: admin:key-1."),
    )
    since = Time(metadata={"description": "Included."})
    until = Time(metadata={"description": "Not included."})
    order = fields.String(
        validate=validate.OneOf(("asc", "desc"), error="Give one of: {choices}."), load_default="desc"
    )


class DriftQuery(_Taken):
    """Which report."""

    number = WholeInQuery(at_least=1, metadata={"description": "Of a report that is kept; the latest if absent."})


class InboxQuery(KeysQuery):
    """Which messages."""

    status = Choice(MessageStatus, by_value=True)
    license_id = identifier()
    kind = Text(length_min=1, length_max=64, metadata={"description": "What it is about, such as license-updated."})
    since = Time(metadata={"description": "Received then or later."})
    until = Time(metadata={"description": "Received before."})
    q = Text(
        length_max=256,
        metadata={
            "description": "The beginning of the message's id or of AWS's request id; or an agreement, a LicenseArn, a"
            " license, an AWS account or a legacy customer that it is about."
        },
    )


class AccessQuery(_Taken):
    """Whose access."""

    user = user(required=True)


# -- bodies ------------------------------------------------------------------------------------------------------------


class UserBody(_Taken):
    """A user."""

    user = user(required=True)


class ReasonBody(_Taken):
    """Why a user is blocked."""

    reason = Choice(BlockReason, by_value=True, required=True)
    note = note(load_default=None, allow_none=True)


class BlockBody(ReasonBody):
    """Whom to block and why."""

    user = user(required=True)


class ChangeBody(_Taken):
    """One of many changes: of the seat of a user, or of a seat by its id."""

    user = user(load_default=None, allow_none=True)
    seat_id = identifier(load_default=None, allow_none=True)
    change = Choice(Change, by_value=True, required=True)
    reason = Choice(BlockReason, by_value=True, load_default=None, allow_none=True)
    note = note(load_default=None, allow_none=True)

    @validates_schema
    def check_that_members_go_together(self, data: Mapping[str, Any], **_: object) -> None:
        """Refuse what contradicts itself."""
        if (data["user"] is None) == (data["seat_id"] is None):
            raise ValidationError("Give either a user or a seat_id.", "user")
        blocks = data["change"] is Change.BLOCK
        if blocks and data["reason"] is None:
            raise ValidationError("Give the reason of the block.", "reason")
        for name in ("reason", "note"):
            if not blocks and data[name] is not None:
                raise ValidationError("Only a block has it.", name)

    @post_load
    def make(self, data: Mapping[str, Any], **_: object) -> SeatChange:
        """The change as the ledger takes it."""
        return SeatChange(**data)


class ChangesBody(_Taken):
    """Changes, in their order."""

    changes = fields.List(
        fields.Nested(ChangeBody),
        required=True,
        validate=validate.Length(1, CHANGES_MAX, error=f"Give 1 to {CHANGES_MAX:,} changes."),
    )


class PreviewBody(_Taken):
    """The seat limit that one has in mind."""

    seats_max = Whole(at_least=0, at_most=SEATS_PREVIEWED_MAX, required=True)


class DismissalBody(_Taken):
    """Why nobody need look at a message any more."""

    reason = Choice(DismissalReason, by_value=True, required=True)
    note = note(load_default=None, allow_none=True)


_MARKETPLACE_KEY: Final = (
    "^([A-Za-z0-9_/-]{1,64}"
    "|(arn:)?aws[a-z-]*:license-manager:[a-z0-9-]*:[0-9]*:(license[:/])?(l|lic)-[0-9A-Za-z]{1,64}"
    "|[!-.0-9;-~]{1,255}/[!-~]{1,255})$"
)


class SuccessionBody(_Taken):
    """What is to follow behind a license."""

    key = fields.String(
        required=True,
        validate=validate.Regexp(_MARKETPLACE_KEY, error="Give a LicenseArn or the id of an agreement."),
        metadata={
            "description": "A LicenseArn, the id of an agreement, or `product code/customer identifier` of a legacy"
            " license; AWS must have named it."
        },
    )
    reason = Choice(SuccessionReason, by_value=True, required=True)
    preview = TrueOrFalse(
        load_default=True,
        metadata={"description": "Only tell what it would do; false does it."},
    )


class KeyBody(_Taken):
    """A key to issue."""

    name = line("The name", required=True)
    role = Choice(KeyRole, by_value=True, required=True)
    licenses = fields.List(
        identifier(),
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, LIMIT_MAX, error=f"Give 1 to {LIMIT_MAX:,} licenses, or null."),
    )
    customer_id = line("The customer", load_default=None, allow_none=True)
    product_id = line("The product", load_default=None, allow_none=True)
    expires_at = Time(load_default=None, allow_none=True)

    @validates_schema
    def check_that_the_role_has_such_a_scope(self, data: Mapping[str, Any], **_: object) -> None:
        """Refuse a scope that the role does not go with."""
        errors = _scope_errors(
            cast("KeyRole", data["role"]),
            licenses=data["licenses"] is not None,
            customer=data["customer_id"] is not None,
            product=data["product_id"] is not None,
        )
        if errors:
            raise ValidationError(errors)


# Whether there are licenses, a customer and a product.
_SCOPES_OF_CLIENTS: Final = {(True, False, False), (False, True, True)}


def _scope_errors(role: KeyRole, *, licenses: bool, customer: bool, product: bool) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if role is KeyRole.OPERATOR and licenses:
        errors["licenses"] = ["An operator reaches everything; give null."]
    if role is not KeyRole.CLIENT and (customer or product):
        errors["customer_id"] = ["Only a client's key goes by customer and product; give null."]
    if role is KeyRole.ADMIN and not licenses:
        errors["licenses"] = ["Give the licenses of this administrator."]
    if role is KeyRole.CLIENT and (licenses, customer, product) not in _SCOPES_OF_CLIENTS:
        errors["licenses"] = ["Give either licenses, or both customer_id and product_id."]
    return errors


# -- answers -----------------------------------------------------------------------------------------------------------


def _text(**options: Any) -> fields.String:  # noqa: ANN401
    return fields.String(required=True, **options)


def _id(**options: Any) -> fields.UUID:  # noqa: ANN401
    return fields.UUID(required=True, **options)


def _time() -> fields.DateTime:
    return fields.DateTime(required=True)


def _time_or_null() -> fields.DateTime:
    return fields.DateTime(required=True, allow_none=True)


def _number(minimum: int = 0, **options: Any) -> fields.Integer:  # noqa: ANN401 -- marshmallow's
    return fields.Integer(required=True, strict=True, validate=validate.Range(minimum, INTEGER_MAX), **options)


class Actor(Schema):
    """Who caused an event."""

    role = fields.Enum(ActorRole, by_value=True, required=True)
    id = _text()


class Renewal(Schema):
    """What becomes of a contract at its renewal date; unknown as long as AWS has not told it."""

    intent = fields.Enum(RenewalIntent, by_value=True, required=True)
    source = _text(
        allow_none=True,
        metadata={"description": "The message or call of AWS Marketplace that told it; null if none did."},
    )
    announced_at = _time_or_null()


class LicenseInformation(Schema):
    """One license, as License Information shows it."""

    license_id = _id()
    customer_id = _text(allow_none=True, metadata={"description": "The AWS account, else the legacy identifier."})
    product_id = _text(allow_none=True)
    product_code = _text()
    company_name = _text(allow_none=True)
    seats_max = _number()
    seats_active = _number()
    seats_blocked = _number()
    seats_available = _number()
    status = fields.Enum(LicenseStatus, by_value=True, required=True)
    lapse_reason = fields.Enum(LapseReason, by_value=True, required=True, allow_none=True)
    ended_at = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When the contract ended; null unless it is lapsed."}
    )
    renewal_date = _time_or_null()
    renewal = fields.Nested(Renewal, required=True)
    usable_until = _time_or_null()
    license_arn = _text(allow_none=True)
    agreement_id = _text(allow_none=True)
    folded_into = _text(
        allow_none=True,
        metadata={"description": "The license whose twin this one turned out to be, and which answers in its place."},
    )
    version = _number(1)
    position = _number(1)
    as_of = _time()


class SuccessionPlan(Schema):
    """What it means that a key follows behind a license."""

    license_id = _id()
    kind = fields.Enum(KeyKind, by_value=True, required=True)
    value = _text()
    follows_already = fields.Boolean(required=True)
    twin = _text(
        allow_none=True, metadata={"description": "The license that has the key, and is folded into this one."}
    )
    agreement_id_before = _text(allow_none=True)
    agreement_id_after = _text(allow_none=True)
    product_code_before = _text()
    product_code_after = _text()
    customer_id_before = _text(allow_none=True)
    customer_id_after = _text(allow_none=True)
    is_of_another = fields.Boolean(required=True, metadata={"description": "Whether that is another customer."})
    company_name = _text(allow_none=True)
    seats_max_before = _number(0, allow_none=True)
    seats_max_after = _number(0, allow_none=True)
    renews_at_before = _time_or_null()
    renews_at_after = _time_or_null()
    seats_active = _number(0)
    seats_deleted = _number(0, metadata={"description": "When the seats of the contract before are gone."})
    must_free_first = _number(0)
    done = fields.Boolean(required=True, metadata={"description": "False for a preview."})
    position = _number(1)


class Seat(Schema):
    """One user's place under a license."""

    license_id = _id()
    seat_id = _id()
    user = _text()
    status = fields.Enum(SeatStatus, by_value=True, required=True)
    activated_at = _time_or_null()
    blocked_at = _time_or_null()
    deleted_at = _time_or_null()
    reason = _text(allow_none=True, metadata={"description": "Of the block or the deletion."})
    note = _text(allow_none=True)
    actor = fields.Nested(Actor, required=True)
    version = _number(1)


class SeatNow(Seat):
    """A seat, and up to where this is true."""

    position = _number()


class SeatAnswer(SeatNow):
    """The seat after a command."""

    license_version = _number(1)


class ChangeResult(Schema):
    """What became of one change."""

    status = _number(200)
    code = _text(allow_none=True)
    detail = _text(allow_none=True)
    seat = fields.Nested(Seat, required=True, allow_none=True)


class ChangesAnswer(Schema):
    """What became of the changes, in their order."""

    results = fields.List(fields.Nested(ChangeResult), required=True)
    license_version = _number(1)
    position = _number(1)


class Access(Schema):
    """Whether a user may work."""

    allowed = fields.Boolean(required=True)
    code = fields.Enum(AccessCode, by_value=True, required=True)
    detail = _text()
    user = _text()
    seat_id = _id(allow_none=True)
    license_id = _id()
    usable_until = _time_or_null()
    check_again_at = _time()
    position = _number(1)


class AccessByKey(Access):
    """Whether a user may work, and under which of the licenses that the key reaches."""

    license_id = _id(allow_none=True, metadata={"description": "The license that was chosen; null if there is none."})


class Preview(Schema):
    """What a seat limit would do."""

    seats_max = _number()
    seats_active = _number()
    seats_deleted = _number()
    must_free_first = _number()
    users = fields.List(_text(), required=True, metadata={"description": "The first 1,000 who would lose their seat."})
    license_version = _number(1)
    position = _number(1)


class HistoryEntry(Schema):
    """One event."""

    position = _number(1)
    version = _number(1)
    type = _text(validate=validate.OneOf(_LICENSE_EVENT_TYPES))
    recorded_at = _time()
    actor = fields.Nested(Actor, required=True)
    cause = _text(allow_none=True)
    seat_id = _id(allow_none=True)
    user = _text(allow_none=True)
    data = fields.Dict(required=True)


class Dismissal(Schema):
    """Who said when and why that nobody need look at a message any more."""

    reason = fields.Enum(DismissalReason, by_value=True, required=True)
    note = _text(allow_none=True)
    actor = fields.Nested(Actor, required=True)
    dismissed_at = _time()


class Message(Schema):
    """What AWS Marketplace told, and what became of it."""

    number = _number(1)
    message_id = _text(metadata={"description": "Events that follow from it carry it as their cause."})
    request_id = _text(allow_none=True)
    kind = _text(allow_none=True)
    says = _text(metadata={"description": "What it says, for people."})
    status = fields.Enum(MessageStatus, by_value=True, required=True)
    reason = _text(allow_none=True, metadata={"description": "Why it stands so, for people."})
    dismissal = fields.Nested(Dismissal, required=True, allow_none=True)
    needs_look = fields.Boolean(
        required=True, metadata={"description": "It failed, or is parked or waits for more than a day."}
    )
    license_id = _id(allow_none=True)
    agreement_id = _text(allow_none=True)
    received_at = _time()
    sent_at = _time_or_null()
    due_at = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When it is looked at again by itself."}
    )
    parked_at = _time_or_null()
    attempts = _number()
    repeats = fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(0, INTEGER_MAX),
        metadata={"description": "How often the very same message came again."},
    )
    first_position = fields.Integer(required=True, allow_none=True, strict=True)
    last_position = fields.Integer(required=True, allow_none=True, strict=True)


class MessageReading(Schema):
    """What AWS answered when a license was read."""

    read_at = _time()
    outcome = _text(validate=validate.OneOf(("observed", "no-observation")))
    reason = _text(allow_none=True)
    rows = fields.List(fields.Dict(), required=True, metadata={"description": "Of GetEntitlements, as answered."})
    agreements = fields.List(
        fields.Dict(), required=True, allow_none=True, metadata={"description": "Null if they were not asked for."}
    )


class MessageInFull(Message):
    """A message with all that is kept of it."""

    body = _text(metadata={"description": "As it came."})
    events = fields.List(fields.Nested(HistoryEntry), required=True, metadata={"description": "The first 1,000."})
    reading = fields.Nested(MessageReading, required=True, allow_none=True)


class Key(Schema):
    """A key as it is listed."""

    key_id = _text()
    name = _text()
    role = fields.Enum(KeyRole, by_value=True, required=True)
    licenses = fields.List(_id(), required=True, allow_none=True)
    customer_id = _text(allow_none=True)
    product_id = _text(allow_none=True)
    issued_at = _time()
    expires_at = _time_or_null()
    revoked_at = _time_or_null()


class IssuedKey(Key):
    """A key that was just issued, with its secret, which is shown this once."""

    key = _text()


class Terms(Schema):
    """What one side says of a license."""

    seats_max = _number()
    renews_at = _time_or_null()


class Difference(Schema):
    """One license in which ledger and AWS differ."""

    kinds = fields.List(fields.Enum(DriftKind, by_value=True), required=True)
    standing = fields.Enum(Standing, by_value=True, required=True)
    license_id = _id(allow_none=True)
    product_code = _text()
    customer_id = _text(allow_none=True)
    key = _text(allow_none=True)
    here = fields.Nested(Terms, required=True, allow_none=True)
    there = fields.Nested(Terms, required=True, allow_none=True)
    is_loss = fields.Boolean(required=True)
    reason = _text(allow_none=True)
    seats_active = _number()
    seats_deleted = _number(metadata={"description": "By mending it: all users with a seat, or none."})
    after = fields.Nested(
        Terms, required=True, allow_none=True, metadata={"description": "What the ledger says, where it was mended."}
    )


class Losses(Schema):
    """What would be lost within 24 hours, with what reconciliations let go before, of what there was."""

    licenses = _number()
    seats = _number()
    licenses_before = _number()
    seats_before = _number()
    percent_max = fields.Float(required=True)


class CandidateSide(Schema):
    """One of two licenses, of which the one may be the other one renewed."""

    seats_max = fields.Integer(required=True, allow_none=True)
    seats_active = _number()


class Candidate(Schema):
    """Two licenses of one customer, of which the newer may be the older one renewed."""

    license_id = _id()
    ended_at = _time()
    successor_id = _id()
    began_at = _time()
    key = _text(metadata={"description": "As `licensing-ledger succeed` takes it."})
    product_code = _text()
    customer_id = _text()
    older = fields.Nested(CandidateSide, required=True, allow_none=True)
    newer = fields.Nested(CandidateSide, required=True, allow_none=True)
    obstacle = _text(
        allow_none=True, metadata={"description": "Why the newer one can't take the older one's place as it is."}
    )


class Unexplained(Schema):
    """A license that runs, and of which AWS has shown nothing for a day or longer."""

    license_id = _id()
    since = _time()
    product_code = _text()
    customer_id = _text(allow_none=True)
    here = fields.Nested(Terms, required=True)


class Alarm(Schema):
    """What a person has to look at."""

    code = fields.Enum(AlarmCode, by_value=True, required=True)
    detail = _text()


class DriftReport(Schema):
    """What a reconciliation found, and what became of it."""

    number = _number(1)
    begun_at = _time()
    finished_at = _time()
    dry_run = fields.Boolean(required=True)
    apply_losses = fields.Boolean(required=True)
    agrees = fields.Boolean(required=True)
    licenses = _number()
    rows = _number()
    pages = _number()
    agreements = _number()
    counts = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    losses = fields.Nested(Losses, required=True, allow_none=True)
    alarms = fields.List(fields.Nested(Alarm), required=True)
    differences = fields.List(
        fields.Nested(Difference),
        required=True,
        metadata={"description": "The first 1,000, what is open before what is done."},
    )
    unexplained = fields.List(fields.Nested(Unexplained), required=True)
    candidates = fields.List(fields.Nested(Candidate), required=True)
    notes = fields.List(_text(), required=True)


class DriftProgress(Schema):
    """How far a reconciliation is."""

    number = _number(1)
    begun_at = _time_or_null()
    doing = _text()
    done = _number()
    total = fields.Integer(required=True, allow_none=True)
    trouble = _text(allow_none=True)


class Drift(Schema):
    """Whether the ledger agrees with AWS."""

    running = fields.Nested(DriftProgress, required=True, allow_none=True)
    kept = fields.List(_number(1), required=True, metadata={"description": "The reports that can be asked for."})
    report = fields.Nested(DriftReport, required=True, allow_none=True)


class _Page(Schema):
    next = _text(allow_none=True, metadata={"description": "The `cursor` of the next page."})
    position = _number()


class LicensePage(_Page):
    """Some of the licenses."""

    items = fields.List(fields.Nested(LicenseInformation), required=True)


class SeatPage(_Page):
    """Some of the seats."""

    items = fields.List(fields.Nested(Seat), required=True)
    as_of = _time()


class HistoryPage(_Page):
    """Some of the events."""

    items = fields.List(fields.Nested(HistoryEntry), required=True)


class MessagePage(_Page):
    """Some of the messages."""

    items = fields.List(fields.Nested(Message), required=True)


class KeyPage(_Page):
    """Some of the keys."""

    items = fields.List(fields.Nested(Key), required=True)


class Problem(Schema):
    """What is wrong and what to do, as RFC 9457 has it."""

    class Meta:
        """A code may bring more."""

        unknown = INCLUDE

    type = _text(metadata={"format": "uri"})
    title = _text()
    status = _number(400)
    detail = _text()
    code = _text()
    request_id = _text()
    errors = fields.Dict(metadata={"description": "By field, where the request is not valid."})
