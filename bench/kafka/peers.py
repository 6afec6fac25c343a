"""The peer: a loop that sends the same records, made beforehand, and waits for all of them at the end."""

import secrets
import time
from pathlib import Path

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from bench.kafka.events import ledger_with
from bench.load import Figures
from projections.kafka.records import Topic
from projections.kafka.topics import PARTITIONS, EventsTopic


def loop(
    _: Path, *, server: str, bootstrap: str, events: int, batch_bytes: int | None = None, linger_ms: int | None = None
) -> Figures:
    """Records per second of one idempotent producer without transactions, by the library's settings or by these."""
    name = f"bench-{secrets.token_hex(4)}"
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        made = {name: {"num_partitions": PARTITIONS, "replication_factor": -1}}
        admin.create_topics(made, wait_for_metadata=True)
    with ledger_with(events, server=server) as (ledger, _url):
        topic = Topic(name=name, topic_id="", partitions=PARTITIONS, cleanup=None, batch_bytes_max=None)
        out = EventsTopic(name, ledger_id=ledger.ledger_id, personal="full")
        records = out.records(ledger.feed(after=0, limit=ledger.head().position), topic)
    told = {"batch_size": batch_bytes, "linger_ms": linger_ms}
    options = {setting: value for setting, value in told.items() if value is not None}
    producer = KafkaProducer(bootstrap_servers=bootstrap, **options)
    # Whatever is asked of the brokers before the first record is not measured.
    producer.partitions_for(name)
    begin = time.perf_counter()
    sent = [
        producer.send(one.topic, one.value, key=one.key, headers=one.headers, partition=one.partition)
        for one in records
    ]
    producer.flush()
    seconds = time.perf_counter() - begin
    assert all(future.succeeded() for future in sent)
    producer.close()
    return {"per_second": len(records) / seconds}
