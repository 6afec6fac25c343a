"""Until when a license is usable, and whether a user may work: the rules that depend on the clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ledger.license.events import LapseReason, SeatId
from ledger.license.state import License, SeatStatus, Subscription


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessPolicy:
    """How long after its date a contract may still be used.

    Attributes:
        expiry_grace: the vendor's grace after an expiry.
        blind_wait: how long a running contract past its date is trusted while AWS can't be asked.
    """

    expiry_grace: timedelta = timedelta()
    blind_wait: timedelta = timedelta(days=3)


class AccessCode(StrEnum):
    """The answer to "may this user work?"; the first that matches, in this order."""

    LICENSE_NOT_FOUND = "LICENSE_NOT_FOUND"
    SUBSCRIPTION_NOT_STARTED = "SUBSCRIPTION_NOT_STARTED"
    SUBSCRIPTION_LAPSED = "SUBSCRIPTION_LAPSED"
    SUBSCRIPTION_EXPIRED = "SUBSCRIPTION_EXPIRED"
    USER_BLOCKED = "USER_BLOCKED"
    NO_SEAT = "NO_SEAT"
    NO_SEAT_FREE = "NO_SEAT_FREE"
    ALLOWED = "ALLOWED"


SENTENCES: Mapping[AccessCode, str] = {
    AccessCode.LICENSE_NOT_FOUND: "There is no license for this user.",
    AccessCode.SUBSCRIPTION_NOT_STARTED: "AWS Marketplace has not told the number of seats yet. Try again in a minute.",
    AccessCode.SUBSCRIPTION_LAPSED: "The contract has ended. Ask your administrator to buy it again.",
    AccessCode.SUBSCRIPTION_EXPIRED: "The contract has expired. Ask your administrator to renew it.",
    AccessCode.USER_BLOCKED: "You are blocked. Ask your administrator.",
    AccessCode.NO_SEAT: "You have no seat. Sign in to take one.",
    AccessCode.NO_SEAT_FREE: "All seats are in use. Ask your administrator to free one or to buy more.",
    AccessCode.ALLOWED: "You may work.",
}


class LicenseStatus(StrEnum):
    """Where a license stands, as people see it."""

    PENDING = "pending"
    ACTIVE = "active"
    OVERDUE = "overdue"
    EXPIRED = "expired"
    LAPSED = "lapsed"
    FOLDED = "folded"


def usable_until(subscription: Subscription | None, *, policy: AccessPolicy) -> datetime | None:
    """The moment from which nobody may use the client; null before the subscription started."""
    if subscription is None:
        return None
    if subscription.lapse is None:
        return _later(subscription.renews_at, max(policy.blind_wait, policy.expiry_grace))
    if subscription.lapse.reason is LapseReason.EXPIRED:
        return _later(subscription.lapse.ended_at, policy.expiry_grace)
    return subscription.lapse.ended_at


def unusable(subscription: Subscription | None, *, policy: AccessPolicy, at: datetime) -> AccessCode | None:
    """Why the license can't be used at `at`; null if it can."""
    until = usable_until(subscription, policy=policy)
    if subscription is None or until is None:
        return AccessCode.SUBSCRIPTION_NOT_STARTED
    if subscription.lapse is not None and subscription.lapse.reason is not LapseReason.EXPIRED:
        return AccessCode.SUBSCRIPTION_LAPSED
    if at < until:
        return None
    return AccessCode.SUBSCRIPTION_LAPSED if subscription.lapse else AccessCode.SUBSCRIPTION_EXPIRED


def access(license_: License, seat_id: SeatId | None, *, policy: AccessPolicy, at: datetime) -> AccessCode:
    """Whether the user of this seat (null: never heard of) may work at `at`."""
    if not license_.issued or license_.folded_into is not None:
        return AccessCode.LICENSE_NOT_FOUND
    code = unusable(license_.subscription, policy=policy, at=at)
    if code is not None:
        return code
    seat = license_.seats.get(seat_id) if seat_id is not None else None
    if seat is not None and seat.status is SeatStatus.BLOCKED:
        return AccessCode.USER_BLOCKED
    if seat is None or seat.status is not SeatStatus.ACTIVE:
        return AccessCode.NO_SEAT
    return AccessCode.ALLOWED


def status(subscription: Subscription | None, *, folded: bool, policy: AccessPolicy, at: datetime) -> LicenseStatus:
    """Where a license stands at `at`; `folded` if it is another one's twin."""
    if folded:
        return LicenseStatus.FOLDED
    if subscription is None:
        return LicenseStatus.PENDING
    if subscription.lapse is not None:
        return LicenseStatus.LAPSED
    if at < subscription.renews_at:
        return LicenseStatus.ACTIVE
    if unusable(subscription, policy=policy, at=at) is None:
        return LicenseStatus.OVERDUE
    return LicenseStatus.EXPIRED


def _later(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        # AWS writes the year 9999 for "no end".
        return datetime.max.replace(tzinfo=moment.tzinfo)
