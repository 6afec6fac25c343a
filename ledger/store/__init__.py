"""The store: the events and the rows that stand and fall with them.

What an engine must offer is `Store`; `ledger.store.sqlite` is the engine for one machine, `ledger.store.postgres` the
one for many processes. The `eventsourcing` library is bound here and nowhere else.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

import msgspec
import sqlalchemy

from ledger.envelope import RecordedEvent, StoredEventDisagreesError, decode
from ledger.license.holding import Holding
from ledger.times import moment

REMEMBERED_FOR: Final = timedelta(hours=24)
SECRET_NAMES: Final = ("directory", "idempotency", "keys", "cursor", "session")


class StoreError(Exception):
    """The database answered with an error; whether a commit took place is not known from it."""


class RowsAreRefusedError(Exception):
    """The database is well, but refuses these rows and always will: the program is at fault."""


class StoreCannotOpenError(Exception):
    """The database can't be used at all; the text is one line that says why."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the ledger.

    Attributes:
        ledger_id: made with the schema, random.
        position: of the last event; 0 in an empty ledger.
        recorded_at: of the last append, or later if somebody asked for the state of a later moment.
    """

    ledger_id: str
    position: int
    recorded_at: datetime


class DirectoryEntry(NamedTuple):
    """The seat of a user, and the version of the latest event with the user's name."""

    seat_id: str
    named_version: int


class RememberedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered to an Idempotency-Key: codes and places, no bodies; the answer is rendered from them again."""

    request_hash: bytes
    answer: bytes
    answered_at: datetime


DirectoryKey = tuple[str, bytes]
LicenseKey = tuple[str, str]
CounterKey = tuple[str, int]
HoldingRow = tuple[Holding, str]


class NewEvent(NamedTuple):
    """An event as it is inserted: the columns of the store."""

    position: int
    stream: str
    version: int
    type: str
    state: bytes


@dataclass(kw_only=True, slots=True)
class Rows:
    """What one batch writes, in one transaction."""

    events: list[NewEvent] = field(default_factory=list)
    directory: dict[DirectoryKey, DirectoryEntry] = field(default_factory=dict)
    license_keys: dict[LicenseKey, str] = field(default_factory=dict)
    moved_keys: dict[LicenseKey, str] = field(default_factory=dict)
    holdings: set[HoldingRow] = field(default_factory=set)
    answers: dict[bytes, RememberedAnswer] = field(default_factory=dict)
    new_users: dict[CounterKey, int] = field(default_factory=dict)
    recorded_at: datetime | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.events or self.answers or self.new_users or self.recorded_at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A stream's state at a version, kept to load it faster; can be made again at any time."""

    stream: str
    version: int
    position: int
    state: bytes


class Appended(NamedTuple):
    """What was appended after a position: the streams of it, and the stored bytes at that position and at the head."""

    streams: set[str]
    stored: dict[int, bytes]


class Store(Protocol):
    """What the writer needs of an engine, from one thread, and what readers need, from any."""

    @property
    def reading(self) -> sqlalchemy.Engine:
        """For reading the rows of the ledger's database; never for writing."""

    @property
    def rows(self) -> sqlalchemy.Connection:
        """The writer's connection, for rows beside the events, inside `begin` … `commit`."""

    def begin(self) -> Head:
        """Lock the head and read it.

        Raises:
            StoreError: the database can't be locked or read now.
        """

    def look(self) -> Head:
        """Read the head without locking it: what is read until `rollback` is true at it, and nothing is written.

        Raises:
            StoreError: the database can't be read now.
        """

    def clock(self) -> datetime:
        """The clock of decisions, aware UTC; one for all processes where there is such a one. Asked after the head."""

    def stay(self) -> None:
        """Show that the writer is at work, so that its transaction is not ended as that of a process that hangs.

        Raises:
            StoreError: it was ended already.
        """

    def commit(self) -> None:
        """Make all that was written since `begin` durable.

        Raises:
            StoreError: it may or may not have been made durable: look.
        """

    def rollback(self) -> None:
        """Undo what was written since `begin`; never raises."""

    def savepoint(self) -> None:
        """Mark a place to return to."""

    def undo_savepoint(self) -> None:
        """Return to the mark."""

    def reconnect(self) -> None:
        """Drop the writer's connection and make a new one."""

    def appended_since(self, position: int, head: int) -> Appended:
        """What others appended after a position, up to the head; asked under the lock."""

    def events_of(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]:
        """The events of these streams after the given versions, in order of position."""

    def snapshots_of(self, streams: Collection[str]) -> Sequence[Snapshot]:
        """The latest snapshot of each of these streams that has one."""

    def directory(self, keys: Collection[DirectoryKey]) -> dict[DirectoryKey, DirectoryEntry]:
        """The seats of these users."""

    def licenses_of(self, keys: Collection[LicenseKey]) -> dict[LicenseKey, str]:
        """The licenses that have these keys."""

    def licenses_held(self, holdings: Collection[Holding], *, limit: int) -> dict[Holding, tuple[str, ...]]:
        """The licenses that are, or once were, what these customers hold of these products: some of each, by id."""

    def remembered(self, key_hashes: Collection[bytes]) -> dict[bytes, RememberedAnswer]:
        """The answers given to these Idempotency-Keys."""

    def new_users(self, counters: Collection[CounterKey]) -> dict[CounterKey, int]:
        """How many new users these keys brought in these hours."""

    def write(self, rows: Rows, head: Head) -> None:
        """Insert a batch and move the head.

        Raises:
            StoreError: the database can't write now.
            RowsAreRefusedError: it can, but not these.
        """

    def secret(self, name: str) -> bytes:
        """A random key of 32 bytes, made with the schema; its name must be one that the schema has."""

    def head(self) -> Head:
        """The end of the ledger as readers see it."""

    def read_stream(self, stream: str, *, after: int = 0, up_to: int | None = None) -> Sequence[RecordedEvent]:
        """Events of a stream by version."""

    def version_of(self, stream: str) -> int:
        """The latest version of a stream; 0 if there is none."""

    def read_ledger(self, *, after: int, limit: int) -> Sequence[RecordedEvent]:
        """Events of the whole ledger by position."""

    def snapshot_before(self, stream: str, *, version: int | None = None) -> Snapshot | None:
        """The latest snapshot at or before a version."""

    def on_append(self, callback: Callable[[], None]) -> bool:
        """Be told when something was appended by any process; false if this engine does not tell, so that one polls.

        The callback is called from another thread, and sometimes for nothing.
        """

    def elect(self, job: str, holder: str, *, seconds: float) -> int | None:
        """Take or keep a job for some seconds; returns the number of the holder's term, null if another has the job."""

    def resign(self, job: str, holder: str) -> None:
        """Let another holder have a job at once."""

    def close(self) -> None:
        """Close every connection."""


def head_of(row: tuple[str, int, int]) -> Head:
    """The head from its columns: ledger, position, time in microseconds."""
    return Head(ledger_id=row[0], position=row[1], recorded_at=moment(row[2]))


def recorded_of(row: tuple[int, str, int, str, bytes]) -> RecordedEvent:
    """An event from its columns: position, stream, version, type, stored bytes.

    Raises:
        StoredEventDisagreesError: the bytes say something else than the columns.
        EventTypeIsUnknownError: the program is older than the ledger.
    """
    position, stream, version, type_, state = row
    recorded = decode(state)
    told = (recorded.position, recorded.stream, recorded.version, recorded.event.TYPE)
    if told != (position, stream, version, type_):
        msg = (
            f"The event stored at position {position} says it is {told}, the columns beside it say"
            f" {(position, stream, version, type_)}: the record was edited or damaged."
        )
        raise StoredEventDisagreesError(msg)
    return recorded
