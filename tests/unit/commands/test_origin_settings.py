"""Where messages may come from, as an operator writes it."""

import pytest

from commands.parts import marketplace_settings
from commands.settings import SettingIsWrongError, Settings

PRODUCT = {"LEDGER_PRODUCT_CODES": "softphone:users"}
OF_ENTITLEMENTS = "arn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-softphone"
OF_SUBSCRIPTIONS = "arn:aws:sns:us-east-1:287250355862:aws-mp-subscription-notification-softphone"


def test_signatures_are_verified_and_any_origin_is_taken_if_nothing_is_set() -> None:
    """Whoever has no legacy listing has nothing to set."""
    settings = marketplace_settings(Settings(PRODUCT))
    assert settings.sns_verify
    assert settings.sns_topic_arns is None
    assert settings.aws_accounts is None


def test_topics_and_accounts_are_lists() -> None:
    """Blanks around them mean nothing."""
    told = {
        "LEDGER_SNS_VERIFY": "OFF",
        "LEDGER_SNS_TOPIC_ARNS": f"{OF_ENTITLEMENTS}, {OF_SUBSCRIPTIONS}",
        "LEDGER_AWS_ACCOUNTS": "111122223333 ,444455556666",
    }
    settings = marketplace_settings(Settings(PRODUCT | told))
    assert not settings.sns_verify
    assert settings.sns_topic_arns == frozenset({OF_ENTITLEMENTS, OF_SUBSCRIPTIONS})
    assert settings.aws_accounts == frozenset({"111122223333", "444455556666"})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("LEDGER_SNS_VERIFY", "yes", "has to be one of on, off, not 'yes'."),
        ("LEDGER_SNS_TOPIC_ARNS", "aws-mp-entitlement-notification-softphone", "has to be ARNs like arn:aws:sns:"),
        ("LEDGER_SNS_TOPIC_ARNS", f"{OF_ENTITLEMENTS},", "has to be ARNs like arn:aws:sns:"),
        ("LEDGER_SNS_TOPIC_ARNS", OF_ENTITLEMENTS.replace("sns", "sqs"), "has to be ARNs like arn:aws:sns:"),
        ("LEDGER_AWS_ACCOUNTS", "1111-2222-3333", "has to be twelve digits for each account"),
        ("LEDGER_AWS_ACCOUNTS", "11112222333", "has to be twelve digits for each account"),
        ("LEDGER_AWS_ACCOUNTS", "١١١١٢٢٢٢٣٣٣٣", "has to be twelve digits for each account"),
        ("LEDGER_AWS_ACCOUNTS", "111122223333,,444455556666", "has to be twelve digits for each account"),
    ],
)
def test_what_is_no_origin_is_one_line(name: str, text: str, words: str) -> None:
    """A topic that is misspelled would keep every message out."""
    with pytest.raises(SettingIsWrongError) as refused:
        Settings({name: text})
    line = str(refused.value)
    assert line.startswith(f"{name} {words}")
    assert "\n" not in line
