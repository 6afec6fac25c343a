"""The HTTP door put together."""

import flask

from api import health, metrics, pages, problems, requests, v1
from api.parts import ApiSettings, Parts, keep_parts

__all__ = ["ApiSettings", "Parts", "create_app"]


def create_app(parts: Parts) -> flask.Flask:
    """The WSGI application over a ledger and its views."""
    app = flask.Flask("api")
    keep_parts(app, parts)
    requests.register(app)
    problems.register(app)
    v1.register(app)
    health.register(app)
    metrics.register(app, parts)
    pages.register(app, parts)
    return app
