"""Which messages may be worked on, by where they come from."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.marketplace.origin.judging import Admitted, Refused, Verdict, Wanting, judge
from consumers.marketplace.origin.signatures import SigningCertificate, read_certificate
from consumers.marketplace.settings import MarketplaceSettings
from consumers.sandbox.signing import passing_key
from tests.sns import TOPIC_ARN, forgers_key, signed
from tests.unit.consumers import aws

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BY_DEFAULT = MarketplaceSettings(queue_url=None, products={aws.PRODUCT_CODE: frozenset({"users"})})
UNVERIFIED = replace(BY_DEFAULT, sns_verify=False)
OUR_TOPIC = frozenset({TOPIC_ARN})
ANOTHER_TOPIC = frozenset({"arn:aws:sns:us-east-1:287250355862:aws-mp-subscription-notification-another"})
SELLER = frozenset({"993604559884"})
ANOTHER_SELLER = frozenset({"444455556666"})

NEWS = aws.notification("entitlement-updated")
EVENT = aws.license_event()
SIGNED = aws.body(signed(aws.body(NEWS)))
SIGNED_EVENT = aws.body(signed(aws.body(EVENT)))


def find(url: str) -> SigningCertificate | None:
    """The certificate of the sandboxes, which alone was fetched."""
    key = passing_key()
    return read_certificate(key.pem) if url.endswith(key.path) else None


def judged(body: str, settings: MarketplaceSettings = BY_DEFAULT) -> Verdict:
    """What is found of a message that came at noon."""
    return judge(body, settings=settings, received_at=NOON, find=find)


def refused(reason: str) -> Refused:
    """Refused for this."""
    return Refused(reason=reason)


RAW = refused(
    "The message came raw, so it carries no signature of SNS. Turn raw message delivery off in the queue's"
    " subscription, or set LEDGER_SNS_VERIFY to off."
)


def test_what_sns_signed_is_admitted() -> None:
    """A legacy notification in its envelope."""
    assert judged(SIGNED) == Admitted()


def test_an_event_needs_no_signature() -> None:
    """EventBridge has none: the queue's policy says who may send."""
    assert judged(aws.body(EVENT)) == Admitted()


def test_a_raw_notification_is_refused_with_what_to_do() -> None:
    """Raw delivery leaves the signature out."""
    assert judged(aws.body(NEWS)) == RAW


def test_a_notification_that_nobody_signed_is_refused() -> None:
    """An envelope alone says nothing; AWS's own sample sends one whose message is an object."""
    unsigned = {name: value for name, value in aws.wrapped(aws.body(NEWS)).items() if not name.startswith("Sign")}
    assert judged(aws.body(unsigned)) == refused("The message carries no signature of SNS.")
    assert isinstance(judged(aws.body(aws.wrapped(NEWS))), Refused)


def test_without_the_certificate_nothing_can_be_said() -> None:
    """It has to be fetched first."""
    envelope = signed(aws.body(NEWS), key=forgers_key())
    assert judged(aws.body(envelope)) == Wanting(certificate_url=envelope["SigningCertURL"])


def test_an_altered_notification_is_refused() -> None:
    """The customer is another one than SNS said."""
    altered = json.loads(SIGNED)
    altered["Message"] = altered["Message"].replace(aws.CUSTOMER, "X02EXAMPLEX")
    assert judged(aws.body(altered)) == refused("The signature does not fit the message: SNS never sent it like this.")


def test_an_event_that_comes_through_sns_is_verified_too() -> None:
    """An envelope is judged as one, whatever is inside."""
    assert judged(SIGNED_EVENT) == Admitted()
    altered = json.loads(SIGNED_EVENT)
    altered["Message"] = altered["Message"].replace("Updated", "Deprovisioned")
    assert isinstance(judged(aws.body(altered)), Refused)


def test_a_message_that_holds_a_mere_text_is_judged_by_its_signature() -> None:
    """What to do about a subscription that is to be confirmed is said by whoever reads it."""
    asked = signed(
        "You have chosen to subscribe to the topic.", Type="SubscriptionConfirmation", Token="1", SubscribeURL=""
    )
    assert judged(aws.body(asked)) == Admitted()
    assert isinstance(judged(aws.body(asked | {"Token": "2"})), Refused)


@pytest.mark.parametrize("body", [SIGNED, aws.body(NEWS), aws.body(aws.wrapped(NEWS)), SIGNED_EVENT])
def test_unverified_anything_is_admitted(body: str) -> None:
    """LEDGER_SNS_VERIFY is off."""
    assert judged(body, UNVERIFIED) == Admitted()


# -- topics and accounts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [BY_DEFAULT, UNVERIFIED], ids=["verified", "unverified"])
def test_a_message_of_another_topic_is_refused(settings: MarketplaceSettings) -> None:
    """SNS signs for everybody who has a topic, so that a signature alone does not say whose it is."""
    assert judged(SIGNED, replace(settings, sns_topic_arns=OUR_TOPIC)) == Admitted()
    assert judged(SIGNED, replace(settings, sns_topic_arns=ANOTHER_TOPIC)) == refused(
        f'The message is of the topic "{TOPIC_ARN}", which is not in LEDGER_SNS_TOPIC_ARNS.'
    )


def test_a_raw_message_does_not_say_its_topic() -> None:
    """Unverified, but with topics set, it can't be of one of them."""
    found = judged(aws.body(NEWS), replace(UNVERIFIED, sns_topic_arns=OUR_TOPIC))
    assert found == refused(
        "The message came raw, so it does not say of which topic it is, and LEDGER_SNS_TOPIC_ARNS is set. Turn raw"
        " message delivery off in the queue's subscription."
    )


def test_an_event_is_of_no_topic() -> None:
    """Topics are asked of what comes through SNS."""
    assert judged(aws.body(EVENT), replace(BY_DEFAULT, sns_topic_arns=ANOTHER_TOPIC)) == Admitted()


@pytest.mark.parametrize("body", [aws.body(EVENT), SIGNED_EVENT], ids=["alone", "through-sns"])
def test_an_event_of_another_account_is_refused(body: str) -> None:
    """The seller's accounts are told by EventBridge."""
    assert judged(body, replace(BY_DEFAULT, aws_accounts=SELLER)) == Admitted()
    assert judged(body, replace(BY_DEFAULT, aws_accounts=ANOTHER_SELLER)) == refused(
        'The event is of the AWS account "993604559884", which is not in LEDGER_AWS_ACCOUNTS.'
    )


@pytest.mark.parametrize("account", [None, 993604559884, ["993604559884"], {}])
def test_an_event_that_says_its_account_oddly_is_refused(account: object) -> None:
    """And so is one that does not say it."""
    event = aws.license_event() | {"account": account}
    assert isinstance(judged(aws.body(event), replace(BY_DEFAULT, aws_accounts=SELLER)), Refused)


def test_a_legacy_notification_is_of_no_account() -> None:
    """It names none; its topic is what can be asked for."""
    assert judged(SIGNED, replace(BY_DEFAULT, aws_accounts=ANOTHER_SELLER)) == Admitted()


# -- whatever comes ----------------------------------------------------------------------------------------------------

_ONE = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "1", "é", "\ud800", "{}", "[]"])
_ANYTHING = _ONE | st.lists(_ONE, max_size=2) | st.dictionaries(st.sampled_from(["detail-type", "x"]), _ONE)
_MEANING_NOTHING = {"UnsubscribeURL", "account", "action", "id"}
"""Members of an envelope by which nobody goes."""
_MEMBERS = st.sampled_from([*json.loads(SIGNED), "detail-type", "account", "action", "id"])


@given(st.dictionaries(_MEMBERS, _ANYTHING), st.booleans())
def test_any_message_is_judged(members: dict[str, Any], verify: bool) -> None:  # noqa: FBT001 -- drawn
    """Nothing that can be written makes the judgment fail, and nothing unsigned is admitted as a notification."""
    settings = replace(BY_DEFAULT, sns_verify=verify, aws_accounts=SELLER, sns_topic_arns=OUR_TOPIC)
    signed_before = json.loads(SIGNED)
    found = judged(json.dumps(signed_before | members), settings)
    altered = {name for name, value in members.items() if value != signed_before.get(name)}
    if verify and "detail-type" not in members and altered - _MEANING_NOTHING:
        assert not isinstance(found, Admitted)


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    """What is no JSON object is refused."""
    assert isinstance(judged(text), Refused)


@pytest.mark.parametrize("body", ["[" * 100_000, '{"Message": "' + "[" * 100_000 + '"}'], ids=["outside", "inside"])
def test_a_bottomless_message_is_refused(body: str) -> None:
    """It is no JSON to the reader either."""
    assert judged(body, UNVERIFIED) == refused("The message is not a JSON object.")
