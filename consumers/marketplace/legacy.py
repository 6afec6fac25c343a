"""A legacy customer's license whose rows come to carry ARNs: which of them are its own, and which another purchase's.

A legacy listing knows one contract of a customer at a time. Once it has moved to concurrent agreements the customer may
buy again, and AWS does not say which ARN the old contract has come to have.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

import sqlalchemy

from consumers.marketplace import known_agreements
from consumers.marketplace.agreement import Agreement
from consumers.marketplace.tables import AGREEMENTS
from ledger.ledger import Ledger
from ledger.license.events import KeyKind, LicenseId
from ledger.replay import Moment
from ledger.store.tables import LICENSE_KEYS


def issued_at(ledger: Ledger, license_id: LicenseId) -> datetime:
    """When a license was first heard of."""
    return ledger.past.license_at(license_id, Moment(version=1)).as_of


def may_be_its_contract(agreements: Iterable[Agreement], *, issued_at: datetime) -> bool:
    """Whether one of these agreements may be the contract for which a legacy license was issued.

    It may if it had begun by then, follows another one, or was not told from when it runs. Else it is a purchase of its
    own.
    """
    return any(
        one.starts_at is None or one.starts_at <= issued_at or one.initial_agreement_id not in (None, one.agreement_id)
        for one in agreements
    )


def arns_of_others(
    ledger: Ledger, license_id: LicenseId, license_arns: Collection[str], *, issued_at: datetime
) -> Collection[str]:
    """Those of the ARNs that are of other purchases: of another license, or of none yet.

    Args:
        ledger: where the licenses are.
        license_id: a legacy license that has no ARN yet.
        license_arns: the ARNs that AWS shows of its customer.
        issued_at: when it was first heard of.
    """
    if not license_arns:
        return ()
    by_key = sqlalchemy.select(LICENSE_KEYS.c.value, LICENSE_KEYS.c.license_id).where(
        LICENSE_KEYS.c.kind == KeyKind.LICENSE_ARN.value, LICENSE_KEYS.c.value.in_(license_arns)
    )
    by_agreement = sqlalchemy.select(AGREEMENTS.c.license_arn, AGREEMENTS.c.license_id).where(
        AGREEMENTS.c.license_id.is_not(None), AGREEMENTS.c.license_arn.in_(license_arns)
    )
    with ledger.reading.connect() as reading:
        owners = {arn: LicenseId(owner) for query in (by_agreement, by_key) for arn, owner in reading.execute(query)}
        of_licenses = {
            arn
            for arn, owner in owners.items()
            if owner != license_id
            and not may_be_its_contract(known_agreements.of_license(reading, owner), issued_at=issued_at)
        }
        of_nobody = {arn: known_agreements.of_arn(reading, arn) for arn in {*license_arns} - owners.keys()}
    return of_licenses | {
        arn for arn, agreements in of_nobody.items() if _is_a_later_purchase(agreements, issued_at=issued_at)
    }


def _is_a_later_purchase(agreements: Iterable[Agreement], *, issued_at: datetime) -> bool:
    """Whether AWS told that these agreements begin a chain after the legacy license was heard of."""
    told = [*agreements]
    begin = bool(told) and all(one.initial_agreement_id == one.agreement_id for one in told)
    return begin and not may_be_its_contract(told, issued_at=issued_at)
