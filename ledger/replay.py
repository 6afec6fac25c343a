"""The past: a license as it stood at a version, a position or a time."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ledger import snapshots
from ledger.envelope import Event, RecordedEvent
from ledger.errors import LicenseIsNotFoundError, NotRecordedError, TimeIsInvalidError
from ledger.license import events as license_events
from ledger.license import state as license_state
from ledger.license.access import AccessPolicy
from ledger.license.events import LicenseId, SeatActivated, SeatBlocked
from ledger.license.state import License, Seat
from ledger.store import Store
from ledger.system import events as system_events
from ledger.system import state as system_state
from ledger.system.events import STREAM as SYSTEM_STREAM
from ledger.system.state import SystemState

_SYSTEM_EVENTS: Final = (system_events.AccessPolicySet, system_events.KeyIssued, system_events.KeyRevoked)


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """A point in the past; exactly one of the three is set.

    Attributes:
        version: the end of the append that holds this version of the license.
        position: the end of the append that holds this position of the ledger.
        as_of: the last append recorded at or before this time (aware).
    """

    version: int | None = None
    position: int | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenseThen:
    """A license at a point of the ledger.

    Attributes:
        license: its state.
        position: the point of the ledger at which this is true.
        as_of: the clock by which it is judged.
        policy: the access policy in force there.
    """

    license: License
    position: int
    as_of: datetime
    policy: AccessPolicy


def replay(license_: License, recorded: Iterable[RecordedEvent]) -> License:
    """The state after these events."""
    for one in recorded:
        license_ = license_state.evolve(
            license_, _license_event(one.event), version=one.version, at=one.recorded_at, actor=one.actor
        )
    return license_


def replay_system(state: SystemState, recorded: Iterable[RecordedEvent]) -> SystemState:
    """The state of the ledger itself after these events."""
    for one in recorded:
        state = system_state.evolve(state, _system_event(one.event), version=one.version, position=one.position)
    return state


def _license_event(event: Event) -> license_events.LicenseEvent:
    if isinstance(event, _SYSTEM_EVENTS):
        msg = f"{event.TYPE} stands in a license's stream"
        raise TypeError(msg)
    return event


def _system_event(event: Event) -> system_events.SystemEvent:
    if not isinstance(event, _SYSTEM_EVENTS):
        msg = f"{event.TYPE} stands in the system's stream"
        raise TypeError(msg)
    return event


def load(store: Store, license_id: LicenseId, *, version: int | None = None) -> tuple[License, int]:
    """A license at a version (null: the latest), and the version of the snapshot that it was made from (0: none)."""
    snapshot = store.snapshot_before(license_id, version=version)
    begin = License(license_id=license_id) if snapshot is None else snapshots.decode(snapshot.state)
    return replay(begin, store.read_stream(license_id, after=begin.version, up_to=version)), begin.version


class Past:
    """Answers questions about the past, which never change."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        """Read from a store; `now` is the clock, aware UTC."""
        self._store = store
        self.now = now
        self._system = SystemState()
        self._lock = threading.Lock()

    def license_at(self, license_id: LicenseId, moment: Moment) -> LicenseThen:
        """A license as it stood.

        Raises:
            LicenseIsNotFoundError: it had not been issued by then.
            NotRecordedError: there is no such version or position.
        """
        if moment.version is not None:
            return self._at_version(license_id, moment.version)
        if moment.position is not None:
            end = self._append_end_at(moment.position)
            return self._at_position(license_id, position=end.position, as_of=end.recorded_at)
        if moment.as_of is None:
            msg = "a moment needs a version, a position or a time"
            raise ValueError(msg)
        return self._at_position(license_id, position=self.position_at(moment.as_of), as_of=moment.as_of)

    def position_at(self, as_of: datetime) -> int:
        """The last position recorded at or before a time; 0 if there is none.

        Raises:
            TimeIsInvalidError: the head has not reached this time, so that the answer could still change.
        """
        head = self._store.head()
        if as_of > head.recorded_at:
            msg = "The ledger has not reached this time yet."
            raise TimeIsInvalidError(msg)
        return self._last(head.position, lambda position: self._event_at(position).recorded_at <= as_of)

    def license_now(self, license_id: LicenseId) -> License:
        """A license as the ledger has it now, of version 0 if it does not exist."""
        return load(self._store, license_id)[0]

    def policy_at(self, position: int) -> AccessPolicy:
        """The access policy in force at a position."""
        with self._lock:
            self._system = replay_system(
                self._system, self._store.read_stream(SYSTEM_STREAM, after=self._system.version)
            )
            return self._system.policy_at(position)

    def naming_event(self, license_id: LicenseId, seat: Seat) -> SeatActivated | SeatBlocked:
        """The event that has the name of a seat's user, and the note if the user is blocked."""
        event = self._event_of(license_id, seat.named_version).event
        if not isinstance(event, SeatActivated | SeatBlocked):
            msg = f"version {seat.named_version} of license {license_id} names no user"
            raise TypeError(msg)
        return event

    def event(self, license_id: LicenseId, version: int) -> Event:
        """One event of a license."""
        return self._event_of(license_id, version).event

    def events_until(self, license_id: LicenseId, *, version: int) -> Sequence[RecordedEvent]:
        """The events of a license up to a version."""
        return self._store.read_stream(license_id, up_to=version)

    def _at_version(self, license_id: LicenseId, version: int) -> LicenseThen:
        if not 0 < version <= self._existing(license_id):
            msg = f"This license has no version {version}. Its history lists the versions that there are."
            raise NotRecordedError(msg)
        end = self._event_of(license_id, version).append[1]
        last = self._event_of(license_id, end)
        license_ = load(self._store, license_id, version=end)[0]
        return LicenseThen(
            license=license_, position=last.position, as_of=last.recorded_at, policy=self.policy_at(last.position)
        )

    def _at_position(self, license_id: LicenseId, *, position: int, as_of: datetime) -> LicenseThen:
        latest = self._existing(license_id)
        version = self._last(latest, lambda version: self._event_of(license_id, version).position <= position)
        if version == 0:
            raise LicenseIsNotFoundError
        license_ = load(self._store, license_id, version=version)[0]
        return LicenseThen(license=license_, position=position, as_of=as_of, policy=self.policy_at(position))

    def _existing(self, license_id: LicenseId) -> int:
        version = self._store.version_of(license_id)
        if version == 0:
            raise LicenseIsNotFoundError
        return version

    def _append_end_at(self, position: int) -> RecordedEvent:
        if not 0 < position <= self._store.head().position:
            msg = f"The ledger has no position {position}."
            raise NotRecordedError(msg)
        event = self._event_at(position)
        return self._event_of(event.stream, event.append[1])

    def _event_at(self, position: int) -> RecordedEvent:
        return self._store.read_ledger(after=position - 1, limit=1)[0]

    def _event_of(self, stream: str, version: int) -> RecordedEvent:
        return self._store.read_stream(stream, after=version - 1, up_to=version)[0]

    @staticmethod
    def _last(highest: int, holds: Callable[[int], bool]) -> int:
        """The highest number from 1 on for which something holds that holds for all below it; 0 if for none."""
        low, high = 0, highest
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if holds(middle) else (low, middle - 1)
        return low
