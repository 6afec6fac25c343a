"""The cookies of the pages: random values that mean nothing elsewhere, for this host and no script."""

from datetime import timedelta

import flask
from werkzeug.wrappers import Response


def cookie_name(what: str, *, secure: bool) -> str:
    """The name of a cookie; over HTTPS browsers let none but this host set one that begins with `__Host-`."""
    return f"__Host-ledger-{what}" if secure else f"ledger-{what}"


def carried(what: str) -> str | None:
    """What the browser carries, valid or not."""
    return flask.request.cookies.get(cookie_name(what, secure=_secure()))


def carry(answer: Response, what: str, value: str, *, lasts: timedelta | None = None) -> None:
    """Let the browser carry a value; for as long as it is open, if nothing else is said."""
    secure = _secure()
    answer.set_cookie(
        cookie_name(what, secure=secure), value, max_age=lasts, httponly=True, samesite="Lax", secure=secure
    )


def drop(answer: Response, what: str) -> None:
    """Let the browser carry it no more."""
    secure = _secure()
    answer.delete_cookie(cookie_name(what, secure=secure), httponly=True, samesite="Lax", secure=secure)


def _secure() -> bool:
    secure: bool = flask.current_app.config["SESSION_COOKIE_SECURE"]
    return secure
