"""The client program that knows only its key: sign-ins and access without a license, over real connections."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from api.app import ApiSettings
from api.v1 import schemas
from ledger import transaction
from ledger.license.decisions import identify_license
from ledger.license.events import KeyKind, LapseReason, LicenseId
from ledger.transaction import Transaction, Work
from tests.integration.api_stage import (
    CLIENT_BY_CUSTOMER,
    CLIENT_OF_IT,
    OPERATOR,
    PRODUCT,
    SEATS,
    Answer,
    Stage,
    open_stage,
)
from tests.integration.ledgers import at_once, issue, lapse
from tests.stories import ACCOUNT, LICENSE, MARKETPLACE, NEXT_RENEWS_AT, OTHER_LICENSE, PRODUCT_CODE

SECOND: Final = LicenseId("8c2e6f2c-75c7-4e6f-9f6d-2c6c419191f2")
NOBODYS_ACCOUNT: Final = "999900001111"


@pytest.fixture
def stage(database: Path) -> Iterator[Stage]:
    """Ada's and Grace's company has a license of one seat; a client key brings two new users an hour."""
    settings = ApiSettings(secure_cookies=False, new_users_per_hour=2)
    with open_stage(database, settings=settings, seats_max=1) as stage:
        yield stage


@pytest.fixture(scope="module")
def unchanging(module_database: Path) -> Iterator[Stage]:
    """The same for tests whose calls are all refused."""
    with open_stage(module_database, seats_max=1) as stage:
        yield stage


def buy_second(stage: Stage, *, seats_max: int = 1) -> None:
    """The company buys again, for a year longer."""
    issue(stage.ledger, seats_max=seats_max, license_id=SECOND, names=(ACCOUNT, PRODUCT), renews_at=NEXT_RENEWS_AT)


def sign_in(
    stage: Stage, user: str, *, key: str = CLIENT_BY_CUSTOMER, headers: Mapping[str, str] | None = None
) -> Answer:
    """A user signs in with a client program that knows only its key."""
    return stage.call("POST", "/v1/sign-ins", {"user": user}, key=key, headers=headers)


def told(answer: Answer) -> tuple[bool, str, str | None]:
    """Whether, why, and under which license."""
    assert answer.status == 200, answer.body
    return answer.json["allowed"], answer.json["code"], answer.json["license_id"]


def issue_key(stage: Stage, **scope: Any) -> str:  # noqa: ANN401 -- JSON
    """The operator gives out a client key."""
    issued = stage.call("POST", "/v1/keys", {"name": "softphone", "role": "client", **scope})
    assert issued.status == 201, issued.body
    key: str = issued.json["key"]
    return key


def test_users_are_seated_where_a_seat_is_free_and_told_where(stage: Stage) -> None:
    """The license with the latest date first; who has a seat keeps it; who finds none hears so."""
    buy_second(stage)
    asked = stage.call("GET", "/v1/access?user=Ada", key=CLIENT_BY_CUSTOMER)
    assert told(asked) == (False, "NO_SEAT", SECOND)
    assert set(asked.json) == set(schemas.AccessByKey().fields)
    seated = sign_in(stage, "Ada")
    assert told(seated) == (True, "ALLOWED", SECOND)
    assert seated.json["usable_until"] == "2028-06-03T23:59:59Z"
    assert seated.json["check_again_at"].startswith("2026-11-24T12:15:00")
    assert told(sign_in(stage, "Grace")) == (True, "ALLOWED", LICENSE)
    assert told(sign_in(stage, "Katherine")) == (False, "NO_SEAT_FREE", SECOND)
    again = stage.call("GET", "/v1/access?user=ADA", key=CLIENT_BY_CUSTOMER)
    assert (*told(again), again.json["seat_id"]) == (True, "ALLOWED", SECOND, seated.json["seat_id"])
    [event] = stage.get(f"/v1/licenses/{SECOND}/history?user=Ada")["items"]
    assert (event["type"], event["actor"]["role"]) == ("license.seat-activated", "client")


def test_a_key_that_lists_licenses_chooses_among_them(stage: Stage) -> None:
    """Also among those of several customers."""
    both = issue_key(stage, licenses=[OTHER_LICENSE, LICENSE])
    assert told(sign_in(stage, "Ada", key=both)) == (True, "ALLOWED", LICENSE)
    assert told(sign_in(stage, "Grace", key=both)) == (True, "ALLOWED", OTHER_LICENSE)
    assert told(sign_in(stage, "Grace", key=CLIENT_OF_IT)) == (False, "NO_SEAT_FREE", LICENSE)


def test_the_product_may_be_named_by_its_code(stage: Stage) -> None:
    """In both ways of asking."""
    by_code = issue_key(stage, customer_id=ACCOUNT[1], product_id=PRODUCT_CODE)
    assert told(sign_in(stage, "Ada", key=by_code)) == (True, "ALLOWED", LICENSE)
    assert stage.call("GET", f"/v1/licenses/{LICENSE}/access?user=Ada", key=by_code).json["allowed"]
    assert stage.call("GET", f"/v1/licenses/{OTHER_LICENSE}/access?user=Ada", key=by_code).status == 404


def test_a_key_made_with_a_legacy_identifier_works_on_when_the_account_becomes_known(stage: Stage) -> None:
    """In both ways of asking; an operator finds the license by either."""
    issue(stage.ledger, seats_max=1, license_id=SECOND, names=((KeyKind.CUSTOMER, f"{PRODUCT_CODE}/X01EXAMPLEX"),))
    theirs = issue_key(stage, customer_id="X01EXAMPLEX", product_id=PRODUCT_CODE)
    assert told(sign_in(stage, "Ada", key=theirs)) == (True, "ALLOWED", SECOND)

    def identify(transaction: Transaction) -> None:
        names = ((KeyKind.ACCOUNT, NOBODYS_ACCOUNT),)
        transaction.append(SECOND, identify_license(transaction.license(SECOND), names=names))

    stage.ledger.submit(Work(decide=identify, caller=MARKETPLACE, licenses=(SECOND,)))
    assert told(sign_in(stage, "Ada", key=theirs)) == (True, "ALLOWED", SECOND)
    assert stage.call("GET", f"/v1/licenses/{SECOND}/access?user=Ada", key=theirs).json["allowed"]
    for query in (f"customer_id={NOBODYS_ACCOUNT}", "customer_id=X01EXAMPLEX", "q=x01example"):
        listed = stage.get(f"/v1/licenses?{query}")["items"]
        assert [(one["license_id"], one["customer_id"]) for one in listed] == [(SECOND, NOBODYS_ACCOUNT)]


def test_where_nothing_was_bought_yet_the_answer_is_200_and_names_no_license(stage: Stage) -> None:
    """The program asks again in a minute, and is let in with the very first sign-in after the purchase."""
    theirs = issue_key(stage, customer_id=NOBODYS_ACCOUNT, product_id=PRODUCT[1])
    for answer in (sign_in(stage, "Ada", key=theirs), stage.call("GET", "/v1/access?user=Ada", key=theirs)):
        assert told(answer) == (False, "LICENSE_NOT_FOUND", None)
        assert (answer.json["seat_id"], answer.json["usable_until"]) == (None, None)
        assert answer.json["detail"] == "There is no license for this user."
        assert answer.json["check_again_at"].startswith("2026-11-24T12:01:00")
        assert answer.json["position"] == stage.ledger.head().position
    issue(stage.ledger, seats_max=1, license_id=SECOND, names=((ACCOUNT[0], NOBODYS_ACCOUNT), PRODUCT))
    assert told(sign_in(stage, "Ada", key=theirs)) == (True, "ALLOWED", SECOND)


def test_a_block_under_one_license_keeps_the_user_out(stage: Stage) -> None:
    """The answer names the license under which an administrator can lift it, also if its contract has ended."""
    buy_second(stage)
    assert told(sign_in(stage, "Ada")) == (True, "ALLOWED", SECOND)
    blocked = stage.call("POST", f"/v1/licenses/{LICENSE}/blocks", {"user": "Ada", "reason": "left"})
    assert told(sign_in(stage, "Ada")) == (False, "USER_BLOCKED", LICENSE)
    lapse(stage.ledger, reason=LapseReason.CANCELLED)
    assert told(sign_in(stage, "Ada")) == (False, "USER_BLOCKED", LICENSE)
    stage.call("POST", f"{SEATS}/{blocked.json['seat_id']}/unblock")
    assert told(sign_in(stage, "Ada")) == (True, "ALLOWED", SECOND)


def test_20_callers_on_two_licenses_with_one_free_seat_each_take_two(stage: Stage) -> None:
    """Whoever else came is told that none is free."""
    buy_second(stage)
    key = issue_key(stage, customer_id=ACCOUNT[1], product_id=PRODUCT[1])
    # Known users, since it is not about new ones.
    for number in range(20):
        seat = stage.call("POST", SEATS, {"user": f"user-{number}"}).json
        assert stage.call("DELETE", f"{SEATS}/{seat['seat_id']}").status == 200
    answers = at_once(*(partial(sign_in, stage, f"user-{number}", key=key) for number in range(20)))
    codes = Counter(told(answer)[1] for answer in answers if isinstance(answer, Answer))
    assert codes == {"ALLOWED": 2, "NO_SEAT_FREE": 18}
    assert [stage.get(f"/v1/licenses/{one}")["seats_active"] for one in (LICENSE, SECOND)] == [1, 1]


def test_both_ways_of_signing_in_count_the_same_new_users(stage: Stage) -> None:
    """429 for the third within the hour, whichever way; who is known comes in."""
    buy_second(stage, seats_max=5)
    assert told(sign_in(stage, "Ada"))[0]
    by_license = f"/v1/licenses/{SECOND}/sign-ins"
    assert stage.call("POST", by_license, {"user": "Grace"}, key=CLIENT_BY_CUSTOMER).json["allowed"]
    refused = sign_in(stage, "Katherine")
    assert (refused.status, refused.json["code"]) == (429, "TOO_MANY")
    assert int(refused.headers["Retry-After"]) in range(3_590, 3_601)
    assert stage.call("POST", by_license, {"user": "Katherine"}, key=CLIENT_BY_CUSTOMER).status == 429
    assert told(sign_in(stage, "Ada"))[0]
    stage.clock.move(timedelta(hours=1))
    assert told(sign_in(stage, "Katherine"))[0]


def test_more_licenses_than_are_looked_at_are_refused_with_what_to_do(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """409, and a key that lists its licenses is answered."""
    monkeypatch.setattr(transaction, "LICENSES_HELD_MAX", 1)
    assert told(sign_in(stage, "Ada"))[0]
    buy_second(stage)
    for answer in (sign_in(stage, "Ada"), stage.call("GET", "/v1/access?user=Ada", key=CLIENT_BY_CUSTOMER)):
        assert (answer.status, answer.json["code"]) == (409, "TOO_MANY_LICENSES")
        assert answer.json["licenses_max"] == 1
        assert "Name the license" in answer.json["detail"]
    assert told(sign_in(stage, "Ada", key=CLIENT_OF_IT)) == (True, "ALLOWED", LICENSE)


@pytest.mark.parametrize(
    ("headers", "body", "status", "field"),
    [
        ({"Idempotency-Key": "once"}, {"user": "Ada"}, 422, "Idempotency-Key"),
        ({"If-Match": "*"}, {"user": "Ada"}, 422, "If-Match"),
        ({}, {}, 422, "user"),
        ({}, {"user": " "}, 422, "user"),
        ({}, {"user": "Ada\u202e"}, 422, "user"),
        ({}, {"user": "a" * 257}, 422, "user"),
        ({}, {"user": 7}, 422, "user"),
        ({}, {"user": "Ada", "license_id": LICENSE}, 422, "license_id"),
    ],
)
def test_bad_input_is_refused_field_by_field(
    unchanging: Stage, headers: dict[str, str], body: dict[str, object], status: int, field: str
) -> None:
    """And nothing changes."""
    head = unchanging.ledger.head()
    answer = unchanging.call("POST", "/v1/sign-ins", body, key=CLIENT_BY_CUSTOMER, headers=headers)
    assert (answer.status, [*answer.json["errors"]]) == (status, [field])
    assert unchanging.ledger.head() == head


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/access", 422, "INVALID"),
        ("/v1/access?user=Ada&user=Grace", 422, "INVALID"),
        ("/v1/access?user=", 422, "INVALID"),
        ("/v1/access?user=Ada&min_position=1", 422, "INVALID"),
        ("/v1/sign-ins?user=Ada", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_a_bad_question_is_refused(unchanging: Stage, path: str, status: int, code: str) -> None:
    """With the code that the other calls use."""
    answer = unchanging.call("GET", path, key=CLIENT_BY_CUSTOMER)
    assert (answer.status, answer.json["code"]) == (status, code)


def test_an_operators_key_tells_no_customer(unchanging: Stage) -> None:
    """It names the license instead, and is told so."""
    refused = sign_in(unchanging, "Ada", key=OPERATOR)
    assert (refused.status, refused.json["code"]) == (403, "FORBIDDEN")
    assert refused.json["detail"] == "The role operator may not sign users in without naming a license."


def test_nobody_is_named_in_the_log(stage: Stage) -> None:
    """Neither by the body nor by the query."""
    with structlog.testing.capture_logs() as lines:
        sign_in(stage, "Ada")
        stage.call("GET", "/v1/access?user=Ada", key=CLIENT_BY_CUSTOMER)
    assert [line["path"] for line in lines if line["event"] == "request"] == ["/v1/sign-ins", "/v1/access"]
    assert "Ada" not in str(lines)
