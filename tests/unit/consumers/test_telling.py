"""What a message says, told in a sentence to people who never saw one."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.marketplace import telling
from consumers.marketplace.messages import PokeKind
from consumers.marketplace.telling import tell
from tests.unit.consumers import aws

AGREEMENT = "greement agmt-2neh…jhmu"


def told(document: object) -> str:
    """The sentence of a message; its times are days."""
    says = tell(aws.body(document)).says
    return "".join(part.strftime("%d %B %Y") if isinstance(part, datetime) else part for part in says)


def agreement(what: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    """An event about the agreement, as AWS's documentation prints it."""
    return aws.event(f"Purchase Agreement {what} - Proposer", {"agreement": {"id": aws.AGREEMENT, **members}})


def cancellation(what: str) -> dict[str, Any]:
    """An event about the seller's request to cancel."""
    return aws.event(
        f"Agreement Cancellation Request {what} - Proposer",
        {"agreement": {"id": aws.AGREEMENT}, "agreementCancellationRequest": {"reasonCode": "TEST_AGREEMENT"}},
    )


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (
            aws.license_event(),
            "Something about license l-9d01d15…56ff has changed. AWS does not say what: it is read.",
        ),
        (
            aws.license_event("Deprovisioned"),
            "License l-9d01d15…56ff was deprovisioned: the customer has it no more.",
        ),
        (aws.CREATED, f"The AWS account {aws.ACCOUNT} bought: a{AGREEMENT}, from 20 August 2026 on."),
        (aws.RENEWED_INTO, "Agreement agmt-newr…ntid renews agmt-2neh…jhmu."),
        (
            agreement("Created", intent="REPLACE", startTime="2026-08-20T00:00:00Z", endTime="2027-08-19T23:59:59Z"),
            f"A{AGREEMENT} replaces an earlier one, from 20 August 2026 to 19 August 2027.",
        ),
        (aws.AMENDED, f"A{AGREEMENT} was amended and renews by itself."),
        (agreement("Amended", autoRenewalEnabled=False), f"A{AGREEMENT} was amended and does not renew by itself."),
        (aws.ended("CANCELLED"), f"A{AGREEMENT} was cancelled."),
        (aws.ended("EXPIRED"), f"A{AGREEMENT} expired."),
        (aws.ended("TERMINATED"), f"A{AGREEMENT} was terminated by AWS."),
        (aws.ended("RENEWED", "Manufacturer"), f"A{AGREEMENT} is over and goes on as its renewal."),
        (aws.ended("REPLACED"), f"A{AGREEMENT} is over and goes on as its replacement."),
        (aws.ended("SUNG"), f"A{AGREEMENT} ended with the status SUNG."),
        (aws.notification("entitlement-updated"), "The entitlements of customer X01EXAMPLEX have changed."),
        (aws.wrapped(json.dumps(aws.notification("subscribe-success"))), "Customer X01EXAMPLEX subscribed."),
        (aws.wrapped(aws.notification("unsubscribe-success")), "Customer X01EXAMPLEX has unsubscribed."),
        ({"action": "unsubscribe-pending", "CustomerIdentifier": "X"}, "Customer X is unsubscribing."),
        (aws.notification("subscribe-fail"), "The subscription of customer X01EXAMPLEX did not come about"),
    ],
)
def test_what_a_license_hangs_on_is_told_in_a_sentence(document: object, sentence: str) -> None:
    """Both generations, in an envelope or raw; it is no notice beside the seats."""
    assert told(document).startswith(sentence)
    assert tell(aws.body(document)).notice is None


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (
            agreement("Ending", daysBeforeEndTime=180, endTime="2027-05-31T23:59:59Z", autoRenewalEnabled=False),
            f"180 days' notice: a{AGREEMENT} ends on 31 May 2027 and does not renew by itself.",
        ),
        (
            aws.event(
                "Purchase Agreement Renewal Upcoming - Proposer",
                {
                    "agreement": {"id": aws.AGREEMENT, "endTime": "2027-05-31T23:59:59.999Z"},
                    "renewalSummary": {"lockoutReached": True, "tcv": "105000.00", "currency": "USD"},
                },
            ),
            f"A{AGREEMENT} is going to be renewed on 31 May 2027, and this can't be called off any more.",
        ),
        (agreement("Renewal Terms Finalized"), f"The terms on which a{AGREEMENT} is renewed are final."),
        (agreement("Advisory Issued"), f"AWS issued an advisory about a{AGREEMENT}."),
        (agreement("Advisory Resolved"), f"AWS's advisory about a{AGREEMENT} is resolved."),
        (aws.ADJUSTED, "A refund on an agreement was made."),
        (agreement("Billing Adjustment Failed"), f"A refund on a{AGREEMENT} failed."),
        (
            cancellation("Pending Approval"),
            f"The seller asks to cancel a{AGREEMENT} (test agreement). The customer has 7 days to answer;",
        ),
        (aws.CANCELLATION_REQUESTED, "The seller's request to cancel agreement agmt-abcd…leid was approved:"),
        (cancellation("Rejected"), f"The customer rejected the seller's request to cancel a{AGREEMENT}"),
        (cancellation("Cancelled"), f"The seller withdrew the request to cancel a{AGREEMENT}"),
        (cancellation("Validation Failed"), f"The seller's request to cancel a{AGREEMENT} (test agreement) was not"),
        (
            aws.notification("subscribe-success", isFreeTrialTermPresent="true"),
            "Customer X01EXAMPLEX subscribed, with a free trial.",
        ),
    ],
)
def test_what_is_said_beside_the_seats_is_a_notice(document: object, sentence: str) -> None:
    """Endings, lockout, advisories, refunds, requests to cancel and trials; never what was paid."""
    assert told(document).startswith(sentence)
    assert tell(aws.body(document)).notice is not None
    assert "105000" not in told(document)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("not JSON", 'It is no message of AWS Marketplace. It begins with "not JSON".'),
        ("[" * 100_000, "It is no message of AWS Marketplace."),
        ("{}", "It is no message of AWS Marketplace: it has neither a detail-type nor an action."),
        ('{"detail-type": "Purchase Agreement Sung", "detail": 7}', 'It is "Purchase Agreement Sung", which this'),
        ('{"detail-type": ["x"]}', "It is a list or an object, which this version of the ledger does not know."),
        ('{"detail-type": "License Updated"}', "Something about a license has changed."),
        ('{"action": {"x": 1}}', "It is a list or an object, which this version of the ledger does not know."),
        ('{"action": "subscribe-success"}', "A customer subscribed."),
        ('{"Type": "SubscriptionConfirmation", "Message": "You have chosen"}', "SNS asks whether this queue"),
        ('{"Type": "UnsubscribeConfirmation", "Message": "You have chosen"}', "SNS tells that this queue gets no more"),
        ('{"detail-type": "License Updated", "detail": {"license": {"arn": "\\u202e"}}}', "Something about a license"),
        (
            aws.body(agreement("Created", startTime="0001-01-01T00:00:00+14:00", endTime="soon")),
            f"The AWS account {aws.ACCOUNT} bought: a{AGREEMENT}.",
        ),
    ],
)
def test_what_is_odd_is_told_all_the_same(body: str, sentence: str) -> None:
    """Whatever lies in the queue has a sentence, and none is endless."""
    says = tell(body).says
    assert "".join(map(str, says)).startswith(sentence)
    assert sum(len(str(part)) for part in says) < 400


def test_at_no_depth_does_one_message_keep_the_others_from_a_page() -> None:
    """From one on it can't be read; just before that it could not be written again."""
    said = {str(tell(f'{{"detail-type": {nested}}}').says[0])[:40] for nested in aws.nested_ever_deeper()}
    assert said == {"It is a list or an object, which this ve", "It is no message of AWS Marketplace. It "}


def test_a_message_over_which_the_program_fails_keeps_no_others_from_a_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has a sentence too."""
    monkeypatch.setattr(telling, "shown", lambda _: 1 / 0)
    assert tell("not JSON").says == ("What it says can't be told.",)
    assert "it could not be told what a message says" in capsys.readouterr().out


def test_the_beginning_of_an_endless_message_is_told_as_none_of_aws() -> None:
    """A list does not read all of it."""
    says = tell(aws.body(aws.license_event())[:50], whole=False).says
    assert str(says[0]).startswith("It is no message of AWS Marketplace. It begins with")


@pytest.mark.parametrize("kind", [kind for kind in PokeKind if kind is not PokeKind.NOTICE])
def test_every_kind_that_is_worked_on_has_a_sentence(kind: PokeKind) -> None:
    """What the consumer understands, the pages can tell."""
    title = kind.value.replace("-", " ").title()
    event = aws.event(f"{'Purchase ' if title.startswith('Agreement') else ''}{title} - Proposer", {})
    documents = (event, aws.notification(kind.value))
    assert any("does not know" not in told(document) for document in documents)


def test_times_are_told_as_times() -> None:
    """So that each reader sees them in the own zone."""
    says = tell(aws.body(agreement("Ending", endTime="2027-05-31T23:59:59+02:00"))).says
    assert datetime(2027, 5, 31, 21, 59, 59, tzinfo=UTC) in says
