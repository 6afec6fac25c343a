"""Keys and programs that name a license which was folded into another one: they are answered from that one."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from api.sign_ins import SignIns
from ledger.license.events import KeyKind, LicenseId
from ledger.registration import Resolved
from tests.integration.api_stage import PRODUCT, SEATS, Stage, open_stage
from tests.integration.ledgers import issue
from tests.stories import ACCOUNT, CONTACT, LICENSE, MARKETPLACE, OTHER_LICENSE, PRODUCT_CODE

TWIN: Final = LicenseId("8c2e6f2c-75c7-4e6f-9f6d-2c6c419191f2")
TWIN_OF_TWIN: Final = LicenseId("9d3f7a3d-86d8-4f7a-8a7e-3d7d520202a3")
AGREEMENT_OF: Final = {TWIN: "agmt-of-the-renewal", TWIN_OF_TWIN: "agmt-of-the-renewal-after-it"}
BY_TWIN: Final = f"/v1/licenses/{TWIN}"


@pytest.fixture
def stage(database: Path) -> Iterator[Stage]:
    """Ada works under a license of two seats; AWS sold its renewal as another license, as nobody knew."""
    with open_stage(database, seats_max=2) as stage:
        issue(
            stage.ledger,
            seats_max=2,
            license_id=TWIN,
            names=((KeyKind.AGREEMENT, AGREEMENT_OF[TWIN]), ACCOUNT, PRODUCT),
        )
        stage.activate("Ada")
        yield stage


def issue_key(stage: Stage, *licenses: LicenseId, role: str = "client") -> str:
    """The operator gives out a key that lists licenses."""
    issued = stage.call("POST", "/v1/keys", {"name": "softphone", "role": role, "licenses": [*licenses]})
    assert issued.status == 201, issued.body
    key: str = issued.json["key"]
    return key


def fold(stage: Stage, twin: LicenseId = TWIN, *, into: LicenseId = LICENSE) -> None:
    """An operator says that the twin is the other one's renewal."""
    body = {"key": AGREEMENT_OF[twin], "reason": "private-renewal", "preview": False}
    answer = stage.call("POST", f"/v1/licenses/{into}/succession", body)
    assert (answer.status, answer.json["twin"]) == (200, twin), answer.body


def told(stage: Stage, method: str, path: str, *, key: str, user: str) -> tuple[str, str | None]:
    """What the client program is told: whether the user may work, and under which license."""
    query, body = (f"?user={user}", None) if method == "GET" else ("", {"user": user})
    answer = stage.call(method, path + query, body, key=key)
    assert answer.status == 200, answer.body
    return answer.json["code"], answer.json["license_id"]


@pytest.mark.parametrize("prefix", ["/v1", BY_TWIN, f"/v1/licenses/{LICENSE}"])
def test_a_client_key_that_names_the_twin_goes_on_letting_its_users_work(stage: Stage, prefix: str) -> None:
    """Without a license in the question, by the twin's id, and by the id that the answer names."""
    key = issue_key(stage, TWIN)
    fold(stage)
    assert told(stage, "GET", f"{prefix}/access", key=key, user="Ada") == ("ALLOWED", LICENSE)
    assert told(stage, "GET", f"{prefix}/access", key=key, user="Grace") == ("NO_SEAT", LICENSE)
    assert told(stage, "POST", f"{prefix}/sign-ins", key=key, user="Grace") == ("ALLOWED", LICENSE)
    assert told(stage, "POST", f"{prefix}/sign-ins", key=key, user="Katherine") == ("NO_SEAT_FREE", LICENSE)
    assert stage.get(f"/v1/licenses/{LICENSE}")["seats_active"] == 2


def test_a_key_that_lists_the_twin_among_others_chooses_among_those_that_are_left(stage: Stage) -> None:
    """Each is looked at once, whether the license in the twin's place is listed too or not."""
    without, with_both = issue_key(stage, OTHER_LICENSE, TWIN), issue_key(stage, LICENSE, TWIN)
    fold(stage)
    for key in (without, with_both):
        assert told(stage, "POST", "/v1/sign-ins", key=key, user="Ada") == ("ALLOWED", LICENSE)


def test_a_twin_of_a_twin_is_followed_to_the_end(stage: Stage) -> None:
    """Links that became known the later one first."""
    key = issue_key(stage, TWIN_OF_TWIN)
    names = ((KeyKind.AGREEMENT, AGREEMENT_OF[TWIN_OF_TWIN]), ACCOUNT, PRODUCT)
    issue(stage.ledger, seats_max=2, license_id=TWIN_OF_TWIN, names=names)
    fold(stage, TWIN_OF_TWIN, into=TWIN)
    assert told(stage, "GET", "/v1/access", key=key, user="Ada") == ("NO_SEAT", TWIN)
    body = {"key": AGREEMENT_OF[TWIN_OF_TWIN], "reason": "private-renewal", "preview": False}
    assert stage.call("POST", f"/v1/licenses/{LICENSE}/succession", body).json["twin"] == TWIN
    for prefix in ("/v1", *(f"/v1/licenses/{one}" for one in (TWIN_OF_TWIN, TWIN, LICENSE))):
        path = f"{prefix}/access"
        assert told(stage, "GET", path, key=key, user="Ada") == ("ALLOWED", LICENSE)


def test_a_key_reaches_no_other_license_because_of_a_twin(stage: Stage) -> None:
    """What it did not list and what did not take up a license of its list is not there for it."""
    of_twin, of_other = issue_key(stage, TWIN), issue_key(stage, OTHER_LICENSE)
    assert stage.call("GET", f"/v1/licenses/{LICENSE}/access?user=Ada", key=of_twin).status == 404
    fold(stage)
    for key, license_id in ((of_twin, OTHER_LICENSE), (of_other, LICENSE), (of_other, TWIN)):
        refused = stage.call("GET", f"/v1/licenses/{license_id}/access?user=Ada", key=key)
        assert (refused.status, refused.json["code"]) == (404, "LICENSE_NOT_FOUND")


def test_an_administrator_of_the_twin_looks_after_the_license_in_its_place(stage: Stage) -> None:
    """By either id: seats are listed, taken, blocked, unblocked, deleted and previewed."""
    key = issue_key(stage, TWIN, role="admin")
    fold(stage)
    listed = stage.get("/v1/licenses", key=key)["items"]
    assert [one["license_id"] for one in listed] == [LICENSE]
    taken = stage.call("POST", f"{BY_TWIN}/seats", {"user": "Grace"}, key=key)
    seat: dict[str, Any] = taken.json
    assert (taken.status, seat["license_id"]) == (201, LICENSE)
    assert taken.headers["Location"] == f"{SEATS}/{seat['seat_id']}"
    assert stage.call("POST", f"{BY_TWIN}/preview", {"seats_max": 1}, key=key).json["users"] == ["Ada", "Grace"]
    for prefix in (f"{BY_TWIN}/seats", SEATS):
        assert [one["user"] for one in stage.get(prefix, key=key)["items"]] == ["Ada", "Grace"]
        assert stage.get(f"{prefix}/{seat['seat_id']}", key=key)["user"] == "Grace"
    blocked = stage.call("POST", f"{BY_TWIN}/blocks", {"user": "Grace", "reason": "left"}, key=key)
    assert (blocked.status, blocked.json["seat_id"]) == (200, seat["seat_id"])
    of_seat = f"{BY_TWIN}/seats/{seat['seat_id']}"
    assert stage.call("POST", f"{of_seat}/unblock", key=key).json["status"] == "inactive"
    changes = {"changes": [{"user": "Katherine", "change": "activate"}, {"user": "Ada", "change": "delete"}]}
    results = stage.call("POST", f"{BY_TWIN}/seat-changes", changes, key=key).json["results"]
    assert [(one["status"], one["seat"]["license_id"]) for one in results] == [(201, LICENSE), (200, LICENSE)]


def test_the_twin_still_tells_where_it_went(stage: Stage) -> None:
    """License Information and history are its own, and no list has it; the past of its seats stays empty."""
    key = issue_key(stage, TWIN, role="auditor")
    stage.clock.move(timedelta(minutes=1))
    before = stage.clock().isoformat().replace("+00:00", "Z")
    stage.clock.move(timedelta(minutes=1))
    fold(stage)
    information = stage.get(BY_TWIN, key=key)
    assert (information["license_id"], information["status"], information["folded_into"]) == (TWIN, "folded", LICENSE)
    types = [event["type"] for event in stage.get(f"{BY_TWIN}/history", key=key)["items"]]
    assert types[0] == "license.license-folded"
    assert stage.call("GET", f"{BY_TWIN}/seats?as_of={before}", key=key).json["items"] == []


def test_an_answer_from_before_the_folding_is_repeated_and_one_after_it_too(stage: Stage) -> None:
    """An Idempotency-Key is answered from the license that answered it first."""
    of_nobody = f"{BY_TWIN}/seats/0a7e0000-0000-4000-8000-000000000003"
    early, late = {"Idempotency-Key": "early"}, {"Idempotency-Key": "late"}
    first = stage.call("DELETE", of_nobody, headers=early)
    assert (first.status, first.json["code"]) == (404, "SEAT_NOT_FOUND")
    fold(stage)
    again = stage.call("DELETE", of_nobody, headers=early)
    assert (again.status, again.json["code"]) == (404, "SEAT_NOT_FOUND")
    taken, repeated = (stage.call("POST", f"{BY_TWIN}/seats", {"user": "Grace"}, headers=late) for _ in range(2))
    assert (repeated.status, repeated.json) == (taken.status, taken.json)
    assert repeated.json["license_id"] == LICENSE


def test_whoever_registers_meanwhile_registers_the_license_in_the_twins_place(stage: Stage) -> None:
    """The form was opened before the link was known and is sent after it."""
    sign_ins = SignIns(stage.ledger)
    resolved = Resolved(
        license_id=TWIN, customer_id=ACCOUNT[1], product_code=PRODUCT_CODE, seats_max=None, renews_at=None
    )
    registration = sign_ins.keep_registration(resolved, cause="request")
    fold(stage)
    registrant = sign_ins.registrant(registration)
    assert registrant is not None
    assert registrant.license_id == LICENSE
    stage.ledger.companies.register(TWIN, company_name="Analytical Engines", contact=CONTACT, caller=MARKETPLACE)
    assert stage.get(f"/v1/licenses/{LICENSE}")["company_name"] == "Analytical Engines"


def test_a_session_by_a_key_of_the_twin_opens_the_license_in_its_place(stage: Stage) -> None:
    """And is listed among those of that license, where it can be ended."""
    sign_ins = SignIns(stage.ledger)
    session = sign_ins.sign_in_with_key(issue_key(stage, TWIN, role="admin"))
    fold(stage)
    principal = sign_ins.find(session)
    assert principal is not None
    assert (principal.names(TWIN), principal.names(LICENSE), principal.names(OTHER_LICENSE)) == (True, True, False)
    listed = sign_ins.of_license(LICENSE, customer_ids=(ACCOUNT[1],), products=(PRODUCT[1], PRODUCT_CODE))
    assert [one.sign_in_id for one in listed] == [sign_ins.id_of(session)]


def test_what_follows_behind_a_twin_is_said_of_the_license_in_its_place(stage: Stage) -> None:
    """An operator who names the twin is told which license that is."""
    fold(stage)
    body = {"key": "agmt-of-the-next-renewal", "reason": "private-renewal"}
    refused = stage.call("POST", f"{BY_TWIN}/succession", body)
    assert (refused.status, refused.json["code"]) == (404, "LICENSE_NOT_FOUND")
    assert LICENSE in refused.json["detail"]
