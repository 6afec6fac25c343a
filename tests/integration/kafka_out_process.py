"""A publisher in a process of its own: `python -m tests.integration.kafka_out_process`, told what to do by one line.

The line is JSON: `url` of the database, `bootstrap`, `events_topic` and `licenses_topic`. It says `ready` when it is
about to publish, what else it has to say on standard error, and stops on SIGTERM. The views are for others to keep.
"""

import json
import signal
import sys
import threading

from commands.logs import configure_logs
from ledger.store.url import DatabaseUrl
from projections.kafka import KafkaConnection, Publisher, PublisherSettings
from tests.integration.kafka_out_stage import open_ledger, open_views


def main() -> None:
    """Publish until told to stop."""
    configure_logs(level="info", format_="json")
    told = json.loads(sys.stdin.readline())
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    url = DatabaseUrl.parse(told["url"])
    ledger = open_ledger(url)
    views = open_views(url, ledger)
    settings = PublisherSettings(
        connection=KafkaConnection(bootstrap=tuple(told["bootstrap"].split(","))),
        events_topic=told["events_topic"],
        licenses_topic=told["licenses_topic"],
    )
    publisher = Publisher.open(settings, ledger, views)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    publisher.run(stop)
    views.stop()
    ledger.close()


if __name__ == "__main__":
    main()
