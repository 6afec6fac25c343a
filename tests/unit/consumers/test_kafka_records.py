"""Records of Kafka's topics: by what a message is known again, and which messages stay in order."""

import json
from dataclasses import replace

import pytest

from consumers.kafka.records import InRecord, forwarded, read
from consumers.marketplace.messages import NotUnderstood, parse

MESSAGE_ID = "5b58f4ae-2eef-4158-baa2-b0b5dc5abc50"
RAW = json.dumps({"action": "subscribe-success", "customer-identifier": "ada", "product-code": "softphone"})
RECORD = InRecord(
    topic="messages",
    topic_id="adc814c5-c7fa-4c79-a72c-c6345c6430c1",
    partition=3,
    offset=14,
    timestamp=1_795_522_563_283,
    key=b"softphone/ada",
    value=RAW.encode(),
    headers=(),
)
LICENSE_UPDATED = {
    "id": MESSAGE_ID,
    "detail-type": "License Updated - Manufacturer",
    "detail": {
        "license": {"arn": "arn:aws:license-manager::294406891311:license:l-0f1e2d3c4b5a"},
        "product": {"code": "softphone", "id": "prod-1"},
        "agreement": {"id": "agmt-1"},
    },
}
AGREEMENT_AMENDED = {
    "id": MESSAGE_ID,
    "detail-type": "Purchase Agreement Amended - Proposer",
    "detail": {"agreement": {"id": "agmt-1"}},
}
OF_THE_MANUFACTURER = {
    **LICENSE_UPDATED,
    "detail": {name: value for name, value in LICENSE_UPDATED["detail"].items() if name != "agreement"},  # type: ignore[attr-defined]
}


def test_a_message_is_known_by_its_own_id() -> None:
    """Whatever the header says."""
    record = replace(RECORD, value=json.dumps(LICENSE_UPDATED).encode(), headers=(("message-id", b"another"),))
    assert read(record).message_id == MESSAGE_ID


def test_a_message_without_an_id_is_known_by_that_of_sqs() -> None:
    """Which came with it in a header."""
    assert read(replace(RECORD, headers=(("message-id", MESSAGE_ID.encode()),))).message_id == MESSAGE_ID


@pytest.mark.parametrize("header", [b"", b"no id at all", b"\xff", b"a" * 65, None])
def test_a_header_that_is_no_id_names_nothing(header: bytes | None) -> None:
    """The record is known by its place."""
    assert read(replace(RECORD, headers=(("message-id", header),))).message_id == RECORD.transport_id


def test_a_place_that_was_filled_anew_is_another_message() -> None:
    """In a topic that was made again, or that lost its end."""
    places = {
        RECORD.transport_id,
        replace(RECORD, offset=15).transport_id,
        replace(RECORD, partition=2).transport_id,
        replace(RECORD, timestamp=RECORD.timestamp + 1).transport_id,
        replace(RECORD, topic_id="8bbc42c4-2697-4af1-8704-9d861fc629d1").transport_id,
        replace(RECORD, topic_id=None).transport_id,
    }
    assert len(places) == 6
    assert replace(RECORD, value=b"other words", key=None).transport_id == RECORD.transport_id


@pytest.mark.parametrize(
    ("document", "key"),
    [
        (LICENSE_UPDATED, b"agmt-1"),
        (AGREEMENT_AMENDED, b"agmt-1"),
        (OF_THE_MANUFACTURER, b"arn:aws:license-manager::294406891311:license:l-0f1e2d3c4b5a"),
        (json.loads(RAW), b"softphone/ada"),
        ({"action": "grow"}, b"of-sqs"),
    ],
    ids=["license", "agreement", "license without agreement", "legacy", "not understood"],
)
def test_what_is_forwarded_is_keyed_by_what_it_is_about(document: dict[str, object], key: bytes) -> None:
    """By SQS's id where it names nothing."""
    body = json.dumps(document)
    record = forwarded(body, parse(body, transport_id="of-sqs"), message_id="of-sqs")
    assert (record.key, record.value, record.headers) == (key, body.encode(), [("message-id", b"of-sqs")])


def test_a_message_that_is_no_text_is_forwarded_and_judged_by_its_reader() -> None:
    """It is not lost on the way."""
    body = '{"action": "\ud800"}'
    record = forwarded(body, parse(body, transport_id="of-sqs"), message_id="of-sqs")
    parsed = read(replace(RECORD, value=record.value)).parsed
    assert isinstance(parsed, NotUnderstood)
    assert parsed.reason == "The message is not UTF-8."
