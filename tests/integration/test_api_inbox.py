"""The inbox over HTTP: for operators, page by page, and what begins anew."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.v1 import schemas
from ledger.inbox import MessageStatus
from tests.integration.consumers_stage import ANALYTICAL_ENGINES
from tests.integration.inbox_story import GARBAGE, Night, open_night
from tests.integration.ledgers import url_of

if TYPE_CHECKING:
    from marshmallow import Schema
    from werkzeug.test import TestResponse

AS_POSTED = (("POST", "/v1/inbox/1/retry"), ("POST", "/v1/inbox/1/dismiss"))
UNKNOWN_LICENSE = "7b1d5f1b-64b6-4d5f-8e5c-1b5b308080e1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """The HTTP door in a night of AWS Marketplace."""

    night: Night

    def call(
        self, method: str, path: str, *, key: str = "operator", body: object = None, **headers: str
    ) -> "TestResponse":
        """Send one request, with a body as JSON."""
        sent = {"Authorization": f"Bearer {self.night.keys[key]}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.night.app.test_client().open(path, method=method, headers=sent, json=body)

    def get(self, path: str) -> Any:  # noqa: ANN401 -- whatever the interface answers
        """Read something that is there."""
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    def listed(self, query: str = "") -> list[Any]:
        """The items of a list."""
        items: list[Any] = self.get(f"/v1/inbox?{query}")["items"]
        return items

    def dismiss(self, number: int, **body: object) -> "TestResponse":
        """Say that nobody need look at a message, which is none of AWS's if nothing else is said."""
        return self.call("POST", f"/v1/inbox/{number}/dismiss", body={"reason": "not-from-aws", **body})


@contextmanager
def opened(database: Path) -> Iterator[Door]:
    """The door over a ledger and its views in this database."""
    beside = database if url_of(database).sqlite_path is None else database.with_stem("views")
    with open_night(url_of(database), views_url=url_of(beside)) as night:
        yield Door(night=night)


@pytest.fixture(scope="module")
def door(module_database: Path) -> Iterator[Door]:
    """A night that tests read and leave as it is."""
    with opened(module_database) as door:
        yield door


@pytest.fixture
def own_door(database: Path) -> Iterator[Door]:
    """A night in which a test may do something."""
    with opened(database) as door:
        yield door


def test_messages_are_listed_newest_first_with_what_became_of_them(door: Door) -> None:
    """In words, and by a status that programs go by."""
    listed = door.listed()
    assert [one["number"] for one in listed] == sorted((one["number"] for one in listed), reverse=True)
    newest = {one["status"]: one for one in reversed(listed)}
    failed = newest["failed"]
    assert failed["reason"] == "The message is not JSON."
    assert failed["says"] == f'It is no message of AWS Marketplace. It begins with "{GARBAGE}".'
    assert (failed["kind"], failed["license_id"], failed["needs_look"]) == (None, None, True)
    parked = newest["parked"]
    assert (parked["agreement_id"], parked["license_id"], parked["needs_look"]) == ("agmt-of-nobody", None, True)
    assert parked["parked_at"].startswith("2026-11-24T13:00")
    waiting = newest["waiting"]
    assert waiting["reason"] == "A row of a dimension that counts users has a negative number."
    assert (waiting["kind"], waiting["needs_look"]) == ("license-updated", False)
    assert waiting["due_at"] > waiting["received_at"]
    assert newest["repeated"]["reason"] == "Another message told of the same event before."
    assert newest["ignored"]["reason"] == "The product is not one of those that this ledger serves."


def test_what_aws_says_is_told_with_its_times(door: Door) -> None:
    """Programs get a sentence of plain text."""
    [ending] = door.listed("q=5eed0000-0000-4000-8000-000000000001")
    assert ending["says"].startswith("180 days' notice: agreement agmt-")
    assert ending["says"].endswith("ends on 2027-05-31T23:59:59Z and does not renew by itself.")
    assert (ending["status"], ending["license_id"]) == ("ignored", door.night.license_id)


def test_a_message_is_shown_with_its_events_and_its_reading(door: Door) -> None:
    """As it came, with the events as the history has them, and AWS's rows as answered."""
    done = door.listed(f"status=done&kind=license-updated&license_id={door.night.license_id}")[0]
    shown = door.get(f"/v1/inbox/{done['number']}")
    assert {name: shown[name] for name in done} == done
    assert json.loads(shown["body"])["id"] == shown["message_id"]
    assert shown["repeats"] == 1
    first, last = shown["events"]
    assert (first["type"], last["type"]) == ("license.renewal-announced", "license.seat-limit-raised")
    assert (shown["first_position"], shown["last_position"]) == (first["position"], last["position"])
    assert first["cause"] == last["cause"] == shown["message_id"]
    assert shown["reading"]["outcome"] == "observed"
    [row] = shown["reading"]["rows"]
    assert (row["Dimension"], row["Value"]) == ("users", {"IntegerValue": 25})


def test_documents_have_the_members_that_are_described(own_door: Door) -> None:
    """Answers look as their schemas say."""
    page = own_door.get("/v1/inbox?status=failed")
    done = own_door.get("/v1/inbox?status=done")["items"][0]
    in_full = own_door.get(f"/v1/inbox/{done['number']}")
    retried = own_door.call("POST", f"/v1/inbox/{page['items'][0]['number']}/retry").get_json()
    dismissed = own_door.dismiss(page["items"][1]["number"]).get_json()
    shown: list[tuple[Any, type[Schema]]] = [
        (page, schemas.MessagePage),
        (page["items"][0], schemas.Message),
        (in_full, schemas.MessageInFull),
        (in_full["reading"], schemas.MessageReading),
        (retried, schemas.Message),
        (dismissed, schemas.Message),
        (dismissed["dismissal"], schemas.Dismissal),
    ]
    for document, schema in shown:
        assert set(document) == set(schema().fields), schema.__name__


def test_messages_are_found_by_what_they_are_about(door: Door) -> None:
    """By status, kind, license, the beginning of their id, and the time of their receipt."""
    everything = door.listed()
    license_id = door.night.license_id
    for query, fits in (
        ("status=failed", lambda one: one["status"] == "failed"),
        ("kind=license-updated", lambda one: one["kind"] == "license-updated"),
        (f"license_id={license_id}", lambda one: one["license_id"] == license_id),
        (
            f"license_id={license_id}&status=ignored",
            lambda one: (one["license_id"], one["status"]) == (license_id, "ignored"),
        ),
        ("q=5eed0000-0000-4000-8000-00000000000", lambda one: one["message_id"].startswith("5eed")),
        (
            "q=4e90e570-0000-4000-8000-000000000004",
            lambda one: one["request_id"] == "4e90e570-0000-4000-8000-000000000004",
        ),
        ("q=agmt-of-nobody", lambda one: one["agreement_id"] == "agmt-of-nobody"),
        (f"q={license_id}", lambda one: one["license_id"] == license_id),
        (f"q={ANALYTICAL_ENGINES}&status=done", lambda one: (one["license_id"], one["status"]) == (license_id, "done")),
        ("since=2026-11-25T00:00:00Z", lambda one: one["received_at"] >= "2026-11-25"),
        ("until=2026-11-25T00:00:00Z", lambda one: one["received_at"] < "2026-11-25"),
    ):
        found = door.listed(query)
        assert found == [one for one in everything if fits(one)], query
        assert 0 < len(found) < len(everything), query
    assert door.listed("q=") == everything
    assert door.listed(f"license_id={UNKNOWN_LICENSE}") == []


@pytest.mark.parametrize(
    "query",
    [
        *("status=new", "license_id=1", "kind=", "since=today", "q=%00&q=1", "cursor=abc", "limit=0", "sung=1"),
        *("q=%00", "kind=license%00"),
    ],
)
def test_what_is_no_filter_is_refused(door: Door, query: str) -> None:
    """With the field's name."""
    answer = door.call("GET", f"/v1/inbox?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "INVALID")
    assert list(answer.get_json()["errors"]) == [query.partition("=")[0]]


def test_the_list_goes_from_page_to_page(door: Door) -> None:
    """Nothing is left out, nothing comes twice, and a cursor is for its list alone."""
    numbers: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = door.get(f"/v1/inbox?limit=4{cursor}")
        numbers += [one["number"] for one in page["items"]]
        cursor = page["next"] and f"&cursor={page['next']}"
    assert numbers == [one["number"] for one in door.listed()]
    of_all = door.get("/v1/inbox?limit=1")["next"]
    assert door.call("GET", f"/v1/inbox?status=failed&cursor={of_all}").status_code == 422


@pytest.mark.parametrize("status", ["failed", "parked", "ignored"])
def test_what_did_not_go_on_begins_anew(own_door: Door, status: str) -> None:
    """It waits to be looked at; whoever works the inbox off comes to the same, as long as nothing was mended."""
    before = own_door.listed(f"status={status}")[0]
    answer = own_door.call("POST", f"/v1/inbox/{before['number']}/retry")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "waiting")
    assert answer.get_json()["reason"] == "It is looked at next."
    own_door.night.stage.consume()
    after = own_door.get(f"/v1/inbox/{before['number']}")
    assert (after["status"], after["license_id"]) == (status, before["license_id"])
    assert after["reason"]


def test_what_waits_does_not_begin_anew(door: Door) -> None:
    """409, and the answer says how it stands; the same for what is done or was told before."""
    for status in ("waiting", "done", "repeated"):
        [message, *_] = door.listed(f"status={status}")
        answer = door.call("POST", f"/v1/inbox/{message['number']}/retry").get_json()
        assert (answer["status"], answer["code"], answer["message_status"]) == (409, "NOTHING_TO_RETRY", status)


@pytest.mark.parametrize("number", ["0", "777", "9007199254740991", "9999999999999999", "00", "-1", "x", "1.0", "٣"])
def test_a_message_that_is_not_there(door: Door, number: str) -> None:
    """404, whatever is asked of it."""
    asked = [door.call("GET", f"/v1/inbox/{number}"), door.call("POST", f"/v1/inbox/{number}/retry")]
    for answer in (*asked, door.call("POST", f"/v1/inbox/{number}/dismiss", body={"reason": "test"})):
        assert (answer.status_code, answer.get_json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("key", ["admin", "auditor"])
def test_only_an_operator_sees_the_inbox(door: Door, key: str) -> None:
    """Others read what was recorded; messages are the operator's."""
    for method, path in (("GET", "/v1/inbox"), ("GET", "/v1/inbox/1"), *AS_POSTED):
        assert door.call(method, path, key=key).get_json()["code"] == "FORBIDDEN"


@pytest.mark.parametrize("header", ["Idempotency_Key", "If_Match"])
def test_a_retry_takes_no_promise_that_it_can_not_keep(door: Door, header: str) -> None:
    """A second retry is refused anyway, since the message waits by then."""
    [failed, *_] = door.listed("status=failed")
    answer = door.call("POST", f"/v1/inbox/{failed['number']}/retry", **{header: "1"})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [header.replace("_", "-")])


def test_the_inbox_is_counted_in_the_metrics(own_door: Door) -> None:
    """By status, and what is parked or waits for more than a day; what was dismissed by itself."""
    own_door.dismiss(own_door.listed("status=failed")[0]["number"])
    counted = own_door.call("GET", "/metrics").text
    for status in MessageStatus:
        number = len(own_door.listed(f"status={status}"))
        assert number > 0
        assert f'ledger_inbox_messages{{status="{status}"}} {number}.0' in counted
    assert "ledger_inbox_parked_long 1.0" in counted
    assert "ledger_inbox_waiting_long 0.0" in counted
    own_door.night.stage.clock.move(timedelta(days=2))
    counted = own_door.call("GET", "/metrics").text
    assert f"ledger_inbox_waiting_long {len(own_door.listed('status=waiting'))}.0" in counted


def test_every_status_is_described(door: Door) -> None:
    """Programs read the list of them in `/openapi.json`."""
    described = door.get("/openapi.json")["components"]["schemas"]["Message"]["properties"]["status"]["enum"]
    assert described == [status.value for status in MessageStatus]


# -- dismissing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["failed", "parked"])
def test_what_nobody_need_look_at_is_dismissed_and_stays(own_door: Door, status: str) -> None:
    """With who said it, when and why, beside what was wrong; listed, and counted no more."""
    before = own_door.listed(f"status={status}")[0]
    need_look = len([one for one in own_door.listed() if one["needs_look"]])
    answer = own_door.dismiss(before["number"], note="Somebody's health check.")
    assert answer.status_code == 200
    dismissed = answer.get_json()
    dismissal = dismissed["dismissal"]
    assert (dismissal["reason"], dismissal["note"]) == ("not-from-aws", "Somebody's health check.")
    assert dismissal["actor"]["role"] == "operator"
    assert dismissal["actor"]["id"].startswith("key-")
    assert dismissal["dismissed_at"].startswith("2026-11-26T")
    expected = {"status": "dismissed", "needs_look": False, "dismissal": dismissal}
    assert dismissed == {**before, **expected}
    assert own_door.listed("status=dismissed") == [dismissed]
    assert before["number"] not in [one["number"] for one in own_door.listed(f"status={status}")]
    assert len([one for one in own_door.listed() if one["needs_look"]]) == need_look - 1
    again = own_door.dismiss(before["number"], reason="test").get_json()
    assert again == dismissed


def test_a_dismissed_message_that_is_retried_counts_afresh(own_door: Door) -> None:
    """Nothing was mended: it fails as before, and somebody is to look again."""
    [failed, *_] = own_door.listed("status=failed")
    own_door.dismiss(failed["number"])
    retried = own_door.call("POST", f"/v1/inbox/{failed['number']}/retry").get_json()
    assert (retried["status"], retried["dismissal"]) == ("waiting", None)
    own_door.night.stage.consume()
    assert own_door.get(f"/v1/inbox/{failed['number']}")["needs_look"]
    assert own_door.listed("status=dismissed") == []


def test_what_asks_for_nothing_is_not_dismissed(door: Door) -> None:
    """409, and the answer says how it stands."""
    for status in ("waiting", "done", "repeated", "ignored"):
        [message, *_] = door.listed(f"status={status}")
        answer = door.dismiss(message["number"]).get_json()
        assert (answer["status"], answer["code"], answer["message_status"]) == (409, "NOTHING_TO_DISMISS", status)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": None}, "reason"),
        ({"reason": "because"}, "reason"),
        ({"note": "n" * 501}, "note"),
        ({"note": "\u202e"}, "note"),
        ({"who": "me"}, "who"),
    ],
)
def test_a_dismissal_that_can_not_be_understood_is_refused_field_by_field(
    door: Door, body: dict[str, object], field: str
) -> None:
    """And nothing changes."""
    [failed, *_] = door.listed("status=failed")
    answer = door.dismiss(failed["number"], **body)
    assert (answer.status_code, [*answer.get_json()["errors"]]) == (422, [field])
    assert door.get(f"/v1/inbox/{failed['number']}")["status"] == "failed"
