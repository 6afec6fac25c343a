"""The clock of the sandbox: the real one, or a test's, moved forward as far as somebody wanted."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock

from consumers.sandbox.contracts import MarketplaceRefusedError

ADVANCE_MAX = timedelta(days=3_653)
"""Ten years at once."""


class ClockGoesForwardError(MarketplaceRefusedError):
    """Time was to be moved back, or by more than ten years."""

    def __init__(self, now: datetime) -> None:
        super().__init__(
            f"It is {now.astimezone(UTC):%-d %B %Y, %H:%M:%S} UTC. The clock can be moved forward from there, "
            "by ten years at most."
        )


class SandboxClock:
    """A clock that runs as another one does, so much ahead of it. Safe to use from many threads."""

    def __init__(self, base: Callable[[], datetime], *, ahead: timedelta = timedelta()) -> None:
        """Run ahead of a clock that gives aware UTC."""
        self._base = base
        self._ahead = ahead
        self._lock = Lock()

    def __call__(self) -> datetime:
        """Tell the time."""
        return self._base() + self._ahead

    @property
    def ahead(self) -> timedelta:
        """How far it was moved."""
        return self._ahead

    def move_to(self, at: datetime) -> None:
        """Move it to this moment, unless it is later already."""
        with self._lock:
            self._ahead = max(self._ahead, at - self._base())

    def require_ahead(self, to: datetime, *, chosen_at: datetime | None) -> None:
        """Check a moment that the clock is to be moved to.

        Args:
            to: the moment.
            chosen_at: the time at which it was chosen, which went on since; null is now.

        Raises:
            ClockGoesForwardError: it was past then, or more than ten years ahead.
        """
        since = chosen_at or self()
        if not timedelta() <= to - since <= ADVANCE_MAX:
            raise ClockGoesForwardError(since)
