"""`licensing-ledger serve`: the interface, the pages, the views and the consumer, in one process."""

import contextlib
import fcntl
import os
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click
import structlog

from api import server
from api.app import ApiSettings, Parts, create_app
from commands.parts import access_policy, marketplace_settings, open_ledger, open_views, publishing, read_settings
from commands.sample import SampleFailedError, has_licenses, make_sample_customer
from commands.sandbox import PORTS, sandbox_settings, start_sandbox
from commands.settings import (
    ADMIN_KEY,
    CHECK_AGAIN,
    DATABASE_URL,
    DIMENSION,
    HOST,
    NEW_USERS_PER_HOUR,
    PORT,
    PRODUCT_CODES,
    SANDBOX_KEY,
    SQS_QUEUE_URL,
    THREADS,
    TRUSTED_PROXY,
    Settings,
)
from commands.stopping import stop_at_once
from consumers.marketplace import (
    Consumer,
    DriftReports,
    MarketplaceInbox,
    MarketplaceOperating,
    MarketplaceRegistration,
    MarketplaceSettings,
    aws_clients,
)
from consumers.sandbox import Marketplace, Sandbox
from ledger.keys import PREFIX, KeyScope
from ledger.ledger import Ledger
from ledger.system.events import KeyRole
from ledger.times import system_now
from ledger.writer import SYSTEM_CALLER

_LOGGER: Final = structlog.get_logger(__name__)
SANDBOX_PORT: Final = 8081
FIRST_KEY: Final = "first operator key"
SANDBOX_KEY_NAME: Final = "pages of the sandbox"


@click.command()
@click.option("--sandbox", "with_sandbox", is_flag=True, help="With a local AWS Marketplace and a sample customer.")
@click.option(
    "--sandbox-port", type=PORTS, default=SANDBOX_PORT, show_default=True, help="Its port; 0 is any free one."
)
def serve(*, with_sandbox: bool, sandbox_port: int) -> None:
    """Serve the interface and the pages; keep the views; consume LEDGER_SQS_QUEUE_URL if it is set."""
    settings = read_settings(with_sandbox=with_sandbox)
    with contextlib.ExitStack() as stack:
        database = settings[DATABASE_URL].sqlite_path
        if database is not None:
            stack.enter_context(_only_server_of(database))
        if not with_sandbox:
            _serve(stack, settings, port=settings[PORT], sandbox=None)
            return
        port = settings[PORT] or _free_port(settings[HOST])
        sandbox = _start_sandbox(stack, settings, port=port, sandbox_port=sandbox_port)
        told_by_sandbox = {
            SQS_QUEUE_URL.name: sandbox.queue_url,
            PRODUCT_CODES.name: sandbox.marketplace.product.code,
            DIMENSION.name: sandbox.marketplace.product.dimension,
        }
        settings = read_settings(told_by_sandbox | dict(os.environ), with_sandbox=True)
        _serve(stack, settings, port=port, sandbox=sandbox)


def _serve(stack: contextlib.ExitStack, settings: Settings, *, port: int, sandbox: Sandbox | None) -> None:
    marketplace = _marketplace_settings(settings)
    ledger = stack.enter_context(open_ledger(settings, on_fatal=stop_at_once))
    ledger.set_access_policy(access_policy(settings))
    admin_key = _issue_admin_key(settings, ledger)
    views = stack.enter_context(open_views(settings, ledger))
    views.start()
    if sandbox is not None:
        sandbox.ask_ledger(url=f"http://{settings[HOST]}:{port}", key=_issue_sandbox_key(settings, ledger))
    publisher = stack.enter_context(publishing(settings, ledger, views))
    registration = _start_marketplace(stack, marketplace, ledger, environment=sandbox.environment if sandbox else None)
    app = create_app(
        Parts(
            ledger=ledger,
            views=views,
            settings=ApiSettings(
                check_again=settings[CHECK_AGAIN],
                new_users_per_hour=settings[NEW_USERS_PER_HOUR],
                secure_cookies=settings.secure_cookies,
            ),
            inbox=MarketplaceInbox(ledger),
            succession=MarketplaceOperating(ledger),
            registration=registration,
            kafka=publisher.status if publisher else None,
            drift=DriftReports(ledger),
        )
    )

    def ready(url: str) -> None:
        _tell(f"The ledger is at {url}")
        _tell(_where_key_is(settings))
        if sandbox is not None:
            _tell(f"The sandbox Marketplace is at {sandbox.url}")
            _start_sample(sandbox.marketplace, url=url, admin_key=admin_key)

    if settings.unknown:
        _LOGGER.warning("settings that are not known are ignored", names=settings.unknown)
    try:
        server.serve(
            app,
            host=settings[HOST],
            port=port,
            threads=settings[THREADS],
            ready=ready,
            trusted_proxy=settings.optional(TRUSTED_PROXY),
        )
    except server.ServerCannotListenError as error:
        raise click.ClickException(str(error)) from error


def _marketplace_settings(settings: Settings) -> MarketplaceSettings | None:
    """What is sold, before anything is opened; null where nothing is."""
    if settings.optional(SQS_QUEUE_URL) is None and settings.optional(PRODUCT_CODES) is None:
        return None
    return marketplace_settings(settings)


def _start_marketplace(
    stack: contextlib.ExitStack,
    marketplace: MarketplaceSettings | None,
    ledger: Ledger,
    *,
    environment: Mapping[str, str] | None,
) -> MarketplaceRegistration | None:
    """Registration where the product is known, and the consumer, also without a queue: for what is due by itself."""
    if marketplace is None:
        return None
    clients = aws_clients(environment)
    stop = threading.Event()
    consumer = Consumer(ledger, marketplace, clients, now=system_now)
    thread = threading.Thread(target=consumer.run, args=(stop,), name="consumer", daemon=True)
    thread.start()
    stack.callback(thread.join, 10)
    stack.callback(stop.set)
    return MarketplaceRegistration(ledger, marketplace, clients, now=system_now)


def _start_sandbox(stack: contextlib.ExitStack, settings: Settings, *, port: int, sandbox_port: int) -> Sandbox:
    ledger_url = f"http://{settings[HOST]}:{port}"
    sandbox = start_sandbox(sandbox_settings(settings, host=settings[HOST], port=sandbox_port, ledger_url=ledger_url))
    stack.callback(sandbox.stop)
    return sandbox


def _start_sample(marketplace: Marketplace, *, url: str, admin_key: str | None) -> None:
    """Make the sample customer beside the server, since it comes in through the server's doors."""
    if admin_key is None:
        return

    def run() -> None:
        try:
            if has_licenses(url=url, operator_key=admin_key):
                return
            link = make_sample_customer(marketplace, url=url, operator_key=admin_key)
        except SampleFailedError as error:
            _tell(f"The sample customer was not made: {error}.")
            return
        _tell(f"A sample customer is there. Sign in as its administrator, once within 10 minutes: {link}")

    threading.Thread(target=run, name="sample", daemon=True).start()


def _issue_admin_key(settings: Settings, ledger: Ledger) -> str | None:
    """See that there is an operator key; returns it, or null if only its holder has it."""
    given, path = settings.optional(ADMIN_KEY), settings.admin_key_path
    if given is not None:
        ledger.keys.issue(
            name=FIRST_KEY,
            role=KeyRole.OPERATOR,
            scope=KeyScope(),
            expires_at=None,
            caller=SYSTEM_CALLER,
            secret=given,
        )
        return given
    if not ledger.keys.all():
        # Written before it is valid, so that no key is lost; of two processes that start at once, one issues its own.
        secret = PREFIX + secrets.token_urlsafe(32)
        made = path.with_name(f"{path.name}.{os.getpid()}")
        _write_secret(made, secret)
        if ledger.keys.issue_first(name=FIRST_KEY, secret=secret, caller=SYSTEM_CALLER):
            made.replace(path)
        else:
            made.unlink()
    return path.read_text().strip() if path.exists() else None


def _issue_sandbox_key(settings: Settings, ledger: Ledger) -> str:
    """See that the sandbox may look at the ledger: by the key that is set, or one that is the same at each start."""
    given, path = settings.optional(SANDBOX_KEY), settings.beside_database("sandbox-key")
    if given is not None:
        return given
    if not path.exists():
        _write_secret(path, PREFIX + secrets.token_urlsafe(32))
    secret = path.read_text().strip()
    ledger.keys.issue(
        name=SANDBOX_KEY_NAME,
        role=KeyRole.AUDITOR,
        scope=KeyScope(),
        expires_at=None,
        caller=SYSTEM_CALLER,
        secret=secret,
    )
    return secret


def _where_key_is(settings: Settings) -> str:
    if settings.optional(ADMIN_KEY) is not None:
        return f"The operator key is the one in {ADMIN_KEY.name}"
    path = settings.admin_key_path
    return f"The operator key is in {path}" if path.exists() else "`licensing-ledger keys create` makes another key"


def _write_secret(path: Path, secret: str) -> None:
    # A file left from a ledger that is gone would keep its own mode.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")


@contextlib.contextmanager
def _only_server_of(database: Path) -> Iterator[None]:
    """Be the only `serve` on a database file; the lock goes with the process, however it ends."""
    path = database.with_name(f"{database.name}.serve-lock")
    try:
        file = path.open("a")
    except OSError as error:
        raise click.ClickException(f"{path.parent} can't be written: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise click.ClickException(
                f"Another `licensing-ledger serve` has {database}. Stop it first, or set {DATABASE_URL.name}."
            ) from error
        yield


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _tell(line: str) -> None:
    click.echo(line, err=True)
