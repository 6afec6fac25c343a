"""Messages that do not come from where they may come from: kept, told of in words, and without any effect."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from consumers.marketplace import Consumer, MarketplaceInbox, MarketplaceSettings
from consumers.marketplace.origin import SigningCertificates
from consumers.marketplace.origin.verifying import ABSENT_FOR
from consumers.sandbox import Generation
from consumers.sandbox.signing import SignatureVersion, SigningKey, passing_key
from ledger.inbox import InboxQuery
from tests.integration.consumers_stage import (
    ADMIN,
    ENGINES,
    MINUTE,
    NOON,
    PRODUCT_CODE,
    UNLIMITED,
    Stage,
    database,
    staged,
)
from tests.integration.ledgers import until
from tests.sns import CertificateHost, certificate_host, document, forgers_key, signed

DOES_NOT_FIT = "The signature does not fit the message: SNS never sent it like this."
ELSEWHERE = "https://sns.us-east-1.amazonaws.com.evil.com/SimpleNotificationService-1.pem"
TRUE_CERTIFICATE = f"https://sns.us-east-1.amazonaws.com{passing_key().path}"
ANOTHER_TOPIC = "arn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-another"


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Stage]:
    """The same on one engine, where the database makes no difference."""
    with database("sqlite", tmp_path) as url, staged(url) as stage:
        yield stage


@pytest.fixture
def host() -> Iterator[CertificateHost]:
    """A host with the sandbox's certificate."""
    with certificate_host() as host:
        host.holds(passing_key())
        yield host


@contextmanager
def consuming(stage: Stage, certificates_at: str, **settings: Any) -> Iterator[Consumer]:  # noqa: ANN401 -- of any setting
    """Consume with certificates from a host of the test's, and none known yet."""
    clients = replace(stage.clients, certificates=SigningCertificates(endpoint_url=certificates_at, fetch_seconds=1))
    stage.consumer.stand_back()
    consumer = Consumer(
        stage.ledger,
        replace(stage.settings, **settings),
        clients,
        now=stage.clock,
        readings_per_second=UNLIMITED,
    )
    try:
        yield consumer
    finally:
        consumer.stand_back()


def work_off(consumer: Consumer) -> None:
    """Work until nothing is left to do."""
    while consumer.run_once():
        pass


def news(stage: Stage, seats: int = 5) -> str:
    """Let Ada's company buy by a legacy contract; `entitlement-updated` about it, taken out of the queue."""
    stage.buy(seats, generation=Generation.LEGACY)
    return stage.held_back()[-1]


def altered(body: str, **members: Any) -> str:  # noqa: ANN401 -- JSON
    """A message with members replaced after it was signed."""
    return json.dumps(json.loads(body) | members)


def said_of(customer_identifier: str) -> str:
    """What a legacy topic says when a customer's entitlements are new."""
    said = {"action": "entitlement-updated", "customer-identifier": customer_identifier, "product-code": PRODUCT_CODE}
    return json.dumps(said)


# -- forgeries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", list(SignatureVersion))
def test_what_sns_signed_has_its_effect(alone: Stage, version: SignatureVersion) -> None:
    """With either version of signing."""
    said = json.loads(news(alone))
    alone.send(json.dumps(passing_key().sign(said, version=version)))
    alone.consume()
    assert alone.license().seats_max == 5
    assert alone.inbox() == [("done", None)]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"Message": said_of("somebody-else")}, DOES_NOT_FIT),
        ({"Signature": None}, "The message carries no signature of SNS."),
        (
            {"SigningCertURL": ELSEWHERE},
            f'The certificate of its signature is at no address of SNS: "{ELSEWHERE}".',
        ),
    ],
)
def test_a_forged_message_has_no_effect(stage: Stage, members: dict[str, str | None], reason: str) -> None:
    """It is kept as it came, acknowledged, and failed with the reason; what comes behind it is worked on."""
    true = news(stage)
    stage.send(altered(true, MessageId="forged", **members))
    stage.consume()
    assert stage.inbox() == [("failed", reason)]
    assert stage.licenses() == []
    assert stage.queue_is_empty()
    stage.send(true)
    stage.consume()
    assert stage.statuses() == ["failed", "done"]
    assert stage.license().seats_max == 5


def test_a_forged_end_takes_nothing(alone: Stage) -> None:
    """Not even a reading of AWS follows from it."""
    alone.send(news(alone))
    alone.consume()
    customer = alone.sandbox.marketplace.contracts[0].customer_identifier
    events, observed = alone.events(), alone.observation().observation
    said = {"action": "unsubscribe-success", "customer-identifier": customer, "product-code": PRODUCT_CODE}
    alone.send(json.dumps(signed(json.dumps(said), key=forgers_key()) | {"SigningCertURL": TRUE_CERTIFICATE}))
    alone.consume()
    assert alone.inbox()[-1] == ("failed", DOES_NOT_FIT)
    assert (alone.events(), alone.observation().observation) == (events, observed)


def test_a_forgery_under_the_id_of_a_true_message_does_not_keep_it_out(alone: Stage) -> None:
    """Whoever was first, the true one counts."""
    true = news(alone)
    alone.send(altered(true, Message=said_of("somebody-else")))
    alone.consume()
    assert alone.inbox() == [("failed", DOES_NOT_FIT)]
    alone.send(true)
    alone.consume()
    assert alone.inbox() == [("done", None)]
    alone.send(altered(true, Message=said_of("somebody-else")))
    alone.consume()
    assert alone.license().seats_max == 5
    assert alone.statuses()[0] in {"done", "repeated"}


def test_a_raw_message_is_failed_with_what_to_do(tmp_path: Path) -> None:
    """Raw delivery leaves the signature out."""
    with database("sqlite", tmp_path) as url, staged(url, raw_delivery=True) as stage:
        stage.buy(generation=Generation.LEGACY)
        stage.consume()
        ((status, reason), _) = stage.inbox()
        assert status == "failed"
        assert reason is not None
        assert "Turn raw message delivery off" in reason
        assert stage.licenses() == []


def test_a_subscription_that_is_to_be_confirmed_says_what_to_do_also_when_it_is_retried(alone: Stage) -> None:
    """SNS signed it, and it carries no message of AWS Marketplace."""
    asked = signed("You have chosen to subscribe.", Type="SubscriptionConfirmation", SubscribeURL="", Token="2336412f")
    alone.send(json.dumps(asked))
    alone.consume()
    ((status, reason),) = alone.inbox()
    assert (status, str(reason)[:40]) == ("failed", "SNS asks to confirm a subscription of th")
    inbox = MarketplaceInbox(alone.ledger)
    (message,) = inbox.list(InboxQuery(), after=None, limit=1).items
    inbox.retry(message.number, caller=ADMIN)
    alone.consume()
    assert alone.inbox() == [(status, reason)]


def test_a_message_counts_whose_certificate_expired_while_the_ledger_was_away(
    alone: Stage, host: CertificateHost
) -> None:
    """It lay in the queue for ten days."""
    key = SigningKey.make(valid_from=NOON - timedelta(days=300), valid_until=NOON + timedelta(days=1))
    said = json.loads(news(alone))
    host.holds(key)
    alone.clock.move(timedelta(days=10))
    with consuming(alone, host.url) as consumer:
        alone.send(json.dumps(key.sign(said)))
        work_off(consumer)
    assert alone.inbox() == [("done", None)]


def test_a_message_of_another_topic_or_account_is_failed(alone: Stage) -> None:
    """SNS signs for anybody who has a topic, and EventBridge tells whose account it is."""
    legacy = news(alone)
    alone.buy(account_id="444422221111")
    _, event = alone.held_back()
    topics, accounts = frozenset({ANOTHER_TOPIC}), frozenset({"999988887777"})
    with consuming(alone, alone.sandbox.url, sns_topic_arns=topics, aws_accounts=accounts) as consumer:
        alone.send(legacy, event)
        work_off(consumer)
    assert sorted(alone.statuses()) == ["failed", "failed"]
    reasons = " ".join(str(reason) for _, reason in alone.inbox())
    assert "which is not in LEDGER_SNS_TOPIC_ARNS" in reasons
    assert "which is not in LEDGER_AWS_ACCOUNTS" in reasons
    assert alone.licenses() == []


# -- certificates that can't be had ------------------------------------------------------------------------------------


def test_while_certificates_cannot_be_had_a_message_waits_and_the_others_do_not(
    stage: Stage, host: CertificateHost
) -> None:
    """It is neither accepted nor lost, and counts as soon as the host is back."""
    host.answers[passing_key().path] = document(b"", status=HTTPStatus.SERVICE_UNAVAILABLE)
    legacy = news(stage)
    with consuming(stage, host.url) as consumer:
        stage.send(legacy)
        stage.buy(7, account_id="444422221111")
        work_off(consumer)
        status, reason = stage.inbox()[0]
        assert status == "new"
        assert reason is not None
        assert "The host answered with HTTP status 503." in reason
        assert [license_.seats_max for license_ in stage.licenses()] == [7]
        stage.clock.move(timedelta(days=3))
        work_off(consumer)
        assert stage.statuses()[0] == "new"
        host.holds(passing_key())
        stage.clock.move(timedelta(days=2))
        work_off(consumer)
        assert stage.inbox()[0] == ("done", None)
    assert [license_.seats_max for license_ in stage.licenses()] == [7, 5]


def test_a_host_that_nobody_reaches_is_reached_later(alone: Stage) -> None:
    """The port is closed, and open again."""
    with certificate_host() as host:
        pass
    legacy = news(alone)
    with consuming(alone, host.url) as consumer:
        alone.send(legacy)
        work_off(consumer)
        assert alone.statuses() == ["new"]
        with certificate_host(port=int(host.url.rsplit(":", 1)[1])) as again:
            again.holds(passing_key())
            alone.clock.move(MINUTE)
            work_off(consumer)
    assert alone.inbox() == [("done", None)]


def test_the_pauses_grow_while_a_certificate_cannot_be_had(alone: Stage, host: CertificateHost) -> None:
    """A certificate that is away for a day is asked for every quarter of an hour in the end."""
    host.answers.clear()
    alone.send(news(alone))
    with consuming(alone, host.url) as consumer:
        for _ in range(24 * 6):
            work_off(consumer)
            alone.clock.move(10 * MINUTE)
    assert 50 < len(host.asked) < 100


def test_a_certificate_that_is_not_there_for_a_day_is_given_up(alone: Stage, host: CertificateHost) -> None:
    """A message can name any of AWS's addresses, also one at which nothing will ever lie."""
    host.answers.clear()
    alone.send(news(alone))
    with consuming(alone, host.url) as consumer:
        work_off(consumer)
        alone.clock.move(ABSENT_FOR)
        work_off(consumer)
    assert alone.inbox() == [
        ("failed", "The certificate of its signature was not there for a day. The host answered with HTTP status 404.")
    ]


def test_one_fetch_is_enough_for_all_that_wait(alone: Stage, host: CertificateHost) -> None:
    """Also where one certificate after the other is wanted."""
    alone.buy(5, generation=Generation.LEGACY)
    alone.buy(6, generation=Generation.LEGACY, account_id="444422221111")
    with consuming(alone, host.url) as consumer:
        work_off(consumer)
    assert set(alone.statuses()) == {"done"}
    assert host.asked == [passing_key().path]


def test_what_was_found_once_is_not_asked_again(alone: Stage, host: CertificateHost) -> None:
    """A message that is parked for its license needs no certificate when it wakes, which may be gone by then."""
    alone.buy(5)
    created, updated = alone.held_back()
    with consuming(alone, host.url) as consumer:
        alone.send(json.dumps(signed(created)))
        work_off(consumer)
        assert alone.statuses() == ["parked"]
    host.answers.clear()
    with consuming(alone, host.url) as consumer:
        alone.send(updated)
        work_off(consumer)
        alone.clock.move(5 * MINUTE)
        work_off(consumer)
    assert alone.statuses() == ["done", "done"]
    assert host.asked == [passing_key().path]


def test_a_host_that_hangs_holds_nothing_up(alone: Stage, host: CertificateHost) -> None:
    """The work on other messages goes on beside it."""
    host.answers[passing_key().path] = host.hang
    legacy = news(alone)
    clients = replace(alone.clients, certificates=SigningCertificates(endpoint_url=host.url, fetch_seconds=60))
    alone.consumer.stand_back()
    consumer = Consumer(alone.ledger, alone.settings, clients, now=alone.clock, readings_per_second=UNLIMITED)
    stop = threading.Event()
    thread = threading.Thread(target=consumer.run, args=(stop,))
    thread.start()
    try:
        alone.send(legacy)
        until(lambda: host.asked != [])
        alone.buy(7, account_id="444422221111")
        until(lambda: alone.statuses() == ["new", "done", "done"])
    finally:
        host.released.set()
        stop.set()
        thread.join()


# -- what is said at the start -----------------------------------------------------------------------------------------


def said_at_start(settings: MarketplaceSettings, stage: Stage) -> list[tuple[str, str]]:
    """Level and text of what a consumer says when it starts."""
    consumer = Consumer(stage.ledger, settings, stage.clients, now=stage.clock)
    stop = threading.Event()
    stop.set()
    with capture_logs() as logs:
        consumer.run(stop)
    return [(line["log_level"], line["event"]) for line in logs]


def test_a_start_says_what_is_not_asked_of_messages(alone: Stage) -> None:
    """Any topic and any account by default; whether signatures are looked at if they are not."""
    settings = replace(alone.settings, queue_url=None)
    any_origin = [
        ("info", "messages of any SNS topic are taken: LEDGER_SNS_TOPIC_ARNS is not set"),
        ("info", "events of any AWS account are taken: LEDGER_AWS_ACCOUNTS is not set"),
    ]
    assert said_at_start(settings, alone) == any_origin
    assert said_at_start(replace(settings, sns_verify=False), alone) == [
        ("warning", "messages of SNS are taken without a look at their signature: LEDGER_SNS_VERIFY is off"),
        *any_origin,
    ]
    told = replace(settings, sns_topic_arns=frozenset({ANOTHER_TOPIC}), aws_accounts=frozenset({"999988887777"}))
    assert said_at_start(told, alone) == []
