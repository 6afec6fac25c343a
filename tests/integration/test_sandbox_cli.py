"""A running sandbox, asked by the AWS command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name

from consumers.sandbox import Contract, Sandbox, SandboxSettings, SuccessorTerms
from consumers.sandbox.wire import OPERATIONS

AWS = Path(sys.executable).with_name("aws")
ANALYTICAL_ENGINES = "111122223333"
"""The AWS account of the company where Ada works."""
END_OF_MAY = datetime(2999, 5, 31, 23, 59, 59, 999_000, UTC)
SERVICES = {
    "AWSMPMeteringService": "meteringmarketplace",
    "AWSMPEntitlementService": "marketplace-entitlement",
    "AWSMPCommerceService_v20200301": "marketplace-agreement",
}
"""The name of each service for its users, by that on the wire."""
SETTINGS = SandboxSettings(product_code="softphone", product_id="prod-softphone", product_title="SoftPhone")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run a sandbox for all questions."""
    with Sandbox(SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def contract(sandbox: Sandbox) -> Contract:
    """Let the company of Ada buy five seats, and renew them."""
    first = sandbox.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    terms = SuccessorTerms(until=END_OF_MAY)
    return sandbox.marketplace.succeed(first.agreement_id, terms).contract


def aws(sandbox: Sandbox, *arguments: str, answers: int = 0) -> Any:  # noqa: ANN401  each test knows what it asked for
    """Ask by the command line, with nothing but the environment that the sandbox tells."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ran = subprocess.run(
        [AWS, *arguments], env=environment | dict(sandbox.environment), capture_output=True, text=True, check=False
    )
    assert ran.returncode == answers, ran.stderr
    return json.loads(ran.stdout) if not answers else ran.stderr


def test_the_command_line_resolves_a_token(sandbox: Sandbox, contract: Contract) -> None:
    """And says what is wrong with one that was made up."""
    token = sandbox.marketplace.issue_token(contract.agreement_id).token
    resolved = aws(sandbox, "meteringmarketplace", "resolve-customer", "--registration-token", token)
    assert (resolved["ProductCode"], resolved["LicenseArn"]) == ("softphone", contract.license_arn)
    refused = aws(sandbox, "meteringmarketplace", "resolve-customer", "--registration-token", "made-up", answers=255)
    assert "InvalidTokenException" in refused


def test_the_command_line_reads_entitlements(sandbox: Sandbox, contract: Contract) -> None:
    """Of one license."""
    arguments = ("--product-code", "softphone", "--filter", f"LICENSE_ARN={contract.license_arn}")
    (row,) = aws(sandbox, "marketplace-entitlement", "get-entitlements", *arguments)["Entitlements"]
    assert (row["Value"], row["LicenseArn"]) == ({"IntegerValue": 5}, contract.license_arn)


def test_the_command_line_reads_agreements(sandbox: Sandbox, contract: Contract) -> None:
    """One, its entitlement, and the chain that it stands in."""
    named = ("--agreement-id", contract.agreement_id)
    described = aws(sandbox, "marketplace-agreement", "describe-agreement", *named)
    assert (described["status"], described["acceptor"]) == ("ACTIVE", {"accountId": ANALYTICAL_ENGINES})
    (entitlement,) = aws(sandbox, "marketplace-agreement", "get-agreement-entitlements", *named)[
        "agreementEntitlements"
    ]
    assert entitlement["status"] == "PROVISIONED"
    filters = (
        "name=PartyType,values=Proposer",
        "name=AgreementType,values=PurchaseAgreement",
        f"name=LicenseArn,values={contract.license_arn}",
    )
    found = aws(sandbox, "marketplace-agreement", "search-agreements", "--filters", *filters)
    assert [one["agreementId"] for one in found["agreementViewSummaries"]] == [contract.agreement_id]


@pytest.mark.parametrize("target", OPERATIONS)
def test_each_call_is_answered_to_boto3_and_to_the_command_line(
    sandbox: Sandbox, contract: Contract, target: str
) -> None:
    """With one and the same request; the command line leaves out what its own description of AWS does not know."""
    service, operation = SERVICES[target.partition(".")[0]], target.rpartition(".")[2]
    requests: dict[str, dict[str, Any]] = {
        "ResolveCustomer": {"RegistrationToken": sandbox.marketplace.issue_token(contract.agreement_id).token},
        "GetEntitlements": {"ProductCode": "softphone"},
        "DescribeAgreement": {"agreementId": contract.agreement_id},
        "GetAgreementEntitlements": {"agreementId": contract.agreement_id},
        "SearchAgreements": {
            "filters": [
                {"name": "PartyType", "values": ["Proposer"]},
                {"name": "AgreementType", "values": ["PurchaseAgreement"]},
            ]
        },
    }
    request = requests[operation]
    session: Any = boto3.Session(region_name="us-east-1", aws_access_key_id="anybody", aws_secret_access_key="anything")
    client = session.client(service, endpoint_url=sandbox.url)
    answered = getattr(client, xform_name(operation))(**request)
    client.close()
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 200
    told = aws(sandbox, service, xform_name(operation, "-"), "--cli-input-json", json.dumps(request))
    assert told
    assert set(told) <= set(answered)


def test_the_command_line_receives_messages(sandbox: Sandbox, contract: Contract) -> None:
    """From the queue; version 1 of the command line wants SQS's address as an option."""
    queue = ("--queue-url", sandbox.queue_url, "--max-number-of-messages", "10")
    received = aws(sandbox, "--endpoint-url", sandbox.sqs_endpoint, "sqs", "receive-message", *queue)
    events = [json.loads(message["Body"]) for message in received["Messages"]]
    assert contract.agreement_id in {event["detail"]["agreement"]["id"] for event in events}
