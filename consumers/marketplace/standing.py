"""Where messages stand: what became of each, and what goes with that."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import sqlalchemy
from sqlalchemy import ColumnElement

from consumers.marketplace.tables import INBOX
from ledger.license.events import LicenseId
from ledger.times import microseconds
from ledger.transaction import Transaction


class MessageStatus(StrEnum):
    """What became of a message."""

    NEW = "new"
    WAITING = "waiting"
    PARKED = "parked"
    DONE = "done"
    REPEATED = "repeated"
    IGNORED = "ignored"
    FAILED = "failed"


NOT_DISMISSED: Final[Mapping[str, None]] = dict.fromkeys(
    ("dismissed_at", "dismissed_by", "dismissed_reason", "dismissed_note")
)
"""As a message stands of which something became since."""


def standing(transaction: Transaction, status: MessageStatus) -> dict[str, Any]:
    """A status, and what goes with it: since when a message is parked; else, that nobody has dismissed it as it is."""
    if status is MessageStatus.PARKED:
        parked_at = sqlalchemy.func.coalesce(INBOX.c.parked_at, microseconds(transaction.at))
        return {"status": status, "parked_at": parked_at}
    return {"status": status, **NOT_DISMISSED}


def anew(transaction: Transaction) -> dict[str, Any]:
    """As a message stands that is to be looked at once more, from now on."""
    now = microseconds(transaction.at)
    return {"status": MessageStatus.NEW, "due_at": now, "anew_at": now}


def tell(transaction: Transaction, numbers: Sequence[int], status: MessageStatus, *, reason: str | None = None) -> None:
    """Say where these messages stand now."""
    if numbers:
        _tell(transaction, INBOX.c.number.in_(numbers), status, reason=reason)


def settle_succeeded(transaction: Transaction, license_id: LicenseId) -> None:
    """The successor that messages of a license waited for is there."""
    parked = (INBOX.c.license_id == license_id) & (INBOX.c.status == MessageStatus.PARKED)
    _tell(transaction, parked, MessageStatus.DONE, reason=None)


def _tell(transaction: Transaction, which: ColumnElement[bool], status: MessageStatus, *, reason: str | None) -> None:
    values = standing(transaction, status) | {"reason": reason, "due_at": None}
    transaction.rows.execute(sqlalchemy.update(INBOX).where(which).values(values))
