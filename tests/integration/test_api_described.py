"""The interface does what `/openapi.json` says, whatever is sent: Schemathesis tries."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy
from openapi_spec_validator import OpenAPIV31SpecValidator

from consumers.marketplace.tables import INBOX
from ledger.transaction import Transaction, Work
from tests.integration.api_stage import CLIENT_BY_CUSTOMER, OPERATOR, Stage, open_stage
from tests.integration.ledgers import database_in
from tests.stories import LICENSE, MARKETPLACE

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = 15


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A ledger with more seats than examples; what is described does not depend on the engine."""
    with open_stage(database_in(tmp_path, "sqlite"), seats_max=100_000) as stage:
        yield stage


@pytest.mark.timeout(300)
def test_every_call_answers_as_it_is_described(stage: Stage, tmp_path: Path) -> None:
    """No server error; statuses, headers and bodies as described; what is wrong is refused, what is right is taken."""
    [ada] = stage.activate("Ada")
    stage.ledger.submit(Work(decide=_store_message, caller=MARKETPLACE, writes_rows=True))
    spare_key = stage.call("POST", "/v1/keys", {"name": "spare", "role": "operator"}).json
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
        "run",
        f"{stage.url}/openapi.json",
        f"--header=Authorization: Bearer {OPERATOR}",
        f"--max-examples={EXAMPLES}",
        "--continue-on-failure",
        "--generation-database=none",
        "--no-color",
        "--seed=2026",
    ]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_hooks",
        "STORY_LICENSE_ID": LICENSE,
        "STORY_SEAT_ID": ada["seat_id"],
        "STORY_CLIENT_KEY": CLIENT_BY_CUSTOMER,
        "STORY_KEY_ID": spare_key["key_id"],
        "STORY_MESSAGE_NUMBER": "1",
    }
    tried = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "Authentication failed" not in tried.stdout, tried.stdout


def _store_message(transaction: Transaction) -> None:
    message = {"message_id": "a-message", "body": "{}", "received_at": 0, "status": "failed", "reason": "It is empty."}
    transaction.rows.execute(sqlalchemy.insert(INBOX).values(message))


def test_the_description_is_valid(stage: Stage) -> None:
    """`/openapi.json` is OpenAPI 3.1."""
    document = stage.call("GET", "/openapi.json", key=None).json
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"] == "3.1.0"
