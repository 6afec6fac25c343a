"""Campaigns by an artificial clock: never two holders at once, terms that only grow, few questions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.elections import ASK_AGAIN_SECONDS, LEASE_SECONDS, Campaign
from ledger.store import Store, StoreError

JOB = "views"


@dataclass
class Clock:
    """Seconds, moved by hand."""

    seconds: float = 1_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.seconds


@dataclass
class Electorate:
    """What all processes share: one row for the job, by a clock of its own.

    Attributes:
        clock: of the database.
        before_answering: what happens between a question and its answer.
        questions: how many there were.
    """

    clock: Clock
    holder: str | None = None
    term: int = 0
    until: float = 0.0
    questions: int = 0
    before_answering: Callable[[], None] = field(default=lambda: None)

    def elect(self, job: str, holder: str, *, seconds: float) -> int | None:
        """Give the job to who has it, or to anybody once the time is up."""
        assert job == JOB
        self.questions += 1
        if self.holder != holder and self.clock() <= self.until:
            return None
        self.term += self.holder != holder
        self.holder, self.until = holder, self.clock() + seconds
        self.before_answering()
        return self.term

    def resign(self, job: str, holder: str) -> None:
        """Let anybody have it."""
        assert job == JOB
        if self.holder == holder:
            self.until = 0.0


def campaign(electorate: Electorate, clock: Clock) -> Campaign:
    """A process, with a clock of its own."""
    return Campaign(cast("Store", electorate), JOB, clock=clock)


@pytest.fixture
def clock() -> Clock:
    """One for the database and the processes."""
    return Clock()


@pytest.fixture
def electorate(clock: Clock) -> Electorate:
    """Nobody holds the job."""
    return Electorate(clock)


def test_it_asks_at_most_once_a_second(electorate: Electorate, clock: Clock) -> None:
    """However often it is asked itself, whether it holds the job or not."""
    holder, other = campaign(electorate, clock), campaign(electorate, clock)
    for _ in range(100):
        assert holder.holds()
        assert not other.holds()
        clock.seconds += ASK_AGAIN_SECONDS / 10
    assert electorate.questions <= 2 * 11
    assert (holder.term, other.term) == (1, 0)


def test_a_process_that_slept_past_its_lease_asks_before_it_goes_on(electorate: Electorate, clock: Clock) -> None:
    """Nobody else came: it has the job still. Somebody came: it has not."""
    sleeper, other = campaign(electorate, clock), campaign(electorate, clock)
    assert sleeper.holds()
    clock.seconds += LEASE_SECONDS + 1
    assert sleeper.holds()
    assert sleeper.term == 1
    clock.seconds += LEASE_SECONDS + 1
    assert other.holds()
    assert not sleeper.holds()
    assert (sleeper.term, other.term) == (1, 2)


def test_an_answer_that_comes_after_the_lease_has_run_out_is_worth_nothing(
    electorate: Electorate, clock: Clock
) -> None:
    """The process was stopped between question and answer."""
    late = campaign(electorate, clock)

    def stop() -> None:
        clock.seconds += LEASE_SECONDS

    electorate.before_answering = stop
    assert not late.holds()
    electorate.before_answering = lambda: None
    assert late.holds()


def test_a_database_that_can_not_be_asked_leaves_nobody_holding(electorate: Electorate, clock: Clock) -> None:
    """Each question fails until one is answered: what was held before counts no more."""
    holder = campaign(electorate, clock)
    assert holder.holds()
    clock.seconds += ASK_AGAIN_SECONDS

    def fail() -> None:
        raise StoreError("the connection broke")

    electorate.before_answering = fail
    for _ in range(2):
        with pytest.raises(StoreError):
            holder.holds()
    electorate.before_answering = lambda: None
    assert holder.holds()
    assert holder.term == 1


def test_who_resigns_may_be_elected_again_at_once(electorate: Electorate, clock: Clock) -> None:
    """In a new term if somebody else was in between."""
    one, other = campaign(electorate, clock), campaign(electorate, clock)
    assert one.holds()
    other.resign()
    assert one.holds()
    one.resign()
    clock.seconds += 0.001
    assert other.holds()
    assert not one.holds()
    assert (one.term, other.term) == (1, 2)


Step: TypeAlias = tuple[str, int, float]

steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "resign", "ask slowly"]),
        st.integers(0, 2),
        st.floats(0, 2 * LEASE_SECONDS).map(lambda seconds: round(seconds, 1)),
    ),
    max_size=60,
)


@given(steps)
def test_no_two_hold_it_at_once_and_terms_grow_with_each_change(story: list[Step]) -> None:
    """Whoever asks, resigns or is stopped in the middle of a question, and however long nobody asks."""
    clock = Clock()
    electorate = Electorate(clock)
    campaigns = [campaign(electorate, clock) for _ in range(3)]
    terms: list[tuple[int, int]] = []
    for what, number, seconds in story:
        clock.seconds += seconds
        one = campaigns[number]
        if what == "resign":
            one.resign()
            continue

        def stop(seconds: float = seconds) -> None:
            clock.seconds += seconds

        electorate.before_answering = stop if what == "ask slowly" else lambda: None
        if one.holds():
            terms.append((one.term, number))
            _no_other_holds(electorate, campaigns, number)
    assert [term for term, _ in terms] == sorted(term for term, _ in terms)
    assert len(dict(terms)) == len(set(terms))


def _no_other_holds(electorate: Electorate, campaigns: list[Campaign], holder: int) -> None:
    """Those who asked within a second are believed; all others would ask, and hear that they do not."""
    electorate.before_answering = lambda: None
    assert electorate.clock() <= electorate.until
    assert [number for number, one in enumerate(campaigns) if one.holds()] == [holder]
