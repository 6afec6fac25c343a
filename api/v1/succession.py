"""Succession: an operator decides what follows behind a license where AWS does not link it."""

from dataclasses import asdict
from typing import Final

import flask
from flask_smorest import Blueprint

from api.principal import Permission
from api.v1 import schemas
from api.v1.conditions import IDEMPOTENCY_KEY, IF_MATCH
from api.v1.operation import Call, Operation, operation, respond
from ledger.license.events import LicenseId

BLUEPRINT: Final = Blueprint("succession", __name__, url_prefix="/v1", description="What follows behind a license.")


@operation(
    BLUEPRINT,
    "POST",
    "/licenses/<license_id>/succession",
    Operation(
        permission=Permission.DECIDE_SUCCESSION,
        submits=True,
        refuses=(IDEMPOTENCY_KEY, IF_MATCH),
        body=schemas.SuccessionBody,
        answers={200: schemas.SuccessionPlan},
        codes=["KEY_UNKNOWN", "CONTRADICTION", "TWIN_IN_USE"],
    ),
)
def decide_succession(call: Call, license_id: LicenseId) -> flask.Response:
    """Let what has a key follow behind a license, or tell what that would do. A second time does nothing."""
    body, succession = call.body, call.parts.succession
    if body["preview"]:
        plan = succession.preview(license_id, key=body["key"], caller=call.caller)
    else:
        plan = succession.succeed(license_id, key=body["key"], reason=body["reason"], caller=call.caller)
    position = call.parts.ledger.head().position
    return respond(asdict(plan) | {"done": not body["preview"], "position": position})
