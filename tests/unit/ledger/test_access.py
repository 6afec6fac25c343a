"""May this user work, and until when: every code, at its boundary."""

from datetime import UTC, datetime, timedelta

import pytest

from ledger.license import events
from ledger.license.access import SENTENCES, AccessCode, AccessPolicy, LicenseStatus, access, status, usable_until
from ledger.license.events import LapseReason, LicenseEvent, SeatId
from ledger.license.state import License
from tests.stories import (
    ADA_ACTIVATED,
    ADA_BLOCKED,
    ADA_DELETED,
    ADA_SEAT,
    ADA_UNBLOCKED,
    CANCELLED,
    EXPIRED,
    GRACE_SEAT,
    ISSUED,
    ISSUED_WITH_ONE_SEAT,
    LICENSE,
    NEVER,
    NO_WAIT,
    NOON,
    RENEWS_AT,
    STARTED_WITHOUT_END,
    TERMINATED,
    THREE_DAYS,
)
from tests.unit.ledger.given import fold

TICK = timedelta(microseconds=1)
WEEK_OF_GRACE = AccessPolicy(expiry_grace=timedelta(days=7), blind_wait=timedelta(days=3))


@pytest.mark.parametrize(
    ("history", "seat_id", "expected"),
    [
        ((), None, AccessCode.LICENSE_NOT_FOUND),
        ((ISSUED,), None, AccessCode.SUBSCRIPTION_NOT_STARTED),
        ((ISSUED, ADA_BLOCKED), ADA_SEAT, AccessCode.SUBSCRIPTION_NOT_STARTED),
        ((*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED, CANCELLED), ADA_SEAT, AccessCode.SUBSCRIPTION_LAPSED),
        ((*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED, TERMINATED), ADA_SEAT, AccessCode.SUBSCRIPTION_LAPSED),
        ((*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED), ADA_SEAT, AccessCode.USER_BLOCKED),
        ((*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED), None, AccessCode.NO_SEAT),
        ((*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED), GRACE_SEAT, AccessCode.NO_SEAT),
        ((*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED, ADA_DELETED), ADA_SEAT, AccessCode.NO_SEAT),
        ((*ISSUED_WITH_ONE_SEAT, ADA_BLOCKED, ADA_UNBLOCKED), ADA_SEAT, AccessCode.NO_SEAT),
        ((*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED), ADA_SEAT, AccessCode.ALLOWED),
    ],
)
def test_the_first_code_that_matches_is_the_answer(
    history: tuple[LicenseEvent, ...], seat_id: SeatId | None, expected: AccessCode
) -> None:
    """A license that is not there comes before an unusable one, that before a block, that before a missing seat."""
    license_ = fold(*history) if history else License(license_id=LICENSE)
    assert access(license_, seat_id, policy=NO_WAIT, at=NOON) is expected


def test_every_code_has_its_sentence() -> None:
    """People read sentences, not codes."""
    assert set(SENTENCES) == set(AccessCode)
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())


@pytest.mark.parametrize(
    ("policy", "wait"),
    [(NO_WAIT, timedelta()), (THREE_DAYS, timedelta(days=3)), (WEEK_OF_GRACE, timedelta(days=7))],
)
def test_a_running_contract_is_usable_to_the_end_of_the_longer_wait(policy: AccessPolicy, wait: timedelta) -> None:
    """Past its date by the longer of the blind wait and the grace it expires, to the microsecond."""
    license_ = fold(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED)
    until = RENEWS_AT + wait
    assert usable_until(license_.subscription, policy=policy) == until
    assert access(license_, ADA_SEAT, policy=policy, at=until - TICK) is AccessCode.ALLOWED
    assert access(license_, ADA_SEAT, policy=policy, at=until) is AccessCode.SUBSCRIPTION_EXPIRED


def test_an_expired_contract_has_its_grace_and_no_blind_wait() -> None:
    """AWS was heard, so nothing is waited for but the vendor's grace."""
    license_ = fold(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED, EXPIRED)
    until = RENEWS_AT + timedelta(days=7)
    assert usable_until(license_.subscription, policy=WEEK_OF_GRACE) == until
    assert access(license_, ADA_SEAT, policy=WEEK_OF_GRACE, at=until - TICK) is AccessCode.ALLOWED
    assert access(license_, ADA_SEAT, policy=WEEK_OF_GRACE, at=until) is AccessCode.SUBSCRIPTION_LAPSED
    assert access(license_, ADA_SEAT, policy=THREE_DAYS, at=RENEWS_AT) is AccessCode.SUBSCRIPTION_LAPSED


@pytest.mark.parametrize("lapsed", [CANCELLED, TERMINATED])
def test_a_cancelled_contract_has_no_grace(lapsed: events.SubscriptionLapsed) -> None:
    """It ends at once, whatever the policy, and even for a clock that is behind."""
    license_ = fold(*ISSUED_WITH_ONE_SEAT, ADA_ACTIVATED, lapsed)
    assert usable_until(license_.subscription, policy=WEEK_OF_GRACE) == NOON
    assert access(license_, ADA_SEAT, policy=WEEK_OF_GRACE, at=NOON) is AccessCode.SUBSCRIPTION_LAPSED
    assert access(license_, ADA_SEAT, policy=WEEK_OF_GRACE, at=NOON - TICK) is AccessCode.SUBSCRIPTION_LAPSED


def test_a_contract_without_end_is_usable_to_the_end_of_time() -> None:
    """Nothing can be added to the year 9999, and nothing has to be."""
    license_ = fold(ISSUED, STARTED_WITHOUT_END, ADA_ACTIVATED)
    assert usable_until(license_.subscription, policy=THREE_DAYS) == datetime.max.replace(tzinfo=UTC)
    assert usable_until(license_.subscription, policy=NO_WAIT) == NEVER
    assert access(license_, ADA_SEAT, policy=THREE_DAYS, at=NEVER) is AccessCode.ALLOWED


def test_before_it_started_nothing_is_usable() -> None:
    """There is no moment until which it could be used."""
    assert usable_until(None, policy=THREE_DAYS) is None


@pytest.mark.parametrize(
    ("history", "at", "expected"),
    [
        ((ISSUED,), NOON, LicenseStatus.PENDING),
        (ISSUED_WITH_ONE_SEAT, RENEWS_AT - TICK, LicenseStatus.ACTIVE),
        (ISSUED_WITH_ONE_SEAT, RENEWS_AT, LicenseStatus.OVERDUE),
        (ISSUED_WITH_ONE_SEAT, RENEWS_AT + timedelta(days=3) - TICK, LicenseStatus.OVERDUE),
        (ISSUED_WITH_ONE_SEAT, RENEWS_AT + timedelta(days=3), LicenseStatus.EXPIRED),
        ((*ISSUED_WITH_ONE_SEAT, EXPIRED), RENEWS_AT, LicenseStatus.LAPSED),
        ((*ISSUED_WITH_ONE_SEAT, CANCELLED), NOON, LicenseStatus.LAPSED),
        ((*ISSUED_WITH_ONE_SEAT, CANCELLED, events.SubscriptionResumed()), NOON, LicenseStatus.ACTIVE),
    ],
)
def test_the_status_depends_on_what_was_heard_and_on_the_clock(
    history: tuple[LicenseEvent, ...], at: datetime, expected: LicenseStatus
) -> None:
    """Overdue is past its date and still usable, expired is no longer usable, lapsed is what AWS said."""
    assert status(fold(*history).subscription, folded=False, policy=THREE_DAYS, at=at) is expected


@pytest.mark.parametrize("reason", LapseReason)
def test_every_lapse_keeps_its_reason_and_its_end(reason: LapseReason) -> None:
    """The state tells of the lapse what the event told."""
    subscription = fold(*ISSUED_WITH_ONE_SEAT, events.SubscriptionLapsed(reason=reason, ended_at=NOON)).subscription
    assert subscription is not None
    assert subscription.lapse is not None
    assert (subscription.lapse.reason, subscription.lapse.ended_at) == (reason, NOON)
