"""What the writer keeps: states, snapshots, answers to requests, counts of new users; and what it never keeps."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from ledger import snapshots, writer
from ledger.envelope import RecordedEvent
from ledger.errors import IdempotencyKeyIsReusedError, IsStaleError, LicenseIsNotFoundError, TooManyNewUsersError
from ledger.ledger import Ledger
from ledger.license.decisions import NoSeatIsFreeError, SeatIsNotFoundError, UserIsBlockedError
from ledger.license.events import BlockReason, Contact, KeyKind, LicenseId, SeatId
from ledger.license.state import License, SeatStatus
from ledger.replay import Moment
from ledger.seats import Change, Once, SeatChange
from ledger.store import Snapshot
from ledger.transaction import Transaction, Work
from ledger.users import parse_user
from tests.integration.ledgers import everything, execute, issue, license_now, observe, opened, rows_of, store_on
from tests.stories import (
    ADA_SIGNS_IN,
    ADMIN,
    CLIENT,
    GRACE_SIGNS_IN,
    KATHERINE_SIGNS_IN,
    LICENSE,
    NEVER,
    NOON,
    OTHER_LICENSE,
    Clock,
    colleague,
)

ONCE = Once(key_hash=b"a key", request_hash=b"a request")


class Reads:
    """The store on a database, which counts the events it reads for a license."""

    def __init__(self, database: Path) -> None:
        """Nothing is read yet."""
        self.events = 0
        self.store = store_on(database)
        self._read_stream = self.store.read_stream
        self.store.read_stream = self._count  # type: ignore[method-assign]

    def _count(self, stream: str, *, after: int = 0, up_to: int | None = None) -> Sequence[RecordedEvent]:
        read = self._read_stream(stream, after=after, up_to=up_to)
        self.events += len(read)
        return read


@pytest.fixture
def clock() -> Clock:
    """It is noon."""
    return Clock()


@pytest.fixture
def ledger(database: Path, clock: Clock) -> Iterator[Ledger]:
    """A license of two seats."""
    with opened(database, now=clock) as ledger:
        issue(ledger, seats_max=2)
        yield ledger


# -- states and snapshots ------------------------------------------------------------------------------------------


def sign_in_many(ledger: Ledger, *, users: int) -> License:
    """As many users sign in."""
    for first in range(0, users, 1_000):
        ledger.seats.change_many(
            LICENSE,
            changes=[
                SeatChange(change=Change.ACTIVATE, user=colleague(number))
                for number in range(first, min(first + 1_000, users))
            ],
            caller=ADMIN,
        )
    return license_now(ledger)


def test_a_cold_start_reads_a_snapshot_and_few_events(database: Path) -> None:
    """Of a stream of thousands of events the latest are read; without snapshots all are, to the same state."""
    with opened(database) as ledger:
        issue(ledger, seats_max=10_000)
        state = sign_in_many(ledger, users=3_000)
    reads = Reads(database)
    latest = reads.store.snapshot_before(LICENSE)
    assert isinstance(latest, Snapshot)
    assert latest.version >= 1_000
    with opened(database, open_store=lambda _: reads.store) as cold:
        assert license_now(cold) == state
        assert reads.events == state.version - latest.version < 2_500
    execute(database, "DELETE FROM snapshots")
    reads = Reads(database)
    with opened(database, open_store=lambda _: reads.store) as cold:
        assert license_now(cold) == state
        assert reads.events == state.version


def test_a_snapshot_says_the_state_at_its_version(database: Path) -> None:
    """It equals the replay, to its version and to its position alike."""
    with opened(database) as ledger:
        issue(ledger, seats_max=10_000)
        sign_in_many(ledger, users=2_500)
    store = store_on(database)
    snapshot = store.snapshot_before(LICENSE, version=2_400)
    assert snapshot is not None
    assert snapshot.version <= 2_400
    with opened(database, open_store=lambda _: store) as ledger:
        state = snapshots.decode(snapshot.state)
        assert state.version == snapshot.version
        assert state.seats_active == snapshot.version - 3
        for moment in (Moment(version=snapshot.version), Moment(position=snapshot.position)):
            assert ledger.past.license_at(LICENSE, moment).license == state


def test_a_snapshot_of_another_format_is_not_read(database: Path) -> None:
    """The state is made from the events instead."""
    with opened(database) as ledger:
        issue(ledger, seats_max=10_000)
        state = sign_in_many(ledger, users=1_500)
    execute(database, "UPDATE snapshots SET format = 0, state = :state", state=b"\x00")
    with opened(database) as cold:
        assert license_now(cold) == state


def test_licenses_that_leave_the_memory_come_back_whole(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small memory forgets the longest unused licenses, and answers stay right."""
    monkeypatch.setattr(writer, "CACHE_WEIGHT_MAX", 4)
    licenses = [LicenseId(f"license-{number}") for number in range(6)]
    with opened(database) as ledger:
        for number, license_id in enumerate(licenses):
            issue(ledger, seats_max=3, license_id=license_id, names=((KeyKind.AGREEMENT, f"agmt-{number}"),))
        for user in (ADA_SIGNS_IN, GRACE_SIGNS_IN, KATHERINE_SIGNS_IN):
            for license_id in licenses:
                assert ledger.seats.activate(license_id, user=user, caller=CLIENT).took_seat
        for license_id in licenses:
            assert license_now(ledger, license_id).seats_active == 3
            with pytest.raises(NoSeatIsFreeError):
                ledger.seats.activate(license_id, user=colleague(1), caller=CLIENT)
        everything(ledger)


# -- Idempotency-Key and If-Match ----------------------------------------------------------------------------------


def test_the_same_key_gets_the_first_answer_again(ledger: Ledger) -> None:
    """Whatever happened since: the seat as it stood, the version, the position, and that it was taken then."""
    first = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=ONCE)
    ledger.seats.delete(LICENSE, seat_id=first.seat.seat_id, caller=ADMIN)
    ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
    events = len(everything(ledger))
    again = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=ONCE)
    assert again == first
    assert again.seat.status is SeatStatus.ACTIVE
    assert len(everything(ledger)) == events


def test_the_same_key_with_another_request_is_refused(ledger: Ledger) -> None:
    """One key, one request."""
    ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=ONCE)
    other = Once(key_hash=ONCE.key_hash, request_hash=b"another request")
    with pytest.raises(IdempotencyKeyIsReusedError):
        ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT, once=other)


def test_a_refusal_is_an_answer_too(ledger: Ledger) -> None:
    """What was refused by a rule is refused again with the same numbers, though it would be allowed by now."""
    for user in (ADA_SIGNS_IN, GRACE_SIGNS_IN):
        ledger.seats.activate(LICENSE, user=user, caller=CLIENT)
    with pytest.raises(NoSeatIsFreeError) as first:
        ledger.seats.activate(LICENSE, user=KATHERINE_SIGNS_IN, caller=CLIENT, once=ONCE)
    observe(ledger, seats_max=5)
    with pytest.raises(NoSeatIsFreeError) as again:
        ledger.seats.activate(LICENSE, user=KATHERINE_SIGNS_IN, caller=CLIENT, once=ONCE)
    assert (again.value.detail, again.value.members) == (first.value.detail, first.value.members)


def test_answers_are_remembered_over_a_restart(database: Path) -> None:
    """They are rows of the append's own transaction."""
    with opened(database) as ledger:
        issue(ledger, seats_max=2)
        first = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=ONCE)
        ledger.seats.delete(LICENSE, seat_id=first.seat.seat_id, caller=ADMIN)
    with opened(database) as again:
        assert again.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=ONCE) == first


def test_answers_are_forgotten_after_24_hours(ledger: Ledger, clock: Clock) -> None:
    """To the hour the first answer, after it the command is carried out anew; old rows go."""
    first = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=ONCE)
    ledger.seats.delete(LICENSE, seat_id=first.seat.seat_id, caller=ADMIN)
    clock.move(timedelta(hours=24))
    assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=ONCE) == first
    clock.move(timedelta(seconds=1))
    later = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=ONCE)
    assert later.license_version == first.license_version + 2
    clock.move(timedelta(hours=25))
    other = Once(key_hash=b"another key", request_hash=b"a request")
    ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT, once=other)
    assert rows_of(ledger, "SELECT key_hash FROM idempotency") == [(b"another key",)]


def test_many_changes_are_answered_again_row_by_row(ledger: Ledger) -> None:
    """Successes and refusals of one request are one answer, and one append."""
    changes = [
        SeatChange(change=Change.ACTIVATE, user=ADA_SIGNS_IN),
        SeatChange(change=Change.BLOCK, user=GRACE_SIGNS_IN, reason=BlockReason.LEFT, note="Left."),
        SeatChange(change=Change.ACTIVATE, user=GRACE_SIGNS_IN),
        SeatChange(change=Change.UNBLOCK, seat_id=SeatId("nobody's")),
        SeatChange(change=Change.ACTIVATE, user=KATHERINE_SIGNS_IN),
    ]
    first = ledger.seats.change_many(LICENSE, changes=changes, caller=ADMIN, once=ONCE)
    refusals = [type(result.refusal) for result in first.results]
    assert refusals == [type(None), type(None), UserIsBlockedError, SeatIsNotFoundError, type(None)]
    assert [result.took_seat for result in first.results] == [True, False, False, False, True]
    appended = everything(ledger)[3:]
    assert [one.append for one in appended] == [(4, 6)] * 3
    assert len({one.recorded_at for one in appended}) == 1
    ledger.seats.delete(LICENSE, seat_id=first.results[0].seat.seat_id, caller=ADMIN)  # type: ignore[union-attr]
    again = ledger.seats.change_many(LICENSE, changes=changes, caller=ADMIN, once=ONCE)
    assert [result.seat for result in again.results] == [result.seat for result in first.results]
    assert again.position == first.position


def test_a_row_refused_for_want_of_a_seat_tells_of_that_moment(ledger: Ledger) -> None:
    """All seats were taken when it was refused, though a later row of the same request freed one."""
    ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
    ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
    changes = [
        SeatChange(change=Change.ACTIVATE, user=KATHERINE_SIGNS_IN),
        SeatChange(change=Change.DELETE, user=ADA_SIGNS_IN),
    ]
    refused, _ = ledger.seats.change_many(LICENSE, changes=changes, caller=ADMIN).results
    assert isinstance(refused.refusal, NoSeatIsFreeError)
    assert refused.refusal.members == {"seats_max": 2, "seats_active": 2}


def test_a_stale_version_is_refused_and_says_the_one_that_stands(ledger: Ledger) -> None:
    """Of the license where a user is named, of the seat where a seat is; `*` only asks that it exists."""
    seat = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, if_match=3).seat
    with pytest.raises(IsStaleError) as stale:
        ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT, if_match=3)
    assert stale.value.members == {"version": 4}
    ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT, if_match="*")
    with pytest.raises(IsStaleError):
        ledger.seats.delete(LICENSE, seat_id=seat.seat_id, caller=ADMIN, if_match=5)
    ledger.seats.delete(LICENSE, seat_id=seat.seat_id, caller=ADMIN, if_match=seat.version)
    with pytest.raises(SeatIsNotFoundError):
        ledger.seats.delete(LICENSE, seat_id=SeatId("nobody's"), caller=ADMIN, if_match="*")
    with pytest.raises(LicenseIsNotFoundError):
        ledger.seats.activate(OTHER_LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, if_match="*")


def test_a_stale_answer_is_not_remembered_and_the_key_is_looked_up_first(ledger: Ledger) -> None:
    """A repeated request gets its first answer though its version is stale by now; a stale one is tried anew."""
    with pytest.raises(IsStaleError):
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, if_match=1, once=ONCE)
    first = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, if_match=3, once=ONCE)
    assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, if_match=3, once=ONCE) == first


# -- new users -----------------------------------------------------------------------------------------------------


def test_a_client_brings_only_so_many_new_users_an_hour(database: Path, clock: Clock) -> None:
    """Known users sign in without end; the next hour brings new ones; another key has its own count."""
    clock.move(timedelta(minutes=40))
    other = type(CLIENT)(type(CLIENT.actor)(CLIENT.actor.role, "key-of-another-program"))
    with opened(database, now=clock) as ledger:
        issue(ledger, seats_max=100)

        def sign_in(number: int, caller: Any = CLIENT) -> str:  # noqa: ANN401 -- a caller
            return ledger.seats.sign_in(LICENSE, user=colleague(number), caller=caller, new_users_max=2).code

        assert [sign_in(1), sign_in(2), sign_in(1)] == ["ALLOWED"] * 3
        with pytest.raises(TooManyNewUsersError) as refused:
            sign_in(3)
        assert refused.value.members == {"retry_after_seconds": 20 * 60}
        assert sign_in(3, other) == "ALLOWED"
        assert sign_in(3) == "ALLOWED"
        clock.move(timedelta(minutes=20))
        assert [sign_in(4), sign_in(5)] == ["ALLOWED"] * 2
        with pytest.raises(TooManyNewUsersError):
            sign_in(6)
        assert len(everything(ledger)) == 3 + 5
        counted = rows_of(ledger, "SELECT COUNT(*) FROM new_users WHERE key_id = :key_id", key_id=CLIENT.actor.id)
        assert counted == [(1,)]


# -- personal data -------------------------------------------------------------------------------------------------


def test_a_name_stands_only_in_personal_fields_of_events(database: Path) -> None:
    """Every row of every table is searched: names, notes and contacts are in `plain` members of stored events alone."""
    secrets = ["Ada", "Lovelace", "grace", "navy", "Charing", "Annabella", "engines.example", "7946 0000"]
    with opened(database) as ledger:
        issue(ledger, seats_max=5_000, renews_at=NEVER)
        ada = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT, once=ONCE).seat
        ledger.seats.block(
            LICENSE, seat_id=ada.seat_id, reason=BlockReason.LEFT, note="Works at Charing Cross.", caller=ADMIN
        )
        ledger.seats.sign_in(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT, new_users_max=10)
        ledger.seats.delete(
            LICENSE,
            seat_id=ledger.seats.access(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT).seat_id or SeatId(""),
            caller=ADMIN,
        )
        contact = Contact(name="Annabella Byron", email="annabella@engines.example", phone="+44 20 7946 0000")
        ledger.companies.register(LICENSE, company_name="Analytical", contact=contact, caller=ADMIN)
        sign_in_many(ledger, users=1_200)
    found = _search(database, secrets)
    assert found == {("stored_events", "state")}
    for (state,) in execute(database, "SELECT state FROM stored_events"):
        impersonal = json.dumps(_without_personal(json.loads(state)), ensure_ascii=False)
        assert [word for word in secrets if word in impersonal] == []
    assert execute(database, "SELECT COUNT(*) FROM snapshots")[0][0] >= 1


def _search(database: Path, words: list[str]) -> set[tuple[str, str]]:
    with opened(database) as ledger:
        inspector = sqlalchemy.inspect(ledger.reading)
        return {
            (table, column["name"])
            for table in inspector.get_table_names()
            for column in inspector.get_columns(table)
            for (value,) in rows_of(ledger, f"SELECT {column['name']} FROM {table}")  # noqa: S608 -- the ledger's own
            if _contains(value, words)
        }


def _contains(value: object, words: list[str]) -> bool:
    raw = value if isinstance(value, bytes) else str(value).encode()
    return any(word.encode() in raw for word in words)


def _without_personal(document: Any) -> Any:  # noqa: ANN401 -- JSON
    if isinstance(document, dict):
        if document.keys() == {"of", "plain"}:
            return {"of": document["of"]}
        return {name: _without_personal(value) for name, value in document.items()}
    if isinstance(document, list):
        return [_without_personal(value) for value in document]
    return document


def test_a_user_keeps_the_seat_id_and_the_latest_spelling(ledger: Ledger) -> None:
    """Two spellings are one seat; the name shown is the one last recorded, which an active user does not change."""
    first = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).seat
    shouted = parse_user("  ADA LOVELACE ")
    assert ledger.seats.activate(LICENSE, user=shouted, caller=CLIENT).seat == first
    ledger.seats.delete(LICENSE, seat_id=first.seat_id, caller=ADMIN)
    back = ledger.seats.activate(LICENSE, user=shouted, caller=CLIENT)
    assert (back.seat.seat_id, back.seat.user, back.took_seat) == (first.seat_id, "ADA LOVELACE", True)


def test_the_same_name_under_two_licenses_is_two_seats(ledger: Ledger) -> None:
    """And the directory's hashes of it differ, so that one can't be found by the other."""
    issue(ledger, seats_max=2, license_id=OTHER_LICENSE, names=())
    one = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).seat
    other = ledger.seats.activate(OTHER_LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).seat
    assert one.seat_id != other.seat_id
    assert len(set(rows_of(ledger, "SELECT identity_hash FROM directory"))) == 2


def test_a_decision_without_events_answers_with_the_position_it_knows(ledger: Ledger) -> None:
    """Also when the latest events were another license's."""
    ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
    issue(ledger, seats_max=2, license_id=OTHER_LICENSE, names=())
    assert ledger.seats.access(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).position == ledger.head().position == 6
    assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).position == 6


def test_the_clock_of_a_decision_is_that_of_its_append(ledger: Ledger, clock: Clock) -> None:
    """What the decision saw as now is what its events say."""
    clock.move(timedelta(minutes=1))

    def decide(transaction: Transaction) -> Any:  # noqa: ANN401 -- a time
        return transaction.at

    at = ledger.submit(Work(decide=decide, caller=ADMIN))
    assert at == NOON + timedelta(minutes=1)
    answer = ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
    assert answer.seat.activated_at == NOON + timedelta(minutes=1)
    assert everything(ledger)[-1].recorded_at == answer.seat.activated_at
