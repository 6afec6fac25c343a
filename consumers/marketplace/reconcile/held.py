"""What the ledger holds: the licenses in their order, and whose the keys of AWS's rows are."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

import sqlalchemy

from consumers.marketplace import known_agreements
from consumers.marketplace.agreement import Agreement
from consumers.marketplace.names import Name
from consumers.marketplace.reconcile.comparing import Claims, Row
from consumers.marketplace.reconcile.runs import Run
from consumers.marketplace.reconcile.sweeping import row_of
from consumers.marketplace.reconcile.tables import SWEPT
from consumers.marketplace.tables import AGREEMENTS, OBSERVATIONS
from ledger.ledger import Ledger
from ledger.license.events import KeyKind, LicenseId
from ledger.license.state import License
from ledger.store.tables import LICENSE_KEYS
from ledger.transaction import CLAIMING_KINDS

T = TypeVar("T")

_VALUES_AT_ONCE: Final = 500
"""How many values one question names; databases have limits."""


def licenses_after(ledger: Ledger, license_id: str, *, limit: int) -> list[License]:
    """The next licenses in the order of their ids: all that AWS was ever asked about, which is all that it named."""
    with ledger.reading.connect() as reading:
        ids = reading.scalars(
            sqlalchemy.select(OBSERVATIONS.c.license_id)
            .where(OBSERVATIONS.c.license_id > license_id)
            .order_by(OBSERVATIONS.c.license_id)
            .limit(limit)
        ).all()
    return [ledger.past.license_now(LicenseId(one)) for one in ids]


def count(reading: sqlalchemy.Connection) -> int:
    """How many licenses AWS was ever asked about."""
    return reading.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(OBSERVATIONS)) or 0


def rows_of(reading: sqlalchemy.Connection, run: Run, licenses: Sequence[License]) -> list[Row]:
    """All swept rows that carry a key of one of these licenses."""
    names = [name for license_ in licenses for name in license_.names]
    names += [(KeyKind.LICENSE_ARN, arn) for arn in _arns_given(reading, [one.license_id for one in licenses])]
    found: dict[int, Row] = {}
    for column, kind in ((SWEPT.c.license_arn, KeyKind.LICENSE_ARN), (SWEPT.c.customer, KeyKind.CUSTOMER)):
        for values in _in_parts([value for known, value in names if known is kind]):
            query = sqlalchemy.select(SWEPT).where(SWEPT.c.run == run.number, column.in_(values))
            found.update((row.number, row_of(row)) for row in reading.execute(query))
    return list(found.values())


def rows_of_nobody(reading: sqlalchemy.Connection, run: Run) -> list[Row]:
    """The swept rows of which the ledger knows no license by their first key."""
    claimed = sqlalchemy.exists().where(
        sqlalchemy.or_(
            (LICENSE_KEYS.c.kind == KeyKind.LICENSE_ARN.value) & (LICENSE_KEYS.c.value == SWEPT.c.license_arn),
            (LICENSE_KEYS.c.kind == KeyKind.CUSTOMER.value)
            & (LICENSE_KEYS.c.value == SWEPT.c.customer)
            & SWEPT.c.license_arn.is_(None),
        )
    )
    given = sqlalchemy.exists().where(
        AGREEMENTS.c.license_arn == SWEPT.c.license_arn, AGREEMENTS.c.license_id.is_not(None)
    )
    query = sqlalchemy.select(SWEPT).where(SWEPT.c.run == run.number, ~claimed, ~given).order_by(SWEPT.c.number)
    return [row_of(row) for row in reading.execute(query)]


def claims_on(reading: sqlalchemy.Connection, rows: Iterable[Row]) -> Claims:
    """Whose the keys of these rows are."""
    names = {name for row in rows for name in row.names if name[0] in CLAIMING_KINDS}
    owners: dict[Name, LicenseId] = {}
    for kind in {kind for kind, _ in names}:
        for values in _in_parts([value for known, value in names if known is kind]):
            query = sqlalchemy.select(LICENSE_KEYS.c.value, LICENSE_KEYS.c.license_id).where(
                LICENSE_KEYS.c.kind == kind.value, LICENSE_KEYS.c.value.in_(values)
            )
            owners.update(((kind, row.value), LicenseId(row.license_id)) for row in reading.execute(query))
    owners = {**_owners_by_agreement(reading, names), **owners}
    legacy = {owner for (kind, _), owner in owners.items() if kind is KeyKind.CUSTOMER}
    return Claims(owners=owners, with_arn=_with_arn(reading, legacy))


def agreements_of(
    reading: sqlalchemy.Connection, license_ids: Iterable[LicenseId]
) -> Mapping[LicenseId, Sequence[Agreement]]:
    """The agreements behind these licenses, the earliest first."""
    return {license_id: known_agreements.of_license(reading, license_id) for license_id in license_ids}


def _arns_given(reading: sqlalchemy.Connection, license_ids: Sequence[LicenseId]) -> list[str]:
    """The ARNs of the agreements behind these licenses."""
    query = sqlalchemy.select(AGREEMENTS.c.license_arn).where(
        AGREEMENTS.c.license_id.in_(license_ids), AGREEMENTS.c.license_arn.is_not(None)
    )
    return list(reading.scalars(query))


def _owners_by_agreement(reading: sqlalchemy.Connection, names: Collection[Name]) -> Mapping[Name, LicenseId]:
    """The licenses behind which an agreement stands that gives one of these ARNs."""
    owners: dict[Name, LicenseId] = {}
    for values in _in_parts([value for kind, value in names if kind is KeyKind.LICENSE_ARN]):
        query = sqlalchemy.select(AGREEMENTS.c.license_arn, AGREEMENTS.c.license_id).where(
            AGREEMENTS.c.license_arn.in_(values), AGREEMENTS.c.license_id.is_not(None)
        )
        for row in reading.execute(query):
            owners[KeyKind.LICENSE_ARN, row.license_arn] = LicenseId(row.license_id)
    return owners


def _with_arn(reading: sqlalchemy.Connection, licenses: Collection[LicenseId]) -> Collection[LicenseId]:
    found: set[LicenseId] = set()
    for values in _in_parts(sorted(licenses)):
        query = sqlalchemy.select(LICENSE_KEYS.c.license_id).where(
            LICENSE_KEYS.c.kind == KeyKind.LICENSE_ARN.value, LICENSE_KEYS.c.license_id.in_(values)
        )
        found.update(LicenseId(one) for one in reading.scalars(query))
    return found


def _in_parts(values: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while part := list(islice(rest, _VALUES_AT_ONCE)):
        yield part
