"""A reading that was begun: the license and its messages as they stood then."""

from collections.abc import Sequence
from dataclasses import dataclass

from consumers.marketplace.agreement import Agreement
from consumers.marketplace.waiting import WaitingMessage
from ledger.license.state import License


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A reading that was begun, and the license and its messages as they stood then.

    Attributes:
        number: fences the reading.
        license: as it stood.
        messages: those that the reading comes after; later ones need another.
        parked: those that wait until a reading shows what follows.
        agreements: those behind the license, the earliest first.
        license_arn_heard: the ARN as AWS spelled it, if not in the ledger's form.
        saw_several: whether a legacy customer had several ARNs at first sight.
        cause: what the events of the decision follow from.
    """

    number: int
    license: License
    messages: tuple[WaitingMessage, ...]
    parked: tuple[WaitingMessage, ...]
    agreements: tuple[Agreement, ...]
    license_arn_heard: str | None
    saw_several: bool
    cause: str | None


def numbers(messages: Sequence[WaitingMessage]) -> list[int]:
    """By which the inbox knows these messages."""
    return [message.number for message in messages]
