"""Several products in one ledger, each with the dimensions that count its users."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.marketplace import Consumer, MarketplaceSettings
from consumers.sandbox import FaultPlan
from ledger.license.events import LapseReason
from tests.integration.consumers_stage import (
    END_OF_MAY,
    ENGINES,
    PRODUCT_CODE,
    UNLIMITED,
    Stage,
    database,
    staged,
)

DAY = timedelta(days=1)


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A product whose users and administrators need a seat each."""

    def count_both(settings: MarketplaceSettings) -> MarketplaceSettings:
        return replace(settings, products={PRODUCT_CODE: frozenset({"users", "admins"})})

    with database(request.param, tmp_path) as url, staged(url, change=count_both) as stage:
        yield stage


def row(seats: int, *, dimension: str) -> dict[str, Any]:
    """A row of GetEntitlements; the sandbox adds the names of the license."""
    return {
        "Dimension": dimension,
        "Value": {"IntegerValue": seats},
        "ExpirationDate": END_OF_MAY.timestamp(),
    }


def test_a_license_has_the_seats_of_all_dimensions_of_its_product(stage: Stage) -> None:
    """They add up; what counts something else does not."""
    contract = stage.buy(seats=1)
    rows = (row(4, dimension="users"), row(3, dimension="admins"), row(100, dimension="recordings"))
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: rows}))
    stage.consume()
    assert stage.license().seats_max == 7


def test_a_license_of_a_product_that_is_served_no_more_stays_as_it_is(stage: Stage) -> None:
    """Nobody knows what counts its users, so that it does not lapse by rows that would be overlooked."""
    contract = stage.bought(seats=5)
    others = replace(stage.settings, products={"another": frozenset({"users"})})
    consumer = Consumer(stage.ledger, others, stage.clients, now=stage.clock, readings_per_second=UNLIMITED)
    stage.sandbox.marketplace.expire(contract.agreement_id)
    while consumer.run_once():
        pass
    subscription = stage.license().subscription
    assert subscription is not None
    assert subscription.lapse is None
    stage.pass_time(DAY)
    subscription = stage.license().subscription
    assert subscription is not None
    assert subscription.lapse is not None
    assert subscription.lapse.reason is LapseReason.EXPIRED
