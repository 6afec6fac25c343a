"""The description of the interface, OpenAPI 3.1, made from the schemas of what is sent and answered."""

from collections.abc import Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import flask
from flask_smorest import Api, Blueprint

from api import problems
from api.v1 import conditions, schemas
from api.v1.fields import UUID_PATTERN
from api.v1.strict_json import MEDIA_TYPE

if TYPE_CHECKING:
    from api.v1.operation import Operation

PATH: Final = "/openapi.json"

_OF_EVERY_CALL: Final = ("UNAUTHENTICATED", "FORBIDDEN", "TOO_LARGE", "INVALID", "INTERNAL", "UNAVAILABLE")
_OF_BODIES: Final = ("NOT_JSON", "UNSUPPORTED_MEDIA_TYPE")
_OF_COMMANDS: Final = {
    conditions.IDEMPOTENCY_KEY: "IDEMPOTENCY_KEY_REUSED",
    conditions.IF_MATCH: "STALE",
}

_HEADERS_TAKEN: Final[Mapping[str, Mapping[str, object]]] = {
    conditions.IDEMPOTENCY_KEY: {
        "in": "header",
        "name": conditions.IDEMPOTENCY_KEY,
        "description": "Repeated within 24 hours, the call changes nothing and gives the first answer again.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": conditions.KEY_PATTERN},
    },
    conditions.IF_MATCH: {
        "in": "header",
        "name": conditions.IF_MATCH,
        "description": "The ETag of what is to be changed, as it was read; * for whatever there is.",
        "schema": {"type": "string", "anyOf": [{"const": "*"}, {"pattern": conditions.ETAG_PATTERN}]},
    },
}

_TEXT: Final = {"schema": {"type": "string"}}
_HEADERS_ANSWERED: Final[Mapping[str, Mapping[str, object]]] = {
    "X-Request-ID": {"description": "Names the request in the logs, and as the cause of events.", **_TEXT},
    "ETag": {"description": "The version, as If-Match takes it.", **_TEXT},
    "WWW-Authenticate": {"description": "How to authenticate.", **_TEXT},
    "Retry-After": {"description": "Seconds until it is worth trying again.", "schema": {"type": "integer"}},
}

_PATH_PARAMETERS: Final[Mapping[str, Mapping[str, object]]] = {
    "license_id": {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
    "seat_id": {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
    "key_id": {"type": "string", "pattern": "^key-[0-9a-f]{16}$"},
    "number": {"type": "string", "pattern": "^[1-9][0-9]{0,15}$"},
}

_NULL: Final = {"type": "null"}
_NO_CUSTOMER: Final = {"customer_id": _NULL, "product_id": _NULL}

# What the schemas check across members, which marshmallow has no words for.
_ACROSS_MEMBERS: Final[Mapping[str, Mapping[str, object]]] = {
    "ChangeBody": {
        "allOf": [
            {
                "oneOf": [
                    {"required": ["user"], "properties": {"user": {"type": "string"}, "seat_id": _NULL}},
                    {"required": ["seat_id"], "properties": {"seat_id": {"type": "string"}, "user": _NULL}},
                ]
            },
            {
                "oneOf": [
                    {
                        "required": ["reason"],
                        "properties": {"change": {"const": "block"}, "reason": {"type": "string"}},
                    },
                    {"properties": {"change": {"not": {"const": "block"}}, "reason": _NULL, "note": _NULL}},
                ]
            },
        ]
    },
    "KeyBody": {
        "oneOf": [
            {"properties": {"role": {"const": "operator"}, "licenses": _NULL, **_NO_CUSTOMER}},
            {"properties": {"role": {"const": "auditor"}, **_NO_CUSTOMER}},
            {
                "required": ["licenses"],
                "properties": {"role": {"enum": ["admin", "client"]}, "licenses": {"type": "array"}, **_NO_CUSTOMER},
            },
            {
                "required": ["customer_id", "product_id"],
                "properties": {
                    "role": {"const": "client"},
                    "licenses": _NULL,
                    "customer_id": {"type": "string"},
                    "product_id": {"type": "string"},
                },
            },
        ]
    },
}


class _Description(Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest's description, without an answer that stands for all others."""

    DEFAULT_ERROR_RESPONSE_NAME = None


class Document:
    """The description of one app's interface."""

    def __init__(self, app: flask.Flask) -> None:
        """Begin it, and serve it."""
        app.config.update(
            API_TITLE="Licensing ledger",
            API_VERSION=version("licensing-ledger"),
            OPENAPI_VERSION="3.1.0",
            OPENAPI_URL_PREFIX="/",
            OPENAPI_JSON_PATH=PATH.removeprefix("/"),
        )
        self._api = _Description(
            app,
            spec_kwargs={
                "info": {"description": "Who may use what was bought on AWS Marketplace, and who did so when."},
                "security": [{"key": []}],
            },
        )
        components = self._api.spec.components
        components.security_scheme("key", {"type": "http", "scheme": "bearer", "description": "A key of the ledger."})
        for name, header in _HEADERS_ANSWERED.items():
            components.header(name, dict(header))
        # After flask-smorest, which registers its own.
        problems.register(app)

    def register_blueprint(self, blueprint: Blueprint) -> None:
        """Answer the calls of a blueprint, and describe them."""
        self._api.register_blueprint(blueprint)

    def finish(self) -> None:
        """Say what only makes sense once everything is described."""
        for name, rules in _ACROSS_MEMBERS.items():
            self._api.spec.components.schemas[name].update(rules)


def describe(name: str, rule: str, what: "Operation") -> dict[str, Any]:
    """One operation, as flask-smorest takes it."""
    description: dict[str, Any] = {
        "operationId": name,
        "parameters": [
            *([{"in": "query", "schema": what.query}] if what.query is not None else []),
            *(dict(_HEADERS_TAKEN[header]) for header in what.headers),
        ],
        "responses": {str(status): _success(status, schema, etag=what.etag) for status, schema in what.answers.items()}
        | _refusals(what, has_license="<license_id>" in rule, has_seat="<seat_id>" in rule),
    }
    if what.body is not None:
        description["requestBody"] = {"required": True, "content": {MEDIA_TYPE: {"schema": what.body}}}
    return description


def path_parameters(rule: str) -> list[dict[str, object]]:
    """The ids in a path."""
    return [
        {"in": "path", "name": name, "required": True, "schema": dict(schema)}
        for name, schema in _PATH_PARAMETERS.items()
        if f"<{name}>" in rule
    ]


def _success(status: int, schema: object, *, etag: bool) -> dict[str, object]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": schema}},
        "headers": _headers("X-Request-ID", *(["ETag"] if etag else [])),
    }


def _refusals(what: "Operation", *, has_license: bool, has_seat: bool) -> dict[str, dict[str, object]]:
    codes = [
        *_OF_EVERY_CALL,
        *(_OF_BODIES if what.body is not None else ()),
        *(("LICENSE_NOT_FOUND",) if has_license else ()),
        *(("SEAT_NOT_FOUND",) if has_seat else ()),
        *(("QUEUE_FULL",) if what.submits else ()),
        *(_OF_COMMANDS[header] for header in what.headers),
        *what.codes,
    ]
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(what.statuses.get(code, problems.PROBLEMS[code].status.value), []).append(code)
    return {str(status): _problem(status, codes) for status, codes in sorted(by_status.items())}


def _problem(status: int, codes: list[str]) -> dict[str, object]:
    headers = ["X-Request-ID"]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append("WWW-Authenticate")
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers.append("Retry-After")
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        "content": {problems.MEDIA_TYPE: {"schema": schemas.Problem}},
        "headers": _headers(*headers),
    }


def _headers(*names: str) -> dict[str, object]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
