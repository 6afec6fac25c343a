"""Where the next page of a list begins, as its address says it: signed, so that only what was given out comes back."""

import base64
import binascii
import hmac
import json
from collections.abc import Sequence
from typing import Final, TypeAlias

from api.problems import Problem

After: TypeAlias = tuple[str | int | None, ...]

_SIGNATURE_BYTES: Final = 16


def write(after: Sequence[str | int | None] | None, *, of: str, secret: bytes) -> str | None:
    """The cursor that goes on after the item of this key; null if the list ends there.

    Args:
        after: the key of the last item shown.
        of: the list with its filters, for which alone the cursor holds.
        secret: the ledger's.
    """
    if after is None:
        return None
    body = json.dumps(list(after), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_sign(body, of=of, secret=secret) + body).decode().rstrip("=")


def read(cursor: str, *, of: str, secret: bytes) -> After | None:
    """The key to go on after; null from the beginning.

    Raises:
        Problem: `INVALID`: it was not given out for this list.
    """
    if not cursor:
        return None
    try:
        signed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        signed = b""
    signature, body = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _sign(body, of=of, secret=secret)):
        raise Problem("INVALID", "The address of this page is damaged. Begin again at the first page of the list.")
    return tuple(json.loads(body))


def _sign(body: bytes, *, of: str, secret: bytes) -> bytes:
    return hmac.digest(secret, f"pages\0{of}\0".encode("utf-8", "surrogatepass") + body, "sha256")[:_SIGNATURE_BYTES]
