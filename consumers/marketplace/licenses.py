"""Which license a message or a customer is about: found by its keys, issued once, known by more and more names."""

from collections.abc import Iterable, Sequence

import sqlalchemy

from consumers.marketplace.names import Name
from consumers.marketplace.tables import INBOX
from ledger.license import decisions
from ledger.license.events import KeyKind, LicenseEvent, LicenseId
from ledger.times import microseconds
from ledger.transaction import CLAIMING_KINDS, Transaction

_KINDS_IN_ORDER = (KeyKind.LICENSE_ARN, KeyKind.AGREEMENT, KeyKind.CUSTOMER)


def claiming(names: Iterable[Name]) -> tuple[Name, ...]:
    """The names by which one license at most is known: its keys."""
    return tuple(name for name in names if name[0] in CLAIMING_KINDS)


def find_license(transaction: Transaction, names: Sequence[Name], *, product_code: str | None) -> LicenseId | None:
    """The license that has one of these keys, the ARN before the agreement; the work must name the keys.

    One agreement may be about several products, so a license found by it must be of the message's product.
    """
    for wanted in _KINDS_IN_ORDER:
        for kind, value in names:
            found = transaction.license_of(kind, value) if kind is wanted else None
            if found is not None and product_code in (None, transaction.license(found).product_code):
                return found
    return None


def issue_license(
    transaction: Transaction, license_id: LicenseId, *, product_code: str, names: Sequence[Name]
) -> LicenseId:
    """The license of these keys, issued under `license_id` if there is none; it is known by all the names from now on.

    The look-up is made under the append lock, so that two who hear of one purchase at once end in one license.
    """
    found = find_license(transaction, names, product_code=product_code)
    if found is not None:
        identify_license(transaction, found, names=names)
        return found
    ours = _unclaimed(transaction, license_id, names)
    transaction.append(
        license_id,
        decisions.issue_license(transaction.any_license(license_id), product_code=product_code, names=ours),
    )
    _wake_parked(transaction, ours)
    return license_id


def identify_license(transaction: Transaction, license_id: LicenseId, *, names: Sequence[Name]) -> None:
    """The license is known by these names too, but for the keys that are another license's."""
    events = identifying(transaction, license_id, names=names)
    if events:
        transaction.append(license_id, events)
        _wake_parked(transaction, _unclaimed(transaction, license_id, names))


def identifying(transaction: Transaction, license_id: LicenseId, *, names: Sequence[Name]) -> Sequence[LicenseEvent]:
    """What is to be recorded when a license is called by these names."""
    ours = _unclaimed(transaction, license_id, names)
    return decisions.identify_license(transaction.license(license_id), names=ours)


def _unclaimed(transaction: Transaction, license_id: LicenseId, names: Sequence[Name]) -> tuple[Name, ...]:
    return tuple(
        (kind, value)
        for kind, value in names
        if kind not in CLAIMING_KINDS or transaction.license_of(kind, value) in (None, license_id)
    )


def _wake_parked(transaction: Transaction, names: Sequence[Name]) -> None:
    agreements = [value for kind, value in names if kind is KeyKind.AGREEMENT]
    if not agreements:
        return
    transaction.rows.execute(
        sqlalchemy.update(INBOX)
        .where(INBOX.c.agreement_id.in_(agreements), INBOX.c.status == "parked", INBOX.c.license_id.is_(None))
        .values(status="new", due_at=microseconds(transaction.at))
    )
