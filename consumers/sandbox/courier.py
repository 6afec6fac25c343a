"""How messages come to the seller's queue: at once, or as mischief will have it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from consumers.sandbox.mischief import Mischief, Spelling
from consumers.sandbox.notifications import Fate, Message

WAITING_MAX = 10_000
"""If more messages wait, the one that waits longest goes."""
_LICENSE_ARN = re.compile(r"arn:aws:license-manager::(\d+):license:l-([0-9a-f]+)")
OVERTAKEN_LONGEST = timedelta(minutes=1)
"""A message that waits for the next one waits no longer than this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A message on its way."""

    message: Message
    due: datetime
    for_next: bool
    """Whether it may go once another message went."""


class Courier:
    """Brings messages to the queue. Used under the lock of its Marketplace."""

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

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What is on its way."""
        return tuple(self._waiting)

    def send(self, message: Message, *, at: datetime) -> Message:
        """Bring a message on its way; it comes back with its fate."""
        verdict = self._mischief.judge(at=at)
        message = self._respell(message, verdict.spelling)
        if not verdict.delays:
            return replace(message, delivered=False, fate=Fate.DROPPED)
        later = [
            Waiting(message=message, due=at + (delay or OVERTAKEN_LONGEST), for_next=not delay)
            for delay in verdict.delays
            if delay or verdict.is_overtaken
        ]
        at_once = len(verdict.delays) - len(later)
        overtaken = [one for one in self._waiting if one.for_next] if at_once else []
        taken = [self.deliver(message).delivered for _ in range(at_once)]
        self._deliver_those(overtaken)
        self._waiting += later
        self._deliver_those(self._waiting[:-WAITING_MAX])
        if not all(taken):
            return replace(message, delivered=False, fate=Fate.NOT_TAKEN)
        return replace(message, fate=_name_fate(later, copies=len(verdict.delays)))

    def _respell(self, message: Message, spelling: Spelling) -> Message:
        body = _LICENSE_ARN.sub(spelling, message.body)
        if body == message.body:
            return message
        self._mischief.note("respelled")
        return replace(message, body=body)

    def deliver(self, message: Message) -> Message:
        """Hand a message to the queue now."""
        delivered = self._deliver(message)
        return replace(message, delivered=delivered, fate=Fate.SENT if delivered else Fate.NOT_TAKEN)

    def deliver_due(self, *, at: datetime) -> int:
        """Deliver what has waited long enough, and say how many messages that were."""
        return self._deliver_those([one for one in self._waiting if one.due <= at])

    def flush(self) -> int:
        """Deliver all that waits, and say how many messages that were."""
        return self._deliver_those(self.waiting)

    def _deliver_those(self, those: Sequence[Waiting]) -> int:
        for one in sorted(those, key=lambda one: (one.due, one.message.number)):
            self.deliver(one.message)
        gone = {id(one) for one in those}
        self._waiting = [one for one in self._waiting if id(one) not in gone]
        return len(those)


def _name_fate(later: Sequence[Waiting], *, copies: int) -> Fate:
    if copies > 1:
        return Fate.DUPLICATED
    if not later:
        return Fate.SENT
    return Fate.REORDERED if later[0].for_next else Fate.DELAYED
