"""Commands that are repeated, and commands that go by what was read: Idempotency-Key and If-Match."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.api_stage import ADMIN_OF_IT, OPERATOR, SEATS, Answer, Stage, open_stage
from tests.stories import LICENSE

CHANGES: Final = f"/v1/licenses/{LICENSE}/seat-changes"
SIGN_INS: Final = f"/v1/licenses/{LICENSE}/sign-ins"
BLOCKS: Final = f"/v1/licenses/{LICENSE}/blocks"
ONCE: Final = {"Idempotency-Key": "7e0b1f0a"}


@pytest.fixture
def stage(database: Path) -> Iterator[Stage]:
    """A license of two seats."""
    with open_stage(database, seats_max=2) as stage:
        yield stage


@pytest.fixture(scope="module")
def unchanging(module_database: Path) -> Iterator[Stage]:
    """The same for tests whose calls are all refused."""
    with open_stage(module_database, seats_max=2) as stage:
        yield stage


def same(first: Answer, again: Answer) -> bool:
    """Whether two answers say the same, but for the id of the request."""
    without_id = {"request_id": None}
    return (first.status, first.json | without_id) == (again.status, again.json | without_id)


def test_a_repeated_activation_gives_the_first_answer(stage: Stage) -> None:
    """201 stays 201, although much has happened since."""
    first = stage.call("POST", SEATS, {"user": "Ada"}, headers=ONCE)
    assert first.status == 201
    stage.call("POST", f"{SEATS}/{first.json['seat_id']}/block", {"reason": "left", "note": "For London."})
    stage.activate("Grace")
    head = stage.ledger.head()
    again = stage.call("POST", SEATS, {"user": "Ada"}, headers=ONCE)
    assert same(first, again)
    assert first.headers["ETag"] == again.headers["ETag"]
    assert stage.ledger.head() == head


def test_a_repeated_refusal_is_the_same_refusal(stage: Stage) -> None:
    """No seat was free then, and the answer says so with the numbers of then."""
    ada, _ = stage.activate("Ada", "Grace")
    first = stage.call("POST", SEATS, {"user": "Katherine"}, headers=ONCE)
    assert (first.status, first.json["code"], first.json["seats_active"]) == (409, "NO_SEAT_FREE", 2)
    stage.call("DELETE", f"{SEATS}/{ada['seat_id']}")
    assert same(first, stage.call("POST", SEATS, {"user": "Katherine"}, headers=ONCE))


def test_repeated_changes_give_the_first_answer(stage: Stage) -> None:
    """Row by row."""
    body = {"changes": [{"user": name, "change": "activate"} for name in ("Ada", "Grace", "Katherine")]}
    first = stage.call("POST", CHANGES, body, headers=ONCE)
    assert [row["status"] for row in first.json["results"]] == [201, 201, 409]
    assert same(first, stage.call("POST", CHANGES, body, headers=ONCE))


def test_every_command_on_seats_can_be_repeated(stage: Stage) -> None:
    """Block, unblock and delete as well."""
    [ada] = stage.activate("Ada")
    seat = f"{SEATS}/{ada['seat_id']}"
    for method, path, body in (
        ("POST", BLOCKS, {"user": "Grace", "reason": "misuse"}),
        ("POST", f"{seat}/block", {"reason": "left"}),
        ("POST", f"{seat}/unblock", None),
        ("DELETE", seat, None),
    ):
        first = stage.call(method, path, body, headers=ONCE)
        head = stage.ledger.head()
        assert first.status == 200
        assert same(first, stage.call(method, path, body, headers=ONCE))
        assert stage.ledger.head() == head


def test_the_same_key_with_another_body(stage: Stage) -> None:
    """It is 422, and nothing changes; the order of members and the spelling of JSON don't count."""
    body = {"user": "Ada", "reason": "left", "note": None}
    first = stage.call("POST", BLOCKS, body, headers=ONCE)
    reordered = b'{ "note": null, "reason": "l\\u0065ft", "user": "Ada" }'
    assert same(first, stage.call("POST", BLOCKS, reordered, headers=ONCE))
    other = stage.call("POST", BLOCKS, body | {"reason": "misuse"}, headers=ONCE)
    assert (other.status, other.json["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_the_same_key_of_another_caller_or_for_another_call(stage: Stage) -> None:
    """Each caller has keys of their own, for each call."""
    assert stage.call("POST", SEATS, {"user": "Ada"}, headers=ONCE).status == 201
    assert stage.call("POST", SEATS, {"user": "Ada"}, headers=ONCE, key=ADMIN_OF_IT).status == 200
    assert stage.call("POST", BLOCKS, {"user": "Ada", "reason": "left"}, headers=ONCE).status == 200


def test_a_refused_body_does_not_use_up_the_key(stage: Stage) -> None:
    """What was not valid was never asked."""
    assert stage.call("POST", SEATS, {"user": ""}, headers=ONCE).status == 422
    assert stage.call("POST", SEATS, {"user": "Ada"}, headers=ONCE).status == 201


@pytest.mark.parametrize("key", ["", "k" * 256, "k" * 300, "\u00fc", "a\tb"])
def test_an_idempotency_key_that_is_none(unchanging: Stage, key: str) -> None:
    """1 to 255 printable characters are taken."""
    answer = unchanging.call("POST", SEATS, {"user": "Ada"}, headers={"Idempotency-Key": key})
    assert (answer.status, set(answer.json["errors"])) == (422, {"Idempotency-Key"})


@pytest.mark.parametrize("key", ["k", "k" * 255, "two words", '"quoted"'])
def test_an_idempotency_key_that_is_one(stage: Stage, key: str) -> None:
    """Whatever prints."""
    assert stage.call("POST", SEATS, {"user": "Ada"}, headers={"Idempotency-Key": key}).status == 201


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", SIGN_INS, {"user": "Ada"}),
        ("POST", "/v1/keys", {"name": "k", "role": "operator"}),
        ("DELETE", "/v1/keys/key-0000000000000000", None),
    ],
)
@pytest.mark.parametrize("header", [ONCE, {"If-Match": "*"}])
def test_calls_that_take_neither(
    unchanging: Stage, method: str, path: str, body: dict[str, str] | None, header: dict[str, str]
) -> None:
    """They refuse the header, rather than promise what they don't keep."""
    answer = unchanging.call(method, path, body, headers=header)
    assert (answer.status, set(answer.json["errors"])) == (422, set(header))


def test_many_changes_go_by_no_version(stage: Stage) -> None:
    """If-Match is refused there."""
    body = {"changes": [{"user": "Ada", "change": "activate"}]}
    answer = stage.call("POST", CHANGES, body, headers={"If-Match": '"3"'})
    assert (answer.status, set(answer.json["errors"])) == (422, {"If-Match"})


def test_a_change_of_a_seat_that_was_read(stage: Stage) -> None:
    """The seat's ETag lets it be changed, once."""
    [ada] = stage.activate("Ada")
    seat = f"{SEATS}/{ada['seat_id']}"
    stage.get(seat)
    read = stage.call("GET", seat)
    etag = read.headers["ETag"]
    assert etag == f'"{read.json["version"]}"'
    blocked = stage.call("POST", f"{seat}/block", {"reason": "left"}, headers={"If-Match": etag})
    assert blocked.status == 200
    stale = stage.call("DELETE", seat, headers={"If-Match": etag})
    assert (stale.status, stale.json["code"]) == (412, "STALE")
    assert f'"{stale.json["version"]}"' == blocked.headers["ETag"]
    assert stage.call("POST", f"{seat}/unblock", headers={"If-Match": blocked.headers["ETag"]}).status == 200


def test_an_activation_goes_by_the_licenses_version(stage: Stage) -> None:
    """As GET of the license gives it."""
    etag = stage.call("GET", f"/v1/licenses/{LICENSE}").headers["ETag"]
    [ada] = stage.activate("Ada")
    stale = stage.call("POST", SEATS, {"user": "Grace"}, headers={"If-Match": etag})
    assert (stale.status, stale.json["version"]) == (412, ada["license_version"])
    fresh = {"If-Match": f'"{ada["license_version"]}"'}
    assert stage.call("POST", BLOCKS, {"user": "Grace", "reason": "left"}, headers=fresh).status == 200


def test_the_answer_that_was_given_counts_before_the_version(stage: Stage) -> None:
    """A repeated command is not stale, although it moved the version itself."""
    etag = {"If-Match": stage.call("GET", f"/v1/licenses/{LICENSE}").headers["ETag"]}
    first = stage.call("POST", SEATS, {"user": "Ada"}, headers=ONCE | etag)
    assert same(first, stage.call("POST", SEATS, {"user": "Ada"}, headers=ONCE | etag))


def test_a_star_is_whatever_there_is(stage: Stage) -> None:
    """`*` means that it exists."""
    assert stage.call("POST", SEATS, {"user": "Ada"}, headers={"If-Match": "*"}).status == 201


@pytest.mark.parametrize("etag", ["3", '"three"', 'W/"3"', '"3', '"3", "4"', '""', '"-3"', '"03"', "", "**"])
def test_an_if_match_that_is_malformed(unchanging: Stage, etag: str) -> None:
    """Only what this interface gives out as ETag is taken."""
    answer = unchanging.call("POST", SEATS, {"user": "Ada"}, headers={"If-Match": etag}, key=OPERATOR)
    assert (answer.status, set(answer.json["errors"])) == (422, {"If-Match"})
