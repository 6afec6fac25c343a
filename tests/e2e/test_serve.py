"""`licensing-ledger serve` as an operator meets it: starting, stopping, and when something is wrong."""

import re
import resource
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.composed import OPERATOR_KEY, Ledgers, Served, wait_for
from tests.e2e.stories import buy, get_information


def test_it_begins_with_one_sample_customer(composed: Ledgers) -> None:
    """With the sandbox, a new ledger has one customer with users, and says how to sign in."""
    served = composed.serve("--sandbox", "--sandbox-port", "0")
    wait_for(lambda: "A sample customer is there" in served.log.read_text(), what="the sample customer")
    (information,) = served.licenses()
    assert information["company_name"] == "Analytical Engines Ltd"
    assert (information["seats_max"], information["seats_active"], information["seats_blocked"]) == (5, 4, 1)
    assert information["status"] == "active"
    actors = {
        event["type"]: event["actor"]["role"]
        for event in served.call("GET", f"/v1/licenses/{information['license_id']}/history").json["items"]
    }
    assert actors["license.subscription-started"] == "marketplace"
    assert actors["license.seat-activated"] == "client"
    assert re.search(r"/sign-in/link\?token=\S+", served.log.read_text())
    assert served.stop() == 0


def test_it_goes_on_where_it_stopped(composed: Ledgers) -> None:
    """Started again, the ledger and its sandbox have what they had, and no second sample customer."""
    first = composed.serve("--sandbox", "--sandbox-port", "0")
    wait_for(lambda: "A sample customer is there" in first.log.read_text(), what="the sample customer")
    before = first.licenses()
    contracts = first.control("GET", "/sandbox/contracts").json
    assert first.stop() == 0
    again = composed.serve("--sandbox", "--sandbox-port", "0")
    assert [one["license_id"] for one in again.licenses()] == [one["license_id"] for one in before]
    assert again.control("GET", "/sandbox/contracts").json == contracts
    assert again.stop() == 0


def test_the_first_operator_key_is_in_a_file_of_its_owner(composed: Ledgers) -> None:
    """Without LEDGER_ADMIN_KEY a key is made once, in a file that nobody else can read, and it opens the interface."""
    served = composed.serve(LEDGER_ADMIN_KEY="")
    path = composed.folder / "ledger.admin-key"
    assert str(path) in served.log.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    secret = path.read_text().strip()
    assert secret not in served.log.read_text()
    assert served.call("GET", "/v1/keys", key=secret).status == 200
    assert served.stop() == 0
    assert composed.serve(LEDGER_ADMIN_KEY="").call("GET", "/v1/keys", key=secret).status == 200
    assert path.read_text().strip() == secret


def test_a_second_serve_on_the_same_file_is_refused(composed: Ledgers) -> None:
    """The second one ends with one line and exit code 1; the first goes on, and other commands may run beside it."""
    served = composed.serve()
    second = composed.run("serve")
    assert second.returncode == 1
    assert len(second.stderr.strip().splitlines()) == 1
    assert "Another `licensing-ledger serve`" in second.stderr
    assert composed.run("keys", "list").returncode == 0
    assert composed.run("project", "status").returncode == 0
    assert served.call("GET", "/healthz/live").status == 200


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("LEDGER_PORT", "eighty"),
        ("LEDGER_THREADS", "0"),
        ("LEDGER_EXPIRY_GRACE", "three days"),
        ("LEDGER_EXPIRY_GRACE", "-P1D"),
        ("LEDGER_RECHECK", "PT0S"),
        ("LEDGER_INBOX_RETENTION", "P14D"),
        ("LEDGER_DATABASE_URL", "mysql://ledger"),
        ("LEDGER_LOG_LEVEL", "loud"),
        ("LEDGER_SQS_QUEUE_URL", "my-queue"),
        ("LEDGER_ADMIN_KEY", "short"),
        ("LEDGER_TRUSTED_PROXY", "our-proxy"),
    ],
)
def test_a_wrong_setting_is_one_line(composed: Ledgers, setting: str, value: str) -> None:
    """The line names the setting and says what it should be; a secret is not repeated; the exit code is 2."""
    ended = composed.run("serve", **{setting: value})
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert setting in line
    assert "has to be" in line
    assert value not in line or setting != "LEDGER_ADMIN_KEY"


def test_consuming_without_its_settings_is_one_line(composed: Ledgers) -> None:
    """The line names the setting that is missing; the exit code is 2."""
    ended = composed.run("consume", "sqs")
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert "LEDGER_SQS_QUEUE_URL is not set" in line


def test_a_file_that_is_no_database_is_one_line(composed: Ledgers) -> None:
    """The line names the file; it is left as it was."""
    path = composed.folder / "ledger.db"
    path.write_text("Dear diary, " * 100)
    ended = composed.run("serve")
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert str(path) in line
    assert path.read_text().startswith("Dear diary")


def test_a_full_disk_is_said_and_survived(composed: Ledgers) -> None:
    """While nothing can be written, no answer claims success and readiness says so; with room again, it goes on."""
    served = composed.serve("--sandbox", "--sandbox-port", "0")
    _, license_id = buy(served, account="210987654321", seats=5)
    path = f"/v1/licenses/{license_id}/seats"
    largest = max(file.stat().st_size for file in composed.folder.glob("*.db*"))
    _limit_files(served, largest // 4)
    refused = served.call("POST", path, {"user": "Ada"})
    assert (refused.status, refused.json["code"]) == (503, "UNAVAILABLE")
    ready = served.call("GET", "/healthz/ready", key=None)
    assert ready.status == 503
    assert "database" in ready.body.decode()
    assert get_information(served, license_id)["seats_active"] == 0

    _limit_files(served, resource.RLIM_INFINITY)
    assert served.call("POST", path, {"user": "Ada"}).status == 201
    wait_for(lambda: served.call("GET", "/healthz/ready", key=None).status == 200, what="readiness")
    assert served.stop() == 0


def _limit_files(served: Served, size: int) -> None:
    """Let no file of the process grow beyond a size, as on a full disk."""
    resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_what_was_answered_as_of_a_time_stays(composed: Ledgers) -> None:
    """An answer about the past is the same later, also when it was asked for while more was recorded."""
    served = composed.serve("--sandbox", "--sandbox-port", "0")
    _, license_id = buy(served, account="210987654321", seats=100)
    answers = {}
    for number in range(50):
        activated = served.call("POST", f"/v1/licenses/{license_id}/seats", {"user": f"user {number}"})
        assert activated.status == 201
        head = served.call("GET", f"/v1/licenses/{license_id}?min_position={activated.json['position']}").json
        asked = served.call("GET", f"/v1/licenses/{license_id}?as_of={head['as_of']}")
        assert asked.status == 200, asked.body
        answers[head["as_of"]] = asked.json
    for as_of, answer in answers.items():
        assert served.call("GET", f"/v1/licenses/{license_id}?as_of={as_of}").json == answer
    assert [answer["seats_active"] for answer in answers.values()] == list(range(1, 51))
    assert served.stop() == 0


def test_history_and_keys_on_the_command_line(composed: Ledgers) -> None:
    """An auditor reads who lost a seat; a key is shown once and can be taken back."""
    served = composed.serve("--sandbox", "--sandbox-port", "0")
    agreement_id, license_id = buy(served, account="210987654321", seats=1)
    assert served.call("POST", f"/v1/licenses/{license_id}/seats", {"user": "Ada"}).status == 201
    assert served.control("POST", f"/sandbox/contracts/{agreement_id}/seats", {"seats": 0}).status == 200
    wait_for(lambda: get_information(served, license_id)["seats_active"] == 0, what="the decrease")
    told = composed.run("history", license_id, "--user", "ADA", "--json")
    assert told.returncode == 0, told.stderr
    assert '"type": "license.seat-activated"' in told.stdout.splitlines()[0]
    assert '"reason": "limit-lowered"' in told.stdout.splitlines()[1]
    assert composed.run("history", "6f0c2b1e-2f5d-4a63-9d0c-0d6c1f6f7a10").returncode == 1
    assert composed.run("history", "nonsense").returncode == 2

    made = composed.run("keys", "create", "auditors", "--role", "auditor")
    key_id, secret = made.stdout.split()[0], made.stdout.split()[-1]
    assert served.call("GET", f"/v1/licenses/{license_id}", key=secret).status == 200
    assert secret not in composed.run("keys", "list", "--json").stdout
    assert composed.run("keys", "revoke", key_id).returncode == 0
    assert served.call("GET", f"/v1/licenses/{license_id}", key=secret).status == 401
    assert composed.run("keys", "revoke", "key-unknown").returncode == 1


def test_views_are_rebuilt_on_the_command_line(composed: Ledgers) -> None:
    """After the views' file is lost, `project rebuild` makes the same answers from the events."""
    served = composed.serve("--sandbox", "--sandbox-port", "0")
    _, license_id = buy(served, account="210987654321", seats=5)
    assert served.call("POST", f"/v1/licenses/{license_id}/seats", {"user": "Ada"}).status == 201
    wait_for(lambda: get_information(served, license_id)["seats_active"] == 1, what="the view")
    before = get_information(served, license_id) | {"as_of": None}
    assert served.stop() == 0
    for file in composed.folder.glob("ledger.views.db*"):
        file.unlink()
    rebuilt = composed.run("project", "rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert composed.run("project", "run", "--once").returncode == 0
    again = composed.serve(LEDGER_BLIND_WAIT="PT0S")
    assert get_information(again, license_id) | {"as_of": None, "position": before["position"]} == before
    assert again.stop() == 0


@pytest.mark.parametrize("is_trusted", [True, False], ids=["trusted", "not trusted"])
def test_a_proxy_is_believed_only_where_it_is_trusted(composed: Ledgers, *, is_trusted: bool) -> None:
    """Behind a trusted proxy each caller's knocks are counted; what anybody else says of itself is ignored."""
    settings = {"LEDGER_TRUSTED_PROXY": "127.0.0.1"} if is_trusted else {}
    served = composed.serve(**settings)
    statuses = [
        served.call("POST", "/marketplace/register", key=None, headers={"X-Forwarded-For": f"192.0.2.{number}"}).status
        for number in range(1, 30)
    ]
    assert (429 in statuses) is not is_trusted
    assert served.stop() == 0


def test_no_secret_is_kept_in_the_clear(composed: Ledgers) -> None:
    """Neither the operator's key nor one given out stands in a database file or a log."""
    served = composed.serve(LEDGER_LOG_LEVEL="debug")
    made = served.call("POST", "/v1/keys", {"name": "audit", "role": "auditor"})
    assert made.status == 201
    assert served.call("GET", "/v1/licenses", key=made.json["key"]).status == 200
    assert served.call("GET", "/v1/licenses", key="a-key-that-is-none").status == 401
    assert served.stop() == 0
    _checkpoint(composed.folder / "ledger.db")
    for file in (path for path in composed.folder.iterdir() if path.is_file()):
        held = file.read_bytes()
        assert made.json["key"].encode() not in held, file
        assert OPERATOR_KEY.encode() not in held, file


def _checkpoint(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
