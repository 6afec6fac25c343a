"""Seats: who has one, and the commands that give, take and bar them."""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final

import flask
from flask_smorest import Blueprint

from api.principal import Permission
from api.problems import Problem
from api.v1 import answers, schemas
from api.v1.conditions import IDEMPOTENCY_KEY, IF_MATCH
from api.v1.cursors import Cursors
from api.v1.licenses import license_in_its_place, license_in_view
from api.v1.operation import Call, Operation, operation, respond
from ledger.license.decisions import SeatIsNotFoundError, UserIsBlockedError
from ledger.license.events import LicenseId, SeatId
from ledger.replay import Moment
from ledger.seats import SeatAnswer, SeatRecord
from projections.page import Page, PageKey
from projections.seats import SeatQuery

BLUEPRINT: Final = Blueprint("seats", __name__, url_prefix="/v1", description="Who has a seat.")

_COMMAND: Final = Operation(
    permission=Permission.CHANGE_SEATS,
    answers={200: schemas.SeatAnswer},
    headers=(IDEMPOTENCY_KEY, IF_MATCH),
    etag=True,
    submits=True,
)


@operation(
    BLUEPRINT,
    "GET",
    "/licenses/<license_id>/seats",
    Operation(
        permission=Permission.READ,
        query=schemas.SeatsQuery,
        answers={200: schemas.SeatPage},
        codes=["POSITION_NOT_REACHED", "QUEUE_FULL"],
    ),
)
def list_seats(call: Call, license_id: LicenseId) -> flask.Response:
    """List the seats of a license, by user, now or at a time."""
    call.wait_for_position()
    query = call.query
    cursors = Cursors.for_list(
        call.parts.ledger,
        caller_id=call.principal.actor.id,
        call=f"list_seats {license_id}",
        filters=_filters(call),
    )
    after = cursors.read(query.get("cursor"))
    page = _seats_then(call, license_id, after) if "as_of" in query else _seats_now(call, license_id, after)
    return respond(
        {
            "items": [answers.seat(seat) for seat in page.items],
            "next": cursors.write(page.next),
            "position": page.position,
            "as_of": page.as_of or call.parts.ledger.now(),
        }
    )


def _seats_then(call: Call, license_id: LicenseId, after: PageKey | None) -> Page[SeatRecord]:
    moment, limit = Moment(as_of=call.query["as_of"]), call.query["limit"]
    page = call.parts.views.seats.then(license_id, moment, _which(call), after=after, limit=limit)
    if not page.items:
        license_in_view(call, license_id)
    return page


def _seats_now(call: Call, license_id: LicenseId, after: PageKey | None) -> Page[SeatRecord]:
    seats, which, limit = call.parts.views.seats, _which(call), call.query["limit"]
    page = seats.list(license_id, which, after=after, limit=limit)
    if page.items:
        return page
    # A twin never had a seat.
    in_its_place = license_in_its_place(call, license_id)
    return page if in_its_place == license_id else seats.list(in_its_place, which, after=after, limit=limit)


def _which(call: Call) -> SeatQuery:
    query, user = call.query, call.query.get("user")
    return SeatQuery(status=query.get("status"), user=user.name if user else None, q=query.get("q") or None)


def _filters(call: Call) -> Mapping[str, object]:
    named = {name: call.query[name] for name in ("status", "q", "as_of") if name in call.query}
    return named | ({"user": call.query["user"].identity} if "user" in call.query else {})


@operation(
    BLUEPRINT,
    "GET",
    "/licenses/<license_id>/seats/<seat_id>",
    Operation(
        permission=Permission.READ,
        query=schemas.SeatQuery,
        answers={200: schemas.SeatNow},
        codes=["POSITION_NOT_REACHED"],
        etag=True,
    ),
)
def get_seat(call: Call, license_id: LicenseId, seat_id: SeatId) -> flask.Response:
    """One seat."""
    call.wait_for_position()
    position = call.parts.views.position()
    seats = call.parts.views.seats
    seat = seats.get(license_id, seat_id) or seats.get(license_in_its_place(call, license_id), seat_id)
    if seat is None:
        raise SeatIsNotFoundError
    return respond(answers.seat(seat, position=position), version=seat.version)


@operation(
    BLUEPRINT,
    "POST",
    "/licenses/<license_id>/seats",
    replace(
        _COMMAND,
        body=schemas.UserBody,
        answers={200: schemas.SeatAnswer, 201: schemas.SeatAnswer},
        codes=[
            "NO_SEAT_FREE",
            "USER_BLOCKED",
            "SUBSCRIPTION_NOT_STARTED",
            "SUBSCRIPTION_LAPSED",
            "SUBSCRIPTION_EXPIRED",
        ],
    ),
)
def activate_seat(call: Call, license_id: LicenseId) -> flask.Response:
    """Let a user take a seat; 200 if the user has one already. If-Match is the license's version."""
    answer = call.parts.ledger.seats.activate(
        license_id, user=call.body["user"], caller=call.caller, if_match=call.if_match, once=call.once
    )
    location = f"/v1/licenses/{answer.seat.license_id}/seats/{answer.seat.seat_id}" if answer.took_seat else None
    return _respond(answer, location=location)


@operation(
    BLUEPRINT,
    "POST",
    "/licenses/<license_id>/blocks",
    replace(_COMMAND, body=schemas.BlockBody),
)
def block_user(call: Call, license_id: LicenseId) -> flask.Response:
    """Keep a user out, also one never seen. If-Match is the license's version."""
    answer = call.parts.ledger.seats.block_user(
        license_id,
        user=call.body["user"],
        reason=call.body["reason"],
        note=call.body["note"],
        caller=call.caller,
        if_match=call.if_match,
        once=call.once,
    )
    return _respond(answer)


@operation(
    BLUEPRINT,
    "POST",
    "/licenses/<license_id>/seats/<seat_id>/block",
    replace(_COMMAND, body=schemas.ReasonBody),
)
def block_seat(call: Call, license_id: LicenseId, seat_id: SeatId) -> flask.Response:
    """Keep the user of a seat out; the seat becomes free. If-Match is the seat's version."""
    answer = call.parts.ledger.seats.block(
        license_id,
        seat_id=seat_id,
        reason=call.body["reason"],
        note=call.body["note"],
        caller=call.caller,
        if_match=call.if_match,
        once=call.once,
    )
    return _respond(answer)


@operation(
    BLUEPRINT,
    "POST",
    "/licenses/<license_id>/seats/<seat_id>/unblock",
    _COMMAND,
)
def unblock_seat(call: Call, license_id: LicenseId, seat_id: SeatId) -> flask.Response:
    """Let the user of a seat in again; the next sign-in takes a seat. If-Match is the seat's version."""
    answer = call.parts.ledger.seats.unblock(
        license_id, seat_id=seat_id, caller=call.caller, if_match=call.if_match, once=call.once
    )
    return _respond(answer)


@operation(
    BLUEPRINT,
    "DELETE",
    "/licenses/<license_id>/seats/<seat_id>",
    replace(
        _COMMAND,
        codes=["USER_BLOCKED"],
        statuses={"USER_BLOCKED": HTTPStatus.CONFLICT},
    ),
)
def delete_seat(call: Call, license_id: LicenseId, seat_id: SeatId) -> flask.Response:
    """Take the seat from its user, who may come back. If-Match is the seat's version."""
    try:
        answer = call.parts.ledger.seats.delete(
            license_id, seat_id=seat_id, caller=call.caller, if_match=call.if_match, once=call.once
        )
    except UserIsBlockedError as refusal:
        raise Problem(refusal.CODE, refusal.detail, status=HTTPStatus.CONFLICT) from refusal
    return _respond(answer)


@operation(
    BLUEPRINT,
    "POST",
    "/licenses/<license_id>/seat-changes",
    Operation(
        permission=Permission.CHANGE_SEATS,
        submits=True,
        headers=(IDEMPOTENCY_KEY,),
        refuses=(IF_MATCH,),
        body=schemas.ChangesBody,
        answers={200: schemas.ChangesAnswer},
    ),
)
def change_seats(call: Call, license_id: LicenseId) -> flask.Response:
    """Carry out up to 1,000 changes in their order; those that are accepted are recorded together."""
    changes = call.body["changes"]
    answer = call.parts.ledger.seats.change_many(license_id, changes=changes, caller=call.caller, once=call.once)
    return respond(answers.changes_answer(answer, changes))


@operation(
    BLUEPRINT,
    "POST",
    "/licenses/<license_id>/preview",
    Operation(
        permission=Permission.PREVIEW_LIMIT,
        submits=True,
        body=schemas.PreviewBody,
        answers={200: schemas.Preview},
    ),
)
def preview_limit(call: Call, license_id: LicenseId) -> flask.Response:
    """Tell what another seat limit would do; changes nothing."""
    answer = call.parts.ledger.seats.preview(license_id, seats_max=call.body["seats_max"], caller=call.caller)
    return respond(answers.preview(answer))


def _respond(answer: SeatAnswer, *, location: str | None = None) -> flask.Response:
    return respond(
        answers.seat_answer(answer),
        status=answers.status_of(answer),
        version=answer.seat.version,
        location=location,
    )
