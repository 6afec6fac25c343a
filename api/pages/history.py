"""The history of a license: every event in a sentence, with what led to it."""

import itertools
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import flask
from flask.typing import ResponseReturnValue

from api.pages import cursors, words
from api.pages.blueprint import PAGES
from api.pages.days import read_day
from api.pages.gate import reached_license
from api.pages.typed import typed
from api.parts import current_parts
from ledger.times import written
from ledger.users import InvalidTextError, parse_user
from projections.history import AppendPart, HistoryEntry, HistoryQuery

PAGE_LENGTH: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class _Filter:
    """What the history is narrowed to, as it was typed; days are days in UTC."""

    user: str
    type: str
    actor: str
    since: str
    until: str
    order: Literal["asc", "desc"]

    def parameters(self) -> dict[str, str]:
        """As an address says it."""
        said = {
            "user": self.user,
            "type": self.type,
            "actor": self.actor,
            "since": self.since,
            "until": self.until,
            "order": "asc" if self.order == "asc" else "",
        }
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One decision.

    Attributes:
        sentence: what was decided.
        entries: its events, as far as the page shows them.
        parts: all of its events.
    """

    sentence: words.Sentence
    entries: Sequence[HistoryEntry]
    parts: Sequence[AppendPart]

    @property
    def first(self) -> HistoryEntry:
        """The event from which time, actor and cause are told; they are the same for all."""
        return self.entries[0]

    @property
    def number(self) -> int:
        """How many events it has, shown or not."""
        return sum(part.number for part in self.parts)


@PAGES.get("/licenses/<uuid:license_id>/history")
def history(license_id: uuid.UUID) -> ResponseReturnValue:
    """What happened to a license, newest first unless asked otherwise."""
    information = reached_license(license_id)
    filter_ = _read_filter()
    query, errors = _query(filter_)
    parts = current_parts()
    of, secret = f"history {information.license_id} {query!r}", parts.ledger.secret("cursor")
    page = parts.views.history.list(
        information.license_id,
        query,
        after=cursors.read(flask.request.args.get("cursor", ""), of=of, secret=secret),
        limit=PAGE_LENGTH,
    )
    return flask.render_template(
        "history.html",
        license=information,
        page=page,
        items=items_of(page.items, of_user=query.user is not None),
        filter=filter_,
        errors=errors,
        next=cursors.write(page.next, of=of, secret=secret),
    )


def _read_filter() -> _Filter:
    arguments = flask.request.args
    type_, actor = arguments.get("type", ""), arguments.get("actor", "")
    return _Filter(
        user=typed("user"),
        type=type_ if type_ in words.EVENT_KINDS else "",
        actor=actor if actor in words.ACTORS else "",
        since=arguments.get("since", ""),
        until=arguments.get("until", ""),
        order="asc" if arguments.get("order") == "asc" else "desc",
    )


def _query(filter_: _Filter) -> tuple[HistoryQuery, dict[str, str]]:
    errors: dict[str, str] = {}
    user = None
    try:
        user = parse_user(filter_.user).name if filter_.user else None
    except InvalidTextError as error:
        errors["user"] = str(error)
    since, until = read_day(filter_.since, "since", errors), read_day(filter_.until, "until", errors)
    return HistoryQuery(
        user=user,
        type=filter_.type or None,
        actor=filter_.actor or None,
        since=since,
        until=until + timedelta(days=1) if until else None,
        order=filter_.order,
    ), errors


def items_of(entries: Sequence[HistoryEntry], *, of_user: bool = False) -> Sequence[Item]:
    """Events as the decisions that they belong to.

    Args:
        entries: as they were listed.
        of_user: whether they were asked for as those of one user.
    """
    appends = current_parts().views.history.appends(entries)
    grouped = itertools.groupby(entries, key=lambda entry: entry.begins_at)
    return [
        _item(sorted(group, key=lambda entry: entry.position), appends[begins_at], of_user=of_user)
        for begins_at, group in grouped
    ]


def _item(entries: Sequence[HistoryEntry], parts: Sequence[AppendPart], *, of_user: bool) -> Item:
    # Who looks for one user reads what became of that user, also where many were concerned.
    told = words.sentence(entries[0], within=parts) if of_user and len(entries) == 1 else words.append_sentence(parts)
    return Item(sentence=told, entries=entries, parts=parts)


def raw(entry: HistoryEntry) -> str:
    """An event as the interface for programs gives it."""
    document = {
        "position": entry.position,
        "version": entry.version,
        "type": entry.type,
        "recorded_at": written(entry.recorded_at),
        "actor": {"role": entry.actor.role, "id": entry.actor.id},
        "cause": entry.cause,
        "seat_id": entry.seat_id,
        "user": entry.user,
        "data": entry.data,
    }
    return json.dumps(document, ensure_ascii=False, indent=2, default=str)
