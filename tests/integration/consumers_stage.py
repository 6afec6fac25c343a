"""The stage of the consumer's tests: a sandbox Marketplace, a ledger on disk, and a consumer between them, at noon."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import sqlalchemy
from botocore.loaders import Loader, create_loader
from moto.server import ThreadedMotoServer

from api import sign_ins
from consumers.marketplace import (
    METADATA,
    Clients,
    Consumer,
    MarketplaceRegistration,
    MarketplaceSettings,
    aws_clients,
)
from consumers.marketplace.budget import RegistrationsBudget
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.tables import INBOX, OBSERVATIONS
from consumers.sandbox import Contract, Generation, Sandbox, SandboxSettings
from ledger.ledger import Ledger, LedgerSettings
from ledger.license.events import Actor, ActorRole, LicenseId
from ledger.license.state import License
from ledger.store.url import DatabaseUrl
from ledger.system.events import STREAM as SYSTEM_STREAM
from ledger.transaction import Caller
from ledger.users import parse_user
from tests.services import postgres

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

PRODUCT_CODE = "74az0btybm649octamy0sktos"
PRODUCT_ID = "prod-k35yywhyj4eqg"
ANALYTICAL_ENGINES = "111122223333"
"""The AWS account of the company where Ada works."""
COMPILERS_INC = "444422221111"
"""That of the company where Grace works."""
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
END_OF_MAY = datetime(2027, 5, 31, 23, 59, 59, 999_000, UTC)
END_OF_NEXT_MAY = END_OF_MAY.replace(year=2028)
ADMIN = Caller(Actor(ActorRole.ADMIN, "key-1"))
USERS = ("ada", "grace", "katherine", "dorothy", "mary")
MINUTE = timedelta(minutes=1)
BOUGHT = ["license-issued", *["license-identified"] * 4, "renewal-announced", "subscription-started"]
"""The events of a purchase."""
UNLIMITED = 10_000.0
"""Calls a second, where it is not about the budget."""
ENGINES = ("sqlite", "postgresql")
ANYBODY: Mapping[str, str] = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "anybody",
    "AWS_SECRET_ACCESS_KEY": "anything",
}
"""Whom moto's server and the sandbox let in."""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        """It is noon."""
        self.at = NOON

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.at

    def move(self, by: timedelta) -> None:
        """Let time pass."""
        self.at += by


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Everything between AWS Marketplace and the ledger."""

    clock: Clock
    sandbox: Sandbox
    ledger: Ledger
    url: DatabaseUrl
    settings: MarketplaceSettings
    environment: Mapping[str, str]
    clients: Clients
    consumer: Consumer
    registration: MarketplaceRegistration
    lineages: Lineages

    def buy(
        self,
        seats: int = 5,
        *,
        account_id: str = ANALYTICAL_ENGINES,
        until: datetime = END_OF_MAY,
        generation: Generation = Generation.CONCURRENT,
    ) -> Contract:
        """Let a company buy; Ada's, if no other is named."""
        marketplace = self.sandbox.marketplace
        return marketplace.buy(account_id=account_id, seats=seats, until=until, generation=generation).contract

    def bought(self, seats: int = 5, *, until: datetime = END_OF_MAY) -> Contract:
        """Let Ada's company buy, and the ledger hear of it."""
        contract = self.buy(seats, until=until)
        self.consume()
        return contract

    def consume(self) -> None:
        """Work until nothing is left in the queue, and nothing is due."""
        while self.consumer.run_once():
            pass

    def pass_time(self, by: timedelta) -> None:
        """Let time pass, then do what became due."""
        self.clock.move(by)
        self.consume()

    def send(self, *bodies: str) -> None:
        """Put messages into the queue, in this order."""
        for body in bodies:
            self.clients.sqs.send_message(QueueUrl=self.sandbox.queue_url, MessageBody=body)

    def link(self, contract: Contract, *, follows: Contract) -> Contract:
        """Let AWS tell from now on, to who asks, that one agreement follows another."""
        linked = replace(
            self.sandbox.marketplace.find(contract.agreement_id),
            initial_agreement_id=follows.initial_agreement_id,
            previous_agreement_id=follows.agreement_id,
            last_update_at=self.clock(),
        )
        self.sandbox.marketplace.book.put(linked)
        return linked

    def held_back(self) -> list[str]:
        """Take what lies in the queue out of it, so that a test can send it in its own way."""
        bodies: list[str] = []
        while True:
            polled = self.clients.sqs.receive_message(QueueUrl=self.sandbox.queue_url, MaxNumberOfMessages=10)
            if not polled.get("Messages"):
                return bodies
            for message in polled["Messages"]:
                bodies.append(message["Body"])
                self.clients.sqs.delete_message(QueueUrl=self.sandbox.queue_url, ReceiptHandle=message["ReceiptHandle"])

    def queue_is_empty(self) -> bool:
        """Whether the queue holds nothing, not even something that is being worked on."""
        names: Sequence[Any] = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        asked = self.clients.sqs.get_queue_attributes(QueueUrl=self.sandbox.queue_url, AttributeNames=names)
        return all(asked["Attributes"][name] == "0" for name in names)

    def licenses(self) -> list[License]:
        """All licenses, the first issued first."""
        events = self.ledger.feed(after=0, limit=100_000)
        streams = dict.fromkeys(event.stream for event in events if event.stream != SYSTEM_STREAM)
        return [self.ledger.past.license_now(LicenseId(stream)) for stream in streams]

    def license(self) -> License:
        """The only license."""
        (license_,) = self.licenses()
        return license_

    def events(self) -> list[str]:
        """The types of all events of licenses, without their prefix."""
        events = self.ledger.feed(after=0, limit=100_000)
        return [event.event.TYPE.removeprefix("license.") for event in events if event.stream != SYSTEM_STREAM]

    def activate(self, *users: str) -> None:
        """Let users take seats of the only license."""
        license_id = self.license().license_id
        for user in users:
            self.ledger.seats.activate(license_id, user=parse_user(user), caller=ADMIN)

    def inbox(self) -> list[tuple[str, str | None]]:
        """Status and reason of each message, in the order in which they came."""
        with self.ledger.reading.connect() as reading:
            rows = reading.execute(sqlalchemy.select(INBOX.c.status, INBOX.c.reason).order_by(INBOX.c.number))
            return [(row.status, row.reason) for row in rows]

    def statuses(self) -> list[str]:
        """The status of each message, in the order in which they came."""
        return [status for status, _ in self.inbox()]

    def observation(self) -> Any:  # noqa: ANN401 -- a row of the table
        """The row of the only license that has been read."""
        with self.ledger.reading.connect() as reading:
            return reading.execute(sqlalchemy.select(OBSERVATIONS)).one()


@cache
def sqs_endpoint() -> str:
    """The address of SQS: one server of moto's for all tests of a process, since it takes half a second to stop."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


@cache
def _queues() -> "SQSClient":
    return boto3.client(
        "sqs",
        endpoint_url=sqs_endpoint(),
        region_name=ANYBODY["AWS_REGION"],
        aws_access_key_id=ANYBODY["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ANYBODY["AWS_SECRET_ACCESS_KEY"],
    )


def fresh_queue() -> str:
    """The URL of an empty queue of a test's own."""
    return _queues().create_queue(QueueName=f"aws-marketplace-{uuid4()}")["QueueUrl"]


@cache
def descriptions() -> Loader:
    """What boto3 knows of AWS's services, read once for all tests of a process."""
    return create_loader()


@contextmanager
def database(engine: str, folder: Path) -> Iterator[DatabaseUrl]:
    """An empty database: a file in this folder, or one of the server's."""
    if engine == "sqlite":
        yield DatabaseUrl.of_file(folder / "ledger.db")
        return
    server = postgres.shared()
    url = postgres.fresh_database("consumers", server=server)
    try:
        yield DatabaseUrl.parse(url)
    finally:
        server.drop_database(urlsplit(url).path.removeprefix("/"))


@contextmanager
def staged(
    url: DatabaseUrl,
    *,
    change: Callable[[MarketplaceSettings], MarketplaceSettings] = lambda settings: settings,
    change_sandbox: Callable[[SandboxSettings], SandboxSettings] = lambda settings: settings,
    raw_delivery: bool = False,
) -> Iterator[Stage]:
    """Set the stage; the settings are AWS's real patience and one product, but for what the changes make of them."""
    clock = Clock()
    sandbox_settings = change_sandbox(
        SandboxSettings(
            product_code=PRODUCT_CODE,
            product_id=PRODUCT_ID,
            product_title="SoftPhone",
            raw_delivery=raw_delivery,
            queue_url=fresh_queue(),
        )
    )
    with (
        patch.dict(os.environ, ANYBODY),
        # boto3 reads its descriptions of AWS for each session again, which takes longer than most of the tests.
        patch("botocore.session.create_loader", lambda _: descriptions()),
        Sandbox(sandbox_settings, clock=clock) as sandbox,
    ):
        settings = change(
            MarketplaceSettings(queue_url=sandbox.queue_url, products={PRODUCT_CODE: frozenset({"users"})})
        )
        ledger = open_ledger(url, clock=clock)
        environment = {**ANYBODY, **sandbox.environment, "AWS_ENDPOINT_URL_SQS": sqs_endpoint()}
        clients = aws_clients(environment)
        try:
            yield Stage(
                clock=clock,
                sandbox=sandbox,
                ledger=ledger,
                url=url,
                settings=settings,
                environment=environment,
                clients=clients,
                consumer=Consumer(ledger, settings, clients, now=clock, readings_per_second=UNLIMITED),
                registration=MarketplaceRegistration(ledger, settings, clients, now=clock),
                lineages=Lineages(ledger, clients, budget=RegistrationsBudget(ledger), now=clock),
            )
        finally:
            clients.close()
            ledger.close()


def anew(event: Mapping[str, Any], **members: Any) -> str:  # noqa: ANN401 -- JSON
    """A message about another event of the same kind: with ids of its own, and other members."""
    detail = {**event["detail"], **members.pop("detail", {}), "requestId": str(uuid4())}
    return json.dumps({**event, "id": str(uuid4()), **members, "detail": detail})


def open_ledger(url: DatabaseUrl, *, clock: Callable[[], datetime]) -> Ledger:
    """A ledger of a process's own on a database."""
    return Ledger.open(LedgerSettings(url=url), now=clock, tables=[METADATA, sign_ins.METADATA])


def unverified(settings: MarketplaceSettings) -> MarketplaceSettings:
    """With messages of SNS taken as they come, such as those of raw delivery, which have no signature."""
    return replace(settings, sns_verify=False)


def without_waits(settings: MarketplaceSettings) -> MarketplaceSettings:
    """The patience of `serve --sandbox`."""
    return replace(settings, renewal_wait=timedelta(), decrease_confirm=timedelta(), recheck=timedelta(seconds=5))
