"""The composed system in a real browser, as somebody meets it who has typed `make run`."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.composed import Ledgers, Served, wait_for
from tests.e2e.pages.window import open_page

pytestmark = pytest.mark.browser


def first_link(served: Served) -> str:
    """The one-time link that `serve` prints."""
    found = wait_for(
        lambda: re.search(r"\S+/sign-in/link\?token=\S+", served.log.read_text()), what="the sample customer's link"
    )
    return found[0]


def test_a_contract_is_registered_shrunk_and_explained(composed: Ledgers, chromium: Browser) -> None:
    """From the printed link to who lost a seat and why: both pages, in one browser, without a complaint of it."""
    served = composed.serve("--sandbox", "--sandbox-port", "0")
    with open_page(chromium, served.url) as (page, _):
        page.goto(first_link(served))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("License Information")
        license_url = page.url
        expect(page.get_by_role("main")).to_contain_text("Analytical Engines Ltd")
        expect(page.get_by_role("main")).to_contain_text("4 of 5 seats in use")

        _correct_the_company(page, served)
        expect(page.get_by_role("main")).to_contain_text("Difference Engines Ltd")

        _buy_fewer(page, served, seats=3)
        _wait_for_the_number(page, license_url)
        expect(page.get_by_role("main")).to_contain_text("0 of 3 seats in use")

        page.get_by_role("link", name="History", exact=True).click()
        lost = "The limit was lowered from 5 to 3 in AWS Marketplace: all 4 active users lost their seats."
        page.locator("summary").filter(has_text=lost).click()
        for user in ("Ada Lovelace", "Grace Hopper", "Katherine Johnson", "Mary Jackson"):
            expect(
                page.get_by_text(f"{user} lost the seat: the limit was lowered from 5 to 3 in AWS Marketplace.")
            ).to_be_visible()

        _block(page, "Grace Hopper")
        page.get_by_role("link", name="History", exact=True).click()
        expect(page.locator(".timeline > li").first).to_contain_text(
            "Grace Hopper was blocked by an administrator: misuse."
        )
    assert served.stop() == 0


def _correct_the_company(page: Page, served: Served) -> None:
    """Press the sandbox's button, which sends a form to the ledger from another site."""
    page.goto(str(served.sandbox_url))
    page.get_by_role("link", name="Play the contract").click()
    page.get_by_role("button", name="Set up your account").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Welcome back")
    expect(page.get_by_label("Company Name")).to_have_value("Analytical Engines Ltd")
    page.get_by_label("Company Name").fill("Difference Engines Ltd")
    page.get_by_role("button", name="Confirm and go on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Difference Engines Ltd is registered")
    page.get_by_role("link", name="Go to the sign-in").click()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("License Information")


def _buy_fewer(page: Page, served: Served, *, seats: int) -> None:
    page.goto(str(served.sandbox_url))
    page.get_by_role("link", name="Play the contract").click()
    page.locator("form[action$='/seats']").get_by_label("Seats").fill(str(seats))
    page.get_by_role("button", name="Set seats").click()
    expect(page.get_by_role("status")).to_contain_text(f"has {seats} seats.")
    side_by_side = page.get_by_role("region", name="Side by side")
    expect(side_by_side).to_contain_text(f"They agree. Both say {seats} seats", timeout=30_000)


def _wait_for_the_number(page: Page, license_url: str) -> None:
    """Load the page until AWS's message has come all the way."""

    def arrived() -> bool:
        page.goto(license_url)
        return "of 3 seats in use" in page.get_by_role("main").inner_text()

    wait_for(arrived, what="the lowered limit on the page")


def _block(page: Page, user: str) -> None:
    page.get_by_role("link", name="Users", exact=True).click()
    page.get_by_role("link", name=f"Block {user}").click()
    page.get_by_label("Reason").select_option("Misuse")
    page.get_by_label("Note").fill("Shared the password")
    page.get_by_role("dialog").get_by_role("button", name=f"Block {user}").click()
    expect(page.locator("#outcome")).to_contain_text(f"{user} is blocked and has no seat.")
