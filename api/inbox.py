"""What the HTTP door needs of the inbox; the consumers, who fill it, carry it out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from ledger.inbox import (
    ComingSeats,
    DismissalReason,
    InboxCounts,
    InboxMessage,
    InboxQuery,
    MessageInFull,
    Notices,
)
from ledger.license.events import ActorRole, LicenseId
from ledger.transaction import Caller
from projections.history import AppendPart, HistoryEntry, Span
from projections.page import Page
from projections.views import Views

_VIEW_WAIT_SECONDS: Final = 1.0


class InboxDoor(Protocol):
    """Shows what AWS Marketplace told, and lets a message begin anew."""

    def list(self, query: InboxQuery, *, after: int | None, limit: int) -> Page[InboxMessage]:
        """Messages, the newest first.

        Args:
            query: which.
            after: the number of the last message of the page before; null begins.
            limit: how many at most, from 1.
        """

    def get(self, number: int) -> MessageInFull:
        """One message with all that is kept of it.

        Raises:
            MessageIsNotFoundError: there is none of this number.
        """

    def counts(self, license_id: LicenseId | None = None) -> InboxCounts:
        """How many messages there are, and how many of them somebody is to look at.

        Args:
            license_id: only those about this license; null is all.
        """

    def notices(self, license_id: LicenseId) -> Notices:
        """What AWS told about a license beside its seats, such as that it ends soon."""

    def coming(self, license_id: LicenseId) -> ComingSeats | None:
        """That AWS shows fewer seats of a license already for the time after the present contract; else null."""

    def retry(self, number: int, *, caller: Caller) -> InboxMessage:
        """Let a message begin anew, as if it had come just now; returns it as it stands then.

        Raises:
            MessageIsNotFoundError: there is none of this number.
            NothingToRetryError: it waits to be worked on already, or is done.
            LedgerError: the database can't be written.
        """

    def dismiss(self, number: int, *, reason: DismissalReason, note: str | None, caller: Caller) -> InboxMessage:
        """Let nobody need look at a message any more, which stays as it is; returns it as it stands then.

        One that was dismissed already stays so, with who did it first. It may begin anew, or go on by itself.

        Args:
            number: of the message.
            reason: why.
            note: the same in words, at most 500 code points.
            caller: who says it.

        Raises:
            MessageIsNotFoundError: there is none of this number.
            NothingToDismissError: it asks nobody to look at it, or is worked on.
            LedgerError: the database can't be written.
        """


def led_to(views: Views, message: InboxMessage, *, limit: int) -> Sequence[HistoryEntry]:
    """The events that a message led to, the first first.

    Args:
        views: where they are read.
        message: as the inbox shows it.
        limit: how many at most.
    """
    if message.license_id is None or message.positions is None:
        return ()
    first, last = message.positions
    views.wait_for(last, timeout_seconds=_VIEW_WAIT_SECONDS)
    # Between two decisions that it led to, others may have been made. What it issued may be a twin by now.
    return views.history.between(message.license_id, first=first, last=last, actor=ActorRole.MARKETPLACE, limit=limit)


def decisions_of_each(views: Views, messages: Iterable[InboxMessage]) -> Mapping[int, Sequence[Sequence[AppendPart]]]:
    """The decisions that messages led to, by their numbers, as far as the views have them.

    Args:
        views: where they are read.
        messages: some dozens, as the inbox shows them.
    """
    spans = {
        message.number: Span(license_id=message.license_id, first=message.positions[0], last=message.positions[1])
        for message in messages
        if message.license_id is not None and message.positions is not None
    }
    if not spans:
        return {}
    found = views.history.appends_within({*spans.values()}, actor=ActorRole.MARKETPLACE)
    return {number: found[span] for number, span in spans.items()}
