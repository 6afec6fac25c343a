"""`licensing-ledger lapse`: an operator says that a contract has ended."""

import click

from commands.parts import open_ledger, read_settings
from commands.texts import OPERATOR, license_id
from consumers.marketplace import MarketplaceOperating
from ledger.license.events import LapseReason, LicenseId


@click.command()
@click.argument("license_id_", metavar="LICENSE", callback=license_id)
@click.option(
    "--reason", type=click.Choice([reason.value for reason in LapseReason]), required=True, help="How it ended."
)
@click.option("--yes", is_flag=True, help="Do it without asking.")
def lapse(*, license_id_: LicenseId, reason: str, yes: bool) -> None:
    """Record that the contract of the license with the id LICENSE has ended. Users keep their seats.

    If AWS shows seats of it again, it resumes by itself.
    """
    with open_ledger(read_settings()) as ledger:
        license_ = ledger.past.license_now(license_id_)
        if not yes:
            active = license_.seats_active
            click.confirm(f"Nobody of {active} active users can use the client afterwards. Do it?", abort=True)
        ran = MarketplaceOperating(ledger).lapse(license_id_, reason=LapseReason(reason), caller=OPERATOR)
    click.echo("Done. Nobody can use the client." if ran else "It does not run. There is nothing to do.")
