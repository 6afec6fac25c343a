"""A consumer in a process of its own: `python -m tests.integration.consumers_process`, told what to do by one line.

The line is JSON: `url` of the database, `queue_url` or null, `kafka` with the topics or null, `sns_verify`,
`environment` of the sandbox, and `tokens` to register, which is done at the same time. It says `ready` when it
consumes, `registered` when the tokens are resolved, and stops on SIGTERM.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from consumers.kafka import KafkaInSettings, KafkaSource
from consumers.marketplace import Consumer, MarketplaceRegistration, MarketplaceSettings, aws_clients
from ledger.store.url import DatabaseUrl
from projections.kafka.connection import KafkaConnection
from tests.integration.consumers_stage import NOON, PRODUCT_CODE, open_ledger


def kafka_source(told: Mapping[str, str]) -> KafkaSource:
    """The topic with the messages."""
    connection = KafkaConnection(bootstrap=tuple(told["bootstrap"].split(",")))
    return KafkaSource.open(
        KafkaInSettings(
            connection=connection,
            messages_topic=told["messages_topic"],
            dead_letter_topic=told["dead_letter_topic"],
            group=told["group"],
        )
    )


def main() -> None:
    """Consume from noon on until told to stop."""
    begun = time.monotonic()

    def now() -> datetime:
        return NOON + timedelta(seconds=time.monotonic() - begun)

    told = json.loads(sys.stdin.readline())
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = MarketplaceSettings(
        queue_url=told["queue_url"],
        products={PRODUCT_CODE: frozenset({"users"})},
        sns_verify=told["sns_verify"],
    )
    ledger = open_ledger(DatabaseUrl.parse(told["url"]), clock=now)
    clients = aws_clients(told["environment"])
    registration = MarketplaceRegistration(ledger, settings, clients, now=now)

    def register() -> None:
        for number, token in enumerate(told["tokens"]):
            registration.resolve(token, cause=f"request-{number}")
        sys.stdout.write("registered\n")
        sys.stdout.flush()

    threading.Thread(target=register, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    source = None if told["kafka"] is None else kafka_source(told["kafka"])
    Consumer(ledger, settings, clients, now=now, source=source).run(stop)
    clients.close()
    ledger.close()


if __name__ == "__main__":
    main()
