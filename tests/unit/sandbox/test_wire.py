"""AWS's calls on the wire: what a client of boto3 does not let through, and what decides a page."""

import base64
import json
from typing import Any

import pytest

from consumers.sandbox import Contract, FaultPlan, Faults, Generation, wire
from consumers.sandbox.wire import WireAnswer
from tests.unit.sandbox.story import ANALYTICAL_ENGINES, COMPILERS_INC, END_OF_MAY, SOFTPHONE, Stage

RESOLVE = "AWSMPMeteringService.ResolveCustomer"
ENTITLEMENTS = "AWSMPEntitlementService.GetEntitlements"
DESCRIBE = "AWSMPCommerceService_v20200301.DescribeAgreement"


def call(stage: Stage, target: str, request: object, *, plan: FaultPlan | None = None) -> WireAnswer:
    """Send one request."""
    faults = Faults()
    faults.set(plan or FaultPlan())
    return wire.answer(
        target=target, payload=json.dumps(request).encode(), marketplace=stage.marketplace, faults=faults
    )


def bought(stage: Stage, seats: int, account_id: str = ANALYTICAL_ENGINES) -> Contract:
    """Let a company buy some seats."""
    return stage.marketplace.buy(account_id=account_id, seats=seats, until=END_OF_MAY).contract


def seats_on(answer: WireAnswer) -> list[int]:
    """Read the numbers on a page."""
    assert answer.status == 200
    return [row["Value"]["IntegerValue"] for row in answer.body.get("Entitlements", [])]


def all_pages(stage: Stage, request: dict[str, Any], plan: FaultPlan) -> list[list[int]]:
    """Read page after page, until one has no NextToken."""
    pages = []
    token: dict[str, str] = {}
    while True:
        page = call(stage, ENTITLEMENTS, request | token, plan=plan)
        pages.append(seats_on(page))
        if "NextToken" not in page.body:
            return pages
        token = {"NextToken": page.body["NextToken"]}


def test_an_operation_that_is_not_there_is_unknown() -> None:
    """With 400, as every error of the client."""
    for target in ("", "AWSMPMeteringService.BatchMeterUsage", "ResolveCustomer"):
        answer = call(Stage(), target, {})
        assert (answer.status, answer.body["__type"]) == (400, "UnknownOperationException")


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'"x"', b"\xff\xfe{}", b"[" * 200_000])
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    """Before anything is looked up."""
    answer = wire.answer(target=ENTITLEMENTS, payload=payload, marketplace=Stage().marketplace, faults=Faults())
    assert (answer.status, answer.body["__type"]) == (400, "SerializationException")


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"ProductCode": ""},
        {"ProductCode": 5},
        {"ProductCode": SOFTPHONE.code, "Filter": ["111122223333"]},
        {"ProductCode": SOFTPHONE.code, "Filter": {"ACCOUNT": ["111122223333"]}},
        {"ProductCode": SOFTPHONE.code, "Filter": {"LICENSE_ARN": []}},
        {"ProductCode": SOFTPHONE.code, "Filter": {"LICENSE_ARN": "arn"}},
        {"ProductCode": SOFTPHONE.code, "Filter": {"LICENSE_ARN": [5]}},
        {"ProductCode": SOFTPHONE.code, "Filter": {"CUSTOMER_IDENTIFIER": ["X"], "CUSTOMER_AWS_ACCOUNT_ID": ["1"]}},
        {"ProductCode": SOFTPHONE.code, "MaxResults": 0},
        {"ProductCode": SOFTPHONE.code, "MaxResults": 26},
        {"ProductCode": SOFTPHONE.code, "MaxResults": True},
        {"ProductCode": SOFTPHONE.code, "NextToken": "made-up"},
        {"ProductCode": SOFTPHONE.code, "NextToken": 5},
        {"ProductCode": SOFTPHONE.code, "NextToken": base64.b64encode(b"[]").decode()},
        {"ProductCode": SOFTPHONE.code, "NextToken": base64.b64encode(b"7").decode()},
        {"ProductCode": SOFTPHONE.code, "NextToken": "ä"},
        {"ProductCode": SOFTPHONE.code, "NextToken": base64.b64encode(b"[" * 200_000).decode()},
    ],
)
def test_a_wrong_question_about_entitlements_is_an_invalid_parameter(request_: dict[str, Any]) -> None:
    """The message says which one."""
    answer = call(Stage(), ENTITLEMENTS, request_)
    assert (answer.status, answer.body["__type"]) == (400, "InvalidParameterException")
    assert answer.body["message"]


def test_nothing_to_show_is_an_empty_object() -> None:
    """AWS leaves Entitlements out where there are none: before a purchase, for another product, after the end."""
    stage = Stage()
    question = {"ProductCode": SOFTPHONE.code}
    assert call(stage, ENTITLEMENTS, question) == WireAnswer(status=200, body={})
    contract = bought(stage, 5)
    assert seats_on(call(stage, ENTITLEMENTS, question)) == [5]
    assert call(stage, ENTITLEMENTS, {"ProductCode": "another"}).body == {}
    stage.clock.at = END_OF_MAY
    assert call(stage, ENTITLEMENTS, question).body == {}
    stage.marketplace.expire(contract.agreement_id)
    assert call(stage, ENTITLEMENTS, question).body == {}


def test_filters_are_or_inside_a_key_and_and_across_keys() -> None:
    """Two accounts together find both; an account and another's license find nothing."""
    stage = Stage()
    first, second, other = bought(stage, 1), bought(stage, 2), bought(stage, 3, COMPILERS_INC)

    def seen(**filters: list[str]) -> list[int]:
        return seats_on(call(stage, ENTITLEMENTS, {"ProductCode": SOFTPHONE.code, "Filter": filters}))

    assert seen(CUSTOMER_AWS_ACCOUNT_ID=[ANALYTICAL_ENGINES]) == [1, 2]
    assert seen(CUSTOMER_AWS_ACCOUNT_ID=[ANALYTICAL_ENGINES, COMPILERS_INC]) == [1, 2, 3]
    assert seen(LICENSE_ARN=[second.license_arn]) == [2]
    assert seen(LICENSE_ARN=[first.license_arn, other.license_arn]) == [1, 3]
    assert seen(LICENSE_ARN=[other.license_arn], CUSTOMER_AWS_ACCOUNT_ID=[ANALYTICAL_ENGINES]) == []
    assert seen(LICENSE_ARN=[first.license_arn], DIMENSION=["users"]) == [1]
    assert seen(DIMENSION=["guests"]) == []


def test_a_legacy_row_has_a_customer_and_no_license() -> None:
    """The other way round for a concurrent one."""
    stage = Stage()
    legacy = stage.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=4, until=END_OF_MAY, generation=Generation.LEGACY
    ).contract
    bought(stage, 5)
    question = {"ProductCode": SOFTPHONE.code, "Filter": {"CUSTOMER_IDENTIFIER": [legacy.customer_identifier]}}
    assert seats_on(call(stage, ENTITLEMENTS, question)) == [4]
    old, new = call(stage, ENTITLEMENTS, {"ProductCode": SOFTPHONE.code}).body["Entitlements"]
    assert "CustomerIdentifier" in old
    assert "LicenseArn" not in old
    assert "CustomerIdentifier" not in new
    assert "LicenseArn" in new


def test_pages_hold_twenty_five_or_as_many_as_asked_for() -> None:
    """The last page has no NextToken, also when it is full."""
    stage = Stage()
    for seats in range(1, 51):
        bought(stage, seats)
    question = {"ProductCode": SOFTPHONE.code}
    assert all_pages(stage, question, FaultPlan()) == [list(range(1, 26)), list(range(26, 51))]
    assert [len(page) for page in all_pages(stage, question | {"MaxResults": 20}, FaultPlan())] == [20, 20, 10]


def test_empty_pages_stand_before_every_page_on_request() -> None:
    """Who stops at an empty page has read nothing."""
    stage = Stage()
    for seats in (1, 2, 3):
        bought(stage, seats)
    plan = FaultPlan(page_size=2, empty_pages=2)
    assert all_pages(stage, {"ProductCode": SOFTPHONE.code}, plan) == [[], [], [1, 2], [], [], [3]]


def test_a_next_token_belongs_to_its_question() -> None:
    """With another filter it is as good as made up."""
    stage = Stage()
    bought(stage, 1)
    bought(stage, 2)
    first = call(stage, ENTITLEMENTS, {"ProductCode": SOFTPHONE.code, "MaxResults": 1})
    other = {
        "ProductCode": SOFTPHONE.code,
        "Filter": {"DIMENSION": ["users"]},
        "NextToken": first.body["NextToken"],
    }
    assert call(stage, ENTITLEMENTS, other).body["__type"] == "InvalidParameterException"


def test_rows_can_be_replaced_by_any_that_aws_might_send() -> None:
    """A row says what it says; the names of the license are filled in."""
    stage = Stage()
    contract, other = bought(stage, 5), bought(stage, 7)
    plan = FaultPlan(
        rows={contract.agreement_id: ({"Dimension": "guests", "Value": {"BooleanValue": True}}, {"Value": {}})}
    )
    rows = call(stage, ENTITLEMENTS, {"ProductCode": SOFTPHONE.code}, plan=plan).body["Entitlements"]
    names = {
        "ProductCode": SOFTPHONE.code,
        "CustomerAWSAccountId": ANALYTICAL_ENGINES,
        "LicenseArn": contract.license_arn,
    }
    assert rows[:2] == [
        names | {"Dimension": "guests", "Value": {"BooleanValue": True}},
        names | {"Dimension": "users", "Value": {}},
    ]
    assert rows[2]["LicenseArn"] == other.license_arn


def test_a_buyer_gets_an_empty_answer_for_everyone() -> None:
    """200, as AWS does for credentials of the wrong account; the other calls are not concerned."""
    stage = Stage()
    contract = bought(stage, 5)
    plan = FaultPlan(as_buyer=True)
    assert call(stage, ENTITLEMENTS, {"ProductCode": SOFTPHONE.code}, plan=plan) == WireAnswer(status=200, body={})
    assert call(stage, DESCRIBE, {"agreementId": contract.agreement_id}, plan=plan).body["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        (RESOLVE, "InternalServiceErrorException"),
        (ENTITLEMENTS, "InternalServiceErrorException"),
        (DESCRIBE, "InternalServerException"),
    ],
)
def test_throttling_and_failures_are_counted_down_by_operation(target: str, fault: str) -> None:
    """First the throttled calls, then the failed ones, then it works; other operations are not concerned."""
    stage = Stage()
    contract = bought(stage, 5)
    token = stage.marketplace.issue_token(contract.agreement_id).token
    request = {
        "ProductCode": SOFTPHONE.code,
        "agreementId": contract.agreement_id,
        "RegistrationToken": token,
    }
    operation = target.split(".")[1]
    faults = Faults()
    faults.set(FaultPlan(throttle={operation: 2}, fail={operation: 1}))

    def answered(to: str) -> tuple[int, str | None]:
        answer = wire.answer(
            target=to, payload=json.dumps(request).encode(), marketplace=stage.marketplace, faults=faults
        )
        return answer.status, answer.body.get("__type")

    for other in {RESOLVE, ENTITLEMENTS, DESCRIBE} - {target}:
        assert answered(other) == (200, None)
    assert [answered(target) for _ in range(4)] == [
        (400, "ThrottlingException"),
        (400, "ThrottlingException"),
        (500, fault),
        (200, None),
    ]
    assert faults.plan == FaultPlan()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, "MISSING_AGREEMENT_ID"),
        ({"agreementId": ""}, "INVALID_AGREEMENT_ID"),
        ({"agreementId": 5}, "INVALID_AGREEMENT_ID"),
        ({"agreementId": "agmt 1"}, "INVALID_AGREEMENT_ID"),
        ({"agreementId": "a" * 65}, "INVALID_AGREEMENT_ID"),
    ],
)
def test_a_malformed_agreement_id_is_a_validation_error_with_its_reason(request_: dict[str, Any], reason: str) -> None:
    """The field is named too, as in AWS's shape."""
    answer = call(Stage(), DESCRIBE, request_)
    assert (answer.status, answer.body["__type"], answer.body["reason"]) == (400, "ValidationException", reason)
    assert answer.body["fields"][0]["name"] == "agreementId"


def test_a_call_without_a_registration_token_is_an_invalid_token() -> None:
    """So is one with a number in its place."""
    for request in ({}, {"RegistrationToken": 5}, {"RegistrationToken": ""}):
        assert call(Stage(), RESOLVE, request).body["__type"] == "InvalidTokenException"
