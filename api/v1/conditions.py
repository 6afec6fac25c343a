"""The headers that make a command safe to repeat or bind it to what was read: Idempotency-Key and If-Match."""

import hmac
import re
from typing import Any, Final

import flask
import msgspec

from api.principal import Principal
from api.problems import InvalidProblem
from ledger.ledger import Ledger
from ledger.seats import IfMatch, Once

IDEMPOTENCY_KEY: Final = "Idempotency-Key"
IF_MATCH: Final = "If-Match"
KEY_PATTERN: Final = "^[!-~]([ -~]{0,253}[!-~])?$"
ETAG_PATTERN: Final = '^"[1-9][0-9]{0,15}"$'

_KEY: Final = re.compile(r"[ -~]{1,255}")
_ETAG: Final = re.compile(r'"([1-9][0-9]{0,15})"', re.ASCII)


def read_if_match(request: flask.Request) -> IfMatch:
    """The version that the caller believes to change; null if the caller does not say.

    Raises:
        Problem: `INVALID`: it is neither `*` nor an ETag that this interface gives out.
    """
    text = request.headers.get(IF_MATCH)
    if text is None:
        return None
    if text.strip() == "*":
        return "*"
    found = _ETAG.fullmatch(text.strip())
    if found is None:
        raise InvalidProblem({IF_MATCH: ['Give the ETag as it was answered, such as "57", or *.']})
    return int(found[1])


def read_once(request: flask.Request, body: object, *, principal: Principal, ledger: Ledger) -> Once | None:
    """The Idempotency-Key of a request with this body, as the keyed hashes that are kept; null if there is none.

    Raises:
        Problem: `INVALID`: it is empty, too long or not printable.
    """
    text = request.headers.get(IDEMPOTENCY_KEY)
    if text is None:
        return None
    if _KEY.fullmatch(text) is None:
        raise InvalidProblem({IDEMPOTENCY_KEY: ["Give 1 to 255 printable ASCII characters."]})
    secret = ledger.secret("idempotency")
    return Once(
        key_hash=_hash(secret, principal.actor.id, f"{request.method} {request.url_rule}", text),
        request_hash=_hash(secret, request.method, request.path, _CANONICAL.encode(body).decode()),
    )


def refuse(request: flask.Request, *headers: str) -> None:
    """Refuse headers that promise what this call can't keep.

    Raises:
        Problem: `INVALID`: one of them is there.
    """
    errors: dict[str, Any] = {name: ["This call does not take it."] for name in headers if name in request.headers}
    if errors:
        raise InvalidProblem(errors)


def etag(version: int) -> str:
    """The ETag of a version of a license or seat."""
    return f'"{version}"'


_CANONICAL: Final = msgspec.json.Encoder(order="deterministic")


def _hash(secret: bytes, *parts: str) -> bytes:
    return hmac.digest(secret, msgspec.json.encode(parts), "sha256")
