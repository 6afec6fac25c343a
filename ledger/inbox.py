"""The inbox as people ask for it: what AWS Marketplace told the ledger, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeAlias

from ledger.errors import LedgerError
from ledger.license.events import Actor, LicenseId

# A sentence with times in it, which each reader writes in its own way.
Sentence: TypeAlias = tuple[str | datetime, ...]

LONG: Final = timedelta(days=1)
"""How long a message may be parked or wait before somebody is to look at it."""


class MessageStatus(StrEnum):
    """What became of a message, first what somebody may have to do something about."""

    FAILED = "failed"
    PARKED = "parked"
    WAITING = "waiting"
    DONE = "done"
    REPEATED = "repeated"
    IGNORED = "ignored"
    DISMISSED = "dismissed"


DISMISSIBLE: Final = frozenset({MessageStatus.FAILED, MessageStatus.PARKED})
"""What an operator may put aside; the others ask for nothing, or are worked on."""

RETRIED: Final = DISMISSIBLE | {MessageStatus.IGNORED, MessageStatus.DISMISSED}
"""What may begin anew; the others wait to be worked on already, or are done."""


class Failure(StrEnum):
    """Why a message failed, as far as it makes a difference to what is to be done about it."""

    NOT_TRUSTED = "not-trusted"
    """It does not come from where it may come from."""
    UNKNOWN_TYPE = "unknown-type"
    """It is of a type that this version of the program does not know."""
    NOT_UNDERSTOOD = "not-understood"
    """It has not the form of AWS Marketplace's messages."""
    ABOUT_QUEUE = "about-queue"
    """It is about how messages come to the queue, not about a license."""
    OTHER = "other"
    """It was understood, but contradicts what is known, or the program failed over it."""


class DismissalReason(StrEnum):
    """Why nobody need look at a message any more."""

    NOT_FROM_AWS = "not-from-aws"
    TEST = "test"
    SETTLED_OTHERWISE = "settled-otherwise"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class ComingSeats:
    """Fewer seats, which AWS shows already for the time after the present contract.

    Attributes:
        seats_max: how many.
        since: from when they count alone.
    """

    seats_max: int
    since: datetime


class MessageIsNotFoundError(LedgerError):
    """The inbox has no message of this number."""

    CODE: ClassVar[str] = "NOT_FOUND"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("The inbox has no such message. Settled messages are removed after LEDGER_INBOX_RETENTION.")


class NothingToRetryError(LedgerError):
    """The message waits to be worked on already, or is done."""

    CODE: ClassVar[str] = "NOTHING_TO_RETRY"

    def __init__(self, *, status: MessageStatus) -> None:
        """Say how it stands."""
        super().__init__(
            f"The message is {status.value}: only one that failed, is parked, was ignored or dismissed can begin anew.",
            message_status=status.value,
        )


class NothingToDismissError(LedgerError):
    """The message asks nobody to look at it, or is worked on."""

    CODE: ClassVar[str] = "NOTHING_TO_DISMISS"

    def __init__(self, *, status: MessageStatus) -> None:
        """Say how it stands."""
        super().__init__(
            f"The message is {status.value}: only one that failed or is parked can be dismissed.",
            message_status=status.value,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Dismissal:
    """What an operator said when putting a message aside.

    Attributes:
        reason: why nobody need look at it any more.
        note: the same in words, at most 500 code points; null if nothing was written.
        actor: who said it.
        dismissed_at: when.
    """

    reason: DismissalReason
    note: str | None
    actor: Actor
    dismissed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxMessage:
    """A message, and what became of it.

    Attributes:
        number: its place in the inbox, in the order of receipt, with gaps.
        message_id: AWS's id, or its transport's; events that follow from it carry it as their cause.
        request_id: AWS's id of what it tells of; null where it says none.
        kind: what it is about; null if it is about no license, or can't be understood.
        says: what it says, for people.
        is_claim: whether nobody vouches for what it says: it is not known, or not so, that it comes from AWS.
        status: what became of it.
        failure: why it failed; null if it did not.
        reason: why, in words; null if there is nothing to say.
        license_id: the license that it is about; null if none is known.
        agreement_id: the agreement that it names.
        received_at: when it was stored.
        sent_at: when AWS sent it; null where it does not say that.
        due_at: when it is looked at again by itself; null if nothing is planned.
        parked_at: since when it is parked.
        attempts: how often the program itself failed over it.
        repeats: how often the very same message came again.
        positions: those of the first and the last event of what it led to; null if it led to none.
        dismissal: by whom and why it was put aside, if it was and nothing became of it since.
        needs_look: whether somebody is to look at it: it failed, or is parked or waits for more than a day.
    """

    number: int
    message_id: str
    request_id: str | None
    kind: str | None
    says: Sentence
    is_claim: bool
    status: MessageStatus
    failure: Failure | None
    reason: str | None
    license_id: LicenseId | None
    agreement_id: str | None
    received_at: datetime
    sent_at: datetime | None
    due_at: datetime | None
    parked_at: datetime | None
    attempts: int
    repeats: int
    positions: tuple[int, int] | None
    dismissal: Dismissal | None
    needs_look: bool

    @property
    def can_be_retried(self) -> bool:
        """Whether it may begin anew."""
        return self.status in RETRIED

    @property
    def can_be_dismissed(self) -> bool:
        """Whether it may be put aside."""
        return self.status in DISMISSIBLE


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageReading:
    """What AWS answered when a license was read.

    Attributes:
        number: of the reading.
        read_at: when.
        outcome: `observed`, or `no-observation` if the answer does not tell how many seats there are.
        reason: why it does not, in words.
        rows: those of GetEntitlements, as far as they were answered.
        agreements: as the calls about agreements answered; null if they were not asked.
    """

    number: int
    read_at: datetime
    outcome: str
    reason: str | None
    rows: Sequence[Mapping[str, Any]]
    agreements: Sequence[Mapping[str, Any]] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageInFull:
    """A message with all that is kept of it.

    Attributes:
        message: what became of it.
        body: as it came.
        reading: the one that it was done with; null if there was none, or it is not kept any more.
    """

    message: InboxMessage
    body: str
    reading: MessageReading | None


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxQuery:
    """Which messages to list; what is null restricts nothing.

    Attributes:
        status: what became of them.
        license_id: about this license.
        kind: about this, such as `license-updated`.
        since: received at or after this time, aware.
        until: received before this time, aware.
        q: the beginning of their id or of AWS's id of what they tell of; or an agreement, a LicenseArn, a license, an
            AWS account or a legacy customer that they are about.
        needs_look: only those that somebody is to look at.
    """

    status: MessageStatus | None = None
    license_id: LicenseId | None = None
    kind: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None
    needs_look: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxCounts:
    """How many messages there are.

    Attributes:
        by_status: of each status.
        parked_long: parked for more than a day.
        waiting_long: waiting for more than a day.
    """

    by_status: Mapping[MessageStatus, int]
    parked_long: int
    waiting_long: int

    @property
    def failed(self) -> int:
        """How many failed."""
        return self.by_status[MessageStatus.FAILED]

    @property
    def need_look(self) -> int:
        """How many somebody is to look at."""
        return self.failed + self.parked_long + self.waiting_long


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What AWS told about a license beside its seats, such as that it ends soon or is on trial.

    Attributes:
        number: of the message; null for what AWS tells only when it is asked.
        kind: what of, such as `Purchase Agreement Ending`.
        says: for people.
        told_at: when AWS sent it, else when it was received.
    """

    number: int | None
    kind: str
    says: Sentence
    told_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Notices:
    """What AWS told about a license beside its seats, the newest first.

    Attributes:
        latest: the newest of each kind.
        earlier: those of the same kinds that are older.
    """

    latest: Sequence[Notice]
    earlier: Sequence[Notice]
