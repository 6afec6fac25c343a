"""The control API and the control page of a running sandbox, over HTTP."""

import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import pytest

from consumers.sandbox import FaultPlan, Sandbox, SandboxSettings
from consumers.sandbox.app import BODY_BYTES_MAX

FULFILLMENT = "http://ledger.test:8080/marketplace/register"
ANALYTICAL_ENGINES = "111122223333"
"""The AWS account of the company where Ada works."""
COMPILERS_INC = "444422221111"
"""That of the company where Grace works."""
FIVE_SEATS = {"account_id": ANALYTICAL_ENGINES, "seats": 5, "until": "2999-05-31"}
SETTINGS = SandboxSettings(
    product_code="74az0btybm649octamy0sktos",
    product_id="prod-k35yywhyj4eqg",
    product_title="SoftPhone <for Connect>",
    fulfillment_url=FULFILLMENT,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:  # noqa: ANN401  each test knows what it asked for
        """Read it as JSON."""
        return json.loads(self.text)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run a sandbox that knows where the ledger is."""
    with Sandbox(SETTINGS) as running:
        yield running


def ask(
    sandbox: Sandbox, method: str, path: str, body: str | None = None, *, kind: str = "application/json", **headers: str
) -> Answer:
    """Send one request and follow no redirect."""
    connection = HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    connection.request(method, path, body, {"Content-Type": kind, **headers})
    response = connection.getresponse()
    answer = Answer(status=response.status, headers=dict(response.headers), text=response.read().decode())
    connection.close()
    return answer


def post(sandbox: Sandbox, path: str, body: object = None) -> Answer:
    """Send JSON."""
    return ask(sandbox, "POST", path, None if body is None else json.dumps(body))


def submit(sandbox: Sandbox, path: str, **typed: str) -> Answer:
    """Send a form, as a browser does from the page itself."""
    return ask(sandbox, "POST", path, urlencode(typed), kind="application/x-www-form-urlencoded", Origin=sandbox.url)


def after(sandbox: Sandbox, answer: Answer) -> str:
    """Follow the redirect after a form, with the cookie that carries what is to be said."""
    assert answer.status == 303
    return unescape(ask(sandbox, "GET", answer.headers["Location"], Cookie=answer.headers["Set-Cookie"]).text)


def bought(sandbox: Sandbox) -> str:
    """Buy five seats by the API, and give the agreement id."""
    agreement_id = post(sandbox, "/sandbox/contracts", FIVE_SEATS).json()["contract"]["agreement_id"]
    assert isinstance(agreement_id, str)
    return agreement_id


def test_a_purchase_answers_the_contract_and_its_messages(sandbox: Sandbox) -> None:
    """A day means its last millisecond in UTC; what was sent stands beside the contract."""
    answer = post(sandbox, "/sandbox/contracts", FIVE_SEATS)
    assert answer.status == 201
    contract = answer.json()["contract"]
    assert contract["ends_at"] == "2999-05-31T23:59:59.999000Z"
    assert (contract["seats"], contract["status"], contract["generation"]) == (5, "ACTIVE", "concurrent")
    assert (contract["account_id"], contract["auto_renews"]) == (ANALYTICAL_ENGINES, True)
    messages = answer.json()["messages"]
    assert [(message["title"], message["delivered"]) for message in messages] == [
        ("Purchase Agreement Created - Proposer", True),
        ("License Updated - Manufacturer", True),
    ]
    assert ask(sandbox, "GET", "/sandbox/contracts").json() == {"items": [contract]}
    assert ask(sandbox, "GET", "/sandbox/messages").json() == {"items": messages[::-1]}


def test_a_whole_life_can_be_played_by_the_api(sandbox: Sandbox) -> None:
    """Seats, renewal, cancellation of one; expiry of another."""
    first, second = bought(sandbox), bought(sandbox)
    assert post(sandbox, f"/sandbox/contracts/{first}/seats", {"seats": 3}).json()["contract"]["seats"] == 3
    renewed = post(sandbox, f"/sandbox/contracts/{first}/renew", {"until": "2999-12-31T12:00:00+02:00"})
    assert renewed.json()["contract"]["ends_at"] == "2999-12-31T10:00:00Z"
    assert post(sandbox, f"/sandbox/contracts/{first}/cancel").json()["contract"]["status"] == "CANCELLED"
    assert post(sandbox, f"/sandbox/contracts/{second}/expire").json()["contract"]["status"] == "EXPIRED"


def test_a_token_of_the_api_resolves(sandbox: Sandbox) -> None:
    """It comes with the address that it is for."""
    agreement_id = bought(sandbox)
    answer = post(sandbox, f"/sandbox/contracts/{agreement_id}/token").json()
    assert answer["fulfillment_url"] == FULFILLMENT
    assert sandbox.marketplace.resolve_token(answer["token"]).agreement_id == agreement_id


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "seats"),
        (FIVE_SEATS | {"seats": "5"}, "seats"),
        (FIVE_SEATS | {"seats": True}, "seats"),
        (FIVE_SEATS | {"seats": 5.5}, "seats"),
        (FIVE_SEATS | {"until": "2027-02-30"}, "until"),
        (FIVE_SEATS | {"until": "2999-05-31T12:00:00"}, "until"),
        (FIVE_SEATS | {"until": "0001-01-01T00:00:00+14:00"}, "until"),
        (FIVE_SEATS | {"until": 5}, "until"),
        (FIVE_SEATS | {"generation": "modern"}, "generation"),
        (FIVE_SEATS | {"price": 5}, "price"),
        ([], "_schema"),
    ],
)
def test_a_body_that_is_not_right_is_refused_by_field(sandbox: Sandbox, body: object, field: str) -> None:
    """Nothing is bought."""
    answer = post(sandbox, "/sandbox/contracts", body)
    assert (answer.status, answer.json()["code"]) == (422, "INVALID")
    assert field in answer.json()["errors"]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert sandbox.marketplace.contracts == ()


def test_what_the_marketplace_refuses_is_said_in_words(sandbox: Sandbox) -> None:
    """With a status and a code that tell the kinds apart."""
    agreement_id = bought(sandbox)
    assert post(sandbox, f"/sandbox/contracts/{agreement_id}/cancel").status == 200
    legacy = FIVE_SEATS | {"generation": "legacy"}
    assert post(sandbox, "/sandbox/contracts", legacy).status == 201
    refused = {
        (answer.status, answer.json()["code"]): answer.json()["detail"]
        for answer in (
            post(sandbox, "/sandbox/contracts/agmt-nobody/cancel"),
            post(sandbox, f"/sandbox/contracts/{agreement_id}/cancel"),
            post(sandbox, "/sandbox/contracts", legacy),
            post(sandbox, "/sandbox/contracts", FIVE_SEATS | {"until": "2001-01-01"}),
        )
    }
    assert set(refused) == {
        (404, "CONTRACT_NOT_FOUND"),
        (409, "CONTRACT_HAS_ENDED"),
        (409, "ANOTHER_CONTRACT_IS_ACTIVE"),
        (422, "INVALID"),
    }
    assert all(detail.endswith(".") for detail in refused.values())


def test_errors_of_http_itself_are_problems_too(sandbox: Sandbox) -> None:
    """Not JSON, the wrong type, the wrong method with Allow, an unknown path."""
    assert ask(sandbox, "POST", "/sandbox/contracts", "{").json()["code"] == "BAD_REQUEST"
    assert ask(sandbox, "POST", "/sandbox/contracts", "x", kind="text/plain").json()["status"] == 415
    wrong_method = ask(sandbox, "DELETE", "/sandbox/contracts")
    assert (wrong_method.status, wrong_method.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert "POST" in wrong_method.headers["Allow"]
    assert ask(sandbox, "GET", "/sandbox/nothing").json()["code"] == "NOT_FOUND"


def test_json_that_is_nested_too_deeply_is_a_bad_request(sandbox: Sandbox) -> None:
    """Also where it can be read and not be told again: then nothing has changed."""
    for body in ("[" * 200_000, '{"rows": {"agmt-1": [{"Value": ' + '{"x":' * 700 + "1" + "}" * 700 + "}]}}"):
        answer = ask(sandbox, "PUT", "/sandbox/faults", body)
        assert (answer.status, answer.json()["code"]) == (400, "BAD_REQUEST")
        assert sandbox.faults.plan == FaultPlan()


def test_a_client_of_aws_gets_json_whatever_is_wrong(sandbox: Sandbox) -> None:
    """Also where the request is refused before it is read."""
    call = {"X-Amz-Target": "AWSMPEntitlementService.GetEntitlements"}
    answer = ask(sandbox, "POST", "/", "x" * (BODY_BYTES_MAX + 1), **call)
    assert (answer.status, answer.json()["__type"]) == (413, "RequestEntityTooLarge")


def test_a_page_behind_the_last_one_is_the_last_one(sandbox: Sandbox) -> None:
    """Whatever the number is."""
    bought(sandbox)
    for number in ("0", "2", "99999999999999999999", "many"):
        answer = ask(sandbox, "GET", f"/?page={number}")
        assert (answer.status, answer.text.count("<article")) == (200, 1)


def test_a_plan_of_faults_is_set_counted_down_and_ended(sandbox: Sandbox) -> None:
    """PUT sets the whole plan, GET tells what is left, DELETE is good behavior."""
    planned = {"throttle": {"GetEntitlements": 2}, "empty_pages": 1, "rows": {"agmt-1": [{"Value": {}}]}}
    answer = ask(sandbox, "PUT", "/sandbox/faults", json.dumps(planned))
    assert answer.json() == {
        "throttle": {"GetEntitlements": 2},
        "fail": {},
        "hang_seconds": 0.0,
        "as_buyer": False,
        "page_size": None,
        "empty_pages": 1,
        "rows": {"agmt-1": [{"Value": {}}]},
    }
    ask(sandbox, "POST", "/", "{}", **{"X-Amz-Target": "AWSMPEntitlementService.GetEntitlements"})
    assert ask(sandbox, "GET", "/sandbox/faults").json()["throttle"] == {"GetEntitlements": 1}
    assert ask(sandbox, "DELETE", "/sandbox/faults").status == 200
    assert sandbox.faults.plan == FaultPlan()


def test_calls_that_hang_are_answered_when_the_sandbox_behaves_again(sandbox: Sandbox) -> None:
    """Nothing comes before, and the answer after."""
    sandbox.faults.set(FaultPlan(hang_seconds=60))
    address = urlsplit(sandbox.url)
    with socket.create_connection((address.hostname, address.port), timeout=0.2) as waiting:
        waiting.sendall(
            b"POST / HTTP/1.1\r\nHost: sandbox\r\nContent-Length: 2\r\n"
            b"X-Amz-Target: AWSMPMeteringService.ResolveCustomer\r\n\r\n{}"
        )
        with pytest.raises(TimeoutError):
            waiting.recv(100)
        sandbox.faults.clear()
        waiting.settimeout(5)
        assert waiting.recv(100).startswith(b"HTTP/1.1 400 BAD REQUEST")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "clock", {}),
        ("POST", "clock", {"advance": "P1D", "to": "2999-05-31"}),
        ("POST", "clock", {"advance": "a month"}),
        ("POST", "clock", {"advance": "P1M"}),
        ("POST", "clock", {"advance": "-P1D"}),
        ("POST", "clock", {"advance": "P4000D"}),
        ("POST", "clock", {"to": "2001-01-01"}),
        ("PUT", "clock", {}),
        ("PUT", "mischief", {"drop": 1.5}),
        ("PUT", "mischief", {"drop": -0.1}),
        ("PUT", "mischief", {"seed": "seven"}),
        ("PUT", "mischief", {"delay_seconds": [3, 1]}),
        ("PUT", "mischief", {"delay_seconds": [3]}),
        ("PUT", "mischief", {"hang_seconds": 1e9}),
        ("PUT", "mischief", {"until": "tomorrow"}),
        ("PUT", "mischief", {"since": "2027-02-01", "until": "2027-01-01"}),
        ("PUT", "mischief", {"explode": 1}),
        ("POST", "contracts/{id}/successor", {}),
        ("POST", "contracts/{id}/successor", {"until": "2999-12-31", "intent": "NEW"}),
        ("POST", "contracts/{id}/successor", {"until": "2999-12-31", "seats": {}}),
        ("POST", "contracts/{id}/successor", {"until": "2999-12-31", "seats": {"users": "many"}}),
        ("POST", "contracts/{id}/successor", {"until": "2999-12-31", "predecessor_ends": "soon"}),
        ("POST", "contracts/{id}/at-end", {"at_end": "LATER"}),
        ("POST", "contracts/{id}/at-end", {"at_end": "EXPIRE", "reason": "TIRED"}),
        ("POST", "contracts/{id}/end", {"status": "ACTIVE"}),
        ("POST", "contracts/{id}/notices", {"notice": "ending", "days": 7}),
        ("POST", "contracts/{id}/notices", {"notice": "birthday"}),
    ],
)
def test_a_wrong_request_changes_neither_contract_nor_clock_nor_mischief(
    sandbox: Sandbox, method: str, path: str, body: object
) -> None:
    """It is refused with a reason."""
    before = bought(sandbox), sandbox.marketplace.contracts, sandbox.marketplace.mischief.state
    answer = ask(sandbox, method, f"/sandbox/{path.format(id=before[0])}", json.dumps(body))
    assert (answer.status, answer.json()["code"]) == (422, "INVALID")
    assert (sandbox.marketplace.contracts, sandbox.marketplace.mischief.state) == before[1:]
    assert sandbox.marketplace.time.ahead == timedelta()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("contracts/agmt-nobody/terminate", 404, "CONTRACT_NOT_FOUND"),
        ("contracts/{id}/start", 409, "CONTRACT_HAS_STARTED"),
        ("contracts/{id}/opt-in", 409, "CONTRACT_IS_NOT_LEGACY"),
        ("messages/99/send", 404, "MESSAGE_NOT_FOUND"),
    ],
)
def test_what_aws_would_not_do_is_refused_with_a_code(sandbox: Sandbox, path: str, status: int, code: str) -> None:
    """And a sentence."""
    answer = post(sandbox, f"/sandbox/{path.format(id=bought(sandbox))}")
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"].endswith(".")


@pytest.mark.parametrize(
    "planned",
    [
        {"throttle": {"BatchMeterUsage": 1}},
        {"fail": {"GetEntitlements": -1}},
        {"hang_seconds": 1e9},
        {"hang_seconds": "NaN"},
        {"page_size": 26},
        {"rows": {"agmt-1": ["row"]}},
        {"explode": True},
    ],
)
def test_a_plan_that_is_not_right_leaves_the_sandbox_as_it_was(sandbox: Sandbox, planned: object) -> None:
    """It says which field."""
    answer = ask(sandbox, "PUT", "/sandbox/faults", json.dumps(planned))
    assert (answer.status, answer.json()["code"]) == (422, "INVALID")
    assert sandbox.faults.plan == FaultPlan()


def test_another_site_cannot_press_the_buttons(sandbox: Sandbox) -> None:
    """The sandbox has no sign-in: a page of another site in the same browser is refused by its Origin."""
    form = urlencode({"account_id": ANALYTICAL_ENGINES, "seats.users": "5", "until": "2999-05-31"})
    kind = "application/x-www-form-urlencoded"
    for origin in ("https://elsewhere.example", "null"):
        assert ask(sandbox, "POST", "/buy", form, kind=kind, Origin=origin).status == 403
    assert sandbox.marketplace.contracts == ()
    assert ask(sandbox, "POST", "/buy", form, kind=kind, Origin=sandbox.url).status == 303


def test_the_page_plays_a_whole_life_by_forms(sandbox: Sandbox) -> None:
    """Each button answers with a redirect, and the page then says what was done."""
    terms = {"account_id": ANALYTICAL_ENGINES, "seats.users": " 5 ", "until": "2999-05-31", "at_end": "EXPIRE"}
    page = after(sandbox, submit(sandbox, "/buy", **terms))
    assert "Account 111122223333 bought 5 seats. Messages sent: 2." in page
    assert "Active, ends on 31 May 2999" in page
    path = f"/contracts/{sandbox.marketplace.contracts[0].agreement_id}"
    assert "has 3 seats. Messages sent: 2." in after(sandbox, submit(sandbox, f"{path}/seats", **{"seats.users": "3"}))
    assert "AWS sends nothing" in after(sandbox, submit(sandbox, f"{path}/seats", **{"seats.users": "3"}))
    assert "goes on until 1 June 2999." in after(sandbox, submit(sandbox, f"{path}/extend", until="2999-06-01"))
    renewal = {"seats.users": "4", "until": "3000-06-01", "license": "same"}
    page = after(sandbox, submit(sandbox, f"{path}/renew", **renewal))
    assert "was renewed: 4 seats, until 1 June 3000." in page
    assert "An agreement was signed that renews the one before." in page
    first, second = sandbox.marketplace.contracts
    assert (first.status, second.license_arn) == ("RENEWED", first.license_arn)
    path = f"/contracts/{second.agreement_id}"
    page = after(sandbox, submit(sandbox, f"{path}/at-end", at_end="RENEW", by="PROPOSER"))
    assert "at its end it renews." in page
    after(sandbox, submit(sandbox, f"{path}/at-end", at_end="EXPIRE", by="NO_RENEWAL_TERM"))
    assert sandbox.marketplace.find(second.agreement_id).no_renewal == "NO_RENEWAL_TERM"
    assert "is as before. Messages sent: 1." in after(sandbox, submit(sandbox, f"{path}/notices", notice="ending-30"))
    page = after(sandbox, submit(sandbox, f"{path}/cancel"))
    assert "is cancelled. Messages sent: 2." in page
    assert "The agreement ended: the buyer cancelled." in page
    assert "Set seats" not in page


def test_the_page_moves_the_clock_and_tells_what_happened(sandbox: Sandbox) -> None:
    """To what is due next, and by a step; the clock does not go back."""
    in_a_month = f"{sandbox.marketplace.now() + timedelta(days=31):%Y-%m-%d}"
    terms = {"account_id": ANALYTICAL_ENGINES, "seats.users": "5", "until": in_a_month, "at_end": "EXPIRE"}
    submit(sandbox, "/buy", **terms)
    page = after(sandbox, submit(sandbox, "/clock", step="next"))
    assert "AWS said that the contract of account 111122223333 (5 seats) ends in 30 days." in page
    page = after(sandbox, submit(sandbox, "/clock", step="next"))
    assert "The contract of account 111122223333 (5 seats) ended: expired." in page
    assert "Nothing falls due." in page
    refused = submit(sandbox, "/clock", to="2001-01-01")
    assert (refused.status, "The clock can be moved forward from there" in refused.text) == (422, True)
    assert submit(sandbox, "/clock", step="next").status == 422
    after(sandbox, submit(sandbox, "/clock/auto", auto="on"))
    assert sandbox.marketplace.time.auto


@pytest.mark.parametrize("by_page", [True, False], ids=["by the page", "by the API"])
def test_what_is_due_can_be_let_happen_when_its_moment_is_past(sandbox: Sandbox, *, by_page: bool) -> None:
    """As after a date that passed while nothing happened by itself: the clock need not be moved for it."""
    market = sandbox.marketplace
    contract = market.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=market.now() + timedelta(seconds=0.2), auto_renews=False
    ).contract
    while contract.is_live(at=market.now()):
        pass
    if by_page:
        page = after(sandbox, submit(sandbox, "/clock", step="next"))
        assert "The contract of account 111122223333 (5 seats) ended: expired." in page
    else:
        answer = post(sandbox, "/sandbox/clock", {"advance": "PT0S"})
        assert [one["event"] for one in answer.json()["happened"]] == ["ends"]
    assert market.find(contract.agreement_id).status == "EXPIRED"


def test_messages_name_the_buyer_and_come_page_by_page(sandbox: Sandbox) -> None:
    """Newest first; the page of a contract has the newest about it, and a way to all of them."""
    first = bought(sandbox)
    for seats in range(6, 19):
        post(sandbox, f"/sandbox/contracts/{first}/seats", {"seats": seats})
    post(sandbox, "/sandbox/contracts", FIVE_SEATS | {"account_id": COMPILERS_INC})

    def numbers(path: str) -> list[int]:
        return [
            int(number)
            for number in re.findall(r'aria-label="Send message (\d+) again"', ask(sandbox, "GET", path).text)
        ]

    assert numbers("/messages") == list(range(30, 5, -1))
    assert numbers("/messages?page=2") == list(range(5, 0, -1))
    assert "Page 2 of 2" in ask(sandbox, "GET", "/messages?page=2").text
    page = ask(sandbox, "GET", "/messages").text
    assert (page.count(f"account {COMPILERS_INC}"), page.count(f"account {ANALYTICAL_ENGINES}")) == (2, 23)
    assert numbers(f"/contracts/{first}") == list(range(28, 18, -1))
    assert (
        f'<a href="/messages?agreement_id={first}">All 28 messages about it</a>'
        in ask(sandbox, "GET", f"/contracts/{first}").text
    )
    assert numbers(f"/messages?agreement_id={first}&page=2") == [3, 2, 1]
    answer = submit(sandbox, f"/messages/2/send?agreement_id={first}&page=2")
    assert answer.headers["Location"] == f"/messages?page=2&agreement_id={first}"


def test_the_page_makes_mischief_and_stops_it(sandbox: Sandbox) -> None:
    """It counts what was done, and a message that was lost can be sent again."""
    page = after(sandbox, submit(sandbox, "/mischief", seed="7", drop="100"))
    assert "Mischief is on" in page
    bought(sandbox)
    assert "<strong>2</strong> messages lost" in ask(sandbox, "GET", "/mischief").text
    page = ask(sandbox, "GET", "/messages").text
    assert page.count("Lost by mischief") == 2
    assert "Message 1 was sent again." in after(sandbox, submit(sandbox, "/messages/1/send"))
    assert "Lost by mischief, then sent again" in ask(sandbox, "GET", "/messages").text
    wrong = submit(sandbox, "/mischief", seed="seven", drop="101", delay_least="3", delay_most="1")
    assert wrong.status == 422
    assert "Give a percentage from 0 to 100." in wrong.text
    assert 'value="101"' in wrong.text
    after(sandbox, submit(sandbox, "/mischief", seed="7", delay_least="3600", delay_most="3600"))
    submit(sandbox, f"/contracts/{sandbox.marketplace.contracts[0].agreement_id}/cancel")
    assert ask(sandbox, "GET", "/messages").text.count("On its way, delayed by mischief") == 2
    assert "2 messages delivered." in after(sandbox, submit(sandbox, "/flush"))
    assert ask(sandbox, "GET", "/messages").text.count("Delivered late by mischief") == 2
    after(sandbox, submit(sandbox, "/mischief/stop"))
    assert not sandbox.marketplace.mischief.state.plan.is_any


def test_the_page_keeps_mischief_to_its_hours(sandbox: Sandbox) -> None:
    """By day, or to the second; what was set is shown again, and said."""
    hours = {"since": "2998-05-31", "since_time": "22:15", "until": "2998-06-01", "hang_seconds": "0.5"}
    page = after(sandbox, submit(sandbox, "/mischief", seed="7", drop="100", **hours))
    assert "Mischief is planned from 31 May 2998, 22:15:00 UTC until 1 June 2998, 23:59:59 UTC" in page
    plan = sandbox.marketplace.mischief.state.plan
    assert (plan.since, plan.hang_seconds) == (datetime(2998, 5, 31, 22, 15, tzinfo=UTC), 0.5)
    assert plan.until == datetime(2998, 6, 1, 23, 59, 59, 999_000, tzinfo=UTC)
    for name, value in (
        ("since", "2998-05-31"),
        ("since_time", "22:15:00"),
        ("until", "2998-06-01"),
        ("until_time", ""),
    ):
        assert re.search(f'name="{name}" type="(date|time)"( step="1")? value="{value}"', page), name
    assert 'name="hang_seconds" type="number" min="0" max="600" step="any" value="0.5"' in page
    assert "Mischief is on." not in ask(sandbox, "GET", "/").text
    page = after(sandbox, submit(sandbox, "/mischief", seed="7", drop="100", until="2001-01-01", until_time="12:00"))
    assert "The mischief is over" in page
    assert "Mischief is on." not in ask(sandbox, "GET", "/").text
    page = after(sandbox, submit(sandbox, "/mischief", seed="7", drop="100"))
    assert (sandbox.marketplace.mischief.state.plan.until, "Mischief is on<" in page) == (None, True)
    assert "Mischief is on." in ask(sandbox, "GET", "/").text


def test_the_form_of_mischief_has_the_seed_that_is_played(sandbox: Sandbox) -> None:
    """Also 0; where nothing is planned, one to begin with."""
    assert 'name="seed" type="number" min="0" required value="7"' in ask(sandbox, "GET", "/mischief").text
    page = after(sandbox, submit(sandbox, "/mischief", seed="0", drop="100"))
    assert 'name="seed" type="number" min="0" required value="0"' in page


def test_a_plan_of_mischief_is_taken_as_it_is_told(sandbox: Sandbox) -> None:
    """Also where it has no hours: what was read can be sent again."""
    for plan in ({"seed": 7, "drop": 0.5}, {"seed": 7, "drop": 0.5, "since": "2998-05-31", "until": "2998-06-01"}):
        assert ask(sandbox, "PUT", "/sandbox/mischief", json.dumps(plan)).status == 200
        told = ask(sandbox, "GET", "/sandbox/mischief").json()["plan"]
        assert ask(sandbox, "PUT", "/sandbox/mischief", json.dumps(told)).status == 200
        assert ask(sandbox, "GET", "/sandbox/mischief").json()["plan"] == told


@pytest.mark.parametrize(
    ("typed", "field", "sentence"),
    [
        ({"since": "yesterday"}, "since", "Give a day, such as 2027-05-31"),
        ({"since_time": "12:00"}, "since", "Give a day, such as 2027-05-31"),
        ({"until": "2998-02-30"}, "until", "Give a day, such as 2027-05-31"),
        ({"since": "2998-06-02", "until": "2998-06-01"}, "until", "Give an end after the beginning."),
        ({"hang_seconds": "long"}, "hang_seconds", "Give a number of seconds."),
        ({"hang_seconds": "nan"}, "hang_seconds", "Special numeric values"),
        ({"hang_seconds": "601"}, "hang_seconds", "less than or equal to 600"),
    ],
)
def test_the_page_says_which_hours_can_not_be(
    sandbox: Sandbox, typed: dict[str, str], field: str, sentence: str
) -> None:
    """At the field that is wrong; the plan before stays."""
    answer = submit(sandbox, "/mischief", seed="7", drop="100", **typed)
    assert answer.status == 422
    said = re.search(f'id="error-mischief-{field}">([^<]*)<', answer.text)
    assert said is not None
    assert sentence in said[1]
    assert not sandbox.marketplace.mischief.state.plan.is_any


def test_the_page_keeps_what_was_typed_and_says_what_is_wrong(sandbox: Sandbox) -> None:
    """The sentence stands at the field that it is about."""
    typed = {"account_id": "12", "seats.users": "many", "until": "2999-05-31", "generation": "legacy"}
    answer = submit(sandbox, "/buy", **typed)
    assert answer.status == 422
    assert "Give a whole number, such as 5." in answer.text
    assert 'aria-describedby="error-buy-seats"' in answer.text
    assert 'value="many"' in answer.text
    assert '<option value="legacy" selected>' in answer.text
    terms = {"account_id": ANALYTICAL_ENGINES, "seats.users": "5", "until": "2999-05-31"}
    answer = submit(sandbox, "/buy", **terms, trial_ends_at="2999-06-01")
    assert re.search(
        'id="error-buy-trial_ends_at">A free trial must end after .*, and not after 31 May 2999', answer.text
    )
    path = f"/contracts/{bought(sandbox)}"
    answer = submit(sandbox, f"{path}/extend", until="2001-01-01")
    assert answer.status == 422
    assert "The new end must be later than 31 May 2999, 23:59:59 UTC." in answer.text
    assert 'value="2001-01-01"' in answer.text
    gone = submit(sandbox, "/contracts/agmt-nobody/cancel")
    assert (gone.status, "No contract has the agreement id agmt-nobody." in gone.text) == (404, True)
    assert submit(sandbox, f"{path}/explode").status == 404


@pytest.mark.parametrize(
    ("act", "typed"),
    [
        ("seats", {"seats.users": "77"}),
        ("seats", {"seats.users": "many"}),
        ("renew", {"seats.users": "7", "until": "2999-05-31"}),
        ("replace", {"seats.users": "7", "until": "2999-05-31"}),
        ("extend", {"until": "2999-06-30"}),
        ("at-end", {"at_end": "EXPIRE", "by": "ACCEPTOR"}),
        ("start", {}),
        ("opt-in", {}),
        ("expire", {}),
        ("cancel", {}),
        ("terminate", {}),
    ],
)
def test_a_form_that_is_not_offered_any_more_says_what_is_wrong(
    sandbox: Sandbox, act: str, typed: dict[str, str]
) -> None:
    """As when the contract ended in another tab: once, at the top of the page."""
    agreement_id = bought(sandbox)
    sandbox.marketplace.cancel(agreement_id)
    answer = submit(sandbox, f"/contracts/{agreement_id}/{act}", **typed)
    reason = "Give a whole number" if typed.get("seats.users") == "many" else "This contract has ended (CANCELLED)."
    assert answer.status == (422 if "number" in reason else 409)
    assert answer.text.count(f"<strong>Not done.</strong> {reason}") == 1
    assert answer.text.count(reason) == 1


@pytest.mark.parametrize(
    ("act", "reason"), [("start", "This contract runs since"), ("opt-in", "This contract is concurrent: only a legacy")]
)
def test_a_button_that_an_active_contract_lacks_says_what_is_wrong(sandbox: Sandbox, act: str, reason: str) -> None:
    """As when it was started, or opted in, in another tab."""
    answer = submit(sandbox, f"/contracts/{bought(sandbox)}/{act}")
    assert answer.status == 409
    assert f"<strong>Not done.</strong> {reason}" in answer.text


def test_a_form_that_is_offered_says_what_is_wrong_beside_itself(sandbox: Sandbox) -> None:
    """And nowhere else."""
    wrong = submit(sandbox, f"/contracts/{bought(sandbox)}/renew", **{"seats.users": "0", "until": "2999-05-31"})
    assert (wrong.status, "<strong>Not done.</strong>" in wrong.text) == (422, False)
    assert wrong.text.count("The number of seats must be between") == 1


def test_the_page_offers_the_same_day_a_year_later() -> None:
    """The 29th of February has none, and the last year there is has no next one."""
    leap_day = datetime(2028, 2, 29, 12, 0, tzinfo=UTC)
    with Sandbox(SETTINGS, clock=lambda: leap_day) as sandbox:
        for until in ("2031-05-31", "9999-12-31"):
            submit(sandbox, "/buy", **{"account_id": ANALYTICAL_ENGINES, "seats.users": "5", "until": until})
        paths = ["/", *(f"/contracts/{contract.agreement_id}" for contract in sandbox.marketplace.contracts)]
        texts = [ask(sandbox, "GET", path).text for path in paths]
    field = r'name="until" type="date" required value="([^"]*)"'
    assert [re.findall(field, text)[0] for text in texts] == ["2029-02-28", "2032-05-31", ""]


def test_set_up_your_account_posts_a_token_to_the_ledger(sandbox: Sandbox) -> None:
    """A plain form with AWS's field, to the address of the ledger, which the page's policy allows."""
    agreement_id = bought(sandbox)
    answer = ask(sandbox, "GET", f"/contracts/{agreement_id}")
    form = re.search(
        rf'<form class="press" method="post" action="{re.escape(FULFILLMENT)}">\s*'
        r'<input type="hidden" name="x-amzn-marketplace-token" value="([^"]+)">\s*<button>Set up your account</button>',
        answer.text,
    )
    assert form is not None
    assert sandbox.marketplace.resolve_token(form[1]).agreement_id == agreement_id
    assert "form-action 'self' http://ledger.test:8080;" in answer.headers["Content-Security-Policy"]


def test_the_page_needs_no_script_and_escapes_what_it_shows(sandbox: Sandbox) -> None:
    """One h1, a label around each field, its own style sheet, and no markup from a product's name."""
    agreement_id = bought(sandbox)
    for path in ("/", f"/contracts/{agreement_id}", "/clock", "/messages", "/mischief"):
        text = ask(sandbox, "GET", path).text
        assert "SoftPhone <for" not in text
        assert re.findall(r"<script[^>]*>", text) == ['<script src="/static/watch.js" defer>']
        assert "style=" not in text
        assert text.count("<h1>") == 1
        fields = [field for field in re.findall(r"<(?:input|select)[^>]*>", text) if 'type="hidden"' not in field]
        labels = re.findall(r"<label.*?</label>", text, re.DOTALL)
        assert len(fields) == len(labels)
        assert all(re.search(r"<(input|select)", label) for label in labels)
    style = ask(sandbox, "GET", "/static/sandbox.css")
    assert (style.status, "prefers-color-scheme: dark" in style.text) == (200, True)


def test_the_page_shows_misbehavior_and_ends_it(sandbox: Sandbox) -> None:
    """Nobody wonders why a client fails."""
    assert "misbehaves" not in ask(sandbox, "GET", "/").text
    sandbox.faults.set(FaultPlan(as_buyer=True))
    assert "misbehaves" in ask(sandbox, "GET", "/").text
    assert "The sandbox behaves again." in after(sandbox, submit(sandbox, "/behave"))
    assert sandbox.faults.plan == FaultPlan()


def test_an_unknown_page_leads_back(sandbox: Sandbox) -> None:
    """With a sentence, not a stack trace."""
    answer = ask(sandbox, "GET", "/nothing")
    assert answer.status == 404
    assert "<h1>Not Found</h1>" in answer.text
    assert '<a href="/">' in answer.text


def test_a_queue_that_is_gone_is_shown_on_the_page(sandbox: Sandbox) -> None:
    """The contract is bought, and the page says that its messages were lost."""
    sqs = boto3.client(
        "sqs",
        endpoint_url=sandbox.sqs_endpoint,
        region_name="us-east-1",
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
    )
    sqs.delete_queue(QueueUrl=sandbox.queue_url)
    sqs.close()
    terms = {"account_id": ANALYTICAL_ENGINES, "seats.users": "5", "until": "2999-05-31"}
    page = after(sandbox, submit(sandbox, "/buy", **terms))
    assert "Messages sent: 2, of which 2 not taken by the queue." in page
    assert page.count("Not taken by the queue") == 2
    assert len(sandbox.marketplace.contracts) == 1


def test_a_sandbox_without_a_ledger_shows_the_token_to_copy() -> None:
    """There is nowhere to send it."""
    with Sandbox(SandboxSettings(product_code="code", product_id="prod-1", product_title="SoftPhone")) as alone:
        agreement_id = bought(alone)
        answer = ask(alone, "GET", f"/contracts/{agreement_id}")
    assert "The sandbox knows no ledger." in answer.text
    shown = re.search(r"Registration token, good for 4 hours: <code>([^<]+)</code>", answer.text)
    assert shown is not None
    assert alone.marketplace.resolve_token(shown[1]).agreement_id == agreement_id
    assert "form-action 'self';" in answer.headers["Content-Security-Policy"]


def test_a_ledger_that_does_not_answer_is_said_beside_the_contract() -> None:
    """Nothing else of the page depends on it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    settings = SandboxSettings(
        product_code="code", product_id="prod-1", product_title="SoftPhone", ledger_url=url, ledger_key="an-auditor"
    )
    with Sandbox(settings) as alone:
        answer = ask(alone, "GET", f"/contracts/{bought(alone)}")
    assert answer.status == 200
    assert f"The ledger at {url} does not answer." in answer.text
    assert "Not compared." in answer.text


def test_a_port_that_is_taken_is_an_error_of_the_caller() -> None:
    """No process is ended for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = SandboxSettings(
            product_code="code", product_id="prod-1", product_title="SoftPhone", port=taken.getsockname()[1]
        )
        with pytest.raises(OSError, match="in use"):
            Sandbox(settings).start()


def test_the_port_is_free_again_after_stopping() -> None:
    """A sandbox can be started on the same port at once."""
    settings = SandboxSettings(product_code="code", product_id="prod-1", product_title="SoftPhone")
    with Sandbox(settings) as first:
        port = urlsplit(first.url).port
    assert port is not None
    again = SandboxSettings(product_code="code", product_id="prod-1", product_title="SoftPhone", port=port)
    with Sandbox(again) as second:
        assert second.url == first.url
        assert ask(second, "GET", "/sandbox/contracts").json() == {"items": []}
