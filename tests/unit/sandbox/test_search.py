"""SearchAgreements and its neighbors on the wire."""

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from consumers.sandbox import AtEnd, Contract, Faults, Generation, NoRenewal, Offer, Party, SuccessorTerms, wire
from consumers.sandbox.wire import WireAnswer
from tests.unit.sandbox.story import ANALYTICAL_ENGINES, COMPILERS_INC, END_OF_MAY, END_OF_NEXT_MAY, NOON, Stage

SERVICE = "AWSMPCommerceService_v20200301"
OURS = {"PartyType": "Proposer", "AgreementType": "PurchaseAgreement"}
NEW_YEAR = NOON.replace(year=2027, month=1, day=1, hour=0)


def ask(stage: Stage, operation: str, request: object) -> WireAnswer:
    """Send one request to the agreement service."""
    return wire.answer(
        target=f"{SERVICE}.{operation}",
        payload=json.dumps(request).encode(),
        marketplace=stage.marketplace,
        faults=Faults(),
    )


def search(stage: Stage, *, sort: dict[str, str] | None = None, **filters: str) -> list[dict[str, Any]]:
    """Search to the last page, two agreements on each."""
    request: dict[str, Any] = {
        "filters": [{"name": name, "values": [value]} for name, value in (OURS | filters).items()],
        "maxResults": 2,
        **({"sort": sort} if sort else {}),
    }
    found: list[dict[str, Any]] = []
    while True:
        answer = ask(stage, "SearchAgreements", request)
        assert answer.status == 200, answer.body
        found += answer.body["agreementViewSummaries"]
        if "nextToken" not in answer.body:
            return found
        request["nextToken"] = answer.body["nextToken"]


def found_ids(stage: Stage, *, sort: dict[str, str] | None = None, **filters: str) -> list[str]:
    """Search, and name what was found."""
    return [summary["agreementId"] for summary in search(stage, sort=sort, **filters)]


def bought(stage: Stage, account_id: str = ANALYTICAL_ENGINES, offer: Offer | None = None) -> Contract:
    """Let a company buy five seats."""
    return stage.marketplace.buy(account_id=account_id, seats=5, until=END_OF_MAY, offer=offer or Offer()).contract


def test_a_chain_is_found_by_its_first_agreement_and_by_a_license() -> None:
    """Each summary names the license that the agreement gives."""
    stage = Stage()
    first = bought(stage)
    bought(stage, COMPILERS_INC)
    second = stage.marketplace.succeed(first.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY)).contract
    chain = search(stage, InitialAgreementId=first.agreement_id)
    assert [(one["agreementId"], one["status"]) for one in chain] == [
        (first.agreement_id, "RENEWED"),
        (second.agreement_id, "ACTIVE"),
    ]
    assert {one["initialAgreementId"] for one in chain} == {first.agreement_id}
    assert chain[1]["entitlements"] == [{"licenseArn": second.license_arn}]
    assert found_ids(stage, LicenseArn=second.license_arn) == [second.agreement_id]


def test_filters_hold_together() -> None:
    """By buyer, product, status, and what happens at the end."""
    stage = Stage()
    ours, theirs = bought(stage), bought(stage, COMPILERS_INC)
    stage.marketplace.cancel(ours.agreement_id)
    stage.marketplace.decide_end(theirs.agreement_id, at_end=AtEnd.EXPIRE, by=Party.PROPOSER)
    assert found_ids(stage, AcceptorAccountId=COMPILERS_INC) == [theirs.agreement_id]
    assert found_ids(stage, Status="CANCELLED") == [ours.agreement_id]
    assert found_ids(stage, Status="ACTIVE", AcceptorAccountId=ANALYTICAL_ENGINES) == []
    assert found_ids(stage, ResourceIdentifier="prod-another") == []
    assert len(found_ids(stage, ResourceIdentifier="prod-k35yywhyj4eqg", ResourceType="SaaSProduct")) == 2
    assert found_ids(stage, EndTimeBehaviorType="EXPIRE") == [theirs.agreement_id]
    assert found_ids(stage, EndTimeBehaviorReasonCode="PROPOSER_RENEW_OPTED_OUT") == [theirs.agreement_id]
    assert found_ids(stage, OfferId=ours.offer_id) == [ours.agreement_id]
    assert found_ids(stage, AgreementType="VendorInsightsAgreement") == []
    assert found_ids(stage, PartyType="Acceptor") == []


def test_changes_since_a_moment_are_found_in_their_order() -> None:
    """The last change of each agreement counts, so that a cursor misses none."""
    stage = Stage()
    first, second, third = bought(stage), bought(stage), bought(stage)
    stage.clock.move(timedelta(hours=1))
    stage.marketplace.cancel(third.agreement_id)
    stage.clock.move(timedelta(hours=1))
    stage.marketplace.set_seats(first.agreement_id, seats=9)
    newest_last = {"sortBy": "LastUpdateTime", "sortOrder": "ASCENDING"}
    since = {"AfterLastUpdateTime": "2026-11-24T12:00:00Z"}
    assert found_ids(stage, sort=newest_last, **since) == [third.agreement_id, first.agreement_id]
    assert found_ids(stage, BeforeLastUpdateTime="2026-11-24T12:30:00Z") == [second.agreement_id]
    assert found_ids(stage, sort=newest_last) == [second.agreement_id, third.agreement_id, first.agreement_id]
    newest_first = {"sortBy": "LastUpdateTime", "sortOrder": "DESCENDING"}
    assert found_ids(stage, sort=newest_first)[0] == first.agreement_id


def test_agreements_are_sorted_by_their_end_if_nothing_is_said() -> None:
    """And bounded by it."""
    stage = Stage()
    ends = (END_OF_NEXT_MAY, END_OF_MAY, NEW_YEAR)
    late, middle, early = (
        stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=1, until=until).contract.agreement_id
        for until in ends
    )
    assert found_ids(stage) == [early, middle, late]
    assert found_ids(stage, AfterEndTime="2027-01-01T00:00:00Z", BeforeEndTime="2028-01-01T00:00:00Z") == [middle]


def test_many_agreements_of_one_moment_come_once_each() -> None:
    """Pages go by time and id, and what is bought in between disturbs none of the pages before."""
    stage = Stage()
    for _ in range(9):
        bought(stage)
    ids = found_ids(stage)
    assert len(ids) == len(set(ids)) == 9
    assert all(one < another for one, another in pairwise(ids))


def test_what_a_partner_sold_can_be_neither_found_nor_read() -> None:
    """Only the proposer and the acceptor may."""
    stage = Stage()
    contract = bought(stage, offer=Offer(via_partner=True))
    assert found_ids(stage) == []
    for operation in ("DescribeAgreement", "GetAgreementEntitlements"):
        answer = ask(stage, operation, {"agreementId": contract.agreement_id})
        assert (answer.status, answer.body["__type"]) == (400, "AccessDeniedException")


def test_a_future_dated_agreement_has_no_license_yet() -> None:
    """It is ACTIVE, as AWS's events show it; its entitlement is SCHEDULED until it starts."""
    stage = Stage()
    contract = bought(stage, offer=Offer(starts_at=NEW_YEAR, trial_ends_at=END_OF_MAY))
    (summary,) = search(stage)
    assert (summary["status"], "entitlements" in summary) == ("ACTIVE", False)
    assert summary["freeTrialEndTime"] == END_OF_MAY.timestamp()
    assert found_ids(stage, LicenseArn=contract.license_arn) == []
    assert found_ids(stage, AfterStartTime="2026-12-01T00:00:00Z") == [contract.agreement_id]
    assert found_ids(stage, BeforeStartTime="2026-12-01T00:00:00Z") == []

    def entitlement() -> tuple[str, str | None]:
        (one,) = ask(stage, "GetAgreementEntitlements", {"agreementId": contract.agreement_id}).body[
            "agreementEntitlements"
        ]
        return one["status"], one.get("statusReasonCode")

    assert entitlement() == ("SCHEDULED", "FUTURE_START_DATE")
    stage.clock.at = NEW_YEAR
    assert entitlement() == ("PROVISIONED", None)
    assert found_ids(stage, LicenseArn=contract.license_arn) == [contract.agreement_id]
    stage.marketplace.cancel(contract.agreement_id)
    assert entitlement() == ("DEPROVISIONED", "AGREEMENT_INACTIVE")


@pytest.mark.parametrize(
    ("at_end", "behavior"),
    [
        (AtEnd.RENEW, {"type": "RENEW", "renewalSummary": {}}),
        (AtEnd.REPLACE, {"type": "REPLACE"}),
        (AtEnd.EXPIRE, {"type": "EXPIRE", "reasonCode": "ACCEPTOR_RENEW_OPTED_OUT", "renewalSummary": {}}),
    ],
)
def test_an_agreement_tells_what_becomes_of_it_at_its_end(at_end: AtEnd, behavior: dict[str, Any]) -> None:
    """As long as it is active; with the offer by which it renews, or would."""
    stage = Stage()
    contract = bought(stage, offer=Offer(at_end=at_end))
    described = ask(stage, "DescribeAgreement", {"agreementId": contract.agreement_id}).body
    if "renewalSummary" in behavior:
        behavior = behavior | {"renewalSummary": {"offerId": contract.offer_id}}
    assert described["endTimeBehavior"] == behavior
    (summary,) = search(stage)
    assert summary["endTimeBehaviorType"] == behavior["type"]
    assert summary.get("endTimeBehaviorReasonCode") == behavior.get("reasonCode")
    stage.marketplace.expire(contract.agreement_id)
    assert "endTimeBehaviorType" not in search(stage)[0]


@pytest.mark.parametrize("reason", NoRenewal)
def test_an_agreement_can_end_though_nobody_opted_out(reason: NoRenewal) -> None:
    """Its offer has no renewal, or it was renewed as often as it can be; until somebody decides otherwise."""
    stage = Stage()
    contract = bought(stage)
    stage.marketplace.decide_end(contract.agreement_id, at_end=AtEnd.EXPIRE, reason=reason)
    described = ask(stage, "DescribeAgreement", {"agreementId": contract.agreement_id}).body
    assert described["endTimeBehavior"] == {"type": "EXPIRE", "reasonCode": reason}
    assert found_ids(stage, EndTimeBehaviorReasonCode=reason) == [contract.agreement_id]
    assert stage.bodies()[-1]["detail"]["renewalSummary"]["disabledBy"] is None
    for decided, behavior in ((AtEnd.EXPIRE, "ACCEPTOR_RENEW_OPTED_OUT"), (AtEnd.RENEW, None)):
        stage.marketplace.decide_end(contract.agreement_id, at_end=decided)
        described = ask(stage, "DescribeAgreement", {"agreementId": contract.agreement_id}).body
        assert described["endTimeBehavior"].get("reasonCode") == behavior


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, "INVALID_FILTERS"),
        ({"filters": {}}, "INVALID_FILTERS"),
        ({"filters": []}, "INVALID_FILTERS"),
        ({"filters": [5]}, "MISSING_FILTER_NAME"),
        ({"filters": [{"values": ["x"]}]}, "MISSING_FILTER_NAME"),
        ({"filters": [{"name": "Colour", "values": ["x"]}]}, "INVALID_FILTER_NAME"),
        ({"filters": [{"name": "Status", "values": ["ACTIVE", "EXPIRED"]}]}, "INVALID_FILTER_VALUES"),
        ({"filters": [{"name": "Status", "values": [5]}]}, "INVALID_FILTER_VALUES"),
        ({"filters": [{"name": "AgreementType", "values": ["PurchaseAgreement"]}]}, "MISSING_PARTY_TYPE"),
        ({"party": "Seller"}, "INVALID_PARTY_TYPE"),
        ({"AfterEndTime": "yesterday"}, "INVALID_FILTER_VALUES"),
        ({"AfterEndTime": "2027-01-01"}, "INVALID_FILTER_VALUES"),
        ({"catalog": "AWSElsewhere"}, "INVALID_CATALOG"),
        ({"sort": {"sortBy": "Price"}}, "INVALID_SORT_BY"),
        ({"sort": {"sortBy": ["EndTime"]}}, "INVALID_SORT_BY"),
        ({"sort": {"sortOrder": "UP"}}, "INVALID_SORT_ORDER"),
        ({"sort": {"sortOrder": {}}}, "INVALID_SORT_ORDER"),
        ({"party": "Acceptor", "sort": {"sortBy": "LastUpdateTime"}}, "INVALID_SORT_BY"),
        ({"maxResults": 0}, "INVALID_MAX_RESULTS"),
        ({"maxResults": 51}, "INVALID_MAX_RESULTS"),
        ({"maxResults": True}, "INVALID_MAX_RESULTS"),
        ({"nextToken": "made-up"}, "INVALID_NEXT_TOKEN"),
    ],
)
def test_a_wrong_search_is_a_validation_error_with_its_reason(request_: dict[str, Any], reason: str) -> None:
    """The reasons are those of AWS's model."""
    asked = dict(request_)
    if not asked or "filters" in asked:
        filters = asked.get("filters")
    else:
        named = OURS | {"PartyType": asked.pop("party", "Proposer")}
        named |= {name: asked.pop(name) for name in ("AfterEndTime",) if name in asked}
        filters = [{"name": name, "values": [value]} for name, value in named.items()]
    answer = ask(Stage(), "SearchAgreements", asked | ({} if filters is None else {"filters": filters}))
    assert (answer.status, answer.body["__type"], answer.body["reason"]) == (400, "ValidationException", reason)


def test_an_agreement_that_ended_before_its_start_gave_no_license() -> None:
    """Not on the day on which it would have begun either."""
    stage = Stage()
    contract = bought(stage, offer=Offer(starts_at=NEW_YEAR))
    stage.marketplace.cancel(contract.agreement_id)
    for at in (NOON, NEW_YEAR + timedelta(days=1)):
        stage.clock.at = at
        (summary,) = search(stage)
        assert "entitlements" not in summary
        assert summary["endTime"] == summary["startTime"]
        assert found_ids(stage, LicenseArn=contract.license_arn) == []


def test_an_opted_in_row_has_both_names() -> None:
    """CustomerIdentifier and LicenseArn; a legacy one is not found by an ARN that AWS does not show."""
    stage = Stage()
    legacy = stage.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=4, until=END_OF_MAY, generation=Generation.LEGACY
    ).contract

    def rows() -> list[dict[str, Any]]:
        question = {"ProductCode": legacy.product_code, "Filter": {"LICENSE_ARN": [legacy.license_arn]}}
        answer = wire.answer(
            target="AWSMPEntitlementService.GetEntitlements",
            payload=json.dumps(question).encode(),
            marketplace=stage.marketplace,
            faults=Faults(),
        )
        return list(answer.body.get("Entitlements", []))

    assert rows() == []
    stage.marketplace.opt_in(legacy.agreement_id)
    (row,) = rows()
    assert (row["CustomerIdentifier"], row["LicenseArn"]) == (legacy.customer_identifier, legacy.license_arn)
