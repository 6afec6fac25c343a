"""The inbox: what AWS Marketplace told, and what became of it. For operators alone."""

import re
from datetime import datetime
from typing import Final

import flask
from flask_smorest import Blueprint

from api.inbox import led_to
from api.principal import Permission
from api.v1 import schemas
from api.v1.conditions import IDEMPOTENCY_KEY, IF_MATCH
from api.v1.cursors import Cursors
from api.v1.history import entry_document
from api.v1.operation import Call, Operation, operation, respond
from ledger.inbox import InboxMessage, InboxQuery, MessageInFull, MessageIsNotFoundError, MessageReading, Sentence
from ledger.times import written

EVENTS_MAX: Final = 1_000
"""How many events of a message are shown; the history of its license has all."""

BLUEPRINT: Final = Blueprint(
    "inbox", __name__, url_prefix="/v1", description="What AWS Marketplace told, and what became of it."
)
_NUMBER: Final = re.compile("[1-9][0-9]{0,15}", re.ASCII)


@operation(
    BLUEPRINT,
    "GET",
    "/inbox",
    Operation(
        permission=Permission.KEEP_INBOX,
        query=schemas.InboxQuery,
        answers={200: schemas.MessagePage},
    ),
)
def list_messages(call: Call) -> flask.Response:
    """List the messages, newest first."""
    query = call.query
    filters = {name: query[name] for name in ("status", "license_id", "kind", "since", "until", "q") if name in query}
    cursors = Cursors.for_list(
        call.parts.ledger, caller_id=call.principal.actor.id, call="list_messages", filters=filters
    )
    after = cursors.read(query.get("cursor"))
    page = call.parts.inbox.list(
        InboxQuery(
            status=query.get("status"),
            license_id=query.get("license_id"),
            kind=query.get("kind"),
            since=query.get("since"),
            until=query.get("until"),
            q=query.get("q") or None,
        ),
        after=None if after is None else int(after[0] or 0),
        limit=query["limit"],
    )
    return respond(
        {
            "items": [_document(message) for message in page.items],
            "next": cursors.write(page.next),
            "position": page.position,
        }
    )


@operation(
    BLUEPRINT,
    "GET",
    "/inbox/<number>",
    Operation(
        permission=Permission.KEEP_INBOX,
        answers={200: schemas.MessageInFull},
        codes=["NOT_FOUND"],
    ),
)
def get_message(call: Call, number: str) -> flask.Response:
    """Show one message as it came, the events that it led to, and the reading that it was done with."""
    return respond(_document_in_full(call, call.parts.inbox.get(_number(number))))


@operation(
    BLUEPRINT,
    "POST",
    "/inbox/<number>/retry",
    Operation(
        permission=Permission.KEEP_INBOX,
        submits=True,
        refuses=(IDEMPOTENCY_KEY, IF_MATCH),
        answers={200: schemas.Message},
        codes=["NOT_FOUND", "NOTHING_TO_RETRY"],
    ),
)
def retry_message(call: Call, number: str) -> flask.Response:
    """Let a message that failed, is parked, was ignored or dismissed begin anew."""
    return respond(_document(call.parts.inbox.retry(_number(number), caller=call.caller)))


@operation(
    BLUEPRINT,
    "POST",
    "/inbox/<number>/dismiss",
    Operation(
        permission=Permission.KEEP_INBOX,
        submits=True,
        refuses=(IDEMPOTENCY_KEY, IF_MATCH),
        body=schemas.DismissalBody,
        answers={200: schemas.Message},
        codes=["NOT_FOUND", "NOTHING_TO_DISMISS"],
    ),
)
def dismiss_message(call: Call, number: str) -> flask.Response:
    """Let nobody need look at a message any more that failed or is parked; it stays, and may begin anew."""
    reason, note = call.body["reason"], call.body["note"]
    dismissed = call.parts.inbox.dismiss(_number(number), reason=reason, note=note, caller=call.caller)
    return respond(_document(dismissed))


def _number(text: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise MessageIsNotFoundError
    return int(text)


def _document(message: InboxMessage) -> dict[str, object]:
    first, last = message.positions or (None, None)
    return {
        "number": message.number,
        "message_id": message.message_id,
        "request_id": message.request_id,
        "kind": message.kind,
        "says": _plain(message.says),
        "status": message.status,
        "reason": message.reason,
        "dismissal": message.dismissal,
        "needs_look": message.needs_look,
        "license_id": message.license_id,
        "agreement_id": message.agreement_id,
        "received_at": message.received_at,
        "sent_at": message.sent_at,
        "due_at": message.due_at,
        "parked_at": message.parked_at,
        "attempts": message.attempts,
        "repeats": message.repeats,
        "first_position": first,
        "last_position": last,
    }


def _document_in_full(call: Call, found: MessageInFull) -> dict[str, object]:
    events = led_to(call.parts.views, found.message, limit=EVENTS_MAX)
    return {
        **_document(found.message),
        "body": found.body,
        "events": [entry_document(entry) for entry in events],
        "reading": None if found.reading is None else _reading(found.reading),
    }


def _reading(reading: MessageReading) -> dict[str, object]:
    return {
        "read_at": reading.read_at,
        "outcome": reading.outcome,
        "reason": reading.reason,
        "rows": reading.rows,
        "agreements": reading.agreements,
    }


def _plain(sentence: Sentence) -> str:
    return "".join(written(part) if isinstance(part, datetime) else part for part in sentence)
