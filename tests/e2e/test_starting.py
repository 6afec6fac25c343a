"""What an operator reads when a database or a Kafka can't be used: one line, and what to do."""

from pathlib import Path

import pytest

from tests.e2e.composed import Answer, Ledgers, Served, ledgers, wait_for
from tests.services.kafka import KafkaCluster
from tests.services.postgres import PASSWORD, PostgresServer
from tests.services.processes import free_port

NOBODY = f"127.0.0.1:{free_port()}"
PRODUCT = {"LEDGER_PRODUCT_CODES": "softphone", "LEDGER_DIMENSION": "users", "AWS_REGION": "us-east-1"}


def refusal(composed: Ledgers, *command: str, **settings: str) -> str:
    """The one line with which a command ends at its start."""
    ended = composed.run(*command, **settings)
    assert ended.returncode == 2, ended.stderr
    # The log has lines of its own, such as that the tests' server does not wait for its disk.
    (line,) = [one for one in ended.stderr.strip().splitlines() if not one.startswith("{")]
    assert PASSWORD not in ended.stderr
    return line


@pytest.mark.parametrize("command", [("serve",), ("project", "run"), ("keys", "list")])
def test_a_database_that_is_not_there_is_one_line(composed: Ledgers, command: tuple[str, ...]) -> None:
    """Whatever command: it names the database without the password, and says what the driver says."""
    line = refusal(composed, *command, LEDGER_DATABASE_URL=f"postgresql://ledger:{PASSWORD}@{NOBODY}/ledger")
    assert f"postgresql://ledger@{NOBODY}/ledger can't be opened" in line
    assert "refused" in line


def test_an_address_that_is_none_is_one_line(composed: Ledgers) -> None:
    """It names the setting and shows what an address looks like."""
    line = refusal(composed, "serve", LEDGER_DATABASE_URL="postgresql://ledger@db:port/ledger?sslmod=on")
    assert "LEDGER_DATABASE_URL" in line
    assert "postgresql://user@host/database" in line


def test_a_wrong_password_is_one_line(composed: Ledgers, postgres: PostgresServer) -> None:
    """It says so."""
    wrong = postgres.url("postgres", password="wrong")
    assert "password authentication failed" in refusal(composed, "serve", LEDGER_DATABASE_URL=wrong)


def test_a_forgetful_database_is_one_line(composed: Ledgers, postgres_database: str) -> None:
    """It says what to set."""
    forgetful = f"{postgres_database}?options=-c%20synchronous_commit%3Doff"
    assert "Set it to on" in refusal(composed, "serve", LEDGER_DATABASE_URL=forgetful)


def test_views_that_can_not_be_reached_are_one_line(composed: Ledgers, postgres_database: str) -> None:
    """It names the views' database."""
    elsewhere = {"LEDGER_DATABASE_URL": postgres_database, "LEDGER_VIEWS_URL": f"postgresql://views@{NOBODY}/views"}
    assert f"The views' database postgresql://views@{NOBODY}/views" in refusal(composed, "serve", **elsewhere)


def test_consuming_from_a_kafka_that_is_not_there_is_one_line(composed: Ledgers) -> None:
    """It names the brokers."""
    told = {"LEDGER_KAFKA_BOOTSTRAP": NOBODY, "LEDGER_KAFKA_MESSAGES_TOPIC": "messages"}
    assert NOBODY in refusal(composed, "consume", "kafka", **told, **PRODUCT)


def test_a_kafka_without_brokers_named_is_one_line(composed: Ledgers) -> None:
    """It names the setting that is missing."""
    assert "LEDGER_KAFKA_BOOTSTRAP is not set" in refusal(composed, "serve", LEDGER_KAFKA_EVENTS_TOPIC="events")


def test_brokers_that_want_a_sign_in_are_one_line(composed: Ledgers, kafka: KafkaCluster) -> None:
    """It names the setting."""
    told = {"LEDGER_KAFKA_BOOTSTRAP": kafka.sasl_bootstrap, "LEDGER_KAFKA_EVENTS_TOPIC": "events"}
    assert "LEDGER_KAFKA_SECURITY_PROTOCOL" in refusal(composed, "serve", **told)


@pytest.mark.parametrize("command", [("serve",), ("consume", "sqs"), ("consume", "kafka")])
def test_a_product_without_a_dimension_is_one_line(composed: Ledgers, command: tuple[str, ...]) -> None:
    """Nothing is opened or consumed by a guess of what counts users."""
    told = {
        "LEDGER_PRODUCT_CODES": "softphone:users,recorder",
        "LEDGER_SQS_QUEUE_URL": f"http://{NOBODY}/queue",
        "LEDGER_KAFKA_BOOTSTRAP": NOBODY,
        "LEDGER_KAFKA_MESSAGES_TOPIC": "messages",
    }
    assert "LEDGER_PRODUCT_CODES names no dimension of 'recorder'" in refusal(composed, *command, **told)
    assert not (composed.folder / "ledger.db").exists()


def test_a_ledger_serves_while_kafka_is_away(tmp_path: Path) -> None:
    """Readiness says which part is not there, and callers lose nothing."""
    told = {"LEDGER_KAFKA_BOOTSTRAP": NOBODY, "LEDGER_KAFKA_EVENTS_TOPIC": "events"}
    with ledgers(tmp_path) as composed:
        served = composed.serve(**told)
        ready = wait_for(lambda: _ready_without_kafka(served), what="readiness to say so")
        assert (ready.status, ready.json["status"]) == (200, "ready")
        assert NOBODY in ready.json["checks"]["kafka"]
        assert served.call("GET", "/v1/licenses").status == 200
        assert "Traceback" not in served.log.read_text()
        assert served.stop() == 0


def _ready_without_kafka(served: Served) -> Answer | None:
    answer = served.call("GET", "/healthz/ready", key=None)
    return answer if answer.json["checks"].get("kafka") not in (None, "ok") else None
