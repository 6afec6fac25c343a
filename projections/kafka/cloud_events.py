"""An event as other systems get it: a CloudEvent 1.0 in structured JSON. What it holds stands in docs/kafka.md."""

import dataclasses
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ledger.envelope import RecordedEvent
from ledger.license.events import Personal

CONTENT_TYPE: Final = "application/cloudevents+json"

PersonalData: TypeAlias = Literal["full", "omit"]
ToCloudEvent: TypeAlias = Callable[[RecordedEvent], bytes]


class _CloudEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: Any
    datacontenttype: str
    streamversion: int
    appendfirst: int
    appendlast: int
    actorrole: str
    actorid: str
    data: Any
    # The specification has no null attributes: what is absent is left out.
    cause: str | None = None


_ENCODE: Final = msgspec.json.Encoder().encode


def source_of(ledger_id: str) -> str:
    """The `source` of all events of a ledger."""
    return f"urn:licensing-ledger:{ledger_id}"


def cloud_events_of(ledger_id: str, *, personal: PersonalData) -> ToCloudEvent:
    """How the events of a ledger become CloudEvents.

    Args:
        ledger_id: the ledger's.
        personal: `full` hands over the personal fields as they are stored; with `omit` each of them is null.
    """
    source, data_of = source_of(ledger_id), _stored if personal == "full" else _without_persons

    def to_cloud_event(recorded: RecordedEvent) -> bytes:
        return _ENCODE(
            _CloudEvent(
                specversion="1.0",
                id=str(recorded.position),
                source=source,
                type=recorded.event.TYPE,
                subject=recorded.stream,
                time=recorded.recorded_at,
                datacontenttype="application/json",
                streamversion=recorded.version,
                appendfirst=recorded.append[0],
                appendlast=recorded.append[1],
                actorrole=recorded.actor.role,
                actorid=recorded.actor.id,
                data=data_of(recorded),
                cause=recorded.cause,
            )
        )

    return to_cloud_event


def _stored(recorded: RecordedEvent) -> msgspec.Raw:
    return msgspec.Raw(recorded.data)


def _without_persons(recorded: RecordedEvent) -> object:
    """From the fact and not from its stored bytes: its types know what is personal, wherever it stands."""
    return _impersonal(recorded.event)


def _impersonal(value: object) -> object:
    if isinstance(value, Personal):
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _impersonal(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_impersonal(one) for one in value]
    return value
