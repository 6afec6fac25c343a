"""The rules of a license: for each command the right events, the refusal, and the quiet success."""

from dataclasses import replace
from datetime import timedelta

import pytest

from ledger.license import events
from ledger.license.decisions import (
    NoSeatIsFreeError,
    SeatIsNotFoundError,
    SecondReadingIsNeededError,
    SubscriptionHasExpiredError,
    SubscriptionHasLapsedError,
    SubscriptionHasNotStartedError,
    UserIsBlockedError,
    activate_seat,
    block_seat,
    delete_seat,
    identify_license,
    issue_license,
    lapse_subscription,
    observe_subscription,
    preview_limit,
    refusal,
    register_company,
    unblock_seat,
)
from ledger.license.events import BlockReason, KeyKind, LapseReason, Personal
from ledger.license.state import SeatStatus
from tests.stories import (
    ACCOUNT,
    ADA,
    ADA_ACTIVATED,
    ADA_BLOCKED,
    ADA_DELETED,
    ADA_LEFT,
    ADA_LOST_THE_SEAT,
    ADA_SEAT,
    ADA_UNBLOCKED,
    AGREEMENT,
    CANCELLED,
    CONTACT,
    EXPIRED,
    GRACE,
    GRACE_ACTIVATED,
    GRACE_BLOCKED,
    GRACE_LOST_THE_SEAT,
    GRACE_SEAT,
    IDENTIFIED_BY_AGREEMENT,
    ISSUED,
    ISSUED_WITH_ONE_SEAT,
    ISSUED_WITH_TWO_SEATS,
    NEXT_RENEWS_AT,
    NO_WAIT,
    NOON,
    PRODUCT_CODE,
    REGISTERED,
    RENEWED,
    RENEWS_AT,
    STARTED_WITH_ONE_SEAT,
    STARTED_WITH_TWO_SEATS,
    STARTED_WITHOUT_END,
    TERMINATED,
    THREE_DAYS,
)
from tests.unit.ledger.given import fold, given

LATER = RENEWS_AT - timedelta(days=30)

# -- a license is seen ---------------------------------------------------------------------------------------------


def test_a_license_seen_for_the_first_time_is_issued_with_its_names() -> None:
    """The issue comes first, then each name once, in the order told."""
    given().when(issue_license, product_code=PRODUCT_CODE, names=(AGREEMENT, ACCOUNT, AGREEMENT)).then(
        ISSUED,
        IDENTIFIED_BY_AGREEMENT,
        events.LicenseIdentified(kind=KeyKind.ACCOUNT, value=ACCOUNT[1]),
    )


def test_a_license_seen_again_is_only_named_anew() -> None:
    """What is new of the names is recorded; the issue and the known name are not."""
    given(ISSUED, IDENTIFIED_BY_AGREEMENT).when(
        issue_license, product_code=PRODUCT_CODE, names=(AGREEMENT, ACCOUNT)
    ).then(events.LicenseIdentified(kind=KeyKind.ACCOUNT, value=ACCOUNT[1]))


def test_known_names_are_nothing_new() -> None:
    """A name that is known adds no event."""
    given(ISSUED, IDENTIFIED_BY_AGREEMENT).when(identify_license, names=(AGREEMENT,)).then_nothing()


def test_of_two_names_of_a_kind_the_latest_is_the_current_one() -> None:
    """An account that AWS tells later stands in the place of the earlier; other kinds stay."""
    other = events.LicenseIdentified(kind=KeyKind.ACCOUNT, value="444422221111")
    license_ = fold(ISSUED, IDENTIFIED_BY_AGREEMENT, replace(other, value=ACCOUNT[1]), other)
    assert license_.name(KeyKind.ACCOUNT) == "444422221111"
    assert license_.name(KeyKind.AGREEMENT) == AGREEMENT[1]
    assert license_.name(KeyKind.PRODUCT) is None


# -- the company registers -----------------------------------------------------------------------------------------


def test_the_registration_form_is_recorded() -> None:
    """The contact is personal, and belongs to the contact."""
    given(ISSUED).when(
        register_company, company_name="Analytical Engines", contact=CONTACT, contact_before=None
    ).then_once(REGISTERED)


@pytest.mark.parametrize("name", ["Analytical Engines Ltd", "analytical engines"])
def test_a_corrected_registration_is_recorded_again(name: str) -> None:
    """Another spelling of the company's name is a correction."""
    given(ISSUED, REGISTERED).when(register_company, company_name=name, contact=CONTACT, contact_before=CONTACT).then(
        events.CompanyRegistered(company_name=name, contact=Personal("contact", CONTACT))
    )


def test_a_corrected_contact_is_recorded_again() -> None:
    """The same company with another phone number is a correction."""
    contact = replace(CONTACT, phone=None)
    given(ISSUED, REGISTERED).when(
        register_company, company_name="Analytical Engines", contact=contact, contact_before=CONTACT
    ).then_once(events.CompanyRegistered(company_name="Analytical Engines", contact=Personal("contact", contact)))


def test_the_same_registration_again_is_nothing() -> None:
    """Sent twice, recorded once."""
    given(ISSUED, REGISTERED).when(
        register_company, company_name="Analytical Engines", contact=CONTACT, contact_before=CONTACT
    ).then_nothing()


# -- what AWS says of seats ----------------------------------------------------------------------------------------


def test_the_first_observation_with_seats_starts_the_subscription() -> None:
    """Number and date stand in one event."""
    given(ISSUED).when(observe_subscription, seats_max=1, renews_at=RENEWS_AT, confirmed=False).then(
        STARTED_WITH_ONE_SEAT
    )


def test_no_seats_start_nothing() -> None:
    """Zero is a number on a running license and starts nothing before."""
    given(ISSUED).when(observe_subscription, seats_max=0, renews_at=RENEWS_AT, confirmed=True).then_nothing()


def test_the_same_observation_again_is_nothing() -> None:
    """A repeated message leads to the same reading, which adds no event."""
    given(*ISSUED_WITH_ONE_SEAT).when(
        observe_subscription, seats_max=1, renews_at=RENEWS_AT, confirmed=False
    ).then_nothing()


def test_more_seats_raise_the_limit() -> None:
    """The event says from what to what."""
    given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED).when(
        observe_subscription, seats_max=2, renews_at=RENEWS_AT, confirmed=False
    ).then(events.SeatLimitRaised(seats_max_before=1, seats_max_after=2))


def test_fewer_seats_than_bought_but_enough_for_all_only_lower_the_limit() -> None:
    """Nobody is deleted when the active users fit, and one reading is believed."""
    given(*ISSUED_WITH_TWO_SEATS, ADA_ACTIVATED).when(
        observe_subscription, seats_max=1, renews_at=RENEWS_AT, confirmed=False
    ).then(events.SeatLimitLowered(seats_max_before=2, seats_max_after=1))


def test_fewer_seats_than_active_users_delete_them_all_and_the_limit_moves_last() -> None:
    """The decrease rule: every active user is deleted, in the order of their sign-ins."""
    after = (
        given(*ISSUED_WITH_TWO_SEATS, GRACE_ACTIVATED, ADA_ACTIVATED)
        .when(observe_subscription, seats_max=1, renews_at=RENEWS_AT, confirmed=True)
        .then(GRACE_LOST_THE_SEAT, ADA_LOST_THE_SEAT, events.SeatLimitLowered(seats_max_before=2, seats_max_after=1))
    )
    assert (after.seats_active, after.seats_max) == (0, 1)


def test_a_decrease_that_deletes_is_not_believed_at_the_first_reading() -> None:
    """It asks for a second reading and says how many seats are in danger."""
    refused = (
        given(*ISSUED_WITH_TWO_SEATS, ADA_ACTIVATED, GRACE_ACTIVATED)
        .when(observe_subscription, seats_max=1, renews_at=RENEWS_AT, confirmed=False)
        .then_refuses(SecondReadingIsNeededError)
    )
    assert refused.members == {"seats_deleted": 2}


def test_blocked_users_stay_blocked_through_a_decrease() -> None:
    """The decrease deletes active seats alone; a block is lifted by unblocking only."""
    after = (
        given(*ISSUED_WITH_TWO_SEATS, ADA_ACTIVATED, ADA_BLOCKED, GRACE_ACTIVATED)
        .when(observe_subscription, seats_max=0, renews_at=RENEWS_AT, confirmed=True)
        .then(GRACE_LOST_THE_SEAT, events.SeatLimitLowered(seats_max_before=2, seats_max_after=0))
    )
    assert after.seats[ADA_SEAT].status is SeatStatus.BLOCKED
    assert after.seats_blocked == 1


def test_a_later_date_renews() -> None:
    """The number stays, the date moves."""
    given(*ISSUED_WITH_ONE_SEAT).when(
        observe_subscription, seats_max=1, renews_at=NEXT_RENEWS_AT, confirmed=False
    ).then(RENEWED)


def test_an_earlier_date_shortens() -> None:
    """A date before the known one is another fact than a renewal."""
    given(*ISSUED_WITH_ONE_SEAT).when(observe_subscription, seats_max=1, renews_at=LATER, confirmed=False).then(
        events.SubscriptionShortened(renews_at_before=RENEWS_AT, renews_at_after=LATER)
    )


def test_number_and_date_of_one_observation_come_together() -> None:
    """Both facts follow from one decision, so they are one append."""
    given(*ISSUED_WITH_ONE_SEAT).when(
        observe_subscription, seats_max=2, renews_at=NEXT_RENEWS_AT, confirmed=False
    ).then(events.SeatLimitRaised(seats_max_before=1, seats_max_after=2), RENEWED)


def test_seats_after_a_lapse_resume_the_subscription() -> None:
    """The resumption comes first, then what moved meanwhile."""
    after = (
        given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED, CANCELLED)
        .when(observe_subscription, seats_max=2, renews_at=NEXT_RENEWS_AT, confirmed=False)
        .then(events.SubscriptionResumed(), events.SeatLimitRaised(seats_max_before=1, seats_max_after=2), RENEWED)
    )
    assert after.seats[ADA_SEAT].status is SeatStatus.ACTIVE


def test_no_seats_after_a_lapse_resume_nothing() -> None:
    """An ended contract without seats stays ended."""
    given(*ISSUED_WITH_ONE_SEAT, CANCELLED).when(
        observe_subscription, seats_max=0, renews_at=RENEWS_AT, confirmed=True
    ).then_nothing()


def test_fewer_seats_after_a_lapse_delete_as_ever() -> None:
    """The limit's last number counts through the lapse, so the decrease rule does too."""
    given(*ISSUED_WITH_TWO_SEATS, ADA_ACTIVATED, GRACE_ACTIVATED, EXPIRED).when(
        observe_subscription, seats_max=1, renews_at=NEXT_RENEWS_AT, confirmed=True
    ).then(
        events.SubscriptionResumed(),
        ADA_LOST_THE_SEAT,
        GRACE_LOST_THE_SEAT,
        events.SeatLimitLowered(seats_max_before=2, seats_max_after=1),
        RENEWED,
    )


@pytest.mark.parametrize(
    ("seats_max", "seats_deleted", "must_free_first"), [(3, 0, 0), (2, 0, 0), (1, 2, 1), (0, 2, 2)]
)
def test_a_preview_says_who_would_lose_the_seat(seats_max: int, seats_deleted: int, must_free_first: int) -> None:
    """All or none are deleted; freeing some first avoids it."""
    preview = preview_limit(fold(*ISSUED_WITH_TWO_SEATS, ADA_ACTIVATED, GRACE_ACTIVATED), seats_max=seats_max)
    assert (preview.seats_deleted, preview.must_free_first) == (seats_deleted, must_free_first)


@pytest.mark.parametrize("reason", LapseReason)
def test_the_end_of_a_contract_keeps_the_seats(reason: LapseReason) -> None:
    """An expiry is not a decrease: the limit keeps its number, the users their seats."""
    after = (
        given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED)
        .when(lapse_subscription, reason=reason, at=NOON)
        .then(events.SubscriptionLapsed(reason=reason, ended_at=NOON))
    )
    assert (after.seats_active, after.seats_max) == (1, 1)


def test_a_contract_ended_at_its_date_at_the_latest() -> None:
    """Heard of later, it ended at the renewal date all the same."""
    given(*ISSUED_WITH_ONE_SEAT).when(
        lapse_subscription, reason=LapseReason.EXPIRED, at=RENEWS_AT + timedelta(days=2)
    ).then(EXPIRED)


@pytest.mark.parametrize("history", [(ISSUED,), (*ISSUED_WITH_ONE_SEAT, CANCELLED)])
def test_what_never_ran_or_ended_already_does_not_end(history: tuple[events.LicenseEvent, ...]) -> None:
    """The end is recorded once, with the reason heard first."""
    given(*history).when(lapse_subscription, reason=LapseReason.TERMINATED, at=NOON).then_nothing()


# -- activation ----------------------------------------------------------------------------------------------------


def test_a_user_takes_a_free_seat() -> None:
    """One seat, no user: Ada gets it."""
    after = (
        given(*ISSUED_WITH_ONE_SEAT)
        .when(activate_seat, seat_id=ADA_SEAT, user=ADA, policy=NO_WAIT, at=NOON)
        .then(ADA_ACTIVATED)
    )
    assert after.seats_active == 1


def test_nobody_takes_the_seat_of_another() -> None:
    """All seats in use: Grace is refused, and told of how many."""
    refused = (
        given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED)
        .when(activate_seat, seat_id=GRACE_SEAT, user=GRACE, policy=NO_WAIT, at=NOON)
        .then_refuses(NoSeatIsFreeError)
    )
    assert refused.members == {"seats_max": 1, "seats_active": 1}


def test_an_active_user_keeps_the_seat() -> None:
    """Asking again is a success without an event, even when all seats are in use."""
    given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED).when(
        activate_seat, seat_id=ADA_SEAT, user=ADA, policy=NO_WAIT, at=NOON
    ).then_nothing()


def test_a_deleted_user_may_come_back() -> None:
    """A deletion frees the seat; Ada takes it again under the same seat id."""
    given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED, ADA_DELETED).when(
        activate_seat, seat_id=ADA_SEAT, user=ADA, policy=NO_WAIT, at=NOON
    ).then(ADA_ACTIVATED)


def test_a_blocked_user_takes_no_seat() -> None:
    """Blocked stays out though the seat is free."""
    given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED, ADA_BLOCKED).when(
        activate_seat, seat_id=ADA_SEAT, user=ADA, policy=NO_WAIT, at=NOON
    ).then_refuses(UserIsBlockedError)


def test_a_user_blocked_before_the_first_sign_in_takes_no_seat() -> None:
    """The block may be the first that is heard of a user."""
    given(*ISSUED_WITH_ONE_SEAT, GRACE_BLOCKED).when(
        activate_seat, seat_id=GRACE_SEAT, user=GRACE, policy=NO_WAIT, at=NOON
    ).then_refuses(UserIsBlockedError)


def test_before_seats_were_observed_nobody_takes_one() -> None:
    """An issued license without a subscription has no seats."""
    given(ISSUED).when(activate_seat, seat_id=ADA_SEAT, user=ADA, policy=NO_WAIT, at=NOON).then_refuses(
        SubscriptionHasNotStartedError
    )


@pytest.mark.parametrize("lapsed", [CANCELLED, TERMINATED])
def test_a_cancelled_or_terminated_contract_gives_no_seat_at_once(lapsed: events.SubscriptionLapsed) -> None:
    """No grace follows a cancellation, whatever the policy."""
    given(*ISSUED_WITH_ONE_SEAT, lapsed).when(
        activate_seat, seat_id=ADA_SEAT, user=ADA, policy=THREE_DAYS, at=NOON
    ).then_refuses(SubscriptionHasLapsedError)


def test_an_unusable_license_refuses_its_active_users_too() -> None:
    """After usable-until not even an active user is told that all is well."""
    given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED).when(
        activate_seat, seat_id=ADA_SEAT, user=ADA, policy=NO_WAIT, at=RENEWS_AT
    ).then_refuses(SubscriptionHasExpiredError)


def test_the_last_microsecond_before_usable_until_still_gives_a_seat() -> None:
    """While usable everything works, new seats included."""
    given(*ISSUED_WITH_ONE_SEAT).when(
        activate_seat,
        seat_id=ADA_SEAT,
        user=ADA,
        policy=THREE_DAYS,
        at=RENEWS_AT + timedelta(days=3) - timedelta(microseconds=1),
    ).then(ADA_ACTIVATED)


def test_exactly_at_usable_until_no_seat_is_given() -> None:
    """The boundary belongs to the time after."""
    given(*ISSUED_WITH_ONE_SEAT).when(
        activate_seat, seat_id=ADA_SEAT, user=ADA, policy=THREE_DAYS, at=RENEWS_AT + timedelta(days=3)
    ).then_refuses(SubscriptionHasExpiredError)


def test_a_contract_without_end_gives_seats() -> None:
    """The year 9999 plus any wait does not overflow."""
    given(ISSUED, STARTED_WITHOUT_END).when(activate_seat, seat_id=ADA_SEAT, user=ADA, policy=THREE_DAYS, at=NOON).then(
        ADA_ACTIVATED
    )


# -- blocking ------------------------------------------------------------------------------------------------------


def test_blocking_frees_the_seat() -> None:
    """The user is kept out, and the seat is there for another."""
    after = (
        given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED)
        .when(block_seat, seat_id=ADA_SEAT, user=ADA, reason=BlockReason.LEFT, note=ADA_LEFT, note_before=None)
        .then_once(ADA_BLOCKED)
    )
    assert (after.seats_active, after.seats_blocked) == (0, 1)


def test_a_user_never_seen_can_be_blocked() -> None:
    """Whatever the status of the license."""
    given(ISSUED).when(
        block_seat, seat_id=GRACE_SEAT, user=GRACE, reason=BlockReason.MISUSE, note=None, note_before=None
    ).then(GRACE_BLOCKED)


@pytest.mark.parametrize("note", [ADA_LEFT, None])
def test_the_same_block_again_is_nothing(note: Personal[str] | None) -> None:
    """The same reason with the same note, or with none, says nothing new."""
    given(*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED).when(
        block_seat, seat_id=ADA_SEAT, user=ADA, reason=BlockReason.LEFT, note=note, note_before=ADA_LEFT
    ).then_nothing()


def test_a_block_with_another_reason_is_recorded_again() -> None:
    """The administrator knows better now; the count of blocked users stays."""
    after = (
        given(*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED)
        .when(block_seat, seat_id=ADA_SEAT, user=ADA, reason=BlockReason.MISUSE, note=None, note_before=ADA_LEFT)
        .then(events.SeatBlocked(seat_id=ADA_SEAT, user=ADA, reason=BlockReason.MISUSE, note=None))
    )
    assert after.seats_blocked == 1


def test_a_block_with_another_note_is_recorded_again() -> None:
    """The note is a part of what is said."""
    note = Personal(ADA_SEAT, "Back in May.")
    given(*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED).when(
        block_seat, seat_id=ADA_SEAT, user=ADA, reason=BlockReason.LEFT, note=note, note_before=ADA_LEFT
    ).then_once(events.SeatBlocked(seat_id=ADA_SEAT, user=ADA, reason=BlockReason.LEFT, note=note))


def test_a_block_after_an_unblock_is_a_new_block() -> None:
    """Even with the same words: it was lifted in between."""
    given(*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED, ADA_UNBLOCKED).when(
        block_seat, seat_id=ADA_SEAT, user=ADA, reason=BlockReason.LEFT, note=ADA_LEFT, note_before=ADA_LEFT
    ).then(ADA_BLOCKED)


def test_unblocking_makes_the_seat_inactive_and_takes_none() -> None:
    """The next sign-in takes a seat, not the unblocking."""
    after = given(*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED).when(unblock_seat, seat_id=ADA_SEAT).then(ADA_UNBLOCKED)
    assert after.seats[ADA_SEAT].status is SeatStatus.INACTIVE
    assert (after.seats_active, after.seats_blocked) == (0, 0)


@pytest.mark.parametrize("history", [(ADA_ACTIVATED,), (ADA_ACTIVATED, ADA_DELETED), (ADA_BLOCKED, ADA_UNBLOCKED)])
def test_unblocking_who_is_not_blocked_is_nothing(history: tuple[events.LicenseEvent, ...]) -> None:
    """Success without an event."""
    given(*ISSUED_WITH_ONE_SEAT, *history).when(unblock_seat, seat_id=ADA_SEAT).then_nothing()


def test_no_one_unblocks_a_seat_that_is_not_there() -> None:
    """Grace is unknown here."""
    given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED).when(unblock_seat, seat_id=GRACE_SEAT).then_refuses(SeatIsNotFoundError)


# -- deletion ------------------------------------------------------------------------------------------------------


def test_deleting_frees_the_seat() -> None:
    """Ada loses it, Grace can have it."""
    given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED).when(delete_seat, seat_id=ADA_SEAT).then(ADA_DELETED)
    given(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED, ADA_DELETED).when(
        activate_seat, seat_id=GRACE_SEAT, user=GRACE, policy=NO_WAIT, at=NOON
    ).then(GRACE_ACTIVATED)


def test_a_blocked_user_is_not_deleted() -> None:
    """No deletion lifts a block."""
    given(*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED).when(delete_seat, seat_id=ADA_SEAT).then_refuses(UserIsBlockedError)


@pytest.mark.parametrize("history", [(ADA_ACTIVATED, ADA_DELETED), (ADA_BLOCKED, ADA_UNBLOCKED)])
def test_deleting_who_holds_no_seat_is_nothing(history: tuple[events.LicenseEvent, ...]) -> None:
    """An inactive or deleted seat is a success without an event."""
    given(*ISSUED_WITH_ONE_SEAT, *history).when(delete_seat, seat_id=ADA_SEAT).then_nothing()


def test_no_one_deletes_a_seat_that_is_not_there() -> None:
    """Grace is unknown here."""
    given(*ISSUED_WITH_ONE_SEAT).when(delete_seat, seat_id=GRACE_SEAT).then_refuses(SeatIsNotFoundError)


@pytest.mark.parametrize("lapsed", [CANCELLED, TERMINATED, EXPIRED])
def test_blocking_unblocking_and_deleting_work_after_the_end_too(lapsed: events.SubscriptionLapsed) -> None:
    """An administrator tidies up in any status of the license."""
    history = (*ISSUED_WITH_TWO_SEATS, ADA_ACTIVATED, GRACE_BLOCKED, lapsed)
    given(*history).when(delete_seat, seat_id=ADA_SEAT).then(ADA_DELETED)
    given(*history).when(unblock_seat, seat_id=GRACE_SEAT).then(events.SeatUnblocked(seat_id=GRACE_SEAT))
    blocked = block_seat(
        fold(*history), seat_id=ADA_SEAT, user=ADA, reason=BlockReason.LEFT, note=ADA_LEFT, note_before=None
    )
    assert blocked == (ADA_BLOCKED,)


@pytest.mark.parametrize(
    "error",
    [
        SubscriptionHasNotStartedError,
        SubscriptionHasLapsedError,
        SubscriptionHasExpiredError,
        UserIsBlockedError,
        NoSeatIsFreeError,
        SeatIsNotFoundError,
    ],
)
def test_a_refusal_is_made_again_from_its_code(error: type[Exception]) -> None:
    """A repeated answer says what the first one said; all seats were taken then, whoever lost one since."""
    license_ = fold(ISSUED, STARTED_WITH_TWO_SEATS, ADA_ACTIVATED)
    again = refusal(license_, error.CODE)  # type: ignore[attr-defined]
    assert type(again) is error
    assert again.members == ({"seats_max": 2, "seats_active": 2} if error is NoSeatIsFreeError else {})


def test_a_seat_tells_since_when_it_was_taken_blocked_and_lost() -> None:
    """The latest activation is remembered through block and deletion; the others end with what ends them."""
    times = []
    for history in ((), (ADA_BLOCKED,), (ADA_BLOCKED, ADA_UNBLOCKED), (ADA_DELETED,), (ADA_DELETED, ADA_ACTIVATED)):
        seat = fold(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED, *history).seats[ADA_SEAT]
        times.append((seat.activated_at, seat.blocked_at, seat.deleted_at, seat.reason))
    assert times == [
        (NOON, None, None, None),
        (NOON, NOON, None, "left"),
        (NOON, None, None, None),
        (NOON, None, NOON, "deleted-by-admin"),
        (NOON, None, None, None),
    ]
    assert fold(*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED).seats[ADA_SEAT].activated_at is None
