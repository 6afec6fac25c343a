"""Readings wait while messages come one after the other, and not for ever."""

import pytest

from consumers.marketplace.backlog import HELD_SECONDS_MAX, PAUSE_SECONDS, Backlog


class Clock:
    """Seconds that pass when a test lets them."""

    def __init__(self) -> None:
        """It begins anywhere."""
        self.at = 1_000.0

    def __call__(self) -> float:
        """Tell them."""
        return self.at


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


@pytest.fixture
def backlog(clock: Clock) -> Backlog:
    """Nothing has come yet."""
    return Backlog(clock=clock)


def come(backlog: Backlog, clock: Clock, *, times: int, apart: float = 0.1) -> None:
    """Let messages come so often, so many seconds apart."""
    for _ in range(times):
        clock.at += apart
        backlog.note(took=True)


def test_before_any_message_nothing_waits(backlog: Backlog) -> None:
    """Readings are due by dates, too."""
    assert not backlog.holds()


def test_a_message_that_comes_alone_waits_for_nothing(backlog: Backlog, clock: Clock) -> None:
    """Such is an ordinary day."""
    for _ in range(3):
        come(backlog, clock, times=1)
        assert not backlog.holds()
        clock.at += 0.1
        backlog.note(took=False)


def test_messages_that_come_with_pauses_wait_for_nothing(backlog: Backlog, clock: Clock) -> None:
    """They are no backlog, though the source was not asked in between."""
    come(backlog, clock, times=5, apart=PAUSE_SECONDS + 0.1)
    assert not backlog.holds()


def test_readings_wait_while_messages_come_one_after_the_other(backlog: Backlog, clock: Clock) -> None:
    """Until the source has no more."""
    come(backlog, clock, times=5)
    assert backlog.holds()
    backlog.note(took=False)
    assert not backlog.holds()


def test_a_backlog_is_over_when_nothing_came_for_a_while(backlog: Backlog, clock: Clock) -> None:
    """Whoever asks the source may wait there for long before it says so."""
    come(backlog, clock, times=5)
    clock.at += PAUSE_SECONDS + 0.1
    assert not backlog.holds()


def test_readings_do_not_wait_for_ever(backlog: Backlog, clock: Clock) -> None:
    """A source may never run dry."""
    come(backlog, clock, times=int(HELD_SECONDS_MAX * 10) - 1)
    assert backlog.holds()
    come(backlog, clock, times=20)
    assert not backlog.holds()
