"""When a contract has ended: only on evidence, and only with a complete reading after it that shows no live row.

An empty answer by itself ends nothing: AWS shows nothing around a renewal, and nothing at all to a wrong credential.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from consumers.marketplace.agreement import SUCCEEDED, AgreementStatus
from consumers.marketplace.messages import PokeKind
from ledger.license.events import LapseReason
from ledger.license.state import Subscription

_REASONS: Final[Mapping[AgreementStatus, LapseReason]] = {
    AgreementStatus.CANCELLED: LapseReason.CANCELLED,
    AgreementStatus.EXPIRED: LapseReason.EXPIRED,
    AgreementStatus.TERMINATED: LapseReason.TERMINATED,
    AgreementStatus.ARCHIVED: LapseReason.CANCELLED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class EndNotice:
    """A message that says that the license's current key has ended.

    Attributes:
        kind: of the message.
        status: how the agreement ended, if the message is about the agreement.
        received_at: when it was stored.
    """

    kind: PokeKind
    status: AgreementStatus | None
    received_at: datetime


def reason_to_lapse(
    subscription: Subscription,
    *,
    notices: Iterable[EndNotice],
    agreement_status: AgreementStatus | None,
    trusted: bool,
    renewal_wait: timedelta,
    successor_wait: timedelta,
    at: datetime,
) -> LapseReason | None:
    """Why a subscription has ended of which a complete reading shows no live row; null if that is not sure.

    An agreement that was renewed or replaced is no end, so that what follows is awaited: until nobody can use the
    client any more, for then nobody is locked out by it.

    Args:
        subscription: one that runs.
        notices: the end notices that are open.
        agreement_status: how AWS says that the current agreement stands; null if it told nothing.
        trusted: whether the credentials are known to see live rows of the product.
        renewal_wait: how long around its date a contract may show nothing.
        successor_wait: how long after its date a contract can be used of which AWS told no end.
        at: the decision's clock.
    """
    if agreement_status in SUCCEEDED:
        is_over = trusted and is_overdue(subscription, renewal_wait=max(renewal_wait, successor_wait), at=at)
        return LapseReason.EXPIRED if is_over else None
    open_notices = tuple(notices)
    for status in (agreement_status, *(notice.status for notice in open_notices)):
        if status is not None and status in _REASONS:
            return _REASONS[status]
    if any(_counts(notice, renewal_wait=renewal_wait, at=at) for notice in open_notices):
        return LapseReason.CANCELLED if at < subscription.renews_at else LapseReason.EXPIRED
    if trusted and is_overdue(subscription, renewal_wait=renewal_wait, at=at):
        return LapseReason.EXPIRED
    return None


def is_overdue(subscription: Subscription, *, renewal_wait: timedelta, at: datetime) -> bool:
    """Whether the date is past by the time that AWS may take to renew."""
    return at - renewal_wait >= subscription.renews_at


def _counts(notice: EndNotice, *, renewal_wait: timedelta, at: datetime) -> bool:
    match notice.kind:
        case PokeKind.UNSUBSCRIBE_SUCCESS:
            return True
        case PokeKind.LICENSE_DEPROVISIONED:
            # Without a status that says how the agreement ended, it may be one that is being renewed.
            return at - notice.received_at >= renewal_wait
        case _:
            return False
