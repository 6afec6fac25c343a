"""`licensing-ledger consume`: append what AWS Marketplace says, in a process of its own."""

import click

from commands.parts import access_policy, marketplace_settings, open_ledger, read_settings
from commands.settings import SQS_QUEUE_URL
from commands.stopping import stop_on_signals
from consumers.marketplace import Consumer, aws_clients
from ledger.times import system_now


@click.group()
def consume() -> None:
    """Append what AWS Marketplace says."""


@consume.command()
def sqs() -> None:
    """Consume the messages of the SQS queue LEDGER_SQS_QUEUE_URL until stopped."""
    settings = read_settings()
    marketplace = marketplace_settings(settings)
    queue_url = settings[SQS_QUEUE_URL]
    stop = stop_on_signals()
    with open_ledger(settings) as ledger:
        ledger.set_access_policy(access_policy(settings))
        click.echo(f"Consuming {queue_url}", err=True)
        Consumer(ledger, marketplace, aws_clients(), now=system_now).run(stop)
