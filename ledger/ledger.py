"""The ledger put together: what the doors, the projections and the command line hold in their hands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

import sqlalchemy

from ledger.elections import Campaign
from ledger.envelope import RecordedEvent
from ledger.errors import TimeIsInvalidError
from ledger.keys import Keys
from ledger.license.access import AccessPolicy
from ledger.registration import Companies
from ledger.replay import Past
from ledger.seats import Seats
from ledger.store import Head, Store
from ledger.store.postgres import READERS_MAX, PostgresStore
from ledger.store.sqlite import SqliteStore
from ledger.store.url import DatabaseUrl
from ledger.system.state import set_policy
from ledger.times import system_now
from ledger.transaction import Caller, Transaction, Work
from ledger.twins import Twins
from ledger.writer import SYSTEM_CALLER, R, Writer


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerSettings:
    """What the ledger needs to know.

    Attributes:
        url: where its database is.
        waiting_max: how many commands may wait.
        readers_max: how many threads may read at once; on PostgreSQL never more than its server can bear.
    """

    url: DatabaseUrl
    waiting_max: int = 1_000
    readers_max: int = 64


class Ledger:
    """The ledger of one process.

    Attributes:
        seats: the commands about seats.
        companies: who is behind a license.
        keys: the keys to the interface.
        twins: where the licenses went that were folded into others.
        past: the states that were.
        now: the clock.
    """

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], datetime] | None = None,
        waiting_max: int = 1_000,
        on_fatal: Callable[[Exception], None] | None = None,
    ) -> None:
        """Put it together over a store."""
        self._store: Final = store
        self._writer: Final = Writer(store, now=now, waiting_max=waiting_max, on_fatal=on_fatal)
        self.now: Final = now or system_now
        self.past: Final = Past(store, now=self.now)
        self.twins: Final = Twins(self._writer)
        self.seats: Final = Seats(self._writer, self.past, self.twins)
        self.companies: Final = Companies(self._writer, self.past)
        self.keys: Final = Keys(self._writer, store)
        self.ledger_id: Final = store.head().ledger_id

    @classmethod
    def open(
        cls,
        settings: LedgerSettings,
        *,
        now: Callable[[], datetime] | None = None,
        tables: Sequence[sqlalchemy.MetaData] = (),
        on_fatal: Callable[[Exception], None] | None = None,
    ) -> Self:
        """Open the ledger's database, making its schema where it is missing.

        Args:
            settings: where it is, and its limits.
            now: the clock, aware UTC; null is the database's own, which is one for all processes.
            tables: rows that other parts keep in the ledger's database, such as the inbox.
            on_fatal: told when the process must stop.

        Raises:
            StoreCannotOpenError: in one line, why not.
        """
        store = _open_store(settings, tables)
        return cls(store, now=now, waiting_max=settings.waiting_max, on_fatal=on_fatal)

    def submit(self, work: Work[R]) -> R:
        """Carry out one work item; see `Writer.submit`."""
        return self._writer.submit(work)

    @property
    def waiting(self) -> int:
        """How many commands wait to be decided."""
        return self._writer.waiting

    @property
    def reading(self) -> sqlalchemy.Engine:
        """For reading rows of the ledger's database; never for writing."""
        return self._store.reading

    def secret(self, name: str) -> bytes:
        """A random key of the ledger by its name in the schema: `idempotency`, `cursor` or `session`."""
        return self._store.secret(name)

    def head(self) -> Head:
        """The end of the ledger.

        Raises:
            StoreError: the database can't be read.
        """
        return self._store.head()

    def feed(self, *, after: int, limit: int) -> Sequence[RecordedEvent]:
        """The events after a position, in order: `limit` of them, and more where an append would be cut.

        Raises:
            StoreError: the database can't be read.
        """
        events = self._store.read_ledger(after=after, limit=limit)
        if not events or events[-1].ends_append:
            return events
        last = events[-1]
        return [*events, *self._store.read_stream(last.stream, after=last.version, up_to=last.append[1])]

    def reach(self, as_of: datetime) -> Head:
        """Let the ledger's time reach a moment, so that what is answered about it never changes.

        Raises:
            TimeIsInvalidError: it is later than now.
        """
        head = self._store.head()
        if as_of <= head.recorded_at:
            return head
        if as_of > self.now():
            msg = "This time has not come yet. Ask for a time up to now."
            raise TimeIsInvalidError(msg)

        def decide(transaction: Transaction) -> None:
            transaction.raise_head(as_of)

        self._writer.submit(Work(decide=decide, caller=SYSTEM_CALLER))
        return self._store.head()

    def set_access_policy(self, policy: AccessPolicy, *, caller: Caller = SYSTEM_CALLER) -> None:
        """Let a policy hold from now on, for every process; the one in force stays without a word."""

        def decide(transaction: Transaction) -> None:
            transaction.append_system(set_policy(transaction.system, policy=policy))

        self._writer.submit(Work(decide=decide, caller=caller))

    def on_append(self, callback: Callable[[], None]) -> bool:
        """Be told when something was appended by any process; false where the database does not tell: then poll."""
        return self._store.on_append(callback)

    def campaign(self, job: str) -> Campaign:
        """A claim to a job of which only one process may do it."""
        return Campaign(self._store, job)

    def close(self) -> None:
        """Finish what waits and close the database."""
        self._writer.close()
        self._store.close()


def _open_store(settings: LedgerSettings, tables: Sequence[sqlalchemy.MetaData]) -> Store:
    path = settings.url.sqlite_path
    if path is not None:
        return SqliteStore(path, tables=tables, readers_max=settings.readers_max)
    return PostgresStore(settings.url, tables=tables, readers_max=min(settings.readers_max, READERS_MAX))
