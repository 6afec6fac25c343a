"""Which license a message is about: keys that many messages share, contradict, or break."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from consumers.marketplace import MarketplaceSettings, observations
from consumers.marketplace.budget import Priority
from consumers.sandbox import Contract, FaultPlan, Generation
from ledger.license import decisions
from ledger.license.events import KeyKind, LicenseId
from ledger.license.state import License
from ledger.store.tables import LICENSE_KEYS
from ledger.transaction import Transaction, Work
from tests.integration.consumers_stage import ADMIN, END_OF_MAY, ENGINES, PRODUCT_CODE, Stage, anew, database, staged

NOBODY = LicenseId("6f0c0c0c-0000-4000-8000-000000000001")
ARN = "arn:aws:license-manager::294406891311:license:l-00000000000000000000000000000001"


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production that serves two products."""

    def serve_another(settings: MarketplaceSettings) -> MarketplaceSettings:
        return replace(settings, products={**settings.products, "another": frozenset({"users"})})

    with database(request.param, tmp_path) as url, staged(url, change=serve_another) as stage:
        yield stage


def row(seats: int, **members: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    """A row of GetEntitlements; the sandbox adds the names of the license."""
    return {"Value": {"IntegerValue": seats}, "ExpirationDate": END_OF_MAY.timestamp(), **members}


def license_updated(stage: Stage, contract: Contract, **detail: Any) -> str:  # noqa: ANN401 -- JSON
    """License Updated about a contract, with another id and other members of its detail."""
    body = next(
        body
        for body in (json.loads(message.body) for message in stage.sandbox.marketplace.messages)
        if body.get("detail-type", "").startswith("License Updated")
        and body["detail"]["agreement"]["id"] == contract.agreement_id
    )
    id_ = f"another-{len(stage.inbox())}"
    return anew(body, id=id_, detail=detail)


def known_as(license_: License, kind: KeyKind) -> list[str]:
    """All names of a kind."""
    return [value for known, value in license_.names if known is kind]


def given_up_after(stage: Stage, spoil: Callable[[Transaction], None]) -> tuple[str, str | None]:
    """What became of the message that names a license, where the database is spoiled; the next purchase goes on."""
    stage.ledger.submit(Work(decide=spoil, caller=ADMIN, writes_rows=True))
    stage.buy(seats=7)
    stage.consume()
    assert stage.license().seats_max == 7
    for _ in range(10):
        stage.pass_time(timedelta(minutes=5))
    assert [status for status, _ in stage.inbox()[2:]] == ["done", "done"]
    return stage.inbox()[1]


def test_the_arn_in_the_rows_of_a_legacy_license_names_it(stage: Stage) -> None:
    """So that a message with nothing but the ARN finds it."""
    contract = stage.buy(generation=Generation.LEGACY)
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (row(5, LicenseArn=ARN),)}))
    stage.consume()
    assert stage.license().name(KeyKind.LICENSE_ARN) == ARN
    other = stage.buy()
    (_, updated) = stage.held_back()
    assert other.license_arn in updated
    stage.send(license_updated(stage, other, license={"arn": ARN}))
    stage.consume()
    assert stage.license().seats_max == 5


def test_rows_of_a_legacy_customer_that_are_another_licenses_do_not_count(stage: Stage) -> None:
    """The license that has their ARN counts them."""
    concurrent = stage.bought(seats=3)
    legacy = stage.buy(generation=Generation.LEGACY)
    rows = (row(5), row(3, LicenseArn=concurrent.license_arn))
    stage.sandbox.faults.set(FaultPlan(rows={legacy.agreement_id: rows}))
    stage.consume()
    first, second = stage.licenses()
    assert (first.seats_max, second.seats_max) == (3, 5)
    assert known_as(second, KeyKind.LICENSE_ARN) == []


def test_several_arns_at_first_sight_are_reported_and_change_nothing(stage: Stage) -> None:
    """Which of them is the legacy license's nobody can know."""
    legacy = stage.buy(generation=Generation.LEGACY)
    rows = (row(5, LicenseArn=ARN), row(3, LicenseArn=f"{ARN[:-1]}2"))
    stage.sandbox.faults.set(FaultPlan(rows={legacy.agreement_id: rows}))
    stage.consume()
    assert stage.license().subscription is None
    assert known_as(stage.license(), KeyKind.LICENSE_ARN) == []
    (status, reason) = stage.inbox()[-1]
    assert status == "waiting"
    assert reason is not None
    assert reason.startswith("AWS shows this legacy customer seats of several licenses")


def test_a_running_legacy_license_keeps_its_number_when_several_arns_appear(stage: Stage) -> None:
    """The rows had no ARN before; more or fewer, nothing is believed until somebody says which is meant."""
    legacy = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    rows = (row(2, LicenseArn=ARN), row(1, LicenseArn=f"{ARN[:-1]}2"))
    stage.sandbox.faults.set(FaultPlan(rows={legacy.agreement_id: rows}))
    stage.sandbox.marketplace.set_seats(legacy.agreement_id, seats=3)
    stage.consume()
    for _ in range(10):
        stage.pass_time(timedelta(hours=1))
    assert stage.license().seats_max == 5
    assert known_as(stage.license(), KeyKind.LICENSE_ARN) == []
    (status, reason) = stage.inbox()[-1]
    assert status == "waiting"
    assert reason is not None
    assert reason.startswith("AWS shows this legacy customer seats of several licenses")


def test_a_further_arn_of_a_legacy_customer_is_a_license_of_its_own(stage: Stage) -> None:
    """The license counts the rows of the ARN that it claimed, and no others."""
    legacy = stage.buy(generation=Generation.LEGACY)
    other = f"{ARN[:-1]}2"
    stage.sandbox.faults.set(FaultPlan(rows={legacy.agreement_id: (row(5, LicenseArn=ARN),)}))
    stage.consume()
    rows = (row(6, LicenseArn=ARN), row(3, LicenseArn=other))
    stage.sandbox.faults.set(FaultPlan(rows={legacy.agreement_id: rows}))
    stage.sandbox.marketplace.set_seats(legacy.agreement_id, seats=9)
    stage.consume()
    first, second = stage.licenses()
    assert first.seats_max == 6
    assert known_as(second, KeyKind.LICENSE_ARN) == [other]


def test_a_message_that_names_two_licenses_changes_neither_and_is_reported(stage: Stage) -> None:
    """The agreement of one with the ARN of the other."""
    first, second = stage.bought(seats=3), stage.bought(seats=4)
    events = stage.events()
    stage.send(license_updated(stage, first, agreement={"id": second.agreement_id}))
    stage.consume()
    assert stage.events() == events
    (status, reason) = stage.inbox()[-1]
    assert status == "failed"
    assert reason is not None
    assert reason.startswith("Its names mean two licenses")
    assert [known_as(license_, KeyKind.AGREEMENT) for license_ in stage.licenses()] == [
        [first.agreement_id],
        [second.agreement_id],
    ]


def test_one_agreement_about_two_products_is_two_licenses(stage: Stage) -> None:
    """The product tells them apart; the agreement is the first one's."""
    contract = stage.bought(seats=3)
    stage.send(license_updated(stage, contract, license={"arn": ARN}, product={"code": "another", "id": "prod-2"}))
    stage.consume()
    first, second = stage.licenses()
    assert (first.product_code, second.product_code) == (PRODUCT_CODE, "another")
    assert (known_as(first, KeyKind.LICENSE_ARN), known_as(second, KeyKind.LICENSE_ARN)) == (
        [contract.license_arn],
        [ARN],
    )
    assert known_as(second, KeyKind.AGREEMENT) == []


def test_an_agreement_that_gets_another_license_is_the_same_license(stage: Stage) -> None:
    """It is known by both ARNs, and read by the latest."""
    contract = stage.bought(seats=3)
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (row(4, LicenseArn=ARN),)}))
    stage.send(license_updated(stage, contract, license={"arn": ARN}))
    stage.consume()
    assert known_as(stage.license(), KeyKind.LICENSE_ARN) == [contract.license_arn, ARN]
    assert stage.license().seats_max == 4


def test_a_message_over_which_the_program_fails_is_given_up_and_holds_up_nobody(stage: Stage) -> None:
    """Here its key leads to a license that is not there."""
    broken = stage.buy()

    def break_key(transaction: Transaction) -> None:
        values = {"kind": "license-arn", "value": broken.license_arn, "license_id": NOBODY}
        transaction.rows.execute(sqlalchemy.insert(LICENSE_KEYS).values(values))

    assert given_up_after(stage, break_key) == ("failed", "The program failed over it: LicenseIsNotFoundError.")


def test_a_message_whose_rows_no_database_would_take_is_given_up_and_holds_up_nobody(stage: Stage) -> None:
    """Here the database has a rule of which the program knows nothing."""
    broken = stage.buy()

    def refuse_key(transaction: Transaction) -> None:
        values = {"kind": "of another program", "value": broken.license_arn, "license_id": NOBODY}
        transaction.rows.execute(sqlalchemy.insert(LICENSE_KEYS).values(values))
        transaction.rows.execute(sqlalchemy.text("CREATE UNIQUE INDEX each_value_once ON license_keys (value)"))

    assert given_up_after(stage, refuse_key) == ("failed", "The program failed over it: RowsAreRefusedError.")


def test_a_license_over_which_the_program_fails_holds_up_nobody(stage: Stage) -> None:
    """It is tried again, less and less often."""

    def ask_for_nobody(transaction: Transaction) -> None:
        observations.request(transaction, NOBODY, priority=Priority.REGISTRATION)

    stage.ledger.submit(Work(decide=ask_for_nobody, caller=ADMIN, writes_rows=True))
    stage.bought(seats=7)
    assert stage.license().seats_max == 7
    with stage.ledger.reading.connect() as reading:
        observation = observations.find(reading, NOBODY)
    assert observation is not None
    assert observation.due_at is not None
    assert observation.due_at - stage.clock() >= timedelta(minutes=5)


def test_an_agreement_that_stood_behind_a_license_before_may_stand_behind_it_again(stage: Stage) -> None:
    """As where messages of a renewal come late: first the new agreement was heard of, then the old one."""
    contract = stage.buy(seats=5)
    stage.consume()
    license_id = stage.license().license_id
    for agreement_id in ("agmt-another", contract.agreement_id):

        def decide(transaction: Transaction, agreement_id: str = agreement_id) -> None:
            license_ = transaction.license(license_id)
            transaction.append(license_id, decisions.succeed_agreement(license_, agreement_id=agreement_id))

        stage.ledger.submit(Work(decide=decide, caller=ADMIN, licenses=(license_id,)))
        assert stage.license().name(KeyKind.AGREEMENT) == agreement_id
    with stage.ledger.reading.connect() as reading:
        kept = reading.execute(sqlalchemy.select(LICENSE_KEYS.c.value, LICENSE_KEYS.c.license_id))
        owners = {value: owner for value, owner in kept if value.startswith("agmt-")}
    assert owners == {contract.agreement_id: license_id, "agmt-another": license_id}
