"""Messages in AWS's own shapes, as its documentation prints them and as they were captured."""

import json
import sys
from collections.abc import Iterator
from typing import Any

AGREEMENT = "agmt-2nehijlqfz9g7f2v6imgyjhmu"
ACCOUNT = "782858285006"
PRODUCT_ID = "prod-k35yywhyj4eqg"
PRODUCT_CODE = "74az0btybm649octamy0sktos"
LICENSE = "l-9d01d15f86334a8894365cd7350556ff"
LICENSE_ARN = f"arn:aws:license-manager::294406891311:license:{LICENSE}"
CUSTOMER = "X01EXAMPLEX"
TRANSPORT_ID = "a-message-of-sqs"
EVENT_ID = "84a4f48b-0000-4000-8000-000000000001"
SNS_ID = "63a3f6b6-d533-4a47-aef9-fcf5cf758c76"


def event(detail_type: str, detail: dict[str, Any], **envelope: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    """An event of EventBridge; members of the envelope may be replaced."""
    return {
        "version": "0",
        "id": EVENT_ID,
        "detail-type": detail_type,
        "source": "aws.agreement-marketplace",
        "account": "993604559884",
        "time": "2026-08-20T14:24:23Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:aws-marketplace::aws:agreement:{AGREEMENT}"],
        "detail": {
            "requestId": "9838714e-0000-4000-8000-000000000001",
            "catalog": "AWSMarketplace",
            "acceptor": {"accountId": ACCOUNT},
            "proposer": {"accountId": "993604559884"},
            **detail,
        },
        **envelope,
    }


def license_event(what: str = "Updated", **detail: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    """License Updated or Deprovisioned, as captured on 20 August 2026; members of the detail may be replaced."""
    return event(
        f"License {what} - Manufacturer",
        {
            "offer": {"id": "offer-uovnpk2f6jq7s"},
            "license": {"arn": LICENSE_ARN},
            "product": {"id": PRODUCT_ID, "code": PRODUCT_CODE},
            "agreement": {"id": AGREEMENT},
            **detail,
        },
    )


CREATED = event(
    "Purchase Agreement Created - Proposer",
    {
        "offer": {"id": "offer-uovnpk2f6jq7s"},
        "agreement": {
            "id": AGREEMENT,
            "intent": "NEW",
            "status": "ACTIVE",
            "endTime": "9999-01-01T00:00:00Z",
            "startTime": "2026-08-20T14:23:11.013Z",
            "acceptanceTime": "2026-08-20T14:23:11.013Z",
        },
        "resaleAuthorization": {"id": None},
    },
)
RENEWED_INTO = event(
    "Purchase Agreement Created - Proposer",
    {
        "agreement": {
            "id": "agmt-newrenewalagreementid",
            "intent": "RENEW",
            "status": "ACTIVE",
            "previousAgreementId": AGREEMENT,
        },
        "product": {"id": PRODUCT_ID, "title": "Product Title"},
        "offer": {"id": "offer-1234567890123"},
    },
)
AMENDED = event(
    "Purchase Agreement Amended - Proposer",
    {
        "agreement": {"id": AGREEMENT, "intent": "AMEND", "status": "ACTIVE", "autoRenewalEnabled": True},
        "renewalSummary": {"lockoutStartTime": "2025-04-30T21:36:03Z", "disabledBy": None},
        "product": {"id": PRODUCT_ID, "title": "Product Title"},
        "resaleAuthorization": {"id": "resaleauthz-yaxjqxiskysxa"},
    },
)
CANCELLATION_REQUESTED = event(
    "Agreement Cancellation Request Approved - Proposer",
    {
        "agreement": {"id": "agmt-abcdexampleid", "acceptorId": "123465789012", "productId": "prod-exampleid"},
        "agreementCancellationRequest": {"id": "acr-abcdexampleid", "statusCode": "APPROVED"},
    },
    resources=[],
)
ENDING = event("Purchase Agreement Ending - Proposer", {"agreement": {"id": AGREEMENT, "daysBeforeEndTime": 180}})
ADJUSTED = event(
    "Purchase Agreement Billing Adjustment Completed - Proposer",
    {"billingAdjustmentRequest": {"id": "ba-1", "adjustmentAmount": "-100.00", "currencyCode": "USD"}},
)


def ended(status: str, role: str = "Proposer") -> dict[str, Any]:
    """Purchase Agreement Ended, as captured: without an offer."""
    return event(
        f"Purchase Agreement Ended - {role}",
        {"agreement": {"id": AGREEMENT, "status": status}, "resaleAuthorization": {"id": None}},
    )


def notification(action: str, **members: str) -> dict[str, str]:
    """What a legacy SNS topic says; members may be added."""
    return {"action": action, "customer-identifier": CUSTOMER, "product-code": PRODUCT_CODE, **members}


def wrapped(message: object) -> dict[str, object]:
    """An SNS envelope; its message is a text unless it is given as something else."""
    return {
        "Type": "Notification",
        "MessageId": SNS_ID,
        "TopicArn": f"arn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-{PRODUCT_CODE}",
        "Message": message,
        "Timestamp": "2012-03-29T05:12:16.901Z",
        "SignatureVersion": "1",
        "Signature": "…",
        "SigningCertURL": "…",
        "UnsubscribeURL": "…",
    }


def body(document: object) -> str:
    """The body of an SQS message."""
    return json.dumps(document)


def nested_ever_deeper() -> Iterator[str]:
    """Lists in lists, from some that every program reads to some that none does."""
    for depth in range(sys.getrecursionlimit() - 300, sys.getrecursionlimit() + 1):
        yield "[" * depth + "]" * depth
