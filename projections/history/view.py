"""The history as it is asked for."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
import sqlalchemy
from sqlalchemy import ColumnElement, Select

from ledger.license.events import Actor, ActorRole, LicenseId, SeatId
from ledger.times import microseconds, moment
from ledger.users import identity_of
from projections.database import Reading, ViewsDatabase
from projections.page import Page, PageKey
from projections.tables import Tables, license_key

_DECODE: Final = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryQuery:
    """Which events to list; what is null restricts nothing.

    Attributes:
        user: about the seat of the user who goes by this name, in any spelling.
        type: of this stored type, such as `license.seat-blocked`.
        actor: caused by this role, or by this `role:id`.
        since: recorded at or after this time, aware.
        until: recorded before this time, aware.
        order: newest first (`desc`) or oldest first (`asc`).
    """

    user: str | None = None
    type: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    order: Literal["asc", "desc"] = "desc"


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryEntry:
    """One event of a license.

    Attributes:
        position: its place in the whole ledger.
        version: its place in the license's stream.
        type: its stored type.
        recorded_at: when it was recorded.
        actor: who caused it.
        cause: id of the message or request that led to it.
        seat_id: the seat it is about; null if it is about none.
        user: the name that the seat's user went by then; null if it is about no seat.
        data: the fact itself, as it is stored.
        append: first and last version of the decision that it belongs to.
    """

    position: int
    version: int
    type: str
    recorded_at: datetime
    actor: Actor
    cause: str | None
    seat_id: SeatId | None
    user: str | None
    data: Mapping[str, Any]
    append: tuple[int, int]

    @property
    def begins_at(self) -> int:
        """The position of the first event of its append, whose events stand one after the other."""
        return self.position - (self.version - self.append[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class AppendPart:
    """The events of one type in an append.

    Attributes:
        first: the first of them.
        number: how many there are.
    """

    first: HistoryEntry
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The events of one license between two positions of the ledger, both included."""

    license_id: LicenseId
    first: int
    last: int


class HistoryView:
    """The history of every license."""

    def __init__(self, database: ViewsDatabase) -> None:
        """Answer from the views."""
        self._database = database

    def list(
        self, license_id: LicenseId, query: HistoryQuery, *, after: PageKey | None, limit: int
    ) -> Page[HistoryEntry]:
        """Events of a license by their position, in the query's order.

        Args:
            license_id: whose.
            query: which.
            after: the key of the last item of the page before; null begins.
            limit: how many at most, from 1.

        Raises:
            StoreError: the views can't be read.
        """
        with self._database.reading() as reading:
            selected = _select(reading.tables, license_id, query, after=after)
            rows = reading.connection.execute(selected.limit(limit + 1)).all()
            return Page(
                items=[_entry(row) for row in rows[:limit]],
                next=(rows[limit - 1].position,) if len(rows) > limit else None,
                position=reading.position,
            )

    def between(
        self, license_id: LicenseId, *, first: int, last: int, actor: ActorRole, limit: int
    ) -> Sequence[HistoryEntry]:
        """What somebody caused of a license, and of those that were folded into it, at some positions, the first first.

        Args:
            license_id: whose.
            first: the first position.
            last: the last position.
            actor: who caused it.
            limit: how many events at most.

        Raises:
            StoreError: the views can't be read.
        """
        with self._database.reading() as reading:
            history = reading.tables.history
            selected = _told(reading.tables).where(
                history.c.license_key.in_(_keys_of_each(reading, {license_id})[license_id]),
                history.c.position.between(first, last),
                history.c.actor_role == actor,
            )
            rows = reading.connection.execute(selected.order_by(history.c.position).limit(limit)).all()
        return [_entry(row) for row in rows]

    def appends(self, entries: Iterable[HistoryEntry]) -> Mapping[int, Sequence[AppendPart]]:
        """The whole appends that events belong to, by the positions of their first events.

        A filter or the end of a page may have left the others of an append out.

        Args:
            entries: as they were listed.

        Raises:
            StoreError: the views can't be read.
        """
        ends = {entry.begins_at: entry.begins_at + entry.append[1] - entry.append[0] for entry in entries}
        if not ends:
            return {}
        with self._database.reading() as reading:
            position = reading.tables.history.c.position
            ranges = (position.between(begin, end) for begin, end in ends.items())
            rows = reading.connection.execute(_parts(reading.tables, sqlalchemy.or_(*ranges))).all()
        found: dict[int, list[AppendPart]] = {begin: [] for begin in ends}
        for row in rows:
            part = _part(row)
            found[part.first.begins_at].append(part)
        return found

    def appends_within(
        self, spans: Collection[Span], *, actor: ActorRole
    ) -> Mapping[Span, Sequence[Sequence[AppendPart]]]:
        """The appends of each span that somebody in this role caused, in their order; all spans are read at once.

        Args:
            spans: some dozens.
            actor: whose events are told.

        Raises:
            StoreError: the views can't be read.
        """
        with self._database.reading() as reading:
            keys = _keys_of_each(reading, {span.license_id for span in spans})
            history = reading.tables.history
            ranges = [
                history.c.license_key.in_(keys[span.license_id]) & history.c.position.between(span.first, span.last)
                for span in spans
            ]
            condition = sqlalchemy.or_(sqlalchemy.false(), *ranges) & (history.c.actor_role == actor)
            rows = reading.connection.execute(_parts(reading.tables, condition)).all()
        return {span: _appends_of(span, rows, license_keys=keys[span.license_id]) for span in spans}


def _keys_of_each(reading: Reading, license_ids: Collection[LicenseId]) -> Mapping[LicenseId, set[int]]:
    keys: dict[LicenseId, set[int]] = {license_id: set() for license_id in license_ids}
    for row in reading.connection.execute(_keys_of(reading.tables, license_ids)):
        keys[LicenseId(row.goes_on_as)].add(row.license_key)
    return keys


def _appends_of(
    span: Span, rows: "Sequence[sqlalchemy.Row[Any]]", *, license_keys: Collection[int]
) -> Sequence[Sequence[AppendPart]]:
    ours = (row for row in rows if row.license_key in license_keys and span.first <= row.position <= span.last)
    appends = itertools.groupby(map(_part, ours), key=lambda part: part.first.begins_at)
    return [list(parts) for _, parts in appends]


def _parts(tables: Tables, condition: ColumnElement[bool]) -> Select[Any]:
    """The events that fit, those of one type in an append as one, by the position of the first of them."""
    history = tables.history
    kinds = (
        sqlalchemy.select(sqlalchemy.func.min(history.c.position).label("first"))
        .add_columns(sqlalchemy.func.count().label("number"))
        .where(condition)
        .group_by(history.c.license_key, history.c.append_first, history.c.type)
        .subquery()
    )
    told = _told(tables, kinds.c.number).join(kinds, history.c.position == kinds.c.first)
    return told.order_by(history.c.position)


def _part(row: "sqlalchemy.Row[Any]") -> AppendPart:
    return AppendPart(first=_entry(row), number=row.number)


def _keys_of(tables: Tables, license_ids: Collection[LicenseId]) -> "Select[int, str]":
    """The numbers of licenses and of those that were folded into them, and into these, and so on; and into which."""
    licenses = tables.licenses
    columns = licenses.c.license_key, licenses.c.license_id
    own = sqlalchemy.select(*columns, licenses.c.license_id.label("goes_on_as"))
    all_ = own.where(licenses.c.license_id.in_(license_ids)).cte("all_", recursive=True)
    twins = sqlalchemy.select(*columns, all_.c.goes_on_as).where(licenses.c.folded_into == all_.c.license_id)
    every = all_.union(twins)
    return sqlalchemy.select(every.c.license_key, every.c.goes_on_as)


def _select(tables: Tables, license_id: LicenseId, query: HistoryQuery, *, after: PageKey | None) -> Select[Any]:
    selected = _told(tables).where(*_conditions(tables, license_id, query))
    position = tables.history.c.position
    if query.order == "asc":
        selected = selected if after is None else selected.where(position > after[0])
        return selected.order_by(position)
    selected = selected if after is None else selected.where(position < after[0])
    return selected.order_by(position.desc())


def _told(tables: Tables, *more: ColumnElement[Any]) -> Select[Any]:
    """What an entry is made of."""
    history, seats = tables.history, tables.seats
    told = history.outerjoin(seats, history.c.seat_key == seats.c.seat_key)
    return sqlalchemy.select(history, seats.c.seat_id, *more).select_from(told)


def _conditions(tables: Tables, license_id: LicenseId, query: HistoryQuery) -> Iterator[ColumnElement[bool]]:
    table, seats = tables.history, tables.seats
    yield table.c.license_key == license_key(tables, license_id)
    if query.user is not None:
        # A user keeps the seat whatever the spelling, so the seat finds the events under every name.
        their = seats.alias()
        theirs = (their.c.license_key == license_key(tables, license_id)) & (
            their.c.identity == identity_of(query.user)
        )
        yield table.c.seat_key.in_(sqlalchemy.select(their.c.seat_key).where(theirs))
    if query.type is not None:
        yield table.c.type == query.type
    if query.actor is not None:
        role, has_id, id_ = query.actor.partition(":")
        yield table.c.actor_role == role
        if has_id:
            yield table.c.actor_id == id_
    if query.since is not None:
        yield table.c.recorded_at_microseconds >= microseconds(query.since)
    if query.until is not None:
        yield table.c.recorded_at_microseconds < microseconds(query.until)


def _entry(row: "sqlalchemy.Row[Any]") -> HistoryEntry:
    return HistoryEntry(
        position=row.position,
        version=row.version,
        type=row.type,
        recorded_at=moment(row.recorded_at_microseconds),
        actor=Actor(ActorRole(row.actor_role), row.actor_id),
        cause=row.cause,
        seat_id=None if row.seat_id is None else SeatId(row.seat_id),
        user=row.user,
        data=_DECODE(row.data),
        append=(row.append_first, row.append_last),
    )
