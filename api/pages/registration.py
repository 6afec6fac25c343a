"""Registration: the door through which a customer comes from AWS Marketplace, and the company form behind it."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import flask
from flask.typing import ResponseReturnValue

from api.pages import cookies
from api.pages.blueprint import PAGES, current_limits, current_sign_ins
from api.pages.errors import PageCode
from api.pages.gate import wait_for_views
from api.parts import current_parts
from api.problems import Problem
from api.requests import caller_of, request_id
from api.sign_ins import Registrant
from ledger.errors import LedgerError
from ledger.license.events import Contact
from ledger.license.state import License
from ledger.registration import (
    MarketplaceIsUnavailableError,
    ProductIsNotOursError,
    PurchaseIsUnclearError,
    RegistrationTokenIsExpiredError,
    RegistrationTokenIsInvalidError,
)
from ledger.users import InvalidTextError, parse_line

TOKEN_LENGTH_MAX: Final = 8_192
"""Those of AWS have some hundred characters."""
TOKEN_FIELD: Final = "x-amzn-marketplace-token"  # noqa: S105 -- the name of AWS's form field
_COOKIE: Final = "registration"
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PHONE: Final = re.compile(r"\+?[0-9 ()./\-]{3,}")
_EMAIL_LENGTH_MAX: Final = 254
_PHONE_LENGTH_MAX: Final = 50

_STATUSES: Final[dict[type[LedgerError], int]] = {
    RegistrationTokenIsExpiredError: 410,
    RegistrationTokenIsInvalidError: 422,
    ProductIsNotOursError: 403,
    PurchaseIsUnclearError: 409,
    MarketplaceIsUnavailableError: 503,
}


@PAGES.post("/marketplace/register")
def register_from_marketplace() -> ResponseReturnValue:
    """The fulfillment URL: AWS Marketplace's own page sends the customer here with a token."""
    current_limits().count_registration(flask.request.remote_addr or "")
    registration = current_parts().registration
    if registration is None:
        return _explain(PageCode.REGISTRATION_NOT_SET_UP, 503)
    token = flask.request.form.get(TOKEN_FIELD, "")
    if not token:
        return _explain(PageCode.REGISTRATION_TOKEN_MISSING, 400)
    if len(token) > TOKEN_LENGTH_MAX:
        return _explain(RegistrationTokenIsInvalidError.CODE, _STATUSES[RegistrationTokenIsInvalidError])
    try:
        # At once: tokens are short-lived, and it must be kept nowhere.
        resolved = registration.resolve(token, cause=request_id())
    except tuple(_STATUSES) as error:
        return _explain(error.CODE, _STATUSES[type(error)])
    answer = flask.redirect(flask.url_for("pages.company"), 303)
    # By it the browser finds what AWS said about it.
    cookies.carry(answer, _COOKIE, current_sign_ins().keep_registration(resolved, cause=request_id()))
    return answer


@PAGES.get("/marketplace/register")
def explain_registration() -> ResponseReturnValue:
    """Somebody typed the address: say where registration begins."""
    return _explain(PageCode.REGISTRATION_TOKEN_MISSING, 200)


def _explain(code: str, status: int) -> ResponseReturnValue:
    page = flask.render_template("registration_failed.html", code=code, request_id=request_id())
    return flask.make_response(page, status)


@dataclass(frozen=True, kw_only=True, slots=True)
class _CompanyForm:
    """The company form as it was typed."""

    company_name: str = ""
    name: str = ""
    email: str = ""
    phone: str = ""


@PAGES.get("/registration")
def company() -> ResponseReturnValue:
    """What AWS told, and the form about the company; it holds what was registered before."""
    registrant = _registrant()
    parts = current_parts()
    license_ = parts.ledger.past.license_now(registrant.license_id)
    contact = parts.ledger.companies.contact(registrant.license_id)
    form = _CompanyForm(
        company_name=license_.company_name or "",
        name=contact.name if contact else "",
        email=contact.email if contact else "",
        phone=(contact.phone or "") if contact else "",
    )
    return _show(registrant, license_, form, errors={}, status=200)


def _registrant() -> Registrant:
    cookie = cookies.carried(_COOKIE)
    registrant = current_sign_ins().registrant(cookie) if cookie else None
    if registrant is None:
        raise Problem(
            "REGISTRATION_TOKEN_EXPIRED",
            "This registration was begun more than an hour ago, or in another browser. In AWS Marketplace open Manage"
            " subscriptions and choose Set up your account.",
        )
    return registrant


def _show(
    registrant: Registrant, license_: License, form: _CompanyForm, *, errors: dict[str, str], status: int
) -> ResponseReturnValue:
    page = flask.render_template(
        "registration.html",
        registrant=registrant,
        seats_max=license_.subscription.seats_max if license_.subscription else None,
        renews_at=_renews_at(license_),
        known_before=license_.company_name is not None,
        form=form,
        errors=errors,
        # Who has begun to type is not to lose it by a page that loads itself again.
        looks_again=license_.subscription is None and not errors and "write" not in flask.request.args,
    )
    return flask.make_response(page, status)


def _renews_at(license_: License) -> datetime | None:
    return license_.subscription.renews_at if license_.subscription else None


@PAGES.post("/registration")
def register_company() -> ResponseReturnValue:
    """Record the company; ends with the link that signs in."""
    registrant = _registrant()
    parts = current_parts()
    values = flask.request.form
    form = _CompanyForm(
        company_name=values.get("company_name", ""),
        name=values.get("name", ""),
        email=values.get("email", ""),
        phone=values.get("phone", ""),
    )
    read = _Reader()
    company_name = read.line(form.company_name, "company_name", "The company's name")
    contact = Contact(
        name=read.line(form.name, "name", "The contact's name"),
        email=read.email(form.email),
        phone=read.phone(form.phone),
    )
    if read.errors:
        license_ = parts.ledger.past.license_now(registrant.license_id)
        return _show(registrant, license_, form, errors=read.errors, status=422)
    sender = caller_of(registrant.actor)
    position = parts.ledger.companies.register(
        registrant.license_id, company_name=company_name, contact=contact, caller=sender
    )
    wait_for_views(position)
    link = current_sign_ins().link(registrant.license_id, caller=sender)
    return flask.render_template(
        "registered.html", company_name=company_name, link=flask.url_for("pages.link", token=link, _external=True)
    )


class _Reader:
    """Reads the fields of the company form, and keeps in words what is wrong with them."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def line(self, text: str, field: str, what: str, *, length_max: int = 256) -> str:
        try:
            return parse_line(text, what=what, length_max=length_max)
        except InvalidTextError as error:
            self.errors[field] = str(error)
            return ""

    def email(self, text: str) -> str:
        email = self.line(text, "email", "The email address", length_max=_EMAIL_LENGTH_MAX)
        if email and not _EMAIL.fullmatch(email):
            self.errors["email"] = "Write an email address with an @ and a domain, such as ada@example.com."
        return email

    def phone(self, text: str) -> str | None:
        if not text.strip():
            return None
        phone = self.line(text, "phone", "The phone number", length_max=_PHONE_LENGTH_MAX)
        if phone and not _PHONE.fullmatch(phone):
            self.errors["phone"] = "Write a phone number with digits, such as +1 206 555 0100, or leave it empty."
        return phone
