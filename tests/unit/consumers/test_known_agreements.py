"""The order of the agreements behind a license: by their starts, and by what is known of who follows whom."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from consumers.marketplace.agreement import Agreement, AgreementStatus
from consumers.marketplace.known_agreements import in_order
from tests.stories import NOON

FIRST = Agreement(
    agreement_id="agmt-first", initial_agreement_id="agmt-first", status=AgreementStatus.REPLACED, starts_at=NOON
)
SECOND = Agreement(
    agreement_id="agmt-second", initial_agreement_id="agmt-first", status=AgreementStatus.REPLACED, starts_at=NOON
)
THIRD = Agreement(
    agreement_id="agmt-third", initial_agreement_id="agmt-first", status=AgreementStatus.TERMINATED, starts_at=NOON
)
ORDERS = tuple(permutations((FIRST, SECOND, THIRD)))


@pytest.mark.parametrize("told", ORDERS)
def test_what_was_replaced_before_it_began_stands_before_what_starts_in_its_place(told: Sequence[Agreement]) -> None:
    """All of them start at one moment, and nobody told which follows which."""
    assert in_order(told) == (FIRST, SECOND, THIRD)


@pytest.mark.parametrize("told", ORDERS)
def test_a_link_counts_more_than_what_can_be_told_without(told: Sequence[Agreement]) -> None:
    """The third says that the second follows it."""
    linked = [replace(one, previous_agreement_id=THIRD.agreement_id) if one == SECOND else one for one in told]
    assert [one.agreement_id for one in in_order(linked)] == ["agmt-first", "agmt-third", "agmt-second"]


@pytest.mark.parametrize("told", ORDERS)
def test_a_start_counts_more_than_how_they_stand(told: Sequence[Agreement]) -> None:
    """The third began before the others."""
    earlier = [replace(one, starts_at=NOON - timedelta(days=1)) if one == THIRD else one for one in told]
    assert [one.agreement_id for one in in_order(earlier)] == ["agmt-third", "agmt-first", "agmt-second"]
