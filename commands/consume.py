"""`licensing-ledger consume`: append what AWS Marketplace says, in a process of its own."""

import click

from commands.parts import access_policy, kafka_in_settings, marketplace_settings, open_ledger, read_settings
from commands.settings import SQS_QUEUE_URL, Settings
from commands.stopping import stop_at_once, stop_on_signals
from consumers.kafka import Forwarder, KafkaSource
from consumers.marketplace import Consumer, MarketplaceSettings, aws_clients
from consumers.marketplace.sources import Source
from consumers.marketplace.sqs import SqsQueue
from ledger.times import system_now


@click.group()
def consume() -> None:
    """Append what AWS Marketplace says."""


@consume.command()
@click.option("--to-kafka", is_flag=True, help="Bring the messages to LEDGER_KAFKA_MESSAGES_TOPIC instead.")
def sqs(*, to_kafka: bool) -> None:
    """Consume the messages of the SQS queue LEDGER_SQS_QUEUE_URL until stopped."""
    settings = read_settings()
    queue_url = settings[SQS_QUEUE_URL]
    if to_kafka:
        _forward(settings, queue_url=queue_url)
        return
    _consume(settings, marketplace_settings(settings), source=None, told=queue_url)


@consume.command(name="kafka")
def from_kafka() -> None:
    """Consume the messages of the Kafka topic LEDGER_KAFKA_MESSAGES_TOPIC until stopped."""
    settings = read_settings()
    marketplace, told = marketplace_settings(settings), kafka_in_settings(settings)
    _consume(settings, marketplace, source=KafkaSource.open(told), told=f"the topic {told.messages_topic}")


def _consume(settings: Settings, marketplace: MarketplaceSettings, *, source: Source | None, told: str) -> None:
    stop = stop_on_signals()
    with open_ledger(settings, on_fatal=stop_at_once) as ledger:
        ledger.set_access_policy(access_policy(settings))
        click.echo(f"Consuming {told}", err=True)
        Consumer(ledger, marketplace, aws_clients(), now=system_now, source=source).run(stop)


def _forward(settings: Settings, *, queue_url: str) -> None:
    """It needs no ledger: the queue's messages are the topic's."""
    told = kafka_in_settings(settings)
    stop = stop_on_signals()
    forwarder = Forwarder.open(told, SqsQueue(aws_clients().sqs, queue_url=queue_url))
    click.echo(f"Bringing the messages of {queue_url} to the topic {told.messages_topic}", err=True)
    forwarder.run(stop)
