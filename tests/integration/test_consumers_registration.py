"""A buyer comes from AWS Marketplace with a registration token."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from consumers.marketplace import MarketplaceRegistration
from consumers.sandbox import FaultPlan, Generation
from ledger.license.events import KeyKind
from ledger.registration import (
    MarketplaceIsUnavailableError,
    ProductIsNotOursError,
    RegistrationTokenIsExpiredError,
    RegistrationTokenIsInvalidError,
    Resolved,
)
from ledger.store.url import DatabaseUrl
from tests.integration.consumers_stage import (
    ANALYTICAL_ENGINES,
    END_OF_MAY,
    ENGINES,
    MINUTE,
    PRODUCT_CODE,
    Stage,
    database,
    staged,
)


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production, which has heard nothing yet."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def token_of(stage: Stage, generation: Generation = Generation.CONCURRENT) -> str:
    """Let Ada's company buy and choose "Set up your account"; the messages about it are lost."""
    contract = stage.buy(generation=generation)
    stage.held_back()
    return stage.sandbox.marketplace.issue_token(contract.agreement_id).token


def test_a_token_says_who_comes_and_what_was_bought(stage: Stage) -> None:
    """At once, without waiting for a message."""
    token = token_of(stage)
    resolved = stage.registration.resolve(token, cause="request-1")
    license_ = stage.license()
    assert resolved == Resolved(
        license_id=license_.license_id,
        customer_id=ANALYTICAL_ENGINES,
        product_code=PRODUCT_CODE,
        seats_max=5,
        renews_at=END_OF_MAY,
    )
    contract = stage.sandbox.marketplace.contracts[0]
    assert license_.name(KeyKind.LICENSE_ARN) == contract.license_arn
    assert license_.name(KeyKind.AGREEMENT) == contract.agreement_id
    assert {event.cause for event in stage.ledger.feed(after=0, limit=100)} == {"request-1"}
    assert {event.actor.role.value for event in stage.ledger.feed(after=0, limit=100)} == {"marketplace"}


def test_a_legacy_token_names_the_customer_identifier(stage: Stage) -> None:
    """And the account, which AWS tells beside it."""
    resolved = stage.registration.resolve(token_of(stage, Generation.LEGACY), cause="request-1")
    contract = stage.sandbox.marketplace.contracts[0]
    assert stage.license().name(KeyKind.CUSTOMER) == f"{PRODUCT_CODE}/{contract.customer_identifier}"
    assert (resolved.customer_id, resolved.seats_max) == (ANALYTICAL_ENGINES, 5)


def test_the_same_token_twice_is_the_same_license(stage: Stage) -> None:
    """Buyers click twice, and AWS answers the same as long as the token lives."""
    token = token_of(stage)
    first = stage.registration.resolve(token, cause="request-1")
    events = stage.events()
    assert stage.registration.resolve(token, cause="request-2") == first
    assert stage.events() == events


def test_who_registers_after_the_messages_finds_the_same_license(stage: Stage) -> None:
    """It is found by its keys."""
    contract = stage.bought()
    events = stage.events()
    token = stage.sandbox.marketplace.issue_token(contract.agreement_id).token
    resolved = stage.registration.resolve(token, cause="request-1")
    assert resolved.license_id == stage.license().license_id
    assert stage.events() == events


def test_a_token_that_is_too_old_is_told_so(stage: Stage) -> None:
    """AWS gives it four hours."""
    token = token_of(stage)
    stage.clock.move(timedelta(hours=5))
    with pytest.raises(RegistrationTokenIsExpiredError):
        stage.registration.resolve(token, cause="request-1")
    assert stage.licenses() == []


@pytest.mark.parametrize("token", ["", "made up", "x" * 10_000, "\ud800", "tökén"])
def test_a_token_that_is_none_is_told_so(stage: Stage, token: str) -> None:
    """Whatever came in its place."""
    with pytest.raises(RegistrationTokenIsInvalidError):
        stage.registration.resolve(token, cause="request-1")
    assert stage.licenses() == []


def test_a_token_of_another_product_is_told_so(stage: Stage) -> None:
    """No license of it is issued."""
    settings = replace(stage.settings, products={"another": frozenset({"users"})})
    registration = MarketplaceRegistration(stage.ledger, settings, stage.clients, now=stage.clock)
    with pytest.raises(ProductIsNotOursError):
        registration.resolve(token_of(stage), cause="request-1")
    assert stage.licenses() == []


@pytest.mark.parametrize("plan", [FaultPlan(throttle={"ResolveCustomer": 1}), FaultPlan(fail={"ResolveCustomer": 1})])
def test_aws_that_does_not_answer_is_told_so(stage: Stage, plan: FaultPlan) -> None:
    """The same token works a moment later."""
    token = token_of(stage)
    stage.sandbox.faults.set(plan)
    with pytest.raises(MarketplaceIsUnavailableError):
        stage.registration.resolve(token, cause="request-1")
    assert stage.registration.resolve(token, cause="request-2").seats_max == 5


@pytest.mark.parametrize(
    "told",
    [
        {"CustomerAWSAccountId": ANALYTICAL_ENGINES},
        {"LicenseArn": "l-1"},
        {"LicenseArn": None, "ProductCode": None},
    ],
)
def test_a_customer_told_in_an_unknown_way_is_not_made_up(stage: Stage, told: dict[str, str | None]) -> None:
    """Without a key nothing is issued, and the buyer can come again."""
    token = token_of(stage)

    def tell(parsed: dict[str, object], **_: object) -> None:
        kept = {name: parsed[name] for name in ("ProductCode", "ResponseMetadata")}
        parsed.clear()
        parsed.update({name: value for name, value in (kept | told).items() if value is not None})

    stage.clients.metering.meta.events.register("after-call.*.ResolveCustomer", tell)
    with pytest.raises(MarketplaceIsUnavailableError):
        stage.registration.resolve(token, cause="request-1")
    assert stage.licenses() == []


def test_seats_that_can_not_be_read_now_follow_by_themselves(stage: Stage) -> None:
    """Registering goes on without the number."""
    token = token_of(stage)
    stage.sandbox.faults.set(FaultPlan(throttle={"GetEntitlements": 1}))
    resolved = stage.registration.resolve(token, cause="request-1")
    assert (resolved.seats_max, resolved.renews_at) == (None, None)
    stage.pass_time(MINUTE)
    assert stage.license().seats_max == 5


def stored_in(url: DatabaseUrl) -> Iterator[bytes]:
    """All that a database holds, as it holds it."""
    if url.sqlite_path is not None:
        yield from (path.read_bytes() for path in url.sqlite_path.parent.iterdir())
        return
    with psycopg.connect(url.text) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            copied = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(table))
            with connection.cursor().copy(copied) as copy:
                yield b"".join(copy)


def test_the_token_is_kept_nowhere(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in the database nor in a log line, whatever became of it."""
    token = token_of(stage)
    stage.registration.resolve(token, cause="request-1")
    stage.sandbox.faults.set(FaultPlan(fail={"ResolveCustomer": 1}))
    with pytest.raises(MarketplaceIsUnavailableError) as caught:
        stage.registration.resolve(token, cause="request-2")
    with pytest.raises(RegistrationTokenIsInvalidError):
        stage.registration.resolve(f"{token}!", cause="request-3")
    assert token not in str(caught.value)
    stored = list(stored_in(stage.url))
    assert any(PRODUCT_CODE.encode() in part for part in stored)
    assert not any(token.encode() in part for part in stored)
    captured = capsys.readouterr()
    assert "could not be resolved" in captured.out + captured.err
    assert token not in captured.out + captured.err
