"""The time of a Marketplace: how its clock stands, and what falls due as it goes on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush

import msgspec

from consumers.sandbox.agenda import Due, due_for
from consumers.sandbox.book import Book
from consumers.sandbox.clock import SandboxClock
from consumers.sandbox.contracts import Contract, Generation
from consumers.sandbox.memory import TimeState
from consumers.sandbox.outcomes import Happening, Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Time:
    """How the clock stands."""

    now: datetime
    ahead: timedelta
    """How far it was moved."""
    auto: bool
    """Whether what falls due happens by itself."""
    renewals_keep_license: bool
    """Whether an agreement that renews by itself gives the license of the one before."""
    next: Due | None
    """What falls due next."""


class Timeline:
    """The clock and the agenda of one Marketplace. Used under its lock, but for the time itself."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        before: TimeState | None,
        book: Book,
        keep: Callable[[TimeState], None],
    ) -> None:
        """Go on from a state; `keep` is given each later one.

        Args:
            clock: gives the time that this one is ahead of.
            before: how it stood.
            book: the contracts.
            keep: is given how it stands after each change.
        """
        self._state = before or TimeState(ahead=timedelta(), notices_until=clock())
        self._clock = SandboxClock(clock, ahead=self._state.ahead)
        self._book = book
        self._keep = keep
        self._next_due = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """Tell the time."""
        return self._clock()

    @property
    def renewals_keep_license(self) -> bool:
        """Whether an agreement that renews by itself gives the license of the one before."""
        return self._state.renewals_keep_license

    @property
    def time(self) -> Time:
        """How the clock stands, and what falls due next."""
        return Time(
            now=self._clock(),
            ahead=self._clock.ahead,
            auto=self._state.auto,
            renewals_keep_license=self._state.renewals_keep_license,
            next=min(self._all_due(), default=None),
        )

    def set_auto(self, *, auto: bool, renewals_keep_license: bool) -> None:
        """Let what falls due happen by itself from now on, or not; notices of the time before are left out."""
        self._become(
            msgspec.structs.replace(
                self._state,
                auto=auto,
                renewals_keep_license=renewals_keep_license,
                notices_until=self._clock(),
            )
        )

    def note(self, contract: Contract) -> None:
        """Note when something falls due for a contract that is new, or other than before."""
        self._next_due = min([self._next_due, *(due.at for due in self._due_for(contract))])

    def advance(
        self,
        to: datetime,
        *,
        chosen_at: datetime | None,
        happen: Callable[[Due], Outcome],
        meanwhile: Callable[[datetime], object],
    ) -> tuple[Happening, ...]:
        """Move the clock to a later moment; what falls due until then happens in its order, each at its time.

        Args:
            to: the moment.
            chosen_at: the time at which it was chosen; null is now.
            happen: lets something happen that fell due.
            meanwhile: is told each moment to which the clock comes.

        Raises:
            ClockGoesForwardError: the moment was past when it was chosen, or more than ten years ahead.
        """
        self._clock.require_ahead(to, chosen_at=chosen_at)
        if not self._state.auto:
            self._give_notices_until(self._clock())
        happened = self._let_happen(to, happen=happen, arrive=lambda due: self._arrive(due.at, meanwhile))
        self._arrive(to, meanwhile)
        self._give_notices_until(to)
        return happened

    def tick(self, *, happen: Callable[[Due], Outcome]) -> None:
        """Let happen what fell due, if that is to happen by itself."""
        now = self._clock()
        if self._state.auto and self._next_due <= now:
            self._let_happen(now, happen=happen, arrive=lambda _due: None)
            self._give_notices_until(now)

    def _let_happen(
        self, until: datetime, *, happen: Callable[[Due], Outcome], arrive: Callable[[Due], None]
    ) -> tuple[Happening, ...]:
        agenda = [due for due in self._all_due() if due.at <= until]
        heapify(agenda)
        happened: dict[Due, Happening] = {}
        while agenda:
            due = heappop(agenda)
            # What came before can have changed what was to come.
            if due in happened or due not in self._due_for(self._book.find(due.agreement_id)):
                continue
            arrive(due)
            outcome = happen(due)
            happened[due] = Happening(due=due, outcome=outcome)
            touched = [one for one in (outcome.predecessor, outcome.contract) if one is not None]
            for new in (new for one in touched for new in self._due_for(one) if new.at <= until):
                heappush(agenda, new)
        self._next_due = min(
            (due.at for due in self._all_due() if due.at > until), default=datetime.max.replace(tzinfo=UTC)
        )
        return tuple(happened.values())

    def _arrive(self, at: datetime, meanwhile: Callable[[datetime], object]) -> None:
        self._clock.move_to(at)
        self._become(self._state)
        meanwhile(self._clock())

    def _give_notices_until(self, at: datetime) -> None:
        self._become(msgspec.structs.replace(self._state, notices_until=at))

    def _become(self, state: TimeState) -> None:
        self._state = msgspec.structs.replace(state, ahead=self._clock.ahead)
        self._keep(self._state)

    def _all_due(self) -> Iterator[Due]:
        return (due for contract in self._book.contracts for due in self._due_for(contract))

    def _due_for(self, contract: Contract) -> Iterator[Due]:
        if not contract.is_active:
            return iter(())
        return due_for(
            contract,
            is_followed=self._is_followed(contract),
            notices_after=self._state.notices_until,
        )

    def _is_followed(self, contract: Contract) -> bool:
        if self._book.successor(contract.agreement_id) is not None:
            return True
        # Also by an agreement that AWS does not link to it, where a buyer has one at a time.
        return contract.generation is Generation.LEGACY and any(
            contract.excludes(other) for other in self._book.having("account_id", contract.account_id)
        )
