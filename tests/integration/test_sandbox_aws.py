"""A running sandbox, asked by unmodified boto3 clients."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from mypy_boto3_marketplace_agreement import AgreementServiceClient
from mypy_boto3_marketplace_entitlement import MarketplaceEntitlementServiceClient
from mypy_boto3_meteringmarketplace import MarketplaceMeteringClient
from mypy_boto3_sqs import SQSClient

from consumers.sandbox import Contract, FaultPlan, Generation, Sandbox, SandboxSettings
from consumers.sandbox.http_server import HttpServer, listen
from consumers.sandbox.queue import QueueCannotBeUsedError, SellersQueue
from consumers.sandbox.signing import passing_key

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PRODUCT_CODE = "74az0btybm649octamy0sktos"
PRODUCT_ID = "prod-k35yywhyj4eqg"
ANALYTICAL_ENGINES = "111122223333"
"""The AWS account of the company where Ada works."""
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
END_OF_MAY = datetime(2027, 5, 31, 23, 59, 59, 999_000, UTC)
ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=5)
"""Shows each answer as it is, without boto3's own retries."""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        """It is noon."""
        self.at = NOON

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.at


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A sandbox at noon, with the clients of a seller who has nothing but its environment variables."""

    sandbox: Sandbox
    clock: Clock
    metering: MarketplaceMeteringClient
    entitlement: MarketplaceEntitlementServiceClient
    agreement: AgreementServiceClient
    sqs: SQSClient

    def buy(self, seats: int = 5, generation: Generation = Generation.CONCURRENT) -> Contract:
        """Let the company of Ada buy."""
        return self.sandbox.marketplace.buy(
            account_id=ANALYTICAL_ENGINES, seats=seats, until=END_OF_MAY, generation=generation
        ).contract

    def received(self, count: int) -> list[dict[str, Any]]:
        """Take that many messages from the queue, in whatever order it gives them."""
        bodies: list[dict[str, Any]] = []
        while len(bodies) < count:
            polled = self.sqs.receive_message(
                QueueUrl=self.sandbox.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=5
            )
            assert polled.get("Messages"), f"only {len(bodies)} messages came"
            for message in polled["Messages"]:
                bodies.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.sandbox.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return bodies


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Run a sandbox, and make the clients from its environment alone."""
    clock = Clock()
    settings = SandboxSettings(product_code=PRODUCT_CODE, product_id=PRODUCT_ID, product_title="SoftPhone")
    with Sandbox(settings, clock=clock) as sandbox:
        for name, value in sandbox.environment.items():
            monkeypatch.setenv(name, value)
        session = boto3.Session()
        staged = Stage(
            sandbox=sandbox,
            clock=clock,
            metering=session.client("meteringmarketplace", config=ONCE),
            entitlement=session.client("marketplace-entitlement", config=ONCE),
            agreement=session.client("marketplace-agreement", config=ONCE),
            sqs=session.client("sqs"),
        )
        yield staged
        for client in (staged.metering, staged.entitlement, staged.agreement, staged.sqs):
            client.close()


def without_metadata(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what boto3 adds to every answer."""
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_a_registration_token_resolves_to_account_license_and_agreement(stage: Stage) -> None:
    """Concurrent agreements have no CustomerIdentifier; the agreement id stands in Metadata."""
    contract = stage.buy()
    token = stage.sandbox.marketplace.issue_token(contract.agreement_id).token
    assert without_metadata(stage.metering.resolve_customer(RegistrationToken=token)) == {
        "ProductCode": PRODUCT_CODE,
        "CustomerAWSAccountId": ANALYTICAL_ENGINES,
        "LicenseArn": contract.license_arn,
        "Metadata": {"AgreementId": contract.agreement_id},
    }


def test_a_legacy_token_resolves_to_a_customer_identifier(stage: Stage) -> None:
    """And to no license."""
    contract = stage.buy(generation=Generation.LEGACY)
    token = stage.sandbox.marketplace.issue_token(contract.agreement_id).token
    assert without_metadata(stage.metering.resolve_customer(RegistrationToken=token)) == {
        "ProductCode": PRODUCT_CODE,
        "CustomerAWSAccountId": ANALYTICAL_ENGINES,
        "CustomerIdentifier": contract.customer_identifier,
    }


def test_tokens_that_are_old_or_made_up_raise_their_own_errors(stage: Stage) -> None:
    """The classes are those of boto3's service model."""
    token = stage.sandbox.marketplace.issue_token(stage.buy().agreement_id).token
    stage.clock.at += timedelta(hours=4)
    with pytest.raises(stage.metering.exceptions.ExpiredTokenException):
        stage.metering.resolve_customer(RegistrationToken=token)
    with pytest.raises(stage.metering.exceptions.InvalidTokenException):
        stage.metering.resolve_customer(RegistrationToken="made up")


def test_entitlements_tell_seats_and_date_of_a_license(stage: Stage) -> None:
    """The date arrives as an aware time, to the millisecond."""
    contract = stage.buy(seats=25)
    answer = stage.entitlement.get_entitlements(
        ProductCode=PRODUCT_CODE, Filter={"LICENSE_ARN": [contract.license_arn]}
    )
    assert without_metadata(answer) == {
        "Entitlements": [
            {
                "ProductCode": PRODUCT_CODE,
                "Dimension": "users",
                "CustomerAWSAccountId": ANALYTICAL_ENGINES,
                "LicenseArn": contract.license_arn,
                "Value": {"IntegerValue": 25},
                "ExpirationDate": END_OF_MAY,
            }
        ]
    }


def test_entitlements_follow_every_change_and_are_absent_after_the_end(stage: Stage) -> None:
    """The key itself is missing from the answer, as AWS does it."""
    marketplace = stage.sandbox.marketplace
    contract = stage.buy(seats=5)
    marketplace.set_seats(contract.agreement_id, seats=3)
    marketplace.renew(contract.agreement_id, until=END_OF_MAY.replace(year=2028))
    (row,) = stage.entitlement.get_entitlements(ProductCode=PRODUCT_CODE)["Entitlements"]
    assert (row["Value"]["IntegerValue"], row["ExpirationDate"]) == (3, END_OF_MAY.replace(year=2028))
    marketplace.cancel(contract.agreement_id)
    assert "Entitlements" not in stage.entitlement.get_entitlements(ProductCode=PRODUCT_CODE)


def test_the_paginator_of_boto3_reads_through_empty_pages(stage: Stage) -> None:
    """It goes on as long as there is a NextToken."""
    for seats in (1, 2, 3):
        stage.buy(seats=seats)
    stage.sandbox.faults.set(FaultPlan(page_size=1, empty_pages=1))
    pages = list(stage.entitlement.get_paginator("get_entitlements").paginate(ProductCode=PRODUCT_CODE))
    seats_by_page = [[row["Value"]["IntegerValue"] for row in page.get("Entitlements", [])] for page in pages]
    assert seats_by_page == [[], [1], [], [2], [], [3]]


def test_wrong_questions_raise_invalid_parameter(stage: Stage) -> None:
    """boto3 checks neither MaxResults nor filters that exclude each other; the service does."""
    with pytest.raises(stage.entitlement.exceptions.InvalidParameterException):
        stage.entitlement.get_entitlements(ProductCode=PRODUCT_CODE, MaxResults=26)
    with pytest.raises(stage.entitlement.exceptions.InvalidParameterException):
        stage.entitlement.get_entitlements(
            ProductCode=PRODUCT_CODE, Filter={"CUSTOMER_IDENTIFIER": ["X"], "CUSTOMER_AWS_ACCOUNT_ID": ["1"]}
        )


def test_an_agreement_is_described_as_boto3_knows_it(stage: Stage) -> None:
    """Times are aware, and a contract that renews says so."""
    contract = stage.buy()
    assert without_metadata(stage.agreement.describe_agreement(agreementId=contract.agreement_id)) == {
        "agreementId": contract.agreement_id,
        "initialAgreementId": contract.agreement_id,
        "acceptor": {"accountId": ANALYTICAL_ENGINES},
        "proposer": {"accountId": "444455556666"},
        "startTime": NOON,
        "acceptanceTime": NOON,
        "endTime": END_OF_MAY,
        "agreementType": "PurchaseAgreement",
        "proposalSummary": {
            "resources": [{"id": PRODUCT_ID, "type": "SaaSProduct"}],
            "offerId": contract.offer_id,
        },
        "status": "ACTIVE",
        "endTimeBehavior": {"type": "RENEW", "renewalSummary": {"offerId": contract.offer_id}},
    }


def test_an_agreement_tells_how_it_ended_or_will_end(stage: Stage) -> None:
    """The status is AWS's; a contract that does not renew says who opted out."""
    marketplace = stage.sandbox.marketplace
    once = marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=1, until=END_OF_MAY, auto_renews=False).contract
    cancelled, expired = stage.buy(), stage.buy()
    marketplace.cancel(cancelled.agreement_id)
    marketplace.expire(expired.agreement_id)

    def described(contract: Contract) -> dict[str, Any]:
        return without_metadata(stage.agreement.describe_agreement(agreementId=contract.agreement_id))

    assert described(once)["endTimeBehavior"] == {
        "type": "EXPIRE",
        "reasonCode": "ACCEPTOR_RENEW_OPTED_OUT",
        "renewalSummary": {"offerId": once.offer_id},
    }
    assert described(cancelled)["status"] == "CANCELLED"
    assert described(expired)["status"] == "EXPIRED"
    assert described(expired)["endTime"] == NOON


def test_an_unknown_agreement_is_a_resource_not_found(stage: Stage) -> None:
    """The error names it."""
    with pytest.raises(stage.agreement.exceptions.ResourceNotFoundException) as caught:
        stage.agreement.describe_agreement(agreementId="agmt-nobody")
    assert dict(caught.value.response)["resourceId"] == "agmt-nobody"
    with pytest.raises(stage.agreement.exceptions.ValidationException):
        stage.agreement.describe_agreement(agreementId="not an id")


def test_throttling_raises_the_class_of_each_service(stage: Stage) -> None:
    """After as many calls as were planned, it works again."""
    contract = stage.buy()
    token = stage.sandbox.marketplace.issue_token(contract.agreement_id).token
    once = {"ResolveCustomer": 1, "GetEntitlements": 1, "DescribeAgreement": 1}
    stage.sandbox.faults.set(FaultPlan(throttle=once))
    with pytest.raises(stage.metering.exceptions.ThrottlingException):
        stage.metering.resolve_customer(RegistrationToken=token)
    with pytest.raises(stage.entitlement.exceptions.ThrottlingException):
        stage.entitlement.get_entitlements(ProductCode=PRODUCT_CODE)
    with pytest.raises(stage.agreement.exceptions.ThrottlingException):
        stage.agreement.describe_agreement(agreementId=contract.agreement_id)
    assert stage.metering.resolve_customer(RegistrationToken=token)["ProductCode"] == PRODUCT_CODE


def test_a_500_is_a_fault_of_the_service(stage: Stage) -> None:
    """With the status that boto3's retries look at."""
    stage.sandbox.faults.set(FaultPlan(fail={"GetEntitlements": 1}))
    with pytest.raises(ClientError) as caught:
        stage.entitlement.get_entitlements(ProductCode=PRODUCT_CODE)
    assert caught.value.response["Error"]["Code"] == "InternalServiceErrorException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_a_hanging_call_runs_into_the_time_limit_of_the_client(stage: Stage) -> None:
    """The connection stays open and nothing comes."""
    stage.sandbox.faults.set(FaultPlan(hang_seconds=60))
    impatient = boto3.client("marketplace-entitlement", config=ONCE.merge(Config(read_timeout=0.2)))
    with pytest.raises(ReadTimeoutError):
        impatient.get_entitlements(ProductCode=PRODUCT_CODE)
    impatient.close()


def test_the_messages_of_a_whole_life_lie_in_the_queue(stage: Stage) -> None:
    """As EventBridge puts them there: the body is the event."""
    contract = stage.buy(seats=5)
    marketplace = stage.sandbox.marketplace
    marketplace.set_seats(contract.agreement_id, seats=3)
    marketplace.cancel(contract.agreement_id)
    received = stage.received(6)
    assert sorted(event["detail-type"] for event in received) == [
        "License Deprovisioned - Manufacturer",
        "License Updated - Manufacturer",
        "License Updated - Manufacturer",
        "Purchase Agreement Amended - Proposer",
        "Purchase Agreement Created - Proposer",
        "Purchase Agreement Ended - Proposer",
    ]
    assert {event["detail"]["agreement"]["id"] for event in received} == {contract.agreement_id}
    assert sorted(json.dumps(event) for event in received) == sorted(message.body for message in marketplace.messages)


def test_legacy_messages_lie_in_the_queue_in_their_envelope(stage: Stage) -> None:
    """The notification is a JSON string inside JSON."""
    contract = stage.buy(generation=Generation.LEGACY)
    said = {json.loads(envelope["Message"])["action"]: envelope for envelope in stage.received(2)}
    assert set(said) == {"subscribe-success", "entitlement-updated"}
    assert json.loads(said["entitlement-updated"]["Message"]) == {
        "action": "entitlement-updated",
        "customer-identifier": contract.customer_identifier,
        "product-code": PRODUCT_CODE,
    }


def test_the_certificate_of_a_legacy_message_lies_at_the_sandbox(stage: Stage) -> None:
    """At the path that the message names, by which SNS's own host has it; at another path there is none."""
    stage.buy(generation=Generation.LEGACY)
    path = urlsplit(stage.received(2)[0]["SigningCertURL"]).path
    with urlopen(f"{os.environ['AWS_ENDPOINT_URL_SNS']}{path}", timeout=10) as answer:  # noqa: S310 -- the sandbox's
        assert answer.read() == passing_key().pem
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{stage.sandbox.url}/SimpleNotificationService-another.pem", timeout=10)  # noqa: S310 -- the same


def test_messages_go_to_the_queue_that_the_seller_has(stage: Stage) -> None:
    """A sandbox that is given a queue starts none, and leaves credentials and SQS to the seller."""
    queue_url = stage.sqs.create_queue(QueueName="the-sellers-own")["QueueUrl"]
    settings = SandboxSettings(
        product_code=PRODUCT_CODE, product_id=PRODUCT_ID, product_title="SoftPhone", queue_url=queue_url
    )
    with Sandbox(settings) as second:
        assert second.queue_url == queue_url
        assert set(second.environment) == {
            "AWS_ENDPOINT_URL_MARKETPLACE_METERING",
            "AWS_ENDPOINT_URL_MARKETPLACE_ENTITLEMENT_SERVICE",
            "AWS_ENDPOINT_URL_MARKETPLACE_AGREEMENT",
            "AWS_ENDPOINT_URL_SNS",
        }
        outcome = second.marketplace.buy(
            account_id=ANALYTICAL_ENGINES, seats=1, until=datetime.now(UTC) + timedelta(days=1)
        )
    assert all(message.delivered for message in outcome.messages)
    polled = stage.sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
    bodies = [message["Body"] for message in polled["Messages"]]
    assert sorted(bodies) == sorted(message.body for message in outcome.messages)


def test_a_queue_that_is_gone_keeps_the_sandbox_from_starting(stage: Stage) -> None:
    """Nobody is there, or it is no queue of whoever is: each message would be lost. The line says what to do."""
    for queue_url in (f"{stage.sandbox.queue_url}-that-is-gone", "http://127.0.0.1:9/123456789012/aws-marketplace"):
        settings = SandboxSettings(
            product_code=PRODUCT_CODE, product_id=PRODUCT_ID, product_title="SoftPhone", queue_url=queue_url
        )
        with pytest.raises(QueueCannotBeUsedError) as refused:
            Sandbox(settings).start()
        assert str(refused.value).startswith(f"The queue {queue_url} can't be used: ")
        assert "Unset LEDGER_SQS_QUEUE_URL" in str(refused.value)


def deny(_asked: "WSGIEnvironment", respond: "StartResponse") -> Iterable[bytes]:
    """Answer as SQS does to credentials that may send and nothing else."""
    respond("403 Forbidden", [("Content-Type", "application/x-amz-json-1.0")])
    return [b'{"__type": "com.amazon.coral.service#AccessDeniedException", "message": "Access is denied."}']


@pytest.mark.usefixtures("stage")
def test_a_queue_that_may_not_be_asked_is_there() -> None:
    """It answers; what is sent will tell."""
    with listen("127.0.0.1", 0, who="SQS") as listening:
        port = listening.getsockname()[1]
        server = HttpServer(deny, listening, name="sqs")
    SellersQueue.at(f"http://127.0.0.1:{port}/123456789012/aws-marketplace").close()
    server.stop()
