"""An operator says what follows behind a license, over HTTP and on the command line."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from commands.main import USAGE
from ledger.license.events import KeyKind, LicenseId
from tests.integration.api_stage import ADMIN_OF_IT, AUDITOR, CLIENT_OF_IT, OPERATOR, PRODUCT, Stage, open_stage
from tests.integration.ledgers import issue, url_of
from tests.stories import ACCOUNT, AGREEMENT, LICENSE, OTHER_LICENSE

PATH: Final = f"/v1/licenses/{LICENSE}/succession"
TWIN: Final = LicenseId("8c2e6f2c-75c7-4e6f-9f6d-2c6c419191f2")
SOMEBODY_ELSES: Final = LicenseId("9d3f7f3d-86d8-4f7f-8e7e-3d7d520202e3")
NOBODY: Final = "6f0c0c0c-0000-4000-8000-000000000001"
FOLLOWS: Final = "agmt-of-the-private-renewal"


@pytest.fixture
def stage(database: Path) -> Iterator[Stage]:
    """Ada's and Grace's company renewed in private: AWS shows a second license, which is not linked to theirs."""
    with open_stage(database) as stage:
        issue(stage.ledger, seats_max=4, license_id=TWIN, names=((KeyKind.AGREEMENT, FOLLOWS), ACCOUNT, PRODUCT))
        stage.activate("Ada", "Grace")
        yield stage


def ask(stage: Stage, *, caller: str = OPERATOR, **body: object) -> tuple[int, Any]:
    """Call it; what is not said is a preview of the private renewal."""
    answer = stage.call("POST", PATH, {"key": FOLLOWS, "reason": "private-renewal", **body}, key=caller)
    return answer.status, answer.json


def test_a_preview_tells_and_does_nothing(stage: Stage) -> None:
    """That is what happens if nothing is said."""
    position = stage.ledger.head().position
    status, plan = ask(stage)
    assert status == 200
    assert (plan["done"], plan["follows_already"], plan["twin"]) == (False, False, TWIN)
    assert (plan["agreement_id_before"], plan["agreement_id_after"]) == (AGREEMENT[1], FOLLOWS)
    assert stage.ledger.head().position == position


def test_the_license_goes_on_and_its_twin_is_in_no_list(stage: Stage) -> None:
    """The users keep their seats; the twin tells where it went."""
    status, plan = ask(stage, preview=False)
    assert (status, plan["done"]) == (200, True)
    listed = [one["license_id"] for one in stage.get("/v1/licenses")["items"]]
    assert sorted(listed) == sorted([LICENSE, OTHER_LICENSE])
    goes_on = stage.get(f"/v1/licenses/{LICENSE}")
    assert (goes_on["agreement_id"], goes_on["seats_active"]) == (FOLLOWS, 2)
    twin = stage.get(f"/v1/licenses/{TWIN}")
    assert (twin["status"], twin["folded_into"]) == ("folded", LICENSE)
    joined = stage.call("POST", f"/v1/licenses/{TWIN}/seats", {"user": "Joan"})
    assert (joined.status, joined.json["license_id"]) == (201, LICENSE)
    assert ask(stage, preview=False)[1]["follows_already"]


def test_the_history_tells_who_decided_and_why(stage: Stage) -> None:
    """An operator, for a reason that is one of four."""
    ask(stage, preview=False)
    events = stage.get(f"/v1/licenses/{LICENSE}/history?type=license.succession-decided")["items"]
    (decided,) = events
    assert decided["data"] == {"kind": "agreement", "value": FOLLOWS, "reason": "private-renewal"}
    assert decided["actor"]["role"] == "operator"


def test_a_license_in_use_is_refused_with_its_code(stage: Stage) -> None:
    """Nothing is changed in either."""
    assert stage.call("POST", f"/v1/licenses/{TWIN}/seats", {"user": "Joan"}).status == 201
    position = stage.ledger.head().position
    for preview in (True, False):
        status, problem = ask(stage, preview=preview)
        assert (status, problem["code"]) == (409, "TWIN_IN_USE")
    assert stage.ledger.head().position == position


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"key": "arn:aws:iam::123456789012:user/ada"}, "INVALID"),
        ({"key": "Ada Lovelace"}, "INVALID"),
        ({"key": ""}, "INVALID"),
        ({"reason": "because"}, "INVALID"),
        ({"preview": "no"}, "INVALID"),
    ],
)
def test_what_can_not_be_understood_is_said(stage: Stage, body: dict[str, Any], code: str) -> None:
    """With the code by which programs know it."""
    status, problem = ask(stage, **body)
    assert (status, problem["code"]) == (422, code)


@pytest.mark.parametrize("key", ["agmt-typo", LICENSE, "l-0f1e2d3c4b5a69788796a5b4c3d2e1f0", "code/customer"])
def test_a_key_that_aws_never_named_is_not_taken_for_one(stage: Stage, key: str) -> None:
    """A typing error would put the license on an agreement that does not exist."""
    status, problem = ask(stage, key=key, preview=False)
    assert (status, problem["code"]) == (404, "KEY_UNKNOWN")


@pytest.mark.parametrize("key", [ADMIN_OF_IT, AUDITOR, CLIENT_OF_IT])
def test_nobody_but_an_operator_decides(stage: Stage, key: str) -> None:
    """It gives one license the keys of another."""
    status, problem = ask(stage, caller=key, preview=False)
    assert (status, problem["code"]) == (403, "FORBIDDEN")


def run(database: Path, *arguments: str, typed: str = "") -> tuple[int, str]:
    """Run a command on the database of the stage, in a process of its own; its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", "from commands.main import main; main()", *arguments],
        env=os.environ | {"LEDGER_DATABASE_URL": url_of(database).text},
        input=typed,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


def test_the_command_asks_before_it_does_it(stage: Stage, database: Path) -> None:
    """It tells first what would happen; "no" changes nothing."""
    command = ("succeed", LICENSE, "--by", FOLLOWS)
    position = stage.ledger.head().position
    code, printed = run(database, *command, typed="private-renewal\nn\n")
    assert code == 1
    assert f"License {LICENSE} of customer 111122223333: 3 seats until 31 May 2027, 2 users have a seat." in printed
    assert f"It goes on with {FOLLOWS}: 4 seats until 31 May 2027." in printed
    assert f"License {TWIN}, which no user needs, is folded into it" in printed
    assert "Its users keep their seats." in printed
    assert stage.ledger.head().position == position
    assert "Why does AWS not link them" in printed
    assert run(database, *command, "--yes")[0] == USAGE
    why = ("--reason", "private-renewal")
    code, printed = run(database, *command, *why, typed="y\n")
    assert (code, printed.endswith("Done. The number of seats follows when AWS has been read.\n")) == (0, True)
    code, printed = run(database, *command, *why, "--yes")
    assert (code, "There is nothing to do" in printed) == (0, True)


def test_the_command_tells_which_users_will_be_deleted_and_that_it_is_somebody_elses(
    stage: Stage, database: Path
) -> None:
    """Whoever decides must know before."""
    names = ((KeyKind.AGREEMENT, "agmt-of-somebody-else"), (KeyKind.ACCOUNT, "999900001111"), PRODUCT)
    issue(stage.ledger, seats_max=1, license_id=SOMEBODY_ELSES, names=names)
    command = ("succeed", LICENSE, "--by", "agmt-of-somebody-else", "--reason", "other")
    code, printed = run(database, *command, typed="n\n")
    assert code == 1
    assert "ATTENTION: agmt-of-somebody-else is of another customer, 999900001111." in printed
    assert "ATTENTION: all 2 users are deleted as soon as AWS shows no more seats" in printed
    assert "block or delete 1 user first" in printed
    _, plan = ask(stage, key="agmt-of-somebody-else")
    assert (plan["is_of_another"], plan["seats_deleted"], plan["must_free_first"]) == (True, 2, 1)


def test_a_command_about_a_license_that_is_none_asks_nothing(stage: Stage, database: Path) -> None:
    """It says so at once; of a folded one where it went."""
    ask(stage, preview=False)
    for license_id in (TWIN, NOBODY):
        code, printed = run(database, "lapse", license_id, "--reason", "cancelled")
        assert (code, "[y/N]" in printed) == (1, False)


def test_a_contract_is_ended_by_command(stage: Stage, database: Path) -> None:
    """Nobody can use the client, and everybody keeps the seat."""
    command = ("lapse", LICENSE, "--reason", "cancelled")
    code, printed = run(database, *command, typed="n\n")
    told = (
        f"License {LICENSE} of customer 111122223333: 3 seats until 31 May 2027. Its 2 users can't use the client then."
    )
    assert (code, printed.startswith(told)) == (1, True)
    assert run(database, *command, "--yes") == (0, "Done.\n")
    assert run(database, *command) == (0, "It does not run. There is nothing to do.\n")
    information = stage.get(f"/v1/licenses/{LICENSE}")
    assert (information["status"], information["lapse_reason"], information["seats_active"]) == (
        "lapsed",
        "cancelled",
        2,
    )
