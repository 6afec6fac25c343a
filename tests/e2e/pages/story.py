"""The story that the pages show: some customers of a vendor, what they bought, and who uses it."""

import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

import flask
from werkzeug.serving import WSGIRequestHandler, make_server

from api import sign_ins
from api.app import ApiSettings, Parts, create_app
from consumers.marketplace import METADATA, MarketplaceInbox, MarketplaceOperating
from ledger.keys import KeyScope
from ledger.ledger import Ledger, LedgerSettings
from ledger.license import decisions
from ledger.license.events import (
    Actor,
    ActorRole,
    BlockReason,
    Contact,
    KeyKind,
    LapseReason,
    LicenseId,
    RenewalIntent,
    SeatId,
)
from ledger.registration import (
    MarketplaceIsUnavailableError,
    ProductIsNotOursError,
    RegistrationTokenIsExpiredError,
    RegistrationTokenIsInvalidError,
    Resolved,
)
from ledger.seats import Change, SeatChange
from ledger.store.url import DatabaseUrl
from ledger.system.events import KeyRole
from ledger.times import system_now
from ledger.transaction import Caller, Transaction, Work
from ledger.users import parse_user
from projections.views import Views, ViewsSettings
from tests.e2e.pages.reports import Reports

MARKETPLACE: Final = Caller(Actor(ActorRole.MARKETPLACE, "sqs"), "0b1f9a52-52b5-4a4e-8d1c-3a9e0a6f7c11")
CLIENT: Final = Caller(Actor(ActorRole.CLIENT, "key-c1"), "5c1d7b1e-0f5d-4c84-9f0e-2f0c5a0b9d02")
ADMIN: Final = Caller(Actor(ActorRole.ADMIN, "sign-in-a1"), "8a55c7f2-7f39-4a37-8f4b-3c1b9f6f5d03")
OPERATOR: Final = Caller(Actor(ActorRole.OPERATOR, "key-o1"), "c0ffee00-0f5d-4c84-9f0e-2f0c5a0b9d04")

PRODUCT_CODE: Final = "4vx8kn2qpr7mty3wdz6hbcj5s"
PRODUCT: Final = "prod-k7m2xq4wv5nhy"

NOT_YET: Final = LicenseId("")

ADA: Final = "Ada Lovelace"
GRACE: Final = "Grace Hopper"
JOAN: Final = "Joan Clarke"
MARGARET: Final = "Margaret Hamilton"
USERS: Final = (
    ADA,
    GRACE,
    JOAN,
    MARGARET,
    "Annie Easley",
    "Barbara Liskov",
    "Dorothy Vaughan",
    "Edith Clarke",
    "Frances Allen",
    "Katherine Johnson",
    "Mary Jackson",
    "Radia Perlman",
    "Sophie Wilson",
)


class Clock:
    """A clock that stories set."""

    def __init__(self) -> None:
        """Begin at the machine's time."""
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """The time of the story."""
        return system_now() + self.ahead


@dataclass(kw_only=True)
class Marketplace:
    """AWS Marketplace as registration meets it; a token stands for one answer of it."""

    ledger: Ledger
    tokens: dict[str, Resolved | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def resolve(self, token: str, *, cause: str) -> Resolved:
        """What AWS says of a token."""
        assert cause
        self.asked.append(token)
        answer = self.tokens.get(token, RegistrationTokenIsInvalidError())
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass(kw_only=True)
class Story:
    """Everything that a test holds in its hands."""

    clock: Clock
    ledger: Ledger
    views: Views
    marketplace: Marketplace
    reports: Reports
    app: flask.Flask
    path: Path
    noon: LicenseId = NOT_YET
    dusk: LicenseId = NOT_YET
    dawn: LicenseId = NOT_YET
    night: LicenseId = NOT_YET
    keys: dict[str, str] = field(default_factory=dict)

    def go_on(self, told: Self) -> None:
        """Know what was told before."""
        self.noon, self.dusk, self.dawn, self.night = told.noon, told.dusk, told.dawn, told.night
        self.keys = dict(told.keys)
        self.marketplace.tokens = dict(told.marketplace.tokens)

    def caught_up(self) -> None:
        """Wait until the views have everything."""
        assert self.views.wait_for(self.ledger.head().position, timeout_seconds=10)

    def seat_of(self, user: str, license_id: LicenseId | None = None) -> SeatId:
        """The seat of a user who was heard of."""
        return self.ledger.seats.access(
            license_id or self.noon, user=parse_user(user), caller=OPERATOR
        ).seat_id or SeatId("")

    def status_of(self, user: str) -> str:
        """Where a user of NOON stands."""
        return self.ledger.past.license_now(self.noon).seats[self.seat_of(user)].status.value

    def issue_key(self, name: str, role: KeyRole, *licenses: LicenseId) -> str:
        """Give out a key."""
        scope = KeyScope(licenses=licenses or None)
        secret = self.ledger.keys.issue(name=name, role=role, scope=scope, expires_at=None, caller=OPERATOR)[1]
        self.keys[name] = secret
        return secret


@contextmanager
def open_story(folder: Path, *, told: Story | None = None) -> Iterator[Story]:
    """The ledger of the story, in a folder.

    Args:
        folder: an empty one.
        told: the story as it was told before, and closed; it goes on from there.
    """
    if told is not None:
        shutil.copytree(told.path.parent, folder, dirs_exist_ok=True)
    clock, path = Clock(), folder / "ledger.db"
    ledger = Ledger.open(LedgerSettings(url=DatabaseUrl.of_file(path)), now=clock, tables=(sign_ins.METADATA, METADATA))
    views = Views.open(ViewsSettings(url=DatabaseUrl.of_file(folder / "ledger.views.db")), ledger)
    marketplace = Marketplace(ledger=ledger)
    reports = Reports()
    parts = Parts(
        ledger=ledger,
        views=views,
        settings=ApiSettings(secure_cookies=False),
        inbox=MarketplaceInbox(ledger),
        succession=MarketplaceOperating(ledger),
        registration=marketplace,
        drift=reports,
    )
    views.start()
    try:
        story = Story(
            clock=clock,
            ledger=ledger,
            views=views,
            marketplace=marketplace,
            reports=reports,
            app=create_app(parts),
            path=path,
        )
        if told is None:
            tell(story)
        else:
            story.go_on(told)
        story.caught_up()
        yield story
    finally:
        views.stop()
        ledger.close()


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The app logs its requests itself."""


@contextmanager
def served(app: flask.Flask) -> Iterator[str]:
    """Serve an app on a free port; gives its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tell(story: Story) -> None:
    """What happened until now."""
    clock, ledger = story.clock, story.ledger
    clock.ahead = timedelta(days=-60)
    story.noon = buy(ledger, account="123456789012", seats=10, days=365 - 60, agreement="agmt-9x2k4m7q")
    announce(ledger, story.noon, RenewalIntent.RENEWS)
    register(ledger, story.noon, "Noon Telephony")
    clock.ahead = timedelta(days=-59, hours=-3)
    sign_in(story, story.noon, USERS[:6])
    clock.ahead = timedelta(days=-30, hours=2)
    observe(ledger, story.noon, seats=5, days=335)
    clock.ahead = timedelta(days=-30, hours=3)
    sign_in(story, story.noon, USERS[:5])
    clock.ahead = timedelta(days=-21, hours=1)
    observe(ledger, story.noon, seats=25, days=326)
    clock.ahead = timedelta(days=-9, hours=-4)
    sign_in(story, story.noon, USERS[5:])
    clock.ahead = timedelta(days=-6, hours=-1)
    block(ledger, story.noon, JOAN, BlockReason.LEFT, "Last day was Friday.")
    clock.ahead = timedelta(days=-3, hours=-6)
    change(ledger, story.noon, ["Edith Clarke"], Change.DELETE)
    clock.ahead = timedelta(days=-1)
    block(ledger, story.noon, "Dorothy Vaughan", BlockReason.FREE_A_SEAT, None)
    change(ledger, story.noon, ["Dorothy Vaughan"], Change.UNBLOCK)

    story.dusk = buy(ledger, account="210987654321", seats=80, days=20, agreement="agmt-3h8v1c5z")
    register(ledger, story.dusk, "Dusk Logistics")
    change(ledger, story.dusk, [f"agent {number:03}" for number in range(1, 74)], Change.ACTIVATE)
    story.dawn = issue(ledger, account="555566667777", agreement="agmt-7b0n2d4f")
    story.night = buy(ledger, account="888899990000", seats=3, days=200, agreement="agmt-1q5w9e3r")
    register(ledger, story.night, "Night Shift Support")
    sign_in(story, story.night, ["Hedy Lamarr", "Ida Rhodes"])
    clock.ahead = timedelta(hours=-5)
    lapse(ledger, story.night)
    clock.ahead = timedelta()
    story.issue_key("operator", KeyRole.OPERATOR)
    story.issue_key("admin", KeyRole.ADMIN, story.noon)
    story.issue_key("auditor", KeyRole.AUDITOR, story.noon)
    story.issue_key("client", KeyRole.CLIENT, story.noon)
    dawn, noon = _resolved(story.dawn, "555566667777"), _resolved(story.noon, "123456789012", seats=25)
    story.marketplace.tokens.update(
        {
            "token-of-dawn": dawn,
            "token-of-noon": noon,
            "token-expired": RegistrationTokenIsExpiredError(),
            "token-of-another-product": ProductIsNotOursError(),
            "token-while-aws-is-down": MarketplaceIsUnavailableError(),
        }
    )


def _resolved(license_id: LicenseId, account: str, *, seats: int | None = None) -> Resolved:
    return Resolved(
        license_id=license_id,
        customer_id=account,
        product_code=PRODUCT_CODE,
        seats_max=seats,
        renews_at=datetime(2027, 9, 20, tzinfo=UTC) if seats else None,
    )


# -- the steps of a story ----------------------------------------------------------------------------------------------


def issue(ledger: Ledger, *, account: str, agreement: str) -> LicenseId:
    """AWS names a license for the first time."""
    license_id = LicenseId(str(uuid.uuid5(uuid.NAMESPACE_URL, account)))
    names = [
        (KeyKind.LICENSE_ARN, f"arn:aws:license-manager::294406891311:license:l-{account}"),
        (KeyKind.AGREEMENT, agreement),
        (KeyKind.ACCOUNT, account),
        (KeyKind.PRODUCT, PRODUCT),
    ]

    def decide(transaction: Transaction) -> None:
        license_ = transaction.any_license(license_id)
        transaction.append(license_id, decisions.issue_license(license_, product_code=PRODUCT_CODE, names=names))

    ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,)))
    return license_id


def buy(ledger: Ledger, *, account: str, seats: int, days: int, agreement: str) -> LicenseId:
    """A customer buys, and AWS tells the number."""
    license_id = issue(ledger, account=account, agreement=agreement)
    observe(ledger, license_id, seats=seats, days=days)
    return license_id


def observe(ledger: Ledger, license_id: LicenseId, *, seats: int, days: int) -> None:
    """AWS tells the number and the date, twice."""

    def decide(transaction: Transaction) -> None:
        midnight = transaction.at.replace(hour=23, minute=59, second=59, microsecond=0)
        before = transaction.license(license_id).subscription
        renews_at = before.renews_at if before else midnight + timedelta(days=days)
        events = decisions.observe_subscription(
            transaction.license(license_id), seats_max=seats, renews_at=renews_at, confirmed=True
        )
        transaction.append(license_id, events)

    ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,)))


def announce(ledger: Ledger, license_id: LicenseId, renewal: RenewalIntent) -> None:
    """AWS tells what becomes of the contract at its end."""

    def decide(transaction: Transaction) -> None:
        announced = decisions.announce_renewal(
            transaction.license(license_id),
            renewal=renewal,
            source="Purchase Agreement Amended",
            announced_at=transaction.at,
        )
        transaction.append(license_id, announced)

    ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,)))


def lapse(ledger: Ledger, license_id: LicenseId) -> None:
    """The customer cancels."""

    def decide(transaction: Transaction) -> None:
        license_ = transaction.license(license_id)
        events = decisions.lapse_subscription(license_, reason=LapseReason.CANCELLED, at=transaction.at)
        transaction.append(license_id, events)

    ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,)))


def register(ledger: Ledger, license_id: LicenseId, company_name: str) -> None:
    """The company registers."""
    contact = Contact(name="Noor Haddad", email="noor@example.com", phone="+1 206 555 0100")
    ledger.companies.register(license_id, company_name=company_name, contact=contact, caller=ADMIN)


def sign_in(story: Story, license_id: LicenseId, users: Sequence[str]) -> None:
    """Users sign in to the client, one after the other."""
    for user in users:
        story.clock.ahead += timedelta(minutes=7)
        story.ledger.seats.sign_in(license_id, user=parse_user(user), caller=CLIENT)


def block(ledger: Ledger, license_id: LicenseId, user: str, reason: BlockReason, note: str | None) -> None:
    """An administrator blocks a user."""
    ledger.seats.block_user(license_id, user=parse_user(user), reason=reason, note=note, caller=ADMIN)


def change(ledger: Ledger, license_id: LicenseId, users: Sequence[str], what: Change) -> None:
    """An administrator changes the seats of users who were heard of."""
    if what is Change.ACTIVATE:
        changes = [SeatChange(change=what, user=parse_user(user)) for user in users]
    else:
        seats = [ledger.seats.access(license_id, user=parse_user(user), caller=ADMIN).seat_id for user in users]
        changes = [SeatChange(change=what, seat_id=seat_id) for seat_id in seats]
    answer = ledger.seats.change_many(license_id, changes=changes, caller=ADMIN)
    assert not any(result.refusal for result in answer.results)


def overwrite(path: Path) -> None:
    """Leave nothing of a file but its length; what maps it into memory sees that at once."""
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
