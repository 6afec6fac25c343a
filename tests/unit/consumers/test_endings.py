"""When a contract has ended of which a complete reading shows nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from consumers.marketplace.agreement import AgreementStatus
from consumers.marketplace.endings import EndNotice, reason_to_lapse
from consumers.marketplace.messages import PokeKind
from ledger.license.events import LapseReason
from ledger.license.state import Subscription

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DATE = NOON + timedelta(days=30)
WAIT = timedelta(hours=2)
SUCCESSOR_WAIT = timedelta(days=3)
DEPROVISIONED = EndNotice(kind=PokeKind.LICENSE_DEPROVISIONED, status=None, received_at=NOON)
UNSUBSCRIBED = EndNotice(kind=PokeKind.UNSUBSCRIBE_SUCCESS, status=None, received_at=NOON)


def ended(status: AgreementStatus) -> EndNotice:
    """The message that an agreement ended."""
    return EndNotice(kind=PokeKind.AGREEMENT_ENDED, status=status, received_at=NOON)


def reason(
    *notices: EndNotice,
    at: datetime = NOON,
    status: AgreementStatus | None = None,
    trusted: bool = False,
    renews_at: datetime = DATE,
) -> LapseReason | None:
    """The reason to lapse a subscription of five seats."""
    return reason_to_lapse(
        Subscription(seats_max=5, renews_at=renews_at),
        notices=notices,
        agreement_status=status,
        trusted=trusted,
        renewal_wait=WAIT,
        successor_wait=SUCCESSOR_WAIT,
        at=at,
    )


TERMINAL = [
    (AgreementStatus.CANCELLED, LapseReason.CANCELLED),
    (AgreementStatus.EXPIRED, LapseReason.EXPIRED),
    (AgreementStatus.TERMINATED, LapseReason.TERMINATED),
    (AgreementStatus.ARCHIVED, LapseReason.CANCELLED),
]


@pytest.mark.parametrize(("status", "lapse"), TERMINAL)
def test_an_agreement_that_ended_is_evidence(status: AgreementStatus, lapse: LapseReason) -> None:
    """Whether a message says it or DescribeAgreement."""
    assert reason(ended(status)) is lapse
    assert reason(status=status) is lapse
    assert reason(DEPROVISIONED, status=status) is lapse


@pytest.mark.parametrize("trusted", [False, True])
def test_nothing_shown_is_no_evidence_before_the_date(trusted: bool) -> None:  # noqa: FBT001 -- a case
    """AWS shows nothing for many reasons."""
    assert reason(trusted=trusted) is None
    assert reason(trusted=trusted, status=AgreementStatus.ACTIVE) is None


@pytest.mark.parametrize("status", [AgreementStatus.RENEWED, AgreementStatus.REPLACED])
def test_an_agreement_that_goes_on_as_another_one_has_not_ended(status: AgreementStatus) -> None:
    """Whatever else is heard, until nobody can use the client any more."""
    waited = DATE + SUCCESSOR_WAIT
    assert reason(DEPROVISIONED, status=status, trusted=True, at=waited - timedelta(microseconds=1)) is None
    assert reason(DEPROVISIONED, status=status, trusted=False, at=waited) is None
    assert reason(DEPROVISIONED, status=status, trusted=True, at=waited) is LapseReason.EXPIRED


def test_a_legacy_customer_who_unsubscribed_has_ended_it() -> None:
    """Before the date that is a cancellation, from it on an expiry."""
    assert reason(UNSUBSCRIBED) is LapseReason.CANCELLED
    assert reason(UNSUBSCRIBED, at=DATE - timedelta(microseconds=1)) is LapseReason.CANCELLED
    assert reason(UNSUBSCRIBED, at=DATE) is LapseReason.EXPIRED


def test_a_deprovisioned_license_counts_after_the_renewal_wait() -> None:
    """If AWS does not say how its agreement stands, or that it is active."""
    for status in (None, AgreementStatus.ACTIVE):
        assert reason(DEPROVISIONED, status=status, at=NOON + WAIT - timedelta(microseconds=1)) is None
        assert reason(DEPROVISIONED, status=status, at=NOON + WAIT) is LapseReason.CANCELLED
        assert reason(DEPROVISIONED, status=status, at=DATE) is LapseReason.EXPIRED


def test_past_the_date_and_the_wait_a_trusted_reading_is_evidence() -> None:
    """Both are needed: the wait, and credentials that are known to see anything."""
    assert reason(trusted=True, at=DATE + WAIT - timedelta(microseconds=1)) is None
    assert reason(trusted=False, at=DATE + WAIT) is None
    assert reason(trusted=True, at=DATE + WAIT) is LapseReason.EXPIRED


def test_a_date_without_end_never_passes() -> None:
    """AWS writes the year 9999."""
    never = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert reason(trusted=True, renews_at=never) is None
