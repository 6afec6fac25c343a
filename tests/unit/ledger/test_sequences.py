"""Random histories: whatever is commanded and observed in whatever order, the rules hold after every single event."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import snapshots
from ledger.errors import RefusedError
from ledger.license.access import AccessCode, AccessPolicy, access, usable_until
from ledger.license.decisions import (
    activate_seat,
    block_seat,
    delete_seat,
    lapse_subscription,
    observe_subscription,
    preview_limit,
    unblock_seat,
)
from ledger.license.events import BlockReason, LapseReason, LicenseEvent, Personal, SeatBlocked, SeatDeleted, SeatId
from ledger.license.state import License, SeatStatus, evolve
from tests.stories import ADMIN, ISSUED, LICENSE, NOON, RENEWS_AT, THREE_DAYS

SEATS = tuple(SeatId(f"seat-{number}") for number in range(5))
REASONS = (BlockReason.LEFT, BlockReason.MISUSE)
TICK = timedelta(microseconds=1)

Command: TypeAlias = "Callable[[Story], Sequence[LicenseEvent]]"


@dataclass(kw_only=True, slots=True)
class Story:
    """A license, how it came to be, and the clock."""

    license: License = field(default_factory=lambda: License(license_id=LICENSE))
    at: datetime = NOON
    recorded: list[tuple[LicenseEvent, datetime]] = field(default_factory=list)
    states: list[License] = field(default_factory=lambda: [License(license_id=LICENSE)])
    notes: dict[SeatId, Personal[str] | None] = field(default_factory=dict)

    def record(self, events: Sequence[LicenseEvent]) -> None:
        """Add the events of one append, looking at the rules after each."""
        for event in events:
            self.license = evolve(self.license, event, version=self.license.version + 1, at=self.at, actor=ADMIN.actor)
            self.recorded.append((event, self.at))
            self.states.append(self.license)
            if isinstance(event, SeatBlocked):
                self.notes[event.seat_id] = event.note
            look_at_the_rules(self.license)
        self.at += TICK


def look_at_the_rules(license_: License) -> None:
    """Rule 1, and the counts that it is about."""
    statuses = [seat.status for seat in license_.seats.values()]
    assert license_.seats_active == statuses.count(SeatStatus.ACTIVE)
    assert license_.seats_blocked == statuses.count(SeatStatus.BLOCKED)
    assert license_.seats_active <= license_.seats_max


def activate(seat_id: SeatId, policy: AccessPolicy) -> Command:
    """A user signs in."""
    user = Personal(seat_id, f"user of {seat_id}")
    return lambda story: activate_seat(story.license, seat_id=seat_id, user=user, policy=policy, at=story.at)


def block(seat_id: SeatId, reason: BlockReason, note: str | None) -> Command:
    """An administrator keeps a user out."""
    return lambda story: block_seat(
        story.license,
        seat_id=seat_id,
        user=Personal(seat_id, f"user of {seat_id}"),
        reason=reason,
        note=Personal(seat_id, note) if note else None,
        note_before=story.notes.get(seat_id),
    )


def unblock(seat_id: SeatId) -> Command:
    """An administrator lets a user in again."""
    return lambda story: unblock_seat(story.license, seat_id=seat_id)


def delete(seat_id: SeatId) -> Command:
    """An administrator takes a seat."""
    return lambda story: delete_seat(story.license, seat_id=seat_id)


def observe(seats_max: int, days: int, confirmed: bool) -> Command:  # noqa: FBT001 -- drawn by its place
    """AWS is asked."""
    renews_at = RENEWS_AT + timedelta(days=days)
    return lambda story: observe_subscription(
        story.license, seats_max=seats_max, renews_at=renews_at, confirmed=confirmed
    )


def lapse(reason: LapseReason) -> Command:
    """AWS says that the contract ended."""
    return lambda story: lapse_subscription(story.license, reason=reason, at=story.at)


def wait(days: int) -> Command:
    """Time passes."""

    def pass_time(story: Story) -> Sequence[LicenseEvent]:
        story.at += timedelta(days=days)
        return ()

    return pass_time


seats = st.sampled_from(SEATS)
policies = st.sampled_from([THREE_DAYS, AccessPolicy(), AccessPolicy(expiry_grace=timedelta(days=30))])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(activate, seats, policies),
    st.builds(activate, seats, policies),
    st.builds(block, seats, st.sampled_from(REASONS), st.sampled_from([None, "Left.", "Misused."])),
    st.builds(unblock, seats),
    st.builds(delete, seats),
    st.builds(observe, st.integers(0, 5), st.sampled_from([-200, 0, 0, 365]), st.booleans()),
    st.builds(lapse, st.sampled_from(LapseReason)),
    st.builds(wait, st.integers(1, 120)),
)
# Most contracts begin with seats; a story without any stays at its beginning.
stories = st.tuples(st.integers(0, 4), st.lists(commands, max_size=30))


def tell(seats_max: int, told: Sequence[Command]) -> Story:
    """Carry out the commands, deciding each a second time after it was recorded."""
    story = Story()
    story.record([ISSUED])
    for command in (observe(seats_max, 0, confirmed=True), *told):
        before = story.license
        try:
            events = command(story)
        except RefusedError:
            assert story.license is before
            continue
        story.record(events)
        if events:
            assert tuple(command(story)) == ()
    return story


@settings(max_examples=150, deadline=None)
@given(stories)
def test_the_rules_hold_after_every_event_and_a_decision_repeated_adds_none(told: tuple[int, list[Command]]) -> None:
    """Rule 1 and the counts are looked at after each event of each append."""
    tell(*told)


@settings(max_examples=60, deadline=None)
@given(stories)
def test_a_replay_from_any_state_equals_the_state_as_it_was(told: tuple[int, list[Command]]) -> None:
    """From the beginning, and from a snapshot of every version, written and read."""
    story = tell(*told)
    for begin in range(len(story.states)):
        license_ = snapshots.decode(snapshots.encode(story.states[begin]))
        assert license_ == story.states[begin]
        for version, (event, at) in enumerate(story.recorded[begin:], begin + 1):
            license_ = evolve(license_, event, version=version, at=at, actor=ADMIN.actor)
            assert license_ == story.states[version]


@settings(max_examples=100, deadline=None)
@given(stories)
def test_only_an_unblocking_lifts_a_block(told: tuple[int, list[Command]]) -> None:
    """Not a decrease, not a lapse, not a resumption, not a deletion."""
    story = tell(*told)
    for before, after, (event, _) in zip(story.states, story.states[1:], story.recorded, strict=False):
        for seat_id, seat in before.seats.items():
            if seat.status is SeatStatus.BLOCKED and after.seats[seat_id].status is not SeatStatus.BLOCKED:
                assert event.TYPE == "license.seat-unblocked"


@settings(max_examples=100, deadline=None)
@given(stories)
def test_nobody_works_who_may_not(told: tuple[int, list[Command]]) -> None:
    """Whoever is allowed holds a seat of a license that is usable then, and nobody after usable-until is."""
    license_ = tell(*told).license
    until = usable_until(license_.subscription, policy=THREE_DAYS)
    for seat_id in SEATS:
        allowed = access(license_, seat_id, policy=THREE_DAYS, at=NOON) is AccessCode.ALLOWED
        seat = license_.seats.get(seat_id)
        assert not allowed or (seat is not None and seat.status is SeatStatus.ACTIVE)
        assert until is None or access(license_, seat_id, policy=THREE_DAYS, at=until) is not AccessCode.ALLOWED


@settings(max_examples=100, deadline=None)
@given(stories, st.integers(1, 6))
def test_a_preview_tells_what_the_decrease_does(told: tuple[int, list[Command]], seats_max: int) -> None:
    """The number of deletions foreseen is the number that follows; freeing as many as said avoids them."""
    license_ = tell(*told).license
    subscription = license_.subscription
    if subscription is None:
        return
    preview = preview_limit(license_, seats_max=seats_max)
    events = observe_subscription(license_, seats_max=seats_max, renews_at=subscription.renews_at, confirmed=True)
    assert sum(isinstance(event, SeatDeleted) for event in events) == preview.seats_deleted
    assert license_.seats_active - preview.must_free_first <= seats_max
