"""The contracts that buyers make in the sandbox Marketplace, and what can become of one.

Pure: the clock and the ids are inputs, and every change gives a new contract. The words are AWS's: an agreement is the
contract, a license (`LicenseArn`) is what it gives the buyer, a dimension is what is counted.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

SEATS_MAX = 2**31 - 1
"""AWS's `EntitlementValue.IntegerValue` is a signed integer of 32 bits."""

_ACCOUNT_ID = re.compile(r"[0-9]{12}", re.ASCII)
_LICENSE_OWNER = "294406891311"
_BASE_36 = "0123456789abcdefghijklmnopqrstuvwxyz"


class Generation(StrEnum):
    """The two ways in which AWS Marketplace tells a seller about its contracts."""

    CONCURRENT = "concurrent"
    """Concurrent Agreements: EventBridge, a license ARN, many contracts for one buyer and product."""
    LEGACY = "legacy"
    """Listings from before June 2026: SNS, a customer identifier, one contract for one buyer and product."""


class AgreementStatus(StrEnum):
    """Those of AWS's agreement statuses that a contract of the sandbox can reach."""

    ACTIVE = "ACTIVE"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class MarketplaceRefusedError(Exception):
    """AWS Marketplace would not do this; the message says why, in a sentence for people."""


class ContractNotFoundError(MarketplaceRefusedError):
    """No contract has this agreement id."""

    def __init__(self, agreement_id: str) -> None:
        super().__init__(f"No contract has the agreement id {agreement_id}.")


class ContractHasEndedError(MarketplaceRefusedError):
    """An ended contract stays as it is: buying again makes a new one."""

    def __init__(self, contract: "Contract") -> None:
        super().__init__(f"This contract has ended ({contract.status}). Buy again to get a new one.")


class AnotherContractIsActiveError(MarketplaceRefusedError):
    """A legacy listing allows one active contract for each buyer."""

    def __init__(self, account_id: str) -> None:
        super().__init__(
            f"Account {account_id} has an active legacy contract. A legacy listing allows one for each buyer: "
            "set its seats, or cancel it first."
        )


class TooManyContractsError(MarketplaceRefusedError):
    """The sandbox keeps its contracts in memory and has a limit."""

    def __init__(self, contracts_max: int) -> None:
        super().__init__(f"The sandbox holds {contracts_max} contracts and takes no more. Start it again to empty it.")


class SeatsOutOfRangeError(MarketplaceRefusedError):
    """The number of seats is not one that AWS could send."""

    def __init__(self, seats_min: int) -> None:
        super().__init__(f"The number of seats must be between {seats_min} and {SEATS_MAX}.")


class AccountIdMalformedError(MarketplaceRefusedError):
    """An AWS account id is twelve digits."""

    def __init__(self) -> None:
        super().__init__("An AWS account id has exactly 12 digits.")


class EndNotLaterError(MarketplaceRefusedError):
    """A contract is bought, or renewed, to a later moment than now, or than its present end."""

    def __init__(self, than: datetime) -> None:
        super().__init__(f"The new end must be later than {than.astimezone(UTC):%-d %B %Y, %H:%M:%S} UTC.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """A listing of the seller: what is sold, and the dimension by which its seats are counted."""

    code: str
    """What every API call needs."""
    id: str
    """What the console and the Agreement API show: `prod-…`."""
    title: str
    dimension: str
    """API name of the users dimension; AWS allows 15 characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """One agreement of a buyer with the seller, with the license and the seats that it gives. Times are aware UTC."""

    agreement_id: str
    offer_id: str
    license_arn: str
    account_id: str
    """The buyer's AWS account: 12 digits."""
    customer_identifier: str | None
    """AWS's opaque name of a legacy buyer; none where agreements are concurrent."""
    seats: int
    accepted_at: datetime
    ends_at: datetime
    status: AgreementStatus
    auto_renews: bool

    @property
    def generation(self) -> Generation:
        """How AWS tells the seller about this contract."""
        return Generation.CONCURRENT if self.customer_identifier is None else Generation.LEGACY

    def is_live(self, *, at: datetime) -> bool:
        """Whether GetEntitlements shows its seats at this moment."""
        return self.status is AgreementStatus.ACTIVE and at < self.ends_at


@dataclass(frozen=True, kw_only=True, slots=True)
class ContractIds:
    """The names that AWS gives to a new contract."""

    agreement_id: str
    offer_id: str
    license_arn: str

    @classmethod
    def made_from(cls, agreement: UUID, offer: UUID, license_: UUID) -> "ContractIds":
        """Name a contract in the form of AWS's real ids.

        The ARN has no region and an owner that is AWS itself, as in captured events, not as AWS's documentation has it.
        """
        return cls(
            agreement_id=f"agmt-{_base_36(agreement, digits=25)}",
            offer_id=f"offer-{_base_36(offer, digits=13)}",
            license_arn=f"arn:aws:license-manager::{_LICENSE_OWNER}:license:l-{license_.hex}",
        )


def name_legacy_buyer(source: UUID) -> str:
    """Name a legacy buyer: opaque, the same for all that this buyer has of this seller."""
    return _base_36(source, digits=11).upper()


def sign(
    *,
    ids: ContractIds,
    account_id: str,
    customer_identifier: str | None,
    seats: int,
    until: datetime,
    auto_renews: bool,
    at: datetime,
) -> Contract:
    """Make a contract that runs from now on.

    Raises:
        AccountIdMalformedError: the account id is not twelve digits.
        SeatsOutOfRangeError: fewer than one seat, or more than AWS can count.
        EndNotLaterError: it would end before it begins.
    """
    if not _ACCOUNT_ID.fullmatch(account_id):
        raise AccountIdMalformedError
    _require_seats(seats, seats_min=1)
    if until <= at:
        raise EndNotLaterError(at)
    return Contract(
        agreement_id=ids.agreement_id,
        offer_id=ids.offer_id,
        license_arn=ids.license_arn,
        account_id=account_id,
        customer_identifier=customer_identifier,
        seats=seats,
        accepted_at=at,
        ends_at=until,
        status=AgreementStatus.ACTIVE,
        auto_renews=auto_renews,
    )


def set_seats(contract: Contract, *, seats: int) -> Contract:
    """Raise or lower the bought number. AWS lets a buyer lower it at a renewal or by a private offer; here at any time.

    Raises:
        ContractHasEndedError: the contract is over.
        SeatsOutOfRangeError: a negative number, or more than AWS can count.
    """
    _require_active(contract)
    _require_seats(seats, seats_min=0)
    return replace(contract, seats=seats)


def renew(contract: Contract, *, until: datetime) -> Contract:
    """Let the same agreement go on to a later date.

    Raises:
        ContractHasEndedError: the contract is over.
        EndNotLaterError: the new end is not later than the present one.
    """
    _require_active(contract)
    if until <= contract.ends_at:
        raise EndNotLaterError(contract.ends_at)
    return replace(contract, ends_at=until)


def end(contract: Contract, *, status: AgreementStatus, at: datetime) -> Contract:
    """End the agreement now, or on its own date if that is past.

    Raises:
        ContractHasEndedError: it ended before.
    """
    _require_active(contract)
    return replace(contract, status=status, ends_at=min(contract.ends_at, at))


def _require_active(contract: Contract) -> None:
    if contract.status is not AgreementStatus.ACTIVE:
        raise ContractHasEndedError(contract)


def _require_seats(seats: int, *, seats_min: int) -> None:
    if not seats_min <= seats <= SEATS_MAX:
        raise SeatsOutOfRangeError(seats_min)


def _base_36(source: UUID, *, digits: int) -> str:
    number = source.int
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 36)
        text += _BASE_36[digit]
    return text
