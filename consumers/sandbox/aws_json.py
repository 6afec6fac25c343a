"""What AWS's JSON calls have in common: errors, times and the tokens of pages."""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumers.sandbox.faults import FaultPlan
from consumers.sandbox.marketplace import Marketplace
from consumers.sandbox.mischief import Trouble

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of a client."""

    request: Json
    marketplace: Marketplace
    plan: FaultPlan
    """How to misbehave."""
    trouble: Trouble
    """What mischief has in store for this call."""


class WireError(Exception):
    """An error as AWS words it."""

    def __init__(self, error_type: str, message: str, *, status: int = 400, **members: object) -> None:
        """Name the error by AWS's type; members are those that its shape has beside the message."""
        super().__init__(message)
        self.status = status
        self.body: Json = {"__type": error_type, "message": message, **members}


class PageTokenIsMadeUpError(Exception):
    """The token is none that was given for this question."""


def name_question(*asked: object) -> str:
    """Name a question, so that a token given with another one is as good as made up."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def write_page_token(question: str, place: Sequence[int | float | str]) -> str:
    """Write down where the next page of the answer begins."""
    return base64.urlsafe_b64encode(json.dumps([question, *place]).encode()).decode()


def read_page_token(token: object, question: str, *, kinds: tuple[type, ...]) -> tuple[Any, ...]:
    """Read where a page begins: one value of each kind.

    Raises:
        PageTokenIsMadeUpError: it is no token that was given for this question.
    """
    try:
        asked, *place = json.loads(base64.urlsafe_b64decode(str(token)))
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise PageTokenIsMadeUpError from None
    if asked != question or [type(value) for value in place] != list(kinds):
        raise PageTokenIsMadeUpError
    return tuple(place)


def epoch_seconds(at: datetime) -> float:
    """Write a time as AWS's JSON has it: seconds since 1970, to the millisecond."""
    return round(at.timestamp(), 3)
