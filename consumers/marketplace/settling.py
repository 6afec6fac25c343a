"""Settling a message, under the append lock: which license it is about, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy

from consumers.marketplace import known_agreements, products
from consumers.marketplace.agreement import Agreement
from consumers.marketplace.licenses import (
    find_license,
    identify_license,
    identifying,
    is_new_agreement,
    issue_license,
    names_current,
)
from consumers.marketplace.messages import Poke, PokeKind
from consumers.marketplace.names import value_of
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.standing import MessageStatus
from consumers.marketplace.succession import announce, joins_licenses
from consumers.marketplace.tables import INBOX
from ledger.license.events import KeyKind, LicenseId
from ledger.transaction import Transaction

ISSUING: Final = frozenset({PokeKind.LICENSE_UPDATED, PokeKind.ENTITLEMENT_UPDATED, PokeKind.SUBSCRIBE_SUCCESS})
"""These begin a license; the other messages tell only of one that is there."""
BEGINNING: Final = ISSUING | {PokeKind.AGREEMENT_CREATED, PokeKind.AGREEMENT_AMENDED}
"""What an agreement may be heard of by for the first time."""

_NOT_OURS: Final = "The product is not one of those that this ledger serves."
_OF_OTHERS: Final = "Its agreement is about a product that is not one of those that this ledger serves."
_SUCCESSOR_AWAITED: Final = "The agreement goes on as another one, which is awaited. Nothing is taken."
_AGREEMENT_UNKNOWN: Final = "Nothing is known of the agreement yet. It waits for a message that names its license."
_NOTHING_ENDS: Final = "It says that something has ended that this ledger never heard of."
_NOTHING_BEGINS: Final = "It is about a purchase that this ledger never heard of, and begins none."
_EARLIER_KEY: Final = "It says that an earlier agreement or license has ended, not the one that stands now."
_LATER_KEY: Final = "It is about an agreement that has not begun. It will not begin."
_SAME_EVENT: Final = "Another message told of the same event before."


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What became of a message.

    Attributes:
        status: its status.
        reason: why, in words.
        license_id: the license that it is about.
        reads: whether the license is to be read.
        due_at: when it is looked at again, if it is parked until AWS answers.
    """

    status: MessageStatus
    reason: str | None = None
    license_id: LicenseId | None = None
    reads: bool = False
    due_at: datetime | None = None


def records_something(transaction: Transaction, poke: Poke, *, settings: MarketplaceSettings) -> bool:
    """Whether settling a message would append events, or needs to be done by itself."""
    if poke.product_code not in (None, *settings.product_codes) or poke.ends:
        return False
    if poke.agreement is not None:
        known = known_agreements.find(transaction.rows, poke.agreement.agreement_id)
        if known is None or known.and_heard(poke.agreement) != known:
            return True
    if _joins_licenses(transaction, poke):
        return True
    license_id = find_license(transaction, poke.names, product_code=poke.product_code)
    if license_id is None:
        return poke.product_code is not None and poke.kind in ISSUING
    if is_new_agreement(transaction, license_id, poke.names):
        return True
    return bool(identifying(transaction, license_id, names=poke.names))


def settle(
    transaction: Transaction,
    poke: Poke,
    *,
    number: int,
    settings: MarketplaceSettings,
    new_license_id: LicenseId,
    told: Sequence[Agreement] = (),
) -> Settled:
    """Find the license that a message is about, issue it if it is new, or say why the message is put aside.

    Args:
        transaction: the work must name the keys of the message.
        poke: what it says.
        number: its place in the inbox.
        settings: what is sold.
        new_license_id: of a license that is issued.
        told: what AWS told of the agreements behind it.

    Raises:
        ContradictionError: it contradicts what is known.
    """
    product_id = value_of(poke.names, KeyKind.PRODUCT)
    if product_id is not None and poke.product_code is not None:
        products.note(transaction.rows, product_id, product_code=poke.product_code)
    if poke.product_code is not None and poke.product_code not in settings.product_codes:
        return _settle_other(transaction, poke)
    for heard in (*told, *([poke.agreement] if poke.agreement else [])):
        known_agreements.note(transaction, heard)
    is_news = poke.agreement is not None and poke.agreement.previous_agreement_id is not None
    license_id = find_license(transaction, poke.names, product_code=poke.product_code, is_news=is_news)
    if license_id is not None and _was_told_before(transaction.rows, poke, number=number):
        # It is read all the same: what AWS means by the id of a request is not written anywhere.
        return Settled(status=MessageStatus.REPEATED, reason=_SAME_EVENT, license_id=license_id, reads=True)
    if poke.kind is PokeKind.NOTICE:
        return _settle_notice(transaction, poke, license_id)
    if license_id is None and _is_of_others(transaction, poke, settings=settings):
        return Settled(status=MessageStatus.IGNORED, reason=_OF_OTHERS)
    if poke.ends or poke.awaits_successor:
        return _settle_end(transaction, poke, license_id)
    if license_id is None:
        return _settle_unknown(transaction, poke, new_license_id=new_license_id)
    identify_license(transaction, license_id, names=poke.names)
    return Settled(status=MessageStatus.WAITING, license_id=license_id, reads=True)


def _joins_licenses(transaction: Transaction, poke: Poke) -> bool:
    agreement_id = value_of(poke.names, KeyKind.AGREEMENT)
    known = None if agreement_id is None else known_agreements.find(transaction.rows, agreement_id)
    return known is not None and joins_licenses(transaction, known, product_code=poke.product_code)


def _settle_other(transaction: Transaction, poke: Poke) -> Settled:
    """Keep of a product that is not served which agreement is about it: other messages about that name none."""
    if poke.agreement is not None:
        about = Agreement(agreement_id=poke.agreement.agreement_id, product_ids=poke.agreement.product_ids)
        known_agreements.note(transaction, about)
    return Settled(status=MessageStatus.IGNORED, reason=_NOT_OURS)


def _is_of_others(transaction: Transaction, poke: Poke, *, settings: MarketplaceSettings) -> bool:
    """Whether a message that names no product code is about an agreement on products that are not served."""
    if poke.product_code is not None or poke.agreement is None:
        return False
    known = known_agreements.find(transaction.rows, poke.agreement.agreement_id)
    return known is not None and bool(products.of_others(transaction.rows, [known], served=settings.product_codes))


def _settle_notice(transaction: Transaction, poke: Poke, license_id: LicenseId | None) -> Settled:
    if license_id is not None:
        announce(transaction, license_id)
    return Settled(status=MessageStatus.IGNORED, reason=f"{poke.title} changes no seats.", license_id=license_id)


def _settle_end(transaction: Transaction, poke: Poke, license_id: LicenseId | None) -> Settled:
    if license_id is None:
        if poke.awaits_successor:
            return Settled(status=MessageStatus.PARKED, reason=_SUCCESSOR_AWAITED)
        return Settled(status=MessageStatus.IGNORED, reason=_NOTHING_ENDS)
    if names_current(transaction, license_id, poke.names):
        status = MessageStatus.PARKED if poke.awaits_successor else MessageStatus.WAITING
        reason = _SUCCESSOR_AWAITED if poke.awaits_successor else None
        return Settled(status=status, reason=reason, license_id=license_id, reads=True)
    # The number may go down, now that the agreement before has ended, or up to nothing of one that never began.
    begun = poke.agreement is None or known_agreements.has_begun(transaction, poke.agreement.agreement_id)
    reason = _EARLIER_KEY if begun else _LATER_KEY
    return Settled(status=MessageStatus.IGNORED, reason=reason, license_id=license_id, reads=True)


def _settle_unknown(transaction: Transaction, poke: Poke, *, new_license_id: LicenseId) -> Settled:
    if poke.product_code is None:
        return Settled(status=MessageStatus.PARKED, reason=_AGREEMENT_UNKNOWN)
    if poke.kind not in ISSUING:
        return Settled(status=MessageStatus.IGNORED, reason=_NOTHING_BEGINS)
    license_id = issue_license(transaction, new_license_id, product_code=poke.product_code, names=poke.names)
    return Settled(status=MessageStatus.WAITING, license_id=license_id, reads=True)


def _was_told_before(rows: sqlalchemy.Connection, poke: Poke, *, number: int) -> bool:
    """Whether an earlier message, with another id, told of the same event."""
    if poke.request_id is None:
        return False
    query = sqlalchemy.select(INBOX.c.number).where(
        INBOX.c.request_id == poke.request_id,
        INBOX.c.number < number,
        INBOX.c.kind == poke.kind,
        INBOX.c.status != MessageStatus.FAILED,
        INBOX.c.agreement_id == value_of(poke.names, KeyKind.AGREEMENT),
    )
    return rows.scalar(query.limit(1)) is not None
