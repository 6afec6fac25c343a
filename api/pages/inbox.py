"""The inbox, for operators: what AWS Marketplace told, what became of it, and what needs a look."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

import flask
from flask.typing import ResponseReturnValue

from api.inbox import decisions_of_each, led_to
from api.pages import cursors, history, inbox_words
from api.pages.blueprint import PAGES
from api.pages.days import read_day
from api.pages.gate import caller, require
from api.pages.typed import typed
from api.parts import current_parts
from api.principal import Permission
from api.v1.fields import is_uuid
from ledger.drift import DriftSummary
from ledger.inbox import DismissalReason, InboxCounts, InboxMessage, InboxQuery, MessageReading, MessageStatus
from ledger.license.events import LicenseId
from ledger.users import InvalidTextError, parse_note
from projections.license_information import LicenseInformation, LicenseQuery

PAGE_LENGTH: Final = 50
NEED_LOOK_MAX: Final = 10
"""How many of those that need a look are shown above the list."""
EVENTS_MAX: Final = 100
BODY_SHOWN_MAX: Final = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Filter:
    """What the inbox is narrowed to, as it was typed; days are days in UTC."""

    status: str
    license_id: str
    kind: str
    since: str
    until: str
    q: str
    needs_look: str

    @property
    def is_counted(self) -> bool:
        """Whether it is known how many messages of each status there are: of all, or of one license."""
        return not (self.kind or self.since or self.until or self.q)

    def parameters(self, *but: str) -> dict[str, str]:
        """As an address says it, without some of them."""
        said = {
            "needs_look": self.needs_look,
            "status": self.status,
            "license_id": self.license_id,
            "kind": self.kind,
            "since": self.since,
            "until": self.until,
            "q": self.q,
        }
        return {name: value for name, value in said.items() if value and name not in but}


@PAGES.get("/inbox")
def inbox() -> ResponseReturnValue:
    """The messages, the newest first; above them those that need a look."""
    require(Permission.KEEP_INBOX)
    parts, filter_ = current_parts(), _read_filter()
    query, errors = _query(filter_)
    of, secret = f"inbox {query!r}", parts.ledger.secret("cursor")
    cursor = flask.request.args.get("cursor", "")
    after = cursors.read(cursor, of=of, secret=secret)
    page = parts.inbox.list(query, after=None if after is None else int(after[0] or 0), limit=PAGE_LENGTH)
    begins = not filter_.parameters() and not cursor
    open_ones = parts.inbox.list(InboxQuery(needs_look=True), after=None, limit=NEED_LOOK_MAX).items if begins else ()
    return flask.render_template(
        "inbox.html",
        page=page,
        open_ones=open_ones,
        drift=_latest_drift() if begins else None,
        begins=begins,
        counts=counts(),
        shown=counts() if query.license_id is None else parts.inbox.counts(query.license_id),
        filter=filter_,
        errors=errors,
        licenses=_licenses([*page.items, *open_ones], query),
        decisions=decisions_of_each(parts.views, [one for one in (*page.items, *open_ones) if one.reason is None]),
        next=cursors.write(page.next, of=of, secret=secret),
    )


def _latest_drift() -> DriftSummary | None:
    """What the last comparison with AWS asks somebody to look at."""
    drift = current_parts().drift
    return None if drift is None else drift.latest()


def counts() -> InboxCounts:
    """How many messages there are; asked once for each page."""
    if "inbox_counts" not in flask.g:
        flask.g.inbox_counts = current_parts().inbox.counts()
    return cast("InboxCounts", flask.g.inbox_counts)


def _read_filter() -> _Filter:
    arguments = flask.request.args
    status, kind, license_id = (arguments.get(name, "") for name in ("status", "kind", "license_id"))
    return _Filter(
        status=status if status in set(MessageStatus) else "",
        license_id=license_id if is_uuid(license_id) else "",
        kind=kind if kind in inbox_words.KINDS else "",
        since=arguments.get("since", ""),
        until=arguments.get("until", ""),
        q=typed("q"),
        needs_look="1" if arguments.get("needs_look") else "",
    )


def _query(filter_: _Filter) -> tuple[InboxQuery, dict[str, str]]:
    errors: dict[str, str] = {}
    since, until = read_day(filter_.since, "since", errors), read_day(filter_.until, "until", errors)
    return InboxQuery(
        status=MessageStatus(filter_.status) if filter_.status else None,
        license_id=LicenseId(filter_.license_id) if filter_.license_id else None,
        kind=filter_.kind or None,
        since=since,
        until=until + timedelta(days=1) if until else None,
        q=filter_.q or None,
        needs_look=bool(filter_.needs_look),
    ), errors


def _licenses(messages: Sequence[InboxMessage], query: InboxQuery) -> Mapping[LicenseId, LicenseInformation]:
    """The licenses that the messages and the query name."""
    named = {message.license_id for message in messages} | {query.license_id}
    ids = tuple(license_id for license_id in named if license_id is not None)
    parts = current_parts()
    found = parts.views.licenses.list(
        LicenseQuery(licenses=ids), after=None, limit=max(1, len(ids)), at=parts.ledger.now()
    )
    return {information.license_id: information for information in found.items}


# -- one message -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """A row of GetEntitlements, as the table shows it.

    Attributes:
        dimension: what it counts.
        value: how much of it.
        expires_at: until when; a text where AWS wrote no time.
        whose: the license, else the customer.
    """

    dimension: str
    value: str
    expires_at: datetime | str
    whose: str


@PAGES.get("/inbox/<int(max=9007199254740991):number>")
def message(number: int) -> ResponseReturnValue:
    """One message: what it says, what became of it and why, what to do next, and all that is kept of it."""
    require(Permission.KEEP_INBOX)
    parts = current_parts()
    found = parts.inbox.get(number)
    entries = led_to(parts.views, found.message, limit=EVENTS_MAX)
    pretty = _pretty(found.body)
    return flask.render_template(
        "message.html",
        message=found.message,
        licenses=_licenses([found.message], InboxQuery()),
        items=history.items_of(entries),
        reading=found.reading,
        rows=() if found.reading is None else [_row(row) for row in found.reading.rows],
        raw_reading=None if found.reading is None else _raw_reading(found.reading),
        pretty=pretty,
        body=found.body[:BODY_SHOWN_MAX],
        is_cut=len(found.body) > BODY_SHOWN_MAX,
        retried="retried" in flask.request.args,
        dismissed="dismissed" in flask.request.args,
    )


def _pretty(body: str) -> str | None:
    """A message laid out to be read, an SNS envelope with what lies in it; null if it is no JSON."""
    document = _json(body[:BODY_SHOWN_MAX])
    if document is None:
        return None
    inner = document.get("Message") if isinstance(document, dict) else None
    opened = _json(inner) if isinstance(inner, str) else None
    shown = document | {"Message": opened} if isinstance(document, dict) and opened is not None else document
    return _laid_out(shown)


def _json(text: str) -> Any:  # noqa: ANN401 -- whatever was sent
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _laid_out(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2)


def _row(row: Mapping[str, Any]) -> _Row:
    value, expires_at = row.get("Value"), row.get("ExpirationDate")
    return _Row(
        dimension=str(row.get("Dimension", "")),
        value=", ".join(map(str, value.values())) if isinstance(value, dict) else "",
        expires_at=_time(expires_at) if isinstance(expires_at, str) else "",
        whose=str(row.get("LicenseArn") or row.get("CustomerIdentifier") or row.get("CustomerAWSAccountId") or ""),
    )


def _time(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _raw_reading(reading: MessageReading) -> str:
    agreements = {} if reading.agreements is None else {"agreements": reading.agreements}
    return _laid_out({"rows": reading.rows, **agreements})


@PAGES.get("/inbox/<int(max=9007199254740991):number>/retry")
def ask_to_retry(number: int) -> ResponseReturnValue:
    """What a retry would do, before it is done."""
    require(Permission.KEEP_INBOX)
    found = current_parts().inbox.get(number).message
    return flask.render_template("retry.html", message=found)


@PAGES.post("/inbox/<int(max=9007199254740991):number>/retry")
def retry(number: int) -> ResponseReturnValue:
    """Let a message begin anew."""
    require(Permission.KEEP_INBOX)
    current_parts().inbox.retry(number, caller=caller())
    return flask.redirect(flask.url_for("pages.message", number=number, retried=1), 303)


@dataclass(frozen=True, kw_only=True, slots=True)
class _DismissalForm:
    """The form, as it was filled in."""

    reason: str = ""
    note: str = ""


@PAGES.get("/inbox/<int(max=9007199254740991):number>/dismiss")
def ask_to_dismiss(number: int) -> ResponseReturnValue:
    """Why nobody need look at a message any more, before it is put aside."""
    require(Permission.KEEP_INBOX)
    return _ask_to_dismiss(number, _DismissalForm(), errors={})


@PAGES.post("/inbox/<int(max=9007199254740991):number>/dismiss")
def dismiss(number: int) -> ResponseReturnValue:
    """Let nobody need look at a message any more."""
    require(Permission.KEEP_INBOX)
    values = flask.request.form
    form = _DismissalForm(reason=values.get("reason", ""), note=values.get("note", ""))
    note, errors = _read_dismissal(form)
    if errors:
        return _ask_to_dismiss(number, form, errors=errors), 422
    current_parts().inbox.dismiss(number, reason=DismissalReason(form.reason), note=note, caller=caller())
    return flask.redirect(flask.url_for("pages.message", number=number, dismissed=1), 303)


def _read_dismissal(form: _DismissalForm) -> tuple[str | None, dict[str, str]]:
    errors = {} if form.reason in set(DismissalReason) else {"reason": "Choose a reason."}
    try:
        return parse_note(form.note), errors
    except InvalidTextError as error:
        return None, {**errors, "note": str(error)}


def _ask_to_dismiss(number: int, form: _DismissalForm, *, errors: Mapping[str, str]) -> str:
    found = current_parts().inbox.get(number).message
    return flask.render_template("dismiss.html", message=found, form=form, errors=errors)
