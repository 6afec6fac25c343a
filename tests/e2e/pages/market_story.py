"""The story that ledger and sandbox tell together: two products, and contracts in every way in which they live.

A real consumer stands between them, and the sandbox asks the ledger that is served, so that its pages show both sides.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from api.app import ApiSettings, Parts, create_app
from consumers.marketplace import (
    DriftReports,
    MarketplaceInbox,
    MarketplaceOperating,
    MarketplaceSettings,
    ask_for_reconciliation,
)
from consumers.sandbox import (
    AtEnd,
    Contract,
    Generation,
    Intent,
    MischiefPlan,
    Notice,
    Offer,
    Product,
    SandboxSettings,
    SuccessorTerms,
)
from ledger.keys import KeyScope
from ledger.license.events import BlockReason, Contact, KeyKind, LicenseId
from ledger.seats import CHANGES_MAX, Change, SeatChange
from ledger.store.url import DatabaseUrl
from ledger.system.events import KeyRole
from ledger.users import parse_user
from projections.views import Views, ViewsSettings
from tests.e2e.pages.story import served
from tests.integration.consumers_stage import (
    ADMIN,
    ANALYTICAL_ENGINES,
    COMPILERS_INC,
    END_OF_MAY,
    END_OF_NEXT_MAY,
    NOON,
    Stage,
    anew,
    staged,
)

DESK_PHONE: Final = Product(
    code="5rt1bzo6cdm3oeanb9tloudesk", id="prod-deskphonedeskp", title="Desk Phone", dimensions=("phones", "users")
)
RELAY_TELEPHONE: Final = "333344445555"
"""The AWS account of a company with 5,000 users."""
NIGHT_SHIFT: Final = "555566667777"
"""That of one which buys again, by a contract that AWS does not link to the one before."""
SWITCHBOARD: Final = "666677778888"
"""That of one whose renewal was taken for a second license at first."""
CARBON_MICROPHONES: Final = "777788889999"
"""That of one with a contract of the legacy integration, and no user yet."""
NEXT_YEAR: Final = "888899990000"
"""That of one whose contract begins later."""
ECHO: Final = "999900001111"
"""That of one of whose purchase every message was lost."""
PILOT: Final = "121212121212"
"""That of one which only tries, for a week."""
LONG_NAME: Final = (
    "Compilers & Calculating Machinery Manufacturing Company of Philadelphia and Camden, New Jersey"
    " (International Holdings) GmbH & Co. KG"
)
USERS: Final = ("Ada Lovelace", "Grace Hopper", "Katherine Johnson", "Mary Jackson")
LARGE: Final = 5_000
"""So many users has the largest license."""
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Market:
    """What a test holds in its hands.

    Attributes:
        stage: the consumer between the sandbox and the ledger.
        address: of the ledger's pages.
        keys: by role.
        licenses: by AWS account, the oldest of each.
        contracts: by AWS account, the newest of each.
        folded: the license that turned out to be a twin.
        now: the time of the ledger when everything is told.
    """

    stage: Stage
    address: str
    keys: Mapping[str, str]
    licenses: Mapping[str, LicenseId]
    contracts: Mapping[str, Contract]
    folded: LicenseId
    now: datetime

    @property
    def sandbox_pages(self) -> Sequence[str]:
        """The addresses of every page of the sandbox."""
        contracts = [f"/contracts/{contract.agreement_id}" for contract in self.contracts.values()]
        return ("/", f"/?product={DESK_PHONE.code}", *contracts, "/clock", "/messages", "/mischief", "/nothing")


@contextmanager
def open_market(folder: Path) -> Iterator[Market]:
    """Tell the story in an empty folder, and serve the ledger's pages beside the sandbox's."""
    with staged(
        DatabaseUrl.of_file(folder / "ledger.db"), change=_with_desk_phones, change_sandbox=_selling_desk_phones
    ) as stage:
        views = Views.open(ViewsSettings(url=DatabaseUrl.of_file(folder / "ledger.views.db")), stage.ledger)
        views.start()
        parts = Parts(
            ledger=stage.ledger,
            views=views,
            settings=ApiSettings(secure_cookies=False),
            inbox=MarketplaceInbox(stage.ledger),
            succession=MarketplaceOperating(stage.ledger),
            drift=DriftReports(stage.ledger),
        )
        try:
            with served(create_app(parts)) as address:
                folded = _tell(stage)
                keys = {role.value: _key(stage, role) for role in (KeyRole.OPERATOR, KeyRole.AUDITOR)}
                stage.sandbox.ask_ledger(url=address, key=keys["auditor"])
                assert views.wait_for(stage.ledger.head().position, timeout_seconds=30)
                yield Market(
                    stage=stage,
                    address=address,
                    keys=keys,
                    licenses=_licenses(stage),
                    contracts={contract.account_id: contract for contract in stage.sandbox.marketplace.contracts},
                    folded=folded,
                    now=stage.clock(),
                )
        finally:
            views.stop()


def _with_desk_phones(settings: MarketplaceSettings) -> MarketplaceSettings:
    return replace(settings, products={**settings.products, DESK_PHONE.code: frozenset(DESK_PHONE.dimensions)})


def _selling_desk_phones(settings: SandboxSettings) -> SandboxSettings:
    # Nobody is there: the button is looked at, and not pressed.
    return replace(settings, products=(DESK_PHONE,), fulfillment_url="http://127.0.0.1:9/marketplace/register")


def _key(stage: Stage, role: KeyRole) -> str:
    return stage.ledger.keys.issue(name=role.value, role=role, scope=KeyScope(), expires_at=None, caller=ADMIN)[1]


def _licenses(stage: Stage) -> dict[str, LicenseId]:
    found: dict[str, LicenseId] = {}
    for license_ in stage.licenses():
        found.setdefault(license_.name(KeyKind.ACCOUNT) or "", license_.license_id)
    return found


def _tell(stage: Stage) -> LicenseId:
    """What happened until now; returns the license that turned out to be a twin."""
    market = stage.sandbox.marketplace
    engines = stage.buy(seats=5)
    compilers = market.buy(
        account_id=COMPILERS_INC,
        seats={"phones": 40, "users": 1_200},
        until=END_OF_MAY,
        offer=Offer(product_code=DESK_PHONE.code),
    ).contract
    stage.buy(seats=6_000, account_id=RELAY_TELEPHONE)
    night = stage.buy(seats=3, account_id=NIGHT_SHIFT, until=NOON + 5 * DAY)
    switchboard = stage.buy(seats=12, account_id=SWITCHBOARD)
    stage.buy(seats=20, account_id=CARBON_MICROPHONES, generation=Generation.LEGACY)
    stage.consume()
    _use(stage)

    stage.clock.move(DAY)
    market.succeed(engines.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, seats=8))
    market.succeed(
        compilers.agreement_id,
        SuccessorTerms(until=END_OF_NEXT_MAY, intent=Intent.REPLACE, seats={"phones": 60, "users": 1_500}),
    )
    twin = market.succeed(
        switchboard.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY, seats=15, is_linked=False)
    ).contract
    begins_later = Offer(starts_at=NOON + 60 * DAY, via_partner=True, at_end=AtEnd.EXPIRE)
    market.buy(account_id=NEXT_YEAR, seats=30, until=END_OF_NEXT_MAY, offer=begins_later)
    stage.consume()
    stage.send(_says_it_follows(stage, twin, switchboard))
    stage.consume()
    (folded,) = (one.license_id for one in stage.licenses() if one.folded_into is not None)

    stage.clock.move(2 * DAY)
    market.buy(account_id=NIGHT_SHIFT, seats=4, until=END_OF_NEXT_MAY)
    stage.consume()
    stage.clock.move(3 * DAY)
    market.expire(night.agreement_id)
    market.buy(account_id=PILOT, seats=2, until=stage.clock() + 2 * DAY, auto_renews=False)
    stage.consume()
    _have_a_bad_day(stage)
    _compare(stage)
    _move_the_clock(stage)
    return folded


def _use(stage: Stage) -> None:
    """Companies register, and users take seats."""
    licenses = _licenses(stage)
    names = {
        ANALYTICAL_ENGINES: "Analytical Engines",
        COMPILERS_INC: LONG_NAME,
        RELAY_TELEPHONE: "Relay Telephone",
        NIGHT_SHIFT: "Night Shift Support",
        SWITCHBOARD: "Switchboard & Sons",
    }
    contact = Contact(name="Noor Haddad", email="noor@example.com", phone="+1 206 555 0100")
    for account, name in names.items():
        stage.ledger.companies.register(licenses[account], company_name=name, contact=contact, caller=ADMIN)
    for account in (ANALYTICAL_ENGINES, COMPILERS_INC):
        _activate(stage, licenses[account], USERS)
    _activate(stage, licenses[NIGHT_SHIFT], USERS[:2])
    _activate(stage, licenses[RELAY_TELEPHONE], [f"agent.{number:04}@relay.example" for number in range(LARGE)])
    stage.ledger.seats.block_user(
        licenses[COMPILERS_INC],
        user=parse_user("a.very.long.name.that.somebody.signs.in.with@calculating-machinery.example.com"),
        reason=BlockReason.LEFT,
        note="Last day was Friday.",
        caller=ADMIN,
    )


def _activate(stage: Stage, license_id: LicenseId, users: Sequence[str]) -> None:
    for first in range(0, len(users), CHANGES_MAX):
        changes = [
            SeatChange(change=Change.ACTIVATE, user=parse_user(user)) for user in users[first : first + CHANGES_MAX]
        ]
        answer = stage.ledger.seats.change_many(license_id, changes=changes, caller=ADMIN)
        assert not any(result.refusal for result in answer.results)


def _says_it_follows(stage: Stage, contract: Contract, before: Contract) -> str:
    """Purchase Agreement Created once more, with the agreement before that AWS did not name at first."""
    created = next(
        json.loads(message.body)
        for message in stage.sandbox.marketplace.messages
        if message.agreement_id == contract.agreement_id and message.title.startswith("Purchase Agreement Created")
    )
    agreement = {**created["detail"]["agreement"], "previousAgreementId": before.agreement_id, "intent": "RENEW"}
    return anew(created, detail={"agreement": agreement})


def _have_a_bad_day(stage: Stage) -> None:
    """Some messages come twice or late, and one purchase is not heard of at all."""
    market = stage.sandbox.marketplace
    market.mischief.set(MischiefPlan(seed=1, drop=1.0))
    stage.buy(seats=7, account_id=ECHO)
    market.mischief.set(MischiefPlan(seed=7, duplicate=0.4, delay_seconds=(0.0, 90.0), throttle=0.1, missing_row=0.05))
    engines = next(one for one in reversed(market.contracts) if one.account_id == ANALYTICAL_ENGINES)
    for seats in (9, 10, 12):
        market.set_seats(engines.agreement_id, seats=seats)
    market.give_notice(engines.agreement_id, Notice.ADVISORY_ISSUED)
    market.flush()
    stage.consume()


def _compare(stage: Stage) -> None:
    """Let somebody ask whether the ledger agrees with AWS, without mending anything."""
    number = ask_for_reconciliation(stage.ledger, dry_run=True, apply_losses=False)
    reports = DriftReports(stage.ledger)
    while reports.report(number) is None:
        if not stage.consumer.run_once():
            stage.clock.move(timedelta(seconds=10))


def _move_the_clock(stage: Stage) -> None:
    """Let a week pass in the sandbox, by its page."""
    with urlopen(f"{stage.sandbox.url}/clock", data=b"step=week", timeout=30) as answer:  # noqa: S310 -- our own server
        assert b"What happened in between" in answer.read()
    stage.sandbox.marketplace.flush()
    stage.consume()
