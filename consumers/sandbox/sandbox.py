"""The sandbox as a running thing: a Marketplace, its queue and its HTTP server."""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

import structlog
from flask import Flask

from consumers.sandbox.app import make_app
from consumers.sandbox.contracts import Product, TooManyContractsError
from consumers.sandbox.faults import Faults
from consumers.sandbox.http_server import HttpServer, listen
from consumers.sandbox.ledger_window import LedgerWindow
from consumers.sandbox.marketplace import Marketplace
from consumers.sandbox.memory import StateFile
from consumers.sandbox.notifications import REGION
from consumers.sandbox.queue import LOCAL_CREDENTIAL, SellersQueue
from consumers.sandbox.signing import SignatureVersion, SigningKey, kept_key, passing_key

TICK_SECONDS = 0.1
"""How often the sandbox looks whether something fell due."""
TICK_AFTER_ERROR_SECONDS = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxSettings:
    """What the sandbox sells, where it listens, and where it sends."""

    product_code: str
    product_id: str
    product_title: str
    dimension: str = "users"
    further_dimensions: tuple[str, ...] = ()
    """Of this first product."""
    products: tuple[Product, ...] = ()
    """What it sells beside this first product."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 is any free port."""
    public_host: str | None = None
    """The name of this machine by which others find the sandbox; null is the host."""
    queue_url: str | None = None
    """An SQS queue to send to; without one, moto's server is started and a queue created there."""
    queue_port: int = 0
    """The port of that server; 0 is any free one."""
    queue_name: str | None = None
    """The name of the queue there; null is a new one each time."""
    fulfillment_url: str | None = None
    """Where "Set up your account" sends the buyer with a registration token: the ledger's `/marketplace/register`."""
    ledger_url: str | None = None
    """The ledger whose licenses the pages show beside the contracts."""
    ledger_key: str | None = field(default=None, repr=False)
    """Opens its interface for reading; null is a ledger that can't be asked yet: see `Sandbox.ask_ledger`."""
    raw_delivery: bool = False
    """Send legacy notifications without the SNS envelope."""
    signature_version: SignatureVersion = SignatureVersion.SHA1
    """How legacy notifications are signed."""
    contracts_path: Path | None = None
    """A file that the contracts are kept in from one start to the next; the key that signs is kept beside it."""


class Sandbox:
    """A local AWS Marketplace. A context manager; `start` and `stop` do the same."""

    url: str
    """Of the control page, the control API and AWS's calls."""
    queue_url: str
    sqs_endpoint: str
    marketplace: Marketplace
    faults: Faults

    def __init__(
        self,
        settings: SandboxSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ids: Callable[[], UUID] = uuid4,
    ) -> None:
        """Prepare a sandbox; nothing runs before `start`."""
        self._settings = settings
        self._clock = clock
        self._ids = ids
        url = settings.ledger_url
        self._window = None if url is None else LedgerWindow(url=url, key=settings.ledger_key)

    def ask_ledger(self, *, url: str, key: str) -> None:
        """Show from now on what this ledger has beside the contracts.

        Args:
            url: where it is.
            key: opens its interface for reading.
        """
        self._window = LedgerWindow(url=url, key=key)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables that an unmodified boto3 needs to talk to this sandbox.

        With a queue of the seller's own, credentials, region and the address of SQS are the seller's too.
        """
        marketplace = {
            "AWS_ENDPOINT_URL_MARKETPLACE_METERING": self.url,
            "AWS_ENDPOINT_URL_MARKETPLACE_ENTITLEMENT_SERVICE": self.url,
            "AWS_ENDPOINT_URL_MARKETPLACE_AGREEMENT": self.url,
            "AWS_ENDPOINT_URL_SNS": self.url,
        }
        if not self._queue.is_local:
            return marketplace
        return marketplace | {
            "AWS_ENDPOINT_URL_SQS": self.sqs_endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": LOCAL_CREDENTIAL,
            "AWS_SECRET_ACCESS_KEY": LOCAL_CREDENTIAL,
        }

    def start(self) -> Self:
        """Open the queue and the HTTP server.

        Raises:
            SandboxCannotStartError: a port is taken, or the host is not of this machine; the seller's queue can't be
                used; the file of contracts holds something else, another sandbox has it, or it has contracts of
                products that are not sold.
            OSError: the file can't be read or written.
        """
        settings = self._settings
        path = settings.contracts_path
        first = _first_product(settings)
        # Moto's server and this one would write a line for every poll of the queue.
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        # The port comes first: who can't have it is to leave the file as it is.
        with listen(settings.host, settings.port, who="The sandbox") as listening, ExitStack() as opened:
            memory = opened.enter_context(closing(StateFile(path, product=first))) if path else None
            key = kept_key(path.with_suffix(".signing.pem")) if path else passing_key()
            host, port = listening.getsockname()[:2]
            self.url = f"http://{settings.public_host or host}:{port}"
            self._queue = opened.enter_context(closing(_open_queue(settings)))
            self.queue_url, self.sqs_endpoint = self._queue.url, self._queue.endpoint
            self.faults = Faults()
            self.marketplace = Marketplace(
                products=(first, *settings.products),
                clock=self._clock,
                ids=self._ids,
                deliver=self._queue.deliver,
                sign=partial(key.sign, version=settings.signature_version),
                raw_delivery=settings.raw_delivery,
                memory=memory,
            )
            self._server = HttpServer(self._make_app(key), listening, name="sandbox")
            self._opened = opened.pop_all()
        self._stopping = Event()
        self._ticker = Thread(target=self._tick, name="sandbox-clock", daemon=True)
        self._ticker.start()
        return self

    def stop(self) -> None:
        """Close the HTTP server and the queue; calls that hang are let go."""
        self._stopping.set()
        self.faults.clear()
        self.marketplace.mischief.let_go()
        self._ticker.join()
        self._server.stop()
        self.marketplace.close()
        self._opened.close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _tick(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            try:
                self.marketplace.tick()
            except TooManyContractsError as error:
                log.warning("Nothing more happens by itself", reason=str(error))
                self.marketplace.set_auto(auto=False)
            except Exception:
                # What fails once may go well the next time, and what else falls due must not wait for ever.
                log.exception("What fell due did not happen")
                self._stopping.wait(TICK_AFTER_ERROR_SECONDS)

    def _make_app(self, key: SigningKey) -> Flask:
        return make_app(
            marketplace=self.marketplace,
            faults=self.faults,
            fulfillment_url=self._settings.fulfillment_url,
            signing_key=key,
            environment=lambda: self.environment,
            window=lambda: self._window,
        )


def _open_queue(settings: SandboxSettings) -> SellersQueue:
    if settings.queue_url is not None:
        return SellersQueue.at(settings.queue_url)
    return SellersQueue.on_local_server(
        settings.host, port=settings.queue_port, public_host=settings.public_host, name=settings.queue_name
    )


def _first_product(settings: SandboxSettings) -> Product:
    return Product(
        code=settings.product_code,
        id=settings.product_id,
        title=settings.product_title,
        dimensions=(settings.dimension, *settings.further_dimensions),
    )
