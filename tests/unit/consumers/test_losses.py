"""How much is lost within a day: the losses of several reconciliations add up, and what was not lost does not count."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import pytest

from consumers.marketplace.reconcile.losses import Course, are_too_many, weigh
from ledger.drift import Losses, Terms

MAY: Final = datetime(2027, 5, 31, tzinfo=UTC)


def seats(number: int, *, until: datetime = MAY) -> Terms:
    """What a license has."""
    return Terms(seats_max=number, renews_at=until)


def course(*had: int, has: int | None, is_left: int | None) -> Course:
    """A license that had so many seats each time that some were let go, has so many, and is to be left so many."""
    return Course(
        had=tuple(map(seats, had)),
        has=None if has is None else seats(has),
        is_left=None if is_left is None else seats(is_left),
    )


def lost(*courses: Course, licenses: int, seats: int) -> tuple[int, int, int, int]:
    """How many licenses and seats, of how many."""
    told = weigh(courses, licenses=licenses, seats=seats, percent_max=Decimal(5))
    return told.licenses, told.seats, told.licenses_before, told.seats_before


def test_what_is_found_now_is_lost_of_what_runs() -> None:
    """A license that is to end loses all of its seats."""
    assert lost(course(has=20, is_left=12), course(has=5, is_left=None), licenses=10, seats=100) == (2, 13, 10, 100)


def test_losses_of_a_license_add_up_and_are_of_what_it_had_before_them() -> None:
    """Twenty seats, of which twelve, then six, then two are left, have lost eighteen."""
    assert lost(course(20, 12, has=6, is_left=2), licenses=10, seats=86) == (1, 18, 10, 100)
    assert lost(course(20, has=None, is_left=None), licenses=9, seats=80) == (1, 20, 10, 100)


def test_what_was_let_go_and_not_lost_does_not_count() -> None:
    """AWS did not say that it ended, or shows it again."""
    assert lost(course(20, has=20, is_left=20), course(5, has=8, is_left=8), licenses=2, seats=28) == (0, 0, 2, 28)


def test_what_was_bought_between_two_losses_is_no_excuse() -> None:
    """The largest of what it had counts."""
    assert lost(course(5, has=100, is_left=3), licenses=1, seats=100) == (1, 97, 1, 100)


def test_whoever_ends_earlier_loses_all_seats_and_has_them_still() -> None:
    """So they are not counted twice among those that there were."""
    earlier = seats(5, until=MAY - timedelta(days=1))
    assert lost(Course(had=(seats(5),), has=earlier, is_left=earlier), licenses=1, seats=5) == (1, 5, 1, 5)


@pytest.mark.parametrize(
    ("losses", "licenses", "seats", "too_many"),
    [
        ((100, 100), 2, 200, False),
        ((1, 1, 1), 60, 1000, False),
        ((1, 1, 1), 59, 1000, True),
        ((20, 20, 11), 1000, 1000, True),
        ((20, 20, 10), 1000, 1000, False),
    ],
)
def test_losses_are_too_many_from_three_licenses_and_five_percent_up(
    losses: Sequence[int], licenses: int, seats: int, *, too_many: bool
) -> None:
    """Of seats or of licenses."""
    told = Losses(
        licenses=len(losses), seats=sum(losses), licenses_before=licenses, seats_before=seats, percent_max=5.0
    )
    assert are_too_many(told) is too_many
