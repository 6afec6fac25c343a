"""The group-commit writer: what is waiting is decided in one transaction, and answered after the commit.

So nothing is answered that is not durable, positions are committed in their order, no batch conflicts with another, and
the disk is asked once for many. The thread of the caller who came first decides for all who wait with it, which saves
the handing over to a thread of its own and back.
"""

import contextlib
import contextvars
import queue
import threading
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, cast

import sqlalchemy
import structlog

from ledger import snapshots
from ledger.envelope import EventTypeIsUnknownError, StoredEventDisagreesError, decode
from ledger.errors import LedgerError, QueueIsFullError, UnavailableError
from ledger.license.events import Actor, ActorRole, LicenseId
from ledger.license.state import License
from ledger.replay import load, replay, replay_system
from ledger.store import Head, Store, StoreError
from ledger.store.tables import SNAPSHOT_FORMAT, SNAPSHOTS
from ledger.system.events import STREAM as SYSTEM_STREAM
from ledger.system.state import SystemState
from ledger.transaction import Batch, Caller, Effects, Transaction, Work

BATCH_MAX: Final = 256
# Three tries, each after a longer pause.
PAUSES_SECONDS: Final = (0.02, 0.2, 0.0)
# Each license weighs one and its seats: about half a gigabyte when the cache is full.
CACHE_WEIGHT_MAX: Final = 1_000_000
# Each with its events since its snapshot, which are held until they are read.
GATHERED_AT_ONCE: Final = 50
SYSTEM_CALLER: Final = Caller(Actor(ActorRole.SYSTEM, "ledger"))

_LOGGER: Final = structlog.get_logger(__name__)
_UNAVAILABLE: Final = "The ledger's database can't be written now. Nothing was changed; send it again in a moment."
_UNKNOWN: Final = (
    "The ledger's database failed while it wrote this. Whether it took place is not known: look, or send it again with"
    " the same Idempotency-Key."
)

R = TypeVar("R")


class HeadWentBackError(Exception):
    """The ledger's head is behind what this process has answered; the process must stop."""


class _Pending(Generic[R]):
    """A work item whose caller waits. A bare lock wakes faster than a future's condition."""

    __slots__ = ("_answer", "_error", "_woken", "leads", "work")

    def __init__(self, work: Work[R]) -> None:
        self.work = work
        self.leads = False
        self._answer: R | None = None
        self._error: Exception | None = None
        self._woken = threading.Lock()
        self._woken.acquire()

    def finish(self, outcome: "_Outcome") -> None:
        self._answer, self._error = outcome
        self._woken.release()

    def lead(self) -> None:
        """Wake the caller to decide for all who wait."""
        self.leads = True
        self._woken.release()

    def wait(self) -> None:
        """Sleep until it is finished, or to lead."""
        self._woken.acquire()

    def answer(self) -> R:
        if self._error is not None:
            raise self._error
        return cast("R", self._answer)


_Outcome = tuple[Any, Exception | None]


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A batch whose commit failed, so that it may or may not be durable."""

    batch: Batch
    before: Head
    outcomes: Sequence[_Outcome]


class _OutcomeIsUnknownError(Exception):
    def __init__(self, doubt: _Doubt) -> None:
        super().__init__()
        self.doubt = doubt


class Writer:
    """The one writer of a process."""

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], datetime] | None = None,
        waiting_max: int = 1_000,
        on_fatal: Callable[[Exception], None] | None = None,
    ) -> None:
        """Begin to take work.

        Args:
            store: where to write; nothing else of the process may write to it.
            now: the clock of decisions, aware UTC; null is the store's own.
            waiting_max: how many commands may wait before more are refused.
            on_fatal: told when the process must stop.
        """
        self._store = store
        self._now = now or store.clock
        self._waiting_max = waiting_max
        self._on_fatal = on_fatal
        self._waiting: deque[_Pending[Any]] = deque()
        # Somebody leads from the moment when something waits; guarded, like the queue, by the gate.
        self._led = False
        self._closing = False
        self._gate = threading.Lock()
        self._idle = threading.Condition(self._gate)
        # A decision is nobody's but its caller's, so it logs nothing of the request whose thread it runs on.
        self._context = contextvars.Context()
        self._states = _States(store)
        self._snapshots: queue.SimpleQueue[tuple[License, int] | None] = queue.SimpleQueue()
        self._stopped: Exception | None = None
        self._snapshotter = threading.Thread(target=self._write_snapshots, name="snapshots", daemon=True)
        self._snapshotter.start()

    def submit(self, work: Work[R]) -> R:
        """Carry out one work item; returns when what it changed is durable.

        Raises:
            QueueIsFullError: too many wait.
            UnavailableError: the database can't be written; nothing was changed.
            LedgerError: whatever the decision refuses with.
        """
        pending = _Pending(work)
        with self._gate:
            if self._stopped is not None or self._closing:
                raise UnavailableError(_UNAVAILABLE)
            if len(self._waiting) >= self._waiting_max:
                raise QueueIsFullError
            self._waiting.append(pending)
            pending.leads = not self._led
            self._led = True
        try:
            if not pending.leads:
                pending.wait()
            if pending.leads:
                self._lead()
        except BaseException:
            self._abandon(pending)
            raise
        return pending.answer()

    @property
    def waiting(self) -> int:
        """How many commands wait to be decided."""
        return len(self._waiting)

    def close(self) -> None:
        """Finish what waits, then stop."""
        with self._gate:
            first, self._closing = not self._closing, True
            # Whoever closes a second time waits too: when this returns, nobody writes any more.
            self._idle.wait_for(lambda: not self._led)
        if first:
            self._snapshots.put(None)
        self._snapshotter.join()

    # -- the turns -----------------------------------------------------------------------------------------------------

    def _lead(self) -> None:
        """Carry out what waits, then let the first of those who came meanwhile lead."""
        pendings: list[_Pending[Any]] = []
        outcomes: Sequence[_Outcome] = ()
        try:
            self._let_in(pendings)
            # Left before the next one leads: a context can be entered once at a time.
            outcomes = self._context.run(self._outcomes, pendings)
        except BaseException:
            # This caller's thread was interrupted; the others still wait for their answers.
            outcomes = _all_fail(pendings, _UNKNOWN)
            raise
        finally:
            for pending, outcome in zip(pendings, outcomes, strict=True):
                pending.finish(outcome)
            self._hand_over()

    def _let_in(self, pendings: list[_Pending[Any]]) -> None:
        with self._gate:
            while self._waiting and len(pendings) < BATCH_MAX:
                pendings.append(self._waiting.popleft())

    def _hand_over(self) -> None:
        with self._gate:
            if self._waiting:
                self._waiting[0].lead()
            else:
                self._led = False
                self._idle.notify_all()

    def _abandon(self, pending: _Pending[Any]) -> None:
        """A caller's thread was interrupted, so that it can't lead when its turn comes."""
        with self._gate:
            if pending not in self._waiting:
                return
            self._waiting.remove(pending)
        if pending.leads:
            self._hand_over()

    # -- inside a turn -------------------------------------------------------------------------------------------------

    def _outcomes(self, pendings: list[_Pending[Any]], *, alone: bool = False) -> Sequence[_Outcome]:
        if self._stopped is not None:
            return _all_fail(pendings, _UNAVAILABLE)
        doubt: _Doubt | None = None
        fault: Exception | None = None
        for pause in PAUSES_SECONDS:
            try:
                if doubt is not None and self._took_place(doubt):
                    return doubt.outcomes
                doubt = fault = None
                return self._attempt(pendings, alone=alone)
            except _OutcomeIsUnknownError as error:
                doubt = error.doubt
                _LOGGER.warning(
                    "the outcome of a commit is unknown", reason=str(error.__cause__), commands=len(pendings)
                )
            except StoreError as error:
                _LOGGER.warning("writing failed", reason=str(error), commands=len(pendings))
            except (HeadWentBackError, EventTypeIsUnknownError) as error:
                self._stop(error)
                break
            except Exception as error:
                _LOGGER.exception("a batch failed", error=type(error).__name__)
                fault = error
            self._states.forget()
            time.sleep(pause)
            self._reconnect()
        # While a commit is in doubt nothing is carried out a second time.
        if fault is not None and doubt is None:
            return self._one_by_one(pendings, fault)
        return self._give_up(pendings, doubt)

    def _one_by_one(self, pendings: Sequence[_Pending[Any]], fault: Exception) -> Sequence[_Outcome]:
        """What the program itself fails over is told to the caller whose command it is; the others are carried out."""
        if len(pendings) == 1:
            return [(None, fault)]
        return [outcome for pending in pendings for outcome in self._outcomes([pending], alone=True)]

    def _give_up(self, pendings: list[_Pending[Any]], doubt: "_Doubt | None") -> Sequence[_Outcome]:
        """The answers when nothing more is tried, after a last look at what became of the last commit."""
        if doubt is None:
            return _all_fail(pendings, _UNAVAILABLE)
        try:
            if self._took_place(doubt):
                return doubt.outcomes
        except StoreError:
            return _all_fail(pendings, _UNKNOWN)
        return _all_fail(pendings, _UNAVAILABLE if doubt.batch.effects.rows.events else _UNKNOWN)

    def _attempt(self, pendings: list[_Pending[Any]], *, alone: bool) -> Sequence[_Outcome]:
        """One transaction; others may join it unless it is to be alone.

        Raises:
            StoreError: nothing of it is durable.
            RowsAreRefusedError: one of the decisions made rows that no database would take.
            _OutcomeIsUnknownError: the commit failed, and whether it took place all the same must be looked up.
            HeadWentBackError: the process must stop.
        """
        only_ask = self._states.know(pending.work for pending in pendings)
        head = self._store.look() if only_ask else self._store.begin()
        if not only_ask and not alone:
            # While the lock was waited for, those who were answered just before have come again.
            self._let_in(pendings)
        works = [pending.work for pending in pendings]
        try:
            self._states.catch_up(head)
            self._states.want({license_id for work in works for license_id in work.licenses})
            batch = Batch(self._store, self._states, head=head, now=self._now)
            batch.look_up(works)
            outcomes = [_decide(batch, work) for work in works]
            if batch.effects.rows or batch.wrote_rows:
                self._store.write(batch.effects.rows, batch.head)
                self._commit(_Doubt(batch, head, outcomes))
            else:
                self._store.rollback()
        except BaseException:
            self._store.rollback()
            raise
        self._publish(batch.effects, batch.head)
        return outcomes

    def _commit(self, doubt: "_Doubt") -> None:
        try:
            self._store.commit()
        except StoreError as error:
            raise _OutcomeIsUnknownError(doubt) from error

    def _took_place(self, doubt: "_Doubt") -> bool:
        """Whether a commit that failed took place all the same: its first event is in the ledger, or it is not."""
        if not doubt.batch.effects.rows.events:
            return False
        ours = decode(doubt.batch.effects.rows.events[0].state)
        # Under the lock nobody else's commit can still be under way.
        self._store.begin()
        try:
            found = self._store.read_ledger(after=doubt.before.position, limit=1)
        finally:
            self._store.rollback()
        if not found or found[0].command_id != ours.command_id:
            return False
        self._publish(doubt.batch.effects, doubt.batch.head)
        return True

    def _publish(self, effects: Effects, head: Head) -> None:
        for license_ in effects.states.values():
            self._states.put(license_)
            if self._states.snapshot_is_due(license_):
                self._snapshots.put((license_, head.position))
        self._states.publish(effects, head)

    def _reconnect(self) -> None:
        try:
            self._store.reconnect()
        except StoreError as error:
            _LOGGER.warning("the database can't be opened", reason=str(error))

    def _stop(self, error: Exception) -> None:
        self._stopped = error
        self._store.rollback()
        _LOGGER.critical("the ledger stops", reason=str(error))
        if self._on_fatal is not None:
            self._on_fatal(error)

    # -- snapshots, made beside the writer and written through it ------------------------------------------------------

    def _write_snapshots(self) -> None:
        while (due := self._snapshots.get()) is not None:
            try:
                self.submit(_snapshot_work(*due))
            except LedgerError as error:
                # It is only a cache; the next one will do.
                _LOGGER.info("a snapshot was not written", reason=error.detail)
            except Exception as error:
                _LOGGER.exception("a snapshot was not written", error=type(error).__name__)


class _States:
    """The states of licenses in memory, bounded, and brought up to date with what other processes wrote."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._licenses: OrderedDict[str, License] = OrderedDict()
        self._snapshot_versions: dict[str, int] = {}
        self._weight = 0
        self._system: SystemState | None = None
        # As it was last answered for, and the stored bytes at its position; kept whatever else is forgotten.
        self._head: Head | None = None
        self._last: bytes | None = None
        self._stale: set[str] = set()

    def catch_up(self, head: Head) -> None:
        """Learn which states other processes made stale.

        Raises:
            HeadWentBackError: it is not the history that this process has answered for.
        """
        if head == self._head:
            return
        position = head.position if self._head is None else self._head.position
        if head.position < position:
            raise HeadWentBackError(
                f"The ledger ends at position {head.position}, but this process has answered for position"
                f" {position}: an older copy was put in its place. Restart to go on from there."
            )
        appended = self._store.appended_since(position, head.position)
        # An older copy may have grown up to our position by now, and past it.
        if self._last is not None and appended.stored.get(position) != self._last:
            raise HeadWentBackError(
                f"The ledger has another event at position {position} than this process has answered for: an older"
                " copy was put in its place and written on. Restart to go on from there."
            )
        self._stale.update(one for one in appended.streams if one in self._licenses or one == SYSTEM_STREAM)
        self._head, self._last = head, appended.stored.get(head.position)

    def know(self, works: Iterable[Work[Any]]) -> bool:
        """Whether works only ask, and about what is known: what is read afresh is read outside of their transaction."""
        return self._system is not None and all(
            work.only_asks and all(license_id in self._licenses for license_id in work.licenses) for work in works
        )

    def want(self, license_ids: Collection[LicenseId]) -> None:
        """Bring these licenses up to date, all at once."""
        stale: dict[str, int] = {
            license_id: self._licenses[license_id].version
            for license_id in self._stale.intersection(license_ids)
            if license_id in self._licenses
        }
        if not stale:
            return
        newer = self._store.events_of(stale)
        for license_id in stale:
            events = [event for event in newer if event.stream == license_id]
            self.put(replay(self._licenses[license_id], events))
            self._stale.discard(license_id)

    def gather(self, license_ids: Collection[LicenseId]) -> None:
        """Read those of these licenses that are not known, and bring the others up to date, many at once."""
        self.want(license_ids)
        unknown = sorted(license_id for license_id in license_ids if license_id not in self._licenses)
        for first in range(0, len(unknown), GATHERED_AT_ONCE):
            # Whoever asks for one that is damaged hears of it, and nobody else.
            with contextlib.suppress(StoredEventDisagreesError):
                self._load(unknown[first : first + GATHERED_AT_ONCE])

    def _load(self, license_ids: Sequence[LicenseId]) -> None:
        """Read licenses on the writer's connection, and so as they are in its transaction."""
        begins = {license_id: License(license_id=license_id) for license_id in license_ids}
        for snapshot in self._store.snapshots_of(license_ids):
            license_ = snapshots.decode(snapshot.state)
            begins[license_.license_id] = license_
        events = defaultdict(list)
        for event in self._store.events_of({license_id: begin.version for license_id, begin in begins.items()}):
            events[event.stream].append(event)
        for license_id, begin in begins.items():
            self._snapshot_versions[license_id] = begin.version
            self.put(replay(begin, events[license_id]))

    def license(self, license_id: str) -> License:
        """A license as the ledger has it, of version 0 if it does not exist."""
        if license_id in self._stale:
            self.want({LicenseId(license_id)})
        license_ = self._licenses.get(license_id)
        if license_ is None:
            license_, snapshot_version = load(self._store, LicenseId(license_id))
            if license_.issued:
                self._snapshot_versions[license_id] = snapshot_version
                self.put(license_)
            return license_
        self._licenses.move_to_end(license_id)
        return license_

    def system(self) -> SystemState:
        """The state of the ledger itself."""
        if self._system is None or SYSTEM_STREAM in self._stale:
            before = self._system or SystemState()
            self._system = replay_system(before, self._store.events_of({SYSTEM_STREAM: before.version}))
            self._stale.discard(SYSTEM_STREAM)
        return self._system

    def put(self, license_: License) -> None:
        """Keep a license; the longest unused ones go."""
        before = self._licenses.pop(license_.license_id, None)
        self._weight += _weight(license_) - (_weight(before) if before else 0)
        self._licenses[license_.license_id] = license_
        while self._weight > CACHE_WEIGHT_MAX and len(self._licenses) > 1:
            license_id, dropped = self._licenses.popitem(last=False)
            self._weight -= _weight(dropped)
            self._snapshot_versions.pop(license_id, None)
            self._stale.discard(license_id)

    def publish(self, effects: Effects, head: Head) -> None:
        """What a commit made true."""
        self._system = effects.system or self._system
        if effects.rows.events:
            self._last = effects.rows.events[-1].state
        self._head = head

    def snapshot_is_due(self, license_: License) -> bool:
        """Whether to write a snapshot of a license now; if so, it counts as written."""
        before = self._snapshot_versions.get(license_.license_id, 0)
        if not snapshots.is_due(license_, version_before=before):
            return False
        self._snapshot_versions[license_.license_id] = license_.version
        return True

    def forget(self) -> None:
        """Drop every state, since it is not known what the database holds."""
        self._licenses.clear()
        self._snapshot_versions.clear()
        self._stale.clear()
        self._weight = 0
        self._system = None


def _weight(license_: License) -> int:
    return 1 + len(license_.seats)


def _decide(batch: Batch, work: Work[Any]) -> _Outcome:
    try:
        return batch.decide(work), None
    except (StoreError, EventTypeIsUnknownError):
        raise
    except LedgerError as refusal:
        return None, refusal
    except Exception as error:
        _LOGGER.exception("a command failed", error=type(error).__name__)
        return None, error


def _all_fail(pendings: Sequence[_Pending[Any]], detail: str) -> Sequence[_Outcome]:
    return [(None, UnavailableError(detail)) for _ in pendings]


def _snapshot_work(license_: License, position: int) -> Work[None]:
    state = snapshots.encode(license_)

    def decide(transaction: Transaction) -> None:
        rows = transaction.rows
        place = (SNAPSHOTS.c.stream == license_.license_id) & (SNAPSHOTS.c.version == license_.version)
        rows.execute(sqlalchemy.delete(SNAPSHOTS).where(place))
        rows.execute(
            sqlalchemy.insert(SNAPSHOTS).values(
                stream=license_.license_id,
                version=license_.version,
                position=position,
                format=SNAPSHOT_FORMAT,
                state=state,
            )
        )

    return Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True)
