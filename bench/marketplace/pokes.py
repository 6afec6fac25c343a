"""Pokes about few licenses lie in the queue when two processes of the ledger start: what they cost of AWS's quota."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import urllib3

from bench.marketplace.gateway import Calls, by_operation, gateway, most_in_a_second
from bench.marketplace.queue import CREDENTIALS, Queue, queue
from bench.servers import fresh_database, postgres
from tests.e2e.composed import Ledgers, Served, ledgers, wait_for

UNTIL: Final = "2999-05-31"
GET_ENTITLEMENTS: Final = "GetEntitlements"
_PATIENCE_SECONDS: Final = 900.0
_BUYERS_AT_ONCE: Final = 8
_SETTLED: Final = ("done", "repeated", "ignored", "failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much there is to do."""

    licenses: int = 500
    pokes: int = 10_000
    registrations: int = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What was measured.

    Attributes:
        messages: that lay in the queue when the processes started, those of the buyers who register among them.
        licenses: that the pokes are about.
        registrations: the seconds until each buyer saw the form, one after the other while the work went on.
        calls: how many of each operation were made by both processes.
        reads_in_a_second: the busiest second of GetEntitlements.
        taken_seconds: from the start of the processes until the queue was empty.
        settled_seconds: until no message waited for anything any more.
        statuses: how many messages of each status the inbox shows.
    """

    messages: int
    licenses: int
    registrations: Sequence[float]
    calls: dict[str, int]
    reads_in_a_second: int
    taken_seconds: float
    settled_seconds: float
    statuses: dict[str, int]


class _Sales:
    """The sandbox's control interface: buyers who buy, and their tokens."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=_BUYERS_AT_ONCE, timeout=30.0)

    def sell(self, accounts: Sequence[int]) -> list[dict[str, Any]]:
        """Let each of these accounts buy five seats; what AWS says of it goes to the queue."""
        with ThreadPoolExecutor(_BUYERS_AT_ONCE) as pool:
            return list(pool.map(self._sell, accounts))

    def token(self, bought: dict[str, Any]) -> str:
        """What "Set up your account" posts."""
        token: str = self._ask(f"contracts/{bought['contract']['agreement_id']}/token")["token"]
        return token

    def updates(self, sold: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """License Updated about each, as it lay in the queue."""
        messages = [message for one in sold for message in one["messages"]]
        return [json.loads(one["body"]) for one in messages if one["title"].startswith("License Updated")]

    def _sell(self, account: int) -> dict[str, Any]:
        return self._ask("contracts", {"account_id": f"{account:012}", "seats": 5, "until": UNTIL})

    def _ask(self, path: str, body: object = None) -> dict[str, Any]:
        answer = self._pool.request("POST", f"{self._url}/sandbox/{path}", json=body or {})
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise RuntimeError(f"the sandbox answered {answer.status}: {answer.data.decode()}")
        told: dict[str, Any] = answer.json()
        return told


def measure(directory: Path, sizes: Sizes, *, ministack: str, on_postgres: bool) -> Figures:
    """Measure once.

    Raises:
        ServerIsMissingError: ministack or PostgreSQL is not installed.
    """
    with (
        queue(ministack) as taken_from,
        _database(on_postgres=on_postgres) as database_url,
        ledgers(directory, database_url=database_url) as started,
    ):
        return _measure(started, taken_from, sizes)


@contextmanager
def _database(*, on_postgres: bool) -> Iterator[str | None]:
    if not on_postgres:
        yield None
        return
    with postgres() as server, fresh_database(server.url()) as url:
        yield url


def _measure(started: Ledgers, taken_from: Queue, sizes: Sizes) -> Figures:
    queue_settings = {
        **CREDENTIALS,
        "LEDGER_SQS_QUEUE_URL": taken_from.url,
        "AWS_ENDPOINT_URL_SQS": taken_from.endpoint,
        "LEDGER_LOG_LEVEL": "error",
    }
    told = started.start_marketplace("--product", "softphone:users", **queue_settings)
    sandbox_url, calls = told["AWS_ENDPOINT_URL_MARKETPLACE_METERING"], Calls()
    sales = _Sales(sandbox_url)
    with gateway(sandbox_url, calls) as url:
        aws = {name: url if value == sandbox_url else value for name, value in told.items()}
        environment = queue_settings | aws
        known = sales.sell(range(sizes.licenses))
        _let_it_be_known(started, environment, messages=2 * sizes.licenses)
        buyers = sales.sell(range(sizes.licenses, sizes.licenses + sizes.registrations))
        updates = sales.updates(known)
        taken_from.send([_anew(updates[number % sizes.licenses]) for number in range(sizes.pokes)])
        tokens = [sales.token(buyer) for buyer in buyers]
        return _work_off(started, environment, taken_from, calls, tokens=tokens, sizes=sizes)


def _let_it_be_known(started: Ledgers, environment: dict[str, str], *, messages: int) -> None:
    served = started.serve(**environment)
    _wait_until_settled(served, messages)
    served.stop()


def _work_off(
    started: Ledgers,
    environment: dict[str, str],
    taken_from: Queue,
    calls: Calls,
    *,
    tokens: Sequence[str],
    sizes: Sizes,
) -> Figures:
    lying = taken_from.left()
    begun_at = time.monotonic()
    started.start("consume", "sqs", log=started.folder / "consume.log", **environment)
    served = started.serve(**environment)
    registrations = []
    for token in tokens:
        registrations.append(_registered_in(served, token))
        time.sleep(1)
    wait_for(lambda: taken_from.left() == 0, what="an empty queue", seconds=_PATIENCE_SECONDS)
    taken_at = time.monotonic()
    _wait_until_settled(served, 2 * sizes.licenses + lying)
    settled_at = time.monotonic()
    made = calls.since(begun_at)
    return Figures(
        messages=lying,
        licenses=sizes.licenses,
        registrations=registrations,
        calls=dict(by_operation(made)),
        reads_in_a_second=most_in_a_second(made, GET_ENTITLEMENTS),
        taken_seconds=taken_at - begun_at,
        settled_seconds=settled_at - begun_at,
        statuses=_statuses(served),
    )


def _registered_in(served: Served, token: str) -> float:
    """How long a buyer waits for the form, in seconds."""
    begun_at = time.monotonic()
    answer = served.pool.request(
        "POST",
        f"{served.url}/marketplace/register",
        fields={"x-amzn-marketplace-token": token},
        encode_multipart=False,
        redirect=False,
    )
    if answer.status != HTTPStatus.SEE_OTHER:
        raise RuntimeError(f"the registration was answered with {answer.status}")
    return time.monotonic() - begun_at


def _wait_until_settled(served: Served, messages: int) -> None:
    def settled() -> bool:
        time.sleep(0.2)
        statuses = _statuses(served)
        return sum(statuses.get(status, 0) for status in _SETTLED) == sum(statuses.values()) >= messages

    wait_for(settled, what="an inbox in which nothing waits", seconds=_PATIENCE_SECONDS)


def _statuses(served: Served) -> dict[str, int]:
    text = served.call("GET", "/metrics").body.decode()
    found = re.findall(r'^ledger_inbox_messages\{status="([a-z]+)"\} (\S+)$', text, re.MULTILINE)
    return {status: int(float(number)) for status, number in found}


def _anew(update: dict[str, Any]) -> str:
    """Another message of the same kind about the same license."""
    detail = {**update["detail"], "requestId": str(uuid4())}
    return json.dumps({**update, "id": str(uuid4()), "detail": detail})
