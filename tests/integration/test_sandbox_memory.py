"""A sandbox that is started again has the contracts that it had."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumers.sandbox import Contract, Marketplace, Sandbox, SandboxSettings
from consumers.sandbox.memory import StateFileIsUnreadableError


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


def test_a_file_with_something_else_is_said_in_one_line(tmp_path: Path) -> None:
    """A file that is none of a sandbox is not overwritten: the line says what to do."""
    path = tmp_path / "contracts.json"
    path.write_text('{"not": "contracts"}')
    with pytest.raises(StateFileIsUnreadableError, match="Remove it"):
        Sandbox(_settings(path)).start()
    assert path.read_text() == '{"not": "contracts"}'


def _cancel(marketplace: Marketplace, agreement_id: str) -> Contract:
    return marketplace.cancel(agreement_id).contract
