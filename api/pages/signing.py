"""Signing in and out, and who is signed in."""

import uuid

import flask
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from api.pages import cookies
from api.pages.blueprint import PAGES, current_limits, current_sign_ins
from api.pages.gate import (
    HOME,
    SESSION_COOKIE,
    caller,
    carried_session,
    local_path,
    principal,
    reached_license,
)
from api.principal import Permission
from api.requests import request_id
from api.sign_ins import SIGN_IN_LASTS, KeyIsRefusedError, LinkIsSpentError, SignIn, SignInIsRefusedError
from projections.license_information import LicenseInformation


@PAGES.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """The form for a key."""
    target = local_path(flask.request.args.get("next"))
    if principal() is not None:
        return flask.redirect(target, 303)
    return flask.render_template("sign_in.html", next=target, error=None)


@PAGES.post("/sign-in")
def sign_in_with_key() -> ResponseReturnValue:
    """Begin a session with a key."""
    address = flask.request.remote_addr or ""
    current_limits().refuse_guessing(address)
    target = local_path(flask.request.form.get("next"))
    try:
        session = current_sign_ins().sign_in_with_key(flask.request.form.get("key", "").strip())
    except SignInIsRefusedError as error:
        if isinstance(error, KeyIsRefusedError):
            current_limits().count_wrong_key(address)
        page = flask.render_template("sign_in.html", next=target, error=error, request_id=request_id())
        return flask.make_response(page, 403)
    return _begin(session, target)


@PAGES.get("/sign-in/link")
def link() -> ResponseReturnValue:
    """What a link leads to. Mail scanners follow links, so that only the button here uses it up."""
    token = flask.request.args.get("token", "")
    if not current_sign_ins().is_open(token):
        return _spent(LinkIsSpentError())
    return flask.render_template("link.html", token=token)


@PAGES.post("/sign-in/link")
def redeem_link() -> ResponseReturnValue:
    """Use a link up."""
    try:
        session = current_sign_ins().redeem(flask.request.form.get("token", ""))
    except LinkIsSpentError as error:
        return _spent(error)
    return _begin(session, HOME)


def _spent(error: LinkIsSpentError) -> Response:
    page = flask.render_template("link_spent.html", error=error, request_id=request_id())
    return flask.make_response(page, 410)


def _begin(session: str, target: str) -> Response:
    # Forms of before belong to whoever was here before.
    flask.session.clear()
    answer = flask.redirect(target, 303)
    cookies.carry(answer, SESSION_COOKIE, session, lasts=SIGN_IN_LASTS)
    return answer


@PAGES.get("/sign-out")
def ask_to_sign_out() -> ResponseReturnValue:
    """Only a form signs out, so that no other site's picture can."""
    return flask.render_template("sign_out.html")


@PAGES.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the session of this browser."""
    session = carried_session()
    if session is not None:
        current_sign_ins().sign_out(session)
    flask.session.clear()
    answer = flask.redirect(flask.url_for("pages.sign_in"), 303)
    cookies.drop(answer, SESSION_COOKIE)
    return answer


@PAGES.get("/licenses/<uuid:license_id>/sign-ins")
def sign_ins(license_id: uuid.UUID) -> ResponseReturnValue:
    """Who is signed in to a license."""
    information = reached_license(license_id, Permission.SEE_SIGN_INS)
    session = carried_session()
    return flask.render_template(
        "sign_ins.html",
        license=information,
        sign_ins=_of(information),
        own=current_sign_ins().id_of(session) if session else None,
        ended="ended" in flask.request.args,
    )


def _of(information: LicenseInformation) -> list[SignIn]:
    return list(
        current_sign_ins().of_license(
            information.license_id,
            customer_ids=information.holder.customer_ids,
            products=information.products,
        )
    )


@PAGES.post("/licenses/<uuid:license_id>/sign-ins/end")
def end_sign_in(license_id: uuid.UUID) -> ResponseReturnValue:
    """End a sign-in of a license, at once."""
    information = reached_license(license_id, Permission.SEE_SIGN_INS)
    sign_in_id = flask.request.form.get("sign_in_id", "")
    # Only what the list shows can be ended, so that nobody reaches beyond the license.
    if any(one.sign_in_id == sign_in_id for one in _of(information)):
        current_sign_ins().end(sign_in_id, caller=caller())
    return flask.redirect(flask.url_for("pages.sign_ins", license_id=information.license_id, ended=1), 303)
