"""The stack of docs/marketplace.cloudformation.yaml, made in moto's server.

Moto's CloudFormation makes queues, rule and policies of IAM; policies of queues and subscriptions are made here, by the
calls that CloudFormation would make, and alarms are left out. Moto delivers within one account, so that the topics,
which are AWS Marketplace's, are the seller's own here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import boto3
import yaml

from tests.integration.consumers_stage import PRODUCT_CODE, sqs_endpoint

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

TEMPLATE: Final = Path(__file__).parents[2] / "docs" / "marketplace.cloudformation.yaml"
ACCOUNT: Final = "123456789012"
"""The account that sells, and the only one that moto has."""
AWS_MARKETPLACE: Final = "287250355862"
"""The account of the topics."""
NOT_MADE_BY_MOTO: Final = ("AWS::CloudWatch::Alarm", "AWS::SNS::Subscription", "AWS::SQS::QueuePolicy")
PRODUCTS: Final = f"{PRODUCT_CODE}:users"
CREDENTIALS: Final[Mapping[str, str]] = {
    "AWS_ACCESS_KEY_ID": "AKIAGRACEHOPPERSELLS",
    "AWS_SECRET_ACCESS_KEY": "what-nobody-else-may-know",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def client(service: Any) -> Any:  # noqa: ANN401 -- boto3's overloads want literals
    """A client of moto's server."""
    return boto3.client(
        service,
        endpoint_url=sqs_endpoint(),
        region_name=CREDENTIALS["AWS_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


class _Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms as what stands behind them."""


def _long_form(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> Any:  # noqa: ANN401 -- whatever a template holds
    if isinstance(node, yaml.SequenceNode):
        return {f"Fn::{name}": loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    text = loader.construct_scalar(node)
    match name:
        case "Ref":
            return {"Ref": text}
        case "GetAtt":
            return {"Fn::GetAtt": text.split(".")}
        case _:
            return {f"Fn::{name}": text}


_Template.add_multi_constructor("!", _long_form)


@cache
def template() -> dict[str, Any]:
    """The template, read."""
    document: dict[str, Any] = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Template)  # noqa: S506 -- a safe loader
    return document


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """A stack that was made.

    Attributes:
        queue_name: the parameter QueueName.
        outputs: by name.
        resources: the physical ids by the names in the template.
    """

    queue_name: str
    outputs: Mapping[str, str]
    resources: Mapping[str, str]
    sqs: "SQSClient"
    events: "EventBridgeClient"
    sns: "SNSClient"

    @property
    def settings(self) -> Mapping[str, str]:
        """The output Settings, as a shell reads it."""
        lines = self.outputs["Settings"].splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    @property
    def queue_url(self) -> str:
        """Of the queue for the ledger."""
        return self.resources["Queue"]

    @property
    def queue_arn(self) -> str:
        """The same queue, as others name it."""
        return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{self.queue_name}"

    @property
    def undelivered_url(self) -> str:
        """Of the queue for what could not be delivered."""
        return self.resources["Undelivered"]

    @property
    def rule_name(self) -> str:
        """Of the rule."""
        return self.resources["Rule"].rpartition("/")[2]

    def attributes(self, url: str) -> Mapping[str, str]:
        """Everything about a queue."""
        told = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return {str(name): value for name, value in told.items()}

    def received(self, url: str) -> list[str]:
        """What lies in a queue now; moto delivers before it answers, so nothing is on its way."""
        found = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [message["Body"] for message in found]


def make_stack(*, legacy_product_code: str | None = None) -> Stack:
    """Make the stack, with a queue of its own."""
    name = f"marketplace-{uuid4().hex[:12]}"
    parameters = {"Products": PRODUCTS, "QueueName": name} | (
        {"LegacyProductCode": legacy_product_code} if legacy_product_code else {}
    )
    made_by_moto = {
        name: resource for name, resource in template()["Resources"].items() if resource["Type"] not in NOT_MADE_BY_MOTO
    }
    cloudformation = client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template() | {"Resources": made_by_moto}),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    (made,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    assert made["StackStatus"] == "CREATE_COMPLETE", made
    resources = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
    stack = Stack(
        queue_name=name,
        outputs={one["OutputKey"]: one["OutputValue"] for one in made["Outputs"]},
        resources={one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources},
        sqs=client("sqs"),
        events=client("events"),
        sns=client("sns"),
    )
    _make_the_rest(stack, legacy_product_code=legacy_product_code)
    return stack


def _make_the_rest(stack: Stack, *, legacy_product_code: str | None) -> None:
    arns = {
        "Queue": stack.queue_arn,
        "Undelivered": f"{stack.queue_arn}-undelivered",
        "Rule": f"arn:aws:events:us-east-1:{ACCOUNT}:rule/{stack.rule_name}",
    }

    def resolved(node: Any) -> Any:  # noqa: ANN401 -- whatever a template holds
        match node:
            case {"Fn::GetAtt": [name, "Arn"]}:
                return arns[name]
            case {"Fn::Sub": text}:
                return text.replace("${LegacyProductCode}", legacy_product_code).replace(AWS_MARKETPLACE, ACCOUNT)
            case {"Fn::If": ["HasLegacyListing", then, _]}:
                return resolved(then) if legacy_product_code else None
            case dict():
                return {name: resolved(value) for name, value in node.items()}
            case list():
                return [found for found in map(resolved, node) if found is not None]
            case _:
                return node

    def properties(name: str) -> Any:  # noqa: ANN401 -- whatever a template holds
        return resolved(template()["Resources"][name]["Properties"])

    for name, url in (("QueuePolicy", stack.queue_url), ("UndeliveredPolicy", stack.undelivered_url)):
        policy = json.dumps(properties(name)["PolicyDocument"])
        stack.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    for name in ("EntitlementTopic", "SubscriptionTopic") if legacy_product_code else ():
        told = properties(name)
        stack.sns.subscribe(
            TopicArn=told["TopicArn"],
            Protocol=told["Protocol"],
            Endpoint=told["Endpoint"],
            Attributes={
                "RawMessageDelivery": json.dumps(told["RawMessageDelivery"]),
                "RedrivePolicy": json.dumps(told["RedrivePolicy"]),
            },
        )


def make_topics(product_code: str) -> tuple[str, str]:
    """Make the two topics of a legacy listing, as AWS Marketplace does; returns their ARNs."""
    made = [
        client("sns").create_topic(Name=f"aws-mp-{kind}-notification-{product_code}")["TopicArn"]
        for kind in ("entitlement", "subscription")
    ]
    return made[0], made[1]
