"""What every store owes the writer and the readers."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy

from ledger.envelope import Event, EventTypeIsUnknownError, StoredEventDisagreesError, encode
from ledger.license.holding import Holding
from ledger.store import (
    REMEMBERED_FOR,
    DirectoryEntry,
    Head,
    NewEvent,
    RememberedAnswer,
    Rows,
    RowsAreRefusedError,
    Snapshot,
    Store,
)
from ledger.store.tables import SNAPSHOT_FORMAT, SNAPSHOTS
from tests.integration.ledgers import execute, position_column, store_on, until
from tests.stories import (
    ADA_ACTIVATED,
    ADMIN,
    GRACE_ACTIVATED,
    ISSUED,
    LICENSE,
    NOON,
    OTHER_LICENSE,
    STARTED_WITH_TWO_SEATS,
)

TICK = timedelta(microseconds=1)


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    """An empty store."""
    store = store_on(database)
    yield store
    store.close()


def new_event(
    head: Head, event: Event, *, stream: str = LICENSE, version: int, position: int, told: str | None = None
) -> NewEvent:
    """An event at a place; `told` is what its envelope says of the stream, if that differs."""
    state = encode(
        ledger_id=head.ledger_id,
        stream=told or stream,
        version=version,
        position=position,
        append=(version, version),
        recorded_at=NOON,
        actor=ADMIN.actor,
        cause=None,
        command_id="5b0e7c52-4f7e-4a0e-9a35-9f4a4f0f1b11",
        event=event,
    )
    return NewEvent(position, stream, version, event.TYPE, state)


def write(store: Store, *events: Event, stream: str = LICENSE, after: int = 0) -> Head:
    """Store events in a transaction of their own."""
    head = store.begin()
    new = [
        new_event(head, event, stream=stream, version=after + number, position=head.position + number)
        for number, event in enumerate(events, 1)
    ]
    moved = Head(ledger_id=head.ledger_id, position=head.position + len(events), recorded_at=NOON)
    store.write(Rows(events=new), moved)
    store.commit()
    return moved


def test_an_empty_store_has_a_head_and_an_id(store: Store) -> None:
    """Position 0, and an id that was drawn with the schema."""
    head = store.head()
    assert head.position == 0
    assert len(head.ledger_id) == 36
    assert store.read_ledger(after=0, limit=10) == []
    assert store.read_stream(LICENSE) == []
    assert store.version_of(LICENSE) == 0


def test_two_ledgers_have_different_ids_and_secrets(database: Path) -> None:
    """Nothing of one ledger opens another."""
    one, other = store_on(database), store_on(database.with_stem("other"))
    assert one.head().ledger_id != other.head().ledger_id
    assert one.secret("directory") != other.secret("directory")
    assert len({one.secret(name) for name in ("directory", "idempotency", "keys", "cursor", "session")}) == 5
    one.close()
    other.close()


def test_what_was_committed_is_there_when_it_is_opened_again(database: Path) -> None:
    """Events, head, id and secrets stay."""
    store = store_on(database)
    head = write(store, ISSUED, STARTED_WITH_TWO_SEATS)
    secret = store.secret("directory")
    store.close()
    again = store_on(database)
    assert again.head() == head
    assert again.secret("directory") == secret
    assert [one.event for one in again.read_stream(LICENSE)] == [ISSUED, STARTED_WITH_TWO_SEATS]
    again.close()


def test_events_are_read_by_stream_and_by_position(store: Store) -> None:
    """Each stream by version, the whole by position, from anywhere to anywhere."""
    write(store, ISSUED, STARTED_WITH_TWO_SEATS)
    write(store, ISSUED, stream=OTHER_LICENSE)
    write(store, ADA_ACTIVATED, GRACE_ACTIVATED, after=2)
    whole = store.read_ledger(after=0, limit=10)
    assert [(one.position, one.stream, one.version) for one in whole] == [
        (1, LICENSE, 1),
        (2, LICENSE, 2),
        (3, OTHER_LICENSE, 1),
        (4, LICENSE, 3),
        (5, LICENSE, 4),
    ]
    assert store.read_ledger(after=2, limit=2) == whole[2:4]
    assert store.read_stream(LICENSE, after=1, up_to=3) == [whole[1], whole[3]]
    assert store.version_of(LICENSE) == 4
    store.begin()
    assert {one.position for one in store.events_of({LICENSE: 2, OTHER_LICENSE: 1})} == {4, 5}
    store.rollback()


def test_what_others_appended_is_told_by_streams_and_by_the_bytes_at_both_ends(store: Store) -> None:
    """Which states are stale, and whether the history is still the one that was known."""
    first = write(store, ISSUED, STARTED_WITH_TWO_SEATS)
    write(store, ISSUED, stream=OTHER_LICENSE)
    head = write(store, ADA_ACTIVATED, GRACE_ACTIVATED, after=2)
    store.begin()
    since_first = store.appended_since(first.position, head.position)
    assert since_first.streams == {LICENSE, OTHER_LICENSE}
    started = new_event(head, STARTED_WITH_TWO_SEATS, version=2, position=2)
    grace = new_event(head, GRACE_ACTIVATED, version=4, position=5)
    assert since_first.stored == {2: started.state, 5: grace.state}
    assert store.appended_since(3, head.position).streams == {LICENSE}
    assert store.appended_since(0, head.position).stored.keys() == {5}
    store.rollback()


def test_what_is_not_committed_is_not_seen_and_can_be_undone(store: Store) -> None:
    """A reader sees nothing before the commit, and nobody anything after a rollback."""
    head = store.begin()
    new = new_event(head, ISSUED, version=1, position=1)
    store.write(Rows(events=[new]), Head(ledger_id=head.ledger_id, position=1, recorded_at=NOON))
    assert store.head() == head
    assert store.read_ledger(after=0, limit=10) == []
    store.rollback()
    assert store.begin() == head
    store.rollback()
    store.rollback()


def test_a_version_can_be_taken_once(store: Store) -> None:
    """Two events at one place of a stream are an error of the writer, and neither is lost or overwritten."""
    write(store, ISSUED)
    with pytest.raises(RowsAreRefusedError):
        write(store, STARTED_WITH_TWO_SEATS, after=0)
    store.rollback()
    assert [one.event for one in store.read_stream(LICENSE)] == [ISSUED]


def test_a_key_of_a_license_belongs_to_one_license(store: Store) -> None:
    """The database itself refuses a second owner."""
    head = store.begin()
    store.write(Rows(license_keys={("agreement", "agmt-1"): LICENSE}), head)
    with pytest.raises(RowsAreRefusedError):
        store.write(Rows(license_keys={("agreement", "agmt-1"): OTHER_LICENSE}), head)
    store.rollback()


def test_a_key_moves_only_where_that_is_said(store: Store) -> None:
    """As that of a twin to the license that it was folded into."""
    head = store.begin()
    store.write(Rows(license_keys={("agreement", "agmt-1"): LICENSE, ("agreement", "agmt-2"): LICENSE}), head)
    store.write(Rows(moved_keys={("agreement", "agmt-1"): OTHER_LICENSE}), head)
    keys = [("agreement", "agmt-1"), ("agreement", "agmt-2")]
    assert store.licenses_of(keys) == dict(zip(keys, (OTHER_LICENSE, LICENSE), strict=True))
    store.rollback()


@pytest.mark.parametrize("count", [1, 2, 127, 128, 129, 1_000])
def test_rows_of_any_number_are_written_and_looked_up(store: Store, count: int) -> None:
    """A batch may hold one row or a thousand; what is not there is not found."""
    numbers = range(count)
    rows = Rows(
        directory={(LICENSE, b"%16d" % number): DirectoryEntry(f"seat-{number}", number) for number in numbers},
        license_keys={("agreement", f"agmt-{number}"): f"license-{number}" for number in numbers},
        holdings={(Holding(f"customer-{number}", "softphone"), f"license-{number}") for number in numbers},
        answers={
            b"%32d" % number: RememberedAnswer(request_hash=b"asked", answer=b"%d" % number, answered_at=NOON)
            for number in numbers
        },
        new_users={(f"key-{number}", 7): number + 1 for number in numbers},
    )
    head = store.begin()
    store.write(rows, head)
    store.commit()
    store.begin()
    assert store.directory([*rows.directory, (LICENSE, b"nobody"), (OTHER_LICENSE, b"%16d" % 0)]) == rows.directory
    assert store.licenses_of([*rows.license_keys, ("agreement", "none")]) == rows.license_keys
    assert store.remembered([*rows.answers, b"never asked"]) == rows.answers
    assert store.new_users([*rows.new_users, ("key-0", 8)]) == rows.new_users
    held = {holding: (license_id,) for holding, license_id in rows.holdings}
    assert store.licenses_held([*held, Holding("customer-0", "recorder")], limit=9) == held
    assert store.directory([]) == {}
    assert store.licenses_held([], limit=9) == {}
    store.rollback()


def test_what_a_customer_holds_is_told_by_license_id_up_to_a_limit(store: Store) -> None:
    """A row that is written again is there once."""
    ada, grace = Holding("ada", "softphone"), Holding("grace", "softphone")
    head = store.begin()
    for license_ids in ("ca", "ab", "d"):
        store.write(Rows(holdings={(ada, license_id) for license_id in license_ids} | {(grace, "e")}), head)
    assert store.licenses_held([ada, grace], limit=9) == {ada: ("a", "b", "c", "d"), grace: ("e",)}
    assert store.licenses_held([ada, grace], limit=2) == {ada: ("a", "b"), grace: ("e",)}
    store.rollback()


def test_of_each_stream_the_latest_snapshot_of_the_format_is_told(store: Store) -> None:
    """A stream without one is left out."""
    placed = [(LICENSE, 1, SNAPSHOT_FORMAT), (LICENSE, 2, SNAPSHOT_FORMAT), (LICENSE, 3, 0), (OTHER_LICENSE, 1, 0)]
    store.begin()
    for stream, version, format_ in placed:
        values = {"stream": stream, "version": version, "position": 7, "format": format_, "state": b"%d" % version}
        store.rows.execute(sqlalchemy.insert(SNAPSHOTS).values(values))
    latest = Snapshot(stream=LICENSE, version=2, position=7, state=b"2")
    assert store.snapshots_of([OTHER_LICENSE, LICENSE, "nobody's"]) == [latest]
    assert store.snapshots_of([]) == []
    store.commit()
    assert store.snapshot_before(LICENSE) == latest


def test_a_row_written_again_stands_in_the_place_of_the_first(store: Store) -> None:
    """A later name of a user, a later answer, a higher count."""
    head = store.begin()
    store.write(Rows(directory={(LICENSE, b"ada"): DirectoryEntry("seat", 3)}, new_users={("key", 1): 1}), head)
    store.write(Rows(directory={(LICENSE, b"ada"): DirectoryEntry("seat", 9)}, new_users={("key", 1): 2}), head)
    assert store.directory([(LICENSE, b"ada")]) == {(LICENSE, b"ada"): DirectoryEntry("seat", 9)}
    assert store.new_users([("key", 1)]) == {("key", 1): 2}
    store.rollback()


def test_what_is_old_is_forgotten_with_the_next_batch(store: Store) -> None:
    """Answers that are no longer remembered, but for one that is given anew; the counts of a key's hours before."""
    old = RememberedAnswer(request_hash=b"asked", answer=b"old", answered_at=NOON)
    new = RememberedAnswer(request_hash=b"asked", answer=b"new", answered_at=NOON + REMEMBERED_FOR + TICK)
    head = store.begin()
    before = Rows(answers={b"one": old, b"two": old}, new_users={("key", 7): 5, ("other", 7): 5})
    store.write(before, Head(ledger_id=head.ledger_id, position=0, recorded_at=NOON))
    after = Rows(answers={b"two": new, b"three": new}, new_users={("key", 8): 1})
    store.write(after, Head(ledger_id=head.ledger_id, position=0, recorded_at=new.answered_at))
    assert store.remembered([b"one", b"two", b"three"]) == {b"two": new, b"three": new}
    counted = store.new_users([("key", 7), ("key", 8), ("other", 7)])
    assert counted == {("key", 8): 1, ("other", 7): 5}
    store.rollback()


def test_the_head_is_locked_by_one_writer_at_a_time(database: Path) -> None:
    """A second writer waits for the first, then sees what it wrote."""
    one, other = store_on(database), store_on(database)
    head = one.begin()
    began: list[Head] = []
    waiting = threading.Thread(target=lambda: began.append(other.begin()))
    waiting.start()
    new = new_event(head, ISSUED, version=1, position=1)
    one.write(Rows(events=[new]), Head(ledger_id=head.ledger_id, position=1, recorded_at=NOON))
    assert not began
    one.commit()
    waiting.join(timeout=10)
    assert [head.position for head in began] == [1]
    other.rollback()
    one.close()
    other.close()


def test_a_savepoint_undoes_the_rows_of_one_decision_alone(store: Store) -> None:
    """What was written before it stays, also after several of them."""
    head = store.begin()
    store.write(Rows(new_users={("key", 1): 1}), head)
    for _ in range(3):
        store.savepoint()
        store.write(Rows(new_users={("key", 1): 2}), head)
        store.undo_savepoint()
    assert store.new_users([("key", 1)]) == {("key", 1): 1}
    store.rollback()


def test_a_new_connection_goes_on(store: Store) -> None:
    """What was open on the old connection is undone; the new one works, rows included."""
    store.begin()
    store.reconnect()
    write(store, ISSUED)
    store.begin()
    assert store.rows.exec_driver_sql("SELECT position FROM head").scalar_one() == 1
    store.rollback()


def test_an_event_moved_to_another_license_is_noticed(store: Store) -> None:
    """The envelope says where it belongs, and the columns must agree."""
    head = store.begin()
    moved = new_event(head, ISSUED, stream=OTHER_LICENSE, version=1, position=1, told=LICENSE)
    store.write(Rows(events=[moved]), Head(ledger_id=head.ledger_id, position=1, recorded_at=NOON))
    store.commit()
    with pytest.raises(StoredEventDisagreesError, match="position 1"):
        store.read_stream(OTHER_LICENSE)
    with pytest.raises(StoredEventDisagreesError, match="edited or damaged"):
        store.read_ledger(after=0, limit=10)


@pytest.mark.parametrize(
    ("column", "value"),
    [("originator_version", 7), ("position", 7), ("topic", "license.subscription-resumed"), ("state", b"{}")],
)
def test_an_edited_row_is_noticed(store: Store, database: Path, column: str, value: object) -> None:
    """Whoever edits the place, the type or the bytes of an event is found out by the next reader."""
    write(store, ISSUED)
    name = position_column(database) if column == "position" else column
    execute(database, f"UPDATE stored_events SET {name} = :value", value=value)  # noqa: S608 -- own names
    with pytest.raises(StoredEventDisagreesError):
        store.read_ledger(after=0, limit=10)
    with pytest.raises(StoredEventDisagreesError):
        store.read_stream(LICENSE)


def test_an_event_of_an_unknown_type_stops_every_reader(store: Store) -> None:
    """A newer program wrote it: one clear line, and nothing is skipped."""
    head = store.begin()
    known = new_event(head, ISSUED, version=1, position=1)
    newer = known._replace(type="license.lent", state=known.state.replace(b"license.license-issued", b"license.lent"))
    store.write(Rows(events=[newer]), Head(ledger_id=head.ledger_id, position=1, recorded_at=NOON))
    store.commit()
    with pytest.raises(EventTypeIsUnknownError, match=r"^[^\n]*'license.lent'[^\n]*$"):
        store.read_ledger(after=0, limit=10)
    with pytest.raises(EventTypeIsUnknownError):
        store.read_stream(LICENSE)


def test_an_engine_tells_of_what_another_process_appended_or_says_that_it_does_not(database: Path) -> None:
    """Who is not told has to poll; who is told hears of each commit."""
    one, other = store_on(database), store_on(database)
    told = threading.Event()
    if other.on_append(told.set):
        until(told.is_set)  # something may have been appended before
        told.clear()
        write(one, ISSUED)
        until(told.is_set)
        assert other.head().position == 1
    else:
        write(one, ISSUED)
        assert not told.is_set()
    one.close()
    other.close()
