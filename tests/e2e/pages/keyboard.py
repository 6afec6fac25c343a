"""What a page is like for somebody who only has a keyboard."""

from dataclasses import dataclass
from typing import Final

from playwright.sync_api import Page

STEPS_MAX: Final = 400
_BEGIN: Final = """() => {
  // Tab goes on from where the focus was last, even after it is gone.
  document.body.tabIndex = -1;
  document.body.focus();
  document.body.removeAttribute("tabindex");
  window.scrollTo(0, 0);
}"""
_HERE: Final = """() => {
  const here = document.activeElement;
  if (!here || here === document.body || here === document.documentElement) return null;
  const shape = getComputedStyle(here), box = here.getBoundingClientRect();
  const order = [...document.querySelectorAll("*")].indexOf(here);
  const name = here.getAttribute("aria-label") ?? here.labels?.[0]?.textContent ?? here.textContent;
  return {
    order,
    name: name.replace(/\\s+/g, " ").trim(),
    shows: shape.outlineStyle !== "none" && parseFloat(shape.outlineWidth) >= 2,
    isInSight: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  };
}"""
_CONTROLS: Final = """() => {
  const found = document.querySelectorAll(
    "a[href], button:not(:disabled), input:not([type=hidden]), select, textarea, summary, [tabindex='0']");
  const everything = [...document.querySelectorAll("*")];
  return [...found].filter((one) => one.checkVisibility()).map((one) => everything.indexOf(one));
}"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """A place where Tab stops.

    Attributes:
        order: of the element in the page.
        name: of what has the focus there.
        shows: whether the focus can be seen.
        is_in_sight: whether the element is in the window.
    """

    order: int
    name: str
    shows: bool
    is_in_sight: bool


def walk(page: Page) -> list[Stop]:
    """Press Tab from the top of a page to its end."""
    page.evaluate(_BEGIN)
    stops: list[Stop] = []
    for _ in range(STEPS_MAX):
        page.keyboard.press("Tab")
        here = page.evaluate(_HERE)
        # A date field has several parts, and keeps the focus while they are passed.
        if here is None or (stops and here["order"] < stops[-1].order):
            return stops
        if not stops or here["order"] != stops[-1].order:
            stops.append(
                Stop(order=here["order"], name=here["name"], shows=here["shows"], is_in_sight=here["isInSight"])
            )
    raise AssertionError(f"Tab does not come to an end on {page.url}")


def controls(page: Page) -> list[int]:
    """What can be pressed or filled in on a page, in the order in which it stands there."""
    found: list[int] = page.evaluate(_CONTROLS)
    return found


def small_targets(page: Page, *, least: int = 44) -> list[str]:
    """The buttons of a page that are lower than so many pixels."""
    found: list[str] = page.evaluate(
        """(least) => [...document.querySelectorAll("button, a.button, [role=button], nav a, select, summary")]
             .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < least)
             .map((one) => `${one.outerHTML.slice(0, 90)} is ${one.getBoundingClientRect().height} px high`)""",
        least,
    )
    return found
