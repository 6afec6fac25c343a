"""One call of the interface: who may make it, what it takes, and what it can answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, TypeAlias

import flask
import msgspec
from flask_smorest import Blueprint
from marshmallow import Schema, ValidationError

from api.parts import Parts, current_parts
from api.principal import Permission, Principal, authenticate
from api.problems import InvalidProblem, Problem
from api.requests import caller_of
from api.v1 import conditions, openapi
from api.v1.fields import is_uuid
from api.v1.strict_json import read_object
from ledger.errors import LicenseIsNotFoundError
from ledger.license.decisions import SeatIsNotFoundError
from ledger.license.events import LicenseId
from ledger.seats import IfMatch, Once
from ledger.transaction import Caller

View: TypeAlias = Callable[..., flask.Response]

_ENCODE: Final = msgspec.json.Encoder().encode
_VIEW_WAIT_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request for one operation, by somebody who may make it.

    Attributes:
        parts: the ledger and its views.
        principal: who calls.
        query: the parameters, as read.
        body: the JSON object, as read; empty where the call takes none.
        given: the JSON object as it was sent.
    """

    parts: Parts
    principal: Principal
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    given: object

    @property
    def caller(self) -> Caller:
        """As whom commands are sent."""
        return caller_of(self.principal.actor)

    @property
    def once(self) -> Once | None:
        """The Idempotency-Key."""
        return conditions.read_once(flask.request, self.given, principal=self.principal, ledger=self.parts.ledger)

    @property
    def if_match(self) -> IfMatch:
        """The version that the caller believes to change."""
        return conditions.read_if_match(flask.request)

    def wait_for_position(self) -> None:
        """Let the views reach `min_position`.

        Raises:
            Problem: `POSITION_NOT_REACHED`: they did not, in time.
        """
        position = self.query.get("min_position")
        if position is None:
            return
        views = self.parts.views
        if not views.wait_for(position, timeout_seconds=self.parts.settings.position_wait.total_seconds()):
            raise Problem(
                "POSITION_NOT_REACHED",
                f"The views have not reached position {position} yet. Ask again in a moment.",
                members={"position": views.position()},
                headers={"Retry-After": "1"},
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """What one call takes and answers.

    Attributes:
        permission: what the caller must be allowed.
        query: its parameters.
        body: its JSON object.
        answers: the schema of each successful status.
        codes: the problems that are its own.
        headers: those of Idempotency-Key and If-Match that it takes.
        refuses: those of them that it refuses.
        etag: whether answers carry the version that If-Match takes.
        submits: whether the writer decides it.
        statuses: of codes that come with another status here.
    """

    permission: Permission
    answers: Mapping[int, type[Schema]]
    query: type[Schema] | None = None
    body: type[Schema] | None = None
    codes: Sequence[str] = ()
    headers: Sequence[str] = ()
    refuses: Sequence[str] = ()
    etag: bool = False
    submits: bool = False
    statuses: Mapping[str, int] = field(default_factory=dict)


def operation(blueprint: Blueprint, method: str, rule: str, what: Operation) -> Callable[[View], View]:
    """Let a function answer a call; it is handed a `Call` and the ids in the path."""
    query = what.query() if what.query is not None else None
    body = what.body() if what.body is not None else None

    def decorate(function: View) -> View:
        @wraps(function)
        def answer(**ids: str) -> flask.Response:
            parts = current_parts()
            request = flask.request
            principal = authenticate(
                request.headers.get("Authorization"), keys=parts.ledger.keys, at=parts.ledger.now()
            )
            if not principal.may(what.permission):
                raise Problem("FORBIDDEN", f"The role {principal.role} may not {what.permission}.")
            _check_ids(ids, principal, parts)
            conditions.refuse(request, *what.refuses)
            given = read_object(request) if body is not None else None
            call = Call(
                parts=parts,
                principal=principal,
                query=_load(query, _single_values(request)) if query is not None else {},
                body=_load(body, given) if body is not None else {},
                given=given,
            )
            return function(call, **ids)

        documented: View = blueprint.doc(**openapi.describe(function.__name__, rule, what))(answer)
        blueprint.add_url_rule(rule, view_func=documented, methods=[method], parameters=openapi.path_parameters(rule))
        return documented

    return decorate


def respond(
    document: object, *, status: int = 200, version: int | None = None, location: str | None = None
) -> flask.Response:
    """A JSON answer, with the ETag of the version that it shows."""
    response = flask.Response(_ENCODE(document), status=status, content_type="application/json")
    if version is not None:
        response.headers["ETag"] = conditions.etag(version)
    if location is not None:
        response.headers["Location"] = location
    response.headers["Cache-Control"] = "no-store"
    return response


def _check_ids(ids: Mapping[str, str], principal: Principal, parts: Parts) -> None:
    license_id, seat_id = ids.get("license_id"), ids.get("seat_id")
    if license_id is not None and not (is_uuid(license_id) and _reaches(principal, LicenseId(license_id), parts)):
        raise LicenseIsNotFoundError
    if seat_id is not None and not is_uuid(seat_id):
        raise SeatIsNotFoundError


def _reaches(principal: Principal, license_id: LicenseId, parts: Parts) -> bool:
    if not principal.names(license_id) and license_id not in parts.ledger.twins.follow(principal.scope.licenses or ()):
        return False
    if not principal.asks_whose:
        return True
    now = parts.ledger.now()
    information = parts.views.licenses.get(license_id, at=now)
    if information is None:
        # A license that was just issued may not be in the view yet.
        parts.views.wait_for(parts.ledger.head().position, timeout_seconds=_VIEW_WAIT_SECONDS)
        information = parts.views.licenses.get(license_id, at=now)
    return information is not None and principal.reaches(information)


def _single_values(request: flask.Request) -> dict[str, str]:
    values = request.args.to_dict(flat=False)
    twice: dict[str, object] = {name: ["Give it once."] for name, all_ in values.items() if len(all_) > 1}
    if twice:
        raise InvalidProblem(twice)
    return {name: all_[0] for name, all_ in values.items()}


def _load(schema: Schema, given: object) -> Mapping[str, Any]:
    try:
        loaded: Mapping[str, Any] = schema.load(given)  # type: ignore[arg-type]  # not a mapping is what it refuses in words
    except ValidationError as error:
        raise InvalidProblem(error.messages_dict) from error
    return loaded
