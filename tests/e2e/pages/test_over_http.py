"""The pages over HTTP, without scripts: who may do what, and what the browser is told."""

import re
import uuid
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from api.pages import errors
from consumers.marketplace import MarketplaceOperating
from ledger.license.events import LapseReason, RenewalIntent, SeatActivated, SeatBlocked
from ledger.seats import Change
from ledger.system.events import KeyRole
from tests.e2e.pages.reader import Reader, text_of
from tests.e2e.pages.story import ADA, GRACE, JOAN, OPERATOR, USERS, Story, announce, buy, change, observe, overwrite

LABELS = (
    "Amazon Customer ID",
    "Amazon Product ID",
    "Company Name",
    "Max number of licensed users allowed",
    "Number of active licensed users",
    "Renewal Date",
)


# -- what the pages say ------------------------------------------------------------------------------------------------


def test_license_information_has_the_six_labels_in_their_order(story: Story, reader: Reader) -> None:
    """The page of the seed is reproduced, label by label, with this license's values."""
    reader.sign_in("admin")
    page = reader.get(f"/licenses/{story.noon}").text
    assert tuple(re.findall(r"<dt>([^<]+)</dt>", page))[:6] == LABELS
    text = reader.text(f"/licenses/{story.noon}")
    assert "Active, renews on" in text
    assert "AWS Marketplace told on" in text
    assert "10 of 25 seats in use" in text
    for value in ("123456789012", "prod-k7m2xq4wv5nhy", "Noon Telephony", "10 active 15 free 1 blocked"):
        assert value in text


def test_the_note_of_the_seed_stands_where_the_max_is_with_the_numbers_of_this_license(
    story: Story, reader: Reader
) -> None:
    """The danger is said before it happens, and the preview says how many to free first."""
    reader.sign_in("admin")
    text = reader.text(f"/licenses/{story.noon}?seats_max=8")
    assert "If you buy fewer than 10 in AWS Marketplace, all 10 active users are deleted and sign in afresh" in text
    assert "With 8 seats, all 10 active users are deleted. Free seats first: block or delete at least 2 users." in text
    assert ADA in text


def test_a_preview_of_enough_seats_deletes_nobody(story: Story, reader: Reader) -> None:
    """As many seats as there are active users are enough."""
    reader.sign_in("admin")
    text = reader.text(f"/licenses/{story.noon}?seats_max=11")
    assert "With 11 seats, nobody is deleted. 1 seat would be free." in text


@pytest.mark.parametrize("typed", ["ten", "-1", "1e9", "٣", "99999999999", "5.5"])
def test_a_preview_of_no_number_says_what_to_write(story: Story, reader: Reader, typed: str) -> None:
    """What can't be read is kept in the field and explained."""
    reader.sign_in("admin")
    page = reader.get(f"/licenses/{story.noon}?seats_max={typed}")
    assert "Write a number of seats, such as 10." in text_of(page)
    assert f'value="{typed}"' in page.text


def test_a_license_without_seats_says_what_is_waited_for(story: Story, reader: Reader) -> None:
    """Pending is not zero: nobody is told a number that AWS never said."""
    reader.sign_in("operator")
    text = reader.text(f"/licenses/{story.dawn}")
    assert "Waiting for AWS to tell the number of seats" in text
    assert "0 of 0" not in text


def test_an_ended_license_says_that_users_keep_their_seats(story: Story, reader: Reader) -> None:
    """An end is not a decrease."""
    reader.sign_in("operator")
    text = reader.text(f"/licenses/{story.night}")
    assert "Nobody can use the client. Users keep their seats for when it is bought again." in text


def test_a_renewal_that_nobody_told_is_not_claimed(story: Story, reader: Reader) -> None:
    """The contract runs until its date, and what becomes of it then is said to be unknown."""
    reader.sign_in("operator")
    text = reader.text(f"/licenses/{story.dusk}")
    assert re.search(r"Active until \d+ \w+ \d{4} Users with a seat can use the client\.", text)
    assert "Whether the contract renews is not known." in text
    assert "AWS Marketplace has not told whether it renews." in text
    assert "renews on" not in text
    assert "renews on" not in reader.text(f"/licenses/{story.dusk}/history")


@pytest.mark.parametrize(
    ("renewal", "headline"), [(RenewalIntent.ENDS, "Active, ends on"), (RenewalIntent.REPLACED, "Active, replaced on")]
)
def test_what_becomes_of_a_contract_is_said_as_aws_told_it(
    story: Story, reader: Reader, renewal: RenewalIntent, headline: str
) -> None:
    """The latest word counts."""
    announce(story.ledger, story.noon, renewal)
    story.caught_up()
    reader.sign_in("admin")
    text = reader.text(f"/licenses/{story.noon}")
    assert headline in text
    assert "is not known" not in text


def test_a_contract_that_ended_before_its_date_says_when_it_ended(story: Story, reader: Reader) -> None:
    """Whatever the reason is called; and nobody is invoiced any more."""
    MarketplaceOperating(story.ledger).lapse(story.dusk, reason=LapseReason.EXPIRED, caller=OPERATOR)
    story.caught_up()
    today = story.clock()
    reader.sign_in("operator")
    text = reader.text(f"/licenses/{story.dusk}")
    assert f"Ended on {today.day} {today:%B %Y}" in text
    assert f"Until then the contract was to run; it ended on {today.day} {today:%B %Y}." in text
    assert "The number of user licenses that the contract had when it ended." in text
    assert "You are invoiced" not in text
    assert "If you buy it again with fewer than 73 in AWS Marketplace, all 73 active users are deleted" in text
    assert "You are invoiced for this number" in reader.text(f"/licenses/{story.noon}")


def test_counts_are_the_same_on_every_page(story: Story, reader: Reader) -> None:
    """License Information, the users and the list of licenses count alike."""
    reader.sign_in("operator")
    assert "10 of 25 seats in use, 15 free." in reader.text(f"/licenses/{story.noon}/users")
    assert "All 13 Active 10 Blocked 1 Inactive 1 Deleted 1" in reader.text(f"/licenses/{story.noon}/users")
    assert "10 of 25" in reader.text("/")


def test_users_are_found_from_the_first_letter_and_by_status(story: Story, reader: Reader) -> None:
    """A part of the name in any case is enough."""
    reader.sign_in("admin")
    assert "1 user found." in reader.text(f"/licenses/{story.noon}/users?q=LOVE")
    blocked = reader.text(f"/licenses/{story.noon}/users?status=blocked")
    assert JOAN in blocked
    assert ADA not in blocked
    assert "No user fits" in reader.text(f"/licenses/{story.noon}/users?q=nobody")


def test_many_users_come_in_pages_that_follow_each_other(story: Story, reader: Reader) -> None:
    """Each user of a long list is on exactly one page."""
    reader.sign_in("operator")
    first = reader.get(f"/licenses/{story.dusk}/users").text
    found = re.search(r'href="([^"]+cursor=[^"]+)"[^>]*>Next page', first)
    assert found is not None
    second = reader.get(found[1].replace("&amp;", "&")).text
    names = [set(re.findall(r"agent \d+", text)) for text in (first, second)]
    assert [len(names[0]), len(names[1])] == [50, 23]
    assert not names[0] & names[1]


def test_the_history_tells_a_decrease_as_one_item_with_its_cause(story: Story, reader: Reader) -> None:
    """Deletions and the lowered limit are one append, and one item."""
    reader.sign_in("auditor")
    text = reader.text(f"/licenses/{story.noon}/history")
    assert "The limit was lowered from 10 to 5 in AWS Marketplace: all 6 active users lost their seats.7 events" in text
    assert "Grace Hopper lost the seat: the limit was lowered from 10 to 5 in AWS Marketplace." in text


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_a_decrease_longer_than_a_page_is_told_whole_on_each_page(story: Story, reader: Reader, order: str) -> None:
    """150 users lose their seats; each page that holds some of the events says how many there are in all."""
    users = [f"agent {number:03}" for number in range(150)]
    license_id = buy(story.ledger, account="321098765432", seats=150, days=90, agreement="agmt-5t6y7u8i")
    change(story.ledger, license_id, users, Change.ACTIVATE)
    observe(story.ledger, license_id, seats=100, days=90)
    story.caught_up()
    reader.sign_in("operator")
    told = "The limit was lowered from 150 to 100 in AWS Marketplace: all 150 active users lost their seats."
    address: str | None = f"/licenses/{license_id}/history?order={order}"
    shown, lost = [], []
    while address:
        answer = reader.get(address)
        shown += re.findall(rf"{re.escape(told)}(\d+) of 151 events", text_of(answer))
        lost += re.findall(r"(agent \d+) lost the seat", text_of(answer))
        later = re.search(r'href="([^"]+cursor=[^"]+)"', answer.text)
        address = later[1].replace("&amp;", "&") if later else None
    assert len(shown) > 1
    assert sum(map(int, shown)) == 151
    assert sorted(lost) == users


def test_a_filter_that_shows_part_of_a_decision_says_so(story: Story, reader: Reader) -> None:
    """Who asks for one user reads of that user and of the cause; who asks for a kind reads the whole decision."""
    reader.sign_in("auditor")
    address = f"/licenses/{story.noon}/history"
    of_grace = reader.text(f"{address}?user=grace+hopper")
    assert "Grace Hopper lost the seat: the limit was lowered from 10 to 5 in AWS Marketplace.1 of 7 events" in of_grace
    assert "7 events belong together. With this filter, 1 of them is on this page." in of_grace
    lowered = reader.text(f"{address}?type=license.seat-limit-lowered")
    assert "in AWS Marketplace: all 6 active users lost their seats.1 of 7 events" in lowered
    deleted = reader.text(f"{address}?type=license.seat-deleted&actor=marketplace")
    assert "in AWS Marketplace: all 6 active users lost their seats.6 of 7 events" in deleted
    assert "With this filter, 6 of them are on this page." in deleted


def test_the_history_is_narrowed_by_user_kind_actor_and_day(story: Story, reader: Reader) -> None:
    """Each filter leaves out what does not fit."""
    reader.sign_in("auditor")
    of_joan = reader.text(f"/licenses/{story.noon}/history?user=joan+clarke")
    assert "Joan Clarke was blocked by an administrator: left the company." in of_joan
    assert ADA not in of_joan
    assert ADA not in reader.text(f"/licenses/{story.noon}/history?type=license.seat-blocked")
    assert JOAN not in reader.text(f"/licenses/{story.noon}/history?actor=operator")
    assert "Nothing fits" in reader.text(f"/licenses/{story.noon}/history?until=2001-01-01")
    wrong = reader.text(f"/licenses/{story.noon}/history?since=yesterday")
    assert "Write a day as year-month-day, such as 2027-03-01." in wrong


def test_a_damaged_cursor_is_an_error_page_not_a_failure(story: Story, reader: Reader) -> None:
    """An address that was cut says so."""
    reader.sign_in("admin")
    answer = reader.get(f"/licenses/{story.noon}/users?cursor=abc")
    assert answer.status_code == 422
    assert "Begin again at the first page of the list." in text_of(answer)


# -- changing seats ----------------------------------------------------------------------------------------------------


def test_a_confirmation_names_the_user_and_says_what_follows(story: Story, reader: Reader) -> None:
    """Nothing is changed by looking at it."""
    reader.sign_in("admin")
    text = reader.text(f"/licenses/{story.noon}/users/confirm?change=block&seat_id={story.seat_of(ADA)}")
    assert f"{ADA} can't sign in until you unblock this user. The seat of {ADA} becomes free now." in text
    assert story.status_of(ADA) == "active"


def test_a_block_says_what_happened_and_offers_the_way_back(story: Story, reader: Reader) -> None:
    """The page that follows shows the block, by whom, and undoes it with one button."""
    reader.sign_in("admin")
    answer = reader.change("block", ADA, reason="left", note="Moved to Paris")
    assert answer.status_code == 303
    page = reader.get(answer.location)
    assert f"{ADA} is blocked and has no seat. Undo" in text_of(page)
    assert "Left the company: Moved to Paris" in text_of(page)
    undone = reader.change("unblock", ADA)
    assert "takes a seat at the next sign-in" in reader.text(undone.location)
    assert story.status_of(ADA) == "inactive"


def test_an_event_names_the_sign_in_that_caused_it_and_no_person(story: Story, reader: Reader) -> None:
    """The actor is the opaque id of the sign-in, the cause the id of the request."""
    reader.sign_in("admin")
    reader.change("block", ADA, reason="misuse")
    recorded = story.ledger.feed(after=story.ledger.head().position - 1, limit=1)[0]
    assert isinstance(recorded.event, SeatBlocked)
    assert recorded.actor.role == "admin"
    assert re.fullmatch(r"sign-in-[0-9a-f]{16}", recorded.actor.id)
    assert re.fullmatch(r"[0-9a-f-]{36}", recorded.cause or "")


def test_a_block_without_a_reason_keeps_what_was_typed(story: Story, reader: Reader) -> None:
    """The form comes back with a sentence beside the field."""
    reader.sign_in("admin")
    answer = reader.change("block", ADA, note="Moved to Paris")
    assert answer.status_code == 422
    assert "Choose a reason for the block." in text_of(answer)
    assert "Moved to Paris" in answer.text
    assert story.status_of(ADA) == "active"


def test_a_refused_change_says_why_in_words_with_the_code(reader: Reader) -> None:
    """A blocked user is not deleted, and the row says what to do instead."""
    reader.sign_in("admin")
    text = reader.text(reader.change("delete", JOAN).location)
    assert f"{JOAN} was not deleted. This user is blocked. Unblock the user first. USER_BLOCKED" in text


def test_a_selection_is_changed_at_once_and_each_user_gets_a_result(story: Story, reader: Reader) -> None:
    """Those that can't be changed do not hold up the others."""
    reader.sign_in("admin")
    seats = [story.seat_of(user) for user in (ADA, GRACE, JOAN)]
    answer = reader.send(f"/licenses/{story.noon}/users/changes", change="delete", seat_id=seats)
    text = text_of(answer)
    assert "2 of 3 users done; 1 not." in text
    assert [story.status_of(user) for user in (ADA, GRACE, JOAN)] == ["deleted", "deleted", "blocked"]


def test_an_empty_selection_says_what_to_tick(story: Story, reader: Reader) -> None:
    """Nobody is left before a blank page."""
    reader.sign_in("admin")
    answer = reader.get(f"/licenses/{story.noon}/users/confirm?change=block")
    assert answer.status_code == 422
    assert "Tick the users first" in text_of(answer)


def test_pasted_names_get_a_result_line_by_line(story: Story, reader: Reader) -> None:
    """Good lines are done, the others are kept in the field to be mended."""
    reader.sign_in("admin")
    answer = reader.send(
        f"/licenses/{story.noon}/users/add", change="activate", names=f"Hedy Lamarr\n\n{JOAN}\nX\x07\n ada LOVELACE "
    )
    text = text_of(answer)
    assert "2 of 4 users done; 2 not." in text
    assert "Hedy Lamarr has a seat and can use the client." in text
    assert "Remove the character U+0007" in text
    assert "Joan Clarke\nX\x07</textarea>" in answer.text


def test_users_never_heard_of_can_be_blocked(story: Story, reader: Reader) -> None:
    """A block may come before the first sign-in."""
    reader.sign_in("admin")
    reader.send(f"/licenses/{story.noon}/users/add", change="block", names="Mallory", reason="misuse", note="")
    assert story.status_of("Mallory") == "blocked"


@pytest.mark.parametrize(("names", "said"), [(" \n ", "Write at least one name."), ("x\n" * 1_001, "At most 1,000")])
def test_no_name_or_too_many_names_are_refused(story: Story, reader: Reader, names: str, said: str) -> None:
    """The sentence stands beside the field, and nothing is changed."""
    reader.sign_in("admin")
    position = story.ledger.head().position
    answer = reader.send(f"/licenses/{story.noon}/users/add", change="activate", names=names)
    assert answer.status_code == 422
    assert said in text_of(answer)
    assert story.ledger.head().position == position


def test_a_full_license_refuses_with_its_numbers(story: Story, reader: Reader) -> None:
    """The refusal says how many seats there are and what to do."""
    reader.sign_in("operator")
    names = "\n".join(f"new {number}" for number in range(9))
    answer = reader.send(f"/licenses/{story.dusk}/users/add", change="activate", names=names)
    assert "80 of 80 seats are in use. Block or delete a user, or buy more seats in AWS Marketplace." in text_of(answer)


def test_users_with_html_in_their_names_are_shown_as_text(story: Story, reader: Reader) -> None:
    """A name is never taken for part of a page."""
    reader.sign_in("admin")
    reader.send(f"/licenses/{story.noon}/users/add", change="activate", names="<script>alert(1)</script>")
    for page in ("users?q=script", "history"):
        answer = reader.get(f"/licenses/{story.noon}/{page}").text
        assert "<script>alert" not in answer
        assert "&lt;script&gt;alert(1)" in answer


# -- who may what ------------------------------------------------------------------------------------------------------


def test_who_is_not_signed_in_is_sent_to_the_sign_in_and_back(story: Story, reader: Reader) -> None:
    """The page that was wanted comes after the sign-in."""
    answer = reader.get(f"/licenses/{story.noon}/users?q=ada")
    assert (answer.status_code, answer.location) == (303, f"/sign-in?next=/licenses/{story.noon}/users?q%3Dada")
    sent = reader.send("/sign-in", answer.location, key=story.keys["admin"], next=f"/licenses/{story.noon}/users?q=ada")
    assert sent.location == f"/licenses/{story.noon}/users?q=ada"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_a_sign_in_leads_to_no_other_site(story: Story, reader: Reader, target: str) -> None:
    """An open redirect would lend this site's name to others."""
    assert reader.send("/sign-in", "/sign-in", key=story.keys["admin"], next=target).location == "/"


def test_an_administrator_of_one_license_goes_to_it(story: Story, reader: Reader) -> None:
    """A list of one is no question."""
    reader.sign_in("admin")
    assert reader.get("/").location == f"/licenses/{story.noon}"


def test_an_auditor_sees_no_button_and_may_not_send_the_form(story: Story, reader: Reader) -> None:
    """An auditor reads; a form that is sent all the same is refused with a page."""
    reader.sign_in("auditor")
    page = reader.get(f"/licenses/{story.noon}/users").text
    assert ADA in page
    for word in (">Block<", ">Delete<", "Add users", 'type="checkbox"'):
        assert word not in page
    answer = reader.change("block", ADA, reason="left")
    assert answer.status_code == 403
    assert "You may not do this" in text_of(answer)
    assert story.status_of(ADA) == "active"


@pytest.mark.parametrize(
    "path",
    ["users/confirm?change=block", "users/add", "sign-ins", "?seats_max=3"],
    ids=["confirm", "add", "who", "max"],
)
def test_an_auditor_may_not_open_what_leads_to_changes(story: Story, reader: Reader, path: str) -> None:
    """Neither a confirmation nor the sign-ins nor the preview are an auditor's."""
    reader.sign_in("auditor")
    separator = "" if path.startswith("?") else "/"
    assert reader.get(f"/licenses/{story.noon}{separator}{path}").status_code == 403


@pytest.mark.parametrize(
    "address", ["", "/users", "/history", "/sign-ins", "/users/add", "/users/confirm?change=block"]
)
def test_anothers_license_is_not_found(story: Story, reader: Reader, address: str) -> None:
    """It answers like one that does not exist."""
    reader.sign_in("admin")
    anothers = reader.get(f"/licenses/{story.dusk}{address}")
    missing = reader.get(f"/licenses/00000000-0000-4000-8000-000000000000{address}")
    assert anothers.status_code == missing.status_code == 404
    assert "There is no such license." in text_of(anothers)


def test_a_seat_of_another_license_is_not_changed(story: Story, reader: Reader) -> None:
    """Seats are looked up in the license of the address."""
    reader.sign_in("admin")
    foreign = story.seat_of("agent 001", story.dusk)
    answer = reader.send(f"/licenses/{story.noon}/users/changes", change="delete", seat_id=foreign)
    assert answer.status_code == 404
    assert story.ledger.past.license_now(story.dusk).seats[foreign].status == "active"


def test_what_names_no_seat_is_not_looked_up(reader: Reader) -> None:
    """No database is asked for what may stand in an address: it is as if no user was chosen."""
    reader.sign_in("admin")
    chosen = reader.get(f"/licenses/{reader.story.noon}/users/confirm?change=block&seat_id=%00&seat_id=Ada")
    nobody = reader.get(f"/licenses/{reader.story.noon}/users/confirm?change=block")
    assert (chosen.status_code, text_of(chosen)) == (nobody.status_code, text_of(nobody))


def test_the_key_of_a_client_program_opens_no_pages(reader: Reader) -> None:
    """It says which keys do."""
    answer = reader.sign_in("client")
    assert answer.status_code == 403
    assert "it signs users in and opens no pages" in text_of(answer)
    assert "For support: KEY_OPENS_NO_PAGES, request" in text_of(answer)
    assert reader.get("/").status_code == 303


def test_a_wrong_key_is_refused_in_words(reader: Reader) -> None:
    """Nothing of the key comes back."""
    answer = reader.send("/sign-in", "/sign-in", key="llk_wrong")
    assert answer.status_code == 403
    assert "This key is not known, was revoked or has expired." in text_of(answer)
    assert f"For support: KEY_REFUSED, request {answer.headers['X-Request-ID']}" in text_of(answer)
    assert "llk_wrong" not in answer.text


def test_keys_can_not_be_guessed_one_after_the_other(reader: Reader) -> None:
    """After twenty wrong keys within a minute an address waits, even with a right one."""
    for number in range(20):
        assert reader.send("/sign-in", "/sign-in", key=f"llk_{number}").status_code == 403
    answer = reader.sign_in("admin")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(story: Story, reader: Reader) -> None:
    """HttpOnly and SameSite always, Secure and bound to this host where HTTPS is used."""
    cookies = reader.sign_in("admin").headers.getlist("Set-Cookie")
    assert cookies
    assert all("HttpOnly" in cookie and "SameSite=Lax" in cookie for cookie in cookies)
    story.app.config["SESSION_COOKIE_SECURE"] = True
    again = Reader(story)
    carried = again.client.get("/sign-in", base_url="https://localhost").headers.getlist("Set-Cookie")
    assert carried
    assert all("Secure" in cookie for cookie in carried)


def test_signing_out_ends_the_session_on_the_server(reader: Reader) -> None:
    """The cookie of before opens nothing any more, wherever it was copied to."""
    reader.sign_in("admin")
    cookie = reader.client.get_cookie("ledger-sign-in")
    assert cookie is not None
    assert reader.send("/sign-out").location == "/sign-in"
    copy = Reader(reader.story)
    copy.client.set_cookie("ledger-sign-in", cookie.value)
    assert copy.get("/").status_code == 401


def test_a_session_ends_after_twelve_hours(story: Story, reader: Reader) -> None:
    """It says so, and offers to sign in again."""
    reader.sign_in("admin")
    story.clock.ahead += timedelta(hours=11, minutes=59)
    assert reader.get(f"/licenses/{story.noon}").status_code == 200
    story.clock.ahead += timedelta(minutes=2)
    answer = reader.get(f"/licenses/{story.noon}")
    assert answer.status_code == 401
    assert "Your sign-in has ended. Sign in again to go on." in text_of(answer)


def test_a_session_dies_with_its_key(story: Story, reader: Reader) -> None:
    """Revoking a key ends what was begun with it, at once."""
    reader.sign_in("admin")
    key = next(key for key in story.ledger.keys.all() if key.name == "admin")
    story.ledger.keys.revoke(key.key_id, caller=OPERATOR)
    assert reader.get(f"/licenses/{story.noon}").status_code == 401


def test_administrators_see_and_end_the_sign_ins_of_their_license(story: Story, reader: Reader) -> None:
    """Ending one takes effect at the next click of who was signed in."""
    other = Reader(story)
    other.sign_in("auditor")
    reader.sign_in("admin")
    page = reader.get(f"/licenses/{story.noon}/sign-ins").text
    assert "with the key auditor" in page
    assert "this browser" in page
    ids = re.findall(r'name="sign_in_id" value="([^"]+)"', page)
    assert len(ids) == 2
    own = re.search(r'this browser</span><small class="muted"><code>([^<]+)', page)
    assert own is not None
    theirs = next(one for one in ids if one != own[1])
    reader.send(f"/licenses/{story.noon}/sign-ins/end", sign_in_id=theirs)
    assert other.get(f"/licenses/{story.noon}").status_code == 401
    assert reader.get(f"/licenses/{story.noon}").status_code == 200


def test_a_sign_in_beyond_the_license_can_not_be_ended_from_it(story: Story, reader: Reader) -> None:
    """An administrator does not sign the operator out."""
    operator = Reader(story)
    operator.sign_in("operator")
    cookie = operator.client.get_cookie("ledger-sign-in")
    assert cookie is not None
    reader.sign_in("admin")
    page = reader.get(f"/licenses/{story.noon}/sign-ins").text
    assert page.count('name="sign_in_id"') == 1
    dusk_admin = Reader(story)
    story.issue_key("dusk", KeyRole.ADMIN, story.dusk)
    dusk_admin.sign_in("dusk")
    found = re.search(r'name="sign_in_id" value="([^"]+)"', dusk_admin.get(f"/licenses/{story.dusk}/sign-ins").text)
    assert found is not None
    reader.send(f"/licenses/{story.noon}/sign-ins/end", sign_in_id=found[1])
    assert dusk_admin.get(f"/licenses/{story.dusk}").status_code == 200
    assert operator.get("/").status_code == 200


# -- forms and headers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "forged"])
def test_a_form_without_this_sites_token_changes_nothing(story: Story, reader: Reader, token: str | None) -> None:
    """Another site can't send forms in the name of who is signed in."""
    reader.sign_in("admin")
    fields = {"change": "delete", "seat_id": story.seat_of(ADA)} | ({} if token is None else {"csrf_token": token})
    answer = reader.client.post(f"/licenses/{story.noon}/users/changes", data=fields)
    assert answer.status_code == 400
    assert "Nothing was changed." in text_of(answer)
    assert story.status_of(ADA) == "active"


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/link", "/sign-out", "/registration"])
def test_every_form_but_that_of_aws_needs_the_token(reader: Reader, path: str) -> None:
    """Signing in and out by another site's form is refused too."""
    assert reader.client.post(path, data={}).status_code == 400


def test_a_token_of_another_session_is_refused(story: Story, reader: Reader) -> None:
    """A form can't be filled in by one who is signed in and sent by another."""
    reader.sign_in("admin")
    other = Reader(story)
    other.sign_in("auditor")
    found = re.search(r'name="csrf_token" value="([^"]+)"', other.get("/sign-out").text)
    assert found is not None
    assert reader.client.post("/sign-out", data={"csrf_token": found[1]}).status_code == 400


def test_a_sign_in_makes_the_forms_of_before_worthless(reader: Reader) -> None:
    """Who prepared a browser for somebody else can't send forms in their name."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', reader.get("/sign-in").text)
    assert found is not None
    reader.sign_in("admin")
    assert reader.client.post("/sign-out", data={"csrf_token": found[1]}).status_code == 400


@pytest.mark.parametrize("path", ["/sign-in", "/nothing", "/marketplace/register", "/registration"])
def test_every_page_forbids_foreign_and_inline_scripts(reader: Reader, path: str) -> None:
    """Error pages carry the headers too, and no page is kept by caches."""
    headers = reader.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "same-origin"


def test_no_page_has_scripts_or_styles_inside(story: Story, reader: Reader) -> None:
    """What the policy forbids is not even tried."""
    reader.sign_in("operator")
    noon = f"/licenses/{story.noon}"
    for path in ("/", noon, f"{noon}/users", f"{noon}/users/add", f"{noon}/history", f"{noon}/sign-ins", "/nothing"):
        page = reader.get(path).text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://", page), path
        assert len(re.findall(r"<h1", page)) == 1, path


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/licenses/nothing", 404),
        ("PUT", "/sign-in", 405),
        ("GET", "/sign-in/link", 410),
    ],
)
def test_every_error_has_a_page_with_what_to_do_next(reader: Reader, method: str, path: str, status: int) -> None:
    """Flask's own errors are said in words, with the request id where there is one to tell."""
    answer = reader.client.open(path, method=method)
    assert answer.status_code == status
    assert "<h1" in answer.text
    assert answer.headers["X-Request-ID"] in answer.text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/drift?number=77", "There is no report 77, or it is not kept any more."),
        ("/inbox/77", "Settled messages are removed after LEDGER_INBOX_RETENTION."),
        (f"/licenses/{uuid.UUID(int=0)}", "There is no such license"),
        ("/licenses/nothing", "There is no page at this address."),
    ],
)
def test_what_is_missing_is_said(reader: Reader, path: str, said: str) -> None:
    """A number that was right last month is not an address that was mistyped."""
    reader.sign_in("operator")
    answer = reader.get(path)
    assert answer.status_code == 404
    assert said in text_of(answer)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 422, 429, 500, 503, 418, 507])
def test_an_error_is_a_sentence_a_next_step_and_what_support_needs(story: Story, status: int) -> None:
    """Every status has its page, also one that nobody thought of."""
    with story.app.test_request_context("/licenses?q=ada"):
        answer = errors.render(status, "SOME_CODE", "This is what happened.", "4f9f0e2f")
    page = answer.get_data(as_text=True)
    assert answer.status_code == status
    assert "This is what happened." in page
    assert "For support: <code>SOME_CODE</code>, request <code>4f9f0e2f</code>" in page
    assert 'class="button' in page


@pytest.mark.parametrize(("path", "again"), [("/marketplace/register", True), ("/licenses/{}/users/changes", False)])
def test_trying_again_leads_to_where_something_can_be_loaded(story: Story, path: str, *, again: bool) -> None:
    """What was sent as a form is not sent again by a link: the link leads to its page, or to the start."""
    path = path.format(story.noon)
    with story.app.test_request_context(path, method="POST"):
        page = errors.render(429, "TOO_MANY", "Wait 44 seconds, then try again.", "4f9f0e2f").get_data(as_text=True)
    assert (f'href="{path}">Try again' in page) is again
    assert ('href="/">Go to the start' in page) is not again


def test_a_large_form_is_refused_with_a_page(reader: Reader) -> None:
    """Two megabytes are more than any form has."""
    reader.sign_in("admin")
    answer = reader.client.post("/sign-in", data={"key": "x" * 2_000_000})
    assert answer.status_code == 413
    assert "This is too much at once" in text_of(answer)


def test_a_database_that_can_not_be_read_has_a_page_that_says_so(story: Story, reader: Reader) -> None:
    """The disk went bad under a running ledger: reading and changing are answered in words, with what support needs."""
    reader.sign_in("admin")
    token = reader.get(f"/licenses/{story.noon}/users/add").text.split('name="csrf_token" value="')[1].split('"')[0]
    for ending in ("", "-wal", "-shm"):
        overwrite(story.path.with_name(story.path.name + ending))
    noon = f"/licenses/{story.noon}"
    changed = reader.client.post(f"{noon}/users/add", data={"csrf_token": token, "change": "activate", "names": "Hedy"})
    for answer in (reader.get(noon), reader.get(f"{noon}/history"), changed):
        assert answer.status_code == 503
        text = text_of(answer)
        assert "The ledger can't answer now" in text
        assert "in a moment. If this goes on, tell the operator the request id below." in text
        assert f"For support: UNAVAILABLE, request {answer.headers['X-Request-ID']}" in text
        assert answer.headers["Retry-After"] == "1"


def test_a_failure_that_nobody_thought_of_has_a_page_that_says_so(story: Story, reader: Reader) -> None:
    """It says what to do and names the request; what failed stands in the log, not on the page."""
    story.marketplace.tokens["token-of-a-surprise"] = ZeroDivisionError("by the number of Ada")
    with capture_logs() as logs:
        answer = reader.register("token-of-a-surprise")
    assert answer.status_code == 500
    text = text_of(answer)
    assert "The ledger failed" in text
    assert f"For support: INTERNAL, request {answer.headers['X-Request-ID']}" in text
    assert "Ada" not in text
    assert [log["error"] for log in logs if log["log_level"] == "error"] == ["ZeroDivisionError"]


def test_no_user_stands_in_the_path_of_an_address(story: Story, reader: Reader) -> None:
    """Paths are logged; names stand in queries and forms alone, seats in paths by their ids."""
    reader.sign_in("admin")
    pages = [reader.get(f"/licenses/{story.noon}/{page}").text for page in ("users", "history")]
    addresses = [address for page in pages for address in re.findall(r'(?:href|action|hx-get|hx-post)="([^"?]*)', page)]
    assert addresses
    for user in USERS:
        assert not [address for address in addresses if user.split()[0].lower() in address.lower()]


def test_changes_by_pages_are_events_like_any_other(story: Story, reader: Reader) -> None:
    """A seat given on a page is recorded with its user as personal data of the seat."""
    reader.sign_in("admin")
    reader.send(f"/licenses/{story.noon}/users/add", change="activate", names="Hedy Lamarr")
    recorded = story.ledger.feed(after=story.ledger.head().position - 1, limit=1)[0]
    assert isinstance(recorded.event, SeatActivated)
    assert (recorded.event.user.of, recorded.event.user.plain) == (recorded.event.seat_id, "Hedy Lamarr")
