"""`licensing-ledger keys`: who may call the interface."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import click
from rich.console import Console
from rich.table import Table

from commands.parts import open_ledger, read_settings
from commands.texts import OPERATOR, aware_time, license_id
from ledger.errors import LicenseIsNotFoundError
from ledger.keys import Key, KeyScope
from ledger.ledger import Ledger
from ledger.license.events import LicenseId
from ledger.system.events import KeyRole
from ledger.times import written
from ledger.users import InvalidTextError, parse_line


@click.group()
def keys() -> None:
    """Give out keys to the interface, list them, take them back."""


@keys.command()
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in KeyRole]), required=True, help="What it may do.")
@click.option("--license", "licenses", multiple=True, callback=license_id, help="A license it reaches; repeatable.")
@click.option("--customer", help="The customer (AWS account) whose licenses it reaches.")
@click.option("--product", help="The product (id or code) whose licenses it reaches; goes with --customer.")
@click.option("--expires", callback=aware_time, help="When it ends, such as 2027-05-31T00:00:00Z.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def create(
    *,
    name: str,
    role: str,
    licenses: tuple[LicenseId, ...],
    customer: str | None,
    product: str | None,
    expires: datetime | None,
    as_json: bool,
) -> None:
    """Give out a key called NAME; its secret is shown once."""
    scope = _scope(KeyRole(role), licenses, customer, product)
    try:
        name = parse_line(name, what="The name of a key")
    except InvalidTextError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error
    with open_ledger(read_settings()) as ledger:
        _check_exist(ledger, licenses)
        key, secret = ledger.keys.issue(name=name, role=KeyRole(role), scope=scope, expires_at=expires, caller=OPERATOR)
    if as_json:
        click.echo(json.dumps(_as_json(key) | {"key": secret}))
    else:
        click.echo(f"{key.key_id} ({role}). This is shown once:\n{secret}")


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, as_json: bool) -> None:
    """List all keys, those taken back too."""
    with open_ledger(read_settings()) as ledger:
        found, now = ledger.keys.all(), ledger.now()
    if as_json:
        click.echo(json.dumps([_as_json(key) for key in found]))
    else:
        Console().print(_table(found, now))


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Take the key KEY_ID back; it opens nothing from now on."""
    with open_ledger(read_settings()) as ledger:
        key = ledger.keys.revoke(key_id, caller=OPERATOR)
    click.echo(f"{key.key_id} was taken back.")


def _scope(role: KeyRole, licenses: tuple[LicenseId, ...], customer: str | None, product: str | None) -> KeyScope:
    if product and not customer:
        raise click.UsageError("--product goes with --customer: name the customer too.")
    if licenses and customer:
        raise click.UsageError("Give either --license or --customer, not both.")
    scoped = bool(licenses or customer)
    if role is KeyRole.OPERATOR and scoped:
        raise click.UsageError("An operator's key reaches everything: leave --license and --customer out.")
    if role is KeyRole.ADMIN and not licenses:
        raise click.UsageError("An admin's key needs its licenses: give --license.")
    if role is KeyRole.CLIENT and not scoped:
        raise click.UsageError("A client's key needs its licenses: give --license, or --customer and --product.")
    if role is KeyRole.CLIENT and customer and not product:
        raise click.UsageError("A client's key for a customer needs the product too: give --product.")
    return KeyScope(licenses=licenses or None, customer_id=customer, product_id=product)


def _check_exist(ledger: Ledger, licenses: Sequence[LicenseId]) -> None:
    if any(not ledger.past.license_now(one).issued for one in licenses):
        raise LicenseIsNotFoundError


def _as_json(key: Key) -> dict[str, object]:
    moments = {"issued_at": key.issued_at, "expires_at": key.expires_at, "revoked_at": key.revoked_at}
    told = {name: None if moment is None else _second(moment) for name, moment in moments.items()}
    return {"key_id": key.key_id, "name": key.name, "role": key.role.value, **asdict(key.scope), **told}


def _table(found: Sequence[Key], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("Key", "Name", "Role", "Reaches", "Issued", "State"):
        table.add_column(name, overflow="fold")
    for key in found:
        table.add_row(key.key_id, key.name, key.role.value, _reach(key.scope), _second(key.issued_at), _state(key, now))
    return table


def _reach(scope: KeyScope) -> str:
    if scope.licenses is not None:
        return "\n".join(scope.licenses)
    if scope.customer_id is not None:
        return f"customer {scope.customer_id}, " + (
            f"product {scope.product_id}" if scope.product_id else "all products"
        )
    return "everything"


def _state(key: Key, now: datetime) -> str:
    if key.revoked_at is not None:
        return f"taken back {_second(key.revoked_at)}"
    if key.expires_at is None:
        return "valid"
    return f"{'valid until' if key.is_valid(at=now) else 'ended'} {_second(key.expires_at)}"


def _second(moment: datetime) -> str:
    return written(moment, timespec="seconds")
