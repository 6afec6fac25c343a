"""What keeps the pages safe in a browser: headers, cookies, and forms that only these pages can send."""

import hmac
from typing import Final

import flask
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.wrappers import Response

from api.pages import errors
from api.pages.blueprint import PAGES
from api.pages.cookies import cookie_name
from api.parts import Parts
from api.requests import request_id

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_FORMS_LAST_SECONDS: Final = 12 * 60 * 60
# AWS Marketplace's own page sends this form, from its site.
_SENT_BY_OTHERS: Final = frozenset({"pages.register_from_marketplace"})

_CSRF: Final = CSRFProtect()


def register(app: flask.Flask, parts: Parts) -> None:
    """Guard the pages of this app."""
    secure = parts.settings.secure_cookies
    app.secret_key = hmac.digest(parts.ledger.secret("session"), b"forms", "sha256")
    app.config.update(
        SESSION_COOKIE_NAME=cookie_name("forms", secure=secure),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=secure,
        # The JSON interface takes no cookies, so that a forged form can do nothing there.
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=_FORMS_LAST_SECONDS,
    )
    _CSRF.init_app(app)
    app.after_request(_add_headers)


@PAGES.before_request
def _refuse_forged_forms() -> None:
    if flask.request.endpoint not in _SENT_BY_OTHERS:
        _CSRF.protect()


@PAGES.app_errorhandler(CSRFError)
def _answer_forged_form(_: CSRFError) -> Response:
    return errors.render(
        status=400,
        code=errors.PageCode.FORM_IS_STALE,
        detail="It was open for too long, was made before you signed in, or does not come from this site. Nothing was"
        " changed.",
        request_id=request_id(),
    )


def _add_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if response.mimetype != "text/html":
        return response
    headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    # Addresses may hold a user's name as it was searched for: no other site learns them.
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Cache-Control", "no-store")
    return response
