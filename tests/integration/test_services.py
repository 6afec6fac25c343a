"""The servers that the other tests stand on."""

import itertools

import psycopg
import pytest
from kafka import KafkaConsumer, KafkaProducer

from tests.services import absent
from tests.services.kafka import SASL_PASSWORD, SASL_USERNAME, KafkaCluster
from tests.services.postgres import PostgresServer, installation


@pytest.mark.parametrize(("fixture", "version"), [("postgres", 15), ("postgres18", 18)])
def test_a_new_database_answers_over_tcp_and_by_the_socket(
    fixture: str, version: int, request: pytest.FixtureRequest
) -> None:
    """Both versions of PostgreSQL run, whoever runs the tests."""
    server: PostgresServer = request.getfixturevalue(fixture)
    server.create_database("answers")
    for url in (server.url("answers"), server.socket_url("answers")):
        with psycopg.connect(url) as connection:
            assert connection.info.server_version // 10_000 == version
            assert connection.info.encoding == "utf-8"
    server.drop_database("answers")


def test_a_server_stopped_as_by_a_power_failure_is_found_again_with_what_was_committed() -> None:
    """Its port stays, so that those who wait for it get back to it."""
    software = installation()
    if isinstance(software, str):
        absent(software)
    server = PostgresServer(software)
    try:
        server.start()
        server.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server.restart("immediate")
        assert server.execute("SELECT one FROM kept") == [(1,)]
    finally:
        server.remove()


def test_a_record_goes_through_kafka_in_each_way_it_lets_clients_in(kafka: KafkaCluster) -> None:
    """In the open, with a password, and by TLS."""
    kafka.create_topic("ways")
    sasl = {
        "bootstrap_servers": kafka.sasl_bootstrap,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": SASL_USERNAME,
        "sasl_plain_password": SASL_PASSWORD,
    }
    tls = {
        "bootstrap_servers": kafka.tls_bootstrap,
        "security_protocol": "SSL",
        "ssl_cafile": str(kafka.certificate),
        "ssl_certfile": str(kafka.certificate),
        "ssl_keyfile": str(kafka.key),
    }
    _send("ways", b"in the open", bootstrap_servers=kafka.bootstrap)
    _send("ways", b"with a password", **sasl)
    _send("ways", b"by TLS", **tls)
    assert _read("ways", 3, **tls) == [b"in the open", b"with a password", b"by TLS"]
    kafka.delete_topic("ways")


def test_a_record_outlives_the_broker_that_took_it(kafka_cluster: KafkaCluster) -> None:
    """Two of three brokers are enough, and the third catches up when it is back."""
    kafka_cluster.create_topic("outlives")
    _send("outlives", b"before", bootstrap_servers=kafka_cluster.bootstrap)
    killed = kafka_cluster.leader("outlives")
    kafka_cluster.kill(killed)
    _send("outlives", b"meanwhile", bootstrap_servers=kafka_cluster.bootstrap)
    kafka_cluster.start_broker(killed)
    kafka_cluster.await_in_sync("outlives")
    assert _read("outlives", 2, bootstrap_servers=kafka_cluster.bootstrap) == [b"before", b"meanwhile"]
    kafka_cluster.delete_topic("outlives")


def _send(topic: str, value: bytes, **options: str) -> None:
    producer = KafkaProducer(acks="all", **options)
    producer.send(topic, value).get(timeout=60)
    producer.close()


def _read(topic: str, count: int, **options: str) -> list[bytes]:
    consumer = KafkaConsumer(topic, auto_offset_reset="earliest", consumer_timeout_ms=60_000, **options)
    values = [record.value for record in itertools.islice(consumer, count)]
    consumer.close()
    return values
