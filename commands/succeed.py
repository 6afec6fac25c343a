"""`licensing-ledger succeed`: an operator says which agreement follows behind a license."""

from collections.abc import Iterator
from datetime import datetime

import click

from commands.parts import open_ledger, read_settings
from commands.texts import OPERATOR, counted, customer, day, license_id
from consumers.marketplace import MarketplaceOperating
from ledger.license.events import LicenseId, SuccessionReason
from ledger.succession import SuccessionPlan

_REASON = click.Choice([reason.value for reason in SuccessionReason])


@click.command()
@click.argument("license_id_", metavar="LICENSE", callback=license_id)
@click.option("--by", "key", required=True, help="The LicenseArn or agreement id that follows.")
@click.option("--reason", type=_REASON, help="Why AWS does not link them; asked for if it is not given.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
def succeed(*, license_id_: LicenseId, key: str, reason: str | None, yes: bool) -> None:
    """Let what has a key follow behind the license with the id LICENSE, which goes on with its users.

    It tells what that would do, and asks before it does it.
    """
    if yes and reason is None:
        raise click.UsageError("Say why: with --yes nothing is asked, so give --reason.")
    with open_ledger(read_settings()) as ledger:
        operating = MarketplaceOperating(ledger)
        plan = operating.preview(license_id_, key=key, caller=OPERATOR)
        for line in _told(plan):
            click.echo(line)
        if plan.follows_already:
            return
        told = SuccessionReason(reason or click.prompt("Why does AWS not link them", type=_REASON))
        if not yes:
            click.confirm("Do it?", abort=True)
        operating.succeed(license_id_, key=key, reason=told, caller=OPERATOR)
    click.echo("Done. The number of seats follows when AWS has been read.")


def _told(plan: SuccessionPlan) -> Iterator[str]:
    if plan.follows_already:
        yield f"{plan.value} stands behind license {plan.license_id} already. There is nothing to do."
        return
    whose = customer(plan.customer_id_before, company_name=plan.company_name)
    users = counted(plan.seats_active, "user has a seat", "users have a seat")
    yield f"License {plan.license_id} of {whose}: {_bought(plan.seats_max_before, plan.renews_at_before)}, {users}."
    yield f"It goes on with {plan.value}: {_bought(plan.seats_max_after, plan.renews_at_after)}."
    if plan.is_of_another:
        yield f"ATTENTION: {plan.value} is of another customer, {plan.customer_id_after}."
    if plan.agreement_id_after not in (None, plan.agreement_id_before):
        yield f"Agreement {plan.agreement_id_after} follows {plan.agreement_id_before or 'none that is known'}."
    if plan.product_code_after != plan.product_code_before:
        yield f"Its product becomes {plan.product_code_after}; it was {plan.product_code_before}."
    if plan.twin is not None:
        yield f"License {plan.twin}, which no user needs, is folded into it and disappears from the lists."
    yield from _what_becomes_of_users(plan)


def _what_becomes_of_users(plan: SuccessionPlan) -> Iterator[str]:
    if not plan.seats_deleted:
        yield "Its users keep their seats."
        return
    deleted = counted(plan.seats_deleted, "user is", "users are")
    yield (
        f"ATTENTION: all {deleted} deleted as soon as AWS shows no more seats of the contract before. They sign in"
        f" afresh, up to the new number. To keep them, block or delete"
        f" {counted(plan.must_free_first, 'user', 'users')} first."
    )


def _bought(seats_max: int | None, renews_at: datetime | None) -> str:
    if seats_max is None or renews_at is None:
        return "no seats that are known now"
    return f"{counted(seats_max, 'seat', 'seats')} until {day(renews_at)}"
