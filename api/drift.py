"""What the HTTP door needs of reconciliations, which tell whether the ledger agrees with AWS; the consumers do them."""

from collections.abc import Sequence
from typing import Protocol

from ledger.drift import DriftProgress, DriftReport, DriftSummary


class Drift(Protocol):
    """The reports of the last reconciliations, and how far the present one is."""

    def numbers(self) -> Sequence[int]:
        """The numbers of the reports that are kept, the latest first."""

    def summaries(self) -> Sequence[DriftSummary]:
        """What stands above the reports that are kept, the latest first."""

    def latest(self) -> DriftSummary | None:
        """What stands above the latest report; null if there is none."""

    def report(self, number: int | None = None) -> DriftReport | None:
        """A report by its number, or the latest; null if it is not kept."""

    def progress(self, number: int | None = None) -> DriftProgress | None:
        """How far a reconciliation is, or the one that is under way; null if it is done, or there is none."""
