"""The pages in a real browser: by keyboard, without scripts, on a phone, in the dark, for everybody."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsers import arrive
from tests.e2e.pages.drift_story import agreeing, bad_night
from tests.e2e.pages.story import ADA, GRACE, JOAN, OPERATOR, USERS, Story
from tests.e2e.pages.window import Window, open_window

pytestmark = pytest.mark.browser


def pages_of(story: Story) -> tuple[str, ...]:
    """The addresses of every page that an operator can open."""
    noon = f"/licenses/{story.noon}"
    return (
        "/",
        f"{noon}?seats_max=3",
        f"/licenses/{story.dawn}",
        f"/licenses/{story.night}",
        f"{noon}/users",
        f"{noon}/users?q=nobody",
        f"{noon}/users?did=block&changed={story.seat_of(JOAN)}",
        f"{noon}/users/confirm?change=block&seat_id={story.seat_of(ADA)}",
        f"{noon}/users/add",
        f"{noon}/history",
        f"{noon}/sign-ins",
        "/drift",
        "/sign-out",
        "/nothing",
    )


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name is focused."""
    for _ in range(200):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "document.activeElement.getAttribute('aria-label') ?? document.activeElement.labels?.[0]?.textContent"
            " ?? document.activeElement.textContent"
        )
        if " ".join((focused or "").split()).startswith(name):
            return
    pytest.fail(f"Tab never reached {name}")


def test_a_user_is_blocked_by_keyboard_alone(window: Window) -> None:
    """From the sign-in to the undo, no mouse is needed, and the focus is where the result is."""
    page, story = window.page, window.story
    page.goto("/sign-in")
    page.keyboard.type(story.keys["admin"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/licenses/{story.noon}")
    tab_to(page, "Users")
    page.keyboard.press("Enter")
    page.wait_for_url("**/users")
    tab_to(page, "Search by name")
    page.keyboard.type("lov")
    expect(page.get_by_role("row", name=GRACE)).to_have_count(0)
    tab_to(page, f"Block {ADA}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("Left")
    tab_to(page, "Note")
    page.keyboard.type("Moved to Paris")
    tab_to(page, f"Block {ADA}")
    page.keyboard.press("Enter")
    expect(page.locator("#outcome")).to_contain_text(f"{ADA} is blocked and has no seat.")
    expect(page.locator("#outcome")).to_be_focused()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert story.status_of(ADA) == "blocked"
    tab_to(page, f"Undo {ADA}")
    page.keyboard.press("Enter")
    expect(page.locator("#outcome")).to_contain_text(f"{ADA} is unblocked")
    assert story.status_of(ADA) == "inactive"


def test_escape_leaves_a_confirmation_without_changing_anything(window: Window) -> None:
    """The dialog closes, and so it does by its button."""
    page, story = window.page, window.story
    window.sign_in()
    page.goto(f"/licenses/{story.noon}/users")
    for leave in ("Escape", "Cancel"):
        page.get_by_role("link", name=f"Delete {ADA}").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        if leave == "Escape":
            page.keyboard.press("Escape")
        else:
            page.get_by_role("dialog").get_by_role("link", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
    assert story.status_of(ADA) == "active"


def test_a_confirmation_covers_the_whole_window(window: Window) -> None:
    """Nothing behind it looks as if it could be pressed, and it stands in the middle."""
    page = window.page
    window.sign_in()
    page.goto(f"/licenses/{window.story.noon}/users")
    page.get_by_role("link", name=f"Delete {ADA}").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.get_by_role("dialog").bounding_box() == {"x": 0, "y": 0, "width": 1100, "height": 800}


def test_everything_works_without_scripts(window: Window, chromium: Browser) -> None:
    """Search, block with reason and note, undo, many names, sign out: by plain forms and links."""
    story = window.story
    with open_window(chromium, story, window.address, scripts=False) as plain:
        page = plain.page
        plain.sign_in()
        page.get_by_role("link", name="Users", exact=True).click()
        page.get_by_label("Search by name").fill("lov")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("row", name=GRACE)).to_have_count(0)
        page.get_by_role("link", name=f"Block {ADA}").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Block {ADA}?")
        page.get_by_label("Reason").select_option("Left the company")
        page.get_by_role("button", name=f"Block {ADA}").click()
        expect(page.locator("#outcome")).to_contain_text(f"{ADA} is blocked and has no seat.")
        assert "q=lov" in page.url
        page.get_by_role("button", name=f"Undo {ADA}").click()
        expect(page.locator("#outcome")).to_contain_text(f"{ADA} is unblocked")
        page.get_by_role("link", name="Add users").click()
        page.get_by_label("Names").fill("Hedy Lamarr\nIda Rhodes")
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_text("2 of 2 users done.")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_the_search_begins_at_the_first_letter(window: Window) -> None:
    """No button is needed, the address follows, and who can't see it is told how many were found."""
    page = window.page
    window.sign_in()
    page.goto(f"/licenses/{window.story.noon}/users")
    page.get_by_label("Search by name").press_sequentially("g")
    expect(page.locator("#result")).to_have_text(re.compile(r"^\s*\d+ users? found\.\s*$"))
    expect(page.get_by_role("row", name=ADA)).to_have_count(0)
    expect(page).to_have_url(re.compile(r"q=g"))
    expect(page.get_by_label("Search by name")).to_be_focused()


def test_a_selection_counts_itself_and_is_changed_together(window: Window) -> None:
    """All users of the page can be ticked at once."""
    page, story = window.page, window.story
    window.sign_in()
    page.goto(f"/licenses/{story.noon}/users?status=active")
    page.get_by_role("checkbox", name="Select all users on this page").check()
    expect(page.locator("#selected")).to_have_text("With 10 users:")
    page.get_by_role("checkbox", name=f"Select {GRACE}").uncheck()
    page.locator("#selection").get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete 9 users").click()
    expect(page.get_by_text("9 of 9 users done.")).to_be_visible()
    assert (story.status_of(ADA), story.status_of(GRACE)) == ("deleted", "active")


def test_the_preview_answers_on_the_page(window: Window) -> None:
    """The number that one has in mind stays in the field."""
    page = window.page
    window.sign_in()
    page.get_by_label("Which number do you have in mind?").fill("3")
    page.get_by_role("button", name="See what it would do").click()
    expect(page.locator("#preview-answer")).to_contain_text("block or delete at least 7 users")
    expect(page.get_by_label("Which number do you have in mind?")).to_have_value("3")


def test_ids_are_copied_by_one_click(window: Window) -> None:
    """The button says so when it is done."""
    page = window.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    window.sign_in()
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "123456789012"


def test_times_are_in_the_readers_zone_with_utc_beside(window: Window) -> None:
    """In Los Angeles the contract renews on the afternoon of the same day."""
    page = window.page
    window.sign_in()
    shown = page.locator("dl.facts time").first
    expect(shown).to_have_text(re.compile(r", 1[56]:59:59 GMT-[78]$"))
    expect(shown).to_have_attribute("title", re.compile(r", 23:59:59 UTC$"))


def test_an_ended_session_leads_from_the_search_to_a_page_that_says_so(window: Window) -> None:
    """A list that can't be read any more does not stay there as if it were true."""
    page, story = window.page, window.story
    window.sign_in()
    page.goto(f"/licenses/{story.noon}/users")
    key = next(key for key in story.ledger.keys.all() if key.name == "admin")
    story.ledger.keys.revoke(key.key_id, caller=OPERATOR)
    page.get_by_label("Search by name").press_sequentially("g")
    expect(page.get_by_role("heading", level=1)).to_have_text("You are not signed in")
    assert all("401" in message for message in window.wrong)
    window.wrong.clear()


def test_registration_ends_signed_in(window: Window) -> None:
    """From AWS Marketplace's form to License Information."""
    page = window.page
    arrive(page, window.address, "token-of-noon")
    page.get_by_label("Company Name").fill("Noon & Sons")
    page.get_by_role("button", name="Confirm and go on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Noon & Sons is registered")
    page.get_by_role("link", name="Go to the sign-in").click()
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**/licenses/{window.story.noon}")
    expect(page.get_by_role("main")).to_contain_text("Noon & Sons")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_keeps_people_out_of_a_page(window: Window, chromium: Browser, *, dark: bool) -> None:
    """axe-core finds nothing: names, labels, landmarks, contrast of AA, light and dark."""
    window.story.reports.made = {11: agreeing(window.story), 12: bad_night(window.story)}
    with open_window(chromium, window.story, window.address, dark=dark) as seen:
        seen.page.goto("/sign-in")
        assert seen.barriers() == []
        arrive(seen.page, seen.address, "token-of-noon")
        assert seen.barriers() == []
        seen.sign_in("operator")
        for path in pages_of(window.story):
            seen.page.goto(path)
            assert seen.barriers() == [], path
        seen.page.goto(f"/licenses/{window.story.noon}/users")
        seen.page.get_by_role("link", name=f"Block {ADA}").click()
        expect(seen.page.get_by_role("dialog")).to_be_visible()
        assert seen.barriers() == []


def test_dark_mode_is_dark_and_light_mode_is_light(window: Window, chromium: Browser) -> None:
    """The same page follows what the reader's system asks for."""

    def brightness(*, dark: bool) -> int:
        with open_window(chromium, window.story, window.address, dark=dark) as seen:
            seen.page.goto("/sign-in")
            color = seen.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            return sum(int(part) for part in re.findall(r"\d+", color)[:3])

    assert brightness(dark=True) < 150
    assert brightness(dark=False) > 600


def test_no_page_scrolls_sideways_on_a_phone(window: Window, chromium: Browser) -> None:
    """At 360 px everything is there, and tables are cards."""
    window.story.reports.made = {11: agreeing(window.story), 12: bad_night(window.story)}
    with open_window(chromium, window.story, window.address, width=360) as phone:
        phone.sign_in("operator")
        for path in pages_of(window.story):
            phone.page.goto(path)
            assert not phone.scrolls_sideways(), path
        phone.page.goto(f"/licenses/{window.story.noon}/users")
        row = phone.page.get_by_text(USERS[0], exact=True).locator("xpath=ancestor::tr")
        assert row.evaluate("element => getComputedStyle(element).display") == "block"


def test_the_first_tab_skips_to_the_content(window: Window) -> None:
    """Who reads with the keyboard need not pass the header on each page."""
    page = window.page
    window.sign_in()
    page.goto(f"/licenses/{window.story.noon}/history")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
