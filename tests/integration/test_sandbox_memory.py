"""A sandbox that is started again has the contracts that it had."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from consumers.sandbox import Contract, Marketplace, MischiefPlan, Notice, Offer, Product, Sandbox, SandboxSettings
from consumers.sandbox.http_server import PortCannotBeUsedError
from consumers.sandbox.marketplace import ProductsAreMissingError
from consumers.sandbox.memory import (
    STALE_LINES_MAX,
    State,
    StateFile,
    StateFileIsInUseError,
    StateFileIsUnreadableError,
)
from consumers.sandbox.mischief import MischiefState

SOFTPHONE = Product(code="softphone", id="prod-softphone", title="SoftPhone", dimensions=("users",))
DESKPHONE = Product(code="deskphone", id="prod-deskphone", title="Desk Phone", dimensions=("phones", "users"))
FAX = Product(code="fax", id="prod-fax", title="Fax", dimensions=("lines",))
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def _settings(path: Path) -> SandboxSettings:
    return SandboxSettings(
        product_code="softphone", product_id="prod-softphone", product_title="SoftPhone", contracts_path=path
    )


def test_contracts_are_there_after_a_restart(tmp_path: Path) -> None:
    """What was bought and changed before the restart stands, and can be changed on."""
    path = tmp_path / "contracts.json"
    until = datetime.now(UTC) + timedelta(days=30)
    with Sandbox(_settings(path)) as sandbox:
        bought = sandbox.marketplace.buy(account_id="111122223333", seats=5, until=until).contract
        changed = sandbox.marketplace.set_seats(bought.agreement_id, seats=7).contract
    with Sandbox(_settings(path)) as again:
        assert again.marketplace.contracts == (changed,)
        assert _cancel(again.marketplace, changed.agreement_id).status == "CANCELLED"


def test_clock_mischief_and_tokens_go_on_after_a_restart(tmp_path: Path) -> None:
    """The clock stays ahead, the dice go on where they were, what was on its way is still to come."""
    path = tmp_path / "contracts.json"
    plan = MischiefPlan(seed=7, drop=0.5, delay_seconds=(3_600, 3_600))
    with Sandbox(_settings(path), clock=lambda: NOON) as sandbox:
        marketplace = sandbox.marketplace
        marketplace.advance(marketplace.now() + timedelta(days=30))
        marketplace.set_auto(auto=True, renewals_keep_license=True)
        marketplace.mischief.set(plan)
        until = marketplace.now() + timedelta(days=30)
        bought = [marketplace.buy(account_id="111122223333", seats=5, until=until).contract for _ in range(5)]
        token = marketplace.issue_token(bought[0].agreement_id).token
        waiting, state = marketplace.waiting, marketplace.mischief.state
        assert 0 < waiting < 10
    with Sandbox(_settings(path), clock=lambda: NOON) as again:
        time = again.marketplace.time
        assert (time.ahead, time.auto, time.renewals_keep_license) == (timedelta(days=30), True, True)
        assert again.marketplace.mischief.state == state
        assert again.marketplace.waiting == waiting
        assert again.marketplace.resolve_token(token) == bought[0]
        on_their_way = again.marketplace.messages
        assert [message.delivered for message in on_their_way] == [False] * waiting
        assert again.marketplace.flush() == waiting
        assert all(message.delivered for message in again.marketplace.messages)
        (notice,) = again.marketplace.give_notice(bought[0].agreement_id, Notice.ADVISORY_ISSUED).messages
        assert notice.number == on_their_way[0].number + 1


def test_a_second_sandbox_by_mistake_loses_nothing(tmp_path: Path) -> None:
    """It is refused before it touches the file, at the same port and at another one; what is bought then is kept."""
    path = tmp_path / "contracts.json"
    until = datetime.now(UTC) + timedelta(days=30)
    with Sandbox(_settings(path)) as sandbox:
        with pytest.raises(PortCannotBeUsedError):
            Sandbox(replace(_settings(path), port=urlsplit(sandbox.url).port or 0)).start()
        with pytest.raises(StateFileIsInUseError, match=r"Another sandbox has .*contracts\.json\. Stop it first"):
            Sandbox(_settings(path)).start()
        bought = sandbox.marketplace.buy(account_id="111122223333", seats=5, until=until).contract
    with Sandbox(_settings(path)) as again:
        assert again.marketplace.contracts == (bought,)


def test_a_sandbox_that_could_not_start_leaves_the_file_to_others(tmp_path: Path) -> None:
    """Nothing holds it any more."""
    path = tmp_path / "contracts.json"
    path.write_text("[5]\n")
    with pytest.raises(StateFileIsUnreadableError):
        Sandbox(_settings(path)).start()
    path.unlink()
    with Sandbox(_settings(path)) as sandbox:
        assert sandbox.marketplace.contracts == ()


def test_contracts_of_a_product_that_is_not_sold_any_more_keep_it_from_starting(tmp_path: Path) -> None:
    """The line names what is missing, with its dimensions; with it all go on, what was on its way too."""
    path = tmp_path / "contracts.json"
    until = datetime.now(UTC) + timedelta(days=30)
    two = replace(_settings(path), products=(DESKPHONE, FAX))
    with Sandbox(two) as sandbox:
        sandbox.marketplace.mischief.set(MischiefPlan(delay_seconds=(3_600, 3_600)))
        for offer, seats in ((Offer(), 5), (Offer(product_code="deskphone"), {"phones": 2, "users": 7})):
            sandbox.marketplace.buy(account_id="111122223333", seats=seats, until=until, offer=offer)
        contracts, waiting = sandbox.marketplace.contracts, sandbox.marketplace.waiting
    with pytest.raises(ProductsAreMissingError) as refused:
        Sandbox(_settings(path)).start()
    assert str(refused.value) == (
        "There are contracts of deskphone:phones+users, which this sandbox does not sell. "
        "Name it too, by --product or LEDGER_PRODUCT_CODES, or start in another folder."
    )
    with Sandbox(two) as again:
        assert (again.marketplace.contracts, again.marketplace.waiting) == (contracts, waiting)


def test_a_line_that_was_being_written_when_all_was_killed_is_left_out(tmp_path: Path) -> None:
    """Nobody had heard of it."""
    path = tmp_path / "contracts.json"
    until = datetime.now(UTC) + timedelta(days=30)
    with Sandbox(_settings(path)) as sandbox:
        bought = sandbox.marketplace.buy(account_id="111122223333", seats=5, until=until).contract
    path.write_bytes(path.read_bytes() + b'{"contracts":[{"agree')
    with Sandbox(_settings(path)) as again:
        assert again.marketplace.contracts == (bought,)


def test_a_file_of_many_changes_does_not_grow_without_end(tmp_path: Path) -> None:
    """Stale lines go when there are many, and at the next start."""
    file = StateFile(tmp_path / "contracts.json", product=SOFTPHONE)
    for seed in range(STALE_LINES_MAX + 10):
        file.keep(State(mischief=MischiefState(plan=MischiefPlan(seed=seed))))
    lines = (tmp_path / "contracts.json").read_bytes().count(b"\n")
    assert lines < 20
    file.close()
    again = StateFile(tmp_path / "contracts.json", product=SOFTPHONE)
    assert again.state.mischief == MischiefState(plan=MischiefPlan(seed=STALE_LINES_MAX + 9))
    assert (tmp_path / "contracts.json").read_bytes().count(b"\n") == 1
    again.close()


FIRST_VERSION = """[
  {
    "agreement_id": "agmt-1",
    "offer_id": "offer-1",
    "license_arn": "arn:aws:license-manager::294406891311:license:l-1",
    "account_id": "111122223333",
    "customer_identifier": null,
    "seats": 5,
    "accepted_at": "2026-11-24T12:00:00Z",
    "ends_at": "2999-05-31T23:59:59.999000Z",
    "status": "ACTIVE",
    "auto_renews": true
  }
]"""


def test_a_file_of_the_first_version_is_read(tmp_path: Path) -> None:
    """Its contracts are of the one product that there was, and go on."""
    path = tmp_path / "contracts.json"
    path.write_text(FIRST_VERSION)
    for _ in range(2):
        with Sandbox(_settings(path)) as sandbox:
            (contract,) = sandbox.marketplace.contracts
            assert (contract.agreement_id, contract.product_code) == ("agmt-1", "softphone")
            assert (contract.quantities, contract.starts_at, contract.auto_renews) == ({"users": 5}, NOON, True)


@pytest.mark.parametrize("content", ['{"not": "contracts"', "[5]\n", '{"contracts": 5}\n', "\n", '{"mischief": {}}\n'])
def test_a_file_with_something_else_is_said_in_one_line(tmp_path: Path, content: str) -> None:
    """A file that is none of a sandbox is not overwritten: the line says what to do."""
    path = tmp_path / "contracts.json"
    path.write_text(content)
    with pytest.raises(StateFileIsUnreadableError, match="Remove it"):
        Sandbox(_settings(path)).start()
    assert path.read_text() == content


def _cancel(marketplace: Marketplace, agreement_id: str) -> Contract:
    return marketplace.cancel(agreement_id).contract
