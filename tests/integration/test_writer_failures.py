"""A database that fails: no answer claims what is not so, nothing is lost or done twice, and it goes on when it can."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import pytest

from ledger.envelope import EventTypeIsUnknownError
from ledger.errors import UnavailableError
from ledger.license.events import CompanyRegistered, Contact, KeyKind, Personal
from ledger.seats import Once, SeatAnswer
from ledger.store import Head, Rows, Store, StoreError
from ledger.transaction import Transaction, Work
from ledger.writer import HeadWentBackError
from tests.integration.ledgers import (
    activated,
    at_once,
    back_up,
    everything,
    execute,
    held,
    issue,
    license_now,
    opened,
    position_column,
    restore,
    rows_of,
    store_on,
    waiting,
)
from tests.stories import (
    ADA_SIGNS_IN,
    ADMIN,
    AGREEMENT,
    CLIENT,
    GRACE_SIGNS_IN,
    IDENTIFIED_BY_AGREEMENT,
    KATHERINE_SIGNS_IN,
    LICENSE,
    NOON,
    OTHER_LICENSE,
    Clock,
    colleague,
)

FOREVER: Final = 1_000


class FailingStore:
    """A store that can be told to fail: how many of the next begins, writes and commits do.

    Attributes:
        begins_failing: the lock can't be had.
        writes_failing: an insert fails.
        commits_lost: the connection breaks before the commit took place.
        commits_unheard: the connection breaks after the commit took place.
        before_reconnecting: happens once, between a failure and the next connection.
    """

    begins_failing = 0
    writes_failing = 0
    commits_lost = 0
    commits_unheard = 0
    before_reconnecting: Callable[[], object] | None = None

    def __init__(self, store: Store) -> None:
        """It works until told otherwise."""
        self._store = store

    def open(self, _: Path) -> Store:
        """The store, opened."""
        return cast("Store", self)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- as it is
        """Whatever does not fail."""
        return getattr(self._store, name)

    def begin(self) -> Head:
        """Lock, or fail to."""
        if self.begins_failing:
            self.begins_failing -= 1
            raise StoreError("no lock")
        return self._store.begin()

    def write(self, rows: Rows, head: Head) -> None:
        """Write, or fail halfway."""
        self._store.write(rows, head)
        if self.writes_failing:
            self.writes_failing -= 1
            raise StoreError("no room")

    def commit(self) -> None:
        """Commit, or break before or after it."""
        if self.commits_lost:
            self.commits_lost -= 1
            self.reconnect()
            raise StoreError("the connection broke")
        self._store.commit()
        if self.commits_unheard:
            self.commits_unheard -= 1
            self.reconnect()
            raise StoreError("the connection broke")

    def reconnect(self) -> None:
        """Let happen what happens in between, then connect."""
        happening, self.before_reconnecting = self.before_reconnecting, None
        if happening is not None:
            happening()
        self._store.reconnect()

    def go_away(self) -> None:
        """Answer nothing from now on."""
        self.begins_failing = FOREVER


@pytest.fixture
def store(database: Path) -> FailingStore:
    """A store that works until told otherwise."""
    return FailingStore(store_on(database))


def test_a_database_that_fails_for_a_moment_is_tried_again(store: FailingStore, database: Path) -> None:
    """The caller hears of nothing but success, and it is recorded once."""
    with opened(database, open_store=store.open) as ledger:
        issue(ledger, seats_max=5)
        store.begins_failing = 1
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        store.writes_failing = 2
        ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        assert activated(everything(ledger)) == ["Ada Lovelace", "grace@navy.example"]


def test_a_database_that_stays_away_is_said_to_be_unavailable(store: FailingStore, database: Path) -> None:
    """After a few tries everybody who waits is told that nothing was changed; when it is back, it goes on."""
    with opened(database, open_store=store.open) as ledger:
        issue(ledger, seats_max=5)
        store.writes_failing = FOREVER
        with pytest.raises(UnavailableError, match="Nothing was changed"):
            ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        store.writes_failing = 0
        assert activated(everything(ledger)) == []
        assert license_now(ledger).seats_active == 0
        assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).took_seat


def test_a_commit_that_took_place_though_it_was_not_heard_of_is_found(store: FailingStore, database: Path) -> None:
    """The ledger is looked at: the events are there, so the first answer is the right one and nothing is done twice."""
    with opened(database, open_store=store.open) as ledger:
        issue(ledger, seats_max=5)
        store.commits_unheard = 1
        answer = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert answer.took_seat
        assert answer.position == 4
        assert activated(everything(ledger)) == ["Ada Lovelace"]
        assert ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT).position == 5


def test_a_commit_that_did_not_take_place_is_made_again(store: FailingStore, database: Path) -> None:
    """The ledger is looked at: nothing is there, so it is decided again."""
    with opened(database, open_store=store.open) as ledger:
        issue(ledger, seats_max=5)
        store.commits_lost = 1
        answer = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert (answer.took_seat, answer.position) == (True, 4)
        assert activated(everything(ledger)) == ["Ada Lovelace"]


def test_many_callers_survive_commits_that_fail_in_either_way(store: FailingStore, database: Path) -> None:
    """Lost and unheard commits in turn: everybody gets the seat that the events tell of, once."""
    with opened(database, open_store=store.open) as ledger:
        issue(ledger, seats_max=64)

        def activate(number: int) -> SeatAnswer:
            if number % 8 == 0:
                store.commits_lost = 1
            if number % 8 == 4:
                store.commits_unheard = 1
            return ledger.seats.activate(LICENSE, user=colleague(number), caller=CLIENT)

        answers = at_once(*[partial(activate, number) for number in range(64)])
        assert [answer for answer in answers if not isinstance(answer, SeatAnswer)] == []
        recorded = everything(ledger)
        assert len(activated(recorded)) == len(set(activated(recorded))) == 64
        positions = {answer.seat.user: answer.position for answer in answers if isinstance(answer, SeatAnswer)}
        places = dict(zip(activated(recorded), [one.position for one in recorded[3:]], strict=True))
        assert positions == places


def test_another_process_that_wrote_in_between_does_not_hide_what_took_place(
    store: FailingStore, database: Path
) -> None:
    """After an unheard commit another process appends first: both are seen, and the states are right."""
    with opened(database, open_store=store.open) as ledger, opened(database) as other:
        issue(ledger, seats_max=5)
        store.commits_unheard = 1
        store.before_reconnecting = partial(other.seats.activate, LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert activated(everything(ledger)) == ["Ada Lovelace", "grace@navy.example"]
        assert license_now(ledger).seats_active == 2
        assert license_now(ledger) == license_now(other)


def test_a_commit_of_unknown_outcome_is_said_to_be_one(store: FailingStore, database: Path) -> None:
    """When the database can't even be looked at, the answer doesn't claim that nothing was changed."""
    with opened(database, open_store=store.open) as ledger:
        issue(ledger, seats_max=5)
        store.commits_unheard = 1
        store.before_reconnecting = store.go_away
        with pytest.raises(UnavailableError, match="not known"):
            ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        store.begins_failing = 0
        assert not ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).took_seat
        assert activated(everything(ledger)) == ["Ada Lovelace"]


def test_a_repeated_idempotency_key_finds_out_what_became_of_an_unknown_outcome(
    store: FailingStore, database: Path
) -> None:
    """Sent again with its key, the command gets the answer that the first one would have had."""
    with opened(database, open_store=store.open) as ledger:
        issue(ledger, seats_max=5)
        once = Once(key_hash=b"key", request_hash=b"request")
        store.commits_unheard = 1
        store.before_reconnecting = store.go_away
        with pytest.raises(UnavailableError):
            ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=once)
        store.begins_failing = 0
        assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=once).took_seat


def test_a_head_that_went_back_stops_the_process(database: Path) -> None:
    """An older copy was put in the database's place: this process has answered for what is gone, so it stops."""
    told: list[Exception] = []
    with opened(database, on_fatal=told.append) as ledger:
        issue(ledger, seats_max=5)
        copy = back_up(database)
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        restore(database, copy)
        for _ in range(2):
            with pytest.raises(UnavailableError):
                ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        assert [type(error) for error in told] == [HeadWentBackError]
        assert "older copy" in str(told[0])
    with opened(database) as again:
        assert again.head().position == 3
        assert again.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT).position == 4


@pytest.mark.parametrize("written", [1, 2])
@pytest.mark.parametrize("answered", ["by writing", "by reading", "before a failure"])
def test_an_older_copy_that_was_written_on_stops_the_process(database: Path, answered: str, written: int) -> None:
    """Up to the position that this process has answered for, or past it: another event stands at that position."""
    told: list[Exception] = []
    with opened(database) as before:
        issue(before, seats_max=5)
        copy = back_up(database)
        before.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
    store = FailingStore(store_on(database))
    with opened(database, open_store=store.open, on_fatal=told.append) as ledger:
        if answered == "by writing":
            ledger.seats.activate(LICENSE, user=KATHERINE_SIGNS_IN, caller=CLIENT)
            written += 1
        assert ledger.seats.access(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).code == "ALLOWED"
        restore(database, copy)
        with opened(database, now=Clock(NOON + timedelta(minutes=1))) as other:
            for number in range(written):
                other.seats.activate(LICENSE, user=colleague(number), caller=CLIENT)
        if answered == "before a failure":
            store.begins_failing = 1
        with pytest.raises(UnavailableError):
            ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
    assert [type(error) for error in told] == [HeadWentBackError]
    assert "another event at position" in str(told[0])


def test_a_failure_between_the_appends_of_another_process_is_no_other_history(
    store: FailingStore, database: Path
) -> None:
    """Whatever is forgotten after a failure, what the other process wrote meanwhile is caught up with."""
    told: list[Exception] = []
    with opened(database, open_store=store.open, on_fatal=told.append) as ledger, opened(database) as other:
        issue(ledger, seats_max=5)
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        other.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        store.begins_failing = 1
        assert not ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).took_seat
        other.seats.activate(LICENSE, user=KATHERINE_SIGNS_IN, caller=CLIENT)
        assert ledger.seats.access(LICENSE, user=KATHERINE_SIGNS_IN, caller=CLIENT).code == "ALLOWED"
        assert ledger.seats.activate(LICENSE, user=colleague(1), caller=CLIENT).position == 7
        assert license_now(ledger) == license_now(other)
    assert told == []


def test_a_head_that_another_process_moved_on_in_time_alone_is_no_other_history(database: Path) -> None:
    """Somebody asked another process for the state of a later moment."""
    told: list[Exception] = []
    later = NOON + timedelta(hours=1)
    with opened(database, on_fatal=told.append) as ledger, opened(database, now=Clock(later)) as other:
        issue(ledger, seats_max=5)
        assert other.reach(later).recorded_at == later
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert everything(ledger)[-1].recorded_at == later + timedelta(microseconds=1)
    assert told == []


def test_a_writer_that_meets_an_unknown_type_stops(database: Path) -> None:
    """Another process is newer and wrote what this one can't judge by: it stops, and refuses from then on."""
    told: list[Exception] = []
    with opened(database, on_fatal=told.append) as ledger, opened(database) as newer:
        issue(ledger, seats_max=5)
        newer.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        _rename_type(database, was="license.seat-activated", became="license.seat-lent")
        with pytest.raises(UnavailableError):
            ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        assert [type(error) for error in told] == [EventTypeIsUnknownError]
        with pytest.raises(UnavailableError):
            ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
    with opened(database, on_fatal=told.append) as cold:
        with pytest.raises(UnavailableError):
            cold.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        assert [type(error) for error in told] == [EventTypeIsUnknownError] * 2


def _rename_type(database: Path, *, was: str, became: str) -> None:
    for (state,) in execute(database, "SELECT state FROM stored_events WHERE topic = :was", was=was):
        execute(
            database,
            "UPDATE stored_events SET topic = :became, state = :renamed WHERE state = :state",
            became=became,
            renamed=state.replace(was.encode(), became.encode()),
            state=state,
        )


def test_one_damaged_license_does_not_hold_up_the_others(database: Path) -> None:
    """Whoever asks for the edited license is told of an error of ours; the next license is served as ever."""
    with opened(database) as ledger:
        issue(ledger, seats_max=5)
        issue(ledger, seats_max=5, license_id=OTHER_LICENSE, names=((KeyKind.AGREEMENT, "agmt-other"),))
    third = position_column(database)
    execute(database, f"UPDATE stored_events SET originator_version = 9 WHERE {third} = 3")  # noqa: S608 -- own names
    with opened(database) as ledger:
        with pytest.raises(Exception, match="edited or damaged"):
            ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        assert ledger.seats.activate(OTHER_LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).took_seat


def test_a_key_that_another_license_has_is_refused_for_that_command_alone(database: Path) -> None:
    """A decision that forgot to look the key up is refused; whoever waited with it is served."""
    with opened(database) as ledger:
        issue(ledger, seats_max=5)
        issue(ledger, seats_max=5, license_id=OTHER_LICENSE, names=())

        def claim(transaction: Transaction) -> None:
            transaction.append(OTHER_LICENSE, [IDENTIFIED_BY_AGREEMENT])

        answers = at_once(
            lambda: ledger.submit(Work(decide=claim, caller=ADMIN, licenses=(OTHER_LICENSE,))),
            *[partial(ledger.seats.activate, LICENSE, user=colleague(n), caller=CLIENT) for n in range(4)],
        )
        assert type(answers[0]).__name__ == "KeyIsClaimedError"
        assert all(isinstance(answer, SeatAnswer) for answer in answers[1:])
        assert rows_of(ledger, "SELECT license_id FROM license_keys WHERE value = :value", value=AGREEMENT[1]) == [
            (LICENSE,)
        ]


def test_rows_that_no_database_would_take_fail_their_command_alone(database: Path) -> None:
    """A decision that slipped past its own checks is told to its caller; whoever waited with it is served."""
    with opened(database) as ledger:
        issue(ledger, seats_max=5)
        contact = Contact(name="Ada Lovelace", email="ada@example.com", phone=None)
        registered = CompanyRegistered(company_name="Lovelace Ltd", contact=Personal("contact", contact))

        def claim(transaction: Transaction) -> None:
            transaction.append(LICENSE, [registered])
            transaction.effects.rows.license_keys[AGREEMENT[0].value, AGREEMENT[1]] = OTHER_LICENSE

        with held(ledger) as go_on:
            threads, answers = waiting(
                ledger,
                partial(ledger.seats.activate, LICENSE, user=ADA_SIGNS_IN, caller=CLIENT),
                partial(ledger.submit, Work(decide=claim, caller=ADMIN, licenses=(LICENSE,))),
                partial(ledger.seats.activate, LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT),
            )
            go_on.set()
            for thread in threads:
                thread.join(timeout=30)
        assert [type(answer).__name__ for answer in answers] == ["SeatAnswer", "RowsAreRefusedError", "SeatAnswer"]
        assert license_now(ledger).company_name is None
        assert activated(everything(ledger)) == ["Ada Lovelace", "grace@navy.example"]


def test_a_seat_is_found_though_the_work_did_not_say_that_it_would_look(database: Path) -> None:
    """Forgetting to announce a look-up costs time, not a second seat for one user."""
    with opened(database) as ledger:
        issue(ledger, seats_max=5)
        seat_id = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).seat.seat_id
        found = ledger.submit(Work(decide=lambda transaction: transaction.seat_of(LICENSE, ADA_SIGNS_IN), caller=ADMIN))
        assert found == seat_id
        owner = ledger.submit(Work(decide=lambda transaction: transaction.license_of(*AGREEMENT), caller=ADMIN))
        assert owner == LICENSE


def test_a_ledger_that_was_copied_goes_on_by_itself(database: Path) -> None:
    """A backup is a whole ledger: the same id, the same states, the same next position."""
    with opened(database) as ledger:
        issue(ledger, seats_max=5)
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        state = license_now(ledger)
        copied = database.with_stem("copy")
        restore(copied, back_up(database))
        with opened(copied) as copy:
            assert copy.ledger_id == ledger.ledger_id
            assert license_now(copy) == state
            assert copy.seats.activate(LICENSE, user=KATHERINE_SIGNS_IN, caller=CLIENT).position == 5
        assert ledger.head().position == 4
