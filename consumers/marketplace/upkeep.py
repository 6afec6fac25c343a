"""What is done for the inbox once an hour: old messages are removed, those that are parked for long are reported."""

from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy
import structlog
from sqlalchemy import ColumnElement, Select, Table

from consumers.marketplace.inbox import MARKETPLACE, MessageStatus
from consumers.marketplace.tables import INBOX, READINGS
from ledger.inbox import LONG
from ledger.ledger import Ledger
from ledger.times import microseconds, moment
from ledger.transaction import Caller, Transaction, Work

EVERY: Final = timedelta(hours=1)
PORTION: Final = 500
"""How many rows are removed in one transaction, which others wait for."""
PORTIONS_MAX: Final = 40
"""How many transactions are spent on it at once; the next hour goes on."""

_SETTLED: Final = (MessageStatus.DONE, MessageStatus.REPEATED, MessageStatus.IGNORED)
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
        self.report_parked(at=at)
        self.forget_old(at=at)
        self._done_at = at

    def report_parked(self, *, at: datetime) -> None:
        """Say which messages have been parked for a day now; each is said once by a process."""
        since = sqlalchemy.func.coalesce(INBOX.c.parked_at, INBOX.c.received_at)
        up_to = at - LONG
        parked = (INBOX.c.status == MessageStatus.PARKED) & (since <= microseconds(up_to))
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

        What is new, waits, is parked or failed is kept however old it is.

        Raises:
            LedgerError: the database can't be written.
        """
        limit = microseconds(at - self._retention)
        messages, readings = self._forget_messages(limit), self._forget_readings(limit)
        if messages or readings:
            _LOGGER.info("old messages and readings were removed", messages=messages, readings=readings)

    def _forget_messages(self, limit: int) -> int:
        # One that waited for long counts from the reading that settled it.
        came = INBOX.c.received_at
        settled_at = sqlalchemy.func.coalesce(READINGS.c.read_at, came)
        joined = INBOX.outerjoin(READINGS, READINGS.c.number == INBOX.c.reading)
        settled = INBOX.c.status.in_(_SETTLED)
        selected = sqlalchemy.select(INBOX.c.number, came.label("came"), settled_at.label("kept_from"))
        return self._forget(INBOX, selected.select_from(joined).where(settled), limit, only=settled)

    def _forget_readings(self, limit: int) -> int:
        read_at = READINGS.c.read_at
        selected = sqlalchemy.select(READINGS.c.number, read_at.label("came"), read_at.label("kept_from"))
        return self._forget(READINGS, selected, limit, only=sqlalchemy.true())

    def _forget(self, table: Table, selected: Select[Any], limit: int, *, only: ColumnElement[bool]) -> int:
        """Remove the rows up to a moment, in portions; they are numbered in the order in which they came."""
        removed, after = 0, 0
        for _ in range(PORTIONS_MAX):
            portion = selected.where(table.c.number > after).order_by(table.c.number).limit(PORTION)
            with self._ledger.reading.connect() as reading:
                found = reading.execute(portion).all()
            old = [row.number for row in found if row.kept_from <= limit]
            if old:
                self._delete(table, table.c.number.in_(old) & only)
                removed += len(old)
            if len(found) < PORTION or found[-1].came > limit:
                break
            after = found[-1].number
        return removed

    def _delete(self, table: Table, these: ColumnElement[bool]) -> None:
        def decide(transaction: Transaction) -> None:
            transaction.rows.execute(sqlalchemy.delete(table).where(these))

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))
