"""The facts about a license.

STORAGE FORMAT. What stands here is what is stored, for ever: never rename a class's `TYPE`, a field or a value, never
give a field another meaning. A new fact is a new event. Facts carry no time of their own unless they happened earlier
than they were recorded.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Generic, NewType, TypeAlias, TypeVar

T = TypeVar("T")

LicenseId = NewType("LicenseId", str)
SeatId = NewType("SeatId", str)


class ActorRole(StrEnum):
    """In what capacity somebody caused an event."""

    ADMIN = "admin"
    CLIENT = "client"
    MARKETPLACE = "marketplace"
    OPERATOR = "operator"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who caused an event: a role and an opaque id of a key or sign-in, never a person's name."""

    role: ActorRole
    id: str


@dataclass(frozen=True, slots=True)
class Personal(Generic[T]):
    """A value that tells about a person. Nothing personal is stored outside of this.

    Attributes:
        of: whose it is: a seat's id, or `contact`.
        plain: the value.
    """

    of: str
    plain: T


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """Whom the vendor may write to at the customer."""

    name: str
    email: str
    phone: str | None


class KeyKind(StrEnum):
    """What kind of name AWS knows a license by."""

    LICENSE_ARN = "license-arn"
    AGREEMENT = "agreement"
    CUSTOMER = "customer"
    ACCOUNT = "account"
    PRODUCT = "product"


class LapseReason(StrEnum):
    """Why a contract is over."""

    EXPIRED = "expired"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"


class RenewalIntent(StrEnum):
    """What becomes of a contract at its renewal date, as AWS tells it beforehand."""

    RENEWS = "renews"
    ENDS = "ends"
    REPLACED = "replaced"
    UNKNOWN = "unknown"


class SuccessionReason(StrEnum):
    """Why an operator says that an agreement follows which AWS does not link."""

    PRIVATE_RENEWAL = "private-renewal"
    CHANNEL_PARTNER = "channel-partner"
    NEW_LISTING = "new-listing"
    OTHER = "other"


class BlockReason(StrEnum):
    """Why an administrator keeps a user out."""

    LEFT = "left"
    MISUSE = "misuse"
    FREE_A_SEAT = "free-a-seat"
    OTHER = "other"


class DeletionReason(StrEnum):
    """Why a user lost the seat."""

    DELETED_BY_ADMIN = "deleted-by-admin"
    LIMIT_LOWERED = "limit-lowered"
    USER_ERASED = "user-erased"


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenseIssued:
    """A license was seen for the first time."""

    TYPE: ClassVar[str] = "license.license-issued"
    product_code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenseIdentified:
    """A key or name of the license became known; for `customer` the value is `product_code/customer_identifier`."""

    TYPE: ClassVar[str] = "license.license-identified"
    kind: KeyKind
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CompanyRegistered:
    """The registration form was sent, or sent again to correct it."""

    TYPE: ClassVar[str] = "license.company-registered"
    company_name: str
    contact: Personal[Contact]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionStarted:
    """Seats were observed for the first time."""

    TYPE: ClassVar[str] = "license.subscription-started"
    seats_max: int
    renews_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SeatLimitRaised:
    """More seats were bought."""

    TYPE: ClassVar[str] = "license.seat-limit-raised"
    seats_max_before: int
    seats_max_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SeatLimitLowered:
    """Fewer seats are bought from now on."""

    TYPE: ClassVar[str] = "license.seat-limit-lowered"
    seats_max_before: int
    seats_max_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionRenewed:
    """The renewal date moved later."""

    TYPE: ClassVar[str] = "license.subscription-renewed"
    renews_at_before: datetime
    renews_at_after: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionShortened:
    """The renewal date moved earlier."""

    TYPE: ClassVar[str] = "license.subscription-shortened"
    renews_at_before: datetime
    renews_at_after: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionLapsed:
    """The contract ended; the seat limit keeps its last number."""

    TYPE: ClassVar[str] = "license.subscription-lapsed"
    reason: LapseReason
    ended_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionResumed:
    """Seats were observed again after a lapse."""

    TYPE: ClassVar[str] = "license.subscription-resumed"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreementSucceeded:
    """A renewal or replacement put a new agreement behind the license."""

    TYPE: ClassVar[str] = "license.agreement-succeeded"
    agreement_id_before: str
    agreement_id_after: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RenewalAnnounced:
    """AWS told what becomes of the contract at its renewal date; `source` is the message or call that told it."""

    TYPE: ClassVar[str] = "license.renewal-announced"
    renewal: RenewalIntent
    source: str
    announced_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessionDecided:
    """An operator decided that what has a key follows behind the license; `kind` says which kind of key."""

    TYPE: ClassVar[str] = "license.succession-decided"
    kind: KeyKind
    value: str
    reason: SuccessionReason


@dataclass(frozen=True, kw_only=True, slots=True)
class ListingSucceeded:
    """The license goes on under another listing of the vendor."""

    TYPE: ClassVar[str] = "license.listing-succeeded"
    product_code_before: str
    product_code_after: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TwinAbsorbed:
    """Another license turned out to be this one's: it was issued before it was known which agreement follows which."""

    TYPE: ClassVar[str] = "license.twin-absorbed"
    twin: LicenseId


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenseFolded:
    """This license turned out to be another one's twin, whose keys its keys are from now on."""

    TYPE: ClassVar[str] = "license.license-folded"
    into: LicenseId


@dataclass(frozen=True, kw_only=True, slots=True)
class SeatActivated:
    """A user took a seat."""

    TYPE: ClassVar[str] = "license.seat-activated"
    seat_id: SeatId
    user: Personal[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeatBlocked:
    """An administrator blocked a user, who may never have been heard of before."""

    TYPE: ClassVar[str] = "license.seat-blocked"
    seat_id: SeatId
    user: Personal[str]
    reason: BlockReason
    note: Personal[str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SeatUnblocked:
    """An administrator lets a user in again; the next sign-in takes a seat."""

    TYPE: ClassVar[str] = "license.seat-unblocked"
    seat_id: SeatId


@dataclass(frozen=True, kw_only=True, slots=True)
class SeatDeleted:
    """A user lost the seat."""

    TYPE: ClassVar[str] = "license.seat-deleted"
    seat_id: SeatId
    reason: DeletionReason


SeatEvent: TypeAlias = SeatActivated | SeatBlocked | SeatUnblocked | SeatDeleted
SubscriptionEvent: TypeAlias = (
    SubscriptionStarted
    | SeatLimitRaised
    | SeatLimitLowered
    | SubscriptionRenewed
    | SubscriptionShortened
    | SubscriptionLapsed
    | SubscriptionResumed
    | AgreementSucceeded
)
LicenseEvent: TypeAlias = (
    LicenseIssued
    | LicenseIdentified
    | CompanyRegistered
    | RenewalAnnounced
    | SuccessionDecided
    | ListingSucceeded
    | TwinAbsorbed
    | LicenseFolded
    | SubscriptionEvent
    | SeatEvent
)
