"""The doctor looks at a stack and a Marketplace of which one thing at a time is wrong, and says so in words."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from consumers.marketplace.doctor import Finding, Verdict, channels
from consumers.sandbox import FaultPlan
from ledger.times import system_now
from tests.integration.consumers_stage import PRODUCT_CODE, PRODUCT_ID, open_ledger
from tests.integration.doctor_stage import SAYING_MORE, DoctorStage, doctor_stage
from tests.integration.ledgers import url_of
from tests.integration.stack import ACCOUNT, CREDENTIALS, make_topics

PRODUCT: Final = f"product {PRODUCT_CODE}"
COMMAND: Final = Path(sys.executable).with_name("licensing-ledger")
OK, WARNING, WRONG, COULD_NOT_LOOK = Verdict
MINUTE: Final = timedelta(minutes=1)


@pytest.fixture(scope="module")
def standing_stage() -> Iterator[DoctorStage]:
    """All is well, and somebody has bought."""
    with doctor_stage() as staged:
        staged.buy()
        yield staged


@pytest.fixture
def stage(standing_stage: DoctorStage) -> DoctorStage:
    """The same, with an open door; for tests that touch neither the stack nor the Marketplace."""
    standing_stage.door.open()
    return standing_stage


@pytest.fixture
def own_stage() -> Iterator[DoctorStage]:
    """A stage that a test may leave in pieces. Nobody has bought."""
    with doctor_stage() as staged:
        yield staged


@pytest.fixture
def legacy_stage() -> Iterator[DoctorStage]:
    """The same with a listing that speaks through SNS too."""
    code = uuid4().hex
    topics = make_topics(code)
    with doctor_stage(legacy_product_code=code) as staged:
        yield replace(staged, settings=replace(staged.settings, topic_arns=topics))


def verdicts(findings: list[Finding]) -> dict[str, Verdict]:
    """The verdict on each thing."""
    return {finding.check: finding.verdict for finding in findings}


def code_of(stage: DoctorStage) -> str:
    """The product code of the stage's legacy listing."""
    return min(stage.settings.topic_arns).rpartition("-")[2]


def add_rule(stage: DoctorStage, *, pattern: Mapping[str, Any]) -> str:
    """Add a rule that sends to the queue, too; returns its name."""
    name = f"beside-{stage.stack.rule_name}"[:64]
    stage.stack.events.put_rule(Name=name, EventPattern=pattern["EventPattern"], State="ENABLED")
    stage.stack.events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": stage.stack.queue_arn}])
    return name


def set_queue(stage: DoctorStage, **attributes: object) -> None:
    """Set attributes of the queue."""
    written: Any = {name: value if isinstance(value, str) else json.dumps(value) for name, value in attributes.items()}
    stage.stack.sqs.set_queue_attributes(QueueUrl=stage.stack.queue_url, Attributes=written)


def statements_of(stage: DoctorStage) -> dict[str, dict[str, Any]]:
    """What the queue's policy of the stack says, by its names for it."""
    policy = json.loads(stage.stack.attributes(stage.stack.queue_url)["Policy"])
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def set_policy(stage: DoctorStage, *statements: Mapping[str, Any]) -> None:
    """Let in whom these statements let in, and nobody else."""
    set_queue(stage, Policy={"Version": "2012-10-17", "Statement": statements})


def subscription_to(stage: DoctorStage, kind: str) -> str:
    """The queue's subscription to one of the two topics of a legacy listing."""
    (mine,) = [
        one["SubscriptionArn"]
        for page in stage.stack.sns.get_paginator("list_subscriptions").paginate()
        for one in page["Subscriptions"]
        if one["Endpoint"] == stage.stack.queue_arn and f"aws-mp-{kind}-" in one["TopicArn"]
    ]
    return mine


def test_all_is_well_with_a_ledger_on_the_stack(own_stage: DoctorStage) -> None:
    """But that it is no real Marketplace; the doctor looks at everything, and each finding is one line."""
    own_stage.buy()
    findings = own_stage.examine()
    assert verdicts(findings) == {
        "endpoints": WARNING,
        "credentials": OK,
        "account": OK,
        "region": OK,
        "queue": OK,
        "receiving": OK,
        "deleting": OK,
        "undelivered": OK,
        "senders": OK,
        "rule": OK,
        "legacy topics": OK,
        PRODUCT: OK,
        "registration": OK,
        "finding agreements": OK,
        "reading agreements": OK,
        "clock": OK,
    }
    assert all("\n" not in f"{finding.told}{finding.remedy}" for finding in findings)
    assert all((finding.remedy is None) == (finding.verdict is OK) for finding in findings)


def test_all_is_well_with_a_legacy_listing(legacy_stage: DoctorStage) -> None:
    """Both topics are named, and may send."""
    topics = legacy_stage.found("legacy topics")
    assert topics.verdict is OK
    assert topics.told.count("aws-mp-") == 2
    assert legacy_stage.found("senders").told.count("aws-mp-") == 2


def test_a_subscription_is_told_where_any_topic_is_taken(legacy_stage: DoctorStage) -> None:
    """SNS signs everybody's messages, so that the topics have to be named."""
    found = legacy_stage.found("legacy topics", replace(legacy_stage.settings, topic_arns=()))
    assert found.verdict is WARNING
    assert found.remedy is not None
    assert found.remedy.count("aws-mp-") == 2


def test_the_doctor_changes_nothing(own_stage: DoctorStage) -> None:
    """What lies in the queue is there for the ledger afterwards, seen by nobody for long."""
    own_stage.buy()
    before = own_stage.stack.attributes(own_stage.stack.queue_url)
    own_stage.examine()
    assert own_stage.stack.attributes(own_stage.stack.queue_url) == before
    assert len(own_stage.stack.received(own_stage.stack.queue_url)) == int(before["ApproximateNumberOfMessages"]) > 0


@pytest.mark.parametrize(
    ("operation", "code", "check", "verdict", "words"),
    [
        ("GetQueueAttributes", "AccessDenied", "queue", WRONG, "may not call GetQueueAttributes"),
        ("ReceiveMessage", "AccessDenied", "receiving", WRONG, "may not call ReceiveMessage"),
        ("ReceiveMessage", "RequestThrottled", "receiving", COULD_NOT_LOOK, "RequestThrottled"),
        ("DeleteMessage", "AccessDenied", "deleting", WRONG, "may not call DeleteMessage"),
        (
            "ListRuleNamesByTarget",
            "AccessDeniedException",
            "rule",
            COULD_NOT_LOOK,
            "may not call ListRuleNamesByTarget",
        ),
        ("DescribeRule", "AccessDeniedException", "rule", COULD_NOT_LOOK, "may not call DescribeRule"),
        ("ListSubscriptions", "AuthorizationError", "legacy topics", COULD_NOT_LOOK, "may not call ListSubscriptions"),
        ("GetEntitlements", "AccessDeniedException", PRODUCT, WRONG, "may not call GetEntitlements"),
        ("GetEntitlements", "ThrottlingException", PRODUCT, COULD_NOT_LOOK, "ThrottlingException"),
        ("GetEntitlements", "InvalidParameterException", PRODUCT, WRONG, "does not know this product code"),
        ("ResolveCustomer", "AccessDeniedException", "registration", WRONG, "may not call ResolveCustomer"),
        ("ResolveCustomer", "DisabledApiException", "registration", WRONG, "not offered in us-east-1"),
        ("ResolveCustomer", "ExpiredTokenException", "registration", OK, "may ask who registers"),
        ("ResolveCustomer", "PlatformNotSupportedException", "registration", WRONG, "PlatformNotSupportedException"),
        ("SearchAgreements", "AccessDeniedException", "finding agreements", WRONG, "may not call SearchAgreements"),
        ("SearchAgreements", "UnknownOperationException", "finding agreements", COULD_NOT_LOOK, "does not know"),
        ("DescribeAgreement", "AccessDeniedException", "reading agreements", COULD_NOT_LOOK, "none to try"),
        ("GetCallerIdentity", "InvalidClientTokenId", "credentials", WRONG, "does not take these credentials"),
        ("GetCallerIdentity", "RequestExpired", "credentials", WRONG, "a clock that is wrong"),
    ],
)
def test_a_call_that_is_turned_away_is_told(
    stage: DoctorStage, operation: str, code: str, check: str, verdict: Verdict, words: str
) -> None:
    """What the ledger needs is wrong; what the doctor alone wants could not be looked at. AWS's own words stay out."""
    stage.door.refusals[operation] = code
    stage.door.answers["SearchAgreements"] = {"agreementViewSummaries": []}
    findings = stage.examine()
    (found,) = [finding for finding in findings if finding.check == check]
    assert found.verdict is verdict
    assert words in found.told
    assert not any(SAYING_MORE in f"{finding.told}{finding.remedy}" for finding in findings)


def test_an_agreement_that_is_there_must_be_readable(own_stage: DoctorStage) -> None:
    """Of a made-up one, AWS would refuse to tell anybody."""
    own_stage.door.answers["SearchAgreements"] = {
        "agreementViewSummaries": [{"agreementId": own_stage.buy().agreement_id}]
    }
    assert own_stage.found("reading agreements").verdict is OK
    own_stage.door.refusals["DescribeAgreement"] = "AccessDeniedException"
    assert own_stage.found("reading agreements").verdict is WRONG


def test_nothing_else_is_asked_with_credentials_that_are_wrong(stage: DoctorStage) -> None:
    """One thing is wrong, and told once; what needs no credentials is looked at all the same."""
    stage.door.refusals["GetCallerIdentity"] = "ExpiredToken"
    found = verdicts(stage.examine())
    assert [check for check, verdict in found.items() if verdict is WRONG] == ["credentials"]
    assert (found["region"], found["clock"]) == (OK, OK)
    assert found["queue"] is COULD_NOT_LOOK


def test_the_rest_is_asked_where_nobody_tells_whose_credentials_they_are(stage: DoctorStage) -> None:
    """The ledger never asks it, and a network may let it through to what the ledger needs alone."""
    stage.door.silent.add("GetCallerIdentity")
    found = verdicts(stage.examine())
    assert found["credentials"] is COULD_NOT_LOOK
    assert (found["receiving"], found[PRODUCT]) == (OK, OK)


def test_an_address_that_is_none_is_told(stage: DoctorStage) -> None:
    """The look goes on."""
    found = verdicts(stage.examine(replace(stage.settings, queue_url="https://[queue")))
    assert (found["region"], found["queue"], found[PRODUCT]) == (OK, WRONG, OK)


def test_credentials_that_are_not_there_are_wrong(stage: DoctorStage) -> None:
    """As boto3 finds them, or not."""
    keys = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    files = {"AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    found = stage.found("credentials", aws=keys | files)
    assert (found.verdict, "no credentials" in found.told) == (WRONG, True)


@pytest.mark.parametrize("wrong", [{"AWS_PROFILE": "nobody"}, {"AWS_ENDPOINT_URL": "ftp//nowhere"}])
def test_a_configuration_that_boto3_can_not_use_is_wrong(stage: DoctorStage, wrong: Mapping[str, str]) -> None:
    """Nothing else can be looked at then."""
    (found,) = stage.examine(aws=wrong)
    assert (found.check, found.verdict) == ("credentials", WRONG)


def test_credentials_of_another_account_are_wrong(stage: DoctorStage) -> None:
    """They see nothing of what was bought."""
    others = replace(stage.settings, accounts=("444455556666",))
    found = stage.found("account", others)
    assert found.verdict is WRONG
    assert ACCOUNT in found.told
    assert stage.found("account", replace(others, accounts=())).verdict is WARNING


def test_credentials_of_the_whole_account_are_too_much(stage: DoctorStage) -> None:
    """The ledger needs five calls, and not everything."""
    root = f"<Arn>arn:aws:iam::{ACCOUNT}:root</Arn><UserId>{ACCOUNT}</UserId><Account>{ACCOUNT}</Account>"
    answer = f"<R><GetCallerIdentityResult>{root}</GetCallerIdentityResult></R>"
    stage.door.bodies["GetCallerIdentity"] = answer
    assert stage.found("credentials").verdict is WARNING


@pytest.mark.parametrize("operation", ["GetQueueAttributes", "ReceiveMessage", "GetEntitlements"])
def test_an_answer_that_never_comes_is_wrong_within_seconds(stage: DoctorStage, operation: str) -> None:
    """The network, a proxy, a firewall: the ledger would wait in vain as well."""
    stage.door.silent.add(operation)
    begun_at = system_now()
    findings = stage.examine()
    assert system_now() - begun_at < 10 * timedelta(seconds=1)
    (found,) = [finding for finding in findings if finding.verdict is WRONG]
    assert f"no answer to {operation}" in found.told


def test_an_answer_of_something_else_is_wrong(stage: DoctorStage) -> None:
    """A sign-in page of some proxy, say."""
    stage.door.bodies["GetEntitlements"] = "<html>Welcome to the airport</html>"
    found = stage.found(PRODUCT)
    assert (found.verdict, found.told) == (WRONG, "The answer to GetEntitlements is none of AWS's.")


def test_an_answer_about_topics_that_is_none_is_no_stumbling_block(stage: DoctorStage) -> None:
    """The doctor says so, as of any other answer."""
    stage.door.bodies["ListSubscriptions"] = "Welcome to the airport"
    found = stage.found("legacy topics")
    assert (found.verdict, found.told) == (COULD_NOT_LOOK, "The answer to ListSubscriptions is none of AWS's.")


def test_a_queue_that_is_not_there_is_wrong(stage: DoctorStage) -> None:
    """And nothing else about it is known."""
    elsewhere = replace(stage.settings, queue_url=f"{stage.settings.queue_url}-elsewhere")
    found = verdicts(stage.examine(elsewhere))
    assert found["queue"] is WRONG
    assert {found["undelivered"], found["senders"], found["rule"], found["legacy topics"]} == {COULD_NOT_LOOK}


def test_without_a_queue_the_ledger_hears_nothing(stage: DoctorStage) -> None:
    """Unless its messages come by Kafka."""
    assert stage.found("queue", replace(stage.settings, queue_url=None)).verdict is WARNING


@pytest.mark.parametrize(
    ("queue_url", "region", "verdict"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/marketplace", "us-east-1", WRONG),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/marketplace", "us-east-1", WRONG),
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/marketplace", "eu-west-1", WARNING),
        ("https://queue.amazonaws.com/123456789012/marketplace", "us-east-1", OK),
        ("http://127.0.0.1:4566/123456789012/marketplace", "us-east-1", OK),
    ],
)
def test_the_region_is_that_of_the_queue_and_of_aws_marketplace(
    stage: DoctorStage, queue_url: str, region: str, verdict: Verdict
) -> None:
    """It speaks in one region alone, and a rule reaches only queues beside it."""
    assert (
        stage.found("region", replace(stage.settings, queue_url=queue_url), aws={"AWS_REGION": region}).verdict
        is verdict
    )


def test_a_queue_that_forgets_early_is_told(own_stage: DoctorStage) -> None:
    """Messages of a long weekend would be gone."""
    set_queue(own_stage, MessageRetentionPeriod="86400")
    found = own_stage.found("queue")
    assert (found.verdict, "after 1 days" in found.told) == (WARNING, True)


def test_a_queue_that_gives_messages_up_early_is_told_and_not_looked_into(own_stage: DoctorStage) -> None:
    """Each look would bring a message nearer to being given up."""
    arn = f"{own_stage.stack.queue_arn}-undelivered"
    set_queue(own_stage, RedrivePolicy={"deadLetterTargetArn": arn, "maxReceiveCount": 3})
    found = [finding for finding in own_stage.examine() if finding.check in ("undelivered", "receiving")]
    assert [(one.check, one.verdict) for one in found] == [
        ("receiving", COULD_NOT_LOOK),
        ("undelivered", WARNING),
        ("undelivered", OK),
    ]


def test_a_queue_without_another_for_the_undelivered_is_told(own_stage: DoctorStage) -> None:
    """Something could be lost without a trace."""
    set_queue(own_stage, RedrivePolicy="")
    assert own_stage.found("undelivered").verdict is WARNING


def test_what_was_never_delivered_is_told_with_how_to_put_it_back(own_stage: DoctorStage) -> None:
    """The very command."""
    own_stage.stack.sqs.send_message(QueueUrl=own_stage.stack.undelivered_url, MessageBody="{}")
    found = own_stage.found("undelivered")
    assert (found.verdict, "1 messages" in found.told) == (WARNING, True)
    assert found.remedy is not None
    assert found.remedy.endswith(f"--destination-arn {own_stage.stack.queue_arn}")


def test_another_for_the_undelivered_that_is_gone_is_wrong(own_stage: DoctorStage) -> None:
    """Messages would go nowhere."""
    own_stage.stack.sqs.delete_queue(QueueUrl=own_stage.stack.undelivered_url)
    assert own_stage.found("undelivered").verdict is WRONG


RULES_ACCESS: Final = {
    "Effect": "Allow",
    "Principal": {"Service": "events.amazonaws.com"},
    "Action": "sqs:SendMessage",
    "Resource": "*",
}
ANYBODYS_ACCESS: Final = RULES_ACCESS | {"Principal": "*"}


def bound(source: str) -> dict[str, Any]:
    """The condition that somebody sends for a rule or a topic like this."""
    return {"Condition": {"ArnLike": {"aws:SourceArn": source}}}


@pytest.mark.parametrize(
    ("statement", "verdict", "words"),
    [
        (RULES_ACCESS | {"Effect": "Deny"}, WRONG, "Nobody but this account"),
        (RULES_ACCESS | {"Principal": "*"}, WRONG, "Anybody in the world"),
        (RULES_ACCESS | {"Principal": {"AWS": ["444455556666"]}}, WRONG, "but 444455556666"),
        (RULES_ACCESS, WARNING, "EventBridge"),
        (RULES_ACCESS | bound(f"arn:aws:events:us-east-1:{ACCOUNT}:rule/*"), OK, "EventBridge for"),
        (RULES_ACCESS | bound("*"), WARNING, "Not bound to a rule"),
        (ANYBODYS_ACCESS | bound("*"), WRONG, "Anybody in the world"),
    ],
)
def test_who_may_send_into_the_queue_is_told(
    own_stage: DoctorStage, statement: Mapping[str, Any], verdict: Verdict, words: str
) -> None:
    """Neither nobody nor everybody, nor everybody by a condition that leaves nobody out."""
    set_policy(own_stage, statement)
    found = own_stage.found("senders")
    assert (found.verdict, words in found.told) == (verdict, True)


def test_a_queue_that_no_rule_sends_to_is_wrong(own_stage: DoctorStage) -> None:
    """New listings speak in no other way."""
    own_stage.stack.events.remove_targets(Rule=own_stage.stack.rule_name, Ids=["queue"])
    assert own_stage.found("rule").verdict is WRONG


def test_no_rule_is_needed_as_long_as_all_listings_are_legacy(legacy_stage: DoctorStage) -> None:
    """It is a warning, since they may opt in; with a product whose topics are not named it is wrong."""
    legacy_stage.stack.events.remove_targets(Rule=legacy_stage.stack.rule_name, Ids=["queue"])
    legacy = replace(legacy_stage.settings, products={code_of(legacy_stage): ("users",)})
    assert legacy_stage.found("rule", legacy).verdict is WARNING
    assert legacy_stage.found("rule").verdict is WRONG
    unnamed = legacy_stage.found("rule", replace(legacy, topic_arns=()))
    assert (unnamed.verdict, "LEDGER_SNS_TOPIC_ARNS" in (unnamed.remedy or "")) == (WRONG, True)


def test_a_rule_that_the_queue_does_not_let_in_is_wrong(own_stage: DoctorStage) -> None:
    """As where the stack was made again, and the policy of a queue that was kept names the rule of the one before."""
    before = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/of-the-stack-before"
    set_policy(own_stage, statements_of(own_stage)["Rule"] | bound(before))
    found = own_stage.found("rule")
    assert (found.verdict, f"does not let {own_stage.stack.rule_name} in" in found.told) == (WRONG, True)


def test_a_rule_that_the_queue_does_not_let_in_is_no_matter_beside_one_that_brings_everything(
    own_stage: DoctorStage,
) -> None:
    """But what only the one outside would bring is not heard."""
    inside = add_rule(own_stage, pattern=own_stage.stack.events.describe_rule(Name=own_stage.stack.rule_name))
    set_policy(own_stage, RULES_ACCESS | bound(f"arn:aws:events:us-east-1:{ACCOUNT}:rule/{inside}"))
    found = own_stage.found("rule")
    assert (found.verdict, found.told) == (OK, f"{inside} brings everything that AWS Marketplace says.")
    half = {"source": ["aws.agreement-marketplace"], "detail-type": [{"prefix": "Purchase Agreement "}]}
    own_stage.stack.events.put_rule(Name=inside, EventPattern=json.dumps(half))
    assert own_stage.found("rule").verdict is WRONG


def test_a_rule_that_is_switched_off_is_wrong(own_stage: DoctorStage) -> None:
    """With the command that switches it on."""
    own_stage.stack.events.disable_rule(Name=own_stage.stack.rule_name)
    found = own_stage.found("rule")
    assert (found.verdict, found.remedy) == (
        WRONG,
        f"aws events enable-rule --region us-east-1 --name {own_stage.stack.rule_name}",
    )


@pytest.mark.parametrize(
    ("detail_types", "verdict", "words"),
    [
        ([{"prefix": "Purchase Agreement "}], WRONG, "leaves out License Deprovisioned - Manufacturer"),
        ([{"prefix": "Purchase Agreement "}, {"prefix": "License "}], WARNING, "and 7 more"),
        ([{"anything-but": "nothing"}], COULD_NOT_LOOK, "more than can be judged"),
    ],
)
def test_what_a_rule_leaves_out_is_told(
    own_stage: DoctorStage, detail_types: list[object], verdict: Verdict, words: str
) -> None:
    """It is worse where licenses hang on it."""
    pattern = {"source": ["aws.agreement-marketplace"], "detail-type": detail_types}
    own_stage.stack.events.put_rule(Name=own_stage.stack.rule_name, EventPattern=json.dumps(pattern))
    found = own_stage.found("rule")
    assert (found.verdict, words in found.told) == (verdict, True), found.told


def test_a_raw_subscription_is_wrong(legacy_stage: DoctorStage) -> None:
    """Without the envelope there is no signature."""
    legacy_stage.stack.sns.set_subscription_attributes(
        SubscriptionArn=subscription_to(legacy_stage, "entitlement"),
        AttributeName="RawMessageDelivery",
        AttributeValue="true",
    )
    found = legacy_stage.found("legacy topics")
    assert (found.verdict, found.told.count("aws-mp-")) == (WRONG, 1)


def test_a_raw_subscription_is_no_matter_where_signatures_are_not_asked_for(legacy_stage: DoctorStage) -> None:
    """But that they are not is told."""
    found = legacy_stage.found("legacy topics", replace(legacy_stage.settings, verifies=False))
    assert (found.verdict, "LEDGER_SNS_VERIFY" in found.told) == (WARNING, True)


def test_a_subscription_to_a_topic_that_is_not_taken_is_wrong(legacy_stage: DoctorStage) -> None:
    """Its messages would all be refused."""
    topics = ("arn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-another",)
    found = legacy_stage.found("legacy topics", replace(legacy_stage.settings, topic_arns=topics))
    assert (found.verdict, found.told.count("aws-mp-")) == (WRONG, 2)


def test_a_topic_that_the_queue_is_not_subscribed_to_is_wrong(legacy_stage: DoctorStage) -> None:
    """Nothing of renewals would be heard, or nothing at all. A topic of ours is none of AWS Marketplace's."""
    legacy_stage.stack.sns.unsubscribe(SubscriptionArn=subscription_to(legacy_stage, "entitlement"))
    one = legacy_stage.found("legacy topics")
    assert (one.verdict, one.told.count("aws-mp-"), "aws-mp-entitlement-" in one.told) == (WRONG, 1, True)
    legacy_stage.stack.sns.unsubscribe(SubscriptionArn=subscription_to(legacy_stage, "subscription"))
    both = legacy_stage.found("legacy topics")
    assert (both.verdict, both.told.count("aws-mp-")) == (WRONG, 2)
    ours = replace(legacy_stage.settings, topic_arns=(f"arn:aws:sns:us-east-1:{ACCOUNT}:passed-on",))
    assert legacy_stage.found("legacy topics", ours).verdict is OK


def test_a_topic_that_is_not_among_the_subscriptions_looked_at_is_not_known_to_be_missing(
    legacy_stage: DoctorStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account may have any number of subscriptions."""
    monkeypatch.setattr(channels, "SUBSCRIPTIONS_SEEN_MAX", 0)
    assert legacy_stage.found("legacy topics").verdict is COULD_NOT_LOOK
    assert legacy_stage.found("legacy topics", replace(legacy_stage.settings, topic_arns=())).verdict is COULD_NOT_LOOK


def test_topics_that_the_queue_does_not_let_in_are_wrong(legacy_stage: DoctorStage) -> None:
    """As of a second listing, whose subscriptions were added and whose topics were forgotten in the policy."""
    statements = statements_of(legacy_stage)
    let_in, forgotten = sorted(statements["Topics"]["Condition"]["ArnEquals"]["aws:SourceArn"])
    set_policy(legacy_stage, statements["Rule"], statements["Topics"] | bound(let_in))
    one = legacy_stage.found("legacy topics")
    assert (one.verdict, let_in in one.told, forgotten in one.told) == (WRONG, False, True)
    set_policy(legacy_stage, statements["Rule"])
    both = legacy_stage.found("legacy topics")
    assert (both.verdict, let_in in both.told, forgotten in both.told) == (WRONG, True, True)


def test_a_product_that_nobody_has_may_mean_credentials_of_a_buyer(own_stage: DoctorStage) -> None:
    """AWS answers both alike."""
    nobody = own_stage.found(PRODUCT)
    assert nobody.verdict is WARNING
    own_stage.buy()
    bought = own_stage.found(PRODUCT)
    assert (bought.verdict, bought.told) == (OK, "1 entitlement, 1 in force.")
    own_stage.sandbox.faults.set(FaultPlan(as_buyer=True))
    assert own_stage.found(PRODUCT) == nobody


def test_empty_pages_are_looked_through(own_stage: DoctorStage) -> None:
    """As AWS may send them."""
    own_stage.buy()
    own_stage.sandbox.faults.set(FaultPlan(empty_pages=3))
    assert own_stage.found(PRODUCT).verdict is OK


def test_entitlements_are_counted_as_far_as_they_are_looked_at(stage: DoctorStage) -> None:
    """Those that are over too; of very many the first."""
    row = {"ProductCode": PRODUCT_CODE, "Dimension": "users"}
    dates = [(system_now() + timedelta(days=days)).timestamp() for days in (-1, 1, 2)]
    rows = [row | {"ExpirationDate": date} for date in dates]
    stage.door.answers["GetEntitlements"] = {"Entitlements": rows}
    assert stage.found(PRODUCT).told == "3 entitlements, 2 in force."
    stage.door.answers["GetEntitlements"] = {"Entitlements": rows * 100}
    assert stage.found(PRODUCT).told == "The first 300 entitlements, 200 in force."


def test_a_dimension_that_nobody_bought_is_wrong_and_those_seen_are_named(own_stage: DoctorStage) -> None:
    """Its API name, as the entitlements have it."""
    own_stage.buy()
    found = own_stage.found(PRODUCT, replace(own_stage.settings, products={PRODUCT_CODE: ("Users",)}))
    assert (found.verdict, "seen are users" in found.told) == (WRONG, True)


def test_a_dimension_beside_the_configured_ones_is_told(stage: DoctorStage) -> None:
    """It may be forgotten, or count something else."""
    rows = [{"ProductCode": PRODUCT_CODE, "Dimension": dimension} for dimension in ("users", "storage")]
    stage.door.answers["GetEntitlements"] = {"Entitlements": rows}
    found = stage.found(PRODUCT)
    assert (found.verdict, "storage" in found.told) == (WARNING, True)


def test_the_id_of_a_product_is_not_its_code(stage: DoctorStage) -> None:
    """The console shows both."""
    stage.door.refusals["GetEntitlements"] = "InvalidParameterException"
    found = stage.found(f"product {PRODUCT_ID}", replace(stage.settings, products={PRODUCT_ID: ("users",)}))
    assert found.remedy is not None
    assert "the prod-… id" in found.remedy


def test_a_ledger_without_products_issues_nothing(stage: DoctorStage) -> None:
    """Nor can anybody register."""
    assert stage.found("product", replace(stage.settings, products={})).verdict is WRONG


@pytest.mark.parametrize(("ahead", "words"), [(6, "6 minutes behind"), (-7, "7 minutes ahead of")])
def test_a_clock_that_does_not_go_with_awss_is_told(stage: DoctorStage, ahead: int, words: str) -> None:
    """By the time that AWS's answers bear."""
    stage.door.ahead = ahead * MINUTE
    found = stage.found("clock")
    assert (found.verdict, words in found.told) == (WARNING, True), found.told


def test_four_minutes_are_no_matter(stage: DoctorStage) -> None:
    """AWS allows fifteen."""
    stage.door.ahead = 4 * MINUTE
    assert stage.found("clock").verdict is OK


def test_aws_itself_is_not_shown_a_sandboxs_credentials(stage: DoctorStage) -> None:
    """Where only AWS Marketplace is played, they are not asked about."""
    played = {
        f"AWS_ENDPOINT_URL_{service}": stage.sandbox.url
        for service in ("MARKETPLACE_METERING", "MARKETPLACE_ENTITLEMENT_SERVICE", "MARKETPLACE_AGREEMENT")
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("AWS_ENDPOINT_URL", raising=False)
        lone = replace(stage, environment={**CREDENTIALS, **played})
        found = lone.found("credentials", replace(stage.settings, queue_url=None))
    assert found.verdict is COULD_NOT_LOOK


def test_a_setting_that_is_none_is_told(stage: DoctorStage, tmp_path: Path) -> None:
    """Somebody meant another."""
    ran = run(stage, tmp_path / "ledger.db", LEDGER_SQS_QEUE_URL="https://sqs.us-east-1.amazonaws.com/1/queue")
    assert ran.stdout.startswith("warning         settings: LEDGER_SQS_QEUE_URL is no setting, and ignored.")


# -- the command -------------------------------------------------------------------------------------------------------


def run(stage: DoctorStage, database: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `licensing-ledger doctor` as an operator does."""
    told = {
        **stage.environment,
        "LEDGER_DATABASE_URL": url_of(database).text,
        "LEDGER_PRODUCT_CODES": f"{PRODUCT_CODE}:users",
        "LEDGER_SQS_QUEUE_URL": stage.stack.queue_url,
        "LEDGER_ADMIN_KEY": "a-key-that-nobody-else-may-know",
        "PATH": "/usr/bin:/bin",
    }
    return subprocess.run(
        [COMMAND, "doctor", *arguments], env=told | settings, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_tells_each_finding_in_one_line(stage: DoctorStage, tmp_path: Path) -> None:
    """Verdict first, what to do last, a count at the end; nothing is wrong, so its code is 0, without a ledger too."""
    ran = run(stage, tmp_path / "ledger.db")
    *lines, total = ran.stdout.splitlines()
    assert (ran.returncode, ran.stderr) == (0, "")
    assert lines[0].startswith("warning         database: There is no ledger in ")
    assert "ok              region: It is us-east-1." in lines
    assert all((" → " in line) == (not line.startswith("ok ")) for line in lines)
    assert not (tmp_path / "ledger.db").exists()
    counted = Counter(line[:16].strip() for line in lines)
    assert total == f"In all {len(lines)}: ok {counted['ok']}, warning {counted['warning']}, wrong 0, could not look 0."


def test_the_command_ends_with_1_where_something_is_wrong(stage: DoctorStage, tmp_path: Path) -> None:
    """Never with a stack trace, and never with a secret."""
    secret = "a-password-that-is-a-secret"
    stage.door.refusals["GetEntitlements"] = "AccessDeniedException"
    database = f"postgresql://ledger:{secret}@127.0.0.1:1/ledger"
    ran = run(stage, tmp_path / "ledger.db", LEDGER_DATABASE_URL=database)
    assert ran.returncode == 1
    assert ran.stdout.startswith("wrong           database: ")
    assert any(line.startswith(f"wrong           {PRODUCT}: ") for line in ran.stdout.splitlines())
    told = ran.stdout + ran.stderr
    assert "Traceback" not in told
    for kept in (secret, CREDENTIALS["AWS_SECRET_ACCESS_KEY"], "a-key-that-nobody-else-may-know"):
        assert kept not in told


def test_the_command_prints_json_for_programs(stage: DoctorStage, database: Path) -> None:
    """On either engine; with the ledger made, its events are counted."""
    open_ledger(url_of(database), clock=system_now).close()
    ran = run(stage, database, "--json")
    findings = json.loads(ran.stdout)
    assert findings[0]["check"] == "database"
    assert findings[0] | {"told": ""} == {"check": "database", "verdict": "ok", "told": "", "remedy": None}
    assert {finding["verdict"] for finding in findings} == {"ok", "warning"}
