"""The messages that wait for a reading of their license."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy

from consumers.marketplace.messages import Poke, PokeKind, parse
from consumers.marketplace.standing import MessageStatus
from consumers.marketplace.tables import INBOX
from ledger.license.events import LicenseId
from ledger.times import microseconds, moment
from ledger.transaction import Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingMessage:
    """A message that waits for a reading of its license.

    Attributes:
        number: its place in the inbox.
        poke: what it says.
        received_at: when it was stored.
    """

    number: int
    poke: Poke
    received_at: datetime


def waiting_messages(
    rows: sqlalchemy.Connection, license_id: LicenseId, *, status: MessageStatus = MessageStatus.WAITING
) -> tuple[WaitingMessage, ...]:
    """The messages that wait for a reading of a license, or are parked until one shows what follows.

    In the order in which they came.
    """
    found = rows.execute(
        sqlalchemy.select(INBOX.c.number, INBOX.c.message_id, INBOX.c.body, INBOX.c.received_at)
        .where(INBOX.c.license_id == license_id, INBOX.c.status == status)
        .order_by(INBOX.c.number)
    ).all()
    parsed = [(number, parse(body, transport_id=message_id), moment(at)) for number, message_id, body, at in found]
    return tuple(
        WaitingMessage(number=number, poke=poke, received_at=at)
        for number, poke, at in parsed
        if isinstance(poke, Poke)
    )


def is_overtaken(
    rows: sqlalchemy.Connection, license_id: LicenseId, message: WaitingMessage, *, by: Collection[PokeKind]
) -> bool:
    """Whether a later message of one of these kinds came: later by AWS's clock, where both say the time."""
    by_order = INBOX.c.number > message.number
    sent_at = message.poke.sent_at
    later = (
        by_order
        if sent_at is None
        else sqlalchemy.case((INBOX.c.sent_at.is_(None), by_order), else_=INBOX.c.sent_at > microseconds(sent_at))
    )
    query = sqlalchemy.select(INBOX.c.number).where(
        INBOX.c.license_id == license_id,
        INBOX.c.kind.in_(sorted(by)),
        INBOX.c.status.in_([MessageStatus.WAITING, MessageStatus.DONE]),
        later,
    )
    return rows.scalar(query.limit(1)) is not None


def note_events(transaction: Transaction, numbers: Sequence[int], *, after: int) -> None:
    """Keep with these messages which events they led to: those that this decision recorded after a position."""
    if numbers and transaction.position > after:
        transaction.rows.execute(
            sqlalchemy.update(INBOX)
            .where(INBOX.c.number.in_(numbers))
            .values(
                first_position=sqlalchemy.func.coalesce(INBOX.c.first_position, after + 1),
                last_position=transaction.position,
            )
        )
