"""The agreements that the ledger heard of: which follows which, and behind which license they stand.

They are what AWS told and can be asked again; what follows from them for a license is in its events.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy
from sqlalchemy import ColumnElement, Connection, Select, bindparam

from consumers.marketplace.agreement import SUCCEEDED, Agreement, AgreementStatus
from consumers.marketplace.tables import AGREEMENTS
from ledger.license.events import KeyKind, LicenseId, RenewalIntent
from ledger.times import microseconds, moment
from ledger.transaction import Transaction

_TIMES: Final = ("starts_at", "ends_at", "trial_ends_at", "renewal_told_at", "read_at", "heard_at")
_NAMES: Final = tuple(field.name for field in fields(Agreement))
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def find(rows: Connection, agreement_id: str) -> Agreement | None:
    """One agreement; null if it was never heard of."""
    found = _read(rows, _BY_ID, {"value": agreement_id})
    return found[0] if found else None


def of_license(rows: Connection, license_id: LicenseId) -> tuple[Agreement, ...]:
    """The agreements behind a license, the earliest first."""
    return _read(rows, _BY_LICENSE, {"value": license_id})


def of_arn(rows: Connection, license_arn: str) -> tuple[Agreement, ...]:
    """The agreements that give a license of AWS's, the earliest first."""
    return _read(rows, _BY_ARN, {"value": license_arn})


def relatives(rows: Connection, agreement: Agreement) -> tuple[Agreement, ...]:
    """The agreements of the same chain that were heard of, but for this one, the earliest first."""
    before = {agreement.initial_agreement_id, agreement.previous_agreement_id} - {None}
    links = {agreement.agreement_id, *before}
    return _read(rows, _RELATED, {"value": agreement.agreement_id, "before": [*before], "links": [*links]})


def among(rows: Connection, agreement_ids: "Select[str]") -> tuple[Agreement, ...]:
    """Those of some agreements that were heard of, in no order."""
    query = sqlalchemy.select(AGREEMENTS).where(AGREEMENTS.c.agreement_id.in_(agreement_ids))
    return tuple(map(_agreement, rows.execute(query)))


def followers(rows: Connection, agreement_id: str) -> tuple[Agreement, ...]:
    """The agreements that claim to follow this one, the earliest first."""
    return _read(rows, _BY_PREVIOUS, {"value": agreement_id})


def note(transaction: Transaction, heard: Agreement) -> Agreement:
    """Keep what was heard of an agreement; returns all that is known of it now."""
    before = find(transaction.rows, heard.agreement_id)
    after = replace(heard, heard_at=transaction.at) if before is None else before.and_heard(heard)
    after = after.ended_by(transaction.at)
    if after == before:
        return after
    values = _values(after)
    if before is None:
        transaction.rows.execute(sqlalchemy.insert(AGREEMENTS).values(values))
    else:
        this = AGREEMENTS.c.agreement_id == heard.agreement_id
        transaction.rows.execute(sqlalchemy.update(AGREEMENTS).where(this).values(values))
    return after


def belong_to(transaction: Transaction, agreement: Agreement, license_id: LicenseId) -> Agreement:
    """An agreement stands behind this license, or will."""
    return note(transaction, replace(agreement, license_id=license_id))


def is_taken_in(transaction: Transaction, agreement_id: str) -> bool:
    """Whether an agreement stands behind a license, or will."""
    known = find(transaction.rows, agreement_id)
    has_key = transaction.license_of(KeyKind.AGREEMENT, agreement_id) is not None
    return has_key or (known is not None and known.license_id is not None)


def has_begun(transaction: Transaction, agreement_id: str) -> bool:
    """Whether an agreement has begun, as far as is known."""
    known = find(transaction.rows, agreement_id)
    return known is None or known.has_started(at=transaction.at)


def move(rows: Connection, twin: LicenseId, *, into: LicenseId) -> None:
    """What stood behind a twin stands behind another license."""
    rows.execute(sqlalchemy.update(AGREEMENTS).where(AGREEMENTS.c.license_id == twin).values(license_id=into))


def next_start(agreements: Collection[Agreement], *, at: datetime) -> datetime | None:
    """When the next of these agreements starts that has not; null if all have."""
    return min((one.starts_at for one in agreements if one.starts_at is not None and one.starts_at > at), default=None)


def _select(condition: ColumnElement[bool]) -> Select[Any]:
    return sqlalchemy.select(AGREEMENTS).where(condition).order_by(AGREEMENTS.c.heard_at)


# Made once: each message and each reading asks several of them, and to make one takes longer than to run it.
_VALUE: Final[sqlalchemy.BindParameter[str]] = bindparam("value")
_BY_ID: Final = _select(AGREEMENTS.c.agreement_id == _VALUE)
_BY_LICENSE: Final = _select(AGREEMENTS.c.license_id == _VALUE)
_BY_ARN: Final = _select(AGREEMENTS.c.license_arn == _VALUE)
_BY_PREVIOUS: Final = _select(AGREEMENTS.c.previous_agreement_id == _VALUE)
_RELATED: Final = _select(
    (
        AGREEMENTS.c.agreement_id.in_(bindparam("before", expanding=True))
        | (AGREEMENTS.c.previous_agreement_id == _VALUE)
        | AGREEMENTS.c.initial_agreement_id.in_(bindparam("links", expanding=True))
    )
    & (AGREEMENTS.c.agreement_id != _VALUE)
)


def _read(rows: Connection, query: Select[Any], values: Mapping[str, Any]) -> tuple[Agreement, ...]:
    return in_order([_agreement(row) for row in rows.execute(query, values)])


def in_order(agreements: Sequence[Agreement]) -> tuple[Agreement, ...]:
    """By their start, or where none was told by when they were heard of, and behind those that they follow.

    One that took another's place before that one began may start at the same moment, without a word of which it
    follows: then the first of a chain comes first, and what goes on as another agreement before that.
    """
    ordered: list[Agreement] = []
    for one in sorted(agreements, key=_place):
        after = next(
            (place for place, other in enumerate(ordered) if other.previous_agreement_id == one.agreement_id), None
        )
        ordered.insert(len(ordered) if after is None else after, one)
    return tuple(ordered)


def _place(one: Agreement) -> tuple[datetime, bool, bool]:
    is_later = one.initial_agreement_id != one.agreement_id
    return one.starts_at or one.heard_at or _LONG_AGO, is_later, one.status not in SUCCEEDED


def _agreement(row: "sqlalchemy.Row[Any]") -> Agreement:
    told = {name: getattr(row, name) for name in _NAMES}
    told |= {name: None if told[name] is None else moment(told[name]) for name in _TIMES}
    told["product_ids"] = None if row.product_ids is None else tuple(row.product_ids.split())
    told["status"] = None if row.status is None else AgreementStatus(row.status)
    told["renewal"] = None if row.renewal is None else RenewalIntent(row.renewal)
    return Agreement(**told)


def _values(agreement: Agreement) -> dict[str, Any]:
    told = {name: getattr(agreement, name) for name in _NAMES}
    told["product_ids"] = None if agreement.product_ids is None else " ".join(agreement.product_ids)
    return told | {name: None if told[name] is None else microseconds(told[name]) for name in _TIMES}
