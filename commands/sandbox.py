"""`licensing-ledger sandbox`: AWS Marketplace on a laptop, in a process of its own."""

import shlex
from collections.abc import Mapping
from typing import Final, TypeAlias

import click

from commands.parts import read_settings
from commands.settings import DIMENSION, HOST, PORT, PRODUCT_CODES, SANDBOX_KEY, SQS_QUEUE_URL, Settings
from commands.stopping import stop_on_signals
from consumers.sandbox import Product, Sandbox, SandboxSettings
from consumers.sandbox.signing import SignatureVersion
from consumers.sandbox.starting import SandboxCannotStartError

PRODUCT_CODE: Final = "aw4fgf5tyo5w2ap6fsandbox"
PRODUCT_ID: Final = "prod-sandboxsoftphone"
PRODUCT_TITLE: Final = "Amazon Connect SoftPhone by Mirage"
USERS_DIMENSION: Final = "users"
QUEUE_NAME: Final = "aws-marketplace"
PORTS: Final = click.IntRange(0, 65_535)

Products: TypeAlias = Mapping[str, tuple[str, ...]]
"""The dimensions of each product, by its code."""


def sandbox_settings(
    settings: Settings,
    *,
    host: str,
    port: int,
    ledger_url: str,
    queue_port: int = 0,
    public_host: str | None = None,
    products: Products | None = None,
    signature_version: SignatureVersion = SignatureVersion.SHA1,
) -> SandboxSettings:
    """A sandbox that sells these products, or what the ledger's settings name, or one of its own."""
    sold = products or settings.optional(PRODUCT_CODES) or {PRODUCT_CODE: ()}
    of_others = (settings.optional(DIMENSION) or USERS_DIMENSION,)
    (code, dimensions), *others = [(code, dimensions or of_others) for code, dimensions in sold.items()]
    return SandboxSettings(
        product_code=code,
        product_id=PRODUCT_ID,
        product_title=PRODUCT_TITLE,
        dimension=dimensions[0],
        further_dimensions=dimensions[1:],
        products=tuple(
            Product(code=other, id=f"prod-{other}", title=other, dimensions=of_other) for other, of_other in others
        ),
        host=host,
        port=port,
        public_host=public_host,
        queue_port=queue_port,
        queue_name=QUEUE_NAME,
        queue_url=settings.optional(SQS_QUEUE_URL),
        fulfillment_url=f"{ledger_url}/marketplace/register",
        ledger_url=ledger_url,
        ledger_key=settings.optional(SANDBOX_KEY),
        signature_version=signature_version,
        contracts_path=settings.beside_database("sandbox.json"),
    )


def start_sandbox(settings: SandboxSettings) -> Sandbox:
    """Start a sandbox; whatever keeps it from starting is one line."""
    try:
        return Sandbox(settings).start()
    except SandboxCannotStartError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"The sandbox can't use {error.filename}: {error.strerror}.") from error


def _read_products(_context: click.Context, _parameter: click.Parameter, told: tuple[str, ...]) -> Products | None:
    if not told:
        return None
    try:
        return PRODUCT_CODES.parse(",".join(told))
    except ValueError as error:
        raise click.BadParameter(f"{', '.join(told)}: it has to be {error}.") from error


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=PORTS, default=8081, show_default=True, help="The port to listen at; 0 is any free one.")
@click.option("--queue-port", type=PORTS, default=0, help="The port of the queue's server; any free one if not given.")
@click.option("--public-host", metavar="NAME", help="The name by which others find this machine, if not by --host.")
@click.option(
    "--ledger-url", metavar="URL", help="Where buyers and the sandbox find the ledger, if not at its host and port."
)
@click.option(
    "--product",
    "products",
    metavar="CODE:DIMENSION+DIMENSION",
    multiple=True,
    callback=_read_products,
    help="A product to sell, with its dimensions; once for each. If not given, those of LEDGER_PRODUCT_CODES.",
)
@click.option(
    "--signature-version",
    type=click.Choice([version.value for version in SignatureVersion]),
    default=SignatureVersion.SHA1.value,
    show_default=True,
    help="How SNS signs: 1 is by SHA1, as by default at AWS, 2 by SHA256.",
)
def sandbox(
    *,
    host: str,
    port: int,
    queue_port: int,
    public_host: str | None,
    ledger_url: str | None,
    products: Products | None,
    signature_version: str,
) -> None:
    """Run a local AWS Marketplace, and print the environment by which the ledger and boto3 find it."""
    settings = read_settings(with_sandbox=True)
    running = start_sandbox(
        sandbox_settings(
            settings,
            host=host,
            port=port,
            ledger_url=ledger_url or f"http://{settings[HOST]}:{settings[PORT]}",
            queue_port=queue_port,
            public_host=public_host,
            products=products,
            signature_version=SignatureVersion(signature_version),
        )
    )
    stop = stop_on_signals()
    try:
        sold = (f"{product.code}:{'+'.join(product.dimensions)}" for product in running.marketplace.products)
        told = dict(running.environment) | {
            SQS_QUEUE_URL.name: running.queue_url,
            PRODUCT_CODES.name: ",".join(sold),
        }
        for name, value in told.items():
            click.echo(f"export {name}={shlex.quote(value)}")
        click.echo(f"The sandbox Marketplace is at {running.url}", err=True)
        stop.wait()
    finally:
        running.stop()
