"""Debian's Chromium, as the tests of the pages and the screenshots drive it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM: Final = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing() -> str | None:
    """What a browser lacks on this machine, in words; null if it is there."""
    if CHROMIUM.exists():
        return None
    return f"{CHROMIUM} is not there: install Chromium (on Debian: apt-get install chromium), or say where by CHROMIUM"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def arrive(page: Page, address: str, token: str, *, at: str = "**/registration") -> None:
    """Come from AWS Marketplace with a registration token, as its own page sends people: by a form on another site."""
    page.goto("about:blank")
    page.set_content(
        f'<form method="post" action="{address}/marketplace/register">'
        f'<input name="x-amzn-marketplace-token" value="{token}"><button>Set up your account</button></form>'
    )
    page.get_by_role("button").click()
    page.wait_for_url(at)
