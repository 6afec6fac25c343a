"""What the interface needs to let an operator decide what follows behind a license; the consumers carry it out."""

from typing import Protocol

from ledger.license.events import LicenseId, SuccessionReason
from ledger.succession import SuccessionPlan
from ledger.transaction import Caller


class Succession(Protocol):
    """Lets an operator decide which agreement follows where AWS does not link them."""

    def preview(self, license_id: LicenseId, *, key: str, caller: Caller) -> SuccessionPlan:
        """What it would do; nothing is done.

        Raises:
            KeyIsMalformedError, LicenseIsNotFoundError, TwinIsInUseError: see there.
        """

    def succeed(self, license_id: LicenseId, *, key: str, reason: SuccessionReason, caller: Caller) -> SuccessionPlan:
        """Do it; the license keeps its seats, and AWS is read soon.

        Raises:
            KeyIsMalformedError, LicenseIsNotFoundError, TwinIsInUseError: as for `preview`.
        """
