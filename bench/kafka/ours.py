"""The ledger's publisher."""

import secrets
import threading
import time
from pathlib import Path

from bench.kafka.events import ledger_with
from bench.load import Figures
from projections.kafka import KafkaConnection, Publisher, PublisherSettings
from projections.views import Views, ViewsSettings

_LOOK_SECONDS = 0.01


def publisher(_: Path, *, server: str, bootstrap: str, events: int) -> Figures:
    """Events per second from the ledger to a topic that is empty at first, until all are known to be there."""
    settings = PublisherSettings(
        connection=KafkaConnection(bootstrap=tuple(bootstrap.split(","))),
        events_topic=f"bench-{secrets.token_hex(4)}",
        licenses_topic=None,
    )
    with ledger_with(events, server=server) as (ledger, url):
        views = Views.open(ViewsSettings(url=url), ledger)
        made, stop = Publisher.open(settings, ledger, views), threading.Event()
        thread = threading.Thread(target=made.run, args=(stop,))
        begin = time.perf_counter()
        thread.start()
        while (status := made.status()).lag_events and status.stopped is None:
            time.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - begin
        stop.set()
        thread.join()
        views.stop()
        assert status.position == ledger.head().position, status
        return {"per_second": status.position / seconds}
