"""Take a picture of every page: on a desk and on a phone, light and dark. `make screenshots` runs it.

The pictures of the stories in `tests.e2e.pages` go to docs/screenshots/. With names of pages as arguments, or how they
begin, those alone are taken.
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from playwright.sync_api import Browser, BrowserContext, Page

from api.pages.limits import REGISTRATIONS_PER_MINUTE
from ledger.inbox import MessageStatus
from tests.browsers import arrive, chromium, missing
from tests.e2e.pages.drift_story import agreeing, bad_night
from tests.e2e.pages.inbox_story import InboxStory, open_inbox_story
from tests.e2e.pages.market_story import (
    CARBON_MICROPHONES,
    DESK_PHONE,
    ECHO,
    NEXT_YEAR,
    PILOT,
    RELAY_TELEPHONE,
    Market,
    open_market,
)
from tests.e2e.pages.story import ADA, GRACE, OPERATOR, Story, open_story, overwrite, served
from tests.integration.consumers_stage import ANALYTICAL_ENGINES, COMPILERS_INC

FOLDER: Final = Path(__file__).parent.parent / "docs" / "screenshots"
WINDOW_HEIGHT: Final = 720


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """In which window a page is looked at, and how its picture's name ends.

    Attributes:
        ending: of the name, before `.png`.
        width: of window and picture, in pixels.
        height_max: of the picture; longer lists show nothing new.
        scheme: of the colors.
    """

    ending: str
    width: int
    height_max: int
    scheme: Literal["light", "dark"]


LOOKS: Final = (
    Look(ending="", width=1100, height_max=1_100, scheme="light"),
    Look(ending="-dark", width=1100, height_max=1_100, scheme="dark"),
    Look(ending="-phone", width=390, height_max=1_700, scheme="light"),
    Look(ending="-phone-dark", width=390, height_max=1_700, scheme="dark"),
)


def main(only: Sequence[str]) -> None:
    """Take the pictures whose names begin with one of `only`, or all."""
    lacking = missing()
    if lacking is not None:
        sys.exit(lacking)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with chromium() as browser, ExitStack() as stack:

        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))

        with open_story(folder()) as told:
            pass
        night = stack.enter_context(open_inbox_story(folder()))
        address_at_night = stack.enter_context(served(night.app))
        market = stack.enter_context(open_market(folder()))
        for look in LOOKS:
            # At its end the database is overwritten.
            with open_story(folder(), told=told) as story, served(story.app) as address:
                _take_all(_pages(browser, story, address, look), look, only)
            _take_all(_inbox_pages(browser, night, address_at_night, look), look, only)
            _take_all(_market_pages(browser, market, look), look, only)
            _take_all(_sandbox_pages(browser, market, look), look, only)


def _take_all(pages: Iterator[tuple[str, Page]], look: Look, only: Sequence[str]) -> None:
    for name, page in pages:
        if not only or name.startswith(tuple(only)):
            _take(page, name, look)


def _take(page: Page, name: str, look: Look) -> None:
    # A dialog lies over what the window shows.
    full = not page.get_by_role("dialog").is_visible()
    height = min(look.height_max if full else WINDOW_HEIGHT, page.evaluate("document.documentElement.scrollHeight"))
    path = FOLDER / f"{name}{look.ending}.png"
    page.screenshot(path=path, full_page=full, clip={"x": 0, "y": 0, "width": look.width, "height": height})
    print(path)  # noqa: T201 -- what a command line says


def _pages(browser: Browser, story: Story, address: str, look: Look) -> Iterator[tuple[str, Page]]:
    context = _context(browser, address, look)
    page = context.new_page()
    yield from _doors(page, address)
    for key in ("admin", "operator"):
        context.clear_cookies()
        _sign_in(page, story.keys[key])
    noon = f"/licenses/{story.noon}"
    story.reports.made = {11: agreeing(story), 12: bad_night(story)}
    for name, path in {
        "licenses": "/",
        "license-information": f"{noon}?seats_max=8",
        "license-waiting": f"/licenses/{story.dawn}",
        "license-ended": f"/licenses/{story.night}",
        "users": f"{noon}/users",
        "users-of-many": f"/licenses/{story.dusk}/users?q=07",
        "block": f"{noon}/users/confirm?change=block&seat_id={story.seat_of(ADA)}",
        "blocked": f"{noon}/users?did=activate&changed={story.seat_of(GRACE)}",
        "selection": f"{noon}/users/confirm?change=delete&seat_id={story.seat_of(ADA)}&seat_id={story.seat_of(GRACE)}",
        "add-users": f"{noon}/users/add",
        "history": f"{noon}/history",
        "sign-ins": f"{noon}/sign-ins",
        "drift": "/drift",
        "drift-quiet": "/drift?number=11",
        "not-found": "/licenses/nothing",
    }.items():
        page.goto(path)
        yield name, page
    yield from _used(page, noon)
    yield from _failures(page, story, address, noon)
    context.close()


def _inbox_pages(browser: Browser, story: InboxStory, address: str, look: Look) -> Iterator[tuple[str, Page]]:
    context = _context(browser, address, look)
    page = context.new_page()
    _sign_in(page, story.keys["operator"])
    failed = story.found(status=MessageStatus.FAILED)
    ignored = story.found(status=MessageStatus.IGNORED)
    done = story.found(status=MessageStatus.DONE, kind="license-updated", license_id=story.noon)
    parked = story.found(status=MessageStatus.PARKED)
    for name, path in {
        "inbox": "/inbox",
        "inbox-of-license": f"/inbox?license_id={story.noon}",
        "message-done": f"/inbox/{done.number}",
        "message-parked": f"/inbox/{parked.number}",
        "message-failed": f"/inbox/{failed.number}",
        "message-ignored": f"/inbox/{ignored.number}",
        "message-retry": f"/inbox/{parked.number}/retry",
        "message-dismiss": f"/inbox/{failed.number}/dismiss",
        "license-with-notices": f"/licenses/{story.noon}",
    }.items():
        page.goto(path)
        yield name, page
    context.close()


def _market_pages(browser: Browser, market: Market, look: Look) -> Iterator[tuple[str, Page]]:
    context = _context(browser, market.address, look)
    page = context.new_page()
    _sign_in(page, market.keys["operator"])
    engines, compilers = (f"/licenses/{market.licenses[one]}" for one in (ANALYTICAL_ENGINES, COMPILERS_INC))
    relay, carbon = (f"/licenses/{market.licenses[one]}" for one in (RELAY_TELEPHONE, CARBON_MICROPHONES))
    for name, path in {
        "market-licenses": "/",
        "market-long-name": compilers,
        "market-long-user": f"{compilers}/users",
        "market-5000-users": f"{relay}/users",
        "market-no-users": carbon,
        "market-nobody": f"{carbon}/users",
        "market-folded": f"/licenses/{market.folded}",
        "market-renewed": f"{engines}/history",
        "market-replaced": f"{compilers}/history?actor=marketplace",
        "market-inbox": "/inbox",
        "market-drift": "/drift",
    }.items():
        page.goto(path)
        yield name, page
    context.close()


def _sandbox_pages(browser: Browser, market: Market, look: Look) -> Iterator[tuple[str, Page]]:
    context = _context(browser, market.stage.sandbox.url, look)
    page = context.new_page()
    contracts = {account: f"/contracts/{one.agreement_id}" for account, one in market.contracts.items()}
    for name, path in {
        "sandbox-contracts": "/",
        "sandbox-product": f"/?product={DESK_PHONE.code}",
        "sandbox-contract": contracts[ANALYTICAL_ENGINES],
        "sandbox-replaced": contracts[COMPILERS_INC],
        "sandbox-later": contracts[NEXT_YEAR],
        "sandbox-legacy": contracts[CARBON_MICROPHONES],
        "sandbox-ended": contracts[PILOT],
        "sandbox-differs": contracts[ECHO],
        "sandbox-clock": "/clock",
        "sandbox-messages": "/messages",
        "sandbox-mischief": "/mischief",
        "sandbox-not-found": "/nothing",
    }.items():
        page.goto(path)
        yield name, page
    page.goto("/messages")
    page.locator("summary").first.click()
    yield "sandbox-message", page
    page.goto(contracts[ANALYTICAL_ENGINES])
    page.get_by_text("Renew it").click()
    renewal = page.locator("form[action$='/renew']")
    renewal.get_by_label("Seats").fill("9999999999")
    renewal.get_by_role("button", name="Renew").click()
    yield "sandbox-refused", page
    context.close()


def _context(browser: Browser, address: str, look: Look) -> BrowserContext:
    return browser.new_context(
        viewport={"width": look.width, "height": WINDOW_HEIGHT},
        color_scheme=look.scheme,
        base_url=address,
        timezone_id="UTC",
        reduced_motion="reduce",  # nothing is caught halfway
    )


def _sign_in(page: Page, key: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "sign-in" not in url)


def _doors(page: Page, address: str) -> Iterator[tuple[str, Page]]:
    page.goto("/sign-in")
    yield "sign-in", page
    page.goto("/marketplace/register")
    yield "registration-begins", page
    for name, token in {"registration-waiting": "token-of-dawn", "registration": "token-of-noon"}.items():
        arrive(page, address, token)
        yield name, page
    page.get_by_role("button", name="Confirm and go on").click()
    page.get_by_role("heading", name="Noon Telephony is registered").wait_for()
    yield "registered", page


def _used(page: Page, noon: str) -> Iterator[tuple[str, Page]]:
    page.goto(f"{noon}/users")
    page.get_by_role("link", name=f"Block {ADA}").click()
    page.get_by_role("dialog").wait_for()
    yield "dialog", page
    page.goto(f"{noon}/users/add")
    page.get_by_label("Names").fill("Hedy Lamarr\nJoan Clarke\nX\x07")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("heading", name="What happened").wait_for()
    yield "results", page
    page.goto(f"{noon}/history?actor=marketplace")
    page.locator("details").filter(has_text="lowered").first.click()
    page.locator(".inside details").first.click()
    yield "history-opened", page


def _failures(page: Page, story: Story, address: str, noon: str) -> Iterator[tuple[str, Page]]:
    page.context.clear_cookies()
    page.goto("/sign-in")
    page.get_by_label("Key").fill(story.keys["client"])
    page.get_by_role("button", name="Sign in").click()
    yield "sign-in-refused", page
    page.goto("/sign-in/link?token=used-already")
    yield "link-spent", page
    page.goto("/sign-in")
    page.context.clear_cookies()
    page.get_by_label("Key").fill(story.keys["auditor"])
    page.get_by_role("button", name="Sign in").click()
    yield "form-is-stale", page
    page.goto("/sign-in")
    page.get_by_label("Key").fill(story.keys["auditor"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{noon}")
    page.goto(f"{noon}/users/add")
    yield "forbidden", page
    story.marketplace.tokens["token-of-a-surprise"] = ZeroDivisionError()
    for name, token in {
        "registration-expired": "token-expired",
        "registration-invalid": "token-unknown",
        "registration-of-another-product": "token-of-another-product",
        "registration-while-aws-is-down": "token-while-aws-is-down",
        "failed": "token-of-a-surprise",
    }.items():
        arrive(page, address, token, at="**/marketplace/register")
        yield name, page
    for _ in range(REGISTRATIONS_PER_MINUTE):
        arrive(page, address, "token-unknown", at="**/marketplace/register")
    yield "too-many", page
    story.ledger.keys.revoke(
        next(key.key_id for key in story.ledger.keys.all() if key.name == "auditor"), caller=OPERATOR
    )
    page.goto(noon)
    yield "signed-out", page
    for ending in ("", "-wal", "-shm"):
        overwrite(story.path.with_name(story.path.name + ending))
    page.goto(noon)
    yield "unavailable", page


if __name__ == "__main__":
    main(sys.argv[1:])
