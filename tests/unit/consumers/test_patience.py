"""Budget, pauses and trust: how AWS is spared, and when its silence means something."""

from datetime import UTC, datetime, timedelta

import pytest

from consumers.marketplace.budget import NoCallIsLeftError, ReadingsBudget
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


class Election:
    """An election that the test decides."""

    def __init__(self) -> None:
        """This process was elected."""
        self.term = 1
        self.won = True

    def holds(self) -> bool:
        """Whether it still is."""
        return self.won


def test_readings_are_spread_over_time() -> None:
    """No second has more of them than the rate and the one that waited."""
    seconds = Seconds()
    budget = ReadingsBudget(Election(), clock=seconds, sleep=seconds.sleep)
    called_at: list[float] = []
    for _ in range(240):
        budget.take()
        called_at.append(seconds.at)
        seconds.sleep(0.01)
    assert 19.9 < seconds.at < 20.1
    assert max(sum(at <= other <= at + 1 for other in called_at) for at in called_at) == 13


def test_calls_that_nobody_made_are_not_made_up_for() -> None:
    """After a quiet hour the next one is made at once, and the one after it waits."""
    seconds = Seconds()
    budget = ReadingsBudget(Election(), 10, clock=seconds, sleep=seconds.sleep)
    budget.take()
    seconds.sleep(3600)
    begun_at = seconds.at
    budget.take()
    assert seconds.at == begun_at
    budget.take()
    assert seconds.at == pytest.approx(begun_at + 0.1)


def test_who_was_elected_just_now_waits_for_a_moment() -> None:
    """The process before it may have made a call at the same time."""
    seconds, election = Seconds(), Election()
    budget = ReadingsBudget(election, 10, clock=seconds, sleep=seconds.sleep)
    budget.take()
    assert seconds.at == pytest.approx(0.1)
    seconds.sleep(60)
    election.term = 3
    budget.take()
    assert seconds.at == pytest.approx(60.2)


def test_a_process_that_is_not_elected_any_more_calls_no_more() -> None:
    """Not even for a reading that it has begun."""
    seconds, election = Seconds(), Election()
    budget = ReadingsBudget(election, clock=seconds, sleep=seconds.sleep)
    budget.take()
    election.won = False
    with pytest.raises(NoCallIsLeftError):
        budget.take()


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
