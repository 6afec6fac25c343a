"""The list of licenses, and License Information: what was bought, who uses it, when it renews."""

import uuid
from dataclasses import dataclass
from typing import Final

import flask
from flask.typing import ResponseReturnValue

from api.pages import cursors
from api.pages.blueprint import PAGES
from api.pages.gate import caller, reached_license, require
from api.pages.typed import typed
from api.parts import current_parts
from api.principal import Permission, Principal
from ledger.license.access import LicenseStatus
from ledger.license.events import LicenseId
from ledger.seats import SEATS_PREVIEWED_MAX, Preview
from ledger.system.events import KeyRole
from projections.license_information import LicenseInformation, LicenseQuery

PAGE_LENGTH: Final = 50


@PAGES.get("/")
def licenses() -> ResponseReturnValue:
    """The licenses that one may see; who has just one goes to it."""
    who = require(Permission.READ)
    parts = current_parts()
    q, status = typed("q"), flask.request.args.get("status", "")
    query = LicenseQuery(
        customer_ids=() if who.scope.customer_id is None else (who.scope.customer_id,),
        product_id=who.scope.product_id,
        licenses=who.scope.licenses,
        q=q or None,
        status=LicenseStatus(status) if status in set(LicenseStatus) else None,
    )
    of, secret = f"licenses {query!r}", parts.ledger.secret("cursor")
    page = parts.views.licenses.list(
        query,
        after=cursors.read(flask.request.args.get("cursor", ""), of=of, secret=secret),
        limit=PAGE_LENGTH,
        at=parts.ledger.now(),
    )
    if _has_one(who) and not flask.request.args and len(page.items) == 1:
        return flask.redirect(flask.url_for("pages.license_information", license_id=page.items[0].license_id), 303)
    return flask.render_template(
        "licenses.html", page=page, q=q, status=query.status, next=cursors.write(page.next, of=of, secret=secret)
    )


def _has_one(who: Principal) -> bool:
    return who.role is KeyRole.ADMIN or who.scope.licenses is not None


@PAGES.get("/licenses/<uuid:license_id>")
def license_information(license_id: uuid.UUID) -> ResponseReturnValue:
    """License Information."""
    information = reached_license(license_id)
    return flask.render_template(
        "license.html",
        license=information,
        bar=_bar(information),
        preview=_preview(),
        coming=current_parts().inbox.coming(information.license_id),
        notices=current_parts().inbox.notices(information.license_id),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _PreviewField:
    """The number that one has in mind, as typed, and what it would do or why it can't be read."""

    typed: str
    preview: Preview | None = None
    error: str | None = None


def _preview() -> _PreviewField | None:
    typed = flask.request.args.get("seats_max", "").strip()
    if not typed:
        return None
    require(Permission.PREVIEW_LIMIT)
    digits = typed.replace(",", "")
    if not digits.isdecimal() or not digits.isascii() or int(digits[:12]) > SEATS_PREVIEWED_MAX:
        return _PreviewField(typed=typed, error="Write a number of seats, such as 10.")
    preview = current_parts().ledger.seats.preview(
        LicenseId(str((flask.request.view_args or {})["license_id"])), seats_max=int(digits), caller=caller()
    )
    return _PreviewField(typed=typed, preview=preview)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bar:
    """The bar of seats, in thousandths of its length."""

    active: int
    free: int


def _bar(information: LicenseInformation) -> _Bar:
    active = min(1000, 1000 * information.seats_active // max(1, information.seats_max))
    return _Bar(active=active, free=1000 - active)
