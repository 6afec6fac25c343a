"""The sample customer of `serve --sandbox`, made through the ordinary doors.

It is bought in the sandbox Marketplace, comes in over the queue, registers by the form that a buyer sees, and its users
sign in over HTTP.
"""

import http.cookiejar
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from time import monotonic, sleep
from typing import Any, Final

from consumers.sandbox.marketplace import Marketplace

ACCOUNT_ID: Final = "123456789012"
SEATS: Final = 5
CONTRACT_LASTS: Final = timedelta(days=189)
COMPANY: Final[Mapping[str, str]] = {
    "company_name": "Analytical Engines Ltd",
    "name": "Charles Babbage",
    "email": "charles@engines.example",
    "phone": "+44 20 7946 0000",
}
USERS: Final = ("Ada Lovelace", "Grace Hopper", "Katherine Johnson", "Mary Jackson")
BLOCKED_USER: Final = "Alan Turing"

_WAIT_SECONDS: Final = 60
_INPUT: Final = re.compile(r"<input\b[^>]*>")
_ATTRIBUTE: Final = re.compile(r'([a-z_-]+)="([^"]*)"')
_LINK: Final = re.compile(r'href="([^"]*/sign-in/link\?token=[^"]+)"')


class SampleFailedError(Exception):
    """The sample customer could not be made; the text says at which step."""


def make_sample_customer(marketplace: Marketplace, *, url: str, operator_key: str) -> str:
    """Make the sample customer; returns the link that signs in as its administrator, good once and for 10 minutes.

    Args:
        marketplace: where it buys.
        url: where the ledger is.
        operator_key: opens the interface.

    Raises:
        SampleFailedError: one of the doors did not open.
    """
    ledger = _Interface(url, operator_key)
    contract = marketplace.buy(account_id=ACCOUNT_ID, seats=SEATS, until=marketplace.now() + CONTRACT_LASTS).contract
    license_id = _wait_for_license(ledger, contract.agreement_id)
    token = marketplace.issue_token(contract.agreement_id).token
    link = _Browser(url).register(token)
    key = ledger.post("/v1/keys", {"name": "sample softphone", "role": "client", "licenses": [license_id]})["key"]
    client = _Interface(url, key)
    for user in USERS:
        client.post(f"/v1/licenses/{license_id}/sign-ins", {"user": user})
    block = {"user": BLOCKED_USER, "reason": "left", "note": "On sabbatical until spring"}
    position = ledger.post(f"/v1/licenses/{license_id}/blocks", block)["position"]
    # Whoever follows the link sees all of it.
    ledger.get(f"/v1/licenses/{license_id}?min_position={position}")
    return link


def has_licenses(*, url: str, operator_key: str) -> bool:
    """Whether the ledger has any license."""
    return bool(_Interface(url, operator_key).licenses())


def _wait_for_license(ledger: "_Interface", agreement_id: str) -> str:
    end = monotonic() + _WAIT_SECONDS
    while monotonic() < end:
        bought = (one for one in ledger.licenses() if one["agreement_id"] == agreement_id)
        started = [one["license_id"] for one in bought if one["seats_max"]]
        if started:
            license_id: str = started[0]
            return license_id
        sleep(0.1)
    raise SampleFailedError("what was bought in the sandbox did not arrive in the ledger")


class _Interface:
    """The JSON interface, with a key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def licenses(self) -> Sequence[Mapping[str, Any]]:
        items: Sequence[Mapping[str, Any]] = self.get("/v1/licenses")["items"]
        return items

    def get(self, path: str) -> Mapping[str, Any]:
        return self._send(urllib.request.Request(self._url + path))  # noqa: S310 -- our own server

    def post(self, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        return self._send(urllib.request.Request(self._url + path, json.dumps(body).encode()))  # noqa: S310 -- our own server

    def _send(self, request: urllib.request.Request) -> Mapping[str, Any]:
        for name, value in self._headers.items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=_WAIT_SECONDS) as answer:  # noqa: S310 -- our own server
                document: Mapping[str, Any] = json.load(answer)
        except urllib.error.URLError as error:
            raise SampleFailedError(f"{request.selector} answered: {error.reason}") from error
        return document


class _Browser:
    """A buyer's browser, as far as the registration form needs one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def register(self, token: str) -> str:
        """Come from AWS Marketplace with a token and send the company form; returns the sign-in link at its end."""
        form = self._post("/marketplace/register", {"x-amzn-marketplace-token": token})
        page = self._post("/registration", _hidden_fields(form) | dict(COMPANY))
        link = _LINK.search(page)
        if link is None:
            raise SampleFailedError("the registration did not end with a sign-in link")
        return link[1].replace("&amp;", "&")

    def _post(self, path: str, fields: Mapping[str, str]) -> str:
        body = urllib.parse.urlencode(fields).encode()
        request = urllib.request.Request(self._url + path, body, {"Referer": self._url})  # noqa: S310 -- our own server
        try:
            with self._opener.open(request, timeout=_WAIT_SECONDS) as answer:
                page: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise SampleFailedError(f"{path} answered {HTTPStatus(error.code).phrase}") from error
        return page


def _hidden_fields(page: str) -> dict[str, str]:
    inputs = [dict(_ATTRIBUTE.findall(tag)) for tag in _INPUT.findall(page)]
    return {one["name"]: one.get("value", "") for one in inputs if one.get("type") == "hidden" and "name" in one}
