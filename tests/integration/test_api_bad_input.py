"""What bad input gets: a clear sentence, a stable code, and nothing changed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from ledger.license.events import SeatId
from tests.integration.api_stage import OPERATOR, SEATS, Answer, Stage, open_stage
from tests.stories import LICENSE

CHANGES: Final = f"/v1/licenses/{LICENSE}/seat-changes"
PREVIEW: Final = f"/v1/licenses/{LICENSE}/preview"
BLOCKS: Final = f"/v1/licenses/{LICENSE}/blocks"
SIGN_INS: Final = f"/v1/licenses/{LICENSE}/sign-ins"
HISTORY: Final = f"/v1/licenses/{LICENSE}/history"
ACCESS: Final = f"/v1/licenses/{LICENSE}/access"


@pytest.fixture(scope="module")
def stage(module_database: Path) -> Iterator[Stage]:
    """Ada has a seat; nothing in these tests changes anything."""
    with open_stage(module_database) as stage:
        stage.activate("Ada")
        yield stage


@pytest.fixture(autouse=True)
def _nothing_changes(stage: Stage) -> Iterator[None]:
    """Whatever is refused leaves no event."""
    before = stage.ledger.head()
    yield
    assert stage.ledger.head() == before


def refused(answer: Answer, status: int, code: str, *fields: str) -> Any:  # noqa: ANN401 -- the document
    """A problem, as RFC 9457 has it, naming these fields."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json
    assert document["code"] == code
    assert document["status"] == status
    assert document["type"] == f"urn:licensing-ledger:problem:{code.lower().replace('_', '-')}"
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == answer.headers["X-Request-ID"]
    assert set(document.get("errors", {})) == set(fields)
    return document


@pytest.mark.parametrize(
    "body", [b"", b"Ada", b'{"user": "Ada"', b"\xff\xfe{}", b'{"user": "Ada"} {}', b"\xef\xbb\xbf{}"], ids=repr
)
def test_a_body_that_is_not_json(stage: Stage, body: bytes) -> None:
    """It is 400, whatever else it is."""
    refused(stage.call("POST", SEATS, body), 400, "NOT_JSON")


def test_a_body_that_is_nested_without_end(stage: Stage) -> None:
    """It is 400 rather than a failure."""
    refused(stage.call("POST", SEATS, b"[" * 100_000), 400, "NOT_JSON")


@pytest.mark.parametrize("body", [b"[]", b'"Ada"', b"null", b"1", b"NaN"], ids=repr)
def test_a_body_that_is_no_object(stage: Stage, body: bytes) -> None:
    """JSON that is no object is not valid."""
    refused(stage.call("POST", SEATS, body), 422, "INVALID", "body")


def test_members_that_are_not_known(stage: Stage) -> None:
    """They are named, rather than overlooked."""
    refused(stage.call("POST", SEATS, {"user": "Ada", "usr": "Ada"}), 422, "INVALID", "usr")
    refused(stage.call("GET", f"{SEATS}?usr=Ada"), 422, "INVALID", "usr")


def test_a_member_whose_name_is_no_text(stage: Stage) -> None:
    """It is named as well as it can be."""
    refused(stage.call("POST", SEATS, b'{"user": "Ada", "\\ud800": 1}'), 422, "INVALID", "?")


@pytest.mark.parametrize(
    "number",
    ["true", '"5"', "5.5", "1e999", "-1e999", "NaN", "Infinity", "-1", "null", "[]", "9" * 5_000, "2147483648"],
)
def test_what_is_no_number_of_seats(stage: Stage, number: str) -> None:
    """It is refused with its field."""
    document = refused(stage.call("POST", PREVIEW, b'{"seats_max": %s}' % number.encode()), 422, "INVALID", "seats_max")
    assert document["errors"]["seats_max"]


@pytest.mark.parametrize("number", ["3.0", "3e0", "0", "2147483647"])
def test_what_is_a_number_of_seats(stage: Stage, number: str) -> None:
    """A whole number may be written in any way that JSON knows."""
    assert stage.call("POST", PREVIEW, b'{"seats_max": %s}' % number.encode()).status == 200


BAD_NAMES: Final = {
    "missing": {},
    "null": {"user": None},
    "a number": {"user": 5},
    "a list": {"user": ["Ada"]},
    "empty": {"user": ""},
    "blank": {"user": " \u3000 "},
    "257 code points": {"user": "a" * 257},
    "258 when casefolded": {"user": "\u00df" * 129},
    "a control character": {"user": "Ada\u0007"},
    "a line break": {"user": "Ada\nGrace"},
    "NUL": {"user": "Ada\u0000"},
    "text direction": {"user": "Ada\u202e"},
    "an unpaired surrogate": {"user": "Ada\ud800"},
}


@pytest.mark.parametrize("body", BAD_NAMES.values(), ids=BAD_NAMES.keys())
@pytest.mark.parametrize("path", [SEATS, SIGN_INS])
def test_a_user_without_a_usable_name(stage: Stage, path: str, body: dict[str, object]) -> None:
    """The field `user` is named."""
    refused(stage.call("POST", path, body), 422, "INVALID", "user")


@pytest.mark.parametrize("spelling", ["Ada", "ADA", "  ada ", "\u3000aDa"])
def test_spellings_of_a_name_are_one_user(stage: Stage, spelling: str) -> None:
    """Ada asks again in another spelling and keeps her seat."""
    answer = stage.call("POST", SEATS, {"user": spelling})
    assert (answer.status, answer.json["user"]) == (200, "Ada")


@pytest.mark.parametrize("user", ["", "a" * 257, "Ada%00", "%E2%80%AEAda", None])
def test_a_user_in_a_query_is_held_to_the_same(stage: Stage, user: str | None) -> None:
    """What is no name asks for nobody's access."""
    path = ACCESS if user is None else f"{ACCESS}?user={user}"
    refused(stage.call("GET", path), 422, "INVALID", "user")


def test_a_body_of_2_mb(stage: Stage) -> None:
    """It is read to the end, and refused."""
    body = json.dumps({"user": "a" * 2_000_000}).encode()
    refused(stage.call("POST", SEATS, body), 413, "TOO_LARGE")


def test_a_body_beyond_all_measure(stage: Stage) -> None:
    """It is refused before it is read; what comes then is a problem too."""
    headers = {"Content-Length": str(10**12), "Connection": "close"}
    answer = stage.call("POST", SEATS, b"{}", headers=headers)
    assert (answer.status, answer.json["code"]) == (413, "TOO_LARGE")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/jsonx", ""]
)
def test_another_content_type(stage: Stage, content_type: str) -> None:
    """Only `application/json` is read."""
    answer = stage.call("POST", SEATS, b'{"user": "Ada"}', headers={"Content-Type": content_type})
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_charset_beside_the_content_type_does_no_harm(stage: Stage) -> None:
    """JSON is UTF-8, whatever a client adds."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert stage.call("POST", SEATS, b'{"user": "Ada"}', headers=headers).status == 200


def test_of_a_member_that_is_there_twice_the_last_counts(stage: Stage) -> None:
    """As in every JSON parser that people use."""
    assert stage.call("POST", SEATS, b'{"user": "Grace", "user": "Ada"}').json["user"] == "Ada"


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", "", "1e2", "5.5", "٣", "9" * 30])
@pytest.mark.parametrize("path", ["/v1/licenses", SEATS, HISTORY, "/v1/keys"])
def test_a_limit_out_of_bounds(stage: Stage, path: str, limit: str) -> None:
    """A list has 1 to 1,000 items."""
    refused(stage.call("GET", f"{path}?limit={quote(limit)}"), 422, "INVALID", "limit")


def test_a_parameter_given_twice(stage: Stage) -> None:
    """It is not clear which one counts."""
    refused(stage.call("GET", f"{SEATS}?limit=1&limit=2"), 422, "INVALID", "limit")


@pytest.mark.parametrize(
    "as_of",
    [
        "2026-11-24T12:00:01Z",
        "2026-11-24T09:00:00",
        "2026-11-24",
        "noon",
        "",
        "2026-11-24T25:00:00Z",
        "20261124T090000Z",
    ],
)
@pytest.mark.parametrize("path", [f"/v1/licenses/{LICENSE}", SEATS])
def test_a_time_of_which_nothing_can_be_said(stage: Stage, path: str, as_of: str) -> None:
    """The future, and what has no zone or is no time at all."""
    refused(stage.call("GET", f"{path}?as_of={as_of}"), 422, "INVALID", "as_of")


def test_two_moments_at_once(stage: Stage) -> None:
    """Both are named."""
    path = f"/v1/licenses/{LICENSE}?as_of=2026-11-24T12:00:00Z&version=1"
    refused(stage.call("GET", path), 422, "INVALID", "as_of", "version")


@pytest.mark.parametrize("moment", ["version=0", "version=99", "position=0", "position=9999"])
def test_a_moment_that_is_not_recorded(stage: Stage, moment: str) -> None:
    """The history lists those that there are."""
    refused(stage.call("GET", f"/v1/licenses/{LICENSE}?{moment}"), 404, "NOT_RECORDED")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=asleep", "status"),
        ("user=", "user"),
        ("q=" + "a" * 257, "q"),
        ("min_position=-1", "min_position"),
    ],
)
def test_a_filter_of_seats_that_is_none(stage: Stage, query: str, field: str) -> None:
    """It is named, rather than listing too much."""
    refused(stage.call("GET", f"{SEATS}?{query}"), 422, "INVALID", field)


@pytest.mark.parametrize(
    ("query", "field"),
    [("type=seat-blocked", "type"), ("actor=people", "actor"), ("order=up", "order"), ("since=then", "since")],
)
def test_a_filter_of_the_history_that_is_none(stage: Stage, query: str, field: str) -> None:
    """It is named, rather than listing too much."""
    refused(stage.call("GET", f"{HISTORY}?{query}"), 422, "INVALID", field)


BAD_BLOCKS: Final[dict[str, tuple[dict[str, object], str]]] = {
    "no reason": ({"user": "Ada"}, "reason"),
    "a reason that is none": ({"user": "Ada", "reason": "because"}, "reason"),
    "a reason that is null": ({"user": "Ada", "reason": None}, "reason"),
    "a note of 501 code points": ({"user": "Ada", "reason": "left", "note": "a" * 501}, "note"),
    "a note with NUL": ({"user": "Ada", "reason": "left", "note": "a\u0000"}, "note"),
}


@pytest.mark.parametrize(("body", "field"), BAD_BLOCKS.values(), ids=BAD_BLOCKS.keys())
def test_a_block_without_a_reason_or_with_a_bad_note(stage: Stage, body: dict[str, object], field: str) -> None:
    """Nobody is kept out without a reason that can be told."""
    refused(stage.call("POST", BLOCKS, body), 422, "INVALID", field)


BAD_CHANGES: Final[dict[str, object]] = {
    "nobody": {"change": "delete"},
    "a user and a seat": {"change": "delete", "user": "Ada", "seat_id": LICENSE},
    "a seat that is no id": {"change": "delete", "seat_id": "A"},
    "no change": {"user": "Ada"},
    "a change that is none": {"user": "Ada", "change": "erase"},
    "a block without reason": {"user": "Ada", "change": "block"},
    "a reason without block": {"user": "Ada", "change": "delete", "reason": "left"},
    "a note without block": {"user": "Ada", "change": "unblock", "note": "Sorry."},
    "no object": "Ada",
    "more than is known": {"user": "Ada", "change": "delete", "now": True},
}


@pytest.mark.parametrize("change", BAD_CHANGES.values(), ids=BAD_CHANGES.keys())
def test_one_bad_row_among_many_changes(stage: Stage, change: object) -> None:
    """Nothing is done, and the row is named by its number."""
    body = {"changes": [{"user": "Grace", "change": "activate"}, change]}
    document = refused(stage.call("POST", CHANGES, body), 422, "INVALID", "changes")
    assert set(document["errors"]["changes"]) == {"1"}


@pytest.mark.parametrize("changes", [[], [{"user": "Ada", "change": "activate"}] * 1_001, None, "Ada"])
def test_no_changes_and_too_many(stage: Stage, changes: object) -> None:
    """1 to 1,000 rows are taken."""
    refused(stage.call("POST", CHANGES, {"changes": changes}), 422, "INVALID", "changes")


BAD_KEYS: Final[dict[str, tuple[dict[str, object], str]]] = {
    "no name": ({"role": "operator"}, "name"),
    "no role": ({"name": "k"}, "role"),
    "a role that is none": ({"name": "k", "role": "king"}, "role"),
    "an operator of one license": ({"name": "k", "role": "operator", "licenses": [LICENSE]}, "licenses"),
    "an administrator of nothing": ({"name": "k", "role": "admin"}, "licenses"),
    "no license": ({"name": "k", "role": "admin", "licenses": []}, "licenses"),
    "a license that is no id": ({"name": "k", "role": "admin", "licenses": ["mine"]}, "licenses"),
    "an auditor by customer": ({"name": "k", "role": "auditor", "customer_id": "1"}, "customer_id"),
    "a client by customer alone": ({"name": "k", "role": "client", "customer_id": "1"}, "licenses"),
    "a client of everything": ({"name": "k", "role": "client"}, "licenses"),
    "a time without zone": ({"name": "k", "role": "operator", "expires_at": "2027-01-01T00:00:00"}, "expires_at"),
}


@pytest.mark.parametrize(("body", "field"), BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_key_that_makes_no_sense(stage: Stage, body: dict[str, object], field: str) -> None:
    """Its scope has to go with its role."""
    refused(stage.call("POST", "/v1/keys", body), 422, "INVALID", field)


@pytest.mark.parametrize("license_id", ["x", LICENSE.upper(), LICENSE[:-1], LICENSE + "%0A", "%00"])
def test_a_license_by_what_is_no_id(stage: Stage, license_id: str) -> None:
    """It is like one that does not exist."""
    refused(stage.call("GET", f"/v1/licenses/{license_id}"), 404, "LICENSE_NOT_FOUND")


@pytest.mark.parametrize("seat_id", ["x", "ADA00000-0000-4000-8000-000000000001", str(SeatId(LICENSE))])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_seat_that_is_not_there(stage: Stage, method: str, seat_id: str) -> None:
    """A malformed id and an unknown one are the same."""
    refused(stage.call(method, f"{SEATS}/{seat_id}"), 404, "SEAT_NOT_FOUND")


def test_a_path_that_is_none(stage: Stage) -> None:
    """Flask's own answers are problems too."""
    refused(stage.call("GET", "/v1/seats"), 404, "NOT_FOUND")
    refused(stage.call("GET", f"{SEATS}/"), 404, "NOT_FOUND")


def test_a_method_that_a_path_does_not_take(stage: Stage) -> None:
    """It is 405, and `Allow` lists what it takes."""
    answer = stage.call("PUT", SEATS, {})
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


def test_a_request_id_is_taken_if_it_is_one(stage: Stage) -> None:
    """A UUID is kept; anything else, which could name a person, is not."""
    ours = "0b5f3f86-2a37-4f6a-9f7e-8f2f7c1f2a11"
    assert stage.call("GET", "/v1/licenses", headers={"X-Request-ID": ours}).headers["X-Request-ID"] == ours
    named = stage.call("GET", "/v1/licenses", headers={"X-Request-ID": "Ada Lovelace"})
    assert named.headers["X-Request-ID"] != "Ada Lovelace"


def test_a_key_that_goes_into_an_error_is_not_told(stage: Stage) -> None:
    """No answer repeats the key that it was asked with."""
    assert OPERATOR.encode() not in stage.call("PUT", SEATS, {}).body
