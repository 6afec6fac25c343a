"""AWS's messages through a real Kafka: the same inbox, nothing twice, nothing lost, and what becomes of bad ones."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata
from sqlalchemy.exc import SQLAlchemyError

from consumers.kafka import KafkaInSettings, KafkaSource
from consumers.kafka import source as kafka_source
from consumers.marketplace import Consumer
from consumers.marketplace.inbox import Inbox
from consumers.marketplace.sources import SourceFailedError
from consumers.sandbox import Generation
from projections.kafka.connection import KafkaUnusableError
from tests.integration.consumers_stage import BOUGHT, ENGINES, Stage, database, staged, unverified
from tests.integration.kafka_in_stage import Topics, connection_to, consuming, forwarder, topics_on
from tests.integration.test_consumers_together import beside, running, wait_for
from tests.services import absent
from tests.services.kafka import SASL_PASSWORD, SASL_USERNAME, KafkaCluster, installation

MEBIBYTE = 1_048_576


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A ledger with the patience of production; legacy notifications come without an id of their own."""
    with database(request.param, tmp_path) as url, staged(url, raw_delivery=True, change=unverified) as stage:
        yield stage


@pytest.fixture
def topics(kafka: KafkaCluster) -> Iterator[Topics]:
    """Topics of this test alone; that of messages takes larger records than that of dead letters."""
    with topics_on(kafka, message_bytes_max=8 * MEBIBYTE) as topics:
        yield topics


def consume_until(consumer: Consumer, holds: Callable[[], bool]) -> None:
    """Consume until something holds, and then until nothing is left to do."""

    def turned() -> bool:
        consumer.run_once()
        return holds()

    wait_for(turned)
    while consumer.run_once():
        pass


def test_a_contract_is_lived_through_kafka(stage: Stage, topics: Topics) -> None:
    """The queue is brought to the topic, and from there on nothing differs."""
    contract = stage.buy(seats=5)
    forward = forwarder(stage, topics.settings)
    while forward.forward(wait_seconds=0):
        pass
    assert stage.queue_is_empty()
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: len(stage.inbox()) == 2)
        assert stage.events() == BOUGHT
        stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
        while forward.forward(wait_seconds=0):
            pass
        consume_until(consumer, lambda: len(stage.inbox()) > 2)
    forward.close()
    assert stage.license().seats_max == 8
    assert set(stage.statuses()) == {"done"}
    assert topics.committed() == len(stage.inbox())


def test_messages_about_one_agreement_stay_in_order(stage: Stage, topics: Topics) -> None:
    """They have one key, and so lie in one partition."""
    contracts = [stage.buy(seats=5) for _ in range(4)]
    for contract in contracts:
        stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
    forward = forwarder(stage, topics.settings)
    while forward.forward(wait_seconds=0):
        pass
    forward.close()
    records = topics.everything_in(topics.settings.messages_topic)
    assert {record.key for record in records} == {contract.agreement_id.encode() for contract in contracts}
    for contract in contracts:
        ours = [record for record in records if record.key == contract.agreement_id.encode()]
        assert len({record.partition for record in ours}) == 1
        newest_first = [m.body for m in stage.sandbox.marketplace.messages if m.agreement_id == contract.agreement_id]
        assert [record.value.decode() for record in ours] == newest_first[::-1]


def test_what_is_read_again_adds_nothing(stage: Stage, topics: Topics) -> None:
    """Neither messages with an id of their own, nor those known by their place alone."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.buy(seats=5)
    bodies = stage.held_back()
    topics.put_all(bodies)
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: len(stage.inbox()) == len(bodies))
    before = (stage.inbox(), stage.events())
    rewind(topics)
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=6)
    (news,) = stage.held_back()
    topics.put_all([news])
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: len(stage.inbox()) > len(bodies))
    assert stage.inbox()[: len(bodies)] == before[0]
    assert stage.events() == [*before[1], "seat-limit-raised"]


def rewind(topics: Topics) -> None:
    """Tell the group to read everything again, as an operator would."""
    consumer = KafkaConsumer(bootstrap_servers=topics.cluster.bootstrap, group_id=topics.settings.group)
    partitions = [TopicPartition(topics.settings.messages_topic, number) for number in range(4)]
    consumer.assign(partitions)
    consumer.commit({partition: OffsetAndMetadata(0, "", -1) for partition in partitions})
    consumer.close(autocommit=False)


def test_a_message_is_known_whichever_way_it_came(stage: Stage, topics: Topics) -> None:
    """One that came from the queue itself adds nothing when it comes through Kafka too, and the other way round."""
    stage.buy(seats=5, generation=Generation.LEGACY)
    forward = forwarder(stage, topics.settings)
    stage.clients.sqs.set_queue_attributes(QueueUrl=stage.sandbox.queue_url, Attributes={"VisibilityTimeout": "0"})

    def not_deleted(**_: object) -> None:
        raise RuntimeError

    stage.clients.sqs.meta.events.register("before-call.sqs.DeleteMessageBatch", not_deleted)
    with pytest.raises(RuntimeError):
        forward.forward(wait_seconds=0)
    stage.clients.sqs.meta.events.unregister("before-call.sqs.DeleteMessageBatch", not_deleted)
    forward.close()
    stage.consume()
    before = (stage.inbox(), stage.events())
    assert [status for status, _ in before[0]] == ["done", "done"]
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: topics.committed() == 2)
    assert (stage.inbox(), stage.events()) == before


BAD_MESSAGES: dict[str, tuple[bytes | None, str]] = {
    "no value": (None, "The record has no value."),
    "empty": (b"", "The message is not JSON."),
    "not utf-8": (b'{"action": "\xff\xfe"}', "The message is not UTF-8."),
    "a nul": (b'{"action": "\x00"}', "The message holds characters that are none of a text."),
    "not json": (b"Ada Lovelace", "The message is not JSON."),
    "not an object": (b"[1, 2]", "The message is not a JSON object."),
    "deep": (b"[" * 100_000, "The message is not JSON."),
    "too long": (b"x" * (2 * MEBIBYTE), "The message is longer than any of AWS Marketplace."),
    "much too long": (b"x" * (5 * MEBIBYTE), "The message is longer than any of AWS Marketplace."),
    "unknown": (b'{"action": "grow"}', 'The action "grow" is not known.'),
    "of no calendar": (
        b'{"Message": "{}", "Timestamp": "9999-12-31T23:59:59-08:00"}',
        "The message has neither a detail-type nor an action.",
    ),
}


def test_a_bad_message_is_kept_and_copied_to_the_dead_letter_topic_once(stage: Stage, topics: Topics) -> None:
    """Each kind of them, with the reason and where it came from; what comes behind it is worked on."""
    stage.buy(seats=5)
    for value, _ in BAD_MESSAGES.values():
        topics.put(value, headers=[("source", b"somebody"), ("reason", b"none of ours")])
    topics.put_all(stage.held_back())
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: len(stage.inbox()) == len(BAD_MESSAGES) + 2)
    reasons = [reason for _, reason in BAD_MESSAGES.values()]
    assert stage.inbox() == [*(("failed", reason) for reason in reasons), ("done", None), ("done", None)]
    assert stage.events() == BOUGHT
    letters = topics.dead_letters()
    assert [letter.headers["reason"] for letter in letters] == reasons
    assert [letter.headers["original-offset"] for letter in letters] == [str(n) for n in range(len(BAD_MESSAGES))]
    for letter, (value, _) in zip(letters, BAD_MESSAGES.values(), strict=True):
        assert letter.key == b"engines"
        assert letter.headers["source"] == "somebody"
        assert letter.headers["original-topic"] == topics.settings.messages_topic
        assert int(letter.headers["original-partition"]) in range(4)
        assert int(letter.headers["original-timestamp"]) > 0
        assert letter.headers["dead-lettered-at"] == "2026-11-24T12:00:00.000Z"
        if value is not None and len(value) > MEBIBYTE:
            assert (letter.value, letter.headers["value-left-out"]) == (None, f"{len(value)} bytes")
        else:
            assert letter.value == value
    rewind(topics)
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: topics.committed() == len(BAD_MESSAGES) + 2)
    assert topics.dead_letters() == letters
    assert len(stage.inbox()) == len(BAD_MESSAGES) + 2


def test_without_a_dead_letter_topic_a_bad_message_is_kept(stage: Stage, topics: Topics) -> None:
    """As it is with the queue."""
    topics.put(b"Ada Lovelace")
    with consuming(stage, replace(topics.settings, dead_letter_topic=None)) as consumer:
        consume_until(consumer, lambda: bool(stage.inbox()))
    assert stage.inbox() == [("failed", "The message is not JSON.")]


def test_nothing_is_committed_that_has_no_dead_letter(stage: Stage, topics: Topics) -> None:
    """Where the topic for them is away, everything waits, and is told of."""
    assert topics.settings.dead_letter_topic is not None
    topics.put(b"Ada Lovelace")
    with consuming(stage, topics.settings) as consumer:
        topics.cluster.delete_topic(topics.settings.dead_letter_topic)
        with pytest.raises(SourceFailedError):
            consume_until(consumer, lambda: False)
        assert (stage.inbox(), topics.committed()) == ([], 0)
        with pytest.raises(SourceFailedError, match="has no topic dead-letters-"):
            consumer.run_once()
        topics.cluster.create_topic(topics.settings.dead_letter_topic)
        consume_until(consumer, lambda: bool(stage.inbox()))
    assert [letter.value for letter in topics.dead_letters()] == [b"Ada Lovelace"]


def test_nothing_is_committed_that_is_not_stored(stage: Stage, topics: Topics) -> None:
    """What the database did not take is read again, by the same process."""
    stage.buy(seats=5)
    topics.put_all(stage.held_back())
    source = KafkaSource.open(topics.settings)
    inbox = Inbox(stage.ledger, stage.settings, stage.lineages, observe=lambda *_: True)
    beside(stage.url, "ALTER TABLE marketplace_inbox RENAME TO out_of_reach")
    with pytest.raises(SQLAlchemyError):
        wait_for(lambda: source.take(inbox, wait_seconds=1))
    assert topics.committed() == 0
    beside(stage.url, "ALTER TABLE out_of_reach RENAME TO marketplace_inbox")
    wait_for(lambda: source.take(inbox, wait_seconds=1))
    source.close()
    assert topics.committed() == 2
    stage.consume()
    assert stage.events() == BOUGHT


def test_nothing_is_committed_over_which_the_program_fails(
    stage: Stage, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is read again; what comes behind it does not carry it off unread."""
    stage.buy(seats=5)
    topics.put_all(stage.held_back())
    source = KafkaSource.open(topics.settings)
    inbox = Inbox(stage.ledger, stage.settings, stage.lineages, observe=lambda *_: True)
    with monkeypatch.context() as broken:
        broken.setattr(kafka_source, "read", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            wait_for(lambda: source.take(inbox, wait_seconds=1))
    wait_for(lambda: source.take(inbox, wait_seconds=1))
    source.close()
    assert (len(stage.inbox()), topics.committed()) == (2, 2)


def test_a_topic_that_is_made_again_is_read_from_its_beginning(
    stage: Stage, topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though more lies in it than was read of the one before; it is said loudly, and nothing is applied twice."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    bodies = stage.held_back()
    topics.put_all(bodies)
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: len(stage.inbox()) == 2)
        before = stage.events()
        topics.make_anew()
        stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=6)
        (news,) = stage.held_back()
        topics.put_all([news, *bodies, "Ada Lovelace"])
        wait_for(lambda: took(consumer) and len(stage.inbox()) == 6)
        consume_until(consumer, lambda: stage.license().seats_max == 6)
    assert stage.statuses() == ["done"] * 5 + ["failed"]
    assert stage.events() == [*before, "seat-limit-raised"]
    assert [letter.headers["original-offset"] for letter in topics.dead_letters()] == ["3"]
    assert capsys.readouterr().out.count("deleted and made again") >= 1


def took(consumer: Consumer) -> bool:
    """Take a turn; a topic that is just away is told of, and waited for."""
    try:
        consumer.run_once()
    except SourceFailedError:
        return False
    return True


def test_a_topic_that_was_made_again_meanwhile_is_read_from_its_beginning(
    stage: Stage, topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where an operator gave the group its offsets back, they are known to be those of the topic before."""
    stage.buy(seats=5)
    bodies = stage.held_back()
    topics.put_all(bodies)
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: topics.committed() == 2)
    consumer_of_group = KafkaConsumer(bootstrap_servers=topics.cluster.bootstrap, group_id=topics.settings.group)
    partitions = [TopicPartition(topics.settings.messages_topic, number) for number in range(4)]
    committed = {one: told for one in partitions if (told := consumer_of_group.committed(one, metadata=True))}
    topics.make_anew()
    stage.buy(seats=3)
    topics.put_all([*stage.held_back(), *bodies])
    consumer_of_group.assign(partitions)
    consumer_of_group.commit(committed)
    consumer_of_group.close(autocommit=False)
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: len(stage.inbox()) == 4)
    assert stage.events() == BOUGHT * 2
    assert "made again since it was read last" in capsys.readouterr().out


def test_messages_that_were_deleted_unread_are_told_of(
    stage: Stage, topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left is read."""
    topics.put_all(["1", "2"])
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: len(stage.inbox()) == 2)
    topics.put_all(["3", "4", "5", "6"])
    (partition,) = {record.partition for record in topics.everything_in(topics.settings.messages_topic)}
    with topics.cluster.admin() as admin:
        admin.delete_records({TopicPartition(topics.settings.messages_topic, partition): 5})
    with consuming(stage, topics.settings) as consumer:
        consume_until(consumer, lambda: len(stage.inbox()) == 3)
    assert "are not in the topic any more" in capsys.readouterr().out


def test_brokers_that_are_away_are_asked_again_with_one_line_each_time(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """What comes when they are back is worked on; no line tells of the program's inside."""
    software = installation()
    if isinstance(software, str):
        absent(software)
    cluster = KafkaCluster(software)
    try:
        cluster.start()
        with topics_on(cluster) as topics, consuming(stage, topics.settings) as consumer, running(consumer):
            topics.put(b"1")
            wait_for(lambda: len(stage.inbox()) == 1)
            capsys.readouterr()
            cluster.kill(1)
            told: list[str] = []

            def tell() -> bool:
                told.extend(capsys.readouterr().out.splitlines())
                return len(told) >= 2

            wait_for(tell)
            cluster.start_broker(1)
            topics.put(b"2")
            wait_for(lambda: len(stage.inbox()) == 2)
    finally:
        cluster.remove()
    assert all("messages could not be taken" in line and "No Kafka broker answers" in line for line in told[1:])
    assert "messages could not be taken" in told[0]


# -- what can't be used ------------------------------------------------------------------------------------------------


def refused(settings: KafkaInSettings) -> str:
    """The one line in which a start is refused."""
    with pytest.raises(KafkaUnusableError) as caught:
        KafkaSource.open(settings)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_start_says_in_one_line_what_is_wrong(topics: Topics) -> None:
    """Absent brokers, missing topics, TLS and SASL that the brokers want."""
    settings, cluster = topics.settings, topics.cluster
    plain = settings.connection

    def through(**changed: object) -> KafkaInSettings:
        return replace(settings, connection=replace(plain, **changed))  # type: ignore[arg-type]

    assert "No Kafka broker answers at 127.0.0.1:9" in refused(through(bootstrap=("127.0.0.1:9",)))
    assert refused(replace(settings, messages_topic="none")).startswith("Kafka has no topic none.")
    assert refused(replace(settings, dead_letter_topic="none")).startswith("Kafka has no topic none.")
    assert "are both messages-" in refused(replace(settings, dead_letter_topic=settings.messages_topic))
    assert "speaks TLS" in refused(through(bootstrap=(cluster.tls_bootstrap,)))
    assert "wants SASL" in refused(through(bootstrap=(cluster.sasl_bootstrap,)))
    wrong = {"sasl_mechanism": "PLAIN", "sasl_username": SASL_USERNAME, "sasl_password": "wrong"}
    line = refused(through(bootstrap=(cluster.sasl_bootstrap,), security_protocol="SASL_PLAINTEXT", **wrong))
    assert "LEDGER_KAFKA_SASL_PASSWORD" in line


@pytest.mark.parametrize("way", ["sasl", "tls", "older"])
def test_messages_are_read_in_every_way_that_the_settings_allow(stage: Stage, topics: Topics, way: str) -> None:
    """Signed in, encrypted, and by an older version of the protocol, which knows no ids of topics."""
    cluster, plain = topics.cluster, topics.settings.connection
    connections = {
        "sasl": replace(
            plain,
            bootstrap=(cluster.sasl_bootstrap,),
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_username=SASL_USERNAME,
            sasl_password=SASL_PASSWORD,
        ),
        "tls": replace(
            plain,
            bootstrap=(cluster.tls_bootstrap,),
            security_protocol="SSL",
            ssl_cafile=str(cluster.certificate),
        ),
        "older": replace(plain, api_version=(2, 3)),
    }
    stage.buy(seats=5, generation=Generation.LEGACY)
    settings = replace(topics.settings, connection=connections[way])
    forward = forwarder(stage, settings)
    while forward.forward(wait_seconds=0):
        pass
    forward.close()
    with consuming(stage, settings) as consumer:
        consume_until(consumer, lambda: len(stage.inbox()) == 2)
    assert stage.license().seats_max == 5
    assert topics.committed() == 2


def test_the_topic_is_not_made_by_being_read(kafka: KafkaCluster) -> None:
    """A name that was misspelled is told, not followed."""
    settings = KafkaInSettings(connection=connection_to(kafka), messages_topic="mesages")
    assert "has no topic mesages" in refused(settings)
    with kafka.admin() as admin:
        assert "mesages" not in admin.list_topics()


# -- from the queue to the topic ---------------------------------------------------------------------------------------


def test_a_message_that_the_topic_does_not_take_stays_in_the_queue(stage: Stage, kafka: KafkaCluster) -> None:
    """The others are brought over."""
    with topics_on(kafka, message_bytes_max=20_000) as topics:
        stage.send("x" * 100_000, json.dumps({"action": "grow"}))
        forward = forwarder(stage, topics.settings)
        assert forward.forward(wait_seconds=0)
        forward.close()
        assert [record.value for record in topics.everything_in(topics.settings.messages_topic)] == [
            b'{"action": "grow"}'
        ]
        assert not stage.queue_is_empty()


def test_what_the_topic_did_not_acknowledge_stays_in_the_queue(stage: Stage, topics: Topics) -> None:
    """It is brought over when the topic is there again."""
    stage.clients.sqs.set_queue_attributes(QueueUrl=stage.sandbox.queue_url, Attributes={"VisibilityTimeout": "0"})
    forward = forwarder(stage, topics.settings)
    topics.cluster.delete_topic(topics.settings.messages_topic)
    stage.send("Ada Lovelace")
    for _ in range(2):
        with pytest.raises(SourceFailedError):
            forward.forward(wait_seconds=0)
    assert not stage.queue_is_empty()
    topics.cluster.create_topic(topics.settings.messages_topic)
    assert forward.forward(wait_seconds=0)
    forward.close()
    assert stage.queue_is_empty()
    assert [record.value for record in topics.everything_in(topics.settings.messages_topic)] == [b"Ada Lovelace"]
