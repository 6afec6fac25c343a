"""Who may call what: keys, roles and scopes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
import structlog

from ledger.keys import KeyScope
from ledger.license.events import LicenseId
from ledger.system.events import KeyRole
from tests.integration.api_stage import (
    ADMIN_OF_IT,
    AUDITOR,
    AUDITOR_OF_OTHER,
    CLIENT_BY_CUSTOMER,
    CLIENT_OF_IT,
    OPERATOR,
    Stage,
    open_stage,
)
from tests.integration.ledgers import issue
from tests.stories import ADMIN, LICENSE, NOON, OTHER_LICENSE

UNKNOWN_LICENSE: Final = "00000000-0000-4000-8000-000000000000"
SEAT: Final = "00000000-0000-4000-8000-000000000001"

Body = dict[str, object] | None
ApiCall = tuple[str, str, Body]

ADA: Final[dict[str, object]] = {"user": "Ada"}
READS: Final[list[ApiCall]] = [
    ("GET", "/v1/licenses/{}", None),
    ("GET", "/v1/licenses/{}?version=1", None),
    ("GET", "/v1/licenses/{}?as_of=2026-11-24T12:00:00Z", None),
    ("GET", "/v1/licenses/{}/seats", None),
    ("GET", "/v1/licenses/{}/seats?as_of=2026-11-24T12:00:00Z", None),
    ("GET", "/v1/licenses/{}/seats/" + SEAT, None),
    ("GET", "/v1/licenses/{}/history", None),
]
CHANGES: Final[list[ApiCall]] = [
    ("POST", "/v1/licenses/{}/seats", ADA),
    ("POST", "/v1/licenses/{}/blocks", ADA | {"reason": "left"}),
    ("POST", "/v1/licenses/{}/seats/" + SEAT + "/block", {"reason": "left"}),
    ("POST", "/v1/licenses/{}/seats/" + SEAT + "/unblock", None),
    ("DELETE", "/v1/licenses/{}/seats/" + SEAT, None),
    ("POST", "/v1/licenses/{}/seat-changes", {"changes": [ADA | {"change": "activate"}]}),
    ("POST", "/v1/licenses/{}/preview", {"seats_max": 1}),
]
QUESTIONS: Final[list[ApiCall]] = [
    ("POST", "/v1/licenses/{}/sign-ins", ADA),
    ("GET", "/v1/licenses/{}/access?user=Ada", None),
]
BY_KEY: Final[list[ApiCall]] = [
    ("POST", "/v1/sign-ins", ADA),
    ("GET", "/v1/access?user=Ada", None),
]
KEYS: Final[list[ApiCall]] = [
    ("GET", "/v1/keys", None),
    ("POST", "/v1/keys", {"name": "mine", "role": "operator"}),
    ("DELETE", "/v1/keys/key-0000000000000000", None),
]
INBOX: Final[list[ApiCall]] = [
    ("GET", "/v1/inbox", None),
    ("GET", "/v1/inbox/1", None),
    ("POST", "/v1/inbox/1/retry", None),
]
DRIFT: Final[list[ApiCall]] = [("GET", "/v1/drift", None)]
LIST: Final[list[ApiCall]] = [("GET", "/v1/licenses", None)]
CALLS: Final[list[ApiCall]] = [*LIST, *READS, *CHANGES, *QUESTIONS, *BY_KEY, *KEYS, *INBOX, *DRIFT]

MAY: Final[dict[str, list[ApiCall]]] = {
    OPERATOR: [call for call in CALLS if call not in BY_KEY],
    ADMIN_OF_IT: [*LIST, *READS, *CHANGES],
    CLIENT_OF_IT: [*QUESTIONS, *BY_KEY],
    CLIENT_BY_CUSTOMER: [*QUESTIONS, *BY_KEY],
    AUDITOR: [*LIST, *READS],
}
MAY_NOT: Final = [(key, *call) for key, may in MAY.items() for call in CALLS if call not in may]
REACH: Final = [
    (key, *call)
    for key in (ADMIN_OF_IT, CLIENT_OF_IT, CLIENT_BY_CUSTOMER)
    for call in MAY[key]
    if call not in [*LIST, *BY_KEY]
]


@pytest.fixture(scope="module")
def stage(module_database: Path) -> Iterator[Stage]:
    """Two companies and everybody's keys."""
    with open_stage(module_database) as stage:
        yield stage


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_without_a_key_nothing_is_answered(stage: Stage, method: str, path: str, body: Body) -> None:
    """It is 401, and the header says how to authenticate."""
    answer = stage.call(method, path.format(LICENSE), body, key=None)
    assert (answer.status, answer.json["code"]) == (401, "UNAUTHENTICATED")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer llk_wrong", f"Basic {OPERATOR}", OPERATOR, "Bearer \u00fc", "bearer  x y"]
)
def test_what_is_no_key_opens_nothing(stage: Stage, header: str) -> None:
    """Whatever stands there, it is 401."""
    answer = stage.call("GET", "/v1/licenses", key=None, headers={"Authorization": header})
    assert (answer.status, answer.json["code"]) == (401, "UNAUTHENTICATED")


def test_a_revoked_key_opens_nothing_any_more(stage: Stage) -> None:
    """From the very next request on; it stays listed."""
    issued = stage.call("POST", "/v1/keys", {"name": "spare", "role": "operator"}).json
    assert stage.call("GET", "/v1/keys", key=issued["key"]).status == 200
    revoked = stage.call("DELETE", f"/v1/keys/{issued['key_id']}")
    assert (revoked.status, revoked.json["key_id"]) == (200, issued["key_id"])
    assert revoked.json["revoked_at"] is not None
    assert stage.call("GET", "/v1/keys", key=issued["key"]).status == 401
    listed = {key["key_id"]: key for key in stage.call("GET", "/v1/keys").json["items"]}
    assert listed[issued["key_id"]] == revoked.json


def test_an_expired_key_opens_nothing_any_more(database: Path) -> None:
    """From its moment on."""
    with open_stage(database) as stage:
        body = {"name": "for an hour", "role": "operator", "expires_at": "2026-11-24T14:00:00+01:00"}
        issued = stage.call("POST", "/v1/keys", body).json
        assert issued["expires_at"] == "2026-11-24T13:00:00Z"
        stage.clock.move(timedelta(minutes=59))
        assert stage.call("GET", "/v1/licenses", key=issued["key"]).status == 200
        stage.clock.move(timedelta(minutes=1))
        assert stage.call("GET", "/v1/licenses", key=issued["key"]).status == 401


@pytest.mark.parametrize(("key", "method", "path", "body"), MAY_NOT)
def test_a_role_makes_no_call_that_it_may_not_make(stage: Stage, key: str, method: str, path: str, body: Body) -> None:
    """It is 403, of its own license and of others."""
    for license_id in (LICENSE, OTHER_LICENSE, UNKNOWN_LICENSE):
        answer = stage.call(method, path.format(license_id), body, key=key)
        assert (answer.status, answer.json["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize(("key", "method", "path", "body"), REACH)
def test_another_companys_license_is_like_none(stage: Stage, key: str, method: str, path: str, body: Body) -> None:
    """The answers differ in the request id alone."""
    theirs = stage.call(method, path.format(OTHER_LICENSE), body, key=key)
    nobodys = stage.call(method, path.format(UNKNOWN_LICENSE), body, key=key)
    assert (theirs.status, theirs.json["code"]) == (404, "LICENSE_NOT_FOUND")
    assert theirs.json | {"request_id": ""} == nobodys.json | {"request_id": ""}


@pytest.mark.parametrize(("method", "path", "body"), [*READS, *CHANGES, *QUESTIONS])
def test_an_unknown_license_is_not_found_by_anybody(stage: Stage, method: str, path: str, body: Body) -> None:
    """Not by the operator either."""
    answer = stage.call(method, path.format(UNKNOWN_LICENSE), body)
    assert (answer.status, answer.json["code"]) == (404, "LICENSE_NOT_FOUND")


def test_everybody_reaches_their_own(stage: Stage) -> None:
    """A key does for its license what its role may do."""
    assert stage.call("GET", f"/v1/licenses/{LICENSE}", key=ADMIN_OF_IT).status == 200
    assert stage.call("GET", f"/v1/licenses/{LICENSE}/access?user=Ada", key=CLIENT_OF_IT).status == 200
    assert stage.call("GET", f"/v1/licenses/{LICENSE}/access?user=Ada", key=CLIENT_BY_CUSTOMER).status == 200
    assert stage.call("GET", f"/v1/licenses/{OTHER_LICENSE}", key=AUDITOR).status == 200
    assert stage.call("GET", f"/v1/licenses/{OTHER_LICENSE}", key=AUDITOR_OF_OTHER).status == 200
    assert stage.call("GET", f"/v1/licenses/{LICENSE}", key=AUDITOR_OF_OTHER).status == 404


def test_lists_have_what_the_key_reaches(stage: Stage) -> None:
    """An administrator's list has one license, an operator's all."""
    assert [one["license_id"] for one in stage.get("/v1/licenses", key=ADMIN_OF_IT)["items"]] == [LICENSE]
    assert [one["license_id"] for one in stage.get("/v1/licenses", key=AUDITOR_OF_OTHER)["items"]] == [OTHER_LICENSE]
    assert {one["license_id"] for one in stage.get("/v1/licenses")["items"]} == {LICENSE, OTHER_LICENSE}


def test_a_license_is_reached_by_customer_as_soon_as_it_is_issued(database: Path) -> None:
    """The views are waited for, so that the first sign-in after a purchase is let in."""
    with open_stage(database) as stage:
        bought = LicenseId("8c2e6f2c-75c7-4e6f-9f6d-2c6c419191f2")
        names = tuple((kind, value) for kind, value in stage.ledger.past.license_now(LICENSE).names if kind in _WHOSE)
        issue(stage.ledger, seats_max=1, license_id=bought, names=names)
        answer = stage.call("POST", f"/v1/licenses/{bought}/sign-ins", ADA, key=CLIENT_BY_CUSTOMER)
        assert (answer.status, answer.json["allowed"]) == (200, True)


_WHOSE: Final = ("account", "product")


def test_a_key_is_shown_once(stage: Stage) -> None:
    """What is listed does not open anything."""
    issued = stage.call("POST", "/v1/keys", {"name": " Ada's \u0041gent ", "role": "auditor"})
    assert issued.status == 201
    assert issued.json["name"] == "Ada's Agent"
    assert stage.call("GET", "/v1/licenses", key=issued.json["key"]).status == 200
    assert issued.json["key"].encode() not in stage.call("GET", "/v1/keys").body


def test_events_name_the_key_and_the_request(stage: Stage) -> None:
    """The actor is the key, the cause the request's id."""
    ours = "5a0e3a52-9e60-4e2c-8e3b-6c3d0d3b7c11"
    answer = stage.call(
        "POST", f"/v1/licenses/{LICENSE}/seats", {"user": "Katherine"}, key=ADMIN_OF_IT, headers={"X-Request-ID": ours}
    )
    [event] = stage.get(f"/v1/licenses/{LICENSE}/history?user=Katherine")["items"]
    assert event["cause"] == ours
    assert event["actor"] == answer.json["actor"]
    assert event["actor"]["role"] == "admin"


def test_a_key_of_another_process_is_seen_at_once(stage: Stage) -> None:
    """Keys are looked up in the database at each request, whoever wrote them."""
    key, secret = stage.ledger.keys.issue(
        name="from the command line", role=KeyRole.AUDITOR, scope=KeyScope(), expires_at=None, caller=ADMIN
    )
    assert stage.call("GET", "/v1/licenses", key=secret).status == 200
    stage.ledger.keys.revoke(key.key_id, caller=ADMIN)
    assert stage.call("GET", "/v1/licenses", key=secret).status == 401
    assert key.issued_at >= NOON


def test_each_request_is_one_line_in_the_log_without_names(stage: Stage) -> None:
    """Neither users nor keys stand there, wherever they were sent: in bodies, queries, paths or headers."""
    with structlog.testing.capture_logs() as lines:
        for method, path, body in (
            ("POST", f"/v1/licenses/{LICENSE}/sign-ins", ADA),
            ("GET", f"/v1/licenses/{LICENSE}/access?user=Ada", None),
            ("GET", "/v1/licenses/Ada", None),
            ("GET", "/v1/Ada", None),
            ("POST", f"/v1/licenses/{LICENSE}/seats", {"Ada": 1}),
        ):
            stage.call(method, path, body, headers={"X-Request-ID": "Ada"})
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["status"] for line in requests] == [200, 200, 404, 404, 422]
    assert requests[0]["path"] == "/v1/licenses/<license_id>/sign-ins"
    assert requests[0]["license_id"] == LICENSE
    assert "Ada" not in str(lines)
    assert OPERATOR not in str(lines)
