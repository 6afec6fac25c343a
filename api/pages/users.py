"""The users of a license: looking them up, and changing who has a seat."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import flask
from flask.typing import ResponseReturnValue

from api.pages import cursors, words
from api.pages.blueprint import PAGES
from api.pages.gate import caller, reached_license, wait_for_views
from api.pages.typed import typed
from api.parts import current_parts
from api.principal import Permission
from api.v1.fields import is_uuid
from ledger.errors import RefusedError
from ledger.license import decisions
from ledger.license.decisions import SeatIsNotFoundError
from ledger.license.events import BlockReason, LicenseId, SeatId
from ledger.license.state import SeatStatus
from ledger.seats import CHANGES_MAX, Change, ChangeResult, SeatChange, SeatRecord
from ledger.users import InvalidTextError, User, parse_note, parse_user
from projections.license_information import LicenseInformation
from projections.seats import SeatQuery

PAGE_LENGTH: Final = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class _Search:
    """What a list of users is narrowed to, and where it begins."""

    q: str
    status: SeatStatus | None
    cursor: str

    def parameters(self) -> dict[str, str]:
        """As an address says it."""
        said = {"q": self.q, "status": self.status.value if self.status else "", "cursor": self.cursor}
        return {name: value for name, value in said.items() if value}


def _search() -> _Search:
    status = flask.request.values.get("status", "")
    return _Search(
        q=typed("q"),
        status=SeatStatus(status) if status in set(SeatStatus) else None,
        cursor=flask.request.values.get("cursor", ""),
    )


@PAGES.get("/licenses/<uuid:license_id>/users")
def users(license_id: uuid.UUID) -> ResponseReturnValue:
    """The users of a license, by name."""
    information = reached_license(license_id)
    search = _search()
    parts = current_parts()
    of, secret = f"users {information.license_id} {search.q} {search.status}", parts.ledger.secret("cursor")
    page = parts.views.seats.list(
        information.license_id,
        SeatQuery(status=search.status, q=search.q or None),
        after=cursors.read(search.cursor, of=of, secret=secret),
        limit=PAGE_LENGTH,
    )
    return flask.render_template(
        "users.html",
        license=information,
        page=page,
        counts=parts.views.seats.counts(information.license_id),
        search=search,
        next=cursors.write(page.next, of=of, secret=secret),
        outcome=_outcome(information),
    )


def _outcome(information: LicenseInformation) -> words.Outcome | None:
    """What became of the change that led to this page, as its address tells."""
    arguments = flask.request.args
    did, seat_id = arguments.get("did", ""), arguments.get("changed", "")
    if did not in set(Change):
        return None
    seat = current_parts().views.seats.get(information.license_id, SeatId(seat_id))
    if seat is None:
        return None
    change, refused = Change(did), arguments.get("refused", "")
    if refused:
        refusal = _refusal(information, refused)
        return None if refusal is None else words.refused_outcome(change, seat, code=refused, detail=refusal.detail)
    return words.outcome(change, seat) if seat.status is _LEADS_TO[change] else None


_LEADS_TO: Final = {
    Change.ACTIVATE: SeatStatus.ACTIVE,
    Change.BLOCK: SeatStatus.BLOCKED,
    Change.UNBLOCK: SeatStatus.INACTIVE,
    Change.DELETE: SeatStatus.DELETED,
}


def _refusal(information: LicenseInformation, code: str) -> RefusedError | None:
    license_ = current_parts().ledger.past.license_now(information.license_id)
    try:
        return decisions.refusal(license_, code)
    except KeyError:
        return None


# -- changing seats ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """A change that is asked for, as it was typed."""

    change: Change
    seat_ids: tuple[SeatId, ...]
    reason: str
    note: str


def _form() -> _Form:
    values = flask.request.values
    change = values.get("change", "")
    seat_ids = [*dict.fromkeys(filter(is_uuid, values.getlist("seat_id")))]
    return _Form(
        change=Change(change) if change in set(Change) else Change.ACTIVATE,
        seat_ids=tuple(SeatId(seat_id) for seat_id in seat_ids[:CHANGES_MAX]),
        reason=values.get("reason", ""),
        note=values.get("note", ""),
    )


@PAGES.get("/licenses/<uuid:license_id>/users/confirm")
def confirm_change(license_id: uuid.UUID) -> ResponseReturnValue:
    """What a change would lead to, before it is done."""
    information = reached_license(license_id, Permission.CHANGE_SEATS)
    return _ask(information, _form(), errors={}, status=200)


def _ask(information: LicenseInformation, form: _Form, *, errors: dict[str, str], status: int) -> ResponseReturnValue:
    seats = _seats(information.license_id, form.seat_ids)
    if not seats and len(form.seat_ids) == 1:
        raise SeatIsNotFoundError
    page = flask.render_template(
        "confirm.html",
        license=information,
        form=form,
        seats=seats,
        follows=words.what_follows(form.change, seats) if seats else (),
        errors=errors,
        search=_search(),
        in_dialog="HX-Request" in flask.request.headers,
    )
    return flask.make_response(page, status if seats else 422)


def _seats(license_id: LicenseId, seat_ids: Sequence[SeatId]) -> Sequence[SeatRecord]:
    view = current_parts().views.seats
    found = (view.get(license_id, seat_id) for seat_id in seat_ids)
    return [seat for seat in found if seat is not None]


@PAGES.post("/licenses/<uuid:license_id>/users/changes")
def change_seats(license_id: uuid.UUID) -> ResponseReturnValue:
    """Change one seat, or those of a selection."""
    information = reached_license(license_id, Permission.CHANGE_SEATS)
    form = _form()
    errors, note = _read_reason(form.change, form.reason, form.note)
    if errors or not form.seat_ids:
        return _ask(information, form, errors=errors, status=422)
    reason = BlockReason(form.reason) if form.change is Change.BLOCK else None
    changes = [SeatChange(change=form.change, seat_id=seat_id, reason=reason, note=note) for seat_id in form.seat_ids]
    results = _carry_out(information.license_id, changes)
    if len(results) == 1:
        return _back_to_users(information, form, results[0])
    return _tell(information, form.change, [_line(form.change, "", result) for result in results])


def _read_reason(change: Change, reason: str, note: str) -> tuple[dict[str, str], str | None]:
    if change is not Change.BLOCK:
        return {}, None
    errors = {} if reason in set(BlockReason) else {"reason": "Choose a reason for the block."}
    try:
        return errors, parse_note(note)
    except InvalidTextError as error:
        return {**errors, "note": str(error)}, None


def _carry_out(license_id: LicenseId, changes: Sequence[SeatChange]) -> Sequence[ChangeResult]:
    answer = current_parts().ledger.seats.change_many(license_id, changes=changes, caller=caller())
    wait_for_views(answer.position)
    return answer.results


def _back_to_users(information: LicenseInformation, form: _Form, result: ChangeResult) -> ResponseReturnValue:
    if result.seat is None:
        raise result.refusal or SeatIsNotFoundError
    told = {**_search().parameters(), "did": form.change.value, "changed": result.seat.seat_id}
    if result.refusal is not None:
        told["refused"] = result.refusal.CODE
    address = flask.url_for("pages.users", license_id=information.license_id)
    return flask.redirect(f"{address}?{urlencode(told)}#outcome", 303)


# -- many users by name ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """What became of one line of many.

    Attributes:
        typed: the line as it was typed; empty if the user was chosen from the list.
        user: the user's name.
        text: what happened, or why it did not.
        code: of the refusal; null if it was done.
    """

    typed: str
    user: str
    text: str
    code: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _NewUsers:
    """The form of many names, as it was typed."""

    change: Change
    names: str
    reason: str
    note: str


@PAGES.get("/licenses/<uuid:license_id>/users/add")
def add_users(license_id: uuid.UUID) -> ResponseReturnValue:
    """The form in which one or many names are written or pasted."""
    information = reached_license(license_id, Permission.CHANGE_SEATS)
    form = _NewUsers(change=Change.ACTIVATE, names="", reason="", note="")
    return flask.render_template("add.html", license=information, form=form, errors={})


@PAGES.post("/licenses/<uuid:license_id>/users/add")
def change_named_users(license_id: uuid.UUID) -> ResponseReturnValue:
    """Give seats to, or block, the users of these names; each line gets its result."""
    information = reached_license(license_id, Permission.CHANGE_SEATS)
    values = flask.request.form
    change = Change.BLOCK if values.get("change") == Change.BLOCK else Change.ACTIVATE
    form = _NewUsers(
        change=change, names=values.get("names", ""), reason=values.get("reason", ""), note=values.get("note", "")
    )
    lines = [line.strip() for line in form.names.splitlines() if line.strip()]
    errors, note = _read_reason(change, form.reason, form.note)
    if not lines:
        errors["names"] = "Write at least one name."
    if len(lines) > CHANGES_MAX:
        errors["names"] = f"These are {len(lines):,} names. At most {CHANGES_MAX:,} can be sent at once."
    if errors:
        page = flask.render_template("add.html", license=information, form=form, errors=errors)
        return flask.make_response(page, 422)
    reason = BlockReason(form.reason) if change is Change.BLOCK else None
    return _tell(information, change, _change_named(information.license_id, lines, change, reason, note))


def _change_named(
    license_id: LicenseId, lines: Sequence[str], change: Change, reason: BlockReason | None, note: str | None
) -> Sequence[_Line]:
    read = [_read_name(line) for line in lines]
    changes = [
        SeatChange(change=change, user=user, reason=reason, note=note) for user in read if isinstance(user, User)
    ]
    results = iter(_carry_out(license_id, changes) if changes else ())
    return [
        _line(change, line, next(results))
        if isinstance(user, User)
        else _Line(typed=line, user=line, text=str(user), code="INVALID")
        for line, user in zip(lines, read, strict=True)
    ]


def _read_name(line: str) -> User | InvalidTextError:
    try:
        return parse_user(line)
    except InvalidTextError as error:
        return error


def _line(change: Change, typed: str, result: ChangeResult) -> _Line:
    user = result.seat.user if result.seat else typed
    if result.refusal is not None or result.seat is None:
        refusal = result.refusal or SeatIsNotFoundError()
        return _Line(typed=typed, user=user, text=refusal.detail, code=refusal.CODE)
    return _Line(typed=typed, user=user, text=words.outcome(change, result.seat).text, code=None)


def _tell(information: LicenseInformation, change: Change, lines: Sequence[_Line]) -> ResponseReturnValue:
    return flask.render_template(
        "results.html",
        license=information,
        change=change,
        lines=lines,
        done=sum(line.code is None for line in lines),
        again="\n".join(line.typed for line in lines if line.code is not None and line.typed),
    )
