"""`licensing-ledger succeed`: an operator says which agreement follows behind a license."""

import click

from commands.parts import open_ledger, read_settings
from commands.texts import OPERATOR, license_id
from consumers.marketplace import MarketplaceOperating
from ledger.license.events import LicenseId, SuccessionReason
from ledger.succession import SuccessionPlan

_REASONS = [reason.value for reason in SuccessionReason]


@click.command()
@click.argument("license_id_", metavar="LICENSE", callback=license_id)
@click.option("--by", "key", required=True, help="The LicenseArn or agreement id that follows.")
@click.option("--reason", type=click.Choice(_REASONS), required=True, help="Why AWS does not link them.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
def succeed(*, license_id_: LicenseId, key: str, reason: str, yes: bool) -> None:
    """Let what has a key follow behind the license with the id LICENSE, which keeps its seats.

    It tells what that would do, and asks before it does it.
    """
    with open_ledger(read_settings()) as ledger:
        operating = MarketplaceOperating(ledger)
        plan = operating.preview(license_id_, key=key, caller=OPERATOR)
        for line in _told(plan):
            click.echo(line)
        if plan.follows_already:
            return
        if not yes:
            click.confirm("Do it?", abort=True)
        operating.succeed(license_id_, key=key, reason=SuccessionReason(reason), caller=OPERATOR)
    click.echo("Done. The number of seats follows when AWS has been read.")


def _told(plan: SuccessionPlan) -> list[str]:
    if plan.follows_already:
        return [f"{plan.value} stands behind license {plan.license_id} already. There is nothing to do."]
    told = [f"License {plan.license_id} keeps its seats, and goes on with {plan.value}."]
    if plan.agreement_id_after not in (None, plan.agreement_id_before):
        told.append(f"Agreement {plan.agreement_id_after} follows {plan.agreement_id_before or 'none that is known'}.")
    if plan.product_code_after != plan.product_code_before:
        told.append(f"Its product becomes {plan.product_code_after}; it was {plan.product_code_before}.")
    if plan.twin is not None:
        told.append(f"License {plan.twin}, which nobody has used, is folded into it and disappears from the lists.")
    return told
