"""What is done for the inbox once an hour: old messages are removed, those that are parked for long are reported."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy
import structlog
from sqlalchemy import Row, Select, Table

from consumers.marketplace.inbox import MARKETPLACE
from consumers.marketplace.standing import MessageStatus
from consumers.marketplace.tables import INBOX, READINGS
from ledger.inbox import LONG
from ledger.ledger import Ledger
from ledger.times import microseconds, moment
from ledger.transaction import Caller, Transaction, Work

EVERY: Final = timedelta(hours=1)
PORTION: Final = 500
"""How many rows are removed in one transaction, which others wait for."""
REMOVED_MAX: Final = 20_000
"""How many rows are removed at once; the next hour goes on."""

_SETTLED: Final = (MessageStatus.DONE, MessageStatus.REPEATED, MessageStatus.IGNORED)
_PUT_ASIDE: Final = (MessageStatus.FAILED, MessageStatus.PARKED)
"""Those that were dismissed count from then on."""
_NAMED_MAX: Final = 10
_LOGGER: Final = structlog.get_logger(__name__)


class Upkeep:
    """Looks after the inbox of a ledger, in the process that works it off."""

    def __init__(self, ledger: Ledger, *, retention: timedelta) -> None:
        """Keep what is settled for so long."""
        self._ledger = ledger
        self._retention = retention
        self._done_at: datetime | None = None
        self._reported_up_to: datetime | None = None

    def work(self, *, at: datetime) -> None:
        """Do what is due, which is something once an hour.

        Raises:
            LedgerError: the database can't be written.
        """
        if self._done_at is not None and at - self._done_at < EVERY:
            return
        # First, so that what fails is tried again in an hour and keeps nobody from the work on messages.
        self._done_at = at
        self.report_parked(at=at)
        self.forget_old(at=at)

    def report_parked(self, *, at: datetime) -> None:
        """Say which messages have been parked for a day now; each is said once by a process."""
        since = sqlalchemy.func.coalesce(INBOX.c.parked_at, INBOX.c.received_at)
        up_to = at - LONG
        parked = (
            (INBOX.c.status == MessageStatus.PARKED) & INBOX.c.dismissed_at.is_(None) & (since <= microseconds(up_to))
        )
        if self._reported_up_to is not None:
            parked &= since > microseconds(self._reported_up_to)
        selected = sqlalchemy.select(INBOX.c.message_id, since.label("since")).where(parked).order_by(since)
        with self._ledger.reading.connect() as reading:
            found = reading.execute(selected).all()
        self._reported_up_to = up_to
        if found:
            _LOGGER.warning(
                "messages are parked for more than a day",
                number=len(found),
                since=moment(found[0].since).isoformat(),
                message_ids=[row.message_id for row in found[:_NAMED_MAX]],
            )

    def forget_old(self, *, at: datetime) -> None:
        """Remove settled messages and readings that are older than the retention, the oldest first.

        What is new, waits, is parked or failed is kept however old it is, but for what was dismissed.

        Raises:
            LedgerError: the database can't be written.
        """
        limit = microseconds(at - self._retention)
        messages, readings = self._forget_messages(limit), self._forget_readings(limit)
        if messages or readings:
            _LOGGER.info("old messages and readings were removed", messages=messages, readings=readings)

    def _forget_messages(self, limit: int) -> int:
        came = INBOX.c.received_at
        # One that waited for long counts from the reading that settled it.
        settled_at = sqlalchemy.func.coalesce(READINGS.c.read_at, came)
        kept_from = sqlalchemy.case(
            (INBOX.c.status.in_(_SETTLED), settled_at),
            (INBOX.c.status.in_(_PUT_ASIDE), INBOX.c.dismissed_at),
            else_=None,
        )
        joined = INBOX.outerjoin(READINGS, READINGS.c.number == INBOX.c.reading)
        selected = sqlalchemy.select(INBOX.c.number, came.label("came"), kept_from.label("kept_from"))
        return self._forget(INBOX, selected.select_from(joined), limit)

    def _forget_readings(self, limit: int) -> int:
        read_at = READINGS.c.read_at
        selected = sqlalchemy.select(READINGS.c.number, read_at.label("came"), read_at.label("kept_from"))
        return self._forget(READINGS, selected, limit)

    def _forget(self, table: Table, selected: Select[Any], limit: int) -> int:
        """Remove the rows up to a moment, in portions; they are numbered in the order in which they came."""
        removed, after = 0, 0
        while removed < REMOVED_MAX:
            portion = selected.where(table.c.number > after).order_by(table.c.number).limit(PORTION)
            with self._ledger.reading.connect() as reading:
                found = reading.execute(portion).all()
            old = _old(found, limit)
            if old:
                removed += self._delete(table, selected, old, limit)
            if len(found) < PORTION or found[-1].came > limit:
                break
            after = found[-1].number
        return removed

    def _delete(self, table: Table, selected: Select[Any], numbers: Sequence[int], limit: int) -> int:
        these = table.c.number.in_(numbers)

        def decide(transaction: Transaction) -> int:
            # One may have begun anew meanwhile.
            still = _old(transaction.rows.execute(selected.where(these)), limit)
            transaction.rows.execute(sqlalchemy.delete(table).where(table.c.number.in_(still)))
            return len(still)

        return self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))


def _old(rows: Iterable[Row[Any]], limit: int) -> list[int]:
    return [row.number for row in rows if row.kept_from is not None and row.kept_from <= limit]
