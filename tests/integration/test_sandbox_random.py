"""Random lives in the sandbox, with restarts: whatever is played, what AWS would answer agrees with the contracts."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from consumers.sandbox import (
    AgreementStatus,
    AtEnd,
    Faults,
    Generation,
    Intent,
    Marketplace,
    Message,
    MischiefPlan,
    Notice,
    Offer,
    Party,
    PredecessorEnds,
    Product,
    SuccessorTerms,
    wire,
)
from consumers.sandbox.contracts import MarketplaceRefusedError
from consumers.sandbox.memory import StateFile
from consumers.sandbox.signing import passing_key

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PRODUCTS = (
    Product(code="softphone", id="prod-softphone", title="SoftPhone", dimensions=("users",)),
    Product(code="deskphone", id="prod-deskphone", title="Desk Phone", dimensions=("phones", "users")),
)
BUYERS = ("111122223333", "444422221111")
STEPS = 80


class Life:
    """A Marketplace in which things happen at random, the same with the same seed."""

    def __init__(self, path: Path, seed: int) -> None:
        """Open it, with its state in a file."""
        self.path = path
        self.dice = Random(seed)
        self.sent: list[Message] = []
        self.open()

    def open(self) -> None:
        """Open it again with what the file holds."""
        self.file = StateFile(self.path, product=PRODUCTS[0])
        self.marketplace = Marketplace(
            products=PRODUCTS,
            clock=lambda: NOON,
            ids=lambda: UUID(int=self.dice.getrandbits(128)),
            deliver=self._deliver,
            sign=lambda envelope: passing_key().sign(envelope),
            memory=self.file,
        )

    def kill(self) -> None:
        """Open it again as after a kill: nothing is written at the end, and messages on their way are lost."""
        self.file.close()
        self.open()

    def step(self) -> None:
        """Let something happen; what AWS would not do is not done."""
        with suppress(MarketplaceRefusedError):
            self.dice.choice(self._deeds())()

    def _deeds(self) -> list[Callable[[], object]]:
        market, dice = self.marketplace, self.dice
        bought = market.contracts
        deeds: list[Callable[[], object]] = [
            self._buy,
            self._buy,
            self._misbehave,
            self._wait,
            self._wait,
            market.flush,
        ]
        if not bought:
            return deeds
        one = dice.choice(bought).agreement_id
        return [
            *deeds,
            lambda: self._succeed(one),
            lambda: self._succeed(one),
            lambda: market.set_seats(one, seats=dice.randrange(10)),
            lambda: market.renew(one, until=market.now() + self._days()),
            lambda: market.decide_end(one, at_end=dice.choice([*AtEnd]), by=dice.choice([*Party])),
            lambda: market.give_notice(one, dice.choice([*Notice])),
            lambda: dice.choice([market.start, market.opt_in, market.cancel, market.terminate])(one),
            lambda: dice.choice([market.expire, market.archive])(one),
            lambda: market.end(one, status=dice.choice([AgreementStatus.RENEWED, AgreementStatus.REPLACED])),
            lambda: market.set_auto(auto=dice.random() < 0.5, renewals_keep_license=dice.random() < 0.5),
        ]

    def _buy(self) -> None:
        product = self.dice.choice(PRODUCTS)
        seats = {dimension: self.dice.randrange(1, 10) for dimension in product.dimensions}
        starts_at = self.marketplace.now() + self.dice.choice([timedelta(), self._days()])
        self.marketplace.buy(
            account_id=self.dice.choice(BUYERS),
            seats=seats,
            until=starts_at + self._days(),
            generation=self.dice.choice([*Generation]),
            offer=Offer(
                product_code=product.code,
                starts_at=starts_at,
                via_partner=self.dice.random() < 0.2,
                at_end=self.dice.choice([*AtEnd]),
            ),
        )

    def _succeed(self, agreement_id: str) -> None:
        starts_at = self.marketplace.now() + self.dice.choice([timedelta(), self._days()])
        terms = SuccessorTerms(
            until=starts_at + self._days(),
            intent=self.dice.choice([Intent.RENEW, Intent.REPLACE]),
            seats=self.dice.choice([None, 3]),
            starts_at=starts_at,
            keeps_license=self.dice.random() < 0.5,
            is_linked=self.dice.random() < 0.8,
            predecessor_ends=self.dice.choice([None, *PredecessorEnds]),
        )
        self.marketplace.succeed(agreement_id, terms)

    def _misbehave(self) -> None:
        self.marketplace.mischief.set(
            MischiefPlan(
                seed=self.dice.randrange(100), drop=0.1, duplicate=0.2, reorder=0.2, respell=0.2, delay_seconds=(0, 99)
            )
        )

    def _wait(self) -> None:
        try:
            self.marketplace.advance(self.marketplace.now() + self._days())
        except MarketplaceRefusedError as refusal:
            raise AssertionError("Something that was played keeps the clock from moving") from refusal

    def _days(self) -> timedelta:
        return timedelta(days=self.dice.randrange(1, 60), hours=self.dice.randrange(24))

    def _deliver(self, message: Message) -> bool:
        self.sent.append(message)
        return True


def read_all(marketplace: Marketplace, operation: str, request: dict[str, Any], items: str, token: str) -> list[Any]:
    """Read all pages of an answer."""
    found: list[Any] = []
    asked = dict(request)
    while True:
        answer = wire.answer(
            target=operation, payload=json.dumps(asked).encode(), marketplace=marketplace, faults=Faults()
        )
        assert answer.status == 200, answer.body
        found += answer.body.get(items, [])
        if token not in answer.body:
            return found
        asked[token] = answer.body[token]


def told_by_entitlements(marketplace: Marketplace) -> list[tuple[str, str, int]]:
    """Read account, dimension and seats of every row of every product."""
    return sorted(
        (row["CustomerAWSAccountId"], row["Dimension"], row["Value"]["IntegerValue"])
        for product in PRODUCTS
        for row in read_all(
            marketplace,
            "AWSMPEntitlementService.GetEntitlements",
            {"ProductCode": product.code, "MaxResults": 3},
            "Entitlements",
            "NextToken",
        )
    )


def told_by_searches(marketplace: Marketplace) -> dict[str, tuple[str, str]]:
    """Read status and chain of every agreement."""
    filters = {"PartyType": "Proposer", "AgreementType": "PurchaseAgreement"}
    found = read_all(
        marketplace,
        "AWSMPCommerceService_v20200301.SearchAgreements",
        {
            "filters": [{"name": name, "values": [value]} for name, value in filters.items()],
            "sort": {"sortBy": "LastUpdateTime", "sortOrder": "DESCENDING"},
            "maxResults": 3,
        },
        "agreementViewSummaries",
        "nextToken",
    )
    assert [one["lastUpdateTime"] for one in found] == sorted((one["lastUpdateTime"] for one in found), reverse=True)
    return {one["agreementId"]: (one["status"], one["initialAgreementId"]) for one in found}


def check(life: Life) -> None:
    """Compare what AWS would answer with the contracts."""
    marketplace = life.marketplace
    bought = marketplace.contracts
    by_id = {contract.agreement_id: contract for contract in bought}
    now = marketplace.now()
    live = [contract for contract in bought if contract.is_live(at=now)]
    legacy = [(one.account_id, one.product_code) for one in live if one.generation is Generation.LEGACY]
    assert len(legacy) == len(set(legacy))
    rows = [(one.account_id, dimension, seats) for one in live for dimension, seats in one.quantities.items()]
    assert told_by_entitlements(marketplace) == sorted(rows)
    assert told_by_searches(marketplace) == {
        one.agreement_id: (one.status.value, one.initial_agreement_id) for one in bought if not one.via_partner
    }
    for one in bought:
        assert one.starts_at < one.ends_at or not one.is_active
        before = by_id.get(one.previous_agreement_id or "")
        assert one.initial_agreement_id == (one.agreement_id if before is None else before.initial_agreement_id)


@pytest.mark.parametrize("seed", range(12))
def test_a_random_life_agrees_with_what_aws_would_answer(tmp_path: Path, seed: int) -> None:
    """After each step; and the file gives all of it again, stopped or killed at any moment."""
    life = Life(tmp_path / "sandbox.json", seed)
    for _ in range(STEPS):
        life.step()
        if life.dice.random() < 0.2:
            check(life)
            before = life.marketplace.contracts, life.marketplace.time, life.marketplace.mischief.state
            if life.dice.random() < 0.5:
                life.marketplace.close()
            life.kill()
            assert (life.marketplace.contracts, life.marketplace.time, life.marketplace.mischief.state) == before
    check(life)
    life.marketplace.flush()
    assert life.marketplace.waiting == 0
    for message in life.sent:
        json.loads(message.body)
    life.file.close()


def test_the_same_seed_is_the_same_life(tmp_path: Path) -> None:
    """Word for word, so that what went wrong can be played again."""
    lives = [Life(tmp_path / f"{number}.json", 7) for number in range(2)]
    for life in lives:
        for _ in range(STEPS):
            life.step()
        life.file.close()
    first, second = ([message.body for message in life.sent if "Signature" not in message.body] for life in lives)
    assert len(first) > STEPS // 2
    assert first == second
