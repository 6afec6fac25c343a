"""What every measurement of the ledger does with it: a license, users who take its seats, and seats by the thousand."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import sqlalchemy

from bench.load import together
from ledger.ids import random_id
from ledger.ledger import Ledger, LedgerSettings
from ledger.license import decisions
from ledger.license.events import Actor, ActorRole, KeyKind, LicenseId
from ledger.seats import CHANGES_MAX, Change, SeatChange
from ledger.store.url import DatabaseUrl
from ledger.transaction import Caller, Transaction, Work
from ledger.users import parse_user

CLIENT: Final = Caller(Actor(ActorRole.CLIENT, "key-5f1c"), cause="7b0b8a52-7a3a-4f0e-9a55-3d1c3a0e6b10")
PLENTY: Final = 10_000_000


@contextmanager
def opened(url: DatabaseUrl, *, tables: Sequence[sqlalchemy.MetaData] = ()) -> Iterator[Ledger]:
    """The ledger in this database, by its own clock."""
    ledger = Ledger.open(LedgerSettings(url=url), tables=tables)
    try:
        yield ledger
    finally:
        ledger.close()


def new_license(ledger: Ledger) -> LicenseId:
    """A license with plenty of seats."""
    license_id = LicenseId(random_id())
    arn = (KeyKind.LICENSE_ARN, f"arn:aws:license-manager::123456789012:license:l-{license_id}")

    def decide(transaction: Transaction) -> None:
        issued = decisions.issue_license(transaction.any_license(license_id), product_code="softphone", names=[arn])
        license_ = transaction.append(license_id, issued)
        started = decisions.observe_subscription(
            license_, seats_max=PLENTY, renews_at=transaction.at + timedelta(days=365), confirmed=False
        )
        transaction.append(license_id, started)

    ledger.submit(Work(decide=decide, caller=CLIENT, licenses=(license_id,)))
    return license_id


def activation(ledger: Ledger, license_id: LicenseId) -> Callable[[str], object]:
    """What lets a user take a seat."""
    return lambda user: ledger.seats.activate(license_id, user=parse_user(user), caller=CLIENT)


def activate_together(ledger: Ledger, license_id: LicenseId, *, callers: int, users: Sequence[str]) -> float:
    """Let users take seats, so many at once; returns the seconds that it took."""
    parsed = [parse_user(user) for user in users]

    def call(number: int) -> None:
        for user in parsed[number::callers]:
            ledger.seats.activate(license_id, user=user, caller=CLIENT)

    return together(callers, call)


def fill(ledger: Ledger, license_id: LicenseId, users: Sequence[str]) -> None:
    """Let users take seats, as many in one command as it takes."""
    for begin in range(0, len(users), CHANGES_MAX):
        changes = [
            SeatChange(change=Change.ACTIVATE, user=parse_user(user)) for user in users[begin : begin + CHANGES_MAX]
        ]
        ledger.seats.change_many(license_id, changes=changes, caller=CLIENT)


def seats_active(ledger: Ledger, license_id: LicenseId) -> int:
    """How many users have a seat."""
    return ledger.past.license_now(license_id).seats_active
