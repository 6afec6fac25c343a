"""History: every event of a license."""

from typing import Final

import flask
from flask_smorest import Blueprint

from api.principal import Permission
from api.v1 import schemas
from api.v1.cursors import Cursors
from api.v1.licenses import license_in_view
from api.v1.operation import Call, Operation, operation, respond
from ledger.license.events import LicenseId
from projections.history import HistoryEntry, HistoryQuery

BLUEPRINT: Final = Blueprint("history", __name__, url_prefix="/v1", description="What happened, and who caused it.")


@operation(
    BLUEPRINT,
    "GET",
    "/licenses/<license_id>/history",
    Operation(
        permission=Permission.READ,
        query=schemas.HistoryQuery,
        answers={200: schemas.HistoryPage},
        codes=["POSITION_NOT_REACHED"],
    ),
)
def list_history(call: Call, license_id: LicenseId) -> flask.Response:
    """List the events of a license, newest first unless `order` is `asc`."""
    call.wait_for_position()
    query = call.query
    filters = {name: query[name] for name in ("type", "actor", "since", "until", "order") if name in query}
    if "user" in query:
        filters["user"] = query["user"].identity
    cursors = Cursors.for_list(
        call.parts.ledger,
        caller_id=call.principal.actor.id,
        call=f"list_history {license_id}",
        filters=filters,
    )
    page = call.parts.views.history.list(
        license_id,
        HistoryQuery(
            user=query["user"].name if "user" in query else None,
            type=query.get("type"),
            actor=query.get("actor"),
            since=query.get("since"),
            until=query.get("until"),
            order=query["order"],
        ),
        after=cursors.read(query.get("cursor")),
        limit=query["limit"],
    )
    if not page.items:
        license_in_view(call, license_id)
    return respond(
        {
            "items": [entry_document(entry) for entry in page.items],
            "next": cursors.write(page.next),
            "position": page.position,
        }
    )


def entry_document(entry: HistoryEntry) -> dict[str, object]:
    """An event as it is answered."""
    return {
        "position": entry.position,
        "version": entry.version,
        "type": entry.type,
        "recorded_at": entry.recorded_at,
        "actor": entry.actor,
        "cause": entry.cause,
        "seat_id": entry.seat_id,
        "user": entry.user,
        "data": entry.data,
    }
