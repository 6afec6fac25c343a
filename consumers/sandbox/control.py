"""The control API of the sandbox Marketplace, in JSON.

| call | what it does |
| --- | --- |
| `GET /sandbox/products` | what is sold: `code`, `id`, `title`, `dimensions` |
| `GET /sandbox/contracts` | all contracts, the first signed first |
| `GET /sandbox/contracts/{agreement_id}` | one of them |
| `POST /sandbox/contracts` | 201: a buyer buys: terms of a purchase, below |
| `POST …/{agreement_id}/successor` | 201: another agreement takes its place: terms of a successor, below |
| `POST …/{agreement_id}/seats` | `{"seats"}`: the buyer has that many from now on |
| `POST …/{agreement_id}/renew` | `{"until"}`: the same agreement goes on to a later date |
| `POST …/{agreement_id}/at-end` | `{"at_end", "by", "reason"}`: somebody decides what becomes of it at its end |
| `POST …/{agreement_id}/start` | the day of a future-dated contract comes now |
| `POST …/{agreement_id}/opt-in` | a legacy contract gets a license ARN: Concurrent Agreements |
| `POST …/{agreement_id}/cancel` | the buyer cancels |
| `POST …/{agreement_id}/terminate` | AWS ends it, as after a payment that failed |
| `POST …/{agreement_id}/expire` | the end date passes now: RENEWED or REPLACED if it has a successor, else EXPIRED |
| `POST …/{agreement_id}/end` | `{"status"}`: it ends in this way, successor or not |
| `POST …/{agreement_id}/archive` | it is ARCHIVED; no message is sent |
| `POST …/{agreement_id}/notices` | `{"notice", "days"}`: AWS says something beside |
| `POST …/{agreement_id}/token` | a registration token: `token`, `expires_at`, `fulfillment_url`, `is_of_trial` |
| `GET /sandbox/messages` | the last messages sent, newest first; `body` is what lies in the queue |
| `POST /sandbox/messages/{number}/send` | the same message once more, as it was |
| `GET /sandbox/clock` | `now`, `ahead_seconds`, `auto`, `renewals_keep_license`, `next`: what falls due next |
| `POST /sandbox/clock` | `{"advance": "P30D"}` or `{"to"}`: moves it forward; `happened`: what fell due in between |
| `PUT /sandbox/clock` | `{"auto", "renewals_keep_license"}`: whether what falls due happens by itself |
| `GET /sandbox/mischief` | the `plan`, and `done`, `messages`, `calls`, `waiting`: what came of it |
| `PUT /sandbox/mischief` | make mischief by this whole plan, with its first dice |
| `DELETE /sandbox/mischief` | make none; what is on its way stays on its way |
| `POST /sandbox/flush` | `{"delivered"}`: all messages that are on their way are delivered |
| `GET /sandbox/faults` | how the sandbox misbehaves, with the counts that are left |
| `PUT /sandbox/faults` | misbehave by this whole plan from now on |
| `DELETE /sandbox/faults` | behave again |

A time is RFC 3339 with a zone, or a day, which means its last millisecond in UTC as an end and its first as a start, as
with AWS. `seats` is a number of the product's first dimension, or an object of numbers by dimension.

A purchase is `account_id`, `seats`, `until`, and if not the ordinary way: `generation` (`concurrent`, `legacy` or
`opted-in`: a legacy listing that opted into Concurrent Agreements), `auto_renews` (true if absent), `product_code`,
`starts_at` (a future-dated agreement), `trial_ends_at` (a free trial), `via_partner` (sold by a channel partner),
`at_end` (`RENEW`, `REPLACE` or `EXPIRE`, in place of `auto_renews`).

A successor is `until`, and if not the ordinary way: `intent` (`RENEW` or `REPLACE`), `seats`, `starts_at`,
`keeps_license` (its license is the older one's), `is_linked` (false: AWS does not know that one follows the other) and
`predecessor_ends`. It starts at once and ends the agreement before, unless `starts_at` is later or `predecessor_ends`
is `on-its-date`: then both are there until the date of the older one passes (`expire`). With `predecessor_ends` `now`
and a later `starts_at` there is a gap. A buyer of a legacy listing has one agreement at a time: an overlap is refused.

Time: by itself nothing happens but that entitlements come and go by their dates. When the clock is moved forward, or
`auto` is on, future-dated contracts start; contracts that renew do so within an hour around their date, by another
agreement as long from then on (with a license of its own, or the same one if `renewals_keep_license`); others expire;
and notices are given 180, 120, 90, 60 and 30 days before an end. A duration is ISO 8601 in days, hours, minutes and
seconds.

Changes answer `{"contract", "messages", "predecessor"}`: the contract as it now is, what was sent about it (`fate` is
`not-taken` for a message that the queue did not take), and the agreement whose place it took.

`by` is `ACCEPTOR` (the buyer, if absent) or `PROPOSER`; with the `reason` `NO_RENEWAL_TERM` or
`RENEWAL_LIMIT_EXHAUSTED` it is nobody. `notice` is one of `ending` (with `days` 180, 120, 90, 60 or
30), `renewal-upcoming`, `renewal-terms-finalized`, `advisory-issued`, `advisory-resolved`, `cancellation-pending`,
`cancellation-approved`, `cancellation-rejected`, `cancellation-withdrawn`, `cancellation-invalid`, `refund-completed`,
`refund-failed`.

A plan of mischief is `{"seed", "duplicate", "drop", "reorder", "respell", "delay_seconds": [least, most], "throttle",
"fail", "hang", "hang_seconds", "empty_pages", "missing_row", "as_buyer", "expired_tokens", "since", "until"}`, each
absent for good behavior. All but the seed, the seconds and the two times are shares from 0 to 1, of messages, calls
or pages. The same seed does the same to the same messages and calls in their order. `done` counts what was done:
`dropped`, `duplicated`, `delayed`, `reordered`, `respelled`, `throttled`, `failed`, `hung`, `empty-page`,
`row-missing`, `answered-as-buyer`, `token-expired`.

A plan of faults is `{"throttle": {operation: calls}, "fail": {operation: calls}, "hang_seconds", "as_buyer",
"page_size", "empty_pages", "rows": {agreement_id: [row of AWS's JSON]}}`, each absent for good behavior.

Errors are `application/problem+json` with `code` and `detail`, and `errors` by field.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from consumers.sandbox import contracts
from consumers.sandbox.agenda import Due
from consumers.sandbox.contracts import Contract, MarketplaceRefusedError
from consumers.sandbox.courier import MessageNotFoundError
from consumers.sandbox.faults import FaultPlan, Faults
from consumers.sandbox.marketplace import Marketplace
from consumers.sandbox.mischief import MischiefPlan
from consumers.sandbox.notifications import Message
from consumers.sandbox.outcomes import Happening, Outcome
from consumers.sandbox.schemas import (
    AdvanceSchema,
    AutoSchema,
    DecisionSchema,
    EndSchema,
    FaultPlanSchema,
    MischiefSchema,
    NoticeSchema,
    PurchaseSchema,
    RenewalSchema,
    SeatsSchema,
    SuccessorSchema,
)
from consumers.sandbox.timeline import Time

_STATUS_OF_REFUSAL: Mapping[type[MarketplaceRefusedError], HTTPStatus] = {
    contracts.ContractNotFoundError: HTTPStatus.NOT_FOUND,
    contracts.ContractHasEndedError: HTTPStatus.CONFLICT,
    contracts.AnotherContractIsActiveError: HTTPStatus.CONFLICT,
    contracts.ContractsOverlapError: HTTPStatus.CONFLICT,
    contracts.ContractHasStartedError: HTTPStatus.CONFLICT,
    contracts.ContractIsNotLegacyError: HTTPStatus.CONFLICT,
    contracts.TooManyContractsError: HTTPStatus.CONFLICT,
    MessageNotFoundError: HTTPStatus.NOT_FOUND,
}
_CODE_OF_REFUSAL: Mapping[type[MarketplaceRefusedError], str] = {
    contracts.ContractNotFoundError: "CONTRACT_NOT_FOUND",
    contracts.ContractHasEndedError: "CONTRACT_HAS_ENDED",
    contracts.AnotherContractIsActiveError: "ANOTHER_CONTRACT_IS_ACTIVE",
    contracts.ContractsOverlapError: "CONTRACTS_OVERLAP",
    contracts.ContractHasStartedError: "CONTRACT_HAS_STARTED",
    contracts.ContractIsNotLegacyError: "CONTRACT_IS_NOT_LEGACY",
    contracts.TooManyContractsError: "TOO_MANY_CONTRACTS",
    MessageNotFoundError: "MESSAGE_NOT_FOUND",
}


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
        api.get("/products")(self.products)
        api.get("/contracts")(self.contracts)
        api.get(contract)(self.contract)
        api.post("/contracts")(self.buy)
        api.post(f"{contract}/successor")(self.succeed)
        api.post(f"{contract}/seats")(self.set_seats)
        api.post(f"{contract}/renew")(self.renew)
        api.post(f"{contract}/at-end")(self.decide_end)
        api.post(f"{contract}/start")(self.start)
        api.post(f"{contract}/opt-in")(self.opt_in)
        api.post(f"{contract}/cancel")(self.cancel)
        api.post(f"{contract}/terminate")(self.terminate)
        api.post(f"{contract}/expire")(self.expire)
        api.post(f"{contract}/end")(self.end)
        api.post(f"{contract}/archive")(self.archive)
        api.post(f"{contract}/notices")(self.give_notice)
        api.post(f"{contract}/token")(self.issue_token)
        api.get("/messages")(self.messages)
        api.post("/messages/<int:number>/send")(self.send_again)
        api.get("/clock")(self.show_clock)
        api.post("/clock")(self.advance)
        api.put("/clock")(self.set_auto)
        api.get("/mischief")(self.show_mischief)
        api.put("/mischief")(self.set_mischief)
        api.delete("/mischief")(self.clear_mischief)
        api.post("/flush")(self.flush)
        api.get("/faults")(self.show_faults)
        api.put("/faults")(self.set_faults)
        api.delete("/faults")(self.clear_faults)
        api.register_error_handler(MarketplaceRefusedError, _refused)
        api.register_error_handler(ValidationError, _invalid)
        return api

    def products(self) -> Response:
        """List what is sold."""
        return jsonify(items=[asdict(product) for product in self._marketplace.products])

    def contract(self, agreement_id: str) -> Response:
        """Tell of one contract."""
        return jsonify(_contract(self._marketplace.find(agreement_id)))

    def contracts(self) -> Response:
        """List all contracts."""
        return jsonify(items=[_contract(contract) for contract in self._marketplace.contracts])

    def buy(self) -> tuple[Response, HTTPStatus]:
        """Let a buyer accept the offer."""
        return _outcome(self._marketplace.buy(**PurchaseSchema().load(request.get_json()))), HTTPStatus.CREATED

    def succeed(self, agreement_id: str) -> tuple[Response, HTTPStatus]:
        """Let another agreement take the place of one."""
        terms = SuccessorSchema().load(request.get_json())
        return _outcome(self._marketplace.succeed(agreement_id, terms)), HTTPStatus.CREATED

    def set_seats(self, agreement_id: str) -> Response:
        """Give a contract another number of seats."""
        return _outcome(self._marketplace.set_seats(agreement_id, **SeatsSchema().load(request.get_json())))

    def renew(self, agreement_id: str) -> Response:
        """Let a contract go on to a later date."""
        return _outcome(self._marketplace.renew(agreement_id, **RenewalSchema().load(request.get_json())))

    def decide_end(self, agreement_id: str) -> Response:
        """Decide what becomes of a contract at its end."""
        return _outcome(self._marketplace.decide_end(agreement_id, **DecisionSchema().load(request.get_json())))

    def start(self, agreement_id: str) -> Response:
        """Let the day of a future-dated contract come."""
        return _outcome(self._marketplace.start(agreement_id))

    def opt_in(self, agreement_id: str) -> Response:
        """Opt a legacy contract into Concurrent Agreements."""
        return _outcome(self._marketplace.opt_in(agreement_id))

    def cancel(self, agreement_id: str) -> Response:
        """Let the buyer cancel."""
        return _outcome(self._marketplace.cancel(agreement_id))

    def terminate(self, agreement_id: str) -> Response:
        """Let AWS end it."""
        return _outcome(self._marketplace.terminate(agreement_id))

    def expire(self, agreement_id: str) -> Response:
        """Let the end date pass now."""
        return _outcome(self._marketplace.expire(agreement_id))

    def end(self, agreement_id: str) -> Response:
        """Let it end in a way of one's choice."""
        return _outcome(self._marketplace.end(agreement_id, **EndSchema().load(request.get_json())))

    def archive(self, agreement_id: str) -> Response:
        """Put it away."""
        return _outcome(self._marketplace.archive(agreement_id))

    def give_notice(self, agreement_id: str) -> Response:
        """Let AWS say something that changes nothing."""
        return _outcome(self._marketplace.give_notice(agreement_id, **NoticeSchema().load(request.get_json())))

    def issue_token(self, agreement_id: str) -> Response:
        """Give a registration token."""
        issued = self._marketplace.issue_token(agreement_id)
        return jsonify(
            token=issued.token,
            expires_at=_time(issued.expires_at),
            fulfillment_url=self._fulfillment_url,
            is_of_trial=issued.is_of_trial,
        )

    def messages(self) -> Response:
        """List the last messages."""
        return jsonify(items=[_message(message) for message in self._marketplace.messages])

    def send_again(self, number: int) -> Response:
        """Send a message once more."""
        return jsonify(_message(self._marketplace.send_again(number)))

    def show_clock(self) -> Response:
        """Tell how the clock stands."""
        return jsonify(_clock(self._marketplace.time))

    def advance(self) -> Response:
        """Move the clock forward."""
        asked = AdvanceSchema().load(request.get_json())
        now = self._marketplace.now()
        happened = self._marketplace.advance(asked["to"] or now + asked["advance"], chosen_at=now)
        return jsonify(_clock(self._marketplace.time) | {"happened": [_happening(one) for one in happened]})

    def set_auto(self) -> Response:
        """Let what falls due happen by itself, or not."""
        self._marketplace.set_auto(**AutoSchema().load(request.get_json()))
        return self.show_clock()

    def show_mischief(self) -> Response:
        """Tell the plan of mischief, and what came of it."""
        state = self._marketplace.mischief.state
        plan = {
            name: _time(value) if isinstance(value, datetime) else value for name, value in asdict(state.plan).items()
        }
        return jsonify(
            plan=plan,
            done=dict(state.done),
            messages=state.messages,
            calls=state.calls,
            waiting=self._marketplace.waiting,
        )

    def set_mischief(self) -> Response:
        """Make mischief by another plan."""
        self._marketplace.mischief.set(MischiefPlan(**MischiefSchema().load(request.get_json())))
        return self.show_mischief()

    def clear_mischief(self) -> Response:
        """Make no mischief."""
        self._marketplace.mischief.set(MischiefPlan())
        return self.show_mischief()

    def flush(self) -> Response:
        """Deliver what is on its way."""
        return jsonify(delivered=self._marketplace.flush())

    def show_faults(self) -> Response:
        """Tell the plan of faults in force."""
        return _faults(self._faults.plan)

    def set_faults(self) -> Response:
        """Put another plan of faults in force."""
        plan = FaultPlan(**FaultPlanSchema().load(request.get_json()))
        # What can't be told, since a row of it is nested too deeply, is not set either.
        told = _faults(plan)
        self._faults.set(plan)
        return told

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
    told = {name: _time(value) if isinstance(value, datetime) else value for name, value in asdict(contract).items()}
    return told | {"seats": contract.seats, "auto_renews": contract.auto_renews}


def _outcome(outcome: Outcome) -> Response:
    return jsonify(
        contract=_contract(outcome.contract),
        messages=[_message(message) for message in outcome.messages],
        predecessor=None if outcome.predecessor is None else _contract(outcome.predecessor),
    )


def _clock(time: Time) -> dict[str, Any]:
    return {
        "now": _time(time.now),
        "ahead_seconds": time.ahead.total_seconds(),
        "auto": time.auto,
        "renewals_keep_license": time.renewals_keep_license,
        "next": None if time.next is None else _due(time.next),
    }


def _due(due: Due) -> dict[str, Any]:
    return {"at": _time(due.at), "event": due.event, "agreement_id": due.agreement_id}


def _happening(happening: Happening) -> dict[str, Any]:
    outcome = happening.outcome
    return _due(happening.due) | {
        "successor_id": outcome.contract.agreement_id if outcome.predecessor else None,
        "messages": [message.title for message in outcome.messages],
    }


def _faults(plan: FaultPlan) -> Response:
    return jsonify(asdict(plan))


def _message(message: Message) -> dict[str, Any]:
    return asdict(message) | {"sent_at": _time(message.sent_at)}


def _time(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
