"""The sentences of the inbox: how a message stands, what became of it, what to do next."""

from collections.abc import Mapping, Sequence
from typing import Final

from api.pages import words
from api.pages.words import counted
from ledger.inbox import DismissalReason, Failure, InboxCounts, InboxMessage, MessageStatus
from projections.history import AppendPart

DECISIONS_TOLD_MAX: Final = 3
"""How many decisions that a message led to are told in a list."""

STATUSES: Final[Mapping[MessageStatus, str]] = {
    MessageStatus.FAILED: "Failed",
    MessageStatus.PARKED: "Parked",
    MessageStatus.WAITING: "Waiting",
    MessageStatus.DONE: "Done",
    MessageStatus.REPEATED: "Repeated",
    MessageStatus.IGNORED: "Ignored",
    MessageStatus.DISMISSED: "Dismissed",
}

HEADLINES: Final[Mapping[MessageStatus, str]] = {
    MessageStatus.FAILED: "Failed: it changed nothing",
    MessageStatus.PARKED: "Parked until more is known",
    MessageStatus.WAITING: "Waiting",
    MessageStatus.DONE: "Done",
    MessageStatus.REPEATED: "Repeated: it was told before",
    MessageStatus.IGNORED: "Ignored: it changes no seats",
    MessageStatus.DISMISSED: "Dismissed: nobody need look at it",
}

DISMISSAL_REASONS: Final[Mapping[DismissalReason, str]] = {
    DismissalReason.NOT_FROM_AWS: "It is none of AWS's messages",
    DismissalReason.TEST: "It was a test",
    DismissalReason.SETTLED_OTHERWISE: "What it tells is settled otherwise",
    DismissalReason.OTHER: "Another reason",
}

KINDS: Final[Mapping[str, str]] = {
    "license-updated": "License updated",
    "license-deprovisioned": "License deprovisioned",
    "agreement-created": "Agreement created",
    "agreement-amended": "Agreement amended",
    "agreement-ended": "Agreement ended",
    "notice": "Notice",
    "entitlement-updated": "Entitlements updated",
    "subscribe-success": "Subscribed",
    "subscribe-fail": "Subscription failed",
    "unsubscribe-pending": "Unsubscribing",
    "unsubscribe-success": "Unsubscribed",
}

_NEXT_AFTER_FAILURE: Final[Mapping[Failure, str]] = {
    Failure.NOT_TRUSTED: (
        "Look who else may write to the queue: `licensing-ledger doctor` looks at its policy. Then dismiss the message."
        " If it is AWS's, and the reason names a setting, mend that, then retry."
    ),
    Failure.UNKNOWN_TYPE: (
        "If AWS Marketplace sent it, it is new to this version of the ledger: update the ledger, then retry. Else look"
        " who else writes to the queue, then dismiss it."
    ),
    Failure.NOT_UNDERSTOOD: (
        "It has not the form of AWS's messages: look who else writes to the queue, then dismiss it. If AWS Marketplace"
        " sent it all the same, update the ledger, then retry."
    ),
    Failure.ABOUT_QUEUE: "Do what the reason says, then dismiss it.",
    Failure.OTHER: "Mend what the reason names, then retry.",
}
DISMISSED_FIRST: Final = frozenset({Failure.NOT_TRUSTED, Failure.NOT_UNDERSTOOD, Failure.ABOUT_QUEUE})
"""Where a retry by itself is of no use."""

_NEXT: Final[Mapping[MessageStatus, str]] = {
    MessageStatus.PARKED: (
        "It goes on by itself as soon as that is known. If it is parked for more than a day, look whether a message got"
        " lost: in the queue's dead-letter queue, and by a reconciliation. Retry looks at it once more now. If it waits"
        " in vain, dismiss it."
    ),
    MessageStatus.WAITING: (
        "It goes on by itself. If it waits for more than a day, see whether AWS answers: the reason above and the log"
        " say what was asked."
    ),
    MessageStatus.DONE: "Nothing is to be done.",
    MessageStatus.REPEATED: "Nothing is to be done.",
    MessageStatus.IGNORED: "Nothing is to be done. If the reason no longer holds, retry.",
    MessageStatus.DISMISSED: "Nothing is to be done. Retry lets it begin anew; then it may need a look again.",
}


def kind(message: InboxMessage) -> str:
    """What a message is about, in a few words; one that failed is not called by what it claims."""
    match message.failure:
        case Failure.NOT_TRUSTED:
            return "A message that is not trusted"
        case Failure.UNKNOWN_TYPE | Failure.NOT_UNDERSTOOD:
            return "A message that is not understood"
        case _:
            return KINDS.get(message.kind or "", "Message")


def next_step(message: InboxMessage) -> str:
    """What to do about a message."""
    if message.status is MessageStatus.FAILED:
        return _NEXT_AFTER_FAILURE[message.failure or Failure.OTHER]
    return _NEXT[message.status]


def became(message: InboxMessage) -> str:
    """Why a message stands as it does; empty where it led to something, which is told for itself."""
    if message.reason is not None:
        return message.reason
    nothing_new = message.status is MessageStatus.DONE and message.positions is None
    return "AWS was read, and showed what the ledger knew." if nothing_new else ""


def led_to(decisions: Sequence[Sequence[AppendPart]]) -> words.Sentence:
    """What a message led to, in a few sentences."""
    told = [part for parts in decisions[:DECISIONS_TOLD_MAX] for part in (*words.append_sentence(parts), " ")]
    more = len(decisions) - DECISIONS_TOLD_MAX
    return (*told, f"{words.counted(more, 'more decision')} with it.") if more > 0 else told


def need_look(counts: InboxCounts) -> str:
    """What somebody is to look at, in a sentence."""
    told = [
        counted(number, *words)
        for number, words in (
            (counts.failed, ("message failed", "messages failed")),
            (counts.parked_long, ("is parked for more than a day", "are parked for more than a day")),
            (counts.waiting_long, ("waits for more than a day", "wait for more than a day")),
        )
        if number
    ]
    return ", ".join(told) + "."
