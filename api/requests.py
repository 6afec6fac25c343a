"""What holds for every request: its id, one line in the log, and how large it may be."""

import time
import uuid
from typing import Final, cast

import flask
import structlog

from api.problems import Problem
from ledger.ids import random_id
from ledger.license.events import Actor
from ledger.transaction import Caller

HEADER: Final = "X-Request-ID"
BODY_BYTES_MAX: Final = 1_000_000

_LOGGER: Final = structlog.get_logger(__name__)


def request_id() -> str:
    """The id of the current request; events that it leads to carry it as their cause."""
    return cast("str", flask.g.request_id)


def caller_of(actor: Actor) -> Caller:
    """Who sends commands by the current request."""
    return Caller(actor, request_id())


def register(app: flask.Flask) -> None:
    """Give every request of this app an id and a line in the log."""
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    flask.g.began = time.perf_counter()
    flask.g.request_id = _parse_id(flask.request.headers.get(HEADER))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=flask.g.request_id)
    if (flask.request.content_length or 0) > BODY_BYTES_MAX:
        raise Problem("TOO_LARGE", f"The body has more than {BODY_BYTES_MAX:,} bytes. Send less at once.")


def _parse_id(text: str | None) -> str:
    # Anything but a UUID could be a person's name, and would be kept for ever as the cause of events.
    return str(uuid.UUID(text)) if text and _is_uuid(text) else random_id()


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _end(response: flask.Response) -> flask.Response:
    response.headers[HEADER] = flask.g.request_id
    # Neither the query nor the body: they name users. Of the path what is ours: a mistyped one can name anybody.
    rule = flask.request.url_rule
    ids = {name: str(value) for name, value in (flask.request.view_args or {}).items() if _is_uuid(str(value))}
    _LOGGER.info(
        "request",
        method=flask.request.method,
        path=rule.rule if rule is not None else None,
        **ids,
        status=response.status_code,
        milliseconds=round((time.perf_counter() - flask.g.began) * 1000, 1),
    )
    return response
