"""Messages of SNS in the composed system: signed by the sandbox in a process of its own, verified in another one."""

import json
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from tests.e2e.composed import Ledgers, Served, wait_for


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_legacy_purchase_is_believed_and_a_forgery_is_not(composed: Ledgers, version: str) -> None:
    """With nothing set but what the sandbox tells: the license is there, and the forged end of it is in the inbox."""
    marketplace = composed.start_marketplace("--signature-version", version)
    served = composed.serve(**marketplace)
    until = (datetime.now(UTC) + timedelta(days=189)).isoformat()
    bought = served.control(
        "POST",
        "/sandbox/contracts",
        {"account_id": "111122223333", "seats": 5, "until": until, "generation": "legacy"},
    )
    assert bought.status == 201, bought.body
    wait_for(lambda: [one["seats_max"] for one in served.licenses()] == [5], what="the license")

    heard = inbox(served)[0]
    signed = json.loads(served.call("GET", f"/v1/inbox/{heard['number']}").json["body"])
    assert signed["SignatureVersion"] == version
    said = json.loads(signed["Message"]) | {"action": "unsubscribe-success"}
    forged = signed | {"MessageId": "forged", "Message": json.dumps(said)}
    sqs = boto3.client(
        "sqs",
        endpoint_url=marketplace["AWS_ENDPOINT_URL_SQS"],
        region_name=marketplace["AWS_REGION"],
        aws_access_key_id=marketplace["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=marketplace["AWS_SECRET_ACCESS_KEY"],
    )
    sqs.send_message(QueueUrl=marketplace["LEDGER_SQS_QUEUE_URL"], MessageBody=json.dumps(forged))
    sqs.close()
    wait_for(lambda: inbox(served)[0]["status"] == "failed", what="the forgery")
    assert inbox(served)[0]["reason"] == "The signature does not fit the message: SNS never sent it like this."
    assert [one["status"] for one in served.licenses()] == ["active"]
    assert served.stop() == 0


def inbox(served: Served) -> list[dict[str, str]]:
    """The messages, newest first."""
    messages: list[dict[str, str]] = served.call("GET", "/v1/inbox").json["items"]
    return messages
