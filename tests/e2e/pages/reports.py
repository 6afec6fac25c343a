"""The reports of reconciliations as the pages meet them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ledger.drift import DriftProgress, DriftReport, DriftSummary


@dataclass(kw_only=True)
class Reports:
    """The reports that there are, and the reconciliation that is under way."""

    made: dict[int, DriftReport] = field(default_factory=dict)
    running: DriftProgress | None = None

    def numbers(self) -> Sequence[int]:
        """The latest first."""
        return sorted(self.made, reverse=True)

    def summaries(self) -> Sequence[DriftSummary]:
        """What stands above each of them."""
        return [msgspec.json.decode(msgspec.json.encode(self.made[one]), type=DriftSummary) for one in self.numbers()]

    def latest(self) -> DriftSummary | None:
        """What stands above the latest."""
        return next(iter(self.summaries()), None)

    def report(self, number: int | None = None) -> DriftReport | None:
        """One of them."""
        if number is None:
            return next((self.made[one] for one in self.numbers()), None)
        return self.made.get(number)

    def progress(self, number: int | None = None) -> DriftProgress | None:
        """The one that is under way."""
        return self.running if number is None or self.running is None or number == self.running.number else None
