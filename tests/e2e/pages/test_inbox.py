"""The inbox as operators read it at three in the morning: first what needs them, then everything else."""

import html
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from consumers.marketplace import MarketplaceInbox
from consumers.sandbox import FaultPlan, PredecessorEnds, SuccessorTerms
from ledger.inbox import MessageStatus
from ledger.license.events import KeyKind
from ledger.users import parse_user
from tests.e2e.pages.drift_story import bad_night
from tests.e2e.pages.inbox_story import InboxStory, open_inbox_story
from tests.e2e.pages.reader import Reader, text_of
from tests.e2e.pages.story import Story, served
from tests.e2e.pages.window import open_window
from tests.integration.consumers_stage import ADMIN, ANALYTICAL_ENGINES, END_OF_NEXT_MAY, PRODUCT_CODE
from tests.integration.inbox_story import COMPANY


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InboxStory]:
    """A night of AWS Marketplace, which tests read and leave as it is."""
    with open_inbox_story(tmp_path_factory.mktemp("night")) as story:
        yield story


@pytest.fixture
def tonight(tmp_path: Path) -> Iterator[InboxStory]:
    """A night of AWS Marketplace in which a test may do something."""
    with open_inbox_story(tmp_path) as story:
        yield story


@pytest.fixture
def operator(night: InboxStory) -> Reader:
    """An operator who is signed in."""
    reader = Reader(night)
    reader.sign_in("operator")
    return reader


# -- the list ----------------------------------------------------------------------------------------------------------


def test_what_needs_a_look_stands_first(operator: Reader) -> None:
    """What failed and what is parked for more than a day, each with its reason; then all messages."""
    text = operator.text("/inbox")
    first, everything = text.split("All messages")
    assert "2 messages failed, 1 is parked for more than a day." in first
    for told in (
        'It is no message of AWS Marketplace. It begins with "GET /healthz HTTP/1.1".',
        "The message is not JSON.",
        'The detail-type "Purchase Agreement Sung - Proposer" is not known.',
        "Nothing is known of the agreement yet.",
    ):
        assert told in first
    assert COMPANY not in first
    assert COMPANY in everything


def test_the_list_says_what_a_message_led_to(operator: Reader, night: InboxStory) -> None:
    """In sentences, and not by positions between which other licenses' events may stand."""
    done = operator.text(f"/inbox?status=done&license_id={night.noon}")
    assert "The limit was raised from 5 to 25 in AWS Marketplace." in done
    assert "The license was seen for the first time" in done
    assert "The subscription started with 5 seats, until 31 May 2027." in done
    assert "Recorded at position" not in operator.text("/inbox")


def test_an_empty_inbox_says_that_nothing_needs_a_look(reader: Reader) -> None:
    """And how messages come there."""
    reader.sign_in("operator")
    text = reader.text("/inbox")
    assert "Nothing needs a look" in text
    assert "No messages yet" in text
    assert "need a look" not in reader.text("/")


def test_the_alarms_of_the_last_comparison_with_aws_stand_first(story: Story, reader: Reader) -> None:
    """Whoever opens the inbox at night sees them, with the way to the report."""
    reader.sign_in("operator")
    story.reports.made[12] = bad_night(story)
    page = reader.get("/inbox")
    for alarm in story.reports.made[12].alarms:
        assert alarm.detail.replace("`", "") in text_of(page)
    assert 'href="/drift"' in page.text
    assert "Nothing needs a look" not in text_of(page)


def test_each_status_has_its_count_and_its_list(operator: Reader) -> None:
    """The counts add up to all messages, and a filter shows no other status."""
    page = operator.get("/inbox").text
    filters = re.search(r'<nav class="filters".*?</nav>', page, re.DOTALL)
    assert filters is not None
    all_, *counts = map(int, re.findall(r'<span class="count">(\d+)</span>', filters[0]))
    assert sum(counts) == all_ > 0
    for status, count in zip(MessageStatus, counts, strict=True):
        pills = re.findall(r'class="pill message-(\w+)"', operator.get(f"/inbox?status={status}").text)
        assert pills == [status.value] * count


def test_the_counts_of_one_license_are_its_own(operator: Reader, night: InboxStory) -> None:
    """Each is as long as the list behind it, and not that of all licenses."""
    page = operator.get(f"/inbox?license_id={night.noon}").text
    filters = re.search(r'<nav class="filters".*?</nav>', page, re.DOTALL)
    assert filters is not None
    all_, *counts = map(int, re.findall(r'<span class="count">(\d+)</span>', filters[0]))
    assert sum(counts) == all_ > 0
    for status, count in zip(MessageStatus, counts, strict=True):
        listed = operator.get(f"/inbox?status={status}&license_id={night.noon}").text
        assert len(re.findall(r'class="pill message-', listed)) == count
    everything = re.search(r'<nav class="filters".*?</nav>', operator.get("/inbox").text, re.DOTALL)
    assert everything is not None
    assert everything[0] != filters[0]


def test_the_number_that_needs_a_look_is_on_every_page(operator: Reader, night: InboxStory) -> None:
    """An operator sees it wherever the night began; an administrator has no inbox."""
    for path in ("/", f"/licenses/{night.noon}/history", "/inbox"):
        assert "Inbox 3 need a look" in operator.text(path)
    admin = Reader(night)
    admin.sign_in("admin")
    assert "Inbox" not in admin.text(f"/licenses/{night.noon}")


def test_messages_are_narrowed_by_kind_day_id_and_license(operator: Reader, night: InboxStory) -> None:
    """Each filter leaves out what does not fit, and is kept from page to page."""
    assert "was amended" not in operator.text("/inbox?kind=license-updated")
    assert "No message fits" in operator.text("/inbox?until=2001-01-01")
    assert "No message fits" in operator.text("/inbox?q=nothing")
    assert "Write a day as year-month-day" in operator.text("/inbox?since=yesterday")
    of_noon = operator.get(f"/inbox?license_id={night.noon}")
    assert f'name="license_id" value="{night.noon}"' in of_noon.text
    assert "GET /healthz" not in text_of(of_noon)


def test_a_status_is_chosen_within_what_was_searched_for(operator: Reader, night: InboxStory) -> None:
    """The other filters stay, and no count is told that is not of what they leave."""
    page = operator.get(f"/inbox?license_id={night.noon}&kind=notice&q={ANALYTICAL_ENGINES}&since=2026-11-24")
    filters = re.search(r'<nav class="filters".*?</nav>', page.text, re.DOTALL)
    assert filters is not None
    links = re.findall(r'href="([^"]+)"', html.unescape(filters[0]))
    assert len(links) == len(MessageStatus) + 1
    for link in links:
        for kept in (f"license_id={night.noon}", "kind=notice", f"q={ANALYTICAL_ENGINES}", "since=2026-11-24"):
            assert kept in link
    assert 'class="count"' not in filters[0]
    ignored = operator.text(next(link for link in links if "status=ignored" in link))
    assert "AWS issued an advisory about agreement" in ignored
    assert "An id is looked for among" in operator.text("/inbox?q=nothing")


def test_a_damaged_cursor_is_an_error_page(operator: Reader) -> None:
    """An address that was cut says so."""
    assert operator.get("/inbox?cursor=abc").status_code == 422


# -- one message -------------------------------------------------------------------------------------------------------


def test_a_message_that_is_done_shows_what_it_led_to_and_what_aws_answered(operator: Reader, night: InboxStory) -> None:
    """The events in sentences, with the way to the history, and the rows of GetEntitlements as a table."""
    done = night.found(status=MessageStatus.DONE, kind="license-updated", license_id=night.noon)
    page = operator.get(f"/inbox/{done.number}")
    text = text_of(page)
    assert "License updated" in text
    assert "The limit was raised from 5 to 25 in AWS Marketplace." in text
    assert "It came 1 more time." in operator.text("/inbox")
    assert "users 25 31 May 2027, 23:59 UTC" in text
    assert f"/licenses/{night.noon}/history?actor=marketplace&amp;since=" in page.text
    assert "aws.agreement-marketplace" in text
    assert "Retry" not in text


def test_a_message_that_waits_says_what_for_and_when_it_is_looked_at(operator: Reader, night: InboxStory) -> None:
    """AWS answered with a number that can't be, which is shown as it was answered."""
    waiting = night.found(status=MessageStatus.WAITING)
    page = operator.get(f"/inbox/{waiting.number}")
    text = text_of(page)
    assert "A row of a dimension that counts users has a negative number." in text
    assert "It is looked at again on" in text
    assert "users -1 3 Dec 2026" in text
    assert "AWS showed no row" not in text
    assert '"IntegerValue": -1' in html.unescape(page.text)


def test_a_reading_that_came_to_nothing_does_not_say_that_aws_showed_none(tonight: InboxStory) -> None:
    """There were pages without end: nobody knows what stands on the next one."""
    operator = Reader(tonight)
    operator.sign_in("operator")
    stage = tonight.told.stage
    stage.buy(account_id="999900001111")
    stage.sandbox.faults.set(FaultPlan(empty_pages=10_000))
    stage.consume()
    waiting = tonight.found(status=MessageStatus.WAITING)
    text = operator.text(f"/inbox/{waiting.number}")
    assert "GetEntitlements has more than 100 pages for one license." in text
    assert "No row was answered." in text
    assert "AWS showed no row" not in text


def test_a_message_that_is_no_json_is_shown_as_it_came(operator: Reader, night: InboxStory) -> None:
    """With what to do next."""
    failed = night.found(status=MessageStatus.FAILED)
    text = operator.text(f"/inbox/{failed.number}")
    assert "Failed: it changed nothing" in text
    assert "A message that is not understood" in text
    assert "look who else writes to the queue, then dismiss it" in text
    assert "It claims" not in text
    assert "GET /healthz HTTP/1.1" in text


def test_a_forged_message_reads_as_a_claim_and_is_dismissed_first(tonight: InboxStory) -> None:
    """Nobody is told as a fact that a customer has unsubscribed, on the page, in the list, or before a retry."""
    forged = {"action": "unsubscribe-success", "customer-identifier": "X01EXAMPLEX", "product-code": PRODUCT_CODE}
    stage = tonight.told.stage
    stage.send(json.dumps({"Type": "Notification", "Message": json.dumps(forged), "Timestamp": "2026-11-26T02:00:00Z"}))
    stage.consume()
    failed = tonight.found(status=MessageStatus.FAILED)
    operator = Reader(tonight)
    operator.sign_in("operator")
    page = operator.get(f"/inbox/{failed.number}")
    text = text_of(page)
    assert "A message that is not trusted It claims: Customer X01EXAMPLEX has unsubscribed." in text
    assert "Look who else may write to the queue" in text
    assert "It says that it was sent 26 November 2026, 02:00:00 UTC." in text
    assert "Unsubscribed" not in text
    assert "Sent by AWS" not in text
    assert re.findall(r'class="button( secondary)?" href="/inbox/\d+/(\w+)"', page.text) == [
        ("", "dismiss"),
        (" secondary", "retry"),
    ]
    for path in ("/inbox", f"/inbox/{failed.number}/retry", f"/inbox/{failed.number}/dismiss"):
        assert "It claims: Customer X01EXAMPLEX has unsubscribed." in operator.text(path)
    assert "where it comes from is looked at" in operator.text(f"/inbox/{failed.number}/retry")
    operator.send(f"/inbox/{failed.number}/dismiss", reason="not-from-aws")
    dismissed = operator.text(f"/inbox/{failed.number}")
    assert "A message that is not trusted It claims:" in dismissed


def test_a_type_that_is_not_known_says_to_update_the_ledger(operator: Reader, night: InboxStory) -> None:
    """It may be new; a retry understands it then."""
    failed = night.found(q="5eed0000-0000-4000-8000-000000000005")
    page = operator.get(f"/inbox/{failed.number}")
    assert "it is new to this version of the ledger: update the ledger, then retry" in text_of(page)
    assert f'class="button" href="/inbox/{failed.number}/retry"' in page.text


def test_a_retry_is_asked_for_before_it_is_done(tonight: InboxStory) -> None:
    """The page says what follows; afterwards the message waits, and is looked at by whoever works the inbox off."""
    operator = Reader(tonight)
    operator.sign_in("operator")
    failed = tonight.found(status=MessageStatus.FAILED)
    address = f"/inbox/{failed.number}/retry"
    assert "Nobody loses a seat unless AWS itself shows fewer." in operator.text(address)
    assert tonight.found(status=MessageStatus.FAILED) == failed
    answer = operator.send(address)
    assert answer.status_code == 303
    assert "The message begins anew." in operator.text(answer.location)
    assert tonight.found(q=failed.message_id).status is MessageStatus.WAITING
    assert "There is nothing to retry" in operator.text(address)
    assert operator.send(address).status_code == 409


def test_a_dismissal_is_asked_for_with_its_reason(tonight: InboxStory) -> None:
    """Afterwards the message says who dismissed it and why, and the number that needs a look is one less."""
    operator = Reader(tonight)
    operator.sign_in("operator")
    failed = tonight.found(status=MessageStatus.FAILED)
    address = f"/inbox/{failed.number}/dismiss"
    assert f'href="{address}"' in operator.get(f"/inbox/{failed.number}").text
    assert "counted no more among those that need a look" in operator.text(address)
    wrong = operator.send(address, form_on=address, reason="", note="x" * 501)
    assert wrong.status_code == 422
    assert "Choose a reason." in text_of(wrong)
    assert "A note has at most 500 characters." in text_of(wrong)
    assert "Inbox 3 need a look" in operator.text("/")
    answer = operator.send(address, form_on=address, reason="not-from-aws", note="A health check.")
    assert answer.status_code == 303
    text = operator.text(answer.location)
    assert "it stays in the list, and needs no look any more" in text
    assert "Dismissed: nobody need look at it" in text
    assert "It is none of AWS's messages." in text
    assert "A health check." in text
    assert "Inbox 2 need a look" in operator.text("/")
    assert "There is nothing to dismiss" in operator.text(address)
    assert f'href="/inbox/{failed.number}/retry"' in operator.get(f"/inbox/{failed.number}").text


@pytest.mark.parametrize("path", ["/inbox", "/inbox/1", "/inbox/1/retry", "/inbox/1/dismiss"])
def test_the_inbox_is_for_operators(night: InboxStory, path: str) -> None:
    """An administrator may not see what other customers did; who is not signed in is asked to."""
    admin = Reader(night)
    assert admin.get(path).status_code == 303
    admin.sign_in("admin")
    assert admin.get(path).status_code == 403


@pytest.mark.parametrize("path", ["/inbox/0", "/inbox/9007199254740991", "/inbox/99999999999999999999", "/inbox/x"])
def test_a_message_that_is_not_there_is_not_found(operator: Reader, path: str) -> None:
    """Whatever stands in the address; where it is a message's, the page says that this one may be gone."""
    answer = operator.get(path)
    assert answer.status_code == 404
    is_number = path.rpartition("/")[2] in ("0", "9007199254740991")
    assert ("The inbox has no such message." in text_of(answer)) == is_number
    assert ("There is no page at this address." in text_of(answer)) != is_number


# -- the license -------------------------------------------------------------------------------------------------------


def test_the_page_of_a_license_tells_what_aws_said_beside_the_seats(operator: Reader, night: InboxStory) -> None:
    """The newest first, to everybody who sees the license; the operator goes on from there."""
    address = f"/licenses/{night.noon}"
    admin = Reader(night)
    admin.sign_in("admin")
    for reader in (operator, admin):
        text = reader.text(address)
        assert "The seller asks to cancel agreement" in text
        assert "AWS issued an advisory about agreement" in text
        assert "ends on 31 May 2027 and does not renew by itself." in text
    assert f"/inbox?license_id={night.noon}" in operator.get(address).text
    assert "/inbox" not in admin.get(address).text


def test_a_deletion_that_is_to_come_is_told_on_the_page_of_the_license(tonight: InboxStory) -> None:
    """A renewal for fewer seats was bought: all users who are active then are deleted, unless some go before."""
    stage = tonight.told.stage
    agreement_id = str(stage.licenses()[0].name(KeyKind.AGREEMENT))
    for user in ("Ada", "Grace", "Joan"):
        stage.ledger.seats.activate(tonight.noon, user=parse_user(user), caller=ADMIN)
    terms = SuccessorTerms(until=END_OF_NEXT_MAY, seats=2, predecessor_ends=PredecessorEnds.ON_ITS_DATE)
    stage.sandbox.marketplace.succeed(agreement_id, terms)
    stage.consume()
    tonight.caught_up()
    admin = Reader(tonight)
    admin.sign_in("admin")
    address = f"/licenses/{tonight.noon}"
    text = admin.text(address)
    assert "When the present contract ends, on 31 May 2027, 2 seats are left" in text
    assert "All 3 active users are deleted then and may sign in afresh, up to that number." in text
    assert "Free at least 1 seat before: block or delete users." in text
    seat_id = tonight.seat_of("Joan")
    stage.ledger.seats.delete(tonight.noon, seat_id=seat_id, caller=ADMIN)
    tonight.caught_up()
    assert "2 seats are left: AWS Marketplace shows the contract that follows already. Nobody loses" in admin.text(
        address
    )


def test_of_many_notices_the_newest_of_each_kind_stands_first(tonight: InboxStory) -> None:
    """The earlier ones open below it, for everybody; the operator goes on to all in the inbox."""
    stage = tonight.told.stage
    first = tonight.found(kind="notice", license_id=tonight.noon)
    notice = json.loads(MarketplaceInbox(tonight.ledger).get(first.number).body)
    anew = [{"id": f"anew-{n}", "detail": notice["detail"] | {"requestId": f"request-{n}"}} for n in range(3)]
    stage.send(*(json.dumps(notice | one) for one in anew))
    stage.consume()
    address = f"/licenses/{tonight.noon}"
    operator, admin = Reader(tonight), Reader(tonight)
    operator.sign_in("operator")
    admin.sign_in("admin")
    for reader in (operator, admin):
        latest, earlier = reader.text(address).split("3 earlier ones of the same kinds")
        assert latest.count("The seller asks to cancel agreement") == 1
        assert "ends on 31 May 2027" in latest
        assert earlier.count("The seller asks to cancel agreement") == 3
    link = f"/inbox?license_id={tonight.noon}&kind=notice"
    assert link in html.unescape(operator.get(address).text)
    assert operator.text(link).count("The seller asks to cancel agreement") == 4


def test_the_history_leads_to_the_message_that_caused_an_event(operator: Reader, night: InboxStory) -> None:
    """An operator goes from an event to what AWS said."""
    done = night.found(status=MessageStatus.DONE, kind="license-updated", license_id=night.noon)
    assert f"/inbox?q={done.message_id}" in operator.get(f"/licenses/{night.noon}/history").text


# -- in a browser ------------------------------------------------------------------------------------------------------


def addresses(night: InboxStory) -> tuple[str, ...]:
    """Every page of the inbox."""
    done = night.found(status=MessageStatus.DONE, kind="license-updated", license_id=night.noon)
    parked = night.found(status=MessageStatus.PARKED)
    return (
        "/inbox",
        "/inbox?status=ignored",
        f"/inbox?license_id={night.noon}",
        f"/inbox/{done.number}",
        f"/inbox/{parked.number}",
        f"/inbox/{parked.number}/retry",
        f"/inbox/{parked.number}/dismiss",
        f"/licenses/{night.noon}",
    )


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1100, False), (1100, True), (360, False)])
def test_the_inbox_is_for_everybody(chromium: Browser, night: InboxStory, *, width: int, dark: bool) -> None:
    """axe-core finds nothing that keeps people out, and nothing scrolls sideways, on a phone and in the dark too."""
    with ExitStack() as stack:
        address = stack.enter_context(served(night.app))
        window = stack.enter_context(open_window(chromium, night, address, width=width, dark=dark))
        window.sign_in("operator")
        for path in addresses(night):
            window.page.goto(path)
            assert window.barriers() == [], path
            assert not window.scrolls_sideways(), path


_LINES_OF_NUMBER = """link => {
    const text = link.firstChild, range = document.createRange();
    range.setStart(text, text.data.search(/[0-9]{12}/));
    range.setEnd(text, text.length);
    return range.getClientRects().length;
}"""


@pytest.mark.browser
def test_what_belongs_together_is_not_torn_apart(chromium: Browser, tonight: InboxStory) -> None:
    """The number of an account is on one line, and the button beside its fields whatever is said below them."""
    tonight.told.stage.buy(account_id="444444444444")
    tonight.told.stage.consume()
    tonight.caught_up()
    with ExitStack() as stack:
        address = stack.enter_context(served(tonight.app))
        window = stack.enter_context(open_window(chromium, tonight, address, width=1280))
        window.sign_in("operator")
        page = window.page
        page.goto("/inbox?since=10000-01-01")
        expect(page.get_by_text("Write a day as year-month-day")).to_be_visible()
        field, button = (
            one.bounding_box()
            for one in (page.get_by_label("Up to (day in UTC)"), page.get_by_role("button", name="Show"))
        )
        assert field is not None
        assert button is not None
        assert abs(field["y"] - button["y"]) < 2
        page.goto("/inbox")
        links = page.get_by_role("link", name="Customer 444444444444").all()
        assert [link.evaluate(_LINES_OF_NUMBER) for link in links] == [1] * len(links) != []


@pytest.mark.browser
def test_a_message_begins_anew_by_keyboard_and_without_scripts(chromium: Browser, tonight: InboxStory) -> None:
    """From the message over the question to the answer."""
    parked = tonight.found(status=MessageStatus.PARKED)
    with ExitStack() as stack:
        address = stack.enter_context(served(tonight.app))
        window = stack.enter_context(open_window(chromium, tonight, address, scripts=False))
        window.sign_in("operator")
        page = window.page
        page.goto(f"/inbox/{parked.number}")
        page.get_by_role("link", name="Retry").press("Enter")
        page.get_by_role("button", name="Retry").press("Enter")
        expect(page.get_by_text("The message begins anew.")).to_be_visible()
    assert tonight.found(q=parked.message_id).status is MessageStatus.WAITING
