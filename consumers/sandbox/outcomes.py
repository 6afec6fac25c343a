"""What came of something that was done to a contract, or that fell due."""

from dataclasses import dataclass

from consumers.sandbox.agenda import Due
from consumers.sandbox.contracts import Contract
from consumers.sandbox.notifications import Message


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What an operation made of a contract, and the messages that went out about it."""

    contract: Contract
    messages: tuple[Message, ...]
    predecessor: Contract | None = None
    """The agreement whose place it took, as it is now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """Something that fell due, and what came of it."""

    due: Due
    outcome: Outcome
