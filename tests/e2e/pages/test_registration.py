"""From AWS Marketplace to signed in: the token, the company form, the link."""

import re
from collections.abc import Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from api.app import ApiSettings, Parts, create_app
from api.pages.limits import REGISTRATIONS_PER_MINUTE, REGISTRATIONS_PER_MINUTE_OF_ALL
from api.pages.registration import TOKEN_LENGTH_MAX
from consumers.marketplace import MarketplaceInbox, MarketplaceOperating
from ledger.license.events import CompanyRegistered
from tests.e2e.pages.reader import Reader, text_of
from tests.e2e.pages.story import Story, observe

COMPANY = {
    "company_name": "Dawn Analytics",
    "name": "Mae Jemison",
    "email": "mae@example.com",
    "phone": "+1 206 555 0199",
}


def register(reader: Reader, arriving_with: str = "token-of-dawn", **company: str) -> str:
    """Come with a token and send the company form; returns the secret part of the link."""
    assert reader.register(arriving_with).status_code == 303
    page = reader.send("/registration", "/registration?write=1", **{**COMPANY, **company}).text
    found = re.search(r"/sign-in/link\?token=([A-Za-z0-9_-]+)", page)
    assert found is not None, page
    return found[1]


def redeem(reader: Reader, token: str) -> int:
    """Press the button behind a link; returns the status."""
    return reader.send("/sign-in/link", token=token).status_code


def test_registration_ends_signed_in_as_administrator_of_the_license(story: Story, reader: Reader) -> None:
    """Token, form, link, button: then the license is there, and no other."""
    token = register(reader)
    assert redeem(reader, token) == 303
    text = reader.text(f"/licenses/{story.dawn}")
    assert "Dawn Analytics" in text
    assert "Administrator" in text
    assert reader.get(f"/licenses/{story.noon}").status_code == 404


def test_the_company_is_recorded_with_its_contact_as_personal_data(story: Story, reader: Reader) -> None:
    """The event says who caused it by an opaque id alone."""
    register(reader)
    recorded = story.ledger.feed(after=story.ledger.head().position - 1, limit=1)[0]
    assert isinstance(recorded.event, CompanyRegistered)
    assert recorded.event.contact.of == "contact"
    assert recorded.event.contact.plain.email == "mae@example.com"
    assert re.fullmatch(r"registration-[0-9a-f]{16}", recorded.actor.id)


def test_what_aws_told_stands_in_plain_text(reader: Reader) -> None:
    """Account, product, seats and date, before anything is asked."""
    reader.register("token-of-noon")
    text = reader.text("/registration")
    assert "Amazon Customer ID123456789012" in text
    assert "25 seats" in text
    assert "Welcome back" in text


def test_without_seats_the_page_looks_again_by_itself(story: Story, reader: Reader) -> None:
    """With scripts and without; when AWS has told the number it shows the form."""
    reader.register("token-of-dawn")
    page = reader.get("/registration")
    assert "AWS has not told us the number of seats yet. This page looks again by itself." in text_of(page)
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in page.text
    assert 'hx-trigger="every 5s"' in page.text
    observe(story.ledger, story.dawn, seats=4, days=90)
    page = reader.get("/registration")
    assert "4 seats" in text_of(page)
    assert "looks again" not in page.text
    assert "Company Name" in text_of(page)


def test_who_fills_in_the_form_meanwhile_does_not_lose_it(reader: Reader) -> None:
    """The page with the form never loads itself again."""
    reader.register("token-of-dawn")
    page = reader.get("/registration?write=1").text
    assert "http-equiv" not in page
    assert "every 5s" not in page


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("company_name", " ", "The company's name is empty."),
        ("company_name", "x" * 257, "The company's name has at most 256 characters."),
        ("name", "", "The contact's name is empty."),
        ("email", "mae", "Write an email address with an @ and a domain"),
        ("email", "mae@", "Write an email address with an @ and a domain"),
        ("phone", "call me", "Write a phone number with digits"),
        ("name", "Mae\u202e", "Remove the character U+202E"),
    ],
)
def test_a_wrong_field_is_explained_and_the_form_keeps_what_was_typed(
    story: Story, reader: Reader, field: str, typed: str, said: str
) -> None:
    """Nothing is recorded, and nothing is typed twice."""
    reader.register("token-of-dawn")
    position = story.ledger.head().position
    answer = reader.send("/registration", "/registration?write=1", **{**COMPANY, field: typed})
    assert answer.status_code == 422
    assert said in text_of(answer)
    kept = [value for name, value in COMPANY.items() if name != field]
    assert all(f'value="{value}"' in answer.text for value in kept)
    assert story.ledger.head().position == position


def test_the_phone_may_be_left_out(story: Story, reader: Reader) -> None:
    """Company name and contact, nothing more is asked."""
    register(reader, phone="")
    contact = story.ledger.companies.contact(story.dawn)
    assert contact is not None
    assert contact.phone is None


def test_the_same_token_twice_registers_once_and_signs_in_again(story: Story, reader: Reader) -> None:
    """A correction that corrects nothing records nothing; each visit ends with a link of its own."""
    register(reader)
    position = story.ledger.head().position
    again = Reader(story)
    assert redeem(again, register(again)) == 303
    assert story.ledger.head().position == position


def test_a_link_works_once(story: Story, reader: Reader) -> None:
    """Who comes second is told how to get a new one."""
    token = register(reader)
    assert redeem(reader, token) == 303
    second = Reader(story)
    answer = second.send("/sign-in/link", token=token)
    assert answer.status_code == 410
    assert "choose Set up your account" in text_of(answer)
    assert second.get("/").status_code == 303


def test_following_a_link_does_not_use_it_up(story: Story, reader: Reader) -> None:
    """Mail scanners follow links; the button behind it is for people."""
    token = register(reader)
    scanner = Reader(story)
    for _ in range(3):
        assert scanner.get(f"/sign-in/link?token={token}").status_code == 200
    assert redeem(reader, token) == 303


def test_a_link_ends_after_ten_minutes(story: Story, reader: Reader) -> None:
    """Neither its page nor its button work then."""
    token = register(reader)
    story.clock.ahead += timedelta(minutes=10)
    assert reader.get(f"/sign-in/link?token={token}").status_code == 410
    assert redeem(reader, token) == 410


def test_a_registration_ends_after_an_hour(story: Story, reader: Reader) -> None:
    """Who waited too long is sent to AWS again, in words."""
    reader.register("token-of-dawn")
    story.clock.ahead += timedelta(hours=1)
    answer = reader.get("/registration")
    assert answer.status_code == 410
    assert "In AWS Marketplace open Manage subscriptions and choose Set up your account." in text_of(answer)


def test_the_cookie_of_a_visit_is_out_of_reach_of_scripts_and_other_sites(reader: Reader) -> None:
    """It means nothing but here, and stays here."""
    cookies = [one for one in reader.register("token-of-dawn").headers.getlist("Set-Cookie") if "registration" in one]
    assert len(cookies) == 1
    assert "HttpOnly" in cookies[0]
    assert "SameSite=Lax" in cookies[0]


def test_the_form_is_bound_to_what_aws_said_about_this_browser(story: Story, reader: Reader) -> None:
    """Without the cookie of the visit there is no form, whatever is sent."""
    reader.register("token-of-dawn")
    stranger = Reader(story)
    answer = stranger.send("/registration", "/sign-in", **COMPANY, license_id=story.noon)
    assert answer.status_code == 410
    assert story.ledger.past.license_now(story.noon).company_name == "Noon Telephony"


@pytest.mark.parametrize(
    ("token", "status", "said"),
    [
        ("token-expired", 410, "In AWS Marketplace open Manage subscriptions and choose Set up your account"),
        ("token-unknown", 422, "It was used already, or cut short."),
        ("token-of-another-product", 403, "for a product that this ledger does not serve"),
        ("token-while-aws-is-down", 503, "Wait a minute, then choose Set up your account"),
        ("", 400, "In AWS Marketplace open Manage subscriptions"),
    ],
)
def test_a_token_that_leads_nowhere_says_what_to_do_in_aws(reader: Reader, token: str, status: int, said: str) -> None:
    """Each answer of AWS has a page with the next step, and none shows the token."""
    answer = reader.register(token)
    assert answer.status_code == status
    assert said in text_of(answer)
    assert not token or token not in answer.text


def test_an_address_that_asks_too_often_waits_before_aws_is_asked(story: Story, reader: Reader) -> None:
    """Ten times within a minute; the eleventh costs AWS nothing."""
    for _ in range(10):
        reader.register("token-unknown")
    answer = reader.register("token-of-dawn")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert len(story.marketplace.asked) == 10


def test_the_token_of_aws_is_kept_nowhere(story: Story, reader: Reader) -> None:
    """Not in an address, a cookie, a page, the log or the database; nor are the secrets of sessions and links."""
    secret = "token-of-noon"
    with capture_logs() as logs:
        answer = reader.register(secret)
        link = register(reader)
        redeem(reader, link)
    cookies = [
        cookie.value
        for name in ("ledger-sign-in", "ledger-forms", "ledger-registration")
        if (cookie := reader.client.get_cookie(name)) is not None
    ]
    stored = b"".join(file.read_bytes() for file in story.path.parent.iterdir())
    assert cookies
    assert secret not in f"{answer.headers} {answer.text} {cookies} {logs}"
    for one in (secret, link, *cookies):
        assert one.encode() not in stored


def test_a_ledger_without_aws_says_that_registration_is_not_set_up(story: Story, reader: Reader) -> None:
    """Who comes there all the same is not left with a failure."""
    parts = Parts(
        ledger=story.ledger,
        views=story.views,
        settings=ApiSettings(secure_cookies=False),
        inbox=MarketplaceInbox(story.ledger),
        succession=MarketplaceOperating(story.ledger),
    )
    reader.client = create_app(parts).test_client()
    answer = reader.register("token-of-noon")
    assert answer.status_code == 503
    assert "Registration is not set up here" in text_of(answer)


def test_the_address_alone_says_where_registration_begins(reader: Reader) -> None:
    """Somebody may type it or keep it as a bookmark."""
    assert "Registration begins in AWS Marketplace" in reader.text("/marketplace/register")


def try_tokens(story: Story, addresses: Sequence[str]) -> list[TestResponse]:
    """Come with one made-up token after the other, each from the address beside it."""
    client = story.app.test_client()
    return [
        client.post(
            "/marketplace/register",
            data={"x-amzn-marketplace-token": f"made-up-{number}"},
            environ_base={"REMOTE_ADDR": address},
        )
        for number, address in enumerate(addresses)
    ]


@pytest.mark.parametrize(
    ("addresses", "asked"),
    [
        (["192.0.2.7"] * 1_000, REGISTRATIONS_PER_MINUTE),
        # Whoever has one of these has them all.
        ([f"2001:db8::{number:x}" for number in range(1_000)], REGISTRATIONS_PER_MINUTE),
        ([f"198.51.{number // 250}.{number % 250}" for number in range(1_000)], REGISTRATIONS_PER_MINUTE_OF_ALL),
    ],
    ids=["one-address", "one-network", "many-addresses"],
)
def test_tokens_tried_by_the_thousand_are_refused_before_aws_is_asked(
    story: Story, addresses: list[str], asked: int
) -> None:
    """Guessing a token is hopeless, and must not use up what AWS lets this ledger ask."""
    answers = try_tokens(story, addresses)
    assert [answer.status_code for answer in answers] == [422] * asked + [429] * (1_000 - asked)
    assert len(story.marketplace.asked) == asked
    assert int(answers[-1].headers["Retry-After"]) in range(1, 61)
    assert "There were too many tries" in text_of(answers[-1])


def test_one_address_does_not_use_up_what_there_is_for_all(story: Story, reader: Reader) -> None:
    """What it is refused is not counted for the others."""
    try_tokens(story, ["192.0.2.7"] * 2 * REGISTRATIONS_PER_MINUTE_OF_ALL)
    assert reader.register("token-of-dawn").status_code == 303


def test_what_is_too_long_for_a_token_is_none(story: Story, reader: Reader) -> None:
    """AWS is not asked about it."""
    assert reader.register("x" * (TOKEN_LENGTH_MAX + 1)).status_code == 422
    assert story.marketplace.asked == []
    assert reader.register("x" * TOKEN_LENGTH_MAX).status_code == 422
    assert len(story.marketplace.asked) == 1
