"""Budget, pauses and trust: how AWS is spared, and when its silence means something."""

from datetime import UTC, datetime, timedelta

from consumers.marketplace.budget import Budget, Priority
from consumers.marketplace.clients import Trust
from consumers.marketplace.observations import longer_recheck
from consumers.marketplace.pauses import Pauses

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Seconds:
    """A clock that moves as somebody sleeps."""

    def __init__(self) -> None:
        """It is zero."""
        self.at = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.at += seconds


def test_calls_are_spread_over_time() -> None:
    """No more than the rate, after the bucket is empty."""
    seconds = Seconds()
    budget = Budget(10, clock=seconds, sleep=seconds.sleep)
    for _ in range(107):
        budget.take(Priority.MESSAGE)
    assert 9.99 < seconds.at < 10.01


def test_somebody_who_waits_finds_calls_left() -> None:
    """A registration takes what is kept for it, while others wait."""
    seconds = Seconds()
    budget = Budget(10, clock=seconds, sleep=seconds.sleep)
    for _ in range(7):
        budget.take(Priority.RECHECK)
    for _ in range(3):
        budget.take(Priority.REGISTRATION)
    assert seconds.at == 0
    budget.take(Priority.MESSAGE)
    assert seconds.at > 0.3


def test_two_processes_stay_under_the_limit_of_aws() -> None:
    """In the first second, in which each bucket is full, they make 18 calls and 18 more; after that 18 a second."""
    seconds = Seconds()
    budget = Budget(clock=seconds, sleep=seconds.sleep)
    while seconds.at < 10:
        budget.take(Priority.REGISTRATION)
    calls_left_in_the_bucket = 9
    assert seconds.at >= 10
    assert 2 * (calls_left_in_the_bucket + 90) / 10 < 20


def test_pauses_grow_up_to_the_longest() -> None:
    """Each lies in the upper half of its span."""
    pauses = Pauses(first=SECOND, longest=timedelta(minutes=1))
    for failures, span in ((1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60)):
        for _ in range(20):
            assert span / 2 <= pauses.after(failures).total_seconds() <= span


def test_rechecks_grow_to_a_day() -> None:
    """From the first pause on, each is twice as long."""
    pause, pauses = timedelta(), []
    for _ in range(11):
        pause = longer_recheck(pause, first=timedelta(minutes=5))
        pauses.append(pause // timedelta(minutes=1))
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]


def test_a_recheck_of_no_time_at_all_does_not_spin() -> None:
    """It takes a second."""
    assert longer_recheck(timedelta(), first=timedelta()) == SECOND


def test_credentials_are_trusted_for_an_hour() -> None:
    """Of the product of which they read a live row."""
    trust = Trust()
    assert not trust.holds("softphone", at=NOON)
    trust.note("softphone", at=NOON)
    assert trust.holds("softphone", at=NOON + timedelta(hours=1))
    assert not trust.holds("softphone", at=NOON + timedelta(hours=1, microseconds=1))
    assert not trust.holds("another", at=NOON)
