"""Ledger and sandbox over one story of two products, in a real browser: by keyboard, on a phone, for everybody."""

import re
from collections.abc import Iterator, Sequence

import pytest
from playwright.sync_api import Browser, Page, expect

from consumers.marketplace import MarketplaceInbox
from consumers.sandbox import MischiefPlan
from ledger.inbox import InboxQuery
from ledger.license.events import LicenseId
from tests.e2e.pages.keyboard import controls, small_targets, walk
from tests.e2e.pages.market_story import (
    CARBON_MICROPHONES,
    DESK_PHONE,
    ECHO,
    LONG_NAME,
    NIGHT_SHIFT,
    PILOT,
    RELAY_TELEPHONE,
    SWITCHBOARD,
    Market,
    open_market,
)
from tests.e2e.pages.window import barriers, open_page, scrolls_sideways
from tests.integration.consumers_stage import COMPILERS_INC

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """The story, told once; a test that changes something does so with a contract of its own."""
    with open_market(tmp_path_factory.mktemp("market")) as market:
        yield market


@pytest.fixture
def ledger_page(market: Market, chromium: Browser) -> Iterator[Page]:
    """The ledger's pages, before an operator."""
    with open_page(chromium, market.address) as (page, _):
        sign_in(page, market)
        yield page


@pytest.fixture
def sandbox_page(market: Market, chromium: Browser) -> Iterator[Page]:
    """The sandbox's pages."""
    with open_page(chromium, market.stage.sandbox.url) as (page, _):
        yield page


def sign_in(page: Page, market: Market) -> None:
    """Sign in as an operator."""
    page.goto("/sign-in")
    page.get_by_label("Key").fill(market.keys["operator"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def ledger_pages(market: Market) -> Sequence[str]:
    """The addresses of the pages that show what the story is about."""
    names = (COMPILERS_INC, RELAY_TELEPHONE, CARBON_MICROPHONES, PILOT)
    licenses = (*(market.licenses[name] for name in names), market.folded)
    return (
        "/",
        "/drift",
        "/inbox",
        f"/inbox/{message_about(market, market.licenses[COMPILERS_INC])}",
        *(f"/licenses/{one}" for one in licenses),
        *(f"/licenses/{market.licenses[one]}/users" for one in names),
        *(f"/licenses/{market.licenses[one]}/history" for one in (COMPILERS_INC, SWITCHBOARD)),
    )


def message_about(market: Market, license_id: LicenseId) -> int:
    """The number of a message after which AWS was read about a license."""
    query = InboxQuery(license_id=license_id, kind="license-updated")
    return MarketplaceInbox(market.stage.ledger).list(query, after=None, limit=1).items[0].number


# -- by keyboard -------------------------------------------------------------------------------------------------------


def assert_can_be_walked(page: Page) -> None:
    """Tab reaches each control once, from top to bottom, and where it is can be seen."""
    stops = walk(page)
    assert [stop.order for stop in stops] == controls(page)
    assert [stop.name for stop in stops if not stop.shows] == []
    assert [stop.name for stop in stops if not stop.is_in_sight] == []


@pytest.mark.parametrize("path", ["/drift", "/inbox", "/"])
def test_an_operators_page_can_be_walked_by_keyboard(ledger_page: Page, path: str) -> None:
    """Drift report, inbox and licenses: in the order in which they are read."""
    ledger_page.goto(path)
    assert_can_be_walked(ledger_page)


@pytest.mark.parametrize("which", ["contract", "contracts", "clock", "mischief"])
def test_a_page_of_the_sandbox_can_be_walked_by_keyboard(market: Market, sandbox_page: Page, which: str) -> None:
    """Also what opens by itself only where it is asked for."""
    contract = f"/contracts/{market.contracts[COMPILERS_INC].agreement_id}"
    sandbox_page.goto({"contract": contract, "contracts": "/"}.get(which, f"/{which}"))
    for closed in sandbox_page.locator("details:not(.message)").all():
        closed.locator("> summary").press("Enter")
    assert_can_be_walked(sandbox_page)


def test_a_contract_is_played_by_keyboard_alone(market: Market, sandbox_page: Page) -> None:
    """Enter opens and sends, Space presses, and what happened is said."""
    page, echo = sandbox_page, market.contracts[ECHO]
    market.stage.sandbox.marketplace.mischief.set(MischiefPlan())
    page.goto(f"/contracts/{echo.agreement_id}")
    seats = page.locator("form[action$='/seats']").get_by_label("Seats")
    seats.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("9")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Set seats")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("status")).to_contain_text(f"Account {ECHO} has 9 seats.")
    page.get_by_text("Let the same agreement go on longer").focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Extend")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Extend")).to_be_hidden()
    page.get_by_role("button", name="Give notice").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is as before.")


# -- for everybody, on every window ------------------------------------------------------------------------------------


def test_no_page_scrolls_sideways_on_a_phone_and_what_is_pressed_is_as_large_as_a_finger(
    market: Market, chromium: Browser
) -> None:
    """At 360 px, with names that are too long for a line and every part opened."""
    with open_page(chromium, market.address, width=360) as (page, _):
        sign_in(page, market)
        for path in ledger_pages(market):
            page.goto(path)
            open_everything(page)
            assert not scrolls_sideways(page), path
            assert small_targets(page) == [], path
    with open_page(chromium, market.stage.sandbox.url, width=360) as (page, _):
        for path in market.sandbox_pages:
            page.goto(path)
            open_everything(page)
            assert not scrolls_sideways(page), path
            assert small_targets(page) == [], path


def open_everything(page: Page) -> None:
    """Open what is closed."""
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_keeps_people_out_of_a_page(market: Market, chromium: Browser, *, dark: bool) -> None:
    """axe-core finds nothing on the sandbox's pages, nor on the ledger's with a twin and two products."""
    with open_page(chromium, market.stage.sandbox.url, dark=dark) as (page, _):
        for path in market.sandbox_pages:
            page.goto(path)
            assert barriers(page) == [], path
    with open_page(chromium, market.address, dark=dark) as (page, _):
        sign_in(page, market)
        for path in ("/", "/drift", "/inbox", f"/licenses/{market.folded}"):
            page.goto(path)
            assert barriers(page) == [], path


# -- several products --------------------------------------------------------------------------------------------------


def test_each_contract_says_of_which_product_it_is(sandbox_page: Page) -> None:
    """By its title, and its seats by dimension."""
    sandbox_page.goto("/")
    card = sandbox_page.get_by_role("article").filter(has_text=COMPILERS_INC)
    expect(card).to_contain_text("1,560 seats (60 phones, 1,500 users)")
    expect(card).to_contain_text("Active, renews on 31 May 2028 · Desk Phone")
    expect(card).to_contain_text("They agree. Both say 1,560 seats")
    card.get_by_role("link", name="Play the contract").click()
    form = sandbox_page.locator("form[action$='/seats']")
    expect(form.get_by_label("Seats: phones")).to_have_value("60")
    expect(form.get_by_label("Seats: users")).to_have_value("1500")


def test_what_differs_stands_before_both_sides(market: Market, sandbox_page: Page) -> None:
    """And a license that has ended shows no seats, as AWS does."""
    sandbox_page.goto(f"/contracts/{market.contracts[ECHO].agreement_id}")
    told = sandbox_page.get_by_role("region", name="Side by side").inner_text()
    assert told.index("They differ.") < told.index("AWS says")
    sandbox_page.goto(f"/contracts/{market.contracts[PILOT].agreement_id}")
    ledger = sandbox_page.get_by_role("group", name="What the ledger shows")
    expect(ledger).to_contain_text(re.compile(r"No seats\s+it had 2 until"))


def test_the_list_says_of_which_product_a_license_is(ledger_page: Page) -> None:
    """As soon as there are several."""
    ledger_page.goto("/")
    expect(ledger_page.get_by_role("row", name=LONG_NAME)).to_contain_text(DESK_PHONE.id)
    expect(ledger_page.get_by_role("row", name="Relay Telephone")).to_contain_text("5,000 of 6,000")


def test_a_reading_shows_each_dimension(market: Market, ledger_page: Page) -> None:
    """With its own number."""
    ledger_page.goto(f"/inbox/{message_about(market, market.licenses[COMPILERS_INC])}")
    reading = ledger_page.get_by_role("region", name="What AWS answered when it was read")
    expect(reading.get_by_role("row", name="phones")).to_contain_text("60")
    expect(reading.get_by_role("row", name="users")).to_contain_text("1500")


def test_a_twin_leads_to_the_license_that_it_is(market: Market, ledger_page: Page) -> None:
    """By a link, where before stood an id."""
    ledger_page.goto(f"/licenses/{market.folded}")
    expect(ledger_page.get_by_role("main")).to_contain_text("None: it is the other license's")
    expect(ledger_page.get_by_role("main")).not_to_contain_text("the contract renews by itself")
    ledger_page.get_by_role("link", name="another license").click()
    expect(ledger_page.get_by_role("main")).to_contain_text("Switchboard & Sons")


def test_the_drift_report_of_a_dry_run_says_what_would_be_mended(market: Market, ledger_page: Page) -> None:
    """A purchase of which every message was lost, and two licenses that may be one."""
    ledger_page.goto("/drift")
    expect(ledger_page.get_by_role("main")).to_contain_text("It was a dry run: nothing was changed.")
    mendable = ledger_page.get_by_role("region", name="Would be mended").get_by_role("row", name=f"Customer {ECHO}")
    expect(mendable).to_contain_text("AWS has it, the ledger does not")
    expect(mendable).to_contain_text("It is issued.")
    older = market.licenses[NIGHT_SHIFT]
    expect(ledger_page.get_by_role("main")).to_contain_text(f"licensing-ledger succeed {older} --by")
