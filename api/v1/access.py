"""Access: may this user work, now?"""

from typing import Final

import flask
from flask_smorest import Blueprint

from api.principal import Permission
from api.v1 import answers, schemas
from api.v1.conditions import IDEMPOTENCY_KEY, IF_MATCH
from api.v1.operation import Call, Operation, operation, respond
from ledger.errors import LicenseIsNotFoundError
from ledger.license.access import AccessCode
from ledger.license.events import LicenseId
from ledger.seats import AccessAnswer
from ledger.system.events import KeyRole

BLUEPRINT: Final = Blueprint("access", __name__, url_prefix="/v1", description="What the client program asks.")


@operation(
    BLUEPRINT,
    "POST",
    "/licenses/<license_id>/sign-ins",
    Operation(
        permission=Permission.SIGN_USERS_IN,
        submits=True,
        refuses=(IDEMPOTENCY_KEY, IF_MATCH),
        body=schemas.UserBody,
        answers={200: schemas.Access},
        codes=["TOO_MANY"],
    ),
)
def sign_in(call: Call, license_id: LicenseId) -> flask.Response:
    """Tell whether a user may work; one without a seat takes one, if one is free."""
    limited = call.principal.role is KeyRole.CLIENT
    answer = call.parts.ledger.seats.sign_in(
        license_id,
        user=call.body["user"],
        caller=call.caller,
        new_users_max=call.parts.settings.new_users_per_hour if limited else None,
    )
    return _respond(call, answer)


@operation(
    BLUEPRINT,
    "GET",
    "/licenses/<license_id>/access",
    Operation(
        permission=Permission.SIGN_USERS_IN,
        submits=True,
        query=schemas.AccessQuery,
        answers={200: schemas.Access},
    ),
)
def get_access(call: Call, license_id: LicenseId) -> flask.Response:
    """Tell whether a user may work, as things stand; changes nothing."""
    return _respond(call, call.parts.ledger.seats.access(license_id, user=call.query["user"], caller=call.caller))


def _respond(call: Call, answer: AccessAnswer) -> flask.Response:
    if answer.code is AccessCode.LICENSE_NOT_FOUND:
        raise LicenseIsNotFoundError
    return respond(answers.access(answer, check_again=call.parts.settings.check_again))
