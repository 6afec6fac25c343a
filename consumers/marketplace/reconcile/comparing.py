"""Comparing: what AWS shows of a license against what the ledger holds. Pure; nothing here asks or writes.

Rows belong to the license that has their ARN; a row whose ARN nobody has belongs to the legacy license of its customer,
as long as that has no ARN of its own. What AWS shows beyond that is another license, which is missing here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from consumers.marketplace import succession
from consumers.marketplace.agreement import Agreement
from consumers.marketplace.entitlements import LiveRow
from consumers.marketplace.names import Name
from ledger.drift import DriftKind, Terms
from ledger.license import decisions
from ledger.license.events import KeyKind, LicenseId
from ledger.license.state import License

_OF_ANOTHER_PRODUCT: Final = (
    "AWS names it under another product than the ledger, so that nothing changes. Ask AWS Marketplace's seller support"
    " which one is right."
)
_OF_ANOTHER_ACCOUNT: Final = (
    "AWS names it for another account than the ledger, so that nothing changes. Ask AWS Marketplace's seller support"
    " whose it is."
)
_OF_TWO: Final = (
    "AWS's row carries the keys of this license and of {other}, so that nothing changes in either. If one is the other"
    " one renewed, `licensing-ledger succeed` says so."
)
_UNREADABLE: Final = "{reason} Nothing changes until AWS shows a row that can be read. Tell AWS's seller support of it."


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of GetEntitlements that counts users.

    Attributes:
        product_code: the product.
        license_arn: the license's ARN, in the ledger's form; null where the row carries none.
        customer: the legacy customer, as `product_code/customer_identifier`; null where the row carries none.
        account: the buyer's AWS account; null where the row carries none.
        seats: the bought number; null if it can't be read.
        expires_at: the row's date; null if it can't be read.
        odd: why it can't be read; null if it can.
    """

    product_code: str
    license_arn: str | None = None
    customer: str | None = None
    account: str | None = None
    seats: int | None = None
    expires_at: datetime | None = None
    odd: str | None = None

    @property
    def names(self) -> tuple[Name, ...]:
        """What it says of whose it is."""
        told = (
            (KeyKind.LICENSE_ARN, self.license_arn),
            (KeyKind.CUSTOMER, self.customer),
            (KeyKind.ACCOUNT, self.account),
        )
        return tuple((kind, value) for kind, value in told if value is not None)

    def is_live(self, *, at: datetime) -> bool:
        """Whether it can be read, and its date has not passed."""
        return self.odd is None and self.expires_at is not None and self.expires_at > at


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """Whose the keys are.

    Attributes:
        owners: by key, the license that has it.
        with_arn: the licenses that are known by an ARN.
    """

    owners: Mapping[Name, LicenseId] = field(default_factory=dict)
    with_arn: Collection[LicenseId] = frozenset()

    def owner(self, row: Row) -> LicenseId | None:
        """The license that a row is of; null if the ledger has none."""
        by_arn = self._owner(KeyKind.LICENSE_ARN, row.license_arn)
        if by_arn is not None:
            return by_arn
        by_customer = self._owner(KeyKind.CUSTOMER, row.customer)
        is_another = row.license_arn is not None and by_customer in self.with_arn
        return None if is_another else by_customer

    def other_owner(self, row: Row) -> LicenseId | None:
        """Another license to which the same row belongs as well, so that it is not sure whose it is; else null."""
        by_arn = self._owner(KeyKind.LICENSE_ARN, row.license_arn)
        by_customer = self._owner(KeyKind.CUSTOMER, row.customer)
        if by_arn is None or by_customer in (None, by_arn) or by_customer in self.with_arn:
            return None
        return by_customer

    def _owner(self, kind: KeyKind, value: str | None) -> LicenseId | None:
        return None if value is None else self.owners.get((kind, value))


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A difference between the two sides.

    Attributes:
        kinds: in what they differ; none as long as there is only news of an agreement, after which they may.
        license_id: the license; null for one that the ledger does not have.
        product_code: of the license.
        names: by which it is known.
        here: what the ledger says.
        there: what AWS says.
        seats_lost: how many seats mending it takes away.
        is_loss: whether mending it takes something away.
        reason: why it can't be mended without a person; null if it can.
        seats_active: how many users have a seat.
        seats_deleted: how many of them mending it deletes.
    """

    kinds: tuple[DriftKind, ...]
    license_id: LicenseId | None
    product_code: str
    names: tuple[Name, ...]
    here: Terms | None
    there: Terms | None
    seats_lost: int = 0
    is_loss: bool = False
    reason: str | None = None
    seats_active: int = 0
    seats_deleted: int = 0


def compare(
    license_: License, rows: Sequence[Row], *, claims: Claims, at: datetime, agreements: Sequence[Agreement] = ()
) -> Found | None:
    """In what a license differs from the rows that are of it; null if in nothing.

    Args:
        license_: as the ledger has it.
        rows: all rows that AWS shows of it, in any order.
        claims: whose the rows' keys are.
        agreements: those behind the license, the earliest first, which tell what rows of two agreements add up to.
        at: the clock by which rows are live.
    """
    odd = next((row.odd for row in rows if row.odd is not None), None)
    live = [row for row in rows if row.is_live(at=at)]
    here = terms_of(license_)
    if odd is not None:
        reason = _UNREADABLE.format(reason=odd)
        return _found(license_, (DriftKind.UNREADABLE,), here=here, there=None, reason=reason)
    conflict = _conflict(license_, live, claims=claims)
    there = _shown(live, agreements, names=license_.names, at=at) if live else None
    if conflict is not None:
        return _found(license_, (DriftKind.KEY,), here=here, there=there, reason=conflict)
    if there is None:
        return None if here is None else _found(license_, (DriftKind.MISSING_THERE,), here=here, there=None)
    agreed = here == there or (here is None and there.seats_max == 0)
    kinds = () if agreed else _kinds(here or Terms(seats_max=0, renews_at=None), there, started=here is not None)
    new = _new_arns(license_, live)
    kinds += (DriftKind.KEY,) if here is not None and new else ()
    return _found(license_, kinds, here=here, there=there, new=new) if kinds else None


def heard_of(license_: License) -> Found:
    """A license of whose agreement there is news, and which AWS showed, before that, as the ledger has it."""
    here = terms_of(license_)
    return _found(license_, (), here=here, there=here)


def missing_here(rows: Iterable[Row], *, claims: Claims, at: datetime) -> list[Found]:
    """The licenses that AWS shows and the ledger does not have, each once."""
    by_key: dict[Name, list[Row]] = {}
    for row in rows:
        if row.is_live(at=at) and claims.owner(row) is None and row.names:
            by_key.setdefault(row.names[0], []).append(row)
    found = []
    for of_key in by_key.values():
        there = _shown(of_key, (), names=(), at=at)
        if there.seats_max > 0:
            names = tuple(dict.fromkeys(name for row in of_key for name in _unclaimed(row, claims)))
            found.append(
                Found(
                    kinds=(DriftKind.MISSING_HERE,),
                    license_id=None,
                    product_code=of_key[0].product_code,
                    names=names,
                    here=None,
                    there=there,
                )
            )
    return found


def _unclaimed(row: Row, claims: Claims) -> tuple[Name, ...]:
    """The names of a row but for a customer whose license is another one."""
    return tuple(name for name in row.names if name[0] is not KeyKind.CUSTOMER or name not in claims.owners)


def terms_of(license_: License) -> Terms | None:
    """What the ledger says of a license; null where nothing runs."""
    subscription = license_.running
    return None if subscription is None else Terms(seats_max=subscription.seats_max, renews_at=subscription.renews_at)


def seats_lost(here: Terms | None, there: Terms | None) -> int | None:
    """How many seats are lost from here to there; all of them where they end earlier. Null where nothing is."""
    if here is None:
        return None
    if there is None or there.ends_before(here):
        return here.seats_max
    return here.seats_max - there.seats_max if there.seats_max < here.seats_max else None


def _kinds(here: Terms, there: Terms, *, started: bool) -> tuple[DriftKind, ...]:
    number = (DriftKind.NUMBER,) if here.seats_max != there.seats_max else ()
    date = (DriftKind.DATE,) if started and here.renews_at != there.renews_at else ()
    return number + date


def _shown(live: Sequence[Row], agreements: Sequence[Agreement], *, names: Sequence[Name], at: datetime) -> Terms:
    """What live rows say was bought, by the rule of every reading."""
    arns = [value for kind, value in names if kind is KeyKind.LICENSE_ARN]
    rows = [
        LiveRow(seats=row.seats, expires_at=row.expires_at, names=row.names)
        for row in live
        if row.seats is not None and row.expires_at is not None
    ]
    bought = succession.bought(succession.generations(rows, agreements, license_arns=arns), at=at)
    return Terms(seats_max=bought.seats_max, renews_at=bought.renews_at)


def _conflict(license_: License, live: Sequence[Row], *, claims: Claims) -> str | None:
    """Why the rows can't be this license's without a doubt."""
    if any(row.product_code != license_.product_code for row in live):
        return _OF_ANOTHER_PRODUCT
    accounts = {value for kind, value in license_.names if kind is KeyKind.ACCOUNT}
    if accounts and any(row.account is not None and row.account not in accounts for row in live):
        return _OF_ANOTHER_ACCOUNT
    other = next((owner for row in live if (owner := claims.other_owner(row)) is not None), None)
    return None if other is None else _OF_TWO.format(other=other)


def _new_arns(license_: License, live: Sequence[Row]) -> tuple[Name, ...]:
    """The ARNs of which the ledger did not know that they are this license's."""
    known = set(license_.names)
    told = dict.fromkeys((KeyKind.LICENSE_ARN, row.license_arn) for row in live if row.license_arn is not None)
    return tuple(name for name in told if name not in known)


def _found(
    license_: License,
    kinds: tuple[DriftKind, ...],
    *,
    here: Terms | None,
    there: Terms | None,
    reason: str | None = None,
    new: tuple[Name, ...] = (),
) -> Found:
    lost = None if reason is not None else seats_lost(here, there)
    left = there if lost is not None and there is not None else None
    deleted = 0 if left is None else decisions.preview_limit(license_, seats_max=left.seats_max).seats_deleted
    return Found(
        kinds=kinds,
        license_id=license_.license_id,
        product_code=license_.product_code,
        names=(*license_.names, *new),
        here=here,
        there=there,
        seats_lost=lost or 0,
        is_loss=lost is not None,
        reason=reason,
        seats_active=license_.seats_active,
        seats_deleted=deleted,
    )
