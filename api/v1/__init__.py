"""Version 1 of the JSON interface; every path stands in the design, every answer in `/openapi.json`."""

import flask

from api.v1 import access, drift, history, inbox, keys, licenses, seats, succession
from api.v1.openapi import Document


def register(app: flask.Flask) -> None:
    """Answer everything under `/v1`, and describe it at `/openapi.json`."""
    document = Document(app)
    for module in (licenses, seats, access, history, inbox, keys, drift, succession):
        document.register_blueprint(module.BLUEPRINT)
    document.finish()
