"""License Information as it is asked for."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy
from sqlalchemy import ColumnElement, Connection, Select, Table

from ledger.ledger import Ledger
from ledger.license.access import AccessPolicy, LicenseStatus
from ledger.license.events import LapseReason, LicenseId, RenewalIntent
from ledger.license.holding import Holder
from ledger.license.state import Lapse, Renewal, SeatStatus, Subscription
from ledger.replay import Moment
from ledger.times import microseconds, moment
from ledger.users import identity_of
from projections.database import Reading, ViewsDatabase
from projections.license_information.information import (
    Facts,
    LicenseInformation,
    LicenseQuery,
    Names,
    inform,
    information_then,
)
from projections.license_information.listed import has_one, names_in
from projections.page import Page, PageKey

_MICROSECOND: Final = timedelta(microseconds=1)


class LicenseInformationView:
    """The License Information of every license."""

    def __init__(self, database: ViewsDatabase, ledger: Ledger) -> None:
        """Answer from the views, and about the past from the ledger."""
        self._database = database
        self._ledger = ledger

    def get(self, license_id: LicenseId, *, at: datetime) -> LicenseInformation | None:
        """One license, by the clock `at`; null if the view knows of none.

        Raises:
            StoreError: the views can't be read.
        """
        with self._database.reading() as reading:
            table = reading.tables.licenses
            row = reading.connection.execute(sqlalchemy.select(table).where(table.c.license_id == license_id)).first()
            return None if row is None else _information(row, reading, policy=_policy(reading), at=at)

    def facts(self, license_ids: Collection[LicenseId]) -> tuple[int, Sequence[Facts]]:
        """What is known about some thousand licenses whatever the clock says, and the position at which it is true.

        Raises:
            StoreError: the views can't be read.
        """
        with self._database.reading() as reading:
            table = reading.tables.licenses
            rows = reading.connection.execute(sqlalchemy.select(table).where(table.c.license_id.in_(license_ids))).all()
            return reading.position, [*map(_facts, rows)]

    def then(self, license_id: LicenseId, moment_: Moment) -> LicenseInformation:
        """One license as it stood; a time is first reached, so that the answer never changes.

        Raises:
            LicenseIsNotFoundError: it had not been issued by then.
            NotRecordedError: there is no such version or position.
            TimeIsInvalidError: the time has not come yet.
            StoreError: the ledger can't be read.
        """
        if moment_.as_of is not None:
            self._ledger.reach(moment_.as_of)
        return information_then(self._ledger.past.license_at(license_id, moment_))

    def list(self, query: LicenseQuery, *, after: PageKey | None, limit: int, at: datetime) -> Page[LicenseInformation]:
        """Licenses sorted by company (those without one first), by the clock `at`.

        Args:
            query: which.
            after: the key of the last item of the page before; null begins.
            limit: how many at most, from 1.
            at: the clock, aware.

        Raises:
            StoreError: the views can't be read.
        """
        with self._database.reading() as reading:
            policy = _policy(reading)
            selected = _select(reading.tables.licenses, query, policy=policy, at=at, after=after)
            rows = reading.connection.execute(selected.limit(limit + 1)).all()
            last = rows[limit - 1] if len(rows) > limit else None
            return Page(
                items=[_information(row, reading, policy=policy, at=at) for row in rows[:limit]],
                next=None if last is None else (last.company_key, last.license_id),
                position=reading.position,
            )


def count_seats(connection: Connection, table: Table, license_id: LicenseId) -> dict[SeatStatus, int]:
    """How many seats of a license stand how; all zero if there is none."""
    counted = (table.c.seats_active, table.c.seats_blocked, table.c.seats_inactive, table.c.seats_deleted)
    row = connection.execute(sqlalchemy.select(*counted).where(table.c.license_id == license_id)).first()
    return dict(zip(SeatStatus, row or (0, 0, 0, 0), strict=True))


def _select(
    table: Table, query: LicenseQuery, *, policy: AccessPolicy, at: datetime, after: PageKey | None
) -> Select[Any]:
    key = sqlalchemy.tuple_(table.c.company_key, table.c.license_id)
    selected = sqlalchemy.select(table).where(*_conditions(table, query, policy=policy, at=at))
    if after is not None:
        selected = selected.where(key > after)
    return selected.order_by(table.c.company_key, table.c.license_id)


def _conditions(
    table: Table, query: LicenseQuery, *, policy: AccessPolicy, at: datetime
) -> Iterator[ColumnElement[bool]]:
    for customer_id in query.customer_ids:
        yield (table.c.account == customer_id) | (table.c.identifier == customer_id)
    if query.product_id is not None:
        yield has_one(table.c.products, query.product_id)
    if query.licenses is not None:
        yield table.c.license_id.in_(query.licenses)
    if query.q is not None:
        yield table.c.search.contains(identity_of(query.q), autoescape=True)
    if query.status is not LicenseStatus.FOLDED:
        yield table.c.folded_into.is_(None)
    if query.status is not None:
        yield _stands(table, query.status, policy=policy, at=at)


def _stands(table: Table, status: LicenseStatus, *, policy: AccessPolicy, at: datetime) -> ColumnElement[bool]:
    """What `ledger.license.access.status` says, as a condition on what is stored."""
    renews_at, now = table.c.renews_at_microseconds, microseconds(at)
    usable_if_after = now - max(policy.blind_wait, policy.expiry_grace) // _MICROSECOND
    runs = table.c.seats_max.is_not(None) & table.c.lapse_reason.is_(None)
    match status:
        case LicenseStatus.FOLDED:
            return table.c.folded_into.is_not(None)
        case LicenseStatus.PENDING:
            return table.c.seats_max.is_(None)
        case LicenseStatus.LAPSED:
            return table.c.lapse_reason.is_not(None)
        case LicenseStatus.ACTIVE:
            return runs & (renews_at > now)
        case LicenseStatus.OVERDUE:
            return runs & (renews_at <= now) & (renews_at > usable_if_after)
        case LicenseStatus.EXPIRED:
            return runs & (renews_at <= now) & (renews_at <= usable_if_after)


def _policy(reading: Reading) -> AccessPolicy:
    row = reading.connection.execute(sqlalchemy.select(reading.tables.access_policy)).first()
    if row is None:
        return AccessPolicy()
    return AccessPolicy(
        expiry_grace=timedelta(microseconds=row.expiry_grace_microseconds),
        blind_wait=timedelta(microseconds=row.blind_wait_microseconds),
    )


def _information(
    row: "sqlalchemy.Row[Any]", reading: Reading, *, policy: AccessPolicy, at: datetime
) -> LicenseInformation:
    return inform(_facts(row), policy=policy, position=reading.position, at=at)


def _facts(row: "sqlalchemy.Row[Any]") -> Facts:
    return Facts(
        license_id=LicenseId(row.license_id),
        version=row.version,
        product_code=row.product_code,
        names=Names(
            holder=Holder(row.account, row.identifier),
            product=row.product,
            products=names_in(row.products),
            license_arn=row.license_arn,
            agreement=row.agreement,
        ),
        company_name=row.company_name,
        subscription=_subscription(row),
        renewal=_renewal(row),
        folded_into=None if row.folded_into is None else LicenseId(row.folded_into),
        seats_active=row.seats_active,
        seats_blocked=row.seats_blocked,
    )


def _subscription(row: "sqlalchemy.Row[Any]") -> Subscription | None:
    if row.seats_max is None:
        return None
    lapse = None
    if row.lapse_reason is not None:
        lapse = Lapse(reason=LapseReason(row.lapse_reason), ended_at=moment(row.ended_at_microseconds))
    return Subscription(seats_max=row.seats_max, renews_at=moment(row.renews_at_microseconds), lapse=lapse)


def _renewal(row: "sqlalchemy.Row[Any]") -> Renewal | None:
    if row.renewal_intent is None:
        return None
    return Renewal(
        intent=RenewalIntent(row.renewal_intent),
        source=row.renewal_source,
        announced_at=moment(row.renewal_announced_at_microseconds),
    )
