"""Records of the topics: what a message topic's record says, and what a dead letter carries beside it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from consumers.marketplace.inbox import BODY_MAX, TOO_LONG, Received, not_understood, received
from consumers.marketplace.messages import Parsed, Poke
from consumers.marketplace.names import value_of
from ledger.license.events import KeyKind
from ledger.times import written

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]

MESSAGE_ID: Final = "message-id"
"""The header with the id that SQS gave a message that was forwarded."""
REASON: Final = "reason"
_OWN_HEADERS: Final = frozenset(
    {
        REASON,
        "original-topic",
        "original-partition",
        "original-offset",
        "original-timestamp",
        "dead-lettered-at",
        "value-left-out",
    }
)
_ID: Final = re.compile(rb"[A-Za-z0-9-]{1,64}")
_NO_VALUE: Final = "The record has no value."
_NOT_UTF_8: Final = "The message is not UTF-8."
_SHOWN_BYTES: Final = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class InRecord:
    """A record of the messages topic.

    Attributes:
        topic: its name.
        topic_id: tells the topic from an earlier one of the same name; null from brokers that don't know it.
        partition: where it lies.
        offset: its place there.
        timestamp: milliseconds since 1970, as the record has it.
        key: by which its partition was chosen.
        value: the message.
        headers: beside it.
    """

    topic: str
    topic_id: str | None
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def transport_id(self) -> str:
        """By which it is known if the message carries no id: SQS's, else its place, the same each time it is read.

        The time is part of it, since a place is filled anew when a topic is made again or loses its end.
        """
        told = next((value for name, value in self.headers if name == MESSAGE_ID), None)
        if told is not None and _ID.fullmatch(told):
            return told.decode()
        place = f"{self.topic}/{self.partition}/{self.offset}/{self.timestamp}"
        return f"{place}/{self.topic_id}" if self.topic_id else place


@dataclass(frozen=True, kw_only=True, slots=True)
class OutRecord:
    """A record that is to be written to a topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def read(record: InRecord) -> Received:
    """What a record says, or why that can't be understood."""
    value = record.value
    if value is None:
        return not_understood("", transport_id=record.transport_id, reason=_NO_VALUE)
    shown = value[:_SHOWN_BYTES].decode(errors="replace")
    # A character takes four bytes at most.
    if len(value) > 4 * BODY_MAX:
        return not_understood(shown, transport_id=record.transport_id, reason=TOO_LONG)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return not_understood(shown, transport_id=record.transport_id, reason=_NOT_UTF_8)
    return received(text, transport_id=record.transport_id)


def dead_letter(record: InRecord, *, reason: str, at: datetime) -> OutRecord:
    """A copy of a record that can't be understood, with the reason and where it came from in its headers.

    Args:
        record: as it was read.
        reason: one sentence.
        at: now, aware UTC.
    """
    told = {
        REASON: reason,
        "original-topic": record.topic,
        "original-partition": str(record.partition),
        "original-offset": str(record.offset),
        "original-timestamp": str(record.timestamp),
        "dead-lettered-at": written(at, timespec="milliseconds"),
    }
    # Of a dead letter that was sent back unmended, those of before.
    kept = [(name, value) for name, value in record.headers if name not in _OWN_HEADERS]
    headers = [*kept, *((name, value.encode()) for name, value in told.items())]
    return OutRecord(key=record.key, value=record.value, headers=headers)


def without_value(record: OutRecord) -> OutRecord:
    """A dead letter that is too large for its topic, with all but the message itself."""
    left_out = f"{len(record.value or b'')} bytes".encode()
    return OutRecord(key=record.key, value=None, headers=[*record.headers, ("value-left-out", left_out)])


def forwarded(body: str, parsed: Parsed, *, message_id: str) -> OutRecord:
    """A message of the SQS queue as a record of the messages topic.

    Args:
        body: as it lay in the queue.
        parsed: what it says.
        message_id: SQS's id of it.
    """
    key = _key_of(parsed) or message_id
    # What is no text is for the reader to judge, who keeps it.
    value = body.encode(errors="surrogatepass")
    return OutRecord(key=key.encode(), value=value, headers=[(MESSAGE_ID, message_id.encode())])


def _key_of(parsed: Parsed) -> str | None:
    """A name that messages about one license share, so that they stay in order: most carry the agreement."""
    if not isinstance(parsed, Poke):
        return None
    kinds = (KeyKind.AGREEMENT, KeyKind.LICENSE_ARN, KeyKind.CUSTOMER)
    return next((value for kind in kinds if (value := value_of(parsed.names, kind)) is not None), None)
