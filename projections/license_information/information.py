"""What is told about one license, and how it is made from a license's state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ledger.license import access
from ledger.license.access import AccessPolicy, LicenseStatus
from ledger.license.events import KeyKind, LapseReason, LicenseId
from ledger.license.holding import Holder, holder_of, products_of
from ledger.license.state import License, Renewal, Subscription
from ledger.replay import LicenseThen


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenseInformation:
    """The License Information of one license.

    The fields are those of the HTTP interface, but for `holder` and `products`, by which is known whose it is.

    Attributes:
        license_id: the license.
        customer_id: the buyer's AWS account, else the legacy customer identifier.
        product_id: as AWS names the product to people.
        product_code: as AWS names the product in its calls.
        holder: the buyer, by each id that AWS has for them.
        products: each code and id of the product, those of listings before the present one too.
        company_name: as the customer registered it; null before that.
        seats_max: the bought number of seats, 0 before the subscription started.
        seats_active: how many users have a seat.
        seats_blocked: how many users are kept out.
        seats_available: how many seats are free.
        status: where the license stands at `as_of`.
        lapse_reason: why the contract is over; null unless AWS said so.
        ended_at: when it ended; null unless it did.
        renewal_date: until when the contract runs, or was to run; null before the subscription started.
        renewal: what AWS told of what becomes of it then; null if nothing, so that it is unknown.
        usable_until: from when nobody may use the client; null before the subscription started.
        license_arn: the current key of AWS License Manager.
        agreement_id: the current agreement.
        folded_into: the license whose twin this one turned out to be; null but for twins.
        version: of the license's latest event.
        position: of the ledger, at which this is true.
        as_of: the clock by which this is true.
    """

    license_id: LicenseId
    customer_id: str | None
    product_id: str | None
    product_code: str
    holder: Holder
    products: Sequence[str]
    company_name: str | None
    seats_max: int
    seats_active: int
    seats_blocked: int
    seats_available: int
    status: LicenseStatus
    lapse_reason: LapseReason | None
    ended_at: datetime | None
    renewal_date: datetime | None
    renewal: Renewal | None
    usable_until: datetime | None
    license_arn: str | None
    agreement_id: str | None
    folded_into: LicenseId | None
    version: int
    position: int
    as_of: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenseQuery:
    """Which licenses to list; what is null restricts nothing.

    Attributes:
        customer_ids: of the customer who has all of these ids.
        product_id: of this product, by one of its ids or codes.
        status: which stand like this when asked.
        q: a part of the company's name or of an id that the license has or had, in any case.
        licenses: among these.
    """

    customer_ids: tuple[str, ...] = ()
    product_id: str | None = None
    status: LicenseStatus | None = None
    q: str | None = None
    licenses: tuple[LicenseId, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """The names by which AWS knows a license and its customer: the current ones, and all of its product."""

    holder: Holder
    product: str | None = None
    products: Sequence[str] = ()
    license_arn: str | None = None
    agreement: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known about a license, whenever it is asked."""

    license_id: LicenseId
    version: int
    product_code: str
    names: Names
    company_name: str | None
    subscription: Subscription | None
    renewal: Renewal | None
    folded_into: LicenseId | None
    seats_active: int
    seats_blocked: int


def information_then(then: LicenseThen) -> LicenseInformation:
    """The License Information of a license at a point of the past."""
    return inform(facts_of(then.license), policy=then.policy, position=then.position, at=then.as_of)


def facts_of(license_: License) -> Facts:
    """What a license's state says."""
    return Facts(
        license_id=license_.license_id,
        version=license_.version,
        product_code=license_.product_code,
        names=Names(
            holder=holder_of(license_.names),
            product=license_.name(KeyKind.PRODUCT),
            products=products_of(license_),
            license_arn=license_.name(KeyKind.LICENSE_ARN),
            agreement=license_.name(KeyKind.AGREEMENT),
        ),
        company_name=license_.company_name,
        subscription=license_.subscription,
        renewal=license_.renewal,
        folded_into=license_.folded_into,
        seats_active=license_.seats_active,
        seats_blocked=license_.seats_blocked,
    )


def inform(facts: Facts, *, policy: AccessPolicy, position: int, at: datetime) -> LicenseInformation:
    """Tell the facts by a clock: what depends on it is computed here and stored nowhere."""
    subscription = facts.subscription
    seats_max = subscription.seats_max if subscription else 0
    lapse = subscription.lapse if subscription else None
    return LicenseInformation(
        license_id=facts.license_id,
        customer_id=facts.names.holder.customer_id,
        product_id=facts.names.product,
        product_code=facts.product_code,
        holder=facts.names.holder,
        products=facts.names.products,
        company_name=facts.company_name,
        seats_max=seats_max,
        seats_active=facts.seats_active,
        seats_blocked=facts.seats_blocked,
        seats_available=max(0, seats_max - facts.seats_active),
        status=access.status(subscription, folded=facts.folded_into is not None, policy=policy, at=at),
        lapse_reason=lapse.reason if lapse else None,
        ended_at=lapse.ended_at if lapse else None,
        renewal_date=subscription.renews_at if subscription else None,
        renewal=facts.renewal,
        usable_until=access.usable_until(subscription, policy=policy),
        license_arn=facts.names.license_arn,
        agreement_id=facts.names.agreement,
        folded_into=facts.folded_into,
        version=facts.version,
        position=position,
        as_of=at,
    )
