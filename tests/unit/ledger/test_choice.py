"""Which of several licenses a user works under: every rank, and that nothing else matters."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from ledger.license.access import AccessCode, access
from ledger.license.choice import Choice, Place, license_to_work_under
from ledger.license.events import LicenseEvent, LicenseId, SeatId
from ledger.license.state import License, SeatStatus
from tests.stories import (
    ADA_ACTIVATED,
    ADA_BLOCKED,
    ADA_DELETED,
    ADA_SEAT,
    ADA_UNBLOCKED,
    CANCELLED,
    EXPIRED,
    GRACE_ACTIVATED,
    ISSUED,
    ISSUED_WITH_ONE_SEAT,
    ISSUED_WITH_TWO_SEATS,
    LICENSE,
    NO_WAIT,
    NOON,
    OTHER_LICENSE,
    RENEWED,
    RENEWS_AT,
)
from tests.unit.ledger.given import fold

NEVER_STARTED = (ISSUED,)
FULL = (*ISSUED_WITH_ONE_SEAT, GRACE_ACTIVATED)
ACTIVE = (*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED)


def under(*history: LicenseEvent, license_id: LicenseId = LICENSE) -> Place:
    """A license to which this happened, with Ada's seat if it ever heard of her."""
    license_ = fold(*history, after=License(license_id=license_id))
    return Place(license=license_, seat_id=ADA_SEAT if ADA_SEAT in license_.seats else None)


def chosen(*places: Place, at: datetime = NOON) -> tuple[AccessCode, LicenseId | None]:
    """The code and the license, in whatever order the licenses are looked at."""
    answers = {_told(license_to_work_under(order, policy=NO_WAIT, at=at)) for order in permutations(places)}
    (answer,) = answers
    return answer


def _told(choice: Choice) -> tuple[AccessCode, LicenseId | None]:
    return choice.code, choice.place.license.license_id if choice.place is not None else None


def test_among_no_licenses_there_is_none() -> None:
    """It is an answer, not an error."""
    assert chosen() == (AccessCode.LICENSE_NOT_FOUND, None)


def test_a_block_under_one_license_counts_for_all() -> None:
    """Also where the user has a seat elsewhere, and where the license itself can't be used any more."""
    active = under(*ACTIVE, RENEWED)
    blocked = under(*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED, license_id=OTHER_LICENSE)
    assert chosen(active, blocked) == (AccessCode.USER_BLOCKED, OTHER_LICENSE)
    lapsed = under(*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED, CANCELLED, license_id=OTHER_LICENSE)
    assert chosen(active, lapsed) == (AccessCode.USER_BLOCKED, OTHER_LICENSE)
    never_started = under(*NEVER_STARTED, ADA_BLOCKED, license_id=OTHER_LICENSE)
    assert chosen(active, never_started) == (AccessCode.USER_BLOCKED, OTHER_LICENSE)


def test_a_user_who_was_unblocked_is_not_kept_out() -> None:
    """The seat is still the user's, who takes it again by signing in."""
    unblocked = under(*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED, ADA_UNBLOCKED)
    assert chosen(unblocked) == (AccessCode.NO_SEAT, LICENSE)


def test_where_the_user_has_a_seat_comes_before_where_one_is_free() -> None:
    """Whatever their dates: nobody takes two seats."""
    active = under(*ACTIVE)
    free = under(*ISSUED_WITH_TWO_SEATS, RENEWED, license_id=OTHER_LICENSE)
    assert chosen(active, free) == (AccessCode.ALLOWED, LICENSE)


def test_a_seat_under_a_license_that_can_not_be_used_is_none() -> None:
    """The user moves on to where a seat is free."""
    lapsed = under(*ACTIVE, CANCELLED)
    free = under(*ISSUED_WITH_ONE_SEAT, license_id=OTHER_LICENSE)
    assert chosen(lapsed, free) == (AccessCode.NO_SEAT, OTHER_LICENSE)


def test_a_free_seat_is_taken_where_the_date_is_latest_then_by_the_id() -> None:
    """So that seats are taken where they last longest."""
    earlier, later = under(*ISSUED_WITH_ONE_SEAT), under(*ISSUED_WITH_ONE_SEAT, RENEWED, license_id=OTHER_LICENSE)
    assert chosen(earlier, later) == (AccessCode.NO_SEAT, OTHER_LICENSE)
    same = under(*ISSUED_WITH_ONE_SEAT, license_id=OTHER_LICENSE)
    assert chosen(earlier, same) == (AccessCode.NO_SEAT, LICENSE)


def test_a_full_license_is_passed_over() -> None:
    """However late its date is."""
    full, free = under(*FULL, RENEWED), under(*ISSUED_WITH_ONE_SEAT, license_id=OTHER_LICENSE)
    assert chosen(full, free) == (AccessCode.NO_SEAT, OTHER_LICENSE)
    assert chosen(full, under(*FULL, license_id=OTHER_LICENSE)) == (AccessCode.NO_SEAT, LICENSE)


def test_of_refusals_the_nearest_to_being_allowed_is_told() -> None:
    """A full license before one that has expired, that before one that lapsed, that before one that never started."""
    never_started, lapsed = under(*NEVER_STARTED), under(*ACTIVE, CANCELLED, license_id=OTHER_LICENSE)
    assert chosen(never_started, lapsed) == (AccessCode.SUBSCRIPTION_LAPSED, OTHER_LICENSE)
    expired = under(*ACTIVE)
    assert chosen(expired, lapsed, at=RENEWS_AT) == (AccessCode.SUBSCRIPTION_EXPIRED, LICENSE)
    full = under(*FULL, RENEWED, license_id=OTHER_LICENSE)
    assert chosen(expired, full, at=RENEWS_AT) == (AccessCode.NO_SEAT, OTHER_LICENSE)


HISTORIES: Sequence[tuple[LicenseEvent, ...]] = (
    NEVER_STARTED,
    (*NEVER_STARTED, ADA_BLOCKED),
    ISSUED_WITH_ONE_SEAT,
    (*ISSUED_WITH_ONE_SEAT, RENEWED),
    (*ISSUED_WITH_ONE_SEAT, EXPIRED),
    FULL,
    (*FULL, RENEWED),
    ACTIVE,
    (*ACTIVE, RENEWED),
    (*ACTIVE, ADA_DELETED),
    (*ACTIVE, CANCELLED),
    (*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED),
    (*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED, CANCELLED),
    (*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED, ADA_UNBLOCKED),
    (*FULL, ADA_BLOCKED, ADA_UNBLOCKED),
)

places = st.lists(st.sampled_from(HISTORIES), max_size=6).map(
    lambda histories: [under(*one, license_id=LicenseId(f"license-{n}")) for n, one in enumerate(histories)]
)
moments = st.sampled_from([NOON, RENEWS_AT, RENEWED.renews_at_after])


def _status(place: Place) -> SeatStatus | None:
    seat = place.license.seats.get(place.seat_id or SeatId(""))
    return None if seat is None else seat.status


def _first(places: Sequence[Place]) -> tuple[datetime, str] | None:
    """The date and the id of what comes first of equals: the latest date, then the least id."""
    dated = [
        (one.license.subscription.renews_at if one.license.subscription else datetime.min.replace(tzinfo=UTC), one)
        for one in places
    ]
    latest = max((date for date, _ in dated), default=None)
    ids = [one.license.license_id for date, one in dated if date == latest]
    return None if latest is None else (latest, min(ids))


@given(places=places, at=moments)
def test_the_rule_is_what_its_sentences_say(places: list[Place], at: datetime) -> None:
    """One sentence after the other, of which the first that finds a license decides."""
    codes = {id(one): access(one.license, one.seat_id, policy=NO_WAIT, at=at) for one in places}
    seatless = [one for one in places if codes[id(one)] is AccessCode.NO_SEAT]
    sentences = [
        (AccessCode.USER_BLOCKED, [one for one in places if _status(one) is SeatStatus.BLOCKED]),
        (AccessCode.ALLOWED, [one for one in places if codes[id(one)] is AccessCode.ALLOWED]),
        (AccessCode.NO_SEAT, [one for one in seatless if one.license.seats_active < one.license.seats_max]),
        (AccessCode.NO_SEAT, seatless),
        *(
            (code, [one for one in places if codes[id(one)] is code])
            for code in (
                AccessCode.SUBSCRIPTION_EXPIRED,
                AccessCode.SUBSCRIPTION_LAPSED,
                AccessCode.SUBSCRIPTION_NOT_STARTED,
            )
        ),
    ]
    code, found = next(((code, found) for code, found in sentences if found), (AccessCode.LICENSE_NOT_FOUND, []))
    choice = license_to_work_under(places, policy=NO_WAIT, at=at)
    assert choice.code is code
    assert _first([choice.place] if choice.place else []) == _first(found)


@given(places=places, more=places, at=moments)
def test_one_more_license_without_a_block_never_takes_work_away(
    places: list[Place], more: list[Place], at: datetime
) -> None:
    """Buying more is never worse."""
    order = list(AccessCode)
    before = license_to_work_under(places, policy=NO_WAIT, at=at).code
    added = [one for one in more if _status(one) is not SeatStatus.BLOCKED]
    after = license_to_work_under([*places, *added], policy=NO_WAIT, at=at).code
    assert (before is after) if before is AccessCode.USER_BLOCKED else order.index(after) >= order.index(before)
