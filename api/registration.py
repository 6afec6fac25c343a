"""What the pages need of AWS Marketplace when a customer comes from there; the consumers carry it out."""

from typing import Protocol

from ledger.registration import Resolved


class Registration(Protocol):
    """Finds out who stands behind a registration token."""

    def resolve(self, token: str, *, cause: str) -> Resolved:
        """Ask AWS Marketplace; the license exists afterwards.

        Args:
            token: as AWS Marketplace posted it; it is kept nowhere.
            cause: id of the request.

        Raises:
            RegistrationTokenIsExpiredError, RegistrationTokenIsInvalidError, ProductIsNotOursError: see there.
            PurchaseIsUnclearError: what AWS says contradicts what is known.
            MarketplaceIsUnavailableError: AWS does not answer now.
        """
