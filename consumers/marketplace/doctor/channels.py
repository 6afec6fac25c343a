"""The channels by which AWS Marketplace's messages come to the queue: rules of EventBridge, subscriptions to SNS."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from consumers.marketplace.doctor.asking import AskingFailedError, Instruments, looked_for, not_shown
from consumers.marketplace.doctor.findings import Finding, Findings, could_not_look, ok, warning, wrong
from consumers.marketplace.doctor.queue import Queue, describe
from consumers.marketplace.doctor.senders import EVENTBRIDGE, SNS, STACK_POLICY, kept_out
from consumers.marketplace.messages import DETAIL_TYPES, TELLING

if TYPE_CHECKING:
    from mypy_boto3_events.type_defs import DescribeRuleResponseTypeDef
    from mypy_boto3_sns.type_defs import SubscriptionTypeDef

SOURCE: Final = "aws.agreement-marketplace"
ROLES: Final = ("Manufacturer", "Proposer")
SUBSCRIPTIONS_SEEN_MAX: Final = 1_000
RULES_SEEN_MAX: Final = 20

_LEGACY_TOPIC: Final = re.compile(r"arn:aws:sns:[a-z0-9-]+:\d+:aws-mp-(?:entitlement|subscription)-notification-(.+)")
_STACK_RULE: Final = "Take the rule of the stack."


class PatternIsNotJudgedError(Exception):
    """A pattern says something in a way that is not understood here."""


def look_at_rules(
    instruments: Instruments, url: str, *, product_codes: Collection[str], topic_arns: Collection[str]
) -> Findings:
    """Whether a rule brings what concurrent agreements say.

    Args:
        instruments: ask AWS.
        url: of the queue.
        product_codes: of the listings.
        topic_arns: those of SNS from which messages are taken; none is any.
    """
    check = "rule"
    if instruments.would_show_aws(instruments.events):
        yield not_shown(check)
        return
    try:
        queue = describe(instruments, url)
    except AskingFailedError:
        yield could_not_look(check, "The queue itself can't be looked at.")
        return
    try:
        names = instruments.ask(
            "ListRuleNamesByTarget", lambda: instruments.events.list_rule_names_by_target(TargetArn=queue.arn)
        ).get("RuleNames", [])
        rules = [_rule(instruments, name) for name in names[:RULES_SEEN_MAX]]
    except AskingFailedError as error:
        yield looked_for(check, error)
        return
    if not rules:
        legacy = _legacy_listings(topic_arns)
        yield _no_rule(check, are_legacy=bool(legacy) and legacy.issuperset(product_codes))
        return
    yield _judge(check, instruments, queue, rules)


def look_at_subscriptions(
    instruments: Instruments, url: str, *, topic_arns: Collection[str], verifies: bool
) -> Findings:
    """Whether the topics of a legacy listing bring their messages, in the envelope.

    Args:
        instruments: ask AWS.
        url: of the queue.
        topic_arns: those from which messages are taken; none is any.
        verifies: whether a message needs the signature of its envelope.
    """
    check = "legacy topics"
    if instruments.would_show_aws(instruments.sns):
        yield not_shown(check)
        return
    try:
        queue = describe(instruments, url)
        seen = instruments.ask("ListSubscriptions", lambda: _subscriptions(instruments))
        subscriptions = [
            one for one in seen if one.get("Endpoint") == queue.arn and _is_legacy(one.get("TopicArn", ""))
        ]
        raw = {one["TopicArn"] for one in subscriptions if verifies and _is_raw(instruments, one)}
    except AskingFailedError as error:
        yield looked_for(check, error)
        return
    topics = {one["TopicArn"] for one in subscriptions}
    missing = {arn for arn in topic_arns if _is_legacy(arn)} - topics
    if (missing or not topics) and len(seen) >= SUBSCRIPTIONS_SEEN_MAX:
        told = f"This account has {SUBSCRIPTIONS_SEEN_MAX:,} subscriptions or more, and not all were looked at."
        yield could_not_look(check, told)
        return
    unheard = (
        (
            {one["TopicArn"] for one in subscriptions if not one["SubscriptionArn"].startswith("arn:")},
            "The subscription to {} was never confirmed.",
            "Make it again with credentials of the account that sells: then none is needed.",
        ),
        (
            raw,
            "{} comes raw: without the envelope nobody can tell that AWS wrote it.",
            "Set RawMessageDelivery of the subscription to false.",
        ),
        (
            topics - set(topic_arns or topics),
            "The queue is subscribed to {}, which LEDGER_SNS_TOPIC_ARNS does not name.",
            "Add it there, or its messages are refused.",
        ),
        (
            missing,
            "The queue is not subscribed to {}, which LEDGER_SNS_TOPIC_ARNS names.",
            "Subscribe it as the stack does, or take it out there if the listing is no legacy one any more.",
        ),
        (
            kept_out(instruments, queue, service=SNS, arns=topics),
            "The queue's policy does not let {} in: nothing of it arrives.",
            STACK_POLICY,
        ),
    )
    faults = [wrong(check, told.format(_and(those)), remedy) for those, told, remedy in unheard if those]
    yield from faults or [_heard(check, topics, topic_arns=topic_arns, verifies=verifies)]


def missing_from(pattern: Mapping[str, Any], wanted: Collection[str]) -> list[str]:
    """Which of these detail-types of AWS Marketplace a rule's pattern leaves out.

    Raises:
        PatternIsNotJudgedError: it says so in a way that is not understood here.
    """
    if pattern.keys() - {"source", "detail-type"}:
        raise PatternIsNotJudgedError
    if not _takes(pattern.get("source"), SOURCE):
        return sorted(wanted)
    return sorted(one for one in wanted if not _takes(pattern.get("detail-type"), one))


def in_every_role(detail_types: Collection[str]) -> frozenset[str]:
    """Detail-types as AWS sends them, with the seller's role behind them."""
    return frozenset(f"{one} - {role}" for one in detail_types for role in ROLES)


def _rule(instruments: Instruments, name: str) -> "DescribeRuleResponseTypeDef":
    return instruments.ask("DescribeRule", lambda: instruments.events.describe_rule(Name=name))


def _heard(check: str, topics: Collection[str], *, topic_arns: Collection[str], verifies: bool) -> Finding:
    if not topics:
        return ok(check, "The queue is subscribed to none, as is right for listings made since June 2026.")
    subscribed = f"The queue is subscribed to {_and(topics)}"
    if not verifies:
        told = f"{subscribed}, and LEDGER_SNS_VERIFY is off: signatures are not looked at."
        return warning(check, told, "Set it to on, unless something between AWS and the queue takes the envelope off.")
    if not topic_arns:
        told = f"{subscribed}, and LEDGER_SNS_TOPIC_ARNS is not set: any topic's is taken."
        return warning(check, told, f"Set LEDGER_SNS_TOPIC_ARNS to {','.join(sorted(topics))}.")
    return ok(check, f"{subscribed}.")


def _legacy_listings(topic_arns: Collection[str]) -> set[str]:
    """The product codes of the legacy listings, by their topics."""
    return {found[1] for arn in topic_arns if (found := _LEGACY_TOPIC.fullmatch(arn))}


def _no_rule(check: str, *, are_legacy: bool) -> Finding:
    told = "No rule of EventBridge sends to the queue: nothing is heard of listings made since June 2026."
    if are_legacy:
        remedy = "None is needed as long as all listings are legacy. Take that of the stack before one of them opts in."
        return warning(check, told, remedy)
    remedy = f"{_STACK_RULE} If all listings are legacy, name their topics in LEDGER_SNS_TOPIC_ARNS instead."
    return wrong(check, told, remedy)


def _judge(
    check: str, instruments: Instruments, queue: Queue, rules: "Sequence[DescribeRuleResponseTypeDef]"
) -> Finding:
    enabled = [rule for rule in rules if rule.get("State", "").startswith("ENABLED")]
    if not enabled:
        name = rules[0].get("Name")
        switch_on = f"aws events enable-rule --region {instruments.region} --name {name}"
        return wrong(check, f"The rule {name} is switched off.", switch_on)
    outside = kept_out(instruments, queue, service=EVENTBRIDGE, arns=[rule.get("Arn", "") for rule in enabled])
    inside = [rule for rule in enabled if rule.get("Arn", "") not in outside]
    if not inside:
        told = (
            f"The queue's policy does not let {_names(enabled)} in: without a role of its own, nothing of it arrives."
        )
        return wrong(check, told, STACK_POLICY)
    shown = _names(inside)
    try:
        lacking = [set(missing_from(json.loads(rule.get("EventPattern", "{}")), _ALL)) for rule in inside]
    except (PatternIsNotJudgedError, ValueError):
        told = f"The pattern of {shown} says more than can be judged here."
        return could_not_look(check, told, "Compare it with that of the stack's rule.")
    nowhere = set.intersection(*lacking)
    if deaf := sorted(nowhere & _TELLING):
        told = f"{shown} leaves out {_listed(deaf)}: what they say of licenses is not heard."
        return wrong(check, told, _STACK_RULE)
    if nowhere:
        told = f"{shown} leaves out {_listed(sorted(nowhere))}, which the ledger would show."
        return warning(check, told, _STACK_RULE)
    return ok(check, f"{shown} brings everything that AWS Marketplace says.")


def _names(rules: "Sequence[DescribeRuleResponseTypeDef]") -> str:
    return " and ".join(str(rule.get("Name")) for rule in rules)


def _and(names: Collection[str]) -> str:
    return " and ".join(sorted(names))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def _takes(matchers: object, value: str) -> bool:
    """Whether a member of a pattern takes a value; a member that is not there takes all."""
    if matchers is None:
        return True
    if not isinstance(matchers, list):
        raise PatternIsNotJudgedError
    return any(_matches(matcher, value) for matcher in matchers)


def _matches(matcher: object, value: str) -> bool:
    match matcher:
        case str():
            return matcher == value
        case {"prefix": str(prefix), **others} if not others:
            return value.startswith(prefix)
        case {"suffix": str(suffix), **others} if not others:
            return value.endswith(suffix)
        case {"wildcard": str(wildcard), **others} if not others:
            return re.fullmatch(".*".join(re.escape(part) for part in wildcard.split("*")), value) is not None
        case _:
            raise PatternIsNotJudgedError


def _subscriptions(instruments: Instruments) -> "list[SubscriptionTypeDef]":
    pages = instruments.sns.get_paginator("list_subscriptions").paginate()
    return list(islice(chain.from_iterable(page.get("Subscriptions", []) for page in pages), SUBSCRIPTIONS_SEEN_MAX))


def _is_legacy(topic_arn: str) -> bool:
    return _LEGACY_TOPIC.fullmatch(topic_arn) is not None


def _is_raw(instruments: Instruments, subscription: "SubscriptionTypeDef") -> bool:
    arn = subscription["SubscriptionArn"]
    if not arn.startswith("arn:"):
        return False
    told = instruments.ask(
        "GetSubscriptionAttributes", lambda: instruments.sns.get_subscription_attributes(SubscriptionArn=arn)
    )
    return told["Attributes"].get("RawMessageDelivery") == "true"


_ALL: Final = in_every_role(DETAIL_TYPES)
_TELLING: Final = in_every_role(TELLING)
