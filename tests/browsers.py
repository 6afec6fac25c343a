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


def arrive(page: Page, token: str) -> None:
    """Come from AWS Marketplace with a registration token, as its own page sends people: by a form."""
    page.evaluate(
        """token => {
            const form = document.createElement("form");
            const field = document.createElement("input");
            Object.assign(form, {method: "post", action: "/marketplace/register"});
            Object.assign(field, {name: "x-amzn-marketplace-token", value: token});
            form.append(field);
            document.body.append(form);
            form.submit();
        }""",
        token,
    )
    page.wait_for_url("**/registration")
