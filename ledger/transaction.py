"""One decision at the end of the ledger: what it asks and records, and how the decisions of a batch see each other."""

import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

import msgspec
import sqlalchemy

from ledger.envelope import Event, encode
from ledger.errors import KeyIsClaimedError, LicenseIsFoldedError, LicenseIsNotFoundError, TooManyLicensesError
from ledger.ids import random_id
from ledger.license import state as license_state
from ledger.license.access import AccessPolicy
from ledger.license.events import (
    Actor,
    KeyKind,
    LicenseEvent,
    LicenseId,
    LicenseIdentified,
    SeatActivated,
    SeatBlocked,
    SeatId,
)
from ledger.license.holding import Holding, holdings_of
from ledger.license.state import License, Seat
from ledger.store import (
    CounterKey,
    DirectoryEntry,
    DirectoryKey,
    Head,
    LicenseKey,
    NewEvent,
    RememberedAnswer,
    Rows,
    Store,
)
from ledger.system import state as system_state
from ledger.system.events import STREAM as SYSTEM_STREAM
from ledger.system.events import SystemEvent
from ledger.system.state import SystemState
from ledger.users import User, identity_of

# `account` and `product` name a license but claim nothing: one account can hold many licenses.
CLAIMING_KINDS: Final = frozenset({KeyKind.LICENSE_ARN, KeyKind.AGREEMENT, KeyKind.CUSTOMER})
LICENSES_HELD_MAX: Final = 1_000
"""Of one customer and product: that many are looked at for one user, and of more none, so that no block is missed."""
_HASH_BYTES: Final = 16
_EVENTS_BETWEEN_SIGNS: Final = 5_000
_TICK: Final = timedelta(microseconds=1)

R = TypeVar("R")
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a command, and the id of the message or request that it came with."""

    actor: Actor
    cause: str | None = None


class Work(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """One item of the writer's queue.

    Attributes:
        decide: called on the writer's thread; what it returns is the answer, what it raises is the refusal. It may be
            called again if the database failed, so it does nothing but ask and tell its `Transaction`.
        caller: who sends it.
        licenses: the licenses it will look at.
        users: the users whose seats it will look up.
        holdings: what a customer holds of a product, all licenses of which it will look at, each with the user whose
            seats there it will look up.
        keys: the keys whose licenses it will look up.
        answers: the Idempotency-Keys it will look up.
        counters: the counters of new users it will look up.
        writes_rows: it uses `Transaction.rows`. Rows that go without events must be safe to write twice.
        only_asks: it never changes anything, so that it need not wait for those who do.
    """

    decide: "Callable[[Transaction], R]"
    caller: Caller
    licenses: tuple[LicenseId, ...] = ()
    users: tuple[tuple[LicenseId, User], ...] = ()
    holdings: tuple[tuple[Holding, User], ...] = ()
    keys: tuple[tuple[KeyKind, str], ...] = ()
    answers: tuple[bytes, ...] = ()
    counters: tuple[CounterKey, ...] = ()
    writes_rows: bool = False
    only_asks: bool = False


class States(Protocol):
    """Where a batch finds the states before it."""

    def gather(self, license_ids: Collection[LicenseId]) -> None:
        """Read those of these licenses that are not known, and bring the others up to date, many at once."""

    def license(self, license_id: str) -> License:
        """A license as the ledger has it, of version 0 if it does not exist."""

    def system(self) -> SystemState:
        """The state of the ledger itself."""


@dataclass(kw_only=True, slots=True)
class Effects:
    """What a decision changes, and what all decisions of a batch change together."""

    rows: Rows = field(default_factory=Rows)
    states: dict[str, License] = field(default_factory=dict)
    events: dict[tuple[str, int], Event] = field(default_factory=dict)
    appends: dict[str, tuple[int, list[Event]]] = field(default_factory=dict)
    system: SystemState | None = None
    raised_head: datetime | None = None


class _Found(Generic[K, V]):
    """Rows of the store by their keys: what the works announce is asked for at once, what they forgot one by one."""

    def __init__(self, ask: "Callable[[Collection[K]], Mapping[K, V]]") -> None:
        self._ask = ask
        self._found: dict[K, V | None] = {}

    def look_up(self, keys: Collection[K]) -> None:
        if keys:
            self._found.update(dict.fromkeys(keys))
            self._found.update(self._ask(keys))

    def get(self, key: K) -> V | None:
        if key not in self._found:
            self.look_up((key,))
        return self._found[key]


class Batch:
    """The decisions of one transaction, each seeing those before it.

    Attributes:
        head: the end of the ledger with the decisions so far.
        effects: what they change.
    """

    def __init__(self, store: Store, states: States, *, head: Head, now: Callable[[], datetime]) -> None:
        """Begin at a head that is locked."""
        self.store = store
        self.head = head
        self.effects = Effects()
        self.wrote_rows = False
        self._states = states
        self._now = now
        self._hash_key = store.secret("directory")
        self._keys: dict[tuple[LicenseId, str], DirectoryKey] = {}
        self._directory = _Found(store.directory)
        self._licenses_of = _Found(store.licenses_of)
        self._held = _Found(partial(store.licenses_held, limit=LICENSES_HELD_MAX + 1))
        self._remembered = _Found(store.remembered)
        self._new_users = _Found(store.new_users)

    def look_up(self, works: Sequence[Work[object]]) -> None:
        """Ask once for all that the works will look up."""
        held = self._look_up_held([pair for work in works for pair in work.holdings])
        self._directory.look_up(
            {self.directory_key(license_id, user.identity) for license_id, user in held}
            | {self.directory_key(license_id, user.identity) for work in works for license_id, user in work.users}
        )
        self._licenses_of.look_up({(kind.value, value) for work in works for kind, value in work.keys})
        self._remembered.look_up({key for work in works for key in work.answers})
        self._new_users.look_up({counter for work in works for counter in work.counters})

    def _look_up_held(self, holdings: Sequence[tuple[Holding, User]]) -> Sequence[tuple[LicenseId, User]]:
        if not holdings:
            return ()
        self._held.look_up({holding for holding, _ in holdings})
        counted = [(self.licenses_held(holding), user) for holding, user in holdings]
        # Of too many none is looked at.
        few = [(license_ids, user) for license_ids, user in counted if len(license_ids) <= LICENSES_HELD_MAX]
        held = [(license_id, user) for license_ids, user in few for license_id in license_ids]
        self._states.gather({license_id for license_id, _ in held})
        return held

    def decide(self, work: Work[R]) -> R:
        """Run one decision; what it raises undoes all that it did."""
        at = max(self.head.recorded_at + _TICK, self._now())
        transaction = Transaction(self, work.caller, at=at)
        if work.writes_rows:
            self.store.savepoint()
        try:
            answer = work.decide(transaction)
            stored = transaction.recorded()
        except Exception:
            if work.writes_rows:
                self.store.undo_savepoint()
            raise
        self.wrote_rows = self.wrote_rows or work.writes_rows
        self._take(transaction.effects, stored, at=at)
        return answer

    def _take(self, effects: Effects, stored: Sequence[NewEvent], *, at: datetime) -> None:
        ours, rows = self.effects, effects.rows
        ours.rows.events.extend(stored)
        ours.rows.directory.update(rows.directory)
        ours.rows.license_keys.update(rows.license_keys)
        ours.rows.moved_keys.update(rows.moved_keys)
        ours.rows.holdings.update(rows.holdings)
        ours.rows.answers.update(rows.answers)
        ours.rows.new_users.update(rows.new_users)
        ours.states.update(effects.states)
        ours.events.update(effects.events)
        ours.system = effects.system or ours.system
        recorded_at = at if stored else self.head.recorded_at
        if effects.raised_head is not None and effects.raised_head > recorded_at:
            recorded_at = ours.rows.recorded_at = effects.raised_head
        if recorded_at is not self.head.recorded_at:
            position = self.head.position + len(stored)
            self.head = Head(ledger_id=self.head.ledger_id, position=position, recorded_at=recorded_at)

    def license(self, license_id: str) -> License:
        """A license as it stands after the decisions so far."""
        return self.effects.states.get(license_id) or self._states.license(license_id)

    def system(self) -> SystemState:
        """The state of the ledger itself after the decisions so far."""
        return self.effects.system or self._states.system()

    def issued_at(self, license_id: str) -> datetime | None:
        """When a license was issued; null if that is not committed yet."""
        recorded = self.store.read_stream(license_id, up_to=1)
        return recorded[0].recorded_at if recorded else None

    def event(self, license_id: str, version: int) -> Event:
        """One event of a license, of this batch or earlier."""
        pending = self.effects.events.get((license_id, version))
        if pending is not None:
            return pending
        return self.store.read_stream(license_id, after=version - 1, up_to=version)[0].event

    def directory_key(self, license_id: LicenseId, identity: str) -> DirectoryKey:
        """A user's key in the directory: a keyed hash, since what a person is called is not to be found by guessing."""
        key = self._keys.get((license_id, identity))
        if key is None:
            digest = hmac.digest(self._hash_key, f"{license_id}\0{identity}".encode(), "sha256")
            key = self._keys[license_id, identity] = (license_id, digest[:_HASH_BYTES])
        return key

    def directory_entry(self, key: DirectoryKey) -> DirectoryEntry | None:
        """The seat of a user."""
        return self.effects.rows.directory.get(key) or self._directory.get(key)

    def license_of(self, key: LicenseKey) -> str | None:
        """The license that has a key."""
        rows = self.effects.rows
        return rows.moved_keys.get(key) or rows.license_keys.get(key) or self._licenses_of.get(key)

    def licenses_held(self, holding: Holding) -> Sequence[LicenseId]:
        """The licenses that are, or once were, what a customer holds of a product: at most one more than the limit."""
        found = {*(self._held.get(holding) or ())}
        found.update(license_id for held, license_id in self.effects.rows.holdings if held == holding)
        return [LicenseId(license_id) for license_id in sorted(found)[: LICENSES_HELD_MAX + 1]]

    def remembered(self, key_hash: bytes) -> RememberedAnswer | None:
        """The answer given to an Idempotency-Key."""
        return self.effects.rows.answers.get(key_hash) or self._remembered.get(key_hash)

    def new_users(self, counter: CounterKey) -> int:
        """How many new users a key brought in an hour."""
        return self.effects.rows.new_users.get(counter) or self._new_users.get(counter) or 0


class Transaction:
    """What one decision sees and does.

    Attributes:
        at: the decision's clock: the moment at which its events will be recorded.
        effects: what it did so far.
    """

    def __init__(self, batch: Batch, caller: Caller, *, at: datetime) -> None:
        """Begin after the decisions before it."""
        self._batch = batch
        self._caller = caller
        self.at = at
        self.effects = Effects()

    @property
    def position(self) -> int:
        """The position up to which everything is known, the events of this decision included."""
        return self._batch.head.position + sum(len(events) for _, events in self.effects.appends.values())

    @property
    def policy(self) -> AccessPolicy:
        """The access policy in force."""
        return self.system.policy

    @property
    def system(self) -> SystemState:
        """The state of the ledger itself."""
        return self.effects.system or self._batch.system()

    @property
    def head(self) -> Head:
        """The end of the ledger before this decision."""
        return self._batch.head

    @property
    def rows(self) -> sqlalchemy.Connection:
        """For rows beside the events; the work must say `writes_rows`."""
        return self._batch.store.rows

    def license(self, license_id: LicenseId) -> License:
        """A license that exists.

        Raises:
            LicenseIsNotFoundError: there is none of this id.
            LicenseIsFoldedError: it was folded into another one.
        """
        license_ = self.any_license(license_id)
        if license_.folded_into is not None:
            raise LicenseIsFoldedError(license_.folded_into)
        if not license_.issued:
            raise LicenseIsNotFoundError
        return license_

    def any_license(self, license_id: LicenseId) -> License:
        """A license, of version 0 if it does not exist."""
        return self.effects.states.get(license_id) or self._batch.license(license_id)

    def license_of(self, kind: KeyKind, value: str) -> LicenseId | None:
        """The license that has a key."""
        key = (kind.value, value)
        rows = self.effects.rows
        found = rows.moved_keys.get(key) or rows.license_keys.get(key) or self._batch.license_of(key)
        return LicenseId(found) if found else None

    def licenses_held(self, holding: Holding) -> Sequence[License]:
        """What a customer holds of a product now, by license id.

        Raises:
            TooManyLicensesError: they are more than are looked at.
        """
        license_ids = self._batch.licenses_held(holding)
        if len(license_ids) > LICENSES_HELD_MAX:
            raise TooManyLicensesError(licenses_max=LICENSES_HELD_MAX)
        licenses = map(self.any_license, license_ids)
        return [license_ for license_ in licenses if holding in holdings_of(license_)]

    def seat_of(self, license_id: LicenseId, user: User) -> SeatId | None:
        """The seat of a user; null if the user was never heard of."""
        key = self._batch.directory_key(license_id, user.identity)
        entry = self.effects.rows.directory.get(key) or self._batch.directory_entry(key)
        return SeatId(entry.seat_id) if entry else None

    def issued_at(self, license_id: LicenseId) -> datetime:
        """When a license was first heard of."""
        return self._batch.issued_at(license_id) or self.at

    def event(self, license_id: LicenseId, version: int) -> Event:
        """One event of a license."""
        return self.effects.events.get((license_id, version)) or self._batch.event(license_id, version)

    def naming_event(self, license_id: LicenseId, seat: Seat) -> SeatActivated | SeatBlocked:
        """The latest event with the name of a seat's user, and the note if the user is blocked."""
        event = self.event(license_id, seat.named_version)
        if not isinstance(event, SeatActivated | SeatBlocked):
            msg = f"version {seat.named_version} of license {license_id} names no user"
            raise TypeError(msg)
        return event

    def append(self, license_id: LicenseId, events: Sequence[LicenseEvent]) -> License:
        """Record facts about a license; returns it as it stands then. All of one decision are one append.

        Raises:
            KeyIsClaimedError: another license has one of the keys.
        """
        license_ = self.any_license(license_id)
        if not events:
            return license_
        self._refuse_claimed(license_id, events)
        called_before = license_.product_codes, license_.names
        first = license_.version + 1
        for version, event in enumerate(events, first):
            self._stay(version)
            license_ = license_state.evolve(license_, event, version=version, at=self.at, actor=self._caller.actor)
            self.effects.events[license_id, version] = event
            self._note(license_id, event, version=version)
        if (license_.product_codes, license_.names) != called_before:
            self.effects.rows.holdings.update((holding, license_id) for holding in holdings_of(license_))
        self.effects.states[license_id] = license_
        self.effects.appends.setdefault(license_id, (first, []))[1].extend(events)
        return license_

    def append_system(self, events: Sequence[SystemEvent]) -> None:
        """Record facts about the ledger itself."""
        if not events:
            return
        state, position = self.system, self.position
        first = state.version + 1
        for offset, event in enumerate(events):
            state = system_state.evolve(state, event, version=first + offset, position=position + offset + 1)
        self.effects.system = state
        self.effects.appends.setdefault(SYSTEM_STREAM, (first, []))[1].extend(events)

    def remembered(self, key_hash: bytes) -> RememberedAnswer | None:
        """The answer that was given to an Idempotency-Key."""
        return self._batch.remembered(key_hash)

    def remember(self, key_hash: bytes, answer: RememberedAnswer) -> None:
        """Keep the answer to an Idempotency-Key."""
        self.effects.rows.answers[key_hash] = answer

    def new_users(self, counter: CounterKey) -> int:
        """How many new users a key brought in an hour."""
        return self.effects.rows.new_users.get(counter) or self._batch.new_users(counter)

    def count_new_user(self, counter: CounterKey) -> None:
        """A key brought one more new user."""
        self.effects.rows.new_users[counter] = self.new_users(counter) + 1

    def raise_head(self, to: datetime) -> None:
        """Let no later append be recorded at or before a moment, so that what was answered about it stays true."""
        self.effects.raised_head = to

    def recorded(self) -> list[NewEvent]:
        """The events of this decision as they will be stored.

        Raises:
            EnvelopeIsTooLargeError: one of them is too long.
        """
        recorded: list[NewEvent] = []
        if not self.effects.appends:
            return recorded
        command_id = random_id()
        head = self._batch.head
        for stream, (first, events) in self.effects.appends.items():
            append = (first, first + len(events) - 1)
            for version, event in enumerate(events, first):
                self._stay(version)
                position = head.position + len(recorded) + 1
                stored = encode(
                    ledger_id=head.ledger_id,
                    stream=stream,
                    version=version,
                    position=position,
                    append=append,
                    recorded_at=self.at,
                    actor=self._caller.actor,
                    cause=self._caller.cause,
                    command_id=command_id,
                    event=event,
                )
                recorded.append(NewEvent(position, stream, version, event.TYPE, stored))
        return recorded

    def _stay(self, version: int) -> None:
        """A decision of very many events takes seconds, after which a database would take its process for hung."""
        if version % _EVENTS_BETWEEN_SIGNS == 0:
            self._batch.store.stay()

    def _refuse_claimed(self, license_id: LicenseId, events: Sequence[LicenseEvent]) -> None:
        for event in events:
            if isinstance(event, LicenseIdentified) and event.kind in CLAIMING_KINDS:
                owner = self.license_of(event.kind, event.value)
                if owner not in (None, license_id) and self.any_license(LicenseId(owner)).folded_into != license_id:
                    raise KeyIsClaimedError

    def _note(self, license_id: LicenseId, event: LicenseEvent, *, version: int) -> None:
        match event:
            case SeatActivated(seat_id=seat_id, user=user) | SeatBlocked(seat_id=seat_id, user=user):
                key = self._batch.directory_key(license_id, identity_of(user.plain))
                self.effects.rows.directory[key] = DirectoryEntry(seat_id, version)
            case LicenseIdentified(kind=kind, value=value) if kind in CLAIMING_KINDS:
                rows, owner = self.effects.rows, self.license_of(kind, value)
                if owner == license_id:
                    return  # A key that it had before is its current one again.
                # The keys of a twin become those of the license that it was folded into.
                keys = rows.license_keys if owner is None else rows.moved_keys
                keys[kind.value, value] = license_id
            case _:
                return
