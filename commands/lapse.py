"""`licensing-ledger lapse`: an operator says that a contract has ended."""

import click

from commands.parts import open_ledger, read_settings
from commands.texts import OPERATOR, counted, customer, day, license_id
from consumers.marketplace import MarketplaceOperating
from ledger.errors import LicenseIsFoldedError, LicenseIsNotFoundError
from ledger.license.events import LapseReason, LicenseId
from ledger.license.holding import holder_of
from ledger.license.state import License


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
        if not license_.issued:
            raise LicenseIsNotFoundError
        if license_.folded_into is not None:
            raise LicenseIsFoldedError(license_.folded_into)
        if license_.running is None:
            click.echo("It does not run. There is nothing to do.")
            return
        if not yes:
            click.echo(_told(license_))
            click.confirm("Record that it has ended?", abort=True)
        MarketplaceOperating(ledger).lapse(license_id_, reason=LapseReason(reason), caller=OPERATOR)
    click.echo("Done.")


def _told(license_: License) -> str:
    running, active = license_.running, license_.seats_active
    whose = customer(holder_of(license_.names).customer_id, company_name=license_.company_name)
    bought = "" if running is None else f"{counted(running.seats_max, 'seat', 'seats')} until {day(running.renews_at)}"
    users = "Nobody has a seat" if not active else f"Its {counted(active, 'user', 'users')} can't use the client then"
    return f"License {license_.license_id} of {whose}: {bought}. {users}."
