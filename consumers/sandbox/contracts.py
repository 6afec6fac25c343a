"""The contracts that buyers make in the sandbox Marketplace, and what can become of one.

Pure: the clock and the ids are inputs, and every change gives a new contract. The words are AWS's: an agreement is the
contract, a license (`LicenseArn`) is what it gives the buyer, a dimension is what is counted.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

SEATS_MAX = 2**31 - 1
"""AWS's `EntitlementValue.IntegerValue` is a signed integer of 32 bits."""

_ACCOUNT_ID = re.compile(r"[0-9]{12}", re.ASCII)
_LICENSE_OWNER = "294406891311"
_BASE_36 = "0123456789abcdefghijklmnopqrstuvwxyz"

Seats = int | Mapping[str, int]
"""A number of the product's first dimension, or numbers by dimension."""


class Generation(StrEnum):
    """The ways in which AWS Marketplace tells a seller about a contract."""

    CONCURRENT = "concurrent"
    """Concurrent Agreements: EventBridge, a license ARN, many contracts for one buyer and product."""
    LEGACY = "legacy"
    """Listings from before June 2026: SNS, a customer identifier, one contract for one buyer and product."""
    OPTED_IN = "opted-in"
    """A legacy listing that opted into Concurrent Agreements: both kinds of names, and both kinds of messages."""


class AgreementStatus(StrEnum):
    """Those of AWS's agreement statuses that a contract of the sandbox can reach."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    RENEWED = "RENEWED"
    REPLACED = "REPLACED"
    TERMINATED = "TERMINATED"


_BROKEN_OFF = frozenset({AgreementStatus.ARCHIVED, AgreementStatus.CANCELLED, AgreementStatus.TERMINATED})
_GOES_ON = frozenset({AgreementStatus.ACTIVE, AgreementStatus.RENEWED, AgreementStatus.REPLACED})


class Intent(StrEnum):
    """Why an agreement was made."""

    NEW = "NEW"
    RENEW = "RENEW"
    REPLACE = "REPLACE"

    @property
    def ends_predecessor_as(self) -> AgreementStatus:
        """The status of the agreement before, once this one has taken its place."""
        return _STATUS_OF_PREDECESSOR[self]


_STATUS_OF_PREDECESSOR: Mapping[Intent, AgreementStatus] = {
    Intent.NEW: AgreementStatus.EXPIRED,
    Intent.RENEW: AgreementStatus.RENEWED,
    Intent.REPLACE: AgreementStatus.REPLACED,
}


class AtEnd(StrEnum):
    """What becomes of an agreement at its end date (AWS's `endTimeBehavior`)."""

    RENEW = "RENEW"
    """A new agreement is created from the accepted terms."""
    REPLACE = "REPLACE"
    """A new agreement is created from another offer: a private offer ends, and the public one takes its place."""
    EXPIRE = "EXPIRE"


class Party(StrEnum):
    """Who opted out of a renewal."""

    ACCEPTOR = "ACCEPTOR"
    PROPOSER = "PROPOSER"


class NoRenewal(StrEnum):
    """Why an agreement can't renew, though nobody opted out (AWS's `reasonCode`)."""

    NO_RENEWAL_TERM = "NO_RENEWAL_TERM"
    """Its offer has no renewal."""
    RENEWAL_LIMIT_EXHAUSTED = "RENEWAL_LIMIT_EXHAUSTED"
    """It was renewed as often as its offer allows."""


class PredecessorEnds(StrEnum):
    """When the agreement before ends, once another one takes its place."""

    NOW = "now"
    ON_ITS_DATE = "on-its-date"


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


class ContractHasStartedError(MarketplaceRefusedError):
    """Only a contract that is signed for a later day can be started."""

    def __init__(self, contract: "Contract") -> None:
        super().__init__(f"This contract runs since {_moment(contract.starts_at)}.")


class ContractIsNotLegacyError(MarketplaceRefusedError):
    """Only a contract of a legacy listing can be opted into Concurrent Agreements."""

    def __init__(self, contract: "Contract") -> None:
        super().__init__(f"This contract is {contract.generation}: only a legacy one can be opted in.")


class AnotherContractIsActiveError(MarketplaceRefusedError):
    """A legacy listing allows one active contract for each buyer."""

    def __init__(self, account_id: str) -> None:
        super().__init__(
            f"Account {account_id} has an active legacy contract. A legacy listing allows one for each buyer: "
            "set its seats, or cancel it first."
        )


class ContractsOverlapError(MarketplaceRefusedError):
    """A legacy listing allows one contract of each buyer at a time."""

    def __init__(self, other: "Contract") -> None:
        super().__init__(
            f"Account {other.account_id} has another legacy contract, from {_moment(other.starts_at)} "
            f"until {_moment(other.ends_at)}. A legacy listing allows one at a time: "
            "let one end before the other starts."
        )


class TooManyContractsError(MarketplaceRefusedError):
    """The sandbox has its contracts in memory, and so a limit."""

    def __init__(self, contracts_max: int) -> None:
        super().__init__(
            f"The sandbox holds {contracts_max} contracts and takes no more. "
            "To begin anew, stop it and remove its file."
        )


class ProductNotFoundError(MarketplaceRefusedError):
    """The sandbox sells no product with this code."""

    def __init__(self, product_code: str) -> None:
        super().__init__(f"The sandbox sells no product with the code {product_code}.")


class DimensionNotFoundError(MarketplaceRefusedError):
    """The product has no dimension of this name."""

    def __init__(self, product: "Product", dimension: str) -> None:
        super().__init__(
            f"The product {product.code} has no dimension {dimension}; it has {', '.join(product.dimensions)}."
        )


class SeatsOutOfRangeError(MarketplaceRefusedError):
    """The number of seats is not one that AWS could send."""

    def __init__(self, seats_min: int) -> None:
        super().__init__(f"The number of seats must be between {seats_min} and {SEATS_MAX}.")


class AccountIdMalformedError(MarketplaceRefusedError):
    """An AWS account id is twelve digits."""

    def __init__(self) -> None:
        super().__init__("An AWS account id has exactly 12 digits.")


class EndNotLaterError(MarketplaceRefusedError):
    """A contract is bought, or renewed, to a later moment than now, than its start, or than its present end."""

    def __init__(self, than: datetime) -> None:
        super().__init__(f"The new end must be later than {_moment(than)}.")


class StartIsPastError(MarketplaceRefusedError):
    """A contract starts when it is signed, or later."""

    def __init__(self, now: datetime) -> None:
        super().__init__(f"The start must not be before {_moment(now)}.")


class TrialEndOutsideError(MarketplaceRefusedError):
    """A free trial is a part of its contract."""

    def __init__(self, starts_at: datetime, until: datetime) -> None:
        super().__init__(f"A free trial must end after {_moment(starts_at)}, and not after {_moment(until)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """A listing of the seller: what is sold, and the dimensions by which its seats are counted."""

    code: str
    """What every API call needs."""
    id: str
    """What the console and the Agreement API show: `prod-…`."""
    title: str
    dimensions: tuple[str, ...]
    """API names, at least one."""

    @property
    def dimension(self) -> str:
        """The dimension of a number of seats that names none."""
        return self.dimensions[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Buyer:
    """Who buys, and how AWS tells the seller about it."""

    account_id: str
    """The buyer's AWS account: 12 digits."""
    customer_identifier: str | None
    """AWS's opaque name of a buyer of a legacy listing; none where agreements are concurrent."""
    generation: Generation


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What is particular about an offer. The one without arguments is the first product's public offer."""

    product_code: str | None = None
    """Null is the first product of the sandbox."""
    starts_at: datetime | None = None
    """Null is at once; a later moment makes a future-dated agreement."""
    trial_ends_at: datetime | None = None
    """When its free trial ends; null is an offer without one."""
    via_partner: bool = False
    """Whether a channel partner proposes it, and the seller is the manufacturer alone."""
    at_end: AtEnd | None = None
    """What becomes of it at its end; null goes by whether it renews by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessorTerms:
    """How another agreement takes the place of one. Times are aware UTC."""

    until: datetime
    intent: Intent = Intent.RENEW
    seats: Seats | None = None
    """Null is as many as before."""
    starts_at: datetime | None = None
    """Null is at once."""
    keeps_license: bool = False
    """Whether the new agreement gives the license of the old one, or one with an ARN of its own."""
    is_linked: bool = True
    """Whether AWS knows that one follows the other. A renewal by a private offer of its own can lack it: then the new
    agreement has the intent NEW, and the old one expires."""
    predecessor_ends: PredecessorEnds | None = None
    """Null is at once where the new one starts at once, and on its date otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """One agreement of a buyer with the seller, with the license and the seats that it gives. Times are aware UTC."""

    agreement_id: str
    initial_agreement_id: str
    """Of the first agreement of its chain of renewals and replacements."""
    previous_agreement_id: str | None
    offer_id: str
    license_arn: str
    product_code: str
    account_id: str
    """The buyer's AWS account: 12 digits."""
    customer_identifier: str | None
    """AWS's opaque name of a buyer of a legacy listing; none where agreements are concurrent."""
    generation: Generation
    via_partner: bool
    """Whether a channel partner sold it: the seller is the manufacturer and may not read the agreement."""
    intent: Intent
    quantities: Mapping[str, int]
    """Seats by dimension."""
    accepted_at: datetime
    starts_at: datetime
    ends_at: datetime
    last_update_at: datetime
    trial_ends_at: datetime | None
    status: AgreementStatus
    at_end: AtEnd
    opted_out_by: Party | None
    """Who does not want it to renew."""
    has_started: bool
    """Whether it was told that there is a license: a future-dated agreement waits for its day."""
    no_renewal: NoRenewal | None = None
    """Why it can't renew, though nobody opted out."""

    @property
    def seats(self) -> int:
        """The seats of all dimensions together."""
        return sum(self.quantities.values())

    @property
    def auto_renews(self) -> bool:
        """Whether it goes on by itself at its end."""
        return self.at_end is AtEnd.RENEW

    @property
    def is_active(self) -> bool:
        """Whether it has not ended; it may not have started either."""
        return self.status is AgreementStatus.ACTIVE

    @property
    def gives_license(self) -> bool:
        """Whether there is a license from its start on: one that ended before gives none."""
        return self.has_started or self.starts_at < self.ends_at

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended, or another one has taken its place."""
        return self.status in _GOES_ON

    @property
    def can_be_followed(self) -> bool:
        """Whether another agreement can take its place: not if it was broken off."""
        return self.status not in _BROKEN_OFF

    @property
    def is_told_by_events(self) -> bool:
        """Whether EventBridge tells of it."""
        return self.generation is not Generation.LEGACY

    @property
    def is_told_by_notifications(self) -> bool:
        """Whether the two SNS topics tell of it."""
        return self.generation is not Generation.CONCURRENT

    def excludes(self, other: "Contract") -> bool:
        """Whether only one of two can run at a time: both are of one buyer of a legacy listing."""
        return (
            self.agreement_id != other.agreement_id
            and self.generation is other.generation is Generation.LEGACY
            and (self.account_id, self.product_code) == (other.account_id, other.product_code)
            and self.is_active
            and other.is_active
        )

    def is_live(self, *, at: datetime) -> bool:
        """Whether GetEntitlements shows its seats at this moment."""
        return self.is_active and self.starts_at <= at < self.ends_at

    def is_scheduled(self, *, at: datetime) -> bool:
        """Whether it is signed, and starts later."""
        return self.is_active and at < self.starts_at


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
    *, ids: ContractIds, buyer: Buyer, product: Product, seats: Seats, until: datetime, offer: Offer, at: datetime
) -> Contract:
    """Make a contract that runs from now on, or from its start.

    Raises:
        AccountIdMalformedError: the account id is not twelve digits.
        DimensionNotFoundError: the product has no such dimension.
        SeatsOutOfRangeError: fewer than one seat in all, or more than AWS can count.
        StartIsPastError: it would start before it is signed.
        EndNotLaterError: it would end before it begins.
        TrialEndOutsideError: its free trial would end before it begins, or later than it ends itself.
    """
    if not _ACCOUNT_ID.fullmatch(buyer.account_id):
        raise AccountIdMalformedError
    starts_at = _read_start(offer.starts_at, at=at)
    if until <= starts_at:
        raise EndNotLaterError(starts_at)
    if offer.trial_ends_at is not None and not starts_at < offer.trial_ends_at <= until:
        raise TrialEndOutsideError(starts_at, until)
    at_end = offer.at_end or AtEnd.RENEW
    return Contract(
        agreement_id=ids.agreement_id,
        initial_agreement_id=ids.agreement_id,
        previous_agreement_id=None,
        offer_id=ids.offer_id,
        license_arn=ids.license_arn,
        product_code=product.code,
        account_id=buyer.account_id,
        customer_identifier=buyer.customer_identifier,
        generation=buyer.generation,
        via_partner=offer.via_partner,
        intent=Intent.NEW,
        quantities=_bought(seats, product),
        accepted_at=at,
        starts_at=starts_at,
        ends_at=until,
        last_update_at=at,
        trial_ends_at=offer.trial_ends_at,
        status=AgreementStatus.ACTIVE,
        at_end=at_end,
        opted_out_by=Party.ACCEPTOR if at_end is AtEnd.EXPIRE else None,
        has_started=starts_at <= at,
    )


def succeed(
    predecessor: Contract, *, ids: ContractIds, product: Product, terms: SuccessorTerms, at: datetime
) -> Contract:
    """Make the contract that takes the place of another one. It renews by itself as the other one did.

    Raises:
        ContractHasEndedError: the other one was broken off, so that there is nothing to go on with.
        DimensionNotFoundError: the product has no such dimension.
        SeatsOutOfRangeError: fewer than one seat in all, or more than AWS can count.
        StartIsPastError: it would start before it is signed.
        EndNotLaterError: it would end before it begins.
    """
    if not predecessor.can_be_followed:
        raise ContractHasEndedError(predecessor)
    starts_at = _read_start(terms.starts_at, at=at)
    if terms.until <= starts_at:
        raise EndNotLaterError(starts_at)
    return replace(
        predecessor,
        agreement_id=ids.agreement_id,
        initial_agreement_id=predecessor.initial_agreement_id if terms.is_linked else ids.agreement_id,
        previous_agreement_id=predecessor.agreement_id if terms.is_linked else None,
        offer_id=predecessor.offer_id if terms.intent is Intent.RENEW and terms.is_linked else ids.offer_id,
        license_arn=predecessor.license_arn if terms.keeps_license else ids.license_arn,
        intent=terms.intent if terms.is_linked else Intent.NEW,
        quantities=predecessor.quantities if terms.seats is None else _bought(terms.seats, product),
        accepted_at=at,
        starts_at=starts_at,
        ends_at=terms.until,
        trial_ends_at=None,
        status=AgreementStatus.ACTIVE,
        has_started=starts_at <= at,
    )


def require_alone(contract: Contract, others: Iterable[Contract]) -> None:
    """Check that a legacy buyer has no two contracts of a product at a time.

    Raises:
        ContractsOverlapError: another one runs at some time of this one.
    """
    for other in others:
        if contract.excludes(other) and contract.starts_at < other.ends_at and other.starts_at < contract.ends_at:
            raise ContractsOverlapError(other)


def set_seats(contract: Contract, *, seats: Seats, product: Product) -> Contract:
    """Raise or lower the bought number. AWS lets a buyer lower it at a renewal or by a private offer; here at any time.

    Dimensions that are not named keep their number.

    Raises:
        ContractHasEndedError: the contract is over.
        DimensionNotFoundError: the product has no such dimension.
        SeatsOutOfRangeError: a negative number, or more than AWS can count.
    """
    _require_active(contract)
    quantities = _quantities(seats, product)
    _require_seats(quantities, seats_min=0)
    return replace(contract, quantities={**contract.quantities, **quantities})


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


def decide_end(contract: Contract, *, at_end: AtEnd, by: Party, reason: NoRenewal | None) -> Contract:
    """Decide what becomes of a contract at its end.

    Args:
        contract: which one.
        at_end: what becomes of it.
        by: who opts out, if it is to expire.
        reason: why it is to expire though nobody opts out.

    Raises:
        ContractHasEndedError: the contract is over.
    """
    _require_active(contract)
    if at_end is not AtEnd.EXPIRE:
        return replace(contract, at_end=at_end, opted_out_by=None, no_renewal=None)
    return replace(contract, at_end=at_end, opted_out_by=by if reason is None else None, no_renewal=reason)


def start(contract: Contract, *, at: datetime) -> Contract:
    """Let a future-dated contract start now, or on its own day if that is past.

    Raises:
        ContractHasEndedError: the contract is over.
        ContractHasStartedError: it runs already.
    """
    _require_active(contract)
    if contract.has_started:
        raise ContractHasStartedError(contract)
    return replace(contract, starts_at=min(contract.starts_at, at), has_started=True)


def opt_in(contract: Contract) -> Contract:
    """Let a contract of a legacy listing have a license ARN beside its customer identifier.

    Raises:
        ContractHasEndedError: the contract is over.
        ContractIsNotLegacyError: it is none of a legacy listing, or was opted in before.
    """
    _require_active(contract)
    if contract.generation is not Generation.LEGACY:
        raise ContractIsNotLegacyError(contract)
    return replace(contract, generation=Generation.OPTED_IN)


def end(contract: Contract, *, status: AgreementStatus, at: datetime) -> Contract:
    """End the agreement now, or on its own date if that is past; one that has not started ends as it would start.

    Raises:
        ContractHasEndedError: it ended before.
    """
    _require_active(contract)
    return replace(contract, status=status, ends_at=_cut_short(contract, at=at))


def archive(contract: Contract, *, at: datetime) -> Contract:
    """Put the agreement away, whether it ended before or not.

    Raises:
        ContractHasEndedError: it is archived already.
    """
    if contract.status is AgreementStatus.ARCHIVED:
        raise ContractHasEndedError(contract)
    return replace(contract, status=AgreementStatus.ARCHIVED, ends_at=_cut_short(contract, at=at))


def _require_active(contract: Contract) -> None:
    if not contract.is_active:
        raise ContractHasEndedError(contract)


def _cut_short(contract: Contract, *, at: datetime) -> datetime:
    return max(contract.starts_at, min(contract.ends_at, at))


def _read_start(starts_at: datetime | None, *, at: datetime) -> datetime:
    if starts_at is None:
        return at
    if starts_at < at:
        raise StartIsPastError(at)
    return starts_at


def _bought(seats: Seats, product: Product) -> Mapping[str, int]:
    quantities = _quantities(seats, product)
    _require_seats(quantities, seats_min=0 if len(quantities) > 1 else 1)
    if not any(quantities.values()):
        raise SeatsOutOfRangeError(1)
    return quantities


def _quantities(seats: Seats, product: Product) -> Mapping[str, int]:
    quantities = {product.dimension: seats} if isinstance(seats, int) else dict(seats)
    for dimension in quantities:
        if dimension not in product.dimensions:
            raise DimensionNotFoundError(product, dimension)
    return quantities


def _require_seats(quantities: Mapping[str, int], *, seats_min: int) -> None:
    if not all(seats_min <= seats <= SEATS_MAX for seats in quantities.values()):
        raise SeatsOutOfRangeError(seats_min)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%-d %B %Y, %H:%M:%S} UTC"


def _base_36(source: UUID, *, digits: int) -> str:
    number = source.int
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 36)
        text += _BASE_36[digit]
    return text
