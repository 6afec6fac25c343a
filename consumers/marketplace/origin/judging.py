"""Judging where one message comes from, by what it carries."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from consumers.marketplace.messages import Form, form_of
from consumers.marketplace.origin.signatures import (
    ADDRESS_SHOWN_MAX,
    SignatureIsWrongError,
    SigningCertificate,
    check_signature,
    read_signature,
)
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.showing import shown

_NO_OBJECT: Final = "The message is not a JSON object."
_RAW: Final = (
    "The message came raw, so it carries no signature of SNS. Turn raw message delivery off in the queue's"
    " subscription, or set LEDGER_SNS_VERIFY to off."
)
_RAW_WITHOUT_TOPIC: Final = (
    "The message came raw, so it does not say of which topic it is, and LEDGER_SNS_TOPIC_ARNS is set. Turn raw message"
    " delivery off in the queue's subscription."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Admitted:
    """The message may be worked on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """Nothing may follow from the message, and why, in words."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanting:
    """Whether it may be worked on can't be said without a certificate that has to be fetched first."""

    certificate_url: str


Verdict: TypeAlias = Admitted | Refused | Wanting


class _RefusedError(Exception):
    """Why nothing may follow from a message, in words."""


def judge(
    body: str,
    *,
    settings: MarketplaceSettings,
    received_at: datetime,
    find: Callable[[str], SigningCertificate | None],
) -> Verdict:
    """Judge whether a message comes from where it may come from.

    Args:
        body: the message as it came.
        settings: what is asked of it.
        received_at: when it came, aware UTC.
        find: the certificate of an address, if it was fetched.
    """
    try:
        message = _object(body)
        match form_of(message):
            case Form.EVENT:
                _look_at_account(message, settings)
            case Form.NOTIFICATION:
                _look_at_raw(settings)
            case Form.ENVELOPE:
                _look_at_topic(message, settings)
                _look_at_what_is_inside(message, settings)
                if settings.sns_verify:
                    return _look_at_signature(message, received_at=received_at, find=find)
    except (_RefusedError, SignatureIsWrongError) as error:
        return Refused(reason=str(error))
    return Admitted()


def _look_at_signature(
    envelope: Mapping[str, Any], *, received_at: datetime, find: Callable[[str], SigningCertificate | None]
) -> Admitted | Wanting:
    signature = read_signature(envelope)
    certificate = find(signature.certificate_url)
    if certificate is None:
        return Wanting(certificate_url=signature.certificate_url)
    check_signature(signature, certificate, received_at=received_at)
    return Admitted()


def _look_at_account(event: Mapping[str, Any], settings: MarketplaceSettings) -> None:
    account = event.get("account")
    if not _is_one_of(account, settings.aws_accounts):
        raise _RefusedError(f"The event is of the AWS account {shown(account)}, which is not in LEDGER_AWS_ACCOUNTS.")


def _look_at_topic(envelope: Mapping[str, Any], settings: MarketplaceSettings) -> None:
    topic_arn = envelope.get("TopicArn")
    if not _is_one_of(topic_arn, settings.sns_topic_arns):
        topic = shown(topic_arn, length_max=ADDRESS_SHOWN_MAX)
        raise _RefusedError(f"The message is of the topic {topic}, which is not in LEDGER_SNS_TOPIC_ARNS.")


def _look_at_raw(settings: MarketplaceSettings) -> None:
    if settings.sns_verify:
        raise _RefusedError(_RAW)
    if settings.sns_topic_arns is not None:
        raise _RefusedError(_RAW_WITHOUT_TOPIC)


def _look_at_what_is_inside(envelope: Mapping[str, Any], settings: MarketplaceSettings) -> None:
    """An event of EventBridge can come through a topic of SNS; what is no JSON is none, whatever else it may be."""
    said = envelope["Message"]
    inner = _json(said) if isinstance(said, str) else said
    if isinstance(inner, dict) and form_of(inner) is Form.EVENT:
        _look_at_account(inner, settings)


def _is_one_of(found: object, asked_for: frozenset[str] | None) -> bool:
    return asked_for is None or (isinstance(found, str) and found in asked_for)


def _object(text: str) -> Mapping[str, Any]:
    found = _json(text)
    if not isinstance(found, dict):
        raise _RefusedError(_NO_OBJECT)
    return found


def _json(text: str) -> object:
    """What a text says in JSON; null where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None
    except RecursionError:
        # Where less was read before it, another look may just read it.
        raise _RefusedError(_NO_OBJECT) from None
