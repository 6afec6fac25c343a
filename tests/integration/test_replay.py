"""The past through a real ledger: any version, position or time answers as it was, and never otherwise again."""

import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.envelope import RecordedEvent
from ledger.errors import LicenseIsNotFoundError, NotRecordedError, RefusedError, TimeIsInvalidError
from ledger.ledger import Ledger
from ledger.license.access import AccessPolicy
from ledger.license.events import (
    BlockReason,
    KeyKind,
    LapseReason,
    LicenseId,
    LicenseIdentified,
    SeatActivated,
    SeatBlocked,
    SeatId,
)
from ledger.license.state import License
from ledger.replay import LicenseThen, Moment
from ledger.times import system_now
from ledger.transaction import CLAIMING_KINDS
from tests.integration.ledgers import (
    ENGINES,
    database_in,
    drop_databases,
    everything,
    issue,
    lapse,
    license_now,
    observe,
    opened,
    rows_of,
)
from tests.stories import (
    ADA_SIGNS_IN,
    ADMIN,
    AGREEMENT,
    CLIENT,
    GRACE_SIGNS_IN,
    LICENSE,
    NO_WAIT,
    NOON,
    OTHER_LICENSE,
    RENEWS_AT,
    THREE_DAYS,
    Clock,
    colleague,
)

LICENSES = (LICENSE, OTHER_LICENSE)
KEYS = {LICENSE: AGREEMENT, OTHER_LICENSE: (KeyKind.AGREEMENT, "agmt-other")}
TICK = timedelta(microseconds=1)

Command: TypeAlias = Callable[[Ledger, LicenseId], object]


def seat_of(ledger: Ledger, license_id: LicenseId, number: int) -> SeatId:
    """The seat of a colleague, or one that is not there."""
    return ledger.seats.access(license_id, user=colleague(number), caller=CLIENT).seat_id or SeatId("nobody's")


def sign_in(number: int) -> Command:
    """A user signs in."""
    return lambda ledger, license_id: ledger.seats.sign_in(license_id, user=colleague(number), caller=CLIENT)


def block(number: int, reason: BlockReason) -> Command:
    """A user is kept out."""
    return lambda ledger, license_id: ledger.seats.block_user(
        license_id, user=colleague(number), reason=reason, note=None, caller=ADMIN
    )


def unblock(number: int) -> Command:
    """A user is let in again."""
    return lambda ledger, license_id: ledger.seats.unblock(
        license_id, seat_id=seat_of(ledger, license_id, number), caller=ADMIN
    )


def delete(number: int) -> Command:
    """A user loses the seat."""
    return lambda ledger, license_id: ledger.seats.delete(
        license_id, seat_id=seat_of(ledger, license_id, number), caller=ADMIN
    )


def bought(seats_max: int, days: int) -> Command:
    """AWS says how many seats, until when."""
    return lambda ledger, license_id: observe(
        ledger, seats_max=seats_max, license_id=license_id, renews_at=RENEWS_AT + timedelta(days=days)
    )


def ended(reason: LapseReason) -> Command:
    """AWS says that it ended."""
    return lambda ledger, license_id: lapse(ledger, reason=reason, license_id=license_id)


def decided_by(policy: AccessPolicy) -> Command:
    """The operator sets another policy."""
    return lambda ledger, _: ledger.set_access_policy(policy)


users = st.integers(0, 4)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(sign_in, users),
    st.builds(sign_in, users),
    st.builds(block, users, st.sampled_from(BlockReason)),
    st.builds(unblock, users),
    st.builds(delete, users),
    st.builds(bought, st.integers(0, 4), st.sampled_from([0, 365])),
    st.builds(ended, st.sampled_from(LapseReason)),
    st.builds(decided_by, st.sampled_from([NO_WAIT, THREE_DAYS])),
)
steps = st.lists(
    st.tuples(commands, st.sampled_from(LICENSES), st.sampled_from([0, 0, 1, 3600, 86_400 * 30])), max_size=25
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What stood after a step: the end of the ledger, its time, the policy, and both licenses."""

    position: int
    recorded_at: datetime
    policy: AccessPolicy
    licenses: tuple[License, ...]


def look(ledger: Ledger) -> Seen:
    """See what stands."""
    head = ledger.head()
    licenses = tuple(license_now(ledger, license_id) for license_id in LICENSES)
    return Seen(head.position, head.recorded_at, ledger.past.policy_at(head.position), licenses)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=15, deadline=None)
@given(steps)
def test_any_version_position_and_time_answers_as_it_was(
    engine: str, told: list[tuple[Command, LicenseId, int]]
) -> None:
    """What was seen after each step is found again by each of the three, also by a ledger that starts cold."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as directory:
        database = database_in(Path(directory), engine)
        with opened(database, now=clock) as ledger:
            seen = [*_tell(ledger, clock, told)]
            _compare(ledger, seen)
            _look_at_the_tables(ledger, everything(ledger))
        with opened(database, now=clock) as cold:
            _compare(cold, seen)
            assert look(cold).licenses == seen[-1].licenses
        drop_databases(Path(directory))


def _tell(ledger: Ledger, clock: Clock, told: list[tuple[Command, LicenseId, int]]) -> Iterator[Seen]:
    for license_id in LICENSES:
        issue(ledger, seats_max=2, license_id=license_id, names=(KEYS[license_id],))
    yield look(ledger)
    for command, license_id, seconds in told:
        clock.move(timedelta(seconds=seconds))
        try:
            command(ledger, license_id)
        except RefusedError:
            continue
        yield look(ledger)


def _compare(ledger: Ledger, seen: list[Seen]) -> None:
    for one in seen:
        for license_id, expected in zip(LICENSES, one.licenses, strict=True):
            _compare_one(ledger, one, license_id, expected)


def _compare_one(ledger: Ledger, one: Seen, license_id: LicenseId, expected: License) -> None:
    by_version = ledger.past.license_at(license_id, Moment(version=expected.version))
    assert by_version.license == expected
    assert by_version.as_of == expected.recorded_at
    by_position = ledger.past.license_at(license_id, Moment(position=one.position))
    assert by_position == LicenseThen(license=expected, position=one.position, as_of=one.recorded_at, policy=one.policy)
    by_time = ledger.past.license_at(license_id, Moment(as_of=one.recorded_at))
    assert by_time == by_position


def _look_at_the_tables(ledger: Ledger, recorded: list[RecordedEvent]) -> None:
    """Directory and keys say what the events say."""
    named: dict[tuple[str, str], int] = {}
    keys: dict[tuple[str, str], str] = {}
    for one in recorded:
        match one.event:
            case SeatActivated(seat_id=seat_id) | SeatBlocked(seat_id=seat_id):
                named[one.stream, seat_id] = one.version
            case LicenseIdentified(kind=kind, value=value) if kind in CLAIMING_KINDS:
                keys[kind.value, value] = one.stream
    directory = rows_of(ledger, "SELECT license_id, seat_id, named_version FROM directory")
    assert {(row[0], row[1]): row[2] for row in directory} == named
    assert {(row[0], row[1]): row[2] for row in rows_of(ledger, "SELECT * FROM license_keys")} == keys


def test_a_version_or_position_inside_an_append_answers_for_its_end(database: Path) -> None:
    """Nobody ever sees half a decrease."""
    with opened(database) as ledger:
        issue(ledger, seats_max=2)
        for user in (ADA_SIGNS_IN, GRACE_SIGNS_IN):
            ledger.seats.activate(LICENSE, user=user, caller=CLIENT)
        observe(ledger, seats_max=1)
        answers = [ledger.past.license_at(LICENSE, Moment(version=version)) for version in (6, 7, 8)]
        answers += [ledger.past.license_at(LICENSE, Moment(position=position)) for position in (6, 7, 8)]
        assert len({answer.license.version for answer in answers}) == 1
        assert all(answer == answers[0] for answer in answers)
        assert (answers[0].position, answers[0].license.seats_active, answers[0].license.seats_max) == (8, 0, 1)
        before = ledger.past.license_at(LICENSE, Moment(as_of=answers[0].as_of - TICK))
        assert (before.position, before.license.seats_active, before.license.seats_max) == (5, 2, 2)


@pytest.mark.parametrize("version", [0, -1, 4, 2**40, 2**63, 2**200])
def test_a_version_that_is_not_there_is_not_recorded(database: Path, version: int) -> None:
    """However large."""
    with opened(database) as ledger:
        issue(ledger, seats_max=2)
        with pytest.raises(NotRecordedError):
            ledger.past.license_at(LICENSE, Moment(version=version))


@pytest.mark.parametrize("position", [0, -1, 4, 2**200])
def test_a_position_that_is_not_there_is_not_recorded(database: Path, position: int) -> None:
    """However large."""
    with opened(database) as ledger:
        issue(ledger, seats_max=2)
        with pytest.raises(NotRecordedError):
            ledger.past.license_at(LICENSE, Moment(position=position))


def test_before_it_was_issued_a_license_is_not_found(database: Path) -> None:
    """By time and by position; and one that never was, by any."""
    with opened(database) as ledger:
        issue(ledger, seats_max=2)
        issue(ledger, seats_max=2, license_id=OTHER_LICENSE, names=())
        for moment in (Moment(position=1), Moment(as_of=NOON - TICK), Moment(as_of=NOON)):
            with pytest.raises(LicenseIsNotFoundError):
                ledger.past.license_at(OTHER_LICENSE, moment)
        assert ledger.past.license_at(LICENSE, Moment(as_of=NOON)).license.version == 3
        for moment in (Moment(position=1), Moment(version=1), Moment(as_of=NOON)):
            with pytest.raises(LicenseIsNotFoundError):
                ledger.past.license_at(LicenseId("never issued"), moment)


def test_a_time_that_the_ledger_has_not_reached_has_no_answer_yet(database: Path) -> None:
    """A later append could still change it; reaching the time first makes the answer lasting."""
    clock = Clock()
    with opened(database, now=clock) as ledger:
        issue(ledger, seats_max=2)
        clock.move(timedelta(hours=1))
        asked = NOON + timedelta(minutes=30)
        with pytest.raises(TimeIsInvalidError):
            ledger.past.license_at(LICENSE, Moment(as_of=asked))
        with pytest.raises(TimeIsInvalidError):
            ledger.reach(clock() + TICK)
        assert ledger.reach(asked).recorded_at == asked
        assert ledger.past.license_at(LICENSE, Moment(as_of=asked)).position == 3
        assert ledger.reach(NOON).recorded_at == asked
        clock.move(-timedelta(hours=2))
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert everything(ledger)[-1].recorded_at == asked + TICK
        assert ledger.past.license_at(LICENSE, Moment(as_of=asked)).position == 3


def test_an_answer_about_a_moment_stays_while_appends_run(database: Path) -> None:
    """Readers ask for just now while four writers append; asked again afterwards, every answer is the same."""
    stop = threading.Event()
    with opened(database, now=system_now) as ledger:
        issue(ledger, seats_max=100_000)
        issued_at = ledger.head().recorded_at

        def append(first: int) -> int:
            number = first
            while not stop.is_set():
                ledger.seats.activate(LICENSE, user=colleague(number), caller=CLIENT)
                number += 4
            return number

        def ask(seed: int) -> list[tuple[datetime, LicenseThen]]:
            shuffle = random.Random(seed)
            answers = []
            for _ in range(60):
                as_of = max(issued_at, ledger.now() - timedelta(microseconds=shuffle.choice([0, 1, 100, 5_000])))
                ledger.reach(as_of)
                answers.append((as_of, ledger.past.license_at(LICENSE, Moment(as_of=as_of))))
            return answers

        with ThreadPoolExecutor(8) as pool:
            writers = [pool.submit(append, first) for first in range(4)]
            try:
                asked = [answer for answers in pool.map(ask, range(3)) for answer in answers]
            finally:
                stop.set()
            assert all(one.result() > 4 for one in writers)
        assert len({then.position for _, then in asked}) > 5
        for as_of, then in asked:
            assert ledger.past.license_at(LICENSE, Moment(as_of=as_of)) == then


def test_the_past_is_judged_by_the_policy_of_its_time(database: Path) -> None:
    """A policy holds from its own position on; before the first, the usual one does."""
    with opened(database) as ledger:
        issue(ledger, seats_max=2)
        ledger.set_access_policy(NO_WAIT)
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        ledger.set_access_policy(AccessPolicy(expiry_grace=timedelta(days=7), blind_wait=timedelta()))
        ledger.set_access_policy(AccessPolicy(expiry_grace=timedelta(days=7), blind_wait=timedelta()))
        assert ledger.head().position == 6
        policies = [ledger.past.policy_at(position) for position in (3, 4, 5, 6)]
        assert policies[0] == AccessPolicy()
        assert policies[1] == policies[2] == NO_WAIT
        assert policies[3].expiry_grace == timedelta(days=7)
        assert ledger.past.license_at(LICENSE, Moment(version=4)).policy == NO_WAIT


def test_a_feed_never_ends_inside_an_append(database: Path) -> None:
    """However small the limit, the last event handed over ends its append."""
    with opened(database) as ledger:
        issue(ledger, seats_max=5)
        for number in range(5):
            ledger.seats.activate(LICENSE, user=colleague(number), caller=CLIENT)
        observe(ledger, seats_max=3)
        whole = everything(ledger)
        assert len(whole) == 3 + 5 + 6
        for limit in range(1, 16):
            fed: list[RecordedEvent] = []
            while more := ledger.feed(after=len(fed), limit=limit):
                assert more[-1].ends_append
                fed += more
            assert fed == whole
