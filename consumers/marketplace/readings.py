"""The readings of AWS that led to something, kept as AWS answered them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy

from consumers.marketplace.agreement import Agreement
from consumers.marketplace.tables import INBOX, READINGS
from ledger.license.events import LicenseId
from ledger.times import microseconds
from ledger.transaction import Transaction


def keep(
    transaction: Transaction,
    license_id: LicenseId,
    *,
    rows: Sequence[Mapping[str, Any]],
    told: Sequence[Agreement],
    reason: str | None,
) -> int:
    """Keep a complete reading; returns its number."""
    agreements = [{name: value for name, value in asdict(one).items() if value is not None} for one in told]
    return _insert(
        transaction,
        {
            "license_id": license_id,
            "rows": _json(rows),
            "agreements": _json(agreements) if agreements else None,
            "outcome": "observed",
            "reason": reason,
        },
    )


def keep_refused(
    transaction: Transaction, license_id: LicenseId, *, rows: Sequence[Mapping[str, Any]], reason: str
) -> int:
    """Keep that a reading was none, why, and the rows that AWS had answered by then; returns its number."""
    return _insert(
        transaction,
        {"license_id": license_id, "rows": _json(rows), "outcome": "no-observation", "reason": reason},
    )


def of_messages(transaction: Transaction, numbers: Sequence[int], reading: int) -> None:
    """Keep with these messages by which reading they were done."""
    if numbers:
        transaction.rows.execute(sqlalchemy.update(INBOX).where(INBOX.c.number.in_(numbers)).values(reading=reading))


def _insert(transaction: Transaction, values: Mapping[str, Any]) -> int:
    statement = sqlalchemy.insert(READINGS).values({**values, "read_at": microseconds(transaction.at)})
    (number,) = transaction.rows.execute(statement).inserted_primary_key or (0,)
    return int(number)


def _json(value: object) -> str:
    return json.dumps(_readable(value))


def _readable(value: object) -> object:
    """A value as every reader of JSON takes it: an odd row may hold what boto3 takes and others do not."""
    match value:
        case dict():
            return {str(name): _readable(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_readable(inner) for inner in value]
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            # A half of a surrogate pair stands in no UTF-8.
            return str(value).encode(errors="replace").decode()
