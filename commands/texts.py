"""What is typed on a command line, read."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import click

from ledger.license.events import Actor, ActorRole, LicenseId
from ledger.transaction import Caller

OPERATOR: Final = Caller(Actor(ActorRole.OPERATOR, "command-line"))
"""Whoever runs a command is an operator."""


def counted(number: int, one: str, many: str) -> str:
    """A number and what it counts: `1 seat`, `1,200 seats`."""
    return f"{number:,} {one if number == 1 else many}"


def day(moment: datetime) -> str:
    """A day in UTC, as people write it: `31 May 2027`."""
    return f"{moment.astimezone(UTC).day} {moment.astimezone(UTC):%B %Y}"


def customer(customer_id: str | None, *, company_name: str | None) -> str:
    """Who has a license, as far as is known."""
    known_as = "a customer who is not known yet" if customer_id is None else f"customer {customer_id}"
    return known_as if company_name is None else f"{known_as} ({company_name})"


def aware_time(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """A time with its zone, in UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter("give a time such as 2026-03-03T14:03:00Z") from error
    if moment.tzinfo is None:
        raise click.BadParameter("say the zone too, such as in 2026-03-03T14:03:00Z")
    return moment.astimezone(UTC)


def license_id(
    _context: click.Context, _parameter: click.Parameter, text: str | Sequence[str]
) -> LicenseId | tuple[LicenseId, ...]:
    """One or more ids of licenses."""
    if isinstance(text, str):
        return _license_id(text)
    return tuple(_license_id(one) for one in text)


def _license_id(text: str) -> LicenseId:
    try:
        return LicenseId(str(uuid.UUID(text)))
    except ValueError as error:
        raise click.BadParameter("a license's id looks like 6f0c2b1e-2f5d-4a63-9d0c-0d6c1f6f7a10") from error
