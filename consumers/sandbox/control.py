"""The control API of the sandbox Marketplace, in JSON.

| call | what it does |
| --- | --- |
| `GET /sandbox/contracts` | all contracts, the first bought first |
| `POST /sandbox/contracts` | 201: a buyer buys: `account_id`, `seats`, `until`, `generation`, `auto_renews` |
| `POST /sandbox/contracts/{agreement_id}/seats` | `{"seats"}`: the buyer has that many from now on |
| `POST /sandbox/contracts/{agreement_id}/renew` | `{"until"}`: the same agreement goes on to a later date |
| `POST /sandbox/contracts/{agreement_id}/cancel` | the buyer cancels |
| `POST /sandbox/contracts/{agreement_id}/expire` | the end date passes now |
| `POST /sandbox/contracts/{agreement_id}/token` | a registration token: `token`, `expires_at`, `fulfillment_url` |
| `GET /sandbox/messages` | the last messages sent, newest first; `body` is what lies in the queue |
| `GET /sandbox/faults` | how the sandbox misbehaves, with the counts that are left |
| `PUT /sandbox/faults` | misbehave by this whole plan from now on |
| `DELETE /sandbox/faults` | behave again |

`generation` is `concurrent` (if absent) or `legacy`, `auto_renews` is true if absent. A time is RFC 3339 with a zone,
or a day, which means its last millisecond in UTC, as with AWS. Changes answer `{"contract", "messages"}`: the contract
as it now is, and what was sent about it (`delivered` is false for a message that the queue did not take).

A plan of faults is `{"throttle": {operation: calls}, "fail": {operation: calls}, "hang_seconds", "as_buyer",
"page_size", "empty_pages", "rows": {agreement_id: [row of AWS's JSON]}}`, each absent for good behavior.

Errors are `application/problem+json` with `code` and `detail`, and `errors` by field.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, time
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify, request
from marshmallow import RAISE, Schema, ValidationError, fields, validate
from werkzeug.exceptions import HTTPException

from consumers.sandbox import contracts
from consumers.sandbox.contracts import Contract, Generation, MarketplaceRefusedError
from consumers.sandbox.faults import OPERATIONS, FaultPlan, Faults
from consumers.sandbox.marketplace import Marketplace, Outcome
from consumers.sandbox.notifications import Message

CALLS_MAX = 10_000
HANG_SECONDS_MAX = 600
EMPTY_PAGES_MAX = 100

_STATUS_OF_REFUSAL: Mapping[type[MarketplaceRefusedError], HTTPStatus] = {
    contracts.ContractNotFoundError: HTTPStatus.NOT_FOUND,
    contracts.ContractHasEndedError: HTTPStatus.CONFLICT,
    contracts.AnotherContractIsActiveError: HTTPStatus.CONFLICT,
    contracts.TooManyContractsError: HTTPStatus.CONFLICT,
}
_CODE_OF_REFUSAL: Mapping[type[MarketplaceRefusedError], str] = {
    contracts.ContractNotFoundError: "CONTRACT_NOT_FOUND",
    contracts.ContractHasEndedError: "CONTRACT_HAS_ENDED",
    contracts.AnotherContractIsActiveError: "ANOTHER_CONTRACT_IS_ACTIVE",
    contracts.TooManyContractsError: "TOO_MANY_CONTRACTS",
}


def _read_end(text: object) -> datetime:
    try:
        return _parse_end(str(text))
    except (ValueError, OverflowError) as error:
        raise ValidationError(
            "Give a day, such as 2027-05-31, or a time with its zone, such as 2027-05-31T23:59:59Z."
        ) from error


def _parse_end(text: str) -> datetime:
    if len(text) == len("2027-05-31"):
        return datetime.combine(date.fromisoformat(text), time(23, 59, 59, 999_000), UTC)
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at.astimezone(UTC)


class StrictSchema(Schema):
    """A body with known fields only."""

    class Meta:
        """What a field that nobody knows does."""

        unknown = RAISE


class PurchaseSchema(StrictSchema):
    """What a buyer accepts."""

    account_id = fields.String(required=True)
    seats = fields.Integer(strict=True, required=True)
    until = fields.Function(deserialize=_read_end, required=True)
    generation = fields.Enum(Generation, by_value=True, load_default=Generation.CONCURRENT)
    auto_renews = fields.Boolean(load_default=True)


class SeatsSchema(StrictSchema):
    """Another number of seats."""

    seats = fields.Integer(strict=True, required=True)


class RenewalSchema(StrictSchema):
    """A later end."""

    until = fields.Function(deserialize=_read_end, required=True)


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


class ControlApi:
    """The control API over one Marketplace."""

    def __init__(self, *, marketplace: Marketplace, faults: Faults, fulfillment_url: str | None) -> None:
        """Control these contracts and faults; the fulfillment URL is told with each registration token."""
        self._marketplace = marketplace
        self._faults = faults
        self._fulfillment_url = fulfillment_url

    def blueprint(self) -> Blueprint:
        """Tie paths and methods to what they do."""
        api = Blueprint("control", __name__, url_prefix="/sandbox")
        contract = "/contracts/<agreement_id>"
        api.get("/contracts")(self.contracts)
        api.post("/contracts")(self.buy)
        api.post(f"{contract}/seats")(self.set_seats)
        api.post(f"{contract}/renew")(self.renew)
        api.post(f"{contract}/cancel")(self.cancel)
        api.post(f"{contract}/expire")(self.expire)
        api.post(f"{contract}/token")(self.issue_token)
        api.get("/messages")(self.messages)
        api.get("/faults")(self.show_faults)
        api.put("/faults")(self.set_faults)
        api.delete("/faults")(self.clear_faults)
        api.register_error_handler(MarketplaceRefusedError, _refused)
        api.register_error_handler(ValidationError, _invalid)
        return api

    def contracts(self) -> Response:
        """List all contracts."""
        return jsonify(items=[_contract(contract) for contract in self._marketplace.contracts])

    def buy(self) -> tuple[Response, HTTPStatus]:
        """Let a buyer accept the offer."""
        return _outcome(self._marketplace.buy(**PurchaseSchema().load(request.get_json()))), HTTPStatus.CREATED

    def set_seats(self, agreement_id: str) -> Response:
        """Give a contract another number of seats."""
        return _outcome(self._marketplace.set_seats(agreement_id, **SeatsSchema().load(request.get_json())))

    def renew(self, agreement_id: str) -> Response:
        """Let a contract go on to a later date."""
        return _outcome(self._marketplace.renew(agreement_id, **RenewalSchema().load(request.get_json())))

    def cancel(self, agreement_id: str) -> Response:
        """Let the buyer cancel."""
        return _outcome(self._marketplace.cancel(agreement_id))

    def expire(self, agreement_id: str) -> Response:
        """Let the end date pass now."""
        return _outcome(self._marketplace.expire(agreement_id))

    def issue_token(self, agreement_id: str) -> Response:
        """Give a registration token."""
        issued = self._marketplace.issue_token(agreement_id)
        return jsonify(token=issued.token, expires_at=_time(issued.expires_at), fulfillment_url=self._fulfillment_url)

    def messages(self) -> Response:
        """List the last messages."""
        return jsonify(items=[_message(message) for message in self._marketplace.messages])

    def show_faults(self) -> Response:
        """Tell the plan of faults in force."""
        return jsonify(asdict(self._faults.plan))

    def set_faults(self) -> Response:
        """Put another plan of faults in force."""
        self._faults.set(FaultPlan(**FaultPlanSchema().load(request.get_json())))
        return self.show_faults()

    def clear_faults(self) -> Response:
        """Behave again."""
        self._faults.clear()
        return self.show_faults()


def status_of(refusal: MarketplaceRefusedError) -> HTTPStatus:
    """Tell the HTTP status that goes with a refusal."""
    return _STATUS_OF_REFUSAL.get(type(refusal), HTTPStatus.UNPROCESSABLE_ENTITY)


def problem(status: HTTPStatus, code: str, detail: str, **members: object) -> Response:
    """Answer with an error in the form of RFC 9457."""
    response = jsonify(title=status.phrase, status=status.value, code=code, detail=detail, **members)
    response.status_code = status
    response.mimetype = "application/problem+json"
    return response


def problem_of(error: HTTPException) -> Response:
    """Put an error of the web framework into the form of RFC 9457, with its headers (`Allow` of a 405)."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    response = problem(status, status.name, error.description or status.phrase)
    response.headers.extend(
        [(name, value) for name, value in error.get_headers() if name not in {"Content-Type", "Content-Length"}]
    )
    return response


def _refused(refusal: MarketplaceRefusedError) -> Response:
    return problem(status_of(refusal), _CODE_OF_REFUSAL.get(type(refusal), "INVALID"), str(refusal))


def _invalid(error: ValidationError) -> Response:
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "INVALID", "Some fields are not right: see errors.", errors=error.messages
    )


def _contract(contract: Contract) -> dict[str, Any]:
    return asdict(contract) | {
        "generation": contract.generation,
        "accepted_at": _time(contract.accepted_at),
        "ends_at": _time(contract.ends_at),
    }


def _outcome(outcome: Outcome) -> Response:
    return jsonify(contract=_contract(outcome.contract), messages=[_message(message) for message in outcome.messages])


def _message(message: Message) -> dict[str, Any]:
    return asdict(message) | {"sent_at": _time(message.sent_at)}


def _time(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
