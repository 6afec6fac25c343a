"""A window of a real browser, in which nothing may go wrong unnoticed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Response

from tests.e2e.pages.story import Story


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A page of a browser.

    Attributes:
        story: what it shows.
        page: Playwright's page.
        browser: to open more.
        address: of the pages.
        wrong: what the browser complained about.
    """

    story: Story
    page: Page
    browser: Browser
    address: str
    wrong: list[str]

    def sign_in(self, key: str = "admin") -> None:
        """Sign in with the key of this name."""
        self.page.goto("/sign-in")
        self.page.get_by_label("Key").fill(self.story.keys[key])
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/sign-in" not in url)

    def barriers(self) -> list[str]:
        """What keeps people out of this page, as axe-core finds it."""
        return barriers(self.page)

    def scrolls_sideways(self) -> bool:
        """Whether the page is wider than the window."""
        return scrolls_sideways(self.page)


def barriers(page: Page) -> list[str]:
    """What keeps people out of a page, as axe-core finds it."""
    violations = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in violations]


def scrolls_sideways(page: Page) -> bool:
    """Whether a page is wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@contextmanager
def open_window(
    browser: Browser, story: Story, address: str, *, scripts: bool = True, width: int = 1100, dark: bool = False
) -> Iterator[Window]:
    """Open a window on a story; when it closes, nothing may have been complained about."""
    with open_page(browser, address, scripts=scripts, width=width, dark=dark) as (page, wrong):
        yield Window(story=story, page=page, browser=browser, address=address, wrong=wrong)


@contextmanager
def open_page(
    browser: Browser, address: str, *, scripts: bool = True, width: int = 1100, dark: bool = False
) -> Iterator[tuple[Page, list[str]]]:
    """Open a page and note what the browser complains about; when it closes, nothing may be left of that."""
    context = browser.new_context(
        base_url=address,
        java_script_enabled=scripts,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if dark else "light",
        timezone_id="America/Los_Angeles",
    )
    context.set_default_timeout(10_000)
    page = context.new_page()
    wrong: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # A refused page is loaded on purpose; Chromium reports each as an error.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            wrong.append(message.text)

    def note_failure(response: Response) -> None:
        if response.status >= 500 or ("/static/" in response.url and response.status >= 400):
            wrong.append(f"{response.status} {response.url}")

    page.on("console", note)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", note_failure)
    try:
        yield page, wrong
    finally:
        context.close()
    assert wrong == []
