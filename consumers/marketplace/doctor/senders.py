"""Who may put messages into the queue, by its policy."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from consumers.marketplace.doctor.asking import AskingFailedError, Instruments, is_aws
from consumers.marketplace.doctor.findings import Findings, could_not_look, ok, warning, wrong
from consumers.marketplace.doctor.queue import Queue, describe

ANYBODY: Final = "*"
EVENTBRIDGE: Final = "events.amazonaws.com"
SNS: Final = "sns.amazonaws.com"
STACK_POLICY: Final = "Take the queue's policy of the stack: it lets in its rule and the listing's topics alone."

_SENDING: Final = "sqs:sendmessage"
_SOURCE: Final = "aws:sourcearn"
_ARNS: Final = frozenset({_SOURCE, "aws:principalarn"})
_NARROWING: Final = _ARNS | {
    "aws:sourceaccount",
    "aws:sourceorgid",
    "aws:principalaccount",
    "aws:principalorgid",
}
# Others leave somebody out at most, or are fulfilled by whoever tells nothing of themselves.
_LETTING_IN: Final = frozenset({"arnequals", "arnlike", "stringequals", "stringequalsignorecase", "stringlike"})
_WILD: Final = frozenset("*?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """Somebody who may send.

    Attributes:
        who: a service of AWS's, an account or role, or `*`.
        sources: the ARNs of rules and topics on whose behalf, or patterns of them; none if that is not asked.
        is_narrowed: whether it is narrowed in any way that leaves others' accounts out.
    """

    who: str
    sources: tuple[str, ...]
    is_narrowed: bool

    @property
    def is_named(self) -> bool:
        """Whether it is told on whose behalf, to the account."""
        return bool(self.sources) and all(_is_bound(_SOURCE, source) for source in self.sources)

    def is_let_in(self, service: str, arn: str) -> bool:
        """Whether a service of AWS's may send by this for a rule or a topic."""
        is_meant = not self.sources or any(_is_like(source, arn) for source in self.sources)
        return self.who in (service, ANYBODY) and is_meant


def senders_of(policy: str) -> tuple[Sender, ...]:
    """Who may send, by the statements of a policy that allow it. What others deny is not looked at.

    Raises:
        ValueError: it is no policy.
    """
    document = json.loads(policy)
    statements = _many(document.get("Statement")) if isinstance(document, dict) else ()
    return tuple(sender for statement in statements if isinstance(statement, dict) for sender in _senders(statement))


def kept_out(instruments: Instruments, queue: Queue, *, service: str, arns: Iterable[str]) -> frozenset[str]:
    """Which of these rules or topics may not send into a queue; none of them where its policy can't be judged.

    Args:
        instruments: ask AWS.
        queue: into which they send.
        service: of AWS's, which sends for them.
        arns: of the rules or topics.
    """
    if queue.policy is None and not is_aws(instruments.sqs.meta.endpoint_url):
        return frozenset()
    try:
        senders = senders_of(queue.policy) if queue.policy else ()
    except ValueError:
        return frozenset()
    return frozenset(arn for arn in arns if not any(sender.is_let_in(service, arn) for sender in senders))


def look_at_senders(instruments: Instruments, url: str) -> Findings:
    """Whether AWS Marketplace gets its messages in, and nobody else."""
    check = "senders"
    try:
        policy = describe(instruments, url).policy
        senders = senders_of(policy) if policy else ()
    except AskingFailedError:
        yield could_not_look(check, "The queue itself can't be looked at.")
        return
    except ValueError:
        yield could_not_look(check, "The queue's policy can't be read.")
        return
    if policy is None and not is_aws(instruments.sqs.meta.endpoint_url):
        yield could_not_look(check, "The queue is not AWS's, and lets everybody in.")
        return
    if not senders:
        told = "Nobody but this account may send into the queue: EventBridge and SNS are turned away."
        yield wrong(check, told, STACK_POLICY)
        return
    if any(sender.who == ANYBODY and not sender.is_narrowed for sender in senders):
        yield wrong(check, "Anybody in the world may send into the queue.", STACK_POLICY)
        return
    if not any(sender.who in (EVENTBRIDGE, SNS, ANYBODY) for sender in senders):
        told = f"Neither EventBridge nor SNS may send into the queue, but {_shown(senders)}."
        yield wrong(check, told, STACK_POLICY)
        return
    if unnamed := [sender for sender in senders if not sender.is_named]:
        yield warning(check, f"Not bound to a rule or a topic may send: {_shown(unnamed)}.", STACK_POLICY)
        return
    yield ok(check, f"Into the queue may send {_shown(senders)}.")


def _senders(statement: Mapping[str, Any]) -> Iterator[Sender]:
    actions = (str(action).lower() for action in _many(statement.get("Action")))
    if statement.get("Effect") != "Allow" or not any(_is_like(action, _SENDING) for action in actions):
        return
    conditions = dict(_conditions(statement.get("Condition")))
    sources = conditions.get(_SOURCE, ())
    is_narrowed = any(all(_is_bound(key, value) for value in conditions[key]) for key in conditions.keys() & _NARROWING)
    for who in _principals(statement.get("Principal")):
        yield Sender(who=who, sources=sources, is_narrowed=is_narrowed)


def _conditions(condition: object) -> Iterator[tuple[str, tuple[str, ...]]]:
    for operator, keys in condition.items() if isinstance(condition, dict) else ():
        for key, values in keys.items() if isinstance(keys, dict) and str(operator).lower() in _LETTING_IN else ():
            yield str(key).lower(), tuple(str(value) for value in _many(values))


def _is_bound(key: str, value: str) -> bool:
    """Whether a condition leaves anybody out. Of an ARN the account tells that: names are everybody's to give."""
    told = value.split(":")[4:5] if key in _ARNS else [value]
    return any(not _WILD & set(part) for part in told)


def _is_like(pattern: str, text: str) -> bool:
    """Whether a text is like a pattern of a policy, in which `*` is anything and `?` one character."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text) is not None


def _principals(principal: object) -> Iterator[str]:
    if not isinstance(principal, dict):
        yield from (str(one) for one in _many(principal))
        return
    for values in principal.values():
        yield from (str(value) for value in _many(values))


def _many(value: object) -> tuple[object, ...]:
    """AWS writes one of a kind without a list."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)


def _shown(senders: Iterable[Sender]) -> str:
    names = {EVENTBRIDGE: "EventBridge", SNS: "SNS", ANYBODY: "anybody"}
    told = (
        f"{names.get(sender.who, sender.who)}{' for ' if sender.sources else ''}{' and '.join(sender.sources)}"
        for sender in senders
    )
    return "; ".join(dict.fromkeys(told))
