"""Problems: every error as RFC 9457 `application/problem+json`, with a stable code."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import flask
import msgspec
import sqlalchemy.exc
import structlog
from werkzeug.exceptions import HTTPException

from ledger.errors import LedgerError, TimeIsInvalidError
from ledger.store import StoreError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:licensing-ledger:problem:"
RETRY_AFTER_SECONDS: Final = 1
_FIELDS_NAMED_MAX: Final = 10
_NAME_LENGTH_MAX: Final = 100

_LOGGER: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One code: the status it comes with and its title."""

    status: HTTPStatus
    title: str


# Every code that an answer can carry. docs/problems.md says of each what to do.
PROBLEMS: Final[Mapping[str, ProblemKind]] = {
    "NOT_JSON": ProblemKind(HTTPStatus.BAD_REQUEST, "The body is not JSON"),
    "UNAUTHENTICATED": ProblemKind(HTTPStatus.UNAUTHORIZED, "A valid key is missing"),
    "FORBIDDEN": ProblemKind(HTTPStatus.FORBIDDEN, "The role does not allow this"),
    "SUBSCRIPTION_NOT_STARTED": ProblemKind(HTTPStatus.FORBIDDEN, "The subscription has not started"),
    "SUBSCRIPTION_LAPSED": ProblemKind(HTTPStatus.FORBIDDEN, "The subscription has lapsed"),
    "SUBSCRIPTION_EXPIRED": ProblemKind(HTTPStatus.FORBIDDEN, "The subscription has expired"),
    "USER_BLOCKED": ProblemKind(HTTPStatus.FORBIDDEN, "The user is blocked"),
    "PRODUCT_NOT_OURS": ProblemKind(HTTPStatus.FORBIDDEN, "The purchase is of another product"),
    "NOT_FOUND": ProblemKind(HTTPStatus.NOT_FOUND, "There is no such thing"),
    "LICENSE_NOT_FOUND": ProblemKind(HTTPStatus.NOT_FOUND, "There is no such license"),
    "SEAT_NOT_FOUND": ProblemKind(HTTPStatus.NOT_FOUND, "There is no such seat"),
    "NOT_RECORDED": ProblemKind(HTTPStatus.NOT_FOUND, "The ledger has no such version or position"),
    "METHOD_NOT_ALLOWED": ProblemKind(HTTPStatus.METHOD_NOT_ALLOWED, "The path does not take this method"),
    "PURCHASE_UNCLEAR": ProblemKind(HTTPStatus.CONFLICT, "The purchase is not clear"),
    "KEY_UNKNOWN": ProblemKind(HTTPStatus.NOT_FOUND, "The key is not known"),
    "CONTRADICTION": ProblemKind(HTTPStatus.CONFLICT, "It contradicts what is known"),
    "TWIN_IN_USE": ProblemKind(HTTPStatus.CONFLICT, "The other license is in use"),
    "NO_SEAT_FREE": ProblemKind(HTTPStatus.CONFLICT, "No seat is free"),
    "NOTHING_TO_DISMISS": ProblemKind(HTTPStatus.CONFLICT, "The message can't be dismissed"),
    "NOTHING_TO_RETRY": ProblemKind(HTTPStatus.CONFLICT, "The message can't begin anew"),
    "TOO_MANY_LICENSES": ProblemKind(HTTPStatus.CONFLICT, "There are too many licenses to choose from"),
    "REGISTRATION_TOKEN_EXPIRED": ProblemKind(HTTPStatus.GONE, "The registration link has expired"),
    "STALE": ProblemKind(HTTPStatus.PRECONDITION_FAILED, "It has changed since it was read"),
    "TOO_LARGE": ProblemKind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large"),
    "UNSUPPORTED_MEDIA_TYPE": ProblemKind(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is not declared as JSON"),
    "INVALID": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "The request is not valid"),
    "IDEMPOTENCY_KEY_REUSED": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "The Idempotency-Key was used before"),
    "REGISTRATION_TOKEN_INVALID": ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "The registration link is not valid"),
    "TOO_MANY": ProblemKind(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests"),
    "INTERNAL": ProblemKind(HTTPStatus.INTERNAL_SERVER_ERROR, "The ledger failed"),
    "QUEUE_FULL": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests are waiting"),
    "POSITION_NOT_REACHED": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "The view has not reached the position"),
    "UNAVAILABLE": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "The database does not answer"),
    "MARKETPLACE_UNAVAILABLE": ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "AWS Marketplace does not answer"),
}

_CODES_OF_STATUSES: Final[Mapping[int, str]] = {
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "TOO_MANY",
    503: "UNAVAILABLE",
}

# What is said of a code where nothing else is known.
SENTENCES: Final[Mapping[str, str]] = {
    "FORBIDDEN": "You may not do this.",
    "NOT_FOUND": "There is nothing at this address. The paths are listed in /openapi.json.",
    "METHOD_NOT_ALLOWED": "This address does not take this method. The header Allow lists those that it takes.",
    "TOO_LARGE": "The request is too large. Send less at once.",
    "UNSUPPORTED_MEDIA_TYPE": "The body has to be JSON, with the header Content-Type: application/json.",
    "TOO_MANY": "There were too many requests. Try again later.",
    "UNAVAILABLE": "The ledger's database does not answer now. Try again in a moment.",
    "INTERNAL": "Something went wrong inside the ledger. Tell the operator the request id.",
    "INVALID": "The request can't be understood.",
}


class Problem(Exception):  # noqa: N818 -- the word of RFC 9457
    """An answer that says what is wrong and what to do.

    Attributes:
        code: one of `PROBLEMS`.
        detail: one or two sentences for people.
        members: what a program needs to act.
        status: of the answer; the code's own unless another is given.
        headers: of the answer.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        members: Mapping[str, object] | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Keep what the answer will say."""
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.members = members or {}
        self.status = status or PROBLEMS[code].status.value
        self.headers = headers or {}

    def document(self, *, request_id: str) -> dict[str, object]:
        """The members of the answer, in the order in which they are read best."""
        return {
            "type": TYPE_PREFIX + self.code.lower().replace("_", "-"),
            "title": PROBLEMS[self.code].title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.members,
            "request_id": request_id,
        }


class InvalidProblem(Problem):
    """What was sent is not valid; `errors` says why, field by field."""

    def __init__(self, errors: Mapping[str, object]) -> None:
        """Keep the errors by field."""
        errors = _printable(errors)
        fields = ", ".join(list(errors)[:_FIELDS_NAMED_MAX])
        super().__init__("INVALID", f"Mend what `errors` names: {fields}.", members={"errors": errors})


def _printable(errors: Mapping[str, object]) -> dict[str, object]:
    # A member that is not known is named as it was sent, which may be no text at all.
    return {
        str(name).encode(errors="replace").decode()[:_NAME_LENGTH_MAX]: _printable(error)
        if isinstance(error, Mapping)
        else error
        for name, error in errors.items()
    }


def problem_of(error: Exception) -> Problem:
    """What to answer when this was raised."""
    match error:
        case Problem():
            return error
        case TimeIsInvalidError():
            return InvalidProblem({"as_of": [error.detail]})
        case LedgerError() if error.CODE in PROBLEMS:
            return _of_refusal(error)
        case StoreError() | sqlalchemy.exc.DatabaseError() | sqlalchemy.exc.TimeoutError() | sqlite3.Error():
            _LOGGER.error("the database failed", error=type(error).__name__, reason=str(error).splitlines()[0])
            return Problem("UNAVAILABLE", SENTENCES["UNAVAILABLE"], headers=_RETRY_AFTER)
        case HTTPException():
            return _of_http_exception(error)
        case _:
            _LOGGER.error("a request failed", error=type(error).__name__, exc_info=error)
            return Problem("INTERNAL", SENTENCES["INTERNAL"])


_RETRY_AFTER: Final = {"Retry-After": str(RETRY_AFTER_SECONDS)}


def _of_refusal(error: LedgerError) -> Problem:
    members = dict(error.members)
    headers = {}
    if PROBLEMS[error.CODE].status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers = _RETRY_AFTER
    seconds = members.get("retry_after_seconds")
    if seconds is not None:
        headers = {"Retry-After": str(seconds)}
    return Problem(error.CODE, error.detail, members=members, headers=headers)


def _of_http_exception(error: HTTPException) -> Problem:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR.value
    fallback = "INVALID" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "INTERNAL"
    code = _CODES_OF_STATUSES.get(status, fallback)
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    return Problem(code, SENTENCES.get(code, PROBLEMS[code].title + "."), status=status, headers=headers)


def respond(error: Exception) -> flask.typing.ResponseReturnValue:
    """The answer to a request in which this was raised: a document, or a page where a person reads it."""
    if isinstance(error, HTTPException) and (
        error.response is not None or (error.code or 500) < HTTPStatus.BAD_REQUEST
    ):
        return error
    problem = problem_of(error)
    request_id = flask.g.get("request_id", "")
    if _reads_pages():
        from api.pages import errors  # noqa: PLC0415 -- the pages import the problems

        answer = flask.make_response(
            errors.render(status=problem.status, code=problem.code, detail=problem.detail, request_id=request_id)
        )
        answer.headers.extend(problem.headers)
        return answer
    return flask.Response(
        msgspec.json.encode(problem.document(request_id=request_id)),
        status=problem.status,
        headers=dict(problem.headers),
        content_type=MEDIA_TYPE,
    )


def _reads_pages() -> bool:
    if flask.request.path.startswith(("/v1/", "/healthz/", "/metrics", "/openapi.json")):
        return False
    accepted = flask.request.accept_mimetypes.best_match([MEDIA_TYPE, "application/json", "text/html"])
    return accepted == "text/html"


def register(app: flask.Flask) -> None:
    """Let every error of this app, Flask's own too, be answered as a problem."""
    app.register_error_handler(HTTPException, respond)
    app.register_error_handler(Exception, respond)
