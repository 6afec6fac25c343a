"""The command `licensing-ledger`."""

import sys

import click
from sqlalchemy.exc import SQLAlchemyError

from commands.consume import consume
from commands.doctor import doctor
from commands.history import history
from commands.keys import keys
from commands.lapse import lapse
from commands.project import project
from commands.reconcile import reconcile
from commands.sandbox import sandbox
from commands.serve import serve
from commands.settings import SettingIsWrongError
from commands.succeed import succeed
from ledger.envelope import EventTypeIsUnknownError, StoredEventDisagreesError
from ledger.errors import LedgerError
from ledger.store import StoreCannotOpenError, StoreError
from projections.kafka import KafkaUnusableError
from projections.views import LedgerHasAnotherHistoryError, RebuildWasOvertakenError, ViewsWereTakenOverError

REFUSED, USAGE = 1, 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="licensing-ledger")
def cli() -> None:
    """Keep the ledger of user licenses that customers buy on AWS Marketplace.

    Settings are environment variables named LEDGER_...; docs/settings.md lists them. Exit codes: 0 done, 1 refused or
    not found, 2 wrong usage or a setting that can't be used.
    """


for command in (serve, sandbox, consume, project, history, keys, doctor, reconcile, succeed, lapse):
    cli.add_command(command)


def main() -> None:
    """Run the command line; what goes wrong is one line that says what to do."""
    try:
        cli(standalone_mode=True)
    except (SettingIsWrongError, StoreCannotOpenError, KafkaUnusableError) as error:
        sys.exit(_told(str(error), USAGE))
    except (EventTypeIsUnknownError, StoredEventDisagreesError) as error:
        sys.exit(_told(str(error), REFUSED))
    except (ViewsWereTakenOverError, RebuildWasOvertakenError, LedgerHasAnotherHistoryError) as error:
        sys.exit(_told(str(error), REFUSED))
    except LedgerError as error:
        sys.exit(_told(error.detail, REFUSED))
    except StoreError as error:
        sys.exit(_told(f"The ledger's database can't be read: {error}.", REFUSED))
    except SQLAlchemyError as error:
        # Its text has what was asked, which may name a person.
        sys.exit(_told(f"The ledger's database can't be read: {type(error).__name__}.", REFUSED))


def _told(line: str, code: int) -> int:
    click.echo(f"licensing-ledger: {line}", err=True)
    return code
