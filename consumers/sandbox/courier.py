"""How messages come to the seller's queue: at once, or as mischief will have it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from consumers.sandbox.contracts import MarketplaceRefusedError
from consumers.sandbox.mischief import Mischief, Spelling, Verdict
from consumers.sandbox.notifications import Fate, Message

MESSAGES_KEPT = 500
WAITING_MAX = 10_000
"""If more messages wait, the one that waits longest goes."""
_LICENSE_ARN = re.compile(r"arn:aws:license-manager::(\d+):license:l-([0-9a-f]+)")
OVERTAKEN_LONGEST = timedelta(minutes=1)
"""A message that waits for the next one waits no longer than this."""


class MessageNotFoundError(MarketplaceRefusedError):
    """No message has this number, or it was sent too long ago to be remembered."""

    def __init__(self, number: int) -> None:
        super().__init__(f"No message has the number {number} any more.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A message on its way."""

    message: Message
    due: datetime
    """When it goes."""
    for_next: bool
    """Whether it goes behind the next one, if that comes before it is due."""


class Courier:
    """Brings messages to the queue, and remembers what became of the last ones. Used under its Marketplace's lock."""

    def __init__(
        self,
        *,
        deliver: Callable[[Message], bool],
        mischief: Mischief,
        waiting: Sequence[Waiting] = (),
    ) -> None:
        """Bring messages.

        Args:
            deliver: hands a message to the queue and says whether the queue took it.
            mischief: what becomes of messages on their way.
            waiting: what was on its way before.
        """
        self._deliver = deliver
        self._mischief = mischief
        self._waiting = list(waiting)
        self._messages = {one.message.number: replace(one.message, delivered=False) for one in waiting}
        self._last_number = max(self._messages, default=0)

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What is on its way."""
        return tuple(self._waiting)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The last messages as they are now, newest first."""
        return tuple(reversed(self._messages.values()))

    def find(self, number: int) -> Message:
        """Look a message up, as it is now.

        Raises:
            MessageNotFoundError: there is none with this number any more.
        """
        try:
            return self._messages[number]
        except KeyError:
            raise MessageNotFoundError(number) from None

    def send(self, message: Message, *, at: datetime) -> int:
        """Bring a message on its way, and give it its number."""
        verdict = self._mischief.judge(at=at)
        self._last_number += 1
        message = replace(self._respell(message, verdict.spelling), number=self._last_number, fate=_name_fate(verdict))
        self._remember(message)
        dues = [at + delay for delay in verdict.delays]
        if verdict.is_overtaken:
            self._waiting += [Waiting(message=message, due=due + OVERTAKEN_LONGEST, for_next=True) for due in dues]
        elif dues:
            self._waiting += [Waiting(message=message, due=due, for_next=False) for due in dues]
            self._let_follow(min(dues))
        self.deliver_due(at=at)
        self._deliver_those(self._waiting[:-WAITING_MAX])
        return message.number

    def deliver(self, message: Message) -> Message:
        """Hand a message to the queue now."""
        taken = self._deliver(message)
        self._note(message.number, taken=taken)
        return replace(message, delivered=taken, fate=Fate.SENT if taken else Fate.NOT_TAKEN)

    def deliver_due(self, *, at: datetime) -> int:
        """Deliver what has waited long enough, and say how many messages that were."""
        return self._deliver_those([one for one in self._waiting if one.due <= at])

    def flush(self) -> int:
        """Deliver all that waits, and say how many messages that were."""
        return self._deliver_those(self.waiting)

    def _respell(self, message: Message, spelling: Spelling) -> Message:
        body = _LICENSE_ARN.sub(spelling, message.body)
        if body == message.body:
            return message
        self._mischief.note("respelled")
        return replace(message, body=body)

    def _let_follow(self, came: datetime) -> None:
        """Let those go that were overtaken: behind the one that comes then, and after their own delay."""
        overtaken = [one for one in self._waiting if one.for_next]
        self._waiting = [one for one in self._waiting if not one.for_next]
        self._waiting += [
            Waiting(message=one.message, due=max(one.due - OVERTAKEN_LONGEST, came), for_next=False)
            for one in overtaken
        ]

    def _deliver_those(self, those: Sequence[Waiting]) -> int:
        # Of two that are due at once, the one goes first that came to wait first.
        for one in sorted(those, key=lambda one: one.due):
            self.deliver(one.message)
        gone = {id(one) for one in those}
        self._waiting = [one for one in self._waiting if id(one) not in gone]
        return len(those)

    def _remember(self, message: Message) -> None:
        self._messages[message.number] = message
        if len(self._messages) > MESSAGES_KEPT:
            del self._messages[next(iter(self._messages))]

    def _note(self, number: int, *, taken: bool) -> None:
        message = self._messages.get(number)
        # Of two copies, one that came is enough.
        if message is None or message.delivered:
            return
        if not taken:
            self._messages[number] = replace(message, fate=Fate.NOT_TAKEN)
            return
        fate = Fate.SENT if message.fate is Fate.NOT_TAKEN else message.fate
        self._messages[number] = replace(message, delivered=True, fate=fate)


def _name_fate(verdict: Verdict) -> Fate:
    if not verdict.delays:
        return Fate.DROPPED
    if len(verdict.delays) > 1:
        return Fate.DUPLICATED
    if verdict.is_overtaken:
        return Fate.REORDERED
    return Fate.DELAYED if any(verdict.delays) else Fate.SENT
