"""A Kafka that can't be used as it is configured: one line that says what to do, and nothing published wrongly."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from ledger.license import events
from ledger.license.events import LicenseId, Personal
from ledger.transaction import Transaction, Work
from projections.kafka import KafkaConnection, KafkaIsAwayError, KafkaUnusableError, Publisher
from tests.integration.kafka_out_stage import (
    PARTITIONS,
    Stage,
    open_ledger,
    open_views,
    running,
    set_up,
    sqlite_in,
    wait_published,
    wait_until,
)
from tests.services.kafka import SASL_PASSWORD, SASL_USERNAME, KafkaCluster
from tests.services.processes import free_port
from tests.stories import CONTACT, MARKETPLACE


@pytest.fixture
def stage(kafka: KafkaCluster, tmp_path: Path) -> Iterator[Stage]:
    """A ledger with a license, and topics that are not made yet."""
    with set_up(kafka, sqlite_in(tmp_path)) as made:
        made.buy(1)
        yield made


def says(publisher: Publisher, words: str) -> None:
    """Wait until the publisher stops for this."""
    wait_until(lambda: words in str(publisher.status().stopped), what=f"{words!r}, not {publisher.status().stopped!r}")


def refusal(stage: Stage, tmp_path: Path, **told: Any) -> str:  # noqa: ANN401 -- of a connection
    """What a publisher says that can't connect so."""
    connection = KafkaConnection(**told)
    with (
        set_up(stage.cluster, sqlite_in(tmp_path / "other"), connection=connection) as other,
        pytest.raises(KafkaUnusableError) as refused,
    ):
        other.publisher()
    assert not isinstance(refused.value, KafkaIsAwayError)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A folder for another ledger."""
    (tmp_path / "other").mkdir()
    return tmp_path


def test_brokers_that_want_tls_are_named(stage: Stage, other: Path) -> None:
    """The setting is named that has to be set."""
    words = refusal(stage, other, bootstrap=(stage.cluster.tls_bootstrap,))
    assert "speaks TLS" in words
    assert "LEDGER_KAFKA_SECURITY_PROTOCOL" in words


def test_brokers_without_tls_are_named(stage: Stage, other: Path) -> None:
    """TLS is set, and the port takes none."""
    words = refusal(stage, other, bootstrap=(stage.cluster.bootstrap,), security_protocol="SSL")
    assert "takes no TLS" in words


def test_a_certificate_that_is_not_trusted_is_named(stage: Stage, other: Path) -> None:
    """The authority's file is not set."""
    words = refusal(stage, other, bootstrap=(stage.cluster.tls_bootstrap,), security_protocol="SSL")
    assert "not trusted" in words
    assert "LEDGER_KAFKA_SSL_CAFILE" in words


def test_a_file_that_is_missing_is_named(stage: Stage, other: Path) -> None:
    """Before any broker is asked."""
    told = {"bootstrap": (stage.cluster.tls_bootstrap,), "security_protocol": "SSL", "ssl_cafile": str(other / "none")}
    assert "LEDGER_KAFKA_SSL_CAFILE" in refusal(stage, other, **told)


def test_brokers_that_want_sasl_are_named(stage: Stage, other: Path) -> None:
    """What they offer is told."""
    assert "wants SASL (PLAIN)" in refusal(stage, other, bootstrap=(stage.cluster.sasl_bootstrap,))


def test_a_mechanism_that_the_brokers_lack_is_named(stage: Stage, other: Path) -> None:
    """What they offer is told."""
    told = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": SASL_USERNAME, "sasl_password": SASL_PASSWORD}
    words = refusal(stage, other, bootstrap=(stage.cluster.sasl_bootstrap,), security_protocol="SASL_PLAINTEXT", **told)
    assert "It offers PLAIN" in words


def test_a_wrong_password_is_named(stage: Stage, other: Path) -> None:
    """But not shown."""
    told = {"sasl_mechanism": "PLAIN", "sasl_username": SASL_USERNAME, "sasl_password": "guessed"}
    words = refusal(stage, other, bootstrap=(stage.cluster.sasl_bootstrap,), security_protocol="SASL_PLAINTEXT", **told)
    assert "LEDGER_KAFKA_SASL_PASSWORD" in words
    assert "guessed" not in words


@pytest.mark.parametrize("protocol", ["SSL", "SASL_PLAINTEXT"])
def test_what_the_brokers_want_is_enough(stage: Stage, other: Path, protocol: str) -> None:
    """With TLS, and with a user name and password, everything arrives."""
    cluster = stage.cluster
    connection = KafkaConnection(
        bootstrap=(cluster.tls_bootstrap if protocol == "SSL" else cluster.sasl_bootstrap,),
        security_protocol=protocol,
        sasl_mechanism=None if protocol == "SSL" else "PLAIN",
        sasl_username=SASL_USERNAME,
        sasl_password=SASL_PASSWORD,
        ssl_cafile=str(cluster.certificate),
    )
    with set_up(cluster, sqlite_in(other / "other"), connection=connection) as signed_in:
        signed_in.buy(2)
        with signed_in.publishing() as publisher:
            wait_published(publisher)
        signed_in.assert_published()


def test_absent_brokers_are_waited_for(stage: Stage, other: Path) -> None:
    """The process starts all the same, and says which part is not there."""
    connection = KafkaConnection(bootstrap=(f"127.0.0.1:{free_port()}",))
    with set_up(stage.cluster, sqlite_in(other / "other"), connection=connection) as waiting:
        publisher = waiting.publisher()
        assert "No Kafka broker answers" in str(publisher.status().stopped)
        with running(publisher):
            says(publisher, "No Kafka broker answers")


def test_an_events_topic_that_is_compacted_is_refused(stage: Stage) -> None:
    """All but the last event of each license would be lost."""
    stage.cluster.create_topic(stage.events_topic, configs={"cleanup.policy": "compact"})
    with pytest.raises(KafkaUnusableError, match=f"topic {stage.events_topic} is compacted"):
        stage.publisher()


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_licenses_topic_that_is_not_compacted_is_refused(stage: Stage, policy: str) -> None:
    """Licenses of which nothing happens would be forgotten."""
    stage.cluster.create_topic(stage.licenses_topic, configs={"cleanup.policy": policy})
    with pytest.raises(KafkaUnusableError, match="is not compacted"):
        stage.publisher()


def test_another_number_of_partitions_is_refused(stage: Stage) -> None:
    """Whether they were added before or while it runs: the events of a license would stand in two partitions."""
    stage.make_topics()
    with stage.publishing() as publisher:
        wait_published(publisher)
        with stage.cluster.admin() as admin:
            admin.create_partitions({stage.events_topic: PARTITIONS + 1})
        says(publisher, f"has {PARTITIONS + 1} partitions now and had {PARTITIONS}")
    with pytest.raises(KafkaUnusableError, match="Make another topic"):
        stage.publisher()


def test_the_topic_of_another_ledger_is_refused(stage: Stage, other: Path) -> None:
    """Positions of two ledgers in one topic could not be told apart."""
    with stage.publishing() as publisher:
        wait_published(publisher)
        wait_until(lambda: len(stage.read().watermarks) == 12, what="watermarks")
    elsewhere = sqlite_in(other / "other")
    with (
        set_up(stage.cluster, elsewhere, events_topic=stage.events_topic, licenses_topic=None) as second,
        pytest.raises(KafkaUnusableError, match="Give each ledger a topic of its own"),
    ):
        second.publisher()


def register(stage: Stage, license_id: LicenseId, *, company_name: str) -> None:
    """A company says who it is."""
    registered = events.CompanyRegistered(company_name=company_name, contact=Personal("contact", CONTACT))

    def decide(transaction: Transaction) -> None:
        transaction.append(license_id, [registered])

    stage.ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,)))


def test_an_event_too_large_for_the_topic_stops_it_until_the_topic_takes_it(stage: Stage) -> None:
    """What comes before is published; the line names position and type; nothing overtakes it."""
    stage.cluster.create_topic(stage.events_topic, partitions=PARTITIONS, configs={"max.message.bytes": "4000"})
    stage.sign_in(50)
    register(stage, stage.licenses[0], company_name="Long and Sons, " * 400)
    too_large = stage.ledger.head().position
    stage.sign_in(50)
    with stage.publishing() as publisher:
        says(publisher, f"The event at position {too_large} (license.company-registered) is too large")
        assert stage.read().positions == [*range(1, too_large)]
        with stage.cluster.admin() as admin:
            larger = {"max.message.bytes": "1000000"}
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, stage.events_topic, larger)])
        wait_published(publisher)
        wait_until(lambda: publisher.status().stopped is None, what="it to go on")
    stage.assert_published()


def test_a_topic_made_again_while_running_gets_everything_anew(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said loudly, and the order is kept: the first event comes first."""
    stage.make_topics()
    stage.sign_in(100)
    with stage.publishing() as publisher:
        wait_published(publisher)
        for topic in (stage.events_topic, stage.licenses_topic):
            stage.cluster.delete_topic(topic)
        says(publisher, "was taken away. Make it again")
        stage.make_topics(partitions=PARTITIONS + 2)
        head = stage.ledger.head().position
        wait_until(lambda: set(stage.read().watermarks.values()) == {head}, what="everything again")
        wait_until(lambda: publisher.status().stopped is None, what="it to go on")
        stage.sign_in(10)
        wait_published(publisher)
    assert stage.assert_published().dropped == 0
    assert "was made again" in capsys.readouterr().out


def test_a_backup_restored_under_a_running_publisher_is_noticed(stage: Stage) -> None:
    """The head went back: readers have events that are no more, so nothing else is told to them."""
    stage.sign_in(100)
    with stage.publishing() as publisher:
        wait_published(publisher)
        _go_back(stage, events=50)
        says(publisher, "was restored from a backup")
    assert len(stage.read().positions) == len(stage.everything()) + 50


def test_a_backup_that_went_on_differently_is_noticed_at_the_next_start(stage: Stage, tmp_path: Path) -> None:
    """The saved place was restored too, so what the brokers have is held against the ledger."""
    stage.sign_in(20, at_once=1)
    with stage.publishing() as publisher:
        wait_published(publisher)
        backup = tmp_path / "backup.db"
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as source:
            source.execute("VACUUM INTO ?", (str(backup),))
        stage.sign_in(20, at_once=1)
        wait_published(publisher)
    stage.views.stop()
    stage.ledger.close()
    for left in tmp_path.glob("ledger.*"):
        left.unlink()
    backup.rename(tmp_path / "ledger.db")
    stage.ledger = open_ledger(stage.url)
    stage.views = open_views(stage.url, stage.ledger)
    stage.sign_in(30, at_once=1)
    published = stage.read().positions
    with stage.publishing() as publisher:
        says(publisher, "was restored from a backup")
    assert stage.read().positions == published


def _go_back(stage: Stage, *, events: int) -> None:
    """What is there is taken away from under the ledger, as a restored backup does."""
    assert stage.url.sqlite_path is not None
    with contextlib.closing(sqlite3.connect(stage.url.sqlite_path, isolation_level=None)) as database:
        head = stage.ledger.head().position - events
        database.execute("DELETE FROM stored_events WHERE position > ?", (head,))
        database.execute("UPDATE head SET position = ?", (head,))
