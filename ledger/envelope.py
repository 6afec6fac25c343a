"""The stored form of an event: one self-contained JSON document, the envelope.

STORAGE FORMAT. The members and their order stand in the design; stored bytes are never rewritten.
"""

from datetime import datetime
from typing import Final, Generic, TypeAlias, TypeVar, get_args

import msgspec

from ledger.errors import LedgerError
from ledger.license import events as license_events
from ledger.license.events import Actor, LicenseEvent
from ledger.system import events as system_events
from ledger.system.events import SystemEvent

BYTES_MAX: Final = 65_535

Event: TypeAlias = LicenseEvent | SystemEvent


class EnvelopeIsTooLargeError(LedgerError):
    """An event would need more than 65,535 bytes."""

    CODE = "TOO_LARGE"


class EventTypeIsUnknownError(Exception):
    """The ledger holds an event of a type that this program does not know: the program is older than the ledger."""


class StoredEventDisagreesError(Exception):
    """A stored event says something else than the columns beside it: the record was edited or damaged."""


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event as the ledger holds it.

    Attributes:
        stream: a license's id, or `system`.
        version: its place in the stream, from 1.
        position: its place in the whole ledger, from 1, without gaps.
        append: first and last version of the decision that it belongs to.
        recorded_at: when the decision was recorded, aware UTC; grows strictly from append to append.
        actor: who caused it.
        cause: id of the message or request that led to it.
        command_id: id of the decision; an append's events share it.
        event: the fact.
        data: the fact's stored JSON.
    """

    stream: str
    version: int
    position: int
    append: tuple[int, int]
    recorded_at: datetime
    actor: Actor
    cause: str | None
    command_id: str
    event: Event
    data: bytes

    @property
    def ends_append(self) -> bool:
        """Whether this is the last event of its append."""
        return self.version == self.append[1]


T = TypeVar("T")


class _Envelope(msgspec.Struct, Generic[T], frozen=True, gc=False):
    ledger_id: str
    stream: str
    version: int
    position: int
    type: str
    append: tuple[int, int]
    recorded_at: datetime
    actor: Actor
    cause: str | None
    command_id: str
    data: T


class _NewEnvelope(_Envelope[Event], frozen=True, gc=False):
    """With the fact itself, so that it is encoded in one go."""


def event_types() -> dict[str, type[Event]]:
    """Every event class by its stored type."""
    classes: tuple[type[Event], ...] = (*_members(license_events.LicenseEvent), *_members(system_events.SystemEvent))
    return {cls.TYPE: cls for cls in classes}


def _members(union: object) -> tuple[type[Event], ...]:
    return get_args(union)


_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE_ENVELOPE: Final = msgspec.json.Decoder(_Envelope[msgspec.Raw]).decode
_DECODE_DATA: Final = {name: msgspec.json.Decoder(cls).decode for name, cls in event_types().items()}


def encode(  # noqa: PLR0913 -- the members of the envelope
    *,
    ledger_id: str,
    stream: str,
    version: int,
    position: int,
    append: tuple[int, int],
    recorded_at: datetime,
    actor: Actor,
    cause: str | None,
    command_id: str,
    event: Event,
) -> bytes:
    """The bytes to store; see `RecordedEvent`.

    Raises:
        EnvelopeIsTooLargeError: they would be more than 65,535.
    """
    stored = _ENCODE(
        _NewEnvelope(
            ledger_id, stream, version, position, event.TYPE, append, recorded_at, actor, cause, command_id, event
        )
    )
    if len(stored) > BYTES_MAX:
        msg = f"This would be an event of {len(stored)} bytes; {BYTES_MAX} are the most. Send shorter texts."
        raise EnvelopeIsTooLargeError(msg)
    return stored


def decode(stored: bytes) -> RecordedEvent:
    """Read stored bytes.

    Raises:
        EventTypeIsUnknownError: the program is older than the ledger.
        StoredEventDisagreesError: these bytes are no envelope.
    """
    try:
        envelope = _DECODE_ENVELOPE(stored)
        decode_data = _DECODE_DATA.get(envelope.type)
        if decode_data is None:
            msg = (
                f"The ledger holds an event of type {envelope.type!r}, which this program does not know: it is older"
                " than the ledger. Install a newer version."
            )
            raise EventTypeIsUnknownError(msg)
        data = bytes(envelope.data)
        event = decode_data(data)
    except msgspec.MsgspecError as error:
        msg = f"A stored event can't be read: {error}"
        raise StoredEventDisagreesError(msg) from error
    return RecordedEvent(
        stream=envelope.stream,
        version=envelope.version,
        position=envelope.position,
        append=envelope.append,
        recorded_at=envelope.recorded_at,
        actor=envelope.actor,
        cause=envelope.cause,
        command_id=envelope.command_id,
        event=event,
        data=data,
    )
