"""The stack that a vendor makes in an AWS account: sound, complete, and no wider than it must be."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import botocore.session
import pytest
from botocore import xform_name

from commands.settings import AWS_ACCOUNTS, SNS_TOPIC_ARNS, SQS_QUEUE_URL, Settings
from consumers.marketplace.doctor.channels import SOURCE, in_every_role
from consumers.marketplace.messages import DETAIL_TYPES, Poke, parse
from tests.integration.consumers_stage import PRODUCT_CODE
from tests.integration.stack import ACCOUNT, AWS_MARKETPLACE, TEMPLATE, Stack, make_stack, make_topics, template
from tests.unit.consumers import aws

ROOT: Final = Path(__file__).parents[2]
CONSUMERS: Final = ROOT / "consumers" / "marketplace"
PATTERN_CHARACTERS_MAX: Final = 2_048
"""AWS's quota for a rule, unless it is raised."""
SERVICES: Final = {
    "sqs": "sqs",
    "meteringmarketplace": "aws-marketplace",
    "marketplace-entitlement": "aws-marketplace",
    "marketplace-agreement": "aws-marketplace",
    "events": "events",
    "sns": "sns",
}
"""The services that are asked, and the prefix of their actions. (GetCallerIdentity of STS needs no permission.)"""
SINGLE: Final = {"sqs:DeleteMessageBatch": "sqs:DeleteMessage"}
"""Actions that IAM has under another name."""


def pattern() -> dict[str, Any]:
    """The pattern of the rule."""
    found: dict[str, Any] = template()["Resources"]["Rule"]["Properties"]["EventPattern"]
    return found


def granted(*policies: str) -> set[str]:
    """The actions that these policies allow."""
    documents = [template()["Resources"][name]["Properties"]["PolicyDocument"] for name in policies]
    actions = [statement["Action"] for document in documents for statement in document["Statement"]]
    return {action for one in actions for action in ([one] if isinstance(one, str) else one)}


def called(*modules: Path) -> set[str]:
    """The actions that are needed for the calls in these modules."""
    text = "\n".join(module.read_text(encoding="utf-8") for module in modules)
    methods = set(re.findall(r"\.(\w+)\(", text)) | set(re.findall(r"get_paginator\(\"(\w+)\"", text))
    session = botocore.session.get_session()
    needed = {
        f"{prefix}:{operation}"
        for service, prefix in SERVICES.items()
        for operation in session.get_service_model(service).operation_names
        if xform_name(operation) in methods
    }
    return {SINGLE.get(action, action) for action in needed}


@pytest.fixture(scope="module")
def stack() -> Stack:
    """The stack of a listing with concurrent agreements."""
    return make_stack()


def event(detail_type: str, *, source: str = SOURCE) -> Any:  # noqa: ANN401 -- an entry of boto3's
    """An event for the default bus."""
    return {"Source": source, "DetailType": detail_type, "Detail": json.dumps(aws.license_event("Updated")["detail"])}


def test_cfn_lint_finds_nothing() -> None:
    """Names, types, values and actions are CloudFormation's."""
    linter = Path(sys.executable).with_name("cfn-lint")
    linted = subprocess.run([linter, TEMPLATE], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, ""), linted.stdout + linted.stderr


def test_the_rule_takes_what_the_ledger_reads() -> None:
    """Every detail-type that is understood, in both roles of a seller, and no other."""
    assert pattern()["source"] == [SOURCE]
    assert sorted(pattern()["detail-type"]) == sorted(in_every_role(DETAIL_TYPES))


def test_the_rule_is_no_longer_than_aws_allows() -> None:
    """A longer pattern would be refused, which moto does not tell."""
    assert len(json.dumps(pattern())) <= PATTERN_CHARACTERS_MAX


def test_the_ledgers_policy_allows_what_the_ledger_calls() -> None:
    """No more; but for the attributes of its own queue, which the doctor reads."""
    ledgers = [module for module in CONSUMERS.rglob("*.py") if module.parent.name != "doctor"]
    assert granted("LedgerPolicy") == called(*ledgers) | {"sqs:GetQueueAttributes"}


def test_the_doctors_policy_allows_the_rest_of_what_the_doctor_calls() -> None:
    """Both together allow all of its calls; its own changes nothing."""
    assert granted("LedgerPolicy", "DoctorPolicy") == called(*CONSUMERS.rglob("*.py"))
    assert all(re.search(r":(Describe|Get|List)", action) for action in granted("DoctorPolicy"))


def test_the_settings_are_those_of_the_ledger(stack: Stack) -> None:
    """The output is a file of its environment, and nothing in it is unknown to it."""
    settings = Settings(stack.settings)
    assert settings.unknown == []
    assert settings[SQS_QUEUE_URL] == stack.queue_url
    assert settings.products == {PRODUCT_CODE: ("users",)}
    assert settings[AWS_ACCOUNTS] == {ACCOUNT}
    assert settings.optional(SNS_TOPIC_ARNS) is None
    assert stack.settings["AWS_REGION"] == "us-east-1"


def test_a_message_is_kept_for_two_weeks_and_not_given_up_early(stack: Stack) -> None:
    """As long as SQS keeps anything; and encrypted."""
    queue, undelivered = stack.attributes(stack.queue_url), stack.attributes(stack.undelivered_url)
    assert {queue["MessageRetentionPeriod"], undelivered["MessageRetentionPeriod"]} == {"1209600"}
    assert json.loads(queue["RedrivePolicy"]) == {
        "deadLetterTargetArn": undelivered["QueueArn"],
        "maxReceiveCount": 1000,
    }
    resources = template()["Resources"]
    assert all(resources[name]["Properties"]["SqsManagedSseEnabled"] for name in ("Queue", "Undelivered"))


def test_the_queues_outlive_their_stack_but_no_creation_that_failed() -> None:
    """They may hold the only copy of a message. Left by a failure they would be empty, and in the way."""
    queues = [template()["Resources"][name] for name in ("Queue", "Undelivered")]
    assert [queue["DeletionPolicy"] for queue in queues] == ["RetainExceptOnCreate"] * 2
    assert [queue["UpdateReplacePolicy"] for queue in queues] == ["Retain"] * 2


def test_an_event_of_aws_marketplace_reaches_the_queue(stack: Stack) -> None:
    """As it is, so that the ledger understands it."""
    stack.events.put_events(Entries=[event("License Updated - Manufacturer")])
    (body,) = stack.received(stack.queue_url)
    assert isinstance(parse(body, transport_id=aws.TRANSPORT_ID), Poke)


@pytest.mark.parametrize(
    "other",
    [event("Purchase Agreement Created - Acceptor"), event("License Updated - Manufacturer", source="aws.ec2")],
    ids=["a purchase of our own", "another source"],
)
def test_no_other_event_does(stack: Stack, other: Any) -> None:  # noqa: ANN401 -- an event of boto3's
    """What this account buys itself is told with another role."""
    stack.events.put_events(Entries=[other])
    assert stack.received(stack.queue_url) == []


def test_what_the_rule_can_not_deliver_is_kept_too(stack: Stack) -> None:
    """AWS tries for a day, and then would drop it."""
    (target,) = stack.events.list_targets_by_rule(Rule=stack.rule_name)["Targets"]
    assert target["Arn"] == stack.queue_arn
    assert target["DeadLetterConfig"] == {"Arn": f"{stack.queue_arn}-undelivered"}
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}


def test_the_alarms_look_at_the_queues() -> None:
    """One where nobody takes messages, one where they are not delivered. Moto makes no alarms from a template."""
    alarms = [one["Properties"] for one in template()["Resources"].values() if one["Type"] == "AWS::CloudWatch::Alarm"]
    watched = [(alarm["Dimensions"][0]["Value"]["Fn::GetAtt"], alarm["MetricName"]) for alarm in alarms]
    assert watched == [
        (["Queue", "QueueName"], "ApproximateAgeOfOldestMessage"),
        (["Undelivered", "QueueName"], "ApproximateNumberOfMessagesVisible"),
    ]


def test_only_the_rule_may_send(stack: Stack) -> None:
    """To either queue, and only on behalf of this one rule."""
    rule = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/{stack.rule_name}"
    for url in (stack.queue_url, stack.undelivered_url):
        attributes = stack.attributes(url)
        assert json.loads(attributes["Policy"])["Statement"] == [
            {
                "Sid": "Rule",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": attributes["QueueArn"],
                "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
            }
        ]


def test_the_topics_of_a_legacy_listing_reach_the_queue_in_their_envelope() -> None:
    """Which the ledger understands, and whose signature it can verify."""
    code = uuid4().hex
    topics = make_topics(code)
    stack = make_stack(legacy_product_code=code)
    said = json.dumps(aws.notification("entitlement-updated"))
    for topic in topics:
        stack.sns.publish(TopicArn=topic, Message=said)
    bodies = stack.received(stack.queue_url)
    assert sorted(json.loads(body)["TopicArn"] for body in bodies) == sorted(topics)
    assert all(isinstance(parse(body, transport_id=aws.TRANSPORT_ID), Poke) for body in bodies)
    marketplaces = {topic.replace(ACCOUNT, AWS_MARKETPLACE) for topic in topics}
    assert Settings(stack.settings)[SNS_TOPIC_ARNS] == marketplaces
    statements = json.loads(stack.attributes(stack.queue_url)["Policy"])["Statement"]
    assert [statement["Sid"] for statement in statements] == ["Rule", "Topics"]
    assert sorted(statements[1]["Condition"]["ArnEquals"]["aws:SourceArn"]) == sorted(topics)
