"""Every shape of AWS's messages is understood, and every other one is told in words."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from consumers.marketplace import messages
from consumers.marketplace.agreement import Agreement, AgreementStatus
from consumers.marketplace.messages import NotUnderstood, Poke, PokeKind, Unrelated, parse
from ledger.license.events import KeyKind
from tests.unit.consumers import aws

AGREEMENT_NAMES = ((KeyKind.AGREEMENT, aws.AGREEMENT), (KeyKind.ACCOUNT, aws.ACCOUNT))
LICENSE_NAMES = (
    (KeyKind.LICENSE_ARN, aws.LICENSE_ARN),
    *AGREEMENT_NAMES,
    (KeyKind.PRODUCT, aws.PRODUCT_ID),
)
CUSTOMER_NAMES = ((KeyKind.CUSTOMER, f"{aws.PRODUCT_CODE}/{aws.CUSTOMER}"),)


def understood(document: object) -> Poke:
    """The poke that a message is."""
    parsed = parse(aws.body(document), transport_id=aws.TRANSPORT_ID)
    assert isinstance(parsed, Poke), parsed
    return parsed


def reason_against(body: str) -> str:
    """Why a body can't be understood."""
    parsed = parse(body, transport_id=aws.TRANSPORT_ID)
    assert isinstance(parsed, NotUnderstood), parsed
    return parsed.reason


def without(document: dict[str, Any], *path: str) -> str:
    """The body of a message that lacks a member."""
    copy = json.loads(json.dumps(document))
    holder = copy
    for name in path[:-1]:
        holder = holder[name]
    del holder[path[-1]]
    return json.dumps(copy)


@pytest.mark.parametrize(
    ("what", "kind"),
    [("Updated", PokeKind.LICENSE_UPDATED), ("Deprovisioned", PokeKind.LICENSE_DEPROVISIONED)],
)
def test_a_license_event_names_the_license_in_every_way(what: str, kind: PokeKind) -> None:
    """ARN, agreement, account and product, and the product's code beside them."""
    assert understood(aws.license_event(what)) == Poke(
        message_id=aws.EVENT_ID,
        kind=kind,
        names=LICENSE_NAMES,
        product_code=aws.PRODUCT_CODE,
        sent_at=datetime(2026, 8, 20, 14, 24, 23, tzinfo=UTC),
        license_arn_heard=aws.LICENSE_ARN,
        agreement=Agreement(
            agreement_id=aws.AGREEMENT,
            account_id=aws.ACCOUNT,
            license_arn=aws.LICENSE_ARN,
            product_ids=(aws.PRODUCT_ID,),
        ),
        request_id="9838714e-0000-4000-8000-000000000001",
    )


@pytest.mark.parametrize(
    "arn",
    [
        aws.LICENSE_ARN,
        f"aws:license-manager:us-east-1:123456789012:{aws.LICENSE}",
        f"arn:aws:license-manager:us-east-1:123456789012:license/lic-{aws.LICENSE[2:]}",
        f" {aws.LICENSE_ARN} ",
    ],
)
def test_the_three_spellings_of_an_arn_are_one_name(arn: str) -> None:
    """The real events', the documentation's and the samples'."""
    poke = understood(aws.license_event(license={"arn": arn}))
    assert poke.names[0] == (KeyKind.LICENSE_ARN, aws.LICENSE_ARN)
    assert poke.license_arn_heard == arn.strip()


def test_the_id_of_aws_own_documentation_is_taken_as_it_is() -> None:
    """It ends in a letter that is no hexadecimal digit."""
    poke = understood(
        aws.license_event(
            license={"arn": "aws:license-manager:us-east-1:123456789012:l-e52ca6f38bf84d0fafb8802ca15ac11x"}
        )
    )
    assert poke.names[0][1].endswith(":license:l-e52ca6f38bf84d0fafb8802ca15ac11x")


@pytest.mark.parametrize(
    ("document", "kind"), [(aws.CREATED, PokeKind.AGREEMENT_CREATED), (aws.AMENDED, PokeKind.AGREEMENT_AMENDED)]
)
def test_an_agreement_event_names_agreement_and_account(document: dict[str, Any], kind: PokeKind) -> None:
    """It has no license and no product code."""
    poke = understood(document)
    assert (poke.kind, poke.product_code) == (kind, None)
    assert poke.names[:2] == AGREEMENT_NAMES


def test_the_agreement_before_a_renewal_is_not_the_name_of_the_new_one() -> None:
    """The event is about the new agreement."""
    poke = understood(aws.RENEWED_INTO)
    assert poke.names[0] == (KeyKind.AGREEMENT, "agmt-newrenewalagreementid")


@pytest.mark.parametrize("status", ["CANCELLED", "EXPIRED", "TERMINATED", "ARCHIVED"])
@pytest.mark.parametrize("role", ["Proposer", "Manufacturer"])
def test_an_agreement_that_ended_says_how(status: str, role: str) -> None:
    """To whichever role the seller is told in."""
    poke = understood(aws.ended(status, role))
    assert (poke.kind, poke.status) == (PokeKind.AGREEMENT_ENDED, AgreementStatus(status))
    assert poke.ends
    assert not poke.awaits_successor


@pytest.mark.parametrize("status", ["RENEWED", "REPLACED"])
def test_an_agreement_that_goes_on_as_another_one_has_not_ended(status: str) -> None:
    """A successor is awaited."""
    poke = understood(aws.ended(status))
    assert not poke.ends
    assert poke.awaits_successor


def test_a_status_that_tells_nothing_here_is_only_a_poke() -> None:
    """Such as that of a revision."""
    poke = understood(aws.ended("SUPERSEDED"))
    assert (poke.status, poke.ends, poke.awaits_successor) == (None, False, False)


@pytest.mark.parametrize("document", [aws.ENDING, aws.CANCELLATION_REQUESTED, aws.ADJUSTED])
def test_what_changes_no_seats_is_known_and_put_aside(document: dict[str, Any]) -> None:
    """With the reason."""
    parsed = parse(aws.body(document), transport_id=aws.TRANSPORT_ID)
    if isinstance(parsed, Unrelated):
        assert parsed.reason.endswith("changes no seats.")
    else:
        assert isinstance(parsed, Poke)
        assert (parsed.kind, parsed.title) == (PokeKind.NOTICE, document["detail-type"].split(" - ")[0])


@pytest.mark.parametrize(
    "action",
    ["entitlement-updated", "subscribe-success", "subscribe-fail", "unsubscribe-pending", "unsubscribe-success"],
)
def test_a_legacy_notification_names_product_and_customer(action: str) -> None:
    """In its envelope the id and the time are SNS's."""
    said = aws.notification(action, **{"offer-identifier": "offer-abcexample123", "isFreeTrialTermPresent": "true"})
    poke = understood(aws.wrapped(json.dumps(said)))
    assert poke == Poke(
        message_id=aws.SNS_ID,
        kind=PokeKind(action),
        names=CUSTOMER_NAMES,
        product_code=aws.PRODUCT_CODE,
        sent_at=datetime(2012, 3, 29, 5, 12, 16, 901_000, tzinfo=UTC),
    )
    assert poke.ends is (action == "unsubscribe-success")


def test_a_raw_notification_is_known_by_the_id_of_its_delivery() -> None:
    """The next one about the same customer is the same text, and is not to be taken for a repetition."""
    poke = understood(aws.notification("entitlement-updated"))
    assert (poke.message_id, poke.sent_at, poke.names) == (aws.TRANSPORT_ID, None, CUSTOMER_NAMES)


def test_an_envelope_with_an_object_in_it_is_understood() -> None:
    """AWS's sample code sends such."""
    assert understood(aws.wrapped(aws.notification("entitlement-updated"))).names == CUSTOMER_NAMES


def test_an_event_that_came_through_sns_is_understood() -> None:
    """Its own id counts."""
    poke = understood(aws.wrapped(json.dumps(aws.license_event())))
    assert (poke.message_id, poke.kind) == (aws.EVENT_ID, PokeKind.LICENSE_UPDATED)


def test_the_names_of_very_old_notifications_are_understood() -> None:
    """`CustomerIdentifier` and `ProductCode`, and a blank that AWS's documentation prints before an id."""
    said = {
        "action": "entitlement-updated",
        "CustomerIdentifier": f" {aws.CUSTOMER}",
        "ProductCode": aws.PRODUCT_CODE,
    }
    assert understood(said).names == CUSTOMER_NAMES


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "The message is not JSON."),
        ("hello", "The message is not JSON."),
        ("x" * 100_000, "The message is not JSON."),
        ("[" * 100_000, "The message is not JSON."),
        ('{"a": ' + "9" * 10_000 + "}", "The message is not JSON."),
        ("[]", "The message is not a JSON object."),
        ("null", "The message is not a JSON object."),
        ('"text"', "The message is not a JSON object."),
        ("{}", "The message has neither a detail-type nor an action."),
        (json.dumps({"text": "x" * 100_000}), "The message has neither a detail-type nor an action."),
        (aws.body(aws.event("Purchase Agreement Sung", {})), 'The detail-type "Purchase Agreement Sung" is not known.'),
        (aws.body({"detail-type": ["License Updated"]}), "The detail-type a list or an object is not known."),
        (aws.body({"detail-type": None}), "The detail-type null is not known."),
        (aws.body(aws.notification("dance")), 'The action "dance" is not known.'),
        (aws.body({"action": {"a": 1}}), "The action a list or an object is not known."),
        (without(aws.license_event(), "detail"), "The member detail is not a JSON object."),
        (aws.body(aws.event("License Updated", {}) | {"detail": []}), "The member detail is not a JSON object."),
        (without(aws.license_event(), "detail", "license"), "The member detail.license.arn is missing."),
        (without(aws.license_event(), "detail", "license", "arn"), "The member detail.license.arn is missing."),
        (without(aws.license_event(), "detail", "product"), "The member detail.product.code is missing."),
        (without(aws.CREATED, "detail", "agreement"), "The member detail.agreement.id is missing."),
        (
            without(aws.ended("EXPIRED"), "detail", "agreement", "status"),
            "The member detail.agreement.status is missing.",
        ),
        (
            aws.body(aws.license_event(license={"arn": "l-1"})),
            "The license's ARN is not of the form that AWS gives it.",
        ),
        (
            aws.body(aws.license_event(license={"arn": ["l-1"]})),
            "The license's ARN is not of the form that AWS gives it.",
        ),
        (
            aws.body(aws.event("Purchase Agreement Created", {"agreement": {"id": "a b"}})),
            "The agreement's id is not of the form that AWS gives it.",
        ),
        (
            aws.body(aws.event("Purchase Agreement Ended", {"agreement": {"id": "agmt-1", "status": 5}})),
            "The member detail.agreement.status is not a text.",
        ),
        (without(aws.notification("entitlement-updated"), "product-code"), "The member product-code is missing."),
        (
            without(aws.notification("entitlement-updated"), "customer-identifier"),
            "The member customer-identifier is missing.",
        ),
        (
            aws.body(aws.notification("entitlement-updated", **{"customer-identifier": "\ud800"})),
            "The customer identifier is not of the form that AWS gives it.",
        ),
        (aws.body(aws.wrapped("not JSON")), "The message is not JSON."),
        (aws.body(aws.wrapped("[]")), "The member Message is not a JSON object."),
        (aws.body(aws.wrapped(None)), "The member Message is not a JSON object."),
        (
            aws.body(aws.wrapped("…") | {"Type": "SubscriptionConfirmation"}),
            (
                "SNS asks to confirm a subscription of the queue, which the ledger does not do by itself. If the topic"
                " is AWS Marketplace's, confirm it with aws sns confirm-subscription and the TopicArn and Token of the"
                " message. Then dismiss the message."
            ),
        ),
        (
            aws.body(aws.wrapped("…") | {"Type": "UnsubscribeConfirmation"}),
            (
                "SNS tells that the queue's subscription to a topic has ended. If nobody meant that, subscribe the"
                " queue again. Then dismiss the message."
            ),
        ),
    ],
)
def test_what_is_no_message_of_aws_is_told_in_words(body: str, reason: str) -> None:
    """Each says what is wrong, in one sentence."""
    assert reason_against(body) == reason


def test_at_no_depth_does_a_message_take_the_program_with_it() -> None:
    """From one on it can't be read; just before that it could not be written again."""
    reasons = {reason_against(f'{{"detail-type": {nested}}}') for nested in aws.nested_ever_deeper()}
    assert reasons == {"The detail-type a list or an object is not known.", "The message is not JSON."}


def test_a_message_over_which_the_program_fails_is_one_that_is_not_understood(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told of by its id, and keeps nothing from what came with it."""
    monkeypatch.setattr(messages, "form_of", lambda _: 1 / 0)
    parsed = parse(aws.body(aws.CREATED), transport_id=aws.TRANSPORT_ID)
    assert parsed == NotUnderstood(message_id=aws.EVENT_ID, reason="The program failed over it: ZeroDivisionError.")
    assert "a message could not be read" in capsys.readouterr().out


def test_an_odd_name_beside_the_one_that_counts_is_left_out() -> None:
    """The message is still understood by its ARN."""
    poke = understood(aws.license_event(agreement={"id": 5}, acceptor=None, product={"code": aws.PRODUCT_CODE}))
    assert poke.names == ((KeyKind.LICENSE_ARN, aws.LICENSE_ARN),)


@pytest.mark.parametrize("found", ["", "x" * 65, "Ada Lovelace", 5, None, ["x"]])
def test_an_id_that_is_none_is_replaced_by_the_id_of_the_delivery(found: object) -> None:
    """An id becomes the cause of events, which holds no free text."""
    assert understood(aws.license_event() | {"id": found}).message_id == aws.TRANSPORT_ID


@pytest.mark.parametrize(
    "time",
    [
        *(None, 5, "yesterday", "2026-08-20T14:24:23"),
        *("9999-12-31T23:59:59-08:00", "0001-01-01T00:00:00+01:00"),
    ],
)
def test_a_time_that_is_none_is_left_out(time: object) -> None:
    """Only the order of messages hangs on it. No calendar has the first and the last hours, seen from elsewhere."""
    assert understood(aws.license_event() | {"time": time}).sent_at is None
