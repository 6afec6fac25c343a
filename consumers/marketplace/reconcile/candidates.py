"""Candidates for a succession: what AWS does not link, and a person may. They are proposed, never applied."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy

from consumers.marketplace.names import value_of
from consumers.marketplace.reconcile.comparing import Found
from consumers.marketplace.reconcile.runs import Run
from consumers.marketplace.reconcile.tables import COMPARED
from ledger.drift import Candidate, CandidateSide
from ledger.ledger import Ledger
from ledger.license import decisions
from ledger.license.events import KeyKind, LicenseId
from ledger.license.state import License
from ledger.times import microseconds, moment
from ledger.transaction import Transaction

NEAR: Final = timedelta(days=14)
"""How far from the end of the older license the newer one may begin."""
NEW_FOR: Final = timedelta(days=30)
"""How long a license is proposed as somebody's successor."""
CANDIDATES_MAX: Final = 200

IN_USE: Final = (
    "The newer license has users or blocks of its own, so that the two can't become one as they are: delete its users"
    " and lift its blocks first, if they are one."
)
_LEGACY: Final = (
    "AWS names the newer license by its legacy customer alone, and the older one is read by its LicenseArn, so that the"
    " new seats would not be seen behind it. They go on beside each other."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """An older and a newer license of one account and product."""

    license_id: LicenseId
    ended_at: datetime
    successor_id: LicenseId
    product_code: str
    account: str


def note(transaction: Transaction, run: Run, licenses: Sequence[License], found: Iterable[Found]) -> None:
    """Keep what of these licenses tells whether one is another one renewed."""
    not_shown = {one.license_id for one in found if one.there is None and one.is_loss}
    values = [
        {
            "run": run.number,
            "license_id": license_.license_id,
            "product_code": license_.product_code,
            "account": account,
            "runs": int(license_.running is not None and license_.license_id not in not_shown),
            "ends_at": microseconds(ends_at),
        }
        for license_, account, ends_at in (
            (one, one.name(KeyKind.ACCOUNT), _ends_at(one, not_shown=one.license_id in not_shown, at=transaction.at))
            for one in licenses
        )
        if account is not None and ends_at is not None
    ]
    if values:
        transaction.rows.execute(sqlalchemy.insert(COMPARED), values)


def find(reading: sqlalchemy.Connection, run: Run, ledger: Ledger, *, at: datetime) -> tuple[Candidate, ...]:
    """The licenses that may be successors of others."""
    paired = (_candidate(ledger, pair, at=at) for pair in _pairs(reading, run, at=at))
    return tuple(candidate for candidate in paired if candidate is not None)


def is_near(*, ended_at: datetime, began_at: datetime, at: datetime) -> bool:
    """Whether a license that began then may be one renewed that ended then."""
    return abs(began_at - ended_at) <= NEAR and at - began_at <= NEW_FOR


def _ends_at(license_: License, *, not_shown: bool, at: datetime) -> datetime | None:
    subscription = license_.subscription
    if subscription is None:
        return None
    if subscription.lapse is not None:
        return subscription.lapse.ended_at
    return min(subscription.renews_at, at) if not_shown else subscription.renews_at


def _pairs(reading: sqlalchemy.Connection, run: Run, *, at: datetime) -> list[Pair]:
    older, newer = COMPARED.alias("older"), COMPARED.alias("newer")
    query = (
        sqlalchemy.select(older, newer.c.license_id.label("successor_id"))
        .where(
            older.c.run == run.number,
            newer.c.run == run.number,
            older.c.account == newer.c.account,
            older.c.product_code == newer.c.product_code,
            older.c.license_id != newer.c.license_id,
            newer.c.runs == 1,
            older.c.ends_at < newer.c.ends_at,
            older.c.ends_at >= microseconds(at - NEW_FOR - NEAR),
            older.c.ends_at <= microseconds(at + NEAR),
        )
        .order_by(older.c.license_id, newer.c.license_id)
        .limit(CANDIDATES_MAX)
    )
    return [_pair(row) for row in reading.execute(query)]


def _pair(row: "sqlalchemy.Row[Any]") -> Pair:
    return Pair(
        license_id=LicenseId(row.license_id),
        ended_at=moment(row.ends_at),
        successor_id=LicenseId(row.successor_id),
        product_code=row.product_code,
        account=row.account,
    )


def _candidate(ledger: Ledger, pair: Pair, *, at: datetime) -> Candidate | None:
    older, newer = (ledger.past.events_until(one, version=1)[0] for one in (pair.license_id, pair.successor_id))
    began_at = newer.recorded_at
    if older.recorded_at >= began_at or not is_near(ended_at=pair.ended_at, began_at=began_at, at=at):
        return None
    ended, newcomer = (ledger.past.license_now(one) for one in (pair.license_id, pair.successor_id))
    names = tuple(reversed(newcomer.names))
    kinds = (KeyKind.LICENSE_ARN, KeyKind.AGREEMENT, KeyKind.CUSTOMER)
    key = next((value for kind in kinds if (value := value_of(names, kind)) is not None), None)
    if key is None:
        return None
    return Candidate(
        license_id=pair.license_id,
        ended_at=pair.ended_at,
        successor_id=pair.successor_id,
        began_at=began_at,
        key=key,
        product_code=pair.product_code,
        customer_id=pair.account,
        older=_side(ended),
        newer=_side(newcomer),
        obstacle=_obstacle(ended, newcomer),
    )


def _obstacle(older: License, newer: License) -> str | None:
    if decisions.has_users(newer):
        return IN_USE
    is_legacy = newer.name(KeyKind.LICENSE_ARN) is None and newer.name(KeyKind.AGREEMENT) is None
    return _LEGACY if is_legacy and older.name(KeyKind.LICENSE_ARN) is not None else None


def _side(license_: License) -> CandidateSide:
    subscription = license_.subscription
    return CandidateSide(
        seats_max=None if subscription is None else subscription.seats_max, seats_active=license_.seats_active
    )
