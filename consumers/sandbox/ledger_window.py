"""What the ledger shows for a buyer, asked over HTTP as anybody with a key can."""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import msgspec

TIMEOUT_SECONDS: Final = 3.0
PAGES_MAX: Final = 10
ANSWER_BYTES_MAX: Final = 10_000_000

_UNAUTHORIZED, _FORBIDDEN = 401, 403


class LedgerDidNotAnswerError(Exception):
    """The ledger could not be asked; the text says why, in a sentence for people."""


class ShownLicense(msgspec.Struct, frozen=True, kw_only=True):
    """A license as the ledger shows it."""

    license_id: str
    product_code: str
    company_name: str | None
    license_arn: str | None
    agreement_id: str | None
    seats_max: int
    seats_active: int
    seats_blocked: int
    status: str
    renewal_date: datetime | None


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[ShownLicense, ...]
    next: str | None


class LedgerWindow:
    """A look at one ledger from outside."""

    def __init__(self, *, url: str, key: str | None) -> None:
        """Look at the ledger there.

        Args:
            url: where it is.
            key: opens its interface for reading; null is a ledger that cannot be asked.
        """
        self.url = url
        self.has_key = key is not None
        self._headers = {"Authorization": f"Bearer {key}"}

    def page_of(self, license_: ShownLicense) -> str:
        """Where the ledger's page of a license is."""
        return f"{self.url}/licenses/{license_.license_id}"

    def licenses_of(self, account_id: str) -> Sequence[ShownLicense]:
        """Ask for all licenses of an AWS account.

        Raises:
            LedgerDidNotAnswerError: it did not answer, or not so.
        """
        return tuple(self._all(account_id))

    def _all(self, account_id: str) -> Iterator[ShownLicense]:
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            page = self._ask({"customer_id": account_id} | ({"cursor": cursor} if cursor else {}))
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def _ask(self, query: dict[str, str]) -> _Page:
        request = urllib.request.Request(f"{self.url}/v1/licenses?{urlencode(query)}", headers=self._headers)  # noqa: S310 -- the ledger that the sandbox was told of
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                return msgspec.json.decode(answer.read(ANSWER_BYTES_MAX), type=_Page)
        except urllib.error.HTTPError as error:
            raise LedgerDidNotAnswerError(self._refusal(error)) from error
        except (OSError, http.client.HTTPException) as error:
            raise LedgerDidNotAnswerError(f"The ledger at {self.url} does not answer.") from error
        except msgspec.MsgspecError as error:
            raise LedgerDidNotAnswerError(f"What answers at {self.url} is no licensing ledger.") from error

    def _refusal(self, error: urllib.error.HTTPError) -> str:
        with error:
            if error.code in {_UNAUTHORIZED, _FORBIDDEN}:
                return f"The ledger at {self.url} does not take the sandbox's key."
            try:
                said = str(json.load(error)["detail"])
            except (ValueError, KeyError, TypeError, OSError):
                return f"The ledger at {self.url} answers with status {error.code}."
            return f"The ledger at {self.url} answers: {said}"
