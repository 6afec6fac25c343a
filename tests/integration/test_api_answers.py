"""What the calls answer: seats, access, previews, lists and moments."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from api.app import ApiSettings
from api.v1 import schemas
from ledger.license.events import LapseReason, RenewalIntent
from tests.integration.api_stage import ADMIN_OF_IT, CLIENT_OF_IT, OPERATOR, SEATS, Stage, open_stage
from tests.integration.ledgers import announce, lapse, observe
from tests.stories import LICENSE, OTHER_LICENSE, RENEWS_AT

if TYPE_CHECKING:
    from marshmallow import Schema

IT: Final = f"/v1/licenses/{LICENSE}"
BRIEFLY: Final = timedelta(milliseconds=50)


@pytest.fixture
def stage(database: Path) -> Iterator[Stage]:
    """A license of three seats, and clients who may bring two users an hour."""
    settings = ApiSettings(secure_cookies=False, new_users_per_hour=2)
    with open_stage(database, settings=settings) as stage:
        yield stage


def test_a_user_takes_a_seat_once(stage: Stage) -> None:
    """201 with the seat and where it is; 200 from then on."""
    first = stage.call("POST", SEATS, {"user": " Ada Lovelace "})
    assert first.status == 201
    assert first.headers["Location"] == f"{SEATS}/{first.json['seat_id']}"
    assert first.headers["ETag"] == f'"{first.json["version"]}"'
    assert (first.json["user"], first.json["status"]) == ("Ada Lovelace", "active")
    assert first.json["license_version"] == first.json["version"]
    again = stage.call("POST", SEATS, {"user": "ADA LOVELACE"})
    assert (again.status, again.json) == (200, first.json)
    assert "Location" not in again.headers


def test_two_unicode_forms_of_a_name_are_one_user(stage: Stage) -> None:
    """Composed or not, it is Zoe with a diaeresis."""
    assert stage.call("POST", SEATS, {"user": "Zo\u00eb"}).status == 201
    assert stage.call("POST", SEATS, {"user": "Zoe\u0308"}).status == 200


def test_the_last_seat_is_the_last(stage: Stage) -> None:
    """409 says how many there are."""
    stage.activate("Ada", "Grace", "Katherine")
    answer = stage.call("POST", SEATS, {"user": "Joan"})
    assert (answer.status, answer.json["code"]) == (409, "NO_SEAT_FREE")
    assert (answer.json["seats_max"], answer.json["seats_active"]) == (3, 3)


def test_a_blocked_user_is_kept_out_until_unblocked(stage: Stage) -> None:
    """403 to sign in, 409 to delete; the unblocked seat is inactive and can be taken again."""
    blocked = stage.call("POST", f"{IT}/blocks", {"user": "Ada", "reason": "left", "note": "In March."})
    assert (blocked.status, blocked.json["status"]) == (200, "blocked")
    assert (blocked.json["reason"], blocked.json["note"]) == ("left", "In March.")
    seat = f"{SEATS}/{blocked.json['seat_id']}"
    kept_out = stage.call("POST", SEATS, {"user": "Ada"})
    assert (kept_out.status, kept_out.json["code"]) == (403, "USER_BLOCKED")
    kept_in = stage.call("DELETE", seat)
    assert (kept_in.status, kept_in.json["code"], kept_in.json["status"]) == (409, "USER_BLOCKED", 409)
    assert stage.call("POST", f"{seat}/unblock").json["status"] == "inactive"
    assert stage.call("POST", SEATS, {"user": "Ada"}).status == 201
    assert stage.call("POST", f"{seat}/block", {"reason": "misuse"}).json["reason"] == "misuse"


def test_a_deleted_user_may_come_back(stage: Stage) -> None:
    """To the same seat."""
    [ada] = stage.activate("Ada")
    deleted = stage.call("DELETE", f"{SEATS}/{ada['seat_id']}")
    assert (deleted.status, deleted.json["status"], deleted.json["reason"]) == (200, "deleted", "deleted-by-admin")
    again = stage.call("POST", SEATS, {"user": "Ada"})
    assert (again.status, again.json["seat_id"]) == (201, ada["seat_id"])


def test_many_changes_are_decided_in_their_order(stage: Stage) -> None:
    """Each row has its own status; what is accepted is one append."""
    [ada] = stage.activate("Ada")
    rows = [
        {"user": "Grace", "change": "activate"},
        {"user": "Ada", "change": "activate"},
        {"seat_id": ada["seat_id"], "change": "block", "reason": "left", "note": None},
        {"user": "Ada", "change": "activate"},
        {"seat_id": ada["seat_id"], "change": "delete"},
        {"seat_id": LICENSE, "change": "unblock"},
        {"user": "Nobody", "change": "delete"},
    ]
    answer = stage.call("POST", f"{IT}/seat-changes", {"changes": rows})
    results = answer.json["results"]
    assert [(row["status"], row["code"]) for row in results] == [
        (201, None),
        (200, None),
        (200, None),
        (403, "USER_BLOCKED"),
        (409, "USER_BLOCKED"),
        (404, "SEAT_NOT_FOUND"),
        (404, "SEAT_NOT_FOUND"),
    ]
    assert [row["seat"] and row["seat"]["user"] for row in results] == ["Grace", "Ada", "Ada", "Ada", "Ada", None, None]
    events = stage.get(f"{IT}/history?limit=2")["items"]
    assert {event["recorded_at"] for event in events} == {results[0]["seat"]["activated_at"]}
    assert answer.json["license_version"] == events[0]["version"]


def test_a_sign_in_takes_a_seat(stage: Stage) -> None:
    """Whoever may work is told for how long to believe it."""
    before = stage.call("GET", f"{IT}/access?user=Ada", key=CLIENT_OF_IT).json
    assert (before["allowed"], before["code"], before["seat_id"]) == (False, "NO_SEAT", None)
    answer = stage.call("POST", f"{IT}/sign-ins", {"user": "Ada"}, key=CLIENT_OF_IT)
    assert (answer.status, answer.json["allowed"], answer.json["code"]) == (200, True, "ALLOWED")
    assert (answer.json["user"], answer.json["license_id"]) == ("Ada", LICENSE)
    assert answer.json["check_again_at"].startswith("2026-11-24T12:15:00")
    assert answer.json["usable_until"] == "2027-06-03T23:59:59Z"
    after = stage.call("GET", f"{IT}/access?user=ADA", key=CLIENT_OF_IT).json
    assert (after["allowed"], after["seat_id"], after["user"]) == (True, answer.json["seat_id"], "ADA")


def test_who_is_refused_asks_again_in_a_minute(stage: Stage) -> None:
    """And reads why, and what to do."""
    stage.activate("Ada", "Grace", "Katherine")
    answer = stage.call("POST", f"{IT}/sign-ins", {"user": "Joan"}, key=CLIENT_OF_IT).json
    assert (answer["allowed"], answer["code"]) == (False, "NO_SEAT_FREE")
    assert answer["detail"] == "All seats are in use. Ask your administrator to free one or to buy more."
    assert answer["check_again_at"].startswith("2026-11-24T12:01:00")


def test_nobody_is_told_to_check_again_after_the_end(stage: Stage) -> None:
    """The end of the contract comes first."""
    stage.activate("Ada")
    stage.clock.at = RENEWS_AT + timedelta(days=3, minutes=-1)
    answer = stage.call("GET", f"{IT}/access?user=Ada", key=CLIENT_OF_IT).json
    assert answer["allowed"]
    assert answer["check_again_at"] == answer["usable_until"] == "2027-06-03T23:59:59Z"


def test_a_lapsed_license_refuses_seats_and_still_shows_them(stage: Stage) -> None:
    """403 with the code; blocks go on."""
    stage.activate("Ada")
    lapse(stage.ledger, reason=LapseReason.CANCELLED)
    refused = stage.call("POST", SEATS, {"user": "Grace"})
    assert (refused.status, refused.json["code"]) == (403, "SUBSCRIPTION_LAPSED")
    assert stage.call("POST", f"{IT}/blocks", {"user": "Ada", "reason": "left"}).status == 200
    information = stage.get(IT)
    assert (information["status"], information["lapse_reason"], information["seats_max"]) == ("lapsed", "cancelled", 3)


def test_a_renewal_is_unknown_until_aws_tells_it(stage: Stage) -> None:
    """One of four words, with who told it and when; the past says what was known then."""
    before = stage.get(IT)
    assert before["renewal"] == {"intent": "unknown", "source": None, "announced_at": None}
    announce(stage.ledger, RenewalIntent.ENDS)
    told = {"intent": "ends", "source": "DescribeAgreement", "announced_at": "2026-11-24T12:00:00Z"}
    assert stage.get(IT)["renewal"] == told
    assert [one["renewal"] for one in stage.get("/v1/licenses")["items"] if one["license_id"] == LICENSE] == [told]
    assert stage.get(f"{IT}?version={before['version']}")["renewal"] == before["renewal"]


def test_a_lapsed_license_says_when_it_ended(stage: Stage) -> None:
    """The earlier of its date and the moment at which that was heard; the past says what was so then."""
    assert stage.get(IT)["ended_at"] is None
    running = stage.get(IT)["version"]
    stage.clock.at += timedelta(days=9)
    lapse(stage.ledger, reason=LapseReason.EXPIRED)
    information = stage.get(IT)
    assert (information["lapse_reason"], information["ended_at"]) == ("expired", "2026-12-03T12:00:00Z")
    assert information["renewal_date"] > information["ended_at"]
    assert stage.get(f"{IT}?version={information['version']}")["ended_at"] == information["ended_at"]
    assert stage.get(f"{IT}?version={running}")["ended_at"] is None


def test_a_client_key_that_brings_too_many_new_users(stage: Stage) -> None:
    """429 until the next hour; who is known already still comes in, and the operator is not limited."""
    users = ["Ada", "Grace", "Katherine"]
    answers = [stage.call("POST", f"{IT}/sign-ins", {"user": user}, key=CLIENT_OF_IT) for user in users]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].json["code"] == "TOO_MANY"
    assert int(answers[2].headers["Retry-After"]) in range(3_590, 3_601)
    assert stage.call("POST", f"{IT}/sign-ins", {"user": "Ada"}, key=CLIENT_OF_IT).json["allowed"]
    assert stage.call("POST", f"{IT}/sign-ins", {"user": "Katherine"}, key=OPERATOR).json["allowed"]
    stage.clock.move(timedelta(hours=1))
    assert stage.call("POST", f"{IT}/sign-ins", {"user": "Joan"}, key=CLIENT_OF_IT).status == 200


def test_a_preview_tells_who_would_lose_the_seat(stage: Stage) -> None:
    """All or nobody, and how many to free first."""
    stage.activate("Ada", "Grace")
    preview = stage.call("POST", f"{IT}/preview", {"seats_max": 1}, key=ADMIN_OF_IT).json
    assert (preview["seats_deleted"], preview["must_free_first"], preview["users"]) == (2, 1, ["Ada", "Grace"])
    nothing = stage.call("POST", f"{IT}/preview", {"seats_max": 2}, key=ADMIN_OF_IT).json
    assert (nothing["seats_deleted"], nothing["must_free_first"], nothing["users"]) == (0, 0, [])


def test_documents_have_the_members_that_are_described(stage: Stage) -> None:
    """Answers are written from the ledger's types, and look as their schemas say."""
    [ada] = stage.activate("Ada")
    client_body = {"name": "k", "role": "auditor"}
    shown: list[tuple[Any, type[Schema]]] = [
        (ada, schemas.SeatAnswer),
        (stage.get(IT), schemas.LicenseInformation),
        (stage.get(f"{SEATS}/{ada['seat_id']}"), schemas.SeatNow),
        (stage.get(SEATS), schemas.SeatPage),
        (stage.get(SEATS)["items"][0], schemas.Seat),
        (stage.get(f"{IT}/history"), schemas.HistoryPage),
        (stage.get(f"{IT}/history")["items"][0], schemas.HistoryEntry),
        (stage.call("GET", f"{IT}/access?user=Ada").json, schemas.Access),
        (stage.call("POST", f"{IT}/preview", {"seats_max": 1}).json, schemas.Preview),
        (stage.call("POST", "/v1/keys", client_body).json, schemas.IssuedKey),
        (stage.call("GET", "/v1/keys").json["items"][0], schemas.Key),
    ]
    for document, schema in shown:
        assert set(document) == set(schema().fields), schema.__name__


# -- lists -------------------------------------------------------------------------------------------------------------


def walk(stage: Stage, path: str, *, limit: int) -> list[Any]:
    """A list, page by page."""
    items: list[Any] = []
    cursor = ""
    while True:
        page = stage.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        items += page["items"]
        if page["next"] is None:
            return items
        assert len(page["items"]) == limit
        cursor = f"&cursor={page['next']}"


def test_lists_go_from_page_to_page(stage: Stage) -> None:
    """Nothing is left out and nothing comes twice, in every list."""
    stage.activate("katherine", "Ada", "Grace")
    assert [seat["user"] for seat in walk(stage, SEATS, limit=2)] == ["Ada", "Grace", "katherine"]
    assert [seat["user"] for seat in walk(stage, SEATS, limit=1)] == ["Ada", "Grace", "katherine"]
    positions = [event["position"] for event in walk(stage, f"{IT}/history", limit=2)]
    assert positions == sorted(positions, reverse=True)
    oldest_first = [event["position"] for event in walk(stage, f"{IT}/history?order=asc", limit=3)]
    assert oldest_first == positions[::-1]
    assert len(walk(stage, "/v1/licenses", limit=1)) == 2


def test_keys_go_from_page_to_page(stage: Stage) -> None:
    """In the order in which they were issued."""
    listed = stage.call("GET", "/v1/keys?limit=1000").json["items"]
    paged: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = stage.call("GET", f"/v1/keys?limit=4{cursor}").json
        paged += page["items"]
        cursor = page["next"] and f"&cursor={page['next']}"
    assert paged == listed
    assert [key["issued_at"] for key in listed] == sorted(key["issued_at"] for key in listed)


def test_filters_of_seats(stage: Stage) -> None:
    """By status, by user and by part of the name."""
    stage.activate("Ada Lovelace", "Grace Hopper")
    stage.call("POST", f"{IT}/blocks", {"user": "Katherine", "reason": "left"})
    for query, users in (
        ("status=active", ["Ada Lovelace", "Grace Hopper"]),
        ("status=blocked", ["Katherine"]),
        ("user=ADA%20lovelace", ["Ada Lovelace"]),
        ("user=Ada", []),
        ("q=ace", ["Ada Lovelace", "Grace Hopper"]),
        ("q=ace&status=blocked", []),
        ("q=", ["Ada Lovelace", "Grace Hopper", "Katherine"]),
    ):
        assert [seat["user"] for seat in stage.get(f"{SEATS}?{query}")["items"]] == users, query


def test_filters_of_the_history(stage: Stage) -> None:
    """By user, type, actor and time; `since` is included, `until` is not."""
    [ada] = stage.activate("Ada")
    stage.activate("Grace")
    stage.call("DELETE", f"{SEATS}/{ada['seat_id']}", key=ADMIN_OF_IT)
    actor = ada["actor"]["id"]
    for query, types in (
        ("user=ada", ["license.seat-deleted", "license.seat-activated"]),
        ("type=license.seat-activated", ["license.seat-activated"] * 2),
        ("actor=admin", ["license.seat-deleted"]),
        (f"actor=operator:{actor}&user=Ada", ["license.seat-activated"]),
        (f"since={ada['activated_at']}&until={ada['activated_at']}", []),
        (f"since={ada['activated_at']}&user=Ada&type=license.seat-activated", ["license.seat-activated"]),
    ):
        assert [event["type"] for event in stage.get(f"{IT}/history?{query}")["items"]] == types, query


def test_filters_of_licenses(stage: Stage) -> None:
    """By customer, status and part of a name or id."""
    lapse(stage.ledger, reason=LapseReason.EXPIRED, license_id=OTHER_LICENSE)
    for query, ids in (
        ("customer_id=111122223333", [LICENSE]),
        ("status=active", [LICENSE]),
        ("status=lapsed", [OTHER_LICENSE]),
        ("q=agmt-other", [OTHER_LICENSE]),
        ("customer_id=1", []),
    ):
        assert [one["license_id"] for one in stage.get(f"/v1/licenses?{query}")["items"]] == ids, query


def test_cursors_that_are_not_of_this_list(stage: Stage) -> None:
    """Cut, made up, of other filters, of another call, license or key: 422, and the list begins without it."""
    stage.activate("Ada", "Grace", "Katherine")
    cursor = stage.get(f"{SEATS}?limit=1")["next"]
    assert stage.call("GET", f"{SEATS}?limit=2&cursor={cursor}").status == 200
    for path, key in (
        (f"{SEATS}?cursor={cursor[:-1]}", OPERATOR),
        (f"{SEATS}?cursor={cursor[:4]}", OPERATOR),
        (f"{SEATS}?cursor={cursor}A", OPERATOR),
        (f"{SEATS}?cursor=%00", OPERATOR),
        (f"{SEATS}?cursor=A", OPERATOR),
        (f"{SEATS}?status=active&cursor={cursor}", OPERATOR),
        (f"{IT}/history?cursor={cursor}", OPERATOR),
        (f"/v1/licenses/{OTHER_LICENSE}/seats?cursor={cursor}", OPERATOR),
        (f"{SEATS}?cursor={cursor}", ADMIN_OF_IT),
    ):
        answer = stage.call("GET", path, key=key)
        assert (answer.status, answer.json["code"]) == (422, "INVALID"), path
        assert set(answer.json["errors"]) == {"cursor"}


# -- moments -----------------------------------------------------------------------------------------------------------


def test_the_past_by_version_position_and_time(stage: Stage) -> None:
    """Each names the same moment, and the answer says which."""
    ada, _ = stage.activate("Ada", "Grace")
    for moment in (
        f"version={ada['license_version']}",
        f"position={ada['position']}",
        f"as_of={ada['activated_at']}",
        f"as_of={ada['activated_at'].removesuffix('Z')}%2B00:00",
        f"as_of={ada['activated_at'].removesuffix('Z').lower()}+00:00",
    ):
        then = stage.call("GET", f"{IT}?{moment}")
        assert then.status == 200, moment
        assert (then.json["seats_active"], then.json["position"]) == (1, ada["position"])
        assert (then.json["version"], then.json["as_of"]) == (ada["license_version"], ada["activated_at"])
    seats = stage.call("GET", f"{SEATS}?as_of={ada['activated_at']}").json
    assert [seat["user"] for seat in seats["items"]] == ["Ada"]
    assert (seats["position"], seats["as_of"]) == (ada["position"], ada["activated_at"])


def test_an_answer_about_the_present_moment_never_changes(stage: Stage) -> None:
    """What happens afterwards is recorded later than the moment that was asked for."""
    stage.clock.move(timedelta(hours=1))
    now = "2026-11-24T13:00:00Z"
    first = stage.call("GET", f"{IT}?as_of={now}").json
    stage.activate("Ada")
    assert stage.call("GET", f"{IT}?as_of={now}").json == first


def test_before_it_was_issued_there_was_no_license(stage: Stage) -> None:
    """404, as for one that does not exist."""
    answer = stage.call("GET", f"{IT}?as_of=1999-12-31T23:59:59Z")
    assert (answer.status, answer.json["code"]) == (404, "LICENSE_NOT_FOUND")


def test_a_decrease_is_seen_whole(stage: Stage) -> None:
    """A version inside an append answers for its end."""
    ada, _grace = stage.activate("Ada", "Grace")
    observe(stage.ledger, seats_max=1)
    inside = stage.call("GET", f"{IT}?version={ada['license_version'] + 2}").json
    assert (inside["seats_active"], inside["seats_max"]) == (0, 1)


def test_a_reader_waits_for_what_was_written(database: Path) -> None:
    """`min_position` of a command's answer shows its effect; one that does not come is 503."""
    with open_stage(database, settings=ApiSettings(secure_cookies=False, position_wait=BRIEFLY)) as stage:
        [ada] = stage.activate("Ada")
        stage.views.wait_for(ada["position"], timeout_seconds=10)
        assert stage.get(IT)["seats_active"] == 1
        for path in (IT, SEATS, "/v1/licenses", f"{IT}/history"):
            answer = stage.call("GET", f"{path}?min_position={ada['position'] + 1}")
            assert (answer.status, answer.json["code"]) == (503, "POSITION_NOT_REACHED")
            assert answer.json["position"] == ada["position"]
            assert answer.headers["Retry-After"]
