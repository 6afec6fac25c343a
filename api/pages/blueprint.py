"""Where all pages hang, and what they hold in their hands."""

from typing import Final, cast

import flask

from api.pages.limits import AddressLimits
from api.sign_ins import SignIns

PAGES: Final = flask.Blueprint("pages", "api")

_SIGN_INS: Final = "licensing-ledger-sign-ins"
_LIMITS: Final = "licensing-ledger-limits"


def keep(app: flask.Flask, *, sign_ins: SignIns, limits: AddressLimits) -> None:
    """Let every page of this app find the sign-ins and the limits."""
    app.extensions[_SIGN_INS] = sign_ins
    app.extensions[_LIMITS] = limits


def current_sign_ins() -> SignIns:
    """The sign-ins of the app that answers the current request."""
    return cast("SignIns", flask.current_app.extensions[_SIGN_INS])


def current_limits() -> AddressLimits:
    """The limits of the app that answers the current request."""
    return cast("AddressLimits", flask.current_app.extensions[_LIMITS])
