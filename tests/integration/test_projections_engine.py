"""The views follow the ledger, whoever else does, whatever is killed, and can be made again at any time."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.envelope import EventTypeIsUnknownError
from ledger.errors import RefusedError
from ledger.license.access import AccessPolicy
from ledger.license.state import SeatStatus
from ledger.store import StoreCannotOpenError, StoreError
from ledger.store.url import DatabaseUrl
from ledger.users import parse_user
from projections import generations, views
from projections.database import ViewsDatabase
from projections.seats import SeatQuery
from projections.views import RebuildWasOvertakenError, Views, ViewsSettings, ViewsWereTakenOverError
from tests.integration.ledgers import (
    ENGINES,
    at_once,
    back_up,
    database_in,
    engine_of,
    execute,
    new_database,
    position_column,
    restore,
    url_of,
)
from tests.integration.projections_story import (
    ADMIN,
    ANALYTICAL,
    BOMBE,
    IN_A_YEAR,
    NOON,
    VIEWS,
    Clock,
    Story,
    UserIsUnknownError,
    open_ledger,
    tell,
    views_url,
)
from tests.services.postgres import PostgresServer, StopMode, fresh_database

NAMES = ("Ada", "ADA", "Grace", "Alan", "Édith")


@pytest.fixture
def story(database: Path) -> Iterator[Story]:
    """Begin at noon with an empty ledger."""
    with tell(database) as begun:
        yield begun


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let batches end often."""
    monkeypatch.setattr(views, "EVENTS_PER_BATCH", 3)


def wait_until(holds: Callable[[], bool], *, seconds: float = 20) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        threading.Event().wait(0.005)


def make_unknown(story: Story, *, position: int) -> None:
    """Let a stored event be of a type that only a later program knows."""
    at = f"WHERE {position_column(story.database)} = :position"
    ((state,),) = execute(story.database, f"SELECT state FROM stored_events {at}", position=position)  # noqa: S608 -- a column's name
    envelope = json.loads(state)
    envelope["type"] = "license.seat-lent"
    execute(
        story.database,
        f"UPDATE stored_events SET topic = :topic, state = :state {at}",  # noqa: S608 -- a column's name
        topic="license.seat-lent",
        state=json.dumps(envelope).encode(),
        position=position,
    )


def fill(story: Story, *, users: int = 12) -> None:
    """Let things happen at two customers."""
    story.buy(seats_max=users)
    story.buy(BOMBE, seats_max=users)
    for number in range(users):
        story.activate(f"user {number}")
        story.activate(f"user {number}", BOMBE)
    story.block("user 3")
    story.buy(seats_max=2)


# -- equal to the rebuild ----------------------------------------------------------------------------------------------


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("activate"), st.sampled_from(NAMES)),
        st.tuples(st.just("block"), st.sampled_from(NAMES), st.sampled_from([None, "note"])),
        st.tuples(st.just("unblock"), st.sampled_from(NAMES)),
        st.tuples(st.just("delete"), st.sampled_from(NAMES)),
        st.tuples(st.just("buy"), st.integers(0, 4)),
        st.tuples(st.just("policy"), st.integers(0, 3)),
        st.tuples(st.just("look")),
    ),
    max_size=25,
)


def take(story: Story, step: Sequence[object]) -> None:
    """Take one step of a random story; what a rule refuses is no step."""
    try:
        match step:
            case ("activate", str(name)):
                story.activate(name)
            case ("block", str(name), note):
                story.block(name, note=None if note is None else str(note))
            case ("unblock", str(name)):
                story.ledger.seats.unblock(ANALYTICAL, seat_id=story.seat_of(name), caller=ADMIN)
            case ("delete", str(name)):
                story.ledger.seats.delete(ANALYTICAL, seat_id=story.seat_of(name), caller=ADMIN)
            case ("buy", int(seats_max)):
                story.buy(seats_max=seats_max)
            case ("policy", int(hours)):
                story.ledger.set_access_policy(AccessPolicy(blind_wait=NOON - NOON.replace(hour=hours)))
            case _:
                story.views.run_once()
    except (RefusedError, UserIsUnknownError):
        return


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_views_equal_their_rebuild_and_the_ledger_s_own_state(engine: str, steps: list[tuple[object, ...]]) -> None:
    """However the events are cut into batches, the views come out as from one pass and as replay has them."""
    with new_database(engine) as database, tell(database) as story:
        story.buy(seats_max=2)
        for step in steps:
            take(story, step)
        story.views.run_once()
        followed = story.told()
        story.views.rebuild()
        assert story.told() == followed
        license_ = story.ledger.past.license_now(ANALYTICAL)
        counts = story.views.seats.counts(ANALYTICAL)
        assert counts[SeatStatus.ACTIVE] == license_.seats_active
        assert sum(counts.values()) == len(license_.seats)
        for seat_id, seat in license_.seats.items():
            record = story.views.seats.get(ANALYTICAL, seat_id)
            assert record is not None
            assert (record.status, record.version, record.actor) == (seat.status, seat.version, seat.actor)
            assert (record.activated_at, record.blocked_at) == (seat.activated_at, seat.blocked_at)
            assert (record.deleted_at, record.reason) == (seat.deleted_at, seat.reason)


# -- following ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_no_batch_ends_inside_an_append(story: Story) -> None:
    """A decrease of twelve users is more than a batch, and still comes whole."""
    fill(story)
    seen: list[tuple[int, int]] = []

    def look(_done: int, _head: int) -> None:
        information = story.views.licenses.get(ANALYTICAL, at=NOON)
        assert information is not None
        seen.append((information.seats_max, information.seats_active))

    story.views.run_once(progress=look)
    assert len(seen) > 5
    # Batches may end after any append, but 12 seats are never half gone.
    assert seen[-1] == (2, 0)
    assert all(active <= seats_max for seats_max, active in seen)
    assert not any(seats_max == 12 and 0 < active < 11 for seats_max, active in seen[-2:])


def test_a_thread_follows_and_can_be_waited_for(story: Story) -> None:
    """What is appended while it follows is there for those who wait for its position."""
    story.views.start()
    story.buy()
    position = story.activate("Ada").position
    assert story.views.wait_for(position, timeout_seconds=10)
    assert story.views.position() == position
    assert not story.views.wait_for(position + 1, timeout_seconds=0.05)


def test_positions_and_lag_are_told(story: Story) -> None:
    """Status counts the missing events and says since when the oldest has been waiting."""
    story.buy()
    story.views.run_once()
    assert {(one.position, one.lag_events, one.lag_seconds) for one in story.views.status()} == {(4, 0, 0.0)}
    story.activate("Ada")
    story.activate("Grace")
    story.clock.at = story.clock.at.replace(hour=13)
    found = story.views.status()
    assert [one.name for one in found] == ["license-information", "seats", "history"]
    assert {(one.position, one.head, one.lag_events, one.stopped) for one in found} == {(4, 6, 2, None)}
    assert found[0].lag_seconds == pytest.approx(3600, abs=1)


@pytest.mark.usefixtures("small_batches")
def test_two_engines_on_one_file_apply_each_event_once(story: Story) -> None:
    """Both follow at once; the loser of each race looks again, and nothing is applied twice or left out."""
    fill(story, users=40)
    other = story.open_views()
    applied: list[int] = []
    together = threading.Barrier(2)

    def follow(following: Views) -> None:
        together.wait()
        applied.append(following.run_once())

    threads = [threading.Thread(target=follow, args=(one,)) for one in (story.views, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(applied) == story.ledger.head().position
    followed = story.told()
    story.views.rebuild()
    assert story.told(other) == followed
    other.stop()


def test_a_killed_follower_is_taken_up_where_it_was(database: Path) -> None:
    """Killed between or inside batches, the views are whole, and go on from their position."""
    with tell(database) as story:
        fill(story, users=150)
        program = (
            "import sys; from pathlib import Path;"
            "from tests.integration.projections_story import Clock, open_ledger, views_url;"
            "from projections import views; from projections.views import Views, ViewsSettings;"
            "database = Path(sys.argv[1]); views.EVENTS_PER_BATCH = 2;"
            "\nwith open_ledger(database, Clock()) as ledger:"
            "\n    mine = Views.open(ViewsSettings(url=views_url(database)), ledger)"
            # It is killed on its way, but never so late that it is through.
            "\n    batches = iter(range(15))"
            "\n    go_on = lambda done, _: (print(done, flush=True), next(batches, None) is None and sys.stdin.read())"
            "\n    mine.run_once(progress=go_on)"
        )
        for _ in range(3):
            command = [sys.executable, "-c", program, str(database)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
                assert child.stdout is not None
                for _ in range(10):
                    child.stdout.readline()
                os.kill(child.pid, signal.SIGKILL)
        assert 0 < story.views.position() < story.ledger.head().position
        story.views.run_once()
        followed = story.told()
        story.views.rebuild()
        assert story.told() == followed


def test_readers_see_whole_batches_while_the_views_move(story: Story) -> None:
    """Counts, seats and position of each answer agree while another thread applies."""
    story.buy(seats_max=200)
    story.views.start()
    done = threading.Event()

    def sign_users_in() -> None:
        for number in range(150):
            story.activate(f"user {number}")
        done.set()

    thread = threading.Thread(target=sign_users_in)
    thread.start()
    while not done.is_set():
        page = story.views.seats.list(ANALYTICAL, SeatQuery(), after=None, limit=1_000)
        # Four events come before the first user, each user is one.
        assert len(page.items) == max(0, page.position - 4)
    thread.join()


@pytest.mark.parametrize("engine", ENGINES)
def test_views_elsewhere_are_the_same_views(story: Story, engine: str) -> None:
    """In a database of their own, of either engine, they say the same as beside the ledger."""
    fill(story)
    story.views.run_once()
    elsewhere = database_in(story.folder, engine, name="elsewhere")
    other = Views.open(ViewsSettings(url=url_of(elsewhere)), story.ledger)
    other.run_once()
    assert story.told(other) == story.told()
    other.stop()


def test_of_two_that_follow_one_does_so_until_it_stops(story: Story) -> None:
    """The other takes over when the first is gone."""
    story.buy()
    other = story.open_views()
    story.views.start()
    wait_until(lambda: story.views.position() == story.ledger.head().position)
    other.start()
    story.views.stop()
    story.activate("Ada")
    head = story.ledger.head().position
    wait_until(lambda: other.position() == head)
    other.stop()


def test_four_that_open_empty_views_at_once_make_one_set_of_tables(story: Story) -> None:
    """None of them fails, and all show the same."""
    story.buy()
    story.activate("Ada")
    where = ViewsSettings(url=views_url(story.database, "others"))
    opened = at_once(*[lambda: Views.open(where, story.ledger)] * 4)
    made = [one for one in opened if isinstance(one, Views)]
    assert len(made) == 4
    made[0].run_once()
    assert [users(one) for one in made] == [["Ada"]] * 4
    assert len(names(story, "tables", views="others")) == 4
    for one in made:
        one.stop()


def test_a_mistake_in_the_program_does_not_end_the_following(
    story: Story, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said once, by its type, and told as the reason for the stop; when it is over the views go on."""
    story.buy()
    story.views.run_once()
    with monkeypatch.context() as broken:
        broken.setattr(story.views, "_apply_next", lambda: "many" + 1)  # type: ignore[operator]
        story.views.start()
        wait_until(lambda: story.views.status()[0].stopped is not None)
        assert story.views.status()[0].stopped == "The program failed: TypeError."
        story.activate("Ada")
    wait_until(lambda: story.views.position() == story.ledger.head().position)
    wait_until(lambda: story.views.status()[0].stopped is None)
    # The program's own lines may be shown with it.
    assert len(re.findall(r"\[error +\] the views failed", capsys.readouterr().out)) == 1


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_views_outlive_their_server(
    own_server: PostgresServer, tmp_path: Path, mode: StopMode, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it is away the reason is said once and told; what was appended meanwhile is there soon after it is back."""
    url = DatabaseUrl.parse(fresh_database("outlived", server=own_server))
    with open_ledger(database_in(tmp_path, "sqlite"), Clock()) as ledger:
        elsewhere = Views.open(ViewsSettings(url=url), ledger)
        tale = Story(folder=tmp_path, database=tmp_path, clock=Clock(), ledger=ledger, views=elsewhere)
        tale.buy()
        elsewhere.start()
        assert elsewhere.wait_for(ledger.head().position, timeout_seconds=10)
        own_server.stop(mode)
        try:
            with pytest.raises(StoreError):
                elsewhere.position()
            tale.activate("Ada")
            said = ""

            def is_said() -> bool:
                nonlocal said
                said += capsys.readouterr().out
                return "the views wait for their database" in said

            wait_until(is_said)
        finally:
            own_server.start()
        wait_until(lambda: users_if_any(elsewhere) == ["Ada"])
        elsewhere.stop()
    assert (said + capsys.readouterr().out).count("the views wait for their database") == 1


def users_if_any(views: Views) -> list[str] | None:
    """Who has a seat; null while the views can't be asked."""
    try:
        return users(views)
    except StoreError:
        return None


# -- rebuilding --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_batches")
def test_a_rebuild_answers_from_the_old_until_the_new_has_caught_up(story: Story) -> None:
    """Readers see no gap and no step back while it runs, also when events come meanwhile; following goes on after."""
    fill(story)
    story.views.run_once()
    positions = []

    def meanwhile(done: int, _head: int) -> None:
        if done < 12:
            story.block(f"late {done}", BOMBE)
            story.views.run_once()
        positions.append(story.views.position())

    before = story.views.position()
    story.views.rebuild(progress=meanwhile)
    assert positions == sorted(positions)
    assert positions[0] > before
    assert story.views.position() == story.ledger.head().position
    story.block("Grace")
    assert story.views.run_once() == 1
    assert story.views.seats.list(ANALYTICAL, SeatQuery(user="grace"), after=None, limit=1).items


def test_a_rebuild_leaves_one_set_of_tables(story: Story) -> None:
    """The old tables go, those of a rebuild that was killed too."""
    fill(story)
    story.views.run_once()
    with pytest.raises(InterruptedError):
        story.views.rebuild(progress=interrupt)
    story.views.rebuild()
    numbers = [found[1] for name in names(story, "tables") if (found := re.search(r"_g(\d+)$", name))]
    assert len(numbers) == 4
    assert len(set(numbers)) == 1


def test_a_reader_in_the_middle_of_a_swap_reads_on(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tables are there until it has gone; the next rebuild drops what was left for its sake."""
    monkeypatch.setattr(views, "_READERS_LEAVE_SECONDS", 0.1)
    story.buy()
    story.activate("Ada")
    story.views.run_once()
    reader = ViewsDatabase(views_url(story.database), readers_max=1)
    with reader.reading() as reading:
        story.activate("Grace")
        story.views.run_once()
        story.views.rebuild()
        assert reading.connection.execute(sqlalchemy.select(reading.tables.seats.c.user)).scalars().all() == ["Ada"]
        assert reading.position == 5
    with reader.reading() as reading:
        found = reading.connection.execute(sqlalchemy.select(reading.tables.seats.c.user)).scalars().all()
        assert (sorted(found), reading.position) == (["Ada", "Grace"], 6)
    story.views.rebuild()
    assert len(names(story, "tables")) == 4
    reader.close()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_following_goes_on_while_a_rebuild_writes(database: Path) -> None:
    """On PostgreSQL who makes the views again holds only what is being made."""
    with tell(database) as story:
        story.buy()
        story.views.run_once()
        with pytest.raises(InterruptedError):
            story.views.rebuild(progress=interrupt)
        number = max(int(name.rpartition("_g")[2]) for name in names(story, "tables"))
        rebuilding = ViewsDatabase(views_url(database), readers_max=1)
        with rebuilding.writing() as connection:
            assert generations.lock(connection, number) is not None
            story.activate("Ada")
            assert story.views.run_once() == 1
        rebuilding.close()


def interrupt(_done: int, _head: int) -> None:
    """Break off."""
    raise InterruptedError


@pytest.mark.usefixtures("small_batches")
def test_of_two_rebuilds_the_later_one_wins(story: Story) -> None:
    """The earlier stops in one line; what it made is dropped, and the views are whole."""
    fill(story)
    story.views.run_once()
    followed = story.told()
    other = story.open_views()
    began: list[bool] = []

    def begin_another(_done: int, _head: int) -> None:
        if not began:
            began.append(True)
            other.rebuild()

    with pytest.raises(RebuildWasOvertakenError):
        story.views.rebuild(progress=begin_another)
    assert story.told() == followed
    other.stop()


@pytest.mark.usefixtures("small_batches")
def test_empty_views_of_a_long_ledger_are_built_like_a_rebuild(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Building at first gives the same views, with all their indexes, and says how many events there were."""
    fill(story)
    other = story.open_views("others")
    other.run_once()
    monkeypatch.setattr(views, "EVENTS_TO_BUILD_AT_FIRST", 10)
    assert story.views.run_once() == story.ledger.head().position
    assert story.told() == story.told(other)
    other.stop()
    assert names(story, "indexes") == names(story, "indexes", views="others")


@pytest.mark.usefixtures("small_batches")
def test_a_rebuild_that_may_hold_few_rows_makes_the_same_views(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more seats than it may hold in memory it writes them, and looks for them from then on."""
    fill(story)
    story.views.run_once()
    followed, made = story.told(), names(story, "indexes")
    monkeypatch.setattr(views, "ROWS_HELD_MAX", 5)
    story.views.rebuild()
    assert story.told() == followed
    assert names(story, "indexes") == made


def names(story: Story, what: Literal["tables", "indexes"], *, views: str = VIEWS) -> list[str]:
    """The names of the views' tables, or of their indexes without the generation."""
    engine = engine_of(views_url(story.database, views))
    inspected = sqlalchemy.inspect(engine)
    tables = [name for name in inspected.get_table_names() if re.search(r"_g\d+$", name)]
    found = [str(index["name"]) for table in tables for index in inspected.get_indexes(table)]
    engine.dispose()
    return tables if what == "tables" else sorted(re.sub(r"_g\d+_", "_", name) for name in found)


# -- what must not be followed -----------------------------------------------------------------------------------------


def test_views_of_another_ledger_are_made_again(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    """Another ledger's seats are never shown; one log line says what happened."""
    fill(story)
    story.views.run_once()
    elsewhere = story.database.with_stem("elsewhere")
    with open_ledger(elsewhere, Clock()) as other_ledger:
        again = Views.open(ViewsSettings(url=views_url(story.database)), other_ledger)
        assert capsys.readouterr().out.count("the views are made again") == 1
        assert again.position() == 0
        assert again.licenses.get(ANALYTICAL, at=NOON) is None
        with pytest.raises(ViewsWereTakenOverError, match="LEDGER_VIEWS_URL"):
            story.views.run_once()
        again.stop()


def test_views_ahead_of_the_ledger_are_made_again(story: Story) -> None:
    """A restored copy of the ledger is followed from its first event."""
    story.buy()
    story.activate("Ada")
    copy = back_up(story.database)
    story.activate("Grace")
    others = story.open_views("others")
    others.run_once()
    others.stop()
    restored = story.database.with_stem("restored")
    with open_ledger(restored, Clock()):
        pass
    restore(restored, copy)
    with open_ledger(restored, Clock()) as ledger:
        again = Views.open(ViewsSettings(url=views_url(story.database, "others")), ledger)
        again.run_once()
        assert again.position() == ledger.head().position
        assert users(again) == ["Ada"]
        again.stop()


@pytest.mark.parametrize("users_since", [[], ["Katherine", "Mary", "Dorothy"]], ids=["shorter", "longer"])
def test_an_older_copy_under_running_views_is_followed_from_its_first_event(
    story: Story, users_since: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said in one line, and nothing is shown that the ledger does not have, however far it has gone since."""
    story.buy(seats_max=9)
    story.activate("Ada")
    copy = back_up(story.database)
    story.activate("Grace")
    others = story.open_views("others")
    others.start()
    head = story.ledger.head().position
    wait_until(lambda: others.position() == head)
    story.ledger.close()
    restore(story.database, copy)
    with open_ledger(story.database, Clock(at=NOON + timedelta(hours=1))) as ledger:
        for name in users_since:
            ledger.seats.activate(ANALYTICAL, user=parse_user(name), caller=ADMIN)
        again = Views.open(ViewsSettings(url=views_url(story.database, "others")), ledger)
        again.start()
        wait_until(lambda: users(again) == sorted(["Ada", *users_since]))
        again.stop()
    assert capsys.readouterr().out.count("the views are made again") == 1
    others.stop()


def users(views: Views) -> list[str]:
    """Who has a seat of Analytical Engines."""
    return [one.user for one in views.seats.list(ANALYTICAL, SeatQuery(), after=None, limit=9).items]


def test_views_of_another_version_are_made_again(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program whose views are defined otherwise begins at the first event; the older program stops."""
    fill(story)
    story.views.run_once()
    followed = story.told()
    monkeypatch.setattr(generations, "VERSION", generations.VERSION + 1)
    newer = story.open_views()
    assert newer.position() == 0
    newer.run_once()
    assert story.told(newer) == followed
    monkeypatch.undo()
    with pytest.raises(ViewsWereTakenOverError):
        story.views.run_once()
    newer.stop()


def test_views_of_the_first_version_are_made_again(story: Story) -> None:
    """Their generations did not say by which command they came to their position."""
    fill(story)
    story.views.run_once()
    followed = story.told()
    url = views_url(story.database)
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE generations DROP COLUMN command_id")
        connection.exec_driver_sql("UPDATE generations SET version = 1")
    engine.dispose()
    again = story.open_views()
    assert again.position() == 0
    again.run_once()
    assert story.told(again) == followed
    again.stop()


def test_an_older_copy_is_noticed_after_an_event_of_no_license(story: Story) -> None:
    """What the views came to last is known by its command, though no view shows it, and at the same time of day."""
    story.buy()
    copy = back_up(story.database)
    story.ledger.set_access_policy(AccessPolicy(blind_wait=timedelta(hours=1)))
    others = story.open_views("others")
    others.run_once()
    others.stop()
    story.ledger.close()
    restore(story.database, copy)
    with open_ledger(story.database, Clock()) as ledger:
        ledger.set_access_policy(AccessPolicy(blind_wait=timedelta(hours=2)))
        again = Views.open(ViewsSettings(url=views_url(story.database, "others")), ledger)
        assert again.position() == 0
        again.run_once()
        information = again.licenses.get(ANALYTICAL, at=NOON)
        assert information is not None
        assert information.usable_until == IN_A_YEAR + timedelta(hours=2)
        again.stop()


def test_an_unknown_event_stops_the_views_before_it(story: Story) -> None:
    """Everything before it is there, nothing is skipped, and the status says why in one line."""
    story.buy()
    story.activate("Ada")
    story.activate("Grace")
    make_unknown(story, position=6)
    with pytest.raises(EventTypeIsUnknownError, match=r"license\.seat-lent"):
        story.views.run_once()
    assert story.views.position() == 5
    stopped = {one.stopped for one in story.views.status()}
    assert len(stopped) == 1
    assert "older than the ledger" in str(stopped.pop())


def test_a_following_thread_says_that_it_stopped(story: Story) -> None:
    """The thread ends with its reason, and what it had answers on."""
    story.buy()
    story.activate("Ada")
    make_unknown(story, position=5)
    story.views.start()
    wait_until(lambda: story.views.status()[0].stopped is not None)
    assert story.views.wait_for(4, timeout_seconds=10)
    assert not story.views.wait_for(5, timeout_seconds=0.05)


def test_a_file_that_is_no_database_is_refused_in_one_line(story: Story) -> None:
    """Nothing is overwritten that is not known to be views."""
    path = story.folder / "letter.txt"
    path.write_text("Dear Ada, " * 1_000)
    with pytest.raises(StoreCannotOpenError, match=r"letter\.txt can't be opened: file is not a database"):
        Views.open(ViewsSettings(url=DatabaseUrl.of_file(path)), story.ledger)
    assert path.read_text().startswith("Dear Ada")
