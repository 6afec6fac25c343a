"""Registration: what AWS told about a customer who came from AWS Marketplace, and the company's own words."""

from dataclasses import dataclass
from datetime import datetime

from ledger.errors import LedgerError
from ledger.license import decisions
from ledger.license.events import CompanyRegistered, Contact, LicenseId
from ledger.replay import Past
from ledger.transaction import Caller, Transaction, Work
from ledger.twins import in_its_place
from ledger.writer import Writer


class RegistrationTokenIsExpiredError(LedgerError):
    """The registration token is too old."""

    CODE = "REGISTRATION_TOKEN_EXPIRED"

    def __init__(self) -> None:
        """Say how to get a new one."""
        super().__init__(
            "This link from AWS Marketplace has expired. In AWS Marketplace open Manage subscriptions and choose"
            " Set up your account."
        )


class RegistrationTokenIsInvalidError(LedgerError):
    """The registration token is none, or was used up."""

    CODE = "REGISTRATION_TOKEN_INVALID"

    def __init__(self) -> None:
        """Say how to get a new one."""
        super().__init__(
            "AWS Marketplace does not know this link, or it was used already. In AWS Marketplace open Manage"
            " subscriptions and choose Set up your account."
        )


class ProductIsNotOursError(LedgerError):
    """The token is for a product that this ledger does not serve."""

    CODE = "PRODUCT_NOT_OURS"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("This purchase is of another product. Ask the vendor whom to turn to.")


class MarketplaceIsUnavailableError(LedgerError):
    """AWS Marketplace does not answer now."""

    CODE = "MARKETPLACE_UNAVAILABLE"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("AWS Marketplace does not answer now. Try again in a minute.")


class PurchaseIsUnclearError(LedgerError):
    """What AWS Marketplace says of a purchase contradicts what it said before, so that a person has to look."""

    CODE = "PURCHASE_UNCLEAR"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__(
            "What AWS Marketplace tells about this purchase does not fit what it told before. The vendor has to look at"
            " it: tell them your AWS account."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """What AWS told about the customer behind a registration token; the license exists by now.

    Attributes:
        license_id: the license.
        customer_id: the buyer's AWS account, else the legacy customer identifier.
        product_code: as AWS names the product in its calls.
        seats_max: the bought number; null if AWS has not told it yet.
        renews_at: until when; null if AWS has not told it yet.
    """

    license_id: LicenseId
    customer_id: str | None
    product_code: str
    seats_max: int | None
    renews_at: datetime | None


class Companies:
    """Who is behind a license, in the company's own words."""

    def __init__(self, writer: Writer, past: Past) -> None:
        """Write through a writer."""
        self._writer = writer
        self._past = past

    def register(self, license_id: LicenseId, *, company_name: str, contact: Contact, caller: Caller) -> int:
        """Record the registration form, or its correction; returns the position up to which it is true.

        Raises:
            LicenseIsNotFoundError: there is none of this id.
        """
        return in_its_place(
            license_id,
            lambda it: self._register(it, company_name=company_name, contact=contact, caller=caller),
        )

    def contact(self, license_id: LicenseId) -> Contact | None:
        """The contact as last registered; null if the form was never sent."""
        version = self._past.license_now(license_id).company_version
        event = self._past.event(license_id, version) if version else None
        return event.contact.plain if isinstance(event, CompanyRegistered) else None

    def _register(self, license_id: LicenseId, *, company_name: str, contact: Contact, caller: Caller) -> int:
        def decide(transaction: Transaction) -> int:
            license_ = transaction.license(license_id)
            before = transaction.event(license_id, license_.company_version) if license_.company_version else None
            events = decisions.register_company(
                license_,
                company_name=company_name,
                contact=contact,
                contact_before=before.contact.plain if isinstance(before, CompanyRegistered) else None,
            )
            transaction.append(license_id, events)
            return transaction.position

        return self._writer.submit(Work(decide=decide, caller=caller, licenses=(license_id,)))
