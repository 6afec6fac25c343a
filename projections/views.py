"""The views put together: they follow the ledger, answer what is asked of them, and can be made again."""

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

import structlog
from sqlalchemy import Connection

from ledger.envelope import EventTypeIsUnknownError, RecordedEvent, StoredEventDisagreesError
from ledger.ledger import Ledger
from ledger.store import StoreCannotOpenError, StoreError
from ledger.store.url import DatabaseUrl
from projections import generations
from projections.batch import Changes, make_indexes
from projections.database import ViewsDatabase, reason_of
from projections.generations import Generation
from projections.history import HistoryView
from projections.license_information import LicenseInformationView
from projections.seats import SeatsView
from projections.tables import Tables, tables_of

# Many, since a seat's place in an index is random: the more events, the fewer pages are written twice.
EVENTS_PER_BATCH: Final = 20_000
# While empty tables are filled, seats are held in memory (some 200 MB of them) instead of being looked for.
ROWS_HELD_MAX: Final = 250_000
# From so many on it is faster to build the indexes of empty views afterwards.
EVENTS_TO_BUILD_AT_FIRST: Final = 20_000
NAMES: Final = ("license-information", "seats", "history")

# An event is seen after half of it, at the median.
_LOOK_AGAIN_SECONDS: Final = 0.04
# A slow poll behind being told of an append, or behind looking at the head.
_IDLE_LOOK_AGAIN_SECONDS: Final = 1.0
_NOT_ELECTED_SECONDS: Final = 0.5
_READERS_LEAVE_SECONDS: Final = 10.0
_PAUSES_SECONDS: Final = (0.1, 1.0, 5.0)
_ANOTHER_HISTORY: Final = (
    "The ledger does not have the event at position {} that the views have: an older copy was put in its place."
)

_LOGGER: Final = structlog.get_logger(__name__)

Progress = Callable[[int, int], None]
Write = Callable[[Connection, Tables, Sequence[RecordedEvent]], None]


class ViewsWereTakenOverError(Exception):
    """Another process made the views of another ledger, or of another version, in the same file."""


class LedgerHasAnotherHistoryError(Exception):
    """The ledger does not have the last event in the views any more: an older copy was put in its place."""


class RebuildWasOvertakenError(Exception):
    """Another rebuild began while this one was under way, and dropped what it had made."""

    def __init__(self) -> None:
        """Say what goes on."""
        super().__init__("Another rebuild of the views began meanwhile; this one stops and leaves it to the other.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewsSettings:
    """What the views need to know.

    Attributes:
        url: where they are kept.
        readers_max: how many threads may read at once.
    """

    url: DatabaseUrl
    readers_max: int = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewStatus:
    """How far a view is behind the ledger.

    Attributes:
        name: of the view.
        position: of the last event in it.
        head: of the last event of the ledger.
        lag_events: how many events are missing.
        lag_seconds: how long the oldest of them has been recorded.
        stopped: why it does not go on, in one line; null if it does.
    """

    name: str
    position: int
    head: int
    lag_events: int
    lag_seconds: float
    stopped: str | None = None


@contextmanager
def _pausing_collection() -> Iterator[None]:
    """Let Python not look for garbage meanwhile: a batch has many objects and no cycles, and looking costs a fifth."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


class Views:
    """All views of a ledger. They move together, so that everything read at once is true at one position.

    Attributes:
        licenses: License Information.
        seats: the seats and their users.
        history: every event.
    """

    def __init__(self, database: ViewsDatabase, ledger: Ledger, *, job: str) -> None:
        """Put them together over a database with a live generation of this ledger.

        Args:
            database: where they are kept.
            ledger: whose events they show.
            job: by which the process that follows for this database is elected.
        """
        self._database: Final = database
        self._ledger: Final = ledger
        self.licenses: Final = LicenseInformationView(database, ledger)
        self.seats: Final = SeatsView(database, ledger)
        self.history: Final = HistoryView(database)
        self._moved: Final = threading.Condition()
        self._look: Final = threading.Event()
        self._campaign: Final = ledger.campaign(job)
        self._halted: Final = threading.Event()
        self._is_told = False
        self._reached = 0
        self._stopped: str | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def open(cls, settings: ViewsSettings, ledger: Ledger) -> Self:
        """Open the views' file, making it where it is missing.

        Views of another ledger, ahead of this one's head, or of another version begin again at the first event, with
        one log line.

        Raises:
            StoreCannotOpenError: in one line, why not.
        """
        database = ViewsDatabase(settings.url, readers_max=settings.readers_max)
        try:
            _prepare(database, ledger)
        except StoreError as error:
            database.close()
            msg = f"The views' database {settings.url.shown} can't be opened: {reason_of(error.__cause__ or error)}."
            raise StoreCannotOpenError(msg) from error
        return cls(database, ledger, job=f"views-{sha256(settings.url.text.encode()).hexdigest()[:8]}")

    # -- following the ledger ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Follow the ledger on a thread of its own, until `stop`; of several processes one does so."""
        self._halted.clear()
        self._stopped = None
        self._is_told = self._ledger.on_append(self.nudge)
        self._thread = threading.Thread(target=self._follow, name="views", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following, and close the database."""
        self._halted.set()
        self._look.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._database.close()

    def nudge(self) -> None:
        """Something was appended: look now."""
        self._look.set()

    def run_once(self, *, progress: Progress | None = None) -> int:
        """Apply what there is; returns how many events that were.

        Args:
            progress: told the position reached and the head, after each batch.

        Raises:
            EventTypeIsUnknownError: this program is older than the ledger; everything before that event was applied.
            StoredEventDisagreesError: the record was edited or damaged; everything before was applied.
            ViewsWereTakenOverError: the database has other views by now.
            LedgerHasAnotherHistoryError: an older copy of the ledger was put in its place since they were opened.
            StoreError: the ledger can't be read, or the views can't be written.
        """
        total = self._build_at_first(progress)
        while applied := self._apply_next():
            total += applied
            if progress is not None:
                progress(self.position(), self._ledger.head().position)
        return total

    def _follow(self) -> None:
        try:
            self._follow_until_halted()
        finally:
            # Another process may be able to go on where this one is not.
            with contextlib.suppress(StoreError):
                self._campaign.resign()

    def _follow_until_halted(self) -> None:
        failures: list[Exception] = []
        while not self._halted.is_set():
            self._look.clear()
            try:
                pause = self._follow_on()
            except (EventTypeIsUnknownError, StoredEventDisagreesError, ViewsWereTakenOverError) as error:
                self._stopped = str(error)
                _LOGGER.critical("the views stop", reason=str(error))
                return
            except Exception as error:  # noqa: BLE001 -- whatever it is, the views go on when it is over
                self._note_failure(error, before=failures)
                failures.append(error)
                self._halted.wait(_PAUSES_SECONDS[min(len(failures), len(_PAUSES_SECONDS)) - 1])
                continue
            if failures:
                _LOGGER.info("the views go on")
            failures, self._stopped = [], None
            self._rest(pause)

    def _follow_on(self) -> float:
        """Apply what there is, if this process is the one that does so; returns how long to rest then, in seconds."""
        if not self._campaign.holds():
            return _NOT_ELECTED_SECONDS
        try:
            applied = self._build_at_first(None) or self._apply_next()
        except LedgerHasAnotherHistoryError as error:
            _LOGGER.error("the views are made again", reason=str(error))  # noqa: TRY400 -- one line says it
            self._begin_again()
            return 0
        if applied >= EVENTS_PER_BATCH:
            return 0
        # Where many come, it is looked again soon.
        return _LOOK_AGAIN_SECONDS if applied else _IDLE_LOOK_AGAIN_SECONDS

    def _rest(self, seconds: float) -> None:
        """Under load a pause gathers many events into one batch, which costs little more than one of a single event."""
        is_idle = seconds == _IDLE_LOOK_AGAIN_SECONDS
        if is_idle and not self._is_told:
            self._await_append(seconds)
        elif self._is_told and not is_idle:
            # Being told of each append must not cut it short.
            self._halted.wait(seconds)
        elif seconds:
            self._look.wait(seconds)

    def _await_append(self, seconds: float) -> None:
        """Where nobody tells of an append, look at the head alone, which costs a fraction of looking at the views."""
        until = time.monotonic() + seconds
        while not self._look.wait(_LOOK_AGAIN_SECONDS) and time.monotonic() < until:
            try:
                if self._ledger.head().position != self._reached:
                    return
            except StoreError:
                # Whoever looks at all of it next meets the same, and says so.
                return

    def _note_failure(self, error: Exception, *, before: Sequence[Exception]) -> None:
        """Say each kind of failure once, until the views go on."""
        is_known = isinstance(error, StoreError)
        self._stopped = str(error) if is_known else f"The program failed: {type(error).__name__}."
        if any(type(one) is type(error) for one in before):
            return
        if is_known:
            _LOGGER.warning("the views wait for their database", reason=str(error))
        else:
            _LOGGER.error("the views failed", error=type(error).__name__, exc_info=error)

    def _begin_again(self) -> None:
        """Show nothing that the ledger does not have."""
        with self._database.rearranging() as connection:
            replaced = generations.live(connection)
            if replaced is None or _why_not(replaced, self._ledger) is None:
                return  # Another process was faster.
            generations.make_live(connection, _begin(connection, self._ledger, is_live=True))
        self._drop(replaced)

    def _drop(self, replaced: Generation | None) -> None:
        """Drop tables that answered before, unless a reader stays in the middle of them: then a later rebuild does."""
        if replaced is not None and self._database.outlives_readers(timeout_seconds=_READERS_LEAVE_SECONDS):
            with self._database.rearranging() as connection:
                generations.drop(connection, replaced)

    def _build_at_first(self, progress: Progress | None) -> int:
        """Begin as a rebuild does where much is to be read from the first event; returns how many events that were.

        Not where a rebuild is under way already, or was killed: two that begin by turns would never end.
        """
        if self._live().position > 0 or self._ledger.head().position < EVENTS_TO_BUILD_AT_FIRST:
            return 0
        with self._database.writing() as connection:
            if generations.is_rebuilding(connection):
                return 0
        try:
            self.rebuild(progress=progress)
        except RebuildWasOvertakenError:
            return 0
        return self._live().position

    def _apply_next(self) -> int:
        """Apply one batch; returns how many events it had, 0 if there is nothing new."""
        while True:
            start = self._live()
            reached = self._take_in(start, _apply_batch)
            if reached == start:
                self._reached = start.position
                return 0
            # Null where another process, or a rebuild, was faster: look again from there.
            if reached is not None:
                with self._moved:
                    self._moved.notify_all()
                return reached.position - start.position

    def _live(self) -> Generation:
        generation = self._database.live()
        if generation is None or not _is_ours(generation, self._ledger):
            raise ViewsWereTakenOverError(
                f"The database {self._database.shown} has views of another ledger or of another version of this program"
                " by now. Let each ledger have one of its own (LEDGER_VIEWS_URL), and one version run at a time."
            )
        return generation

    @_pausing_collection()
    def _take_in(self, start: Generation, write: Write) -> Generation | None:
        """Write the next batch and its position in one transaction.

        Returns:
            how far the generation is then, the same if there is nothing new; null if it is not where it was thought.
        """
        batch = self._next_batch(start)
        if not batch:
            return start
        with self._database.writing() as connection:
            if generations.lock(connection, start.number) != start:
                return None
            write(connection, tables_of(start.number), batch)
            return generations.advance(connection, start, last=batch[-1])

    def _next_batch(self, start: Generation) -> Sequence[RecordedEvent]:
        """What follows in the ledger.

        Raises:
            LedgerHasAnotherHistoryError: the last event in the views is not in the ledger any more.
        """
        if not start.position:
            return self._feed(after=0, limit=EVENTS_PER_BATCH)
        last, *batch = self._feed(after=start.position - 1, limit=EVENTS_PER_BATCH + 1) or (None,)
        if last is None or last.command_id != start.command_id:
            raise LedgerHasAnotherHistoryError(_ANOTHER_HISTORY.format(start.position))
        return batch

    def _feed(self, *, after: int, limit: int) -> Sequence[RecordedEvent]:
        """The next batch; a smaller one before an event that can't be read, so that all before it is applied."""
        # One more than is to be applied, where the batch begins with the last event that was.
        least = 1 if after == 0 else 2
        while True:
            try:
                return self._ledger.feed(after=after, limit=limit)
            except (EventTypeIsUnknownError, StoredEventDisagreesError):
                if limit <= least:
                    raise
                limit = max(least, limit // 2)

    # -- how far it is -------------------------------------------------------------------------------------------------

    def position(self) -> int:
        """The position of the last event in the views.

        Raises:
            StoreError: the views can't be read.
        """
        with self._database.reading() as reading:
            return reading.position

    def wait_for(self, position: int, *, timeout_seconds: float) -> bool:
        """Wait until the views have come to a position; false if they have not in time.

        Raises:
            StoreError: the views can't be read.
        """
        deadline = time.monotonic() + timeout_seconds
        self.nudge()
        while self.position() < position:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._moved:
                # Another process may be the one that follows, so not only for our own thread's word.
                self._moved.wait(min(left, _LOOK_AGAIN_SECONDS))
        return True

    def status(self) -> Sequence[ViewStatus]:
        """How far each view is behind the ledger, and what stops it.

        Raises:
            StoreError: the ledger or the views can't be read.
        """
        position, stopped, lag_seconds = self.position(), self._stopped, 0.0
        head = self._ledger.head().position
        if position < head:
            try:
                oldest = self._ledger.feed(after=position, limit=1)[0].recorded_at
                lag_seconds = max(0.0, (self._ledger.now() - oldest).total_seconds())
            except (EventTypeIsUnknownError, StoredEventDisagreesError) as error:
                stopped = str(error)
        return [
            ViewStatus(
                name=name,
                position=position,
                head=head,
                lag_events=max(0, head - position),
                lag_seconds=lag_seconds,
                stopped=stopped,
            )
            for name in NAMES
        ]

    # -- making them again ---------------------------------------------------------------------------------------------

    def rebuild(self, *, progress: Progress | None = None) -> None:
        """Make the views again from the first event, beside the ones that answer until the new ones have caught up.

        Args:
            progress: told the position reached and the head, after each batch.

        Raises:
            RebuildWasOvertakenError: another rebuild began meanwhile.
            EventTypeIsUnknownError, StoredEventDisagreesError, ViewsWereTakenOverError, LedgerHasAnotherHistoryError,
                StoreError: as `run_once`; the old views go on answering.
        """
        made, filling = self._begin_rebuild(), Changes.of_nothing()
        while filling.rows_held < ROWS_HELD_MAX and (further := self._rebuild_on(made, filling.fill, progress)) != made:
            made = further
        self._arrange(made, filling.finish)
        made = self._rebuild_to_the_end(made, progress)
        self._arrange(made, _make_indexes_to_read)
        self._swap(self._rebuild_to_the_end(made, progress))

    def _rebuild_to_the_end(self, made: Generation, progress: Progress | None) -> Generation:
        while (further := self._rebuild_on(made, _apply_batch, progress)) != made:
            made = further
        return made

    def _rebuild_on(self, made: Generation, write: Write, progress: Progress | None) -> Generation:
        """Take in the next batch; as it was if there is nothing new, or the views are stopped."""
        reached = made if self._halted.is_set() else self._take_in(made, write)
        if reached is None:
            raise RebuildWasOvertakenError
        if reached != made and progress is not None:
            progress(reached.position, self._ledger.head().position)
        return reached

    def _arrange(self, made: Generation, change: Callable[[Connection, Tables], None]) -> None:
        """Change the tables as a whole, at the position where they are."""
        if self._halted.is_set():
            return
        with self._database.writing() as connection:
            if generations.lock(connection, made.number) != made:
                raise RebuildWasOvertakenError
            change(connection, tables_of(made.number))

    def _begin_rebuild(self) -> Generation:
        live = self._live()
        with self._database.rearranging() as connection:
            generations.drop_all_but(connection, [live.number])
            made = _begin(connection, self._ledger, is_live=False)
            for index in tables_of(made.number).indexes:
                index.drop(connection)
        return made

    def _swap(self, made: Generation) -> None:
        """Let the new generation answer; never one that is behind what readers were told already."""
        if self._halted.is_set():
            return
        self._drop(self._let_answer(made))

    def _let_answer(self, made: Generation) -> Generation | None:
        """Returns the generation that answered before."""
        with self._database.rearranging() as connection:
            answers = generations.live(connection)
            # The lock keeps the old one from moving on meanwhile.
            live = None if answers is None else generations.lock(connection, answers.number)
            if generations.lock(connection, made.number) != made:
                raise RebuildWasOvertakenError
            while live is not None and made.position < live.position and (batch := self._next_batch(made)):
                _apply_batch(connection, tables_of(made.number), batch)
                made = generations.advance(connection, made, last=batch[-1])
            generations.make_live(connection, made)
        return live


def _apply_batch(connection: Connection, tables: Tables, batch: Sequence[RecordedEvent]) -> None:
    changes = Changes.load(connection, tables, batch)
    changes.apply(batch)
    changes.write(connection, tables)


def _make_indexes_to_read(connection: Connection, tables: Tables) -> None:
    make_indexes(connection, tables, tables.indexes_to_read)


def _prepare(database: ViewsDatabase, ledger: Ledger) -> None:
    """Make the schema, and a live generation of this ledger if there is none."""
    with database.rearranging() as connection:
        generations.make_schema(connection)
        live = generations.live(connection)
        # The head is read after the position: what follows the ledger elsewhere may move both.
        reason = None if live is None else _why_not(live, ledger)
        if live is not None and reason is None:
            return
        generations.drop_all_but(connection, [])
        _begin(connection, ledger, is_live=True)
    if reason is not None:
        _LOGGER.warning("the views are made again", reason=reason)


def _begin(connection: Connection, ledger: Ledger, *, is_live: bool) -> Generation:
    generation = generations.add(connection, ledger_id=ledger.ledger_id, is_live=is_live)
    tables_of(generation.number).metadata.create_all(connection)
    return generation


def _why_not(live: Generation, ledger: Ledger) -> str | None:
    if live.ledger_id != ledger.ledger_id:
        return f"they are of the ledger {live.ledger_id}, this one is {ledger.ledger_id}"
    if live.version != generations.VERSION:
        return f"they are of version {live.version}, this program makes version {generations.VERSION}"
    head = ledger.head().position
    if live.position > head:
        return f"they are at position {live.position}, the ledger ends at {head}"
    return None if _has_last_of(ledger, live) else _ANOTHER_HISTORY.format(live.position)


def _has_last_of(ledger: Ledger, live: Generation) -> bool:
    if not live.position:
        return True
    try:
        found = ledger.feed(after=live.position - 1, limit=1)
    except (EventTypeIsUnknownError, StoredEventDisagreesError):
        return True  # It can't be told; who follows comes to it, and says what is wrong.
    return bool(found) and found[0].command_id == live.command_id


def _is_ours(generation: Generation, ledger: Ledger) -> bool:
    return generation.ledger_id == ledger.ledger_id and generation.version == generations.VERSION
