"""Access: may this user work, now?"""

from typing import Final

import flask
from flask_smorest import Blueprint

from api.principal import Permission
from api.v1 import answers, schemas
from api.v1.conditions import IDEMPOTENCY_KEY, IF_MATCH
from api.v1.operation import Call, Operation, operation, respond
from ledger.errors import LicenseIsNotFoundError
from ledger.keys import KeyScope
from ledger.license.access import AccessCode
from ledger.license.events import LicenseId
from ledger.license.holding import Holding
from ledger.seats import AccessAnswer, Among
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
    answer = call.parts.ledger.seats.sign_in(
        license_id, user=call.body["user"], caller=call.caller, new_users_max=_new_users_max(call)
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


@operation(
    BLUEPRINT,
    "POST",
    "/sign-ins",
    Operation(
        permission=Permission.SIGN_USERS_IN_BY_KEY,
        submits=True,
        refuses=(IDEMPOTENCY_KEY, IF_MATCH),
        body=schemas.UserBody,
        answers={200: schemas.AccessByKey},
        codes=["TOO_MANY", "TOO_MANY_LICENSES"],
    ),
)
def sign_in_by_key(call: Call) -> flask.Response:
    """Tell whether a user may work under one of the key's licenses; one without a seat takes one, where one is free.

    A block under any of them counts for all. Else it is the license where the user has a seat; else that with a free
    seat and the latest renewal date; else the one that is nearest to letting the user work.
    """
    answer = call.parts.ledger.seats.sign_in_among(
        _among(call.principal.scope),
        user=call.body["user"],
        caller=call.caller,
        new_users_max=_new_users_max(call),
    )
    return _respond_by_key(call, answer)


@operation(
    BLUEPRINT,
    "GET",
    "/access",
    Operation(
        permission=Permission.SIGN_USERS_IN_BY_KEY,
        submits=True,
        query=schemas.AccessQuery,
        answers={200: schemas.AccessByKey},
        codes=["TOO_MANY_LICENSES"],
    ),
)
def get_access_by_key(call: Call) -> flask.Response:
    """Tell whether a user may work under one of the key's licenses, as things stand; changes nothing."""
    among, user = _among(call.principal.scope), call.query["user"]
    return _respond_by_key(call, call.parts.ledger.seats.access_among(among, user=user, caller=call.caller))


def _among(scope: KeyScope) -> Among:
    if scope.customer_id is not None and scope.product_id is not None:
        return Holding(scope.customer_id, scope.product_id)
    return scope.licenses or ()


def _new_users_max(call: Call) -> int | None:
    return call.parts.settings.new_users_per_hour if call.principal.role is KeyRole.CLIENT else None


def _respond(call: Call, answer: AccessAnswer) -> flask.Response:
    if answer.code is AccessCode.LICENSE_NOT_FOUND:
        raise LicenseIsNotFoundError
    return _respond_by_key(call, answer)


def _respond_by_key(call: Call, answer: AccessAnswer) -> flask.Response:
    return respond(answers.access(answer, check_again=call.parts.settings.check_again))
