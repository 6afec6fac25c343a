"""Every life of a contract, the clock and the mischief, by the control API of a running sandbox."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from mypy_boto3_marketplace_agreement import AgreementServiceClient
from mypy_boto3_marketplace_entitlement import MarketplaceEntitlementServiceClient
from structlog.testing import capture_logs

from consumers.sandbox import Product, Sandbox, SandboxSettings

ANALYTICAL_ENGINES, COMPILERS_INC = "111122223333", "444422221111"
"""The AWS accounts of the companies where Ada and Grace work."""
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SETTINGS = SandboxSettings(
    product_code="softphone",
    product_id="prod-softphone",
    product_title="SoftPhone",
    products=(Product(code="deskphone", id="prod-deskphone", title="Desk Phone", dimensions=("phones", "users")),),
)
PURCHASE = {"account_id": ANALYTICAL_ENGINES, "seats": 5, "until": "2027-05-31"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run a sandbox whose clock stands at noon until it is moved."""
    with Sandbox(SETTINGS, clock=lambda: NOON) as running:
        yield running


@pytest.fixture
def entitlement(sandbox: Sandbox) -> Iterator[MarketplaceEntitlementServiceClient]:
    """Make boto3's client of entitlements."""
    client = boto3.client("marketplace-entitlement", **_options(sandbox))
    yield client
    client.close()


@pytest.fixture
def agreement(sandbox: Sandbox) -> Iterator[AgreementServiceClient]:
    """Make boto3's client of agreements."""
    client = boto3.client("marketplace-agreement", **_options(sandbox))
    yield client
    client.close()


def _options(sandbox: Sandbox) -> Any:  # noqa: ANN401  what boto3's typed overloads take
    return {
        "endpoint_url": sandbox.url,
        "region_name": "us-east-1",
        "aws_access_key_id": "sandbox",
        "aws_secret_access_key": "sandbox",
        "config": Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=5),
    }


def ask(sandbox: Sandbox, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  each test knows what it asked for
    """Send one request to the control API, which succeeds."""
    request = Request(  # noqa: S310  our own server
        f"{sandbox.url}/sandbox/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    with urlopen(request, timeout=10) as answer:  # noqa: S310  our own server
        return json.load(answer)


def bought(sandbox: Sandbox, **terms: object) -> str:
    """Buy by the API, and give the agreement id."""
    contract = ask(sandbox, "POST", "contracts", PURCHASE | terms)["contract"]
    assert isinstance(contract["agreement_id"], str)
    return contract["agreement_id"]


def rows(client: MarketplaceEntitlementServiceClient, *arns: str) -> list[tuple[str, int]]:
    """Read the seats of licenses, by their ARNs."""
    pages = client.get_paginator("get_entitlements").paginate(
        ProductCode="softphone", Filter={"LICENSE_ARN": list(arns)}
    )
    return [(row["LicenseArn"], row["Value"]["IntegerValue"]) for page in pages for row in page.get("Entitlements", [])]


def test_a_renewal_by_the_api_is_found_by_boto3(
    sandbox: Sandbox, agreement: AgreementServiceClient, entitlement: MarketplaceEntitlementServiceClient
) -> None:
    """Both agreements of the chain, and the seats of both licenses in one question."""
    first = bought(sandbox)
    answer = ask(
        sandbox,
        "POST",
        f"contracts/{first}/successor",
        {"until": "2028-05-31", "seats": 3, "predecessor_ends": "on-its-date"},
    )
    second, before = answer["contract"], answer["predecessor"]
    assert (before["agreement_id"], before["status"]) == (first, "ACTIVE")
    found = agreement.search_agreements(
        catalog="AWSMarketplace",
        filters=[
            {"name": "PartyType", "values": ["Proposer"]},
            {"name": "AgreementType", "values": ["PurchaseAgreement"]},
            {"name": "InitialAgreementId", "values": [first]},
        ],
        sort={"sortBy": "EndTime", "sortOrder": "ASCENDING"},
    )["agreementViewSummaries"]
    assert [one["agreementId"] for one in found] == [first, second["agreement_id"]]
    assert rows(entitlement, before["license_arn"], second["license_arn"]) == [
        (before["license_arn"], 5),
        (second["license_arn"], 3),
    ]
    assert ask(sandbox, "POST", f"contracts/{first}/expire")["contract"]["status"] == "RENEWED"
    assert rows(entitlement, before["license_arn"], second["license_arn"]) == [(second["license_arn"], 3)]


def test_boto3_raises_access_denied_for_what_a_partner_sold(
    sandbox: Sandbox, agreement: AgreementServiceClient
) -> None:
    """And for its entitlements."""
    agreement_id = bought(sandbox, via_partner=True)
    with pytest.raises(agreement.exceptions.AccessDeniedException):
        agreement.describe_agreement(agreementId=agreement_id)
    with pytest.raises(agreement.exceptions.AccessDeniedException):
        agreement.get_agreement_entitlements(agreementId=agreement_id)


def test_a_future_start_comes_as_the_clock_moves(
    sandbox: Sandbox, agreement: AgreementServiceClient, entitlement: MarketplaceEntitlementServiceClient
) -> None:
    """Scheduled, then provisioned; a day as a start means its first moment."""
    agreement_id = bought(sandbox, starts_at="2027-01-01", trial_ends_at="2027-01-31")
    contract = ask(sandbox, "GET", f"contracts/{agreement_id}")
    assert contract["starts_at"] == "2027-01-01T00:00:00Z"
    # The types of boto3 do not know trials yet; boto3 does.
    described: dict[str, Any] = dict(agreement.describe_agreement(agreementId=agreement_id))
    assert described["startTime"] == datetime(2027, 1, 1, tzinfo=UTC)
    assert described["freeTrialSummary"]["trialEndTime"] == datetime(2027, 1, 31, 23, 59, 59, 999_000, UTC)

    def status() -> str:
        (one,) = agreement.get_agreement_entitlements(agreementId=agreement_id)["agreementEntitlements"]
        return one["status"]

    assert (status(), rows(entitlement, contract["license_arn"])) == ("SCHEDULED", [])
    moved = ask(sandbox, "POST", "clock", {"to": "2027-01-01"})
    assert moved["now"] == "2027-01-01T00:00:00Z"
    assert [(one["event"], one["messages"]) for one in moved["happened"]] == [
        ("is-ending", ["Purchase Agreement Ending - Proposer"]),
        ("starts", ["License Updated - Manufacturer"]),
    ]
    assert (status(), rows(entitlement, contract["license_arn"])) == ("PROVISIONED", [(contract["license_arn"], 5)])
    assert ask(sandbox, "POST", f"contracts/{agreement_id}/token")["is_of_trial"]


def test_a_year_passes_in_one_request(sandbox: Sandbox) -> None:
    """What renews is renewed, what does not expires; the clock says what comes next."""
    renews, ends = bought(sandbox), bought(sandbox, auto_renews=False)
    moved = ask(sandbox, "POST", "clock", {"advance": "P200D"})
    assert moved["ahead_seconds"] == timedelta(days=200).total_seconds()
    events = {(one["event"], one["agreement_id"]) for one in moved["happened"]}
    assert events >= {("is-ending", renews), ("is-ending", ends), ("renews", renews), ("ends", ends)}
    renewal = next(one for one in moved["happened"] if one["event"] == "renews")
    assert ask(sandbox, "GET", f"contracts/{renewal['successor_id']}")["previous_agreement_id"] == renews
    statuses = [ask(sandbox, "GET", f"contracts/{one}")["status"] for one in (renews, ends)]
    assert statuses == ["RENEWED", "EXPIRED"]
    assert moved["next"]["agreement_id"] == renewal["successor_id"]


def test_what_falls_due_can_happen_by_itself() -> None:
    """On the real clock, with the messages in the queue."""
    with Sandbox(SETTINGS) as sandbox:
        assert ask(sandbox, "PUT", "clock", {"auto": True})["auto"] is True
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        agreement_id = bought(sandbox, until=soon.isoformat(), auto_renews=False)
        end = datetime.now(UTC) + timedelta(seconds=30)
        while ask(sandbox, "GET", f"contracts/{agreement_id}")["status"] == "ACTIVE":
            assert datetime.now(UTC) < end
        titles = [message["title"] for message in ask(sandbox, "GET", "messages")["items"]]
    assert titles[:2] == ["License Deprovisioned - Manufacturer", "Purchase Agreement Ended - Proposer"]


def test_what_falls_due_happens_after_an_error_too() -> None:
    """The error is logged, and the clock goes on."""
    is_broken = Event()

    def clock() -> datetime:
        if is_broken.is_set():
            raise OSError("There is no time.")
        return datetime.now(UTC)

    with capture_logs() as logs, Sandbox(SETTINGS, clock=clock) as sandbox:
        sandbox.marketplace.set_auto(auto=True)
        end = datetime.now(UTC) + timedelta(seconds=30)
        is_broken.set()
        while not logs:
            assert datetime.now(UTC) < end
        is_broken.clear()
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        agreement_id = bought(sandbox, until=soon.isoformat(), auto_renews=False)
        while ask(sandbox, "GET", f"contracts/{agreement_id}")["status"] == "ACTIVE":
            assert datetime.now(UTC) < end
    assert {log["event"] for log in logs} == {"What fell due did not happen"}


def test_every_change_has_its_call(sandbox: Sandbox) -> None:
    """Decisions, opt-in, start, terminate, archive, any end, notices, the same message again."""
    first = bought(sandbox)
    decided = ask(sandbox, "POST", f"contracts/{first}/at-end", {"at_end": "EXPIRE", "by": "PROPOSER"})["contract"]
    assert (decided["auto_renews"], decided["opted_out_by"]) == (False, "PROPOSER")
    decided = ask(
        sandbox, "POST", f"contracts/{first}/at-end", {"at_end": "EXPIRE", "reason": "RENEWAL_LIMIT_EXHAUSTED"}
    )["contract"]
    assert (decided["opted_out_by"], decided["no_renewal"]) == (None, "RENEWAL_LIMIT_EXHAUSTED")
    noticed = ask(sandbox, "POST", f"contracts/{first}/notices", {"notice": "ending", "days": 60})
    (message,) = noticed["messages"]
    assert message["title"] == "Purchase Agreement Ending - Proposer"
    again = ask(sandbox, "POST", f"messages/{message['number']}/send")
    assert again["body"] == message["body"]
    assert ask(sandbox, "POST", f"contracts/{first}/terminate")["contract"]["status"] == "TERMINATED"
    assert ask(sandbox, "POST", f"contracts/{first}/archive")["contract"]["status"] == "ARCHIVED"
    legacy = bought(sandbox, generation="legacy")
    assert ask(sandbox, "POST", f"contracts/{legacy}/opt-in")["contract"]["generation"] == "opted-in"
    ended = ask(sandbox, "POST", f"contracts/{legacy}/end", {"status": "RENEWED"})["contract"]
    assert ended["status"] == "RENEWED"
    later = bought(sandbox, starts_at="2027-01-01")
    assert ask(sandbox, "POST", f"contracts/{later}/start")["contract"]["has_started"] is True


def test_products_have_dimensions_of_their_own(
    sandbox: Sandbox, entitlement: MarketplaceEntitlementServiceClient
) -> None:
    """A contract has a row for each that was bought, at its product alone."""
    assert [one["code"] for one in ask(sandbox, "GET", "products")["items"]] == ["softphone", "deskphone"]
    agreement_id = bought(sandbox, product_code="deskphone", seats={"phones": 2, "users": 7})
    ask(sandbox, "POST", f"contracts/{agreement_id}/seats", {"seats": {"phones": 3}})
    answer = entitlement.get_entitlements(ProductCode="deskphone")["Entitlements"]
    assert {row["Dimension"]: row["Value"]["IntegerValue"] for row in answer} == {"phones": 3, "users": 7}
    assert "Entitlements" not in entitlement.get_entitlements(ProductCode="softphone")


def test_mischief_is_planned_counted_and_ended(sandbox: Sandbox) -> None:
    """What is on its way is delivered when it is wanted."""
    planned = ask(sandbox, "PUT", "mischief", {"seed": 7, "delay_seconds": [60, 90], "until": "2026-12-24T00:00:00Z"})
    assert planned["plan"]["until"] == "2026-12-24T00:00:00Z"
    bought(sandbox, account_id=COMPILERS_INC)
    told = ask(sandbox, "GET", "mischief")
    assert (told["messages"], told["waiting"], told["done"]) == (2, 2, {"delayed": 2})
    assert ask(sandbox, "POST", "flush") == {"delivered": 2}
    assert ask(sandbox, "DELETE", "mischief")["plan"]["delay_seconds"] == [0.0, 0.0]
    assert ask(sandbox, "GET", "mischief")["waiting"] == 0


def test_mischief_reaches_boto3(sandbox: Sandbox, entitlement: MarketplaceEntitlementServiceClient) -> None:
    """In the errors of its service model."""
    ask(sandbox, "PUT", "mischief", {"throttle": 1})
    with pytest.raises(entitlement.exceptions.ThrottlingException):
        entitlement.get_entitlements(ProductCode="softphone")
    assert ask(sandbox, "DELETE", "mischief")["done"] == {}
    assert "Entitlements" not in entitlement.get_entitlements(ProductCode="softphone")
