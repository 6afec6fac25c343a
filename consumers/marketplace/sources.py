"""Where messages come from: an SQS queue or a Kafka topic, each with its own way to tell that one was taken."""

from typing import Protocol

from consumers.marketplace.inbox import Inbox


class SourceFailedError(Exception):
    """Messages can't be taken now; the text is one line that says why. It is tried again."""


class Source(Protocol):
    """Hands messages over, each at least once."""

    def take(self, inbox: Inbox, *, wait_seconds: int) -> bool:
        """Store what comes next, and let it go only after that; whether there was any.

        Args:
            inbox: where to.
            wait_seconds: how long to wait for a message at most, if there is none.

        Raises:
            SourceFailedError: nothing can be had.
            LedgerError: the database can't be written; what was not stored comes again.
        """

    def close(self) -> None:
        """Let others have what this one would have taken; never raises."""
