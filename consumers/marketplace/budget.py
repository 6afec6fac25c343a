"""The budget of calls: AWS allows 20 GetEntitlements a second for an account, and all processes share them.

One process is elected to do the readings, and makes up to 12 calls a second. Buyers who register don't wait for it:
every process reads for its own, and all count their calls in one row of the database, 3 a second together. Within any
second the elected one makes no more than 13 calls and all registrations no more than 6, which is 19.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from enum import IntEnum, StrEnum
from functools import partial
from typing import Final, Protocol

import sqlalchemy

from consumers.marketplace.tables import CALLS
from ledger.ledger import Ledger
from ledger.times import microseconds
from ledger.transaction import Transaction, Work
from ledger.writer import SYSTEM_CALLER

CALLS_PER_SECOND_MAX: Final = 20
"""What AWS allows (Entitlement Service quotas)."""
READINGS_PER_SECOND: Final = 12.0
REGISTRATIONS_PER_SECOND: Final = 3
"""So many that nobody made may be left over for those who come together."""
REGISTRATION_WAITS_SECONDS: Final = 3.0
"""How long a buyer is kept waiting for a call; the elected process reads for who came too late, first of all."""

_ANOTHER_READS: Final = "Another process reads AWS now."
_TOO_MANY_REGISTER: Final = "Many register at this moment. AWS is asked as soon as it may be."


class Priority(IntEnum):
    """What goes first when AWS has to be asked about many licenses."""

    REGISTRATION = 0
    MESSAGE = 1
    DATE = 2
    RECHECK = 3
    SWEEP = 4


class Counted(StrEnum):
    """What is counted by itself: AWS's Agreement service has quotas of its own."""

    ENTITLEMENTS = "registrations"
    AGREEMENTS = "registrations-agreements"


_PER_SECOND: Final = {Counted.ENTITLEMENTS: REGISTRATIONS_PER_SECOND, Counted.AGREEMENTS: 2 * REGISTRATIONS_PER_SECOND}


class NoCallIsLeftError(Exception):
    """AWS must not be asked by this process now; the text says why."""


class Budget(Protocol):
    """Says when AWS may be called."""

    def take(self) -> None:
        """Wait until one call may be made.

        Raises:
            NoCallIsLeftError: it would take too long.
        """


class Elected(Protocol):
    """Whether this process does the readings; `ledger.elections.Campaign` tells.

    Attributes:
        term: grows with each change of the holder.
    """

    term: int

    def holds(self) -> bool:
        """Whether it does now."""


class ReadingsBudget:
    """The calls of the elected process: evenly spread, since they add up with those of registrations."""

    def __init__(
        self,
        campaign: Elected,
        calls_per_second: float = READINGS_PER_SECOND,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Spread them.

        Args:
            campaign: for the readings.
            calls_per_second: how many at most.
            clock: seconds from any start, never going back.
            sleep: waits that many seconds.
        """
        self._campaign = campaign
        self._pause = 1.0 / calls_per_second
        self._clock = clock
        self._sleep = sleep
        self._next_at = 0.0
        self._term = 0

    def take(self) -> None:
        """Wait until one call may be made.

        Raises:
            NoCallIsLeftError: another process was elected meanwhile.
            StoreError: whether it was can't be found out.
        """
        while True:
            if not self._campaign.holds():
                raise NoCallIsLeftError(_ANOTHER_READS)
            at = self._clock()
            if self._term != self._campaign.term:
                # The one before may have made its last call just now.
                self._term, self._next_at = self._campaign.term, at + self._pause
            # A rounding error must not make it wait for a billionth of a second.
            if at >= self._next_at - 1e-9:
                self._next_at = max(at, self._next_at) + self._pause
                return
            self._sleep(self._next_at - at)


class RegistrationsBudget:
    """The calls made for buyers who register, of all processes together. For many threads."""

    def __init__(
        self,
        ledger: Ledger,
        counted: Counted = Counted.ENTITLEMENTS,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Count them in this ledger's database.

        Args:
            ledger: its append lock lets one process count at a time, by one clock.
            counted: the calls of which service.
            clock: seconds from any start, never going back.
            sleep: waits that many seconds.
        """
        self._ledger = ledger
        self._count = Work(decide=partial(_count, counted=counted), caller=SYSTEM_CALLER, writes_rows=True)
        self._clock = clock
        self._sleep = sleep

    def take(self) -> None:
        """Wait until one call may be made.

        Raises:
            NoCallIsLeftError: too many came before.
            LedgerError: the database can't be written.
        """
        give_up_at = self._clock() + REGISTRATION_WAITS_SECONDS
        while wait := self._ledger.submit(self._count):
            if self._clock() + wait.total_seconds() > give_up_at:
                raise NoCallIsLeftError(_TOO_MANY_REGISTER)
            self._sleep(wait.total_seconds())


def _count(transaction: Transaction, *, counted: Counted) -> timedelta:
    """Count one call; returns how long it has to wait if it may not be made yet, and is not counted then."""
    rows, at = transaction.rows, microseconds(transaction.at)
    interval = 1_000_000 // _PER_SECOND[counted]
    told = rows.scalar(sqlalchemy.select(CALLS.c.spent_until).where(CALLS.c.budget == counted))
    spent_until, spare = max(told or 0, at), (_PER_SECOND[counted] - 1) * interval
    if spent_until > at + spare + interval:
        # The clock was set back. It must not stop everything until it comes there again.
        spent_until = at + spare
    wait = spent_until - at - spare
    if wait > 0:
        return timedelta(microseconds=wait)
    values = {"spent_until": spent_until + interval}
    if told is None:
        rows.execute(sqlalchemy.insert(CALLS).values(values | {"budget": counted}))
    else:
        rows.execute(sqlalchemy.update(CALLS).where(CALLS.c.budget == counted).values(values))
    return timedelta()
