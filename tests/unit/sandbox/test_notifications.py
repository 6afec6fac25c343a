"""The shapes of the messages, against those that AWS documents and those captured from it."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from consumers.sandbox import Contract, Generation
from consumers.sandbox.notices import instant
from tests.unit.sandbox.story import ANALYTICAL_ENGINES, END_OF_MAY, END_OF_NEXT_MAY, NOON, SOFTPHONE, Stage

SELLER = "444455556666"


def bought(stage: Stage, generation: Generation = Generation.CONCURRENT) -> Contract:
    """Let the company of Ada buy five seats."""
    return stage.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, generation=generation
    ).contract


def event(contract: Contract, detail_type: str, detail: dict[str, Any]) -> dict[str, Any]:
    """Lay the members out that every event has, as captured from AWS, without its random ids."""
    return {
        "version": "0",
        "detail-type": detail_type,
        "source": "aws.agreement-marketplace",
        "account": SELLER,
        "time": "2026-11-24T12:00:00Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:aws-marketplace::aws:agreement:{contract.agreement_id}"],
        "detail": {
            "catalog": "AWSMarketplace",
            "acceptor": {"accountId": ANALYTICAL_ENGINES},
            "proposer": {"accountId": SELLER},
            **detail,
        },
    }


def without_random_ids(sent: dict[str, Any]) -> dict[str, Any]:
    """Take the two ids out that are different in every event."""
    detail = {name: value for name, value in sent["detail"].items() if name != "requestId"}
    return {name: value for name, value in sent.items() if name != "id"} | {"detail": detail}


def license_event(contract: Contract, detail_type: str) -> dict[str, Any]:
    """Lay a license event out: the only kind that carries the product and the ARN."""
    return event(
        contract,
        detail_type,
        {
            "offer": {"id": contract.offer_id},
            "license": {"arn": contract.license_arn},
            "product": {"id": SOFTPHONE.id, "code": SOFTPHONE.code},
            "agreement": {"id": contract.agreement_id},
        },
    )


def test_a_purchase_is_told_as_captured_from_aws() -> None:
    """Created with the intent NEW, then License Updated with product and ARN; neither says how many seats."""
    stage = Stage()
    contract = bought(stage)
    created, updated = map(without_random_ids, stage.bodies())
    assert created == event(
        contract,
        "Purchase Agreement Created - Proposer",
        {
            "offer": {"id": contract.offer_id},
            "agreement": {
                "id": contract.agreement_id,
                "intent": "NEW",
                "status": "ACTIVE",
                "acceptanceTime": "2026-11-24T12:00:00Z",
                "startTime": "2026-11-24T12:00:00Z",
                "endTime": "2027-05-31T23:59:59.999Z",
            },
            "resaleAuthorization": {"id": None},
        },
    )
    assert updated == license_event(contract, "License Updated - Manufacturer")


def test_an_amendment_is_told_with_the_members_that_a_proposer_gets() -> None:
    """The intent is AMEND, and it says whether the contract renews by itself."""
    stage = Stage()
    contract = bought(stage)
    stage.sent.clear()
    stage.marketplace.renew(contract.agreement_id, until=END_OF_NEXT_MAY)
    amended, updated = map(without_random_ids, stage.bodies())
    assert amended == event(
        contract,
        "Purchase Agreement Amended - Proposer",
        {
            "offer": {"id": contract.offer_id},
            "agreement": {
                "id": contract.agreement_id,
                "intent": "AMEND",
                "status": "ACTIVE",
                "acceptanceTime": "2026-11-24T12:00:00Z",
                "startTime": "2026-11-24T12:00:00Z",
                "endTime": "2028-05-31T23:59:59.999Z",
                "autoRenewalEnabled": True,
            },
            "renewalSummary": {"lockoutStartTime": None, "disabledBy": None},
            "product": {"id": SOFTPHONE.id, "title": SOFTPHONE.title},
            "resaleAuthorization": {"id": None},
        },
    )
    assert updated == license_event(contract, "License Updated - Manufacturer")


def test_an_amendment_of_a_contract_that_does_not_renew_says_who_opted_out() -> None:
    """The buyer, whom AWS calls the acceptor."""
    stage = Stage()
    contract = stage.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, auto_renews=False
    ).contract
    stage.sent.clear()
    stage.marketplace.set_seats(contract.agreement_id, seats=3)
    amended = stage.bodies()[0]["detail"]
    assert amended["agreement"]["autoRenewalEnabled"] is False
    assert amended["renewalSummary"] == {"lockoutStartTime": None, "disabledBy": "ACCEPTOR"}


def test_a_cancellation_is_told_as_captured_from_aws() -> None:
    """Ended has no offer; License Deprovisioned has the very members of License Updated."""
    stage = Stage()
    contract = bought(stage)
    stage.sent.clear()
    stage.marketplace.cancel(contract.agreement_id)
    ended, deprovisioned = map(without_random_ids, stage.bodies())
    assert ended == event(
        contract,
        "Purchase Agreement Ended - Proposer",
        {
            "agreement": {"id": contract.agreement_id, "status": "CANCELLED"},
            "resaleAuthorization": {"id": None},
        },
    )
    assert deprovisioned == license_event(contract, "License Deprovisioned - Manufacturer")


def test_an_expiry_ends_with_the_status_expired() -> None:
    """It differs from a cancellation by the status alone."""
    stage = Stage()
    contract = bought(stage)
    stage.sent.clear()
    stage.marketplace.expire(contract.agreement_id)
    assert stage.bodies()[0]["detail"]["agreement"] == {"id": contract.agreement_id, "status": "EXPIRED"}


def test_no_two_events_share_an_id() -> None:
    """Event ids and request ids are what a consumer knows a repeated message by."""
    stage = Stage()
    contract = bought(stage)
    stage.marketplace.set_seats(contract.agreement_id, seats=3)
    ids = [body["id"] for body in stage.bodies()] + [body["detail"]["requestId"] for body in stage.bodies()]
    assert len(set(ids)) == len(ids) == 8


def legacy_notification(contract: Contract, action: str, **rest: str) -> dict[str, str]:
    """Lay a legacy notification out, without its envelope."""
    assert contract.customer_identifier is not None
    return {
        "action": action,
        "customer-identifier": contract.customer_identifier,
        "product-code": SOFTPHONE.code,
        **rest,
    }


def test_a_legacy_purchase_comes_in_the_sns_envelope() -> None:
    """subscribe-success with the offer, then entitlement-updated; the payload is a JSON string in Message."""
    stage = Stage()
    contract = bought(stage, Generation.LEGACY)
    subscribed, entitled = stage.bodies()
    assert json.loads(subscribed["Message"]) == legacy_notification(
        contract, "subscribe-success", **{"offer-identifier": contract.offer_id, "isFreeTrialTermPresent": "false"}
    )
    assert json.loads(entitled["Message"]) == legacy_notification(contract, "entitlement-updated")
    assert subscribed["TopicArn"] == (
        f"arn:aws:sns:us-east-1:287250355862:aws-mp-subscription-notification-{SOFTPHONE.code}"
    )
    assert entitled["TopicArn"] == (
        f"arn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-{SOFTPHONE.code}"
    )
    assert entitled["Type"] == "Notification"
    assert entitled["Timestamp"] == "2026-11-24T12:00:00.000Z"
    assert entitled["MessageId"] != subscribed["MessageId"]
    assert set(entitled) == {
        *("Type", "MessageId", "TopicArn", "Message", "Timestamp"),
        *("SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL"),
    }


def test_raw_delivery_leaves_the_envelope_out() -> None:
    """The body is the notification itself."""
    stage = Stage(raw_delivery=True)
    contract = bought(stage, Generation.LEGACY)
    assert stage.bodies()[1] == legacy_notification(contract, "entitlement-updated")


def test_a_legacy_life_is_told_by_pokes_and_a_cancellation_by_unsubscribing() -> None:
    """Seats and renewals are one and the same message; cancelling says pending, poke, success."""
    stage = Stage(raw_delivery=True)
    contract = bought(stage, Generation.LEGACY)
    stage.sent.clear()
    stage.marketplace.set_seats(contract.agreement_id, seats=3)
    stage.marketplace.renew(contract.agreement_id, until=END_OF_NEXT_MAY)
    stage.marketplace.cancel(contract.agreement_id)
    poke = legacy_notification(contract, "entitlement-updated")
    assert stage.bodies() == [
        poke,
        poke,
        legacy_notification(contract, "unsubscribe-pending", isFreeTrialTermPresent="false"),
        poke,
        legacy_notification(contract, "unsubscribe-success", isFreeTrialTermPresent="false"),
    ]


def test_a_legacy_expiry_is_a_poke_and_no_more() -> None:
    """AWS: at expiry the product gets entitlement-updated, and GetEntitlements answers empty."""
    stage = Stage(raw_delivery=True)
    contract = bought(stage, Generation.LEGACY)
    stage.sent.clear()
    stage.marketplace.expire(contract.agreement_id)
    assert stage.bodies() == [legacy_notification(contract, "entitlement-updated")]


def test_a_time_has_milliseconds_only_where_there_are_any() -> None:
    """As in captured events: both forms occur, always in UTC."""
    assert instant(NOON) == "2026-11-24T12:00:00Z"
    assert instant(END_OF_MAY) == "2027-05-31T23:59:59.999Z"
    assert instant(datetime(2026, 11, 24, 12, 0, 0, 7, UTC)) == "2026-11-24T12:00:00Z"
    assert instant(NOON.astimezone(timezone(timedelta(hours=5)))) == "2026-11-24T12:00:00Z"
