"""How the doctor reads a queue's policy and a rule's pattern."""

import json
from typing import Any

import pytest

from consumers.marketplace.doctor.channels import PatternIsNotJudgedError, in_every_role, missing_from
from consumers.marketplace.doctor.senders import Sender, senders_of

RULE = "arn:aws:events:us-east-1:444455556666:rule/ledger"
SOURCE = "aws.agreement-marketplace"
LICENSES = in_every_role(["License Updated", "License Deprovisioned"])


def statement(**members: object) -> str:
    """A policy of one statement, which lets the rule in but for these members."""
    rule: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Condition": {"ArnEquals": {"aws:SourceArn": RULE}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": rule | members})


def test_a_rule_is_a_sender_with_its_source() -> None:
    """AWS writes one of a kind without a list, and the doctor reads both."""
    assert senders_of(statement()) == (Sender(who="events.amazonaws.com", sources=(RULE,), is_narrowed=True),)


def test_a_principal_may_be_written_as_a_star() -> None:
    """And an action in any case."""
    (anybody,) = senders_of(statement(Principal="*", Action=["SQS:*"], Condition=None))
    assert anybody == Sender(who="*", sources=(), is_narrowed=False)


@pytest.mark.parametrize(
    ("condition", "is_narrowed", "is_named"),
    [
        ({"ArnLike": {"aws:SourceArn": "arn:aws:events:*:444455556666:rule/*"}}, True, True),
        ({"StringEquals": {"aws:SourceAccount": "444455556666"}}, True, False),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::444455556666:role/*"}}, True, False),
        ({"ArnLike": {"aws:SourceArn": "*"}, "StringEquals": {"aws:SourceAccount": "444455556666"}}, True, False),
        ({"ArnLike": {"aws:SourceArn": "*"}}, False, False),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:sns:us-east-1:*"}}, False, False),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:sns:us-east-1:*:aws-mp-entitlement-notification-*"}}, False, False),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:sns:us-east-1:44445555666?:mine"}}, False, False),
        ({"ArnLike": {"aws:SourceArn": [RULE, "*"]}}, False, False),
        ({"StringLike": {"aws:SourceAccount": "*"}}, False, False),
        ({"ArnNotEquals": {"aws:SourceArn": RULE}}, False, False),
        ({"ArnEqualsIfExists": {"aws:SourceArn": RULE}}, False, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, False, False),
    ],
)
def test_a_condition_that_leaves_nobody_out_narrows_nothing(
    condition: object, *, is_narrowed: bool, is_named: bool
) -> None:
    """Anybody can give a rule or a topic a name; the account is what they can't choose."""
    (sender,) = senders_of(statement(Principal="*", Condition=condition))
    assert (sender.is_narrowed, sender.is_named) == (is_narrowed, is_named)


@pytest.mark.parametrize(
    ("members", "is_let_in"),
    [
        ({}, True),
        ({"Principal": "*"}, True),
        ({"Condition": None}, True),
        ({"Condition": {"ArnLike": {"aws:SourceArn": ["arn:aws:sns:*", "arn:aws:events:*:rule/led?er"]}}}, True),
        ({"Condition": {"ArnEquals": {"aws:SourceArn": f"{RULE}-of-the-stack-before"}}}, False),
        ({"Principal": {"Service": "sns.amazonaws.com"}}, False),
        ({"Principal": {"AWS": "444455556666"}}, False),
    ],
)
def test_a_rule_is_let_in_by_who_sends_for_it_and_its_arn(members: dict[str, object], *, is_let_in: bool) -> None:
    """What else a condition asks for is taken for fulfilled."""
    (sender,) = senders_of(statement(**members))
    assert sender.is_let_in("events.amazonaws.com", RULE) is is_let_in


@pytest.mark.parametrize(
    "action", ["*", "SQS:*", "sqs:Send*", "sqs:SendMessage", ["sqs:GetQueueUrl", "sqs:S?ndMessage"]]
)
def test_an_action_may_be_written_as_a_pattern(action: object) -> None:
    """In any case of its letters."""
    assert len(senders_of(statement(Action=action))) == 1


def test_what_is_denied_or_about_other_actions_sends_nothing() -> None:
    """Only what is allowed to send is a sender."""
    assert senders_of(statement(Effect="Deny")) == ()
    assert senders_of(statement(Action="sqs:ReceiveMessage")) == ()


def test_a_policy_without_statements_lets_nobody_in() -> None:
    """Nor does one that is no object."""
    assert senders_of("{}") == ()
    assert senders_of("[]") == ()


def test_a_pattern_that_names_every_detail_type_lacks_none() -> None:
    """The stack's rule is written so."""
    assert missing_from({"source": [SOURCE], "detail-type": [*LICENSES, "another"]}, LICENSES) == []


def test_a_pattern_without_detail_types_takes_all() -> None:
    """A member that is not there takes everything."""
    assert missing_from({"source": [SOURCE]}, LICENSES) == []


def test_a_pattern_of_another_source_takes_nothing() -> None:
    """Whatever else it says."""
    assert missing_from({"source": ["aws.ec2"]}, LICENSES) == sorted(LICENSES)


@pytest.mark.parametrize(
    ("matcher", "lacking"),
    [
        ({"prefix": "License "}, []),
        ({"suffix": " - Manufacturer"}, ["License Deprovisioned - Proposer", "License Updated - Proposer"]),
        ({"wildcard": "License U*"}, ["License Deprovisioned - Manufacturer", "License Deprovisioned - Proposer"]),
    ],
)
def test_what_begins_ends_or_looks_like_something_is_matched(matcher: object, lacking: list[str]) -> None:
    """Whoever wrote the rule may have written it shorter than the stack does."""
    assert missing_from({"source": [SOURCE], "detail-type": [matcher]}, LICENSES) == lacking


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": [SOURCE], "detail-type": [{"anything-but": "License Updated - Manufacturer"}]},
        {"source": [SOURCE], "detail-type": [{"prefix": {"equals-ignore-case": "license"}}]},
        {"source": [SOURCE], "detail": {"product": {"code": ["74az0btybm649octamy0sktos"]}}},
        {"source": SOURCE},
    ],
)
def test_a_pattern_that_says_more_is_not_judged(pattern: dict[str, Any]) -> None:
    """The doctor says that it does not know, rather than that something is wrong."""
    with pytest.raises(PatternIsNotJudgedError):
        missing_from(pattern, LICENSES)
