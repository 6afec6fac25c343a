"""The pages that say what went wrong: a sentence, what to do next, and the request id."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import flask
from flask.globals import request_ctx
from werkzeug.wrappers import Response

from api.problems import SENTENCES


class PageCode(StrEnum):
    """The codes that pages alone show, beside those of refused sign-ins. docs/problems.md says of each what to do."""

    FORM_IS_STALE = "FORM_IS_STALE"
    REGISTRATION_NOT_SET_UP = "REGISTRATION_NOT_SET_UP"
    REGISTRATION_TOKEN_MISSING = "REGISTRATION_TOKEN_MISSING"  # noqa: S105 -- a code, not a secret


@dataclass(frozen=True, slots=True)
class _Heading:
    title: str
    next_step: str


_HEADINGS: Final[Mapping[int, _Heading]] = {
    400: _Heading("This could not be read", "Go back, load the page again and send it once more."),
    401: _Heading("You are not signed in", "Sign in with your key, or through AWS Marketplace."),
    403: _Heading("You may not do this", "Ask the operator of this ledger for a key that may."),
    404: _Heading("There is nothing here", "Check the address, or begin at the list of licenses."),
    405: _Heading("This address can't be used that way", "Go back and use the buttons of the page."),
    410: _Heading("This has expired", "Begin again in AWS Marketplace."),
    413: _Heading("This is too much at once", "Send less, in several steps."),
    422: _Heading("Something in the form is not right", "Go back, mend it and send it again."),
    429: _Heading("Too many tries", "What you sent changed nothing."),
    500: _Heading("The ledger failed", "Try once more. If it fails again, tell the operator the request id below."),
    503: _Heading("The ledger can't answer now", "If this goes on, tell the operator the request id below."),
}
_HEADINGS_OF_CODES: Final[Mapping[str, _Heading]] = {
    PageCode.FORM_IS_STALE: _Heading(
        "This form is too old", "Go back, load the page again and send the form once more."
    ),
}
# What is said to programs where nothing else is known helps people little.
_SENTENCES: Final[Mapping[str, str]] = {
    SENTENCES["NOT_FOUND"]: "There is no page at this address.",
    SENTENCES["METHOD_NOT_ALLOWED"]: "The page was asked for in a way that it does not know.",
    SENTENCES["INTERNAL"]: "Something went wrong inside the ledger.",
    SENTENCES["TOO_LARGE"]: "What was sent is larger than 1 MB.",
}
_CLIENT_ERROR: Final = _Heading("This could not be done", "Go back and try another way.")


def render(status: int, code: str, detail: str, request_id: str) -> Response:
    """The page of an error.

    Args:
        status: of the answer.
        code: stable, for support.
        detail: one or two sentences for people.
        request_id: by which the operator finds the request in the log.
    """
    fallback = _HEADINGS[500] if status not in _HEADINGS and status >= 500 else _CLIENT_ERROR  # noqa: PLR2004 -- HTTP
    heading = _HEADINGS_OF_CODES.get(code) or _HEADINGS.get(status, fallback)
    page = flask.render_template(
        "error.html",
        status=status,
        code=code,
        title=heading.title,
        detail=_SENTENCES.get(detail, detail),
        next_step=heading.next_step,
        again=_again(),
        request_id=request_id,
    )
    return flask.make_response(page, status)


def _again() -> str | None:
    """Where to load again what failed; null if it was sent to where nothing can be loaded."""
    request = flask.request
    if request.method == "GET":
        return request.full_path.rstrip("?")
    adapter = request_ctx.url_adapter
    return request.path if adapter is not None and adapter.test(method="GET") else None
