"""What AWS answers: which rows of GetEntitlements count users, which make a reading none, what agreements are about."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from consumers.marketplace.agreement import Agreement
from consumers.marketplace.entitlements import (
    LiveRow,
    NoAnswerError,
    NoObservationError,
    Question,
    agreements_found,
    ask,
    live_rows,
)
from ledger.license.events import KeyKind
from tests.unit.consumers import aws

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(days=100)
USERS = frozenset({"users"})
BY_ARN = Question(product_code=aws.PRODUCT_CODE, license_arns=(aws.LICENSE_ARN,))
BY_CUSTOMER = Question(product_code=aws.PRODUCT_CODE, customer=f"{aws.PRODUCT_CODE}/{aws.CUSTOMER}")


def row(**members: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    """A row of five seats as boto3 gives it; members may be replaced."""
    return {
        "ProductCode": aws.PRODUCT_CODE,
        "Dimension": "users",
        "CustomerAWSAccountId": aws.ACCOUNT,
        "LicenseArn": aws.LICENSE_ARN,
        "Value": {"IntegerValue": 5},
        "ExpirationDate": LATER,
        **members,
    }


def seats(*rows: Mapping[str, Any], question: Question = BY_ARN) -> list[int]:
    """The numbers of the rows that count."""
    return [live.seats for live in live_rows(rows, question=question, dimensions=USERS, at=NOON)]


def test_a_live_row_says_seats_date_and_names() -> None:
    """The date is in UTC, wherever the machine stands."""
    local = LATER.astimezone(timezone(timedelta(hours=5)))
    assert live_rows([row(ExpirationDate=local)], question=BY_ARN, dimensions=USERS, at=NOON) == (
        LiveRow(
            seats=5,
            expires_at=LATER,
            names=((KeyKind.LICENSE_ARN, aws.LICENSE_ARN), (KeyKind.ACCOUNT, aws.ACCOUNT)),
        ),
    )


def test_rows_of_other_dimensions_and_products_do_not_count() -> None:
    """Whatever they hold."""
    assert seats(row(Dimension="support", Value={"BooleanValue": True}), row(ProductCode="other"), row()) == [5]


def test_rows_of_all_dimensions_of_the_product_count() -> None:
    """Each with its own number and date."""
    rows = [row(), row(Dimension="admins", Value={"IntegerValue": 2}), row(Dimension="storage"), row(Dimension=["odd"])]
    both = frozenset({"users", "admins"})
    assert [live.seats for live in live_rows(rows, question=BY_ARN, dimensions=both, at=NOON)] == [5, 2]


def test_rows_of_another_license_do_not_count() -> None:
    """Should AWS show more than was asked for."""
    assert seats(row(LicenseArn=aws.LICENSE_ARN.replace("l-9d", "l-00")), row()) == [5]


def test_rows_of_another_customer_do_not_count() -> None:
    """A row without an identifier is taken as asked."""
    rows = (row(CustomerIdentifier="SOMEBODY"), row(CustomerIdentifier=aws.CUSTOMER), row(Value={"IntegerValue": 2}))
    assert seats(*rows, question=BY_CUSTOMER) == [5, 2]


def test_a_row_whose_date_has_come_does_not_count() -> None:
    """Its last moment is the one before."""
    assert seats(row(ExpirationDate=NOON), row(ExpirationDate=NOON + timedelta(microseconds=1))) == [5]


def test_no_seats_are_a_number() -> None:
    """A row of 0 is live."""
    assert seats(row(Value={"IntegerValue": 0})) == [0]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (row(Value={"IntegerValue": -1}), "a negative number"),
        *((row(Value={"IntegerValue": number}), "a number above 10,000,000") for number in (10_000_001, 2**31, 2**63)),
        *(
            (row(Value=value), "no whole number")
            for value in (
                {"BooleanValue": True},
                {"IntegerValue": True},
                {"IntegerValue": 5.0},
                {"IntegerValue": "5"},
                {"IntegerValue": 5, "DoubleValue": 5.0},
                {"DoubleValue": 5.0},
                {"StringValue": "5"},
                {},
                None,
                5,
            )
        ),
        *((row(ExpirationDate=date), "no date") for date in (None, 5, "2027-01-01", datetime(2027, 1, 1))),  # noqa: DTZ001 -- what must be refused
        (row(ExpirationDate=NOON - timedelta(days=1), Value={"IntegerValue": -1}), "a negative number"),
    ],
)
def test_an_odd_row_makes_the_whole_reading_none(odd: Mapping[str, Any], reason: str) -> None:
    """The good row beside it does not count either, and a past one can be odd too."""
    with pytest.raises(NoObservationError, match=reason):
        seats(row(), odd)


def test_numbers_that_add_up_to_more_than_anybody_sells_make_the_whole_reading_none() -> None:
    """Each of them could be one."""
    most = row(Value={"IntegerValue": 10_000_000})
    assert seats(most) == [10_000_000]
    with pytest.raises(NoObservationError, match="add up to more than 10,000,000"):
        seats(most, row(Value={"IntegerValue": 1}))


def test_a_license_is_asked_for_in_every_spelling_that_is_an_arn() -> None:
    """AWS may know it by the one that it used."""
    heard = "arn:aws:license-manager:us-east-1:123456789012:license/lic-9d01d15f86334a8894365cd7350556ff"
    asked = replace(BY_ARN, license_arn_heard=heard)
    assert asked.filter == {"LICENSE_ARN": [aws.LICENSE_ARN, heard]}
    without_arn = replace(BY_ARN, license_arn_heard=heard.removeprefix("arn:"))
    assert without_arn.filter == {"LICENSE_ARN": [aws.LICENSE_ARN]}
    assert BY_CUSTOMER.filter == {"CUSTOMER_IDENTIFIER": [aws.CUSTOMER]}


def client_error(code: object) -> ClientError:
    """An error with which AWS answers."""
    return ClientError({"Error": {"Code": code, "Message": "…"}}, "GetEntitlements")  # type: ignore[typeddict-item]


def asked(error: Exception) -> NoObservationError:
    """What becomes of a call that fails with an error."""

    def call() -> None:
        raise error

    with pytest.raises(NoObservationError) as caught:
        ask("X", call)
    return caught.value


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (client_error("ThrottlingException"), "AWS Marketplace answered X with ThrottlingException."),
        (client_error("AccessDeniedException"), "AWS Marketplace answered X with AccessDeniedException."),
        (client_error("<html>"), "AWS Marketplace answered X with an error."),
        (client_error(None), "AWS Marketplace answered X with an error."),
        (ReadTimeoutError(endpoint_url="…"), "AWS Marketplace did not answer X: ReadTimeoutError."),
        (RuntimeError("…"), "AWS Marketplace's answer to X can't be read."),
        (KeyError("…"), "AWS Marketplace's answer to X can't be read."),
    ],
)
def test_what_is_no_answer_is_told_in_words(error: Exception, reason: str) -> None:
    """It may come yet."""
    told = asked(error)
    assert isinstance(told, NoAnswerError)
    assert told.reason == reason


def test_a_refused_question_is_not_an_outage() -> None:
    """To ask it again at once would help nobody."""
    assert not isinstance(asked(client_error("InvalidParameterException")), NoAnswerError)


# -- agreements --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proposal", "product_ids"),
    [
        ({"resources": [{"id": "prod-b", "type": "SaaSProduct"}, {"id": "prod-a"}]}, ("prod-a", "prod-b")),
        ({"resources": [{"id": "prod-a"}, {"id": "prod a"}]}, None),
        ({"resources": [{"id": "prod-a"}, "prod-b"]}, None),
        ({"resources": []}, None),
        ({"resources": 5}, None),
        ({}, None),
        (None, None),
    ],
)
def test_an_agreement_is_about_all_its_products_or_it_is_not_known_what_about(
    proposal: object, product_ids: tuple[str, ...] | None
) -> None:
    """One that can't be read may be one of the ledger's."""
    told = {"agreementId": aws.AGREEMENT, "proposalSummary": proposal}
    [agreement] = agreements_found({"agreementViewSummaries": [told]}, at=NOON)
    assert agreement.product_ids == product_ids


def test_what_a_message_names_is_one_of_an_agreements_products() -> None:
    """It replaces none of those that are known already."""
    known = Agreement(agreement_id=aws.AGREEMENT, product_ids=("prod-a", "prod-b"))
    for named in (("prod-b",), ("prod-a",), None):
        assert known.and_heard(replace(known, product_ids=named)) == known
    assert known.and_heard(replace(known, product_ids=("prod-aa",))).product_ids == ("prod-a", "prod-aa", "prod-b")
