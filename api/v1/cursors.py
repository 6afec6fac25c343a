"""Cursors: where a list goes on, for the same caller, call and filters alone."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from api.problems import InvalidProblem
from ledger.ledger import Ledger
from projections.page import PageKey

_SEAL_BYTES: Final = 16
_PLACE: Final = msgspec.json.Decoder(tuple[str | int | None, ...])


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursors:
    """The cursors of one list.

    Attributes:
        secret: the ledger's key for cursors.
        of: whose list it is, of which call, with which filters.
    """

    secret: bytes
    of: bytes

    @classmethod
    def for_list(cls, ledger: Ledger, *, caller_id: str, call: str, filters: Mapping[str, object]) -> "Cursors":
        """The cursors of a list."""
        return cls(secret=ledger.secret("cursor"), of=msgspec.json.encode([caller_id, call, sorted(filters.items())]))

    def write(self, place: PageKey | None) -> str | None:
        """The cursor of a place; null where the list ends."""
        if place is None:
            return None
        text = msgspec.json.encode(place)
        return base64.urlsafe_b64encode(self._seal(text) + text).decode().rstrip("=")

    def read(self, cursor: str | None) -> PageKey | None:
        """The place of a cursor.

        Raises:
            Problem: `INVALID`: it is not one of this list.
        """
        if cursor is None:
            return None
        try:
            sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            sealed = b""
        seal, text = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._seal(text)):
            msg = "This cursor is not one of this list. Begin without it; keep the filters from page to page."
            raise InvalidProblem({"cursor": [msg]})
        return _PLACE.decode(text)

    def _seal(self, text: bytes) -> bytes:
        return hmac.digest(self.secret, self.of + b"\0" + text, "sha256")[:_SEAL_BYTES]
