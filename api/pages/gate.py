"""Who reads a page, and which license they may see."""

import uuid
from typing import Final, cast
from urllib.parse import urlsplit

import flask
from werkzeug.wrappers import Response

from api.pages import cookies
from api.pages.blueprint import PAGES, current_sign_ins
from api.parts import current_parts
from api.principal import Permission, Principal
from api.problems import Problem
from api.requests import caller_of
from ledger.errors import LicenseIsNotFoundError
from ledger.license.events import LicenseId
from ledger.transaction import Caller
from projections.license_information import LicenseInformation

HOME: Final = "/"
SESSION_COOKIE: Final = "sign-in"
_VIEW_WAIT_SECONDS: Final = 5.0


class SignInIsNeededError(Exception):
    """Nobody is signed in."""


@PAGES.app_errorhandler(SignInIsNeededError)
def _go_and_sign_in(_: Exception) -> Response:
    begun = flask.request.full_path.rstrip("?") if flask.request.method == "GET" else HOME
    return flask.redirect(flask.url_for("pages.sign_in", next=begun if begun != HOME else None), code=303)


def carried_session() -> str | None:
    """The sign-in that the browser carries, valid or not."""
    return cookies.carried(SESSION_COOKIE)


def principal() -> Principal | None:
    """Who is signed in; null if nobody is."""
    if "principal" not in flask.g:
        session = carried_session()
        flask.g.principal = current_sign_ins().find(session) if session else None
    return cast("Principal | None", flask.g.principal)


def signed_in() -> Principal:
    """Who is signed in.

    Raises:
        SignInIsNeededError: nobody, and nobody was.
        Problem: `UNAUTHENTICATED`: the sign-in has ended.
    """
    found = principal()
    if found is not None:
        return found
    if carried_session() is None:
        raise SignInIsNeededError
    raise Problem("UNAUTHENTICATED", "Your sign-in has ended. Sign in again to go on.")


def require(what: Permission) -> Principal:
    """Who is signed in, if the role allows this.

    Raises:
        SignInIsNeededError: nobody is signed in.
        Problem: `FORBIDDEN`.
    """
    found = signed_in()
    if not found.may(what):
        raise Problem("FORBIDDEN", f"You are signed in as {found.role}, and this role may not {what.value}.")
    return found


def reached_license(license_id: uuid.UUID, what: Permission = Permission.READ) -> LicenseInformation:
    """A license, if who is signed in may do this with it.

    Raises:
        SignInIsNeededError: nobody is signed in.
        Problem: `FORBIDDEN`.
        LicenseIsNotFoundError: it does not exist, or is another's.
    """
    who = require(what)
    parts = current_parts()
    information = parts.views.licenses.get(LicenseId(str(license_id)), at=parts.ledger.now())
    if information is None or not who.reaches(information):
        raise LicenseIsNotFoundError
    return information


def caller() -> Caller:
    """Who sends commands by this page."""
    return caller_of(signed_in().actor)


def wait_for_views(position: int) -> None:
    """Let the page that follows show what was done just now."""
    current_parts().views.wait_for(position, timeout_seconds=_VIEW_WAIT_SECONDS)


def local_path(target: str | None) -> str:
    """Where to go on this site; home if the target is anywhere else."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return HOME
    if any(ord(character) <= ord(" ") or character == "\\" for character in target):
        return HOME
    parts = urlsplit(target)
    return HOME if parts.scheme or parts.netloc else target
