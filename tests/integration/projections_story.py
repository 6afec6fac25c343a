"""The customers and users of the projections' tests, and a ledger with its views in a directory of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ledger.ledger import Ledger, LedgerSettings
from ledger.license import decisions
from ledger.license.events import Actor, ActorRole, BlockReason, KeyKind, LicenseId, SeatId
from ledger.seats import SeatAnswer
from ledger.store.url import DatabaseUrl
from ledger.transaction import Caller, Transaction, Work
from ledger.users import parse_user
from projections.history import HistoryQuery
from projections.seats import SeatQuery
from projections.views import Views, ViewsSettings
from tests.integration.ledgers import url_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
IN_A_YEAR = NOON + timedelta(days=365)
ANALYTICAL = LicenseId("0a000000-0000-4000-8000-000000000001")
"""The license of Analytical Engines, where Ada and Grace work."""
BOMBE = LicenseId("0b000000-0000-4000-8000-000000000002")
"""The license of Bombe Ltd., another customer."""
ADMIN = Caller(Actor(ActorRole.ADMIN, "key-of-the-admin"), "req-1")
VIEWS = "ledger.views"
"""The name of the views' database where nothing else is said."""
MARKETPLACE = Caller(Actor(ActorRole.MARKETPLACE, "sqs"), "message-1")


class UserIsUnknownError(Exception):
    """The story has not heard of this user."""


@dataclass(kw_only=True)
class Clock:
    """A clock that a test sets."""

    at: datetime = field(default=NOON)

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.at


@dataclass(kw_only=True)
class Story:
    """A ledger with its views, and what happens to it."""

    folder: Path
    database: Path
    clock: Clock
    ledger: Ledger
    views: Views

    def buy(self, license_id: LicenseId = ANALYTICAL, *, seats_max: int = 5, renews_at: datetime = IN_A_YEAR) -> None:
        """AWS Marketplace tells of a purchase, or of another number or date."""

        def decide(transaction: Transaction) -> None:
            names = ((KeyKind.ACCOUNT, "123456789012"), (KeyKind.PRODUCT, "prod-softphone"))
            before = transaction.any_license(license_id)
            issued = decisions.issue_license(before, product_code="softphone", names=names)
            license_ = transaction.append(license_id, issued)
            observed = decisions.observe_subscription(
                license_, seats_max=seats_max, renews_at=renews_at, confirmed=True
            )
            transaction.append(license_id, observed)

        self.ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,)))

    def activate(self, name: str, license_id: LicenseId = ANALYTICAL) -> SeatAnswer:
        """A user takes a seat."""
        return self.ledger.seats.activate(license_id, user=parse_user(name), caller=ADMIN)

    def block(self, name: str, license_id: LicenseId = ANALYTICAL, *, note: str | None = None) -> SeatAnswer:
        """A user is kept out."""
        return self.ledger.seats.block_user(
            license_id, user=parse_user(name), reason=BlockReason.LEFT, note=note, caller=ADMIN
        )

    def seat_of(self, name: str) -> SeatId:
        """The seat that a user of Analytical Engines has, as the last access told it."""
        answer = self.ledger.seats.access(ANALYTICAL, user=parse_user(name), caller=ADMIN)
        if answer.seat_id is None:
            raise UserIsUnknownError
        return answer.seat_id

    def open_views(self, name: str = VIEWS) -> Views:
        """Open views of the ledger once more, as another process would."""
        return Views.open(ViewsSettings(url=views_url(self.database, name)), self.ledger)

    def told(self, views: Views | None = None) -> dict[str, Any]:
        """Everything that the views say."""
        views = views or self.views
        return {str(license_id): all_told(views, license_id, at=NOON) for license_id in (ANALYTICAL, BOMBE)}


def all_told(views: Views, license_id: LicenseId, *, at: datetime) -> dict[str, Any]:
    """Everything that the views say of one license."""
    return {
        "information": views.licenses.get(license_id, at=at),
        "seats": views.seats.list(license_id, SeatQuery(), after=None, limit=10_000),
        "counts": views.seats.counts(license_id),
        "history": views.history.list(license_id, HistoryQuery(), after=None, limit=10_000),
    }


def views_url(database: Path, name: str = VIEWS) -> DatabaseUrl:
    """Where views are kept: a file of their own, or the ledger's own PostgreSQL database; by another name, another."""
    if name == VIEWS and database.suffix != ".db":
        return url_of(database)
    return url_of(database.with_name(f"{name}{database.suffix}"))


@contextmanager
def open_ledger(database: Path, clock: Clock) -> Iterator[Ledger]:
    """The ledger in the database for which a path stands."""
    ledger = Ledger.open(LedgerSettings(url=url_of(database)), now=clock)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def tell(database: Path) -> Iterator[Story]:
    """Begin a story at noon."""
    clock = Clock()
    with open_ledger(database, clock) as ledger:
        views = Views.open(ViewsSettings(url=views_url(database)), ledger)
        try:
            yield Story(folder=database.parent, database=database, clock=clock, ledger=ledger, views=views)
        finally:
            views.stop()
