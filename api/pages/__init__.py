"""The pages: what people see of a license, and where they change who uses it."""

import flask

from api.pages import drift, filters, history, inbox, licenses, registration, security, signing, users
from api.pages.blueprint import PAGES, keep
from api.pages.gate import principal
from api.pages.limits import AddressLimits
from api.parts import Parts
from api.principal import Permission
from api.sign_ins import SignIns

# Each hangs its pages on the blueprint when it is imported.
__all__ = ["drift", "history", "inbox", "licenses", "register", "registration", "signing", "users"]


def register(app: flask.Flask, parts: Parts) -> None:
    """Let this app serve the pages."""
    keep(app, sign_ins=SignIns(parts.ledger), limits=AddressLimits())
    filters.register(app)
    app.jinja_env.globals.update(
        Permission=Permission,
        drift_need_look=drift.drift_need_look,
        inbox_counts=inbox.counts,
        raw_event=history.raw,
        reader=principal,
    )
    security.register(app, parts)
    app.register_blueprint(PAGES)
