"""Licenses: License Information, now and at any moment."""

from typing import Final

import flask
from flask_smorest import Blueprint

from api.principal import Permission
from api.v1 import answers, schemas
from api.v1.cursors import Cursors
from api.v1.operation import Call, Operation, operation, respond
from ledger.errors import LicenseIsNotFoundError
from ledger.license.events import LicenseId
from ledger.replay import Moment
from projections.license_information import LicenseInformation, LicenseQuery

BLUEPRINT: Final = Blueprint("licenses", __name__, url_prefix="/v1", description="What was bought, and who uses it.")


@operation(
    BLUEPRINT,
    "GET",
    "/licenses",
    Operation(
        permission=Permission.READ,
        query=schemas.LicensesQuery,
        answers={200: schemas.LicensePage},
        codes=["POSITION_NOT_REACHED"],
    ),
)
def list_licenses(call: Call) -> flask.Response:
    """List the licenses."""
    call.wait_for_position()
    scope, query = call.principal.scope, call.query
    filters = {name: query[name] for name in ("customer_id", "status", "q") if name in query}
    cursors = Cursors.for_list(
        call.parts.ledger, caller_id=call.principal.actor.id, call="list_licenses", filters=filters
    )
    after = cursors.read(query.get("cursor"))
    customer_ids = (scope.customer_id, query.get("customer_id"))
    licenses = None if scope.licenses is None else call.parts.ledger.twins.follow(scope.licenses)
    page = call.parts.views.licenses.list(
        LicenseQuery(
            customer_ids=tuple(one for one in customer_ids if one is not None),
            product_id=scope.product_id,
            licenses=licenses,
            status=query.get("status"),
            q=query.get("q") or None,
        ),
        after=after,
        limit=query["limit"],
        at=call.parts.ledger.now(),
    )
    return respond(
        {
            "items": [answers.license_information(information) for information in page.items],
            "next": cursors.write(page.next),
            "position": page.position,
        }
    )


@operation(
    BLUEPRINT,
    "GET",
    "/licenses/<license_id>",
    Operation(
        permission=Permission.READ,
        query=schemas.MomentQuery,
        answers={200: schemas.LicenseInformation},
        codes=["NOT_RECORDED", "POSITION_NOT_REACHED", "QUEUE_FULL"],
        etag=True,
    ),
)
def get_license(call: Call, license_id: LicenseId) -> flask.Response:
    """License Information of one license, now or at a moment."""
    call.wait_for_position()
    information = _information(call, license_id)
    return respond(answers.license_information(information), version=information.version)


def license_in_view(call: Call, license_id: LicenseId) -> LicenseInformation:
    """A license as the views have it now.

    Raises:
        LicenseIsNotFoundError: they have none of this id.
    """
    information = call.parts.views.licenses.get(license_id, at=call.parts.ledger.now())
    if information is None:
        raise LicenseIsNotFoundError
    return information


def license_in_its_place(call: Call, license_id: LicenseId) -> LicenseId:
    """The license that a twin was folded into; this one if it is none.

    Raises:
        LicenseIsNotFoundError: the views have none of this id.
    """
    if license_in_view(call, license_id).folded_into is None:
        return license_id
    return call.parts.ledger.twins.follow((license_id,))[-1]


def _information(call: Call, license_id: LicenseId) -> LicenseInformation:
    views, query = call.parts.views, call.query
    moment = Moment(version=query.get("version"), position=query.get("position"), as_of=query.get("as_of"))
    if moment == Moment():
        return license_in_view(call, license_id)
    return views.licenses.then(license_id, moment)
