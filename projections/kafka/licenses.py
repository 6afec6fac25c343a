"""The License Information of a license as other systems get it: what no clock changes of it."""

from datetime import datetime
from typing import Final

import msgspec

from ledger.license.events import RenewalIntent
from projections.license_information.information import Facts

CONTENT_TYPE: Final = "application/json"


class _License(msgspec.Struct, frozen=True, gc=False):
    license_id: str
    customer_id: str | None
    product_id: str | None
    product_code: str
    company_name: str | None
    seats_max: int
    seats_active: int
    seats_blocked: int
    seats_available: int
    lapse_reason: str | None
    ended_at: datetime | None
    renewal_date: datetime | None
    license_arn: str | None
    agreement_id: str | None
    renewal: str
    folded_into: str | None
    version: int
    position: int


_ENCODE: Final = msgspec.json.Encoder().encode


def license_information(facts: Facts, *, position: int) -> bytes:
    """The fields of License Information but `status`, `usable_until` and `as_of`.

    Args:
        facts: what is known of the license.
        position: of the ledger, at which that is true.
    """
    subscription = facts.subscription
    seats_max = subscription.seats_max if subscription else 0
    lapse = subscription.lapse if subscription else None
    return _ENCODE(
        _License(
            license_id=facts.license_id,
            customer_id=facts.names.holder.customer_id,
            product_id=facts.names.product,
            product_code=facts.product_code,
            company_name=facts.company_name,
            seats_max=seats_max,
            seats_active=facts.seats_active,
            seats_blocked=facts.seats_blocked,
            seats_available=max(0, seats_max - facts.seats_active),
            lapse_reason=lapse.reason if lapse else None,
            ended_at=lapse.ended_at if lapse else None,
            renewal_date=subscription.renews_at if subscription else None,
            license_arn=facts.names.license_arn,
            agreement_id=facts.names.agreement,
            renewal=(facts.renewal.intent if facts.renewal else RenewalIntent.UNKNOWN).value,
            folded_into=facts.folded_into,
            version=facts.version,
            position=position,
        )
    )
