"""Mischief by a seed: what a bad day of AWS does to messages and calls, the same with the same seed.

Each message, and each call, has dice of its own, made from the seed and its number. So the tenth message meets the same
fate however many calls come in between, and a sandbox that is started again goes on where it was.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from threading import Condition

HANG_SECONDS = 5.0


class Spelling(StrEnum):
    """The ways in which AWS spells a LicenseArn; what follows `l-` or `lic-` is the same."""

    EVENTS = r"arn:aws:license-manager::\1:license:l-\2"
    DOCUMENTATION = r"aws:license-manager:us-east-1:\1:l-\2"
    SAMPLES = r"arn:aws:license-manager:us-east-1:\1:license/lic-\2"


@dataclass(frozen=True, kw_only=True, slots=True)
class MischiefPlan:
    """How bad the day is. Shares are between 0 (never) and 1 (always); the plan without arguments is a good day."""

    seed: int = 0
    duplicate: float = 0.0
    """Of the messages: sent twice."""
    drop: float = 0.0
    """Of the messages: lost."""
    reorder: float = 0.0
    """Of the messages: overtaken by the next one."""
    respell: float = 0.0
    """Of the messages: a LicenseArn is spelled as AWS's documentation or its samples have it, not as real events do."""
    delay_seconds: tuple[float, float] = (0.0, 0.0)
    """Each message, and each copy of one, waits so long at least and at most, by the clock of the sandbox."""
    throttle: float = 0.0
    """Of the calls: ThrottlingException."""
    fail: float = 0.0
    """Of the calls: a 500."""
    hang: float = 0.0
    """Of the calls: nothing comes for `hang_seconds`."""
    hang_seconds: float = HANG_SECONDS
    empty_pages: float = 0.0
    """Of the pages of GetEntitlements: an empty one stands before."""
    missing_row: float = 0.0
    """Of the pages of GetEntitlements: one row is missing."""
    as_buyer: float = 0.0
    """Of the questions of GetEntitlements: answered as to a buyer's credentials, 200 and empty."""
    expired_tokens: float = 0.0
    """Of the calls of ResolveCustomer: ExpiredTokenException."""
    since: datetime | None = None
    """Before this moment by the clock of the sandbox nothing is done; null is at once."""
    until: datetime | None = None
    """From this moment on nothing more is done; null is without an end."""

    def is_in_force(self, *, at: datetime) -> bool:
        """Whether anything is done at this moment."""
        begun = self.since is None or at >= self.since
        return self.is_any and begun and (self.until is None or at < self.until)

    @property
    def is_any(self) -> bool:
        """Whether anything is planned at all."""
        messages = (self.duplicate, self.drop, self.reorder, self.respell, *self.delay_seconds)
        calls = (self.throttle, self.fail, self.hang, self.expired_tokens)
        pages = (self.empty_pages, self.missing_row, self.as_buyer)
        return any((*messages, *calls, *pages))


@dataclass(frozen=True, kw_only=True, slots=True)
class MischiefState:
    """The plan, how far it has come, and what was done."""

    plan: MischiefPlan
    messages: int = 0
    """How many messages had their dice thrown."""
    calls: int = 0
    """How many calls had."""
    done: Mapping[str, int] = field(default_factory=dict)
    """How often each thing was done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What becomes of a message."""

    spelling: Spelling = Spelling.EVENTS
    delays: tuple[timedelta, ...] = (timedelta(),)
    """One for each copy of it; none if it is lost."""
    is_overtaken: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """What a call meets."""

    throttled: bool = False
    failed: bool = False
    empty_page: bool = False
    missing_row: float | None = None
    """Which row is missing, as a share of the page; null if none is."""
    as_buyer: bool = False
    expired_token: bool = False


class Mischief:
    """The plan in force. Safe to use from many threads."""

    def __init__(self, state: MischiefState | None, *, keep: Callable[[MischiefState], None]) -> None:
        """Go on from a state; `keep` is given each later one."""
        self._state = state or MischiefState(plan=MischiefPlan())
        self._keep = keep
        self._changed = Condition()
        self._times_let_go = 0

    @property
    def state(self) -> MischiefState:
        """The plan, and what was done by it."""
        return self._state

    def set(self, plan: MischiefPlan) -> None:
        """Begin another plan, with its first dice. Calls that hang go on at once."""
        with self._changed:
            self._become(MischiefState(plan=plan))
        self.let_go()

    def let_go(self) -> None:
        """Let calls that hang go on."""
        with self._changed:
            self._times_let_go += 1
            self._changed.notify_all()

    def judge(self, *, at: datetime) -> Verdict:
        """Throw the dice for the next message."""
        with self._changed:
            state = self._state
            plan = state.plan
            if not plan.is_in_force(at=at):
                return Verdict()
            dice = Random(f"{plan.seed}/message/{state.messages}")  # noqa: S311 -- a game, not a secret
            lost, twice, overtaken = (dice.random() < share for share in (plan.drop, plan.duplicate, plan.reorder))
            delays = tuple(timedelta(seconds=dice.uniform(*plan.delay_seconds)) for _ in range(2))
            copies = 0 if lost else 1 + twice
            respelled = dice.random() < plan.respell
            verdict = Verdict(
                spelling=dice.choice([Spelling.DOCUMENTATION, Spelling.SAMPLES]) if respelled else Spelling.EVENTS,
                delays=delays[:copies],
                is_overtaken=overtaken and copies > 0,
            )
            done = {
                "dropped": lost,
                "duplicated": copies > 1,
                "reordered": verdict.is_overtaken,
                "delayed": any(verdict.delays),
            }
            self._note(done, messages=state.messages + 1)
            return verdict

    def meet(self, operation: str, *, at: datetime) -> Trouble:
        """Throw the dice for the next call, and let it hang if they say so."""
        with self._changed:
            state = self._state
            plan = state.plan
            if not plan.is_in_force(at=at):
                return Trouble()
            dice = Random(f"{plan.seed}/call/{state.calls}")  # noqa: S311 -- a game, not a secret
            shares = (plan.hang, plan.throttle, plan.fail, plan.empty_pages, plan.missing_row, plan.as_buyer)
            hangs, throttled, failed, empty, missing, as_buyer = (dice.random() < share for share in shares)
            reads = operation == "GetEntitlements"
            trouble = Trouble(
                throttled=throttled,
                failed=failed and not throttled,
                empty_page=empty and reads,
                missing_row=dice.random() if missing and reads else None,
                as_buyer=as_buyer and reads,
                expired_token=dice.random() < plan.expired_tokens and operation == "ResolveCustomer",
            )
            done = {
                "hung": hangs,
                "throttled": trouble.throttled,
                "failed": trouble.failed,
            }
            self._note(done, calls=state.calls + 1)
            if hangs:
                times = self._times_let_go
                self._changed.wait_for(lambda: self._times_let_go != times, timeout=plan.hang_seconds)
            return trouble

    def note(self, what: str) -> None:
        """Count something that was done to a call."""
        with self._changed:
            self._note({what: True})

    def _note(self, done: Mapping[str, bool], *, messages: int | None = None, calls: int | None = None) -> None:
        state = self._state
        counts = Counter(state.done)
        counts.update(what for what, was_done in done.items() if was_done)
        self._become(
            MischiefState(
                plan=state.plan,
                messages=state.messages if messages is None else messages,
                calls=state.calls if calls is None else calls,
                done=dict(counts),
            )
        )

    def _become(self, state: MischiefState) -> None:
        self._state = state
        self._keep(state)
