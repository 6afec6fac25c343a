"""AWS and the ledger side by side."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import pytest

from consumers.sandbox.contracts import AgreementStatus, Contract, Generation
from consumers.sandbox.ledger_window import LedgerDidNotAnswerError, LedgerWindow, ShownLicense
from consumers.sandbox.sides import Sides, Verdict, compare
from tests.unit.sandbox.story import ANALYTICAL_ENGINES, END_OF_MAY, NOON, Stage


class _Ledger(LedgerWindow):
    """A ledger that shows these licenses to whoever asks; null does not answer."""

    def __init__(self, licenses: Sequence[ShownLicense] | None) -> None:
        """Show these."""
        super().__init__(url="http://ledger.test", key="an-auditor")
        self._licenses = licenses

    def licenses_of(self, account_id: str) -> Sequence[ShownLicense]:
        """Answer the same for every buyer."""
        assert account_id
        if self._licenses is None:
            raise LedgerDidNotAnswerError("The ledger does not answer.")
        return self._licenses


CONTRACT: Final[Contract] = Stage().marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
SHOWN: Final = ShownLicense(
    license_id="01-noon",
    product_code=CONTRACT.product_code,
    company_name=None,
    license_arn=CONTRACT.license_arn,
    agreement_id=CONTRACT.agreement_id,
    seats_max=5,
    seats_active=2,
    seats_blocked=0,
    status="active",
    renewal_date=END_OF_MAY,
)


def beside(
    *licenses: ShownLicense, chain: tuple[Contract, ...] = (CONTRACT,), at: datetime = NOON, waiting: int = 0
) -> Sides:
    """Put one chain beside what the ledger shows."""
    return compare([chain], window=_Ledger(licenses), at=at, waiting=waiting)[0]


def shown(**other: object) -> ShownLicense:
    """The license with something else about it."""
    return ShownLicense(**{name: getattr(SHOWN, name) for name in SHOWN.__struct_fields__} | other)


def test_the_same_number_until_the_same_date_agrees() -> None:
    """A second is not counted: the ledger's date is AWS's, to the second."""
    sides = beside(shown(renewal_date=END_OF_MAY - timedelta(milliseconds=999)))
    assert (sides.verdict, sides.reason) == (Verdict.AGREE, "Both say 5 seats, until the same date.")


@pytest.mark.parametrize(
    ("licenses", "reason"),
    [
        ((), "AWS gives seats, and the ledger has no license yet."),
        ((shown(seats_max=3),), "AWS gives 5 seats, and the ledger 3 seats."),
        ((shown(status="lapsed"),), "AWS gives 5 seats, and the ledger no seats."),
        (
            (shown(renewal_date=END_OF_MAY + timedelta(days=1)),),
            "The number of seats is the same, but the date is another.",
        ),
        ((shown(status="folded"),), "AWS gives seats, and the ledger has no license yet."),
    ],
)
def test_what_differs_is_said(licenses: tuple[ShownLicense, ...], reason: str) -> None:
    """With both numbers."""
    assert (beside(*licenses).verdict, beside(*licenses).reason) == (Verdict.DIFFER, reason)
    assert "2 messages are still on the way." in beside(*licenses, waiting=2).reason


def test_the_larger_number_counts_while_two_agreements_are_live() -> None:
    """The license is found by any agreement of the chain."""
    renewed = replace(CONTRACT, agreement_id="agmt-renewed", quantities={"users": 3}, license_arn="arn-of-its-own")
    assert beside(SHOWN, chain=(renewed, CONTRACT)).verdict is Verdict.AGREE


def test_a_live_agreement_is_compared_with_the_license_that_it_gives() -> None:
    """A partner's renewal is another license in the ledger, since nobody is told that it follows: the old one ended."""
    before = replace(CONTRACT, status=AgreementStatus.RENEWED)
    renewed = replace(CONTRACT, agreement_id="agmt-renewed", quantities={"users": 9}, license_arn="arn-of-its-own")
    given = shown(license_id="02", agreement_id="agmt-renewed", license_arn="arn-of-its-own", seats_max=9)
    sides = beside(shown(status="lapsed"), given, chain=(renewed, before))
    assert (sides.shown, sides.verdict) == (given, Verdict.AGREE)
    over = (replace(renewed, status=AgreementStatus.CANCELLED), before)
    assert beside(shown(status="lapsed"), given, chain=over).shown == given


def test_an_end_agrees_once_the_ledger_gives_nothing() -> None:
    """A date that passed without a word differs for a while, and it is said why."""
    over = (replace(CONTRACT, status=AgreementStatus.CANCELLED),)
    assert beside(shown(status="lapsed"), chain=over).verdict is Verdict.AGREE
    assert beside(chain=over).reason == "AWS gives no seats, and the ledger has no license."
    overdue = beside(shown(status="overdue"), at=END_OF_MAY)
    assert (overdue.verdict, "until AWS says what follows" in overdue.reason) == (Verdict.DIFFER, True)


def test_a_legacy_license_is_found_by_its_product() -> None:
    """It has no name of its own but the buyer's."""
    nameless = shown(license_arn=None, agreement_id=None)
    legacy = (replace(CONTRACT, generation=Generation.LEGACY),)
    assert beside(nameless, chain=legacy).shown == nameless
    assert beside(nameless).shown is None


def test_a_ledger_that_was_not_asked_is_no_difference() -> None:
    """It is said why, and what to do."""
    for window, said in (
        (None, "The sandbox knows no ledger. Start it with --ledger-url and LEDGER_SANDBOX_KEY."),
        (LedgerWindow(url="http://ledger.test", key=None), "The sandbox has no key of the ledger."),
        (_Ledger(None), "The ledger does not answer."),
    ):
        (sides,) = compare([(CONTRACT,)], window=window, at=NOON, waiting=0)
        assert sides.verdict is Verdict.UNKNOWN
        assert sides.reason.startswith(said)
