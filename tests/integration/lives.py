"""Random contract lives by a seed: what buyers do, AWS's truth about it, and what the ledger made of it."""

import random
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final
from unittest.mock import patch
from uuid import UUID

import sqlalchemy

from consumers.marketplace import Clients, Consumer, MarketplaceSettings, aws_clients
from consumers.marketplace.tables import OBSERVATIONS
from consumers.sandbox import (
    AgreementStatus,
    AtEnd,
    Contract,
    Fate,
    Generation,
    Intent,
    MischiefPlan,
    Offer,
    Outcome,
    PredecessorEnds,
    Sandbox,
    SandboxSettings,
    SuccessorTerms,
)
from ledger.errors import RefusedError
from ledger.license import access
from ledger.license.events import BlockReason, KeyKind, LapseReason, LicenseId
from ledger.license.state import License
from ledger.store.tables import LICENSE_KEYS
from ledger.store.url import DatabaseUrl
from ledger.system.events import STREAM as SYSTEM_STREAM
from ledger.times import moment
from ledger.users import parse_user
from tests.integration.consumers_stage import (
    ADMIN,
    ANYBODY,
    MINUTE,
    NOON,
    PRODUCT_CODE,
    PRODUCT_ID,
    USERS,
    Clock,
    descriptions,
    fresh_queue,
    open_ledger,
    sqs_endpoint,
)

MISCHIEF_LASTS: Final = timedelta(days=6)
QUIET_LASTS: Final = timedelta(days=3)
STEP_MIN: Final = timedelta(minutes=10)
STEP_MAX: Final = timedelta(hours=8)
WAIT_MAX: Final = timedelta(days=1) + STEP_MAX
"""How long the ledger may be wrong while AWS misbehaves: rechecks come once a day at the least."""
TRIES: Final = 3
TRIES_PAUSE: Final = timedelta(minutes=6)
"""Where AWS did not answer, the program asks again within minutes; the story does not jump over all of that."""
LIVES: Final = 5

_LAPSES: Final = {
    AgreementStatus.CANCELLED: LapseReason.CANCELLED,
    AgreementStatus.TERMINATED: LapseReason.TERMINATED,
    AgreementStatus.EXPIRED: LapseReason.EXPIRED,
}


@dataclass(kw_only=True)
class Life:
    """A customer with one purchase, and the agreements that followed it.

    Attributes:
        account_id: of the buyer.
        generation: how AWS tells of it.
        agreement_ids: the chain, the first signed first.
        numbers: what counted of AWS's truth, from which moment on; 0 where nothing did.
        ended_unheard: whether the only word of a legacy contract's end was lost: then nobody can know of it before its
            date.
        wrong_since: since when the ledger lets nobody in who may, or lets in who may not.
    """

    account_id: str
    generation: Generation
    agreement_ids: list[str] = field(default_factory=list)
    numbers: list[tuple[datetime, int]] = field(default_factory=list)
    ended_unheard: bool = False
    wrong_since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """What AWS would say of a life at a moment; the license is to say the same.

    Attributes:
        seats_max: the number that counts; 0 if nothing is live.
        renews_at: the latest date; null if nothing is live.
        lapse: why it ended; null if something is live, or nothing ever was.
    """

    seats_max: int = 0
    renews_at: datetime | None = None
    lapse: LapseReason | None = None


class World:
    """AWS Marketplace, the ledger and the consumer between them, all of which can be started again."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        """Begin at noon."""
        self.dice = Random(seed)
        self.clock = Clock()
        self.lives: list[Life] = []
        self.bodies: list[str] = []
        self.story: list[str] = []
        self._url = DatabaseUrl.of_file(folder / "ledger.db")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._sandbox_settings = SandboxSettings(
            product_code=PRODUCT_CODE,
            product_id=PRODUCT_ID,
            product_title="SoftPhone",
            port=port,
            queue_url=fresh_queue(),
            contracts_path=folder / "contracts.jsonl",
        )
        self._settings = MarketplaceSettings(
            queue_url=self._sandbox_settings.queue_url,
            products={PRODUCT_CODE: frozenset({"users"})},
            reconcile_every=timedelta(hours=6),
            reconcile_max_loss=Decimal(100),
        )
        self.sandbox = self._start_sandbox()
        self.ledger = open_ledger(self._url, clock=self.clock)
        environment = {**ANYBODY, **self.sandbox.environment, "AWS_ENDPOINT_URL_SQS": sqs_endpoint()}
        self.clients: Clients = aws_clients(environment)
        self.consumer = self._make_consumer()

    def close(self) -> None:
        """End it."""
        self.clients.close()
        self.ledger.close()
        self.sandbox.stop()

    # -- starting again ------------------------------------------------------------------------------------------------

    def restart_ledger(self) -> None:
        """As after a kill: nobody resigns."""
        self.ledger.close()
        self.ledger = open_ledger(self._url, clock=self.clock)
        self.consumer = self._make_consumer()

    def restart_sandbox(self) -> None:
        """What is on its way comes later."""
        self.sandbox.stop()
        self.sandbox = self._start_sandbox()

    def _start_sandbox(self) -> Sandbox:
        return Sandbox(
            self._sandbox_settings, clock=self.clock, ids=lambda: UUID(int=self.dice.getrandbits(128))
        ).start()

    def _make_consumer(self) -> Consumer:
        return Consumer(self.ledger, self._settings, self.clients, now=self.clock, readings_per_second=10_000.0)

    # -- time ----------------------------------------------------------------------------------------------------------

    def pass_time(self, by: timedelta) -> None:
        """Let time pass, and do what became due; then look who is let in."""
        self.clock.move(by)
        self.sandbox.marketplace.tick()
        self.let_end()
        self.consume()
        for _ in range(TRIES):
            if not self._is_due_within(TRIES_PAUSE):
                break
            self.clock.move(TRIES_PAUSE)
            self.consume()
        for life in self.lives:
            self._audit(life)

    def _is_due_within(self, by: timedelta) -> bool:
        """Whether a license will be read again so soon, as after a call that AWS did not answer."""
        with self.ledger.reading.connect() as reading:
            due_at = reading.scalar(sqlalchemy.select(sqlalchemy.func.min(OBSERVATIONS.c.due_at)))
        return due_at is not None and moment(due_at) <= self.clock() + by

    def consume(self) -> None:
        """Work until nothing is left."""
        while self.consumer.run_once():
            pass
        for life in self.lives:
            self._note_truth(life)

    # -- the truth -----------------------------------------------------------------------------------------------------

    def chain(self, life: Life) -> list[Contract]:
        """The agreements of a life as they stand."""
        return [self.sandbox.marketplace.find(agreement_id) for agreement_id in life.agreement_ids]

    def truth(self, life: Life) -> Truth:
        """What AWS would say of a life now."""
        at = self.clock()
        chain = self.chain(life)
        live = [contract for contract in chain if contract.is_live(at=at)]
        if live:
            return Truth(
                seats_max=max(contract.seats for contract in live),
                renews_at=max(contract.ends_at for contract in live),
            )
        begun = [contract for contract in chain if contract.has_started]
        if not begun or begun[-1].is_active:
            return Truth()
        # SNS does not say who ended a legacy contract, nor whether it was its date.
        legacy = life.generation is Generation.LEGACY
        return Truth(lapse=LapseReason.CANCELLED if legacy else _LAPSES.get(begun[-1].status))

    def is_near_a_date(self) -> bool:
        """Whether a contract will start or end within hours, or something happened to one within the last day."""
        at = self.clock()
        chains = [contract for life in self.lives for contract in self.chain(life)]
        return any(
            at - one.last_update_at < timedelta(days=1)
            or (one.is_active and (one.ends_at if one.has_started else one.starts_at) - at < timedelta(hours=4))
            for one in chains
        )

    def _note_truth(self, life: Life) -> None:
        number = self.truth(life).seats_max
        if not life.numbers or life.numbers[-1][1] != number:
            life.numbers.append((self.clock(), number))

    def let_end(self) -> None:
        """What reached its date ends, unless it goes on."""
        for life in self.lives:
            for contract in self.chain(life):
                if contract.is_active and not contract.has_started and contract.starts_at <= self.clock():
                    self.heard(self.sandbox.marketplace.start(contract.agreement_id), life)
                elif contract.is_active and contract.ends_at + timedelta(minutes=30) <= self.clock():
                    self._end(life, contract)

    def _end(self, life: Life, contract: Contract) -> None:
        marketplace = self.sandbox.marketplace
        followed = contract.agreement_id != life.agreement_ids[-1]
        if followed or contract.at_end is AtEnd.EXPIRE or self.dice.random() < 0.3:
            self.heard(marketplace.expire(contract.agreement_id), life)
            return
        terms = SuccessorTerms(
            until=self.clock() + self.some_days(),
            seats=self.dice.choice((None, self.dice.randint(1, 9))),
            keeps_license=self.dice.random() < 0.5,
        )
        self.heard(marketplace.succeed(contract.agreement_id, terms), life)

    def heard(self, outcome: Outcome, life: Life) -> Contract:
        """Keep what went out about a contract."""
        self.bodies += [message.body for message in outcome.messages]
        contract = outcome.contract
        if contract.agreement_id not in life.agreement_ids:
            life.agreement_ids.append(contract.agreement_id)
        last = [message for message in outcome.messages if message.title == "unsubscribe-success"]
        life.ended_unheard |= any(message.fate is Fate.DROPPED for message in last)
        self._note_truth(life)
        return contract

    def some_days(self) -> timedelta:
        """A length of a contract: it may end within the story, but what begins in its quiet days goes on."""
        if self.clock() >= NOON + MISCHIEF_LASTS:
            return timedelta(days=300)
        return timedelta(hours=self.dice.randint(20, 24 * 12))

    # -- the ledger ----------------------------------------------------------------------------------------------------

    def licenses(self) -> list[License]:
        """All licenses but for twins."""
        with self.ledger.reading.connect() as reading:
            ids = reading.scalars(sqlalchemy.select(LICENSE_KEYS.c.license_id).distinct()).all()
        found = [self.ledger.past.license_now(LicenseId(license_id)) for license_id in ids]
        return [license_ for license_ in found if license_.folded_into is None]

    def licenses_of(self, life: Life) -> list[License]:
        """Those of a life; there must never be two."""
        return [one for one in self.licenses() if one.name(KeyKind.ACCOUNT) == life.account_id]

    def events(self) -> int:
        """How many events of licenses there are."""
        return sum(event.stream != SYSTEM_STREAM for event in self.ledger.feed(after=0, limit=1_000_000))

    def _audit(self, life: Life) -> None:
        """Nobody is refused, or let in, longer than the settings allow."""
        at = self.clock()
        policy = access.AccessPolicy()
        live = bool(self.truth(life).seats_max)
        subscriptions = [license_.subscription for license_ in self.licenses_of(life)]
        usable = any(access.unusable(one, policy=policy, at=at) is None for one in subscriptions)
        if usable == live or (usable and self._may_be_let_in(life)):
            life.wrong_since = None
            return
        life.wrong_since = life.wrong_since or at
        assert at - life.wrong_since <= WAIT_MAX, f"{life} is {'let in' if usable else 'refused'}"

    def _may_be_let_in(self, life: Life) -> bool:
        """Whether a contract that shows no seats is trusted still: around its date, or where nobody can know."""
        last = self.chain(life)[-1]
        around_its_date = last.is_active or last.status is AgreementStatus.EXPIRED
        return life.ended_unheard or (
            around_its_date and self.clock() < last.ends_at + access.AccessPolicy().blind_wait
        )


def mischief(dice: Random) -> MischiefPlan:
    """Some bad days."""
    return MischiefPlan(
        seed=dice.getrandbits(32),
        duplicate=dice.choice((0.0, 0.3)),
        drop=dice.choice((0.0, 0.1, 0.5)),
        reorder=dice.choice((0.0, 0.3)),
        delay_seconds=dice.choice(((0.0, 0.0), (0.0, 7_200.0))),
        throttle=dice.choice((0.0, 0.1)),
        fail=dice.choice((0.0, 0.1)),
        hang=dice.choice((0.0, 0.02)),
        hang_seconds=0.01,
        empty_pages=dice.choice((0.0, 0.2)),
        missing_row=dice.choice((0.0, 0.05)),
        as_buyer=dice.choice((0.0, 0.05)),
        until=NOON + MISCHIEF_LASTS,
    )


Act = Callable[[World, Life], None]


def set_seats(world: World, life: Life) -> None:
    """The buyer has more seats, or fewer."""
    contract = _running(world, life)
    if contract is not None:
        number = world.dice.randint(1, 9)
        world.heard(world.sandbox.marketplace.set_seats(contract.agreement_id, seats=number), life)


def succeed(world: World, life: Life) -> None:
    """Another agreement takes the place of the one that runs, now or later."""
    contract = _running(world, life)
    if contract is None or len(_open(world, life)) > 1:
        return
    dice, at = world.dice, world.clock()
    # A legacy buyer has one agreement at a time.
    kinds = ["now"] if life.generation is not Generation.CONCURRENT else ["now", "visible-before", "signed-before"]
    kind = dice.choice(kinds)
    starts_at = contract.ends_at if kind == "signed-before" else None
    terms = SuccessorTerms(
        until=max(contract.ends_at, at) + world.some_days(),
        intent=dice.choice((Intent.RENEW, Intent.REPLACE)),
        seats=dice.choice((None, dice.randint(1, 9))),
        starts_at=starts_at if starts_at is not None and starts_at > at else None,
        keeps_license=dice.random() < 0.4,
        predecessor_ends=PredecessorEnds.ON_ITS_DATE if kind == "visible-before" and contract.ends_at > at else None,
    )
    world.heard(world.sandbox.marketplace.succeed(contract.agreement_id, terms), life)


def cancel(world: World, life: Life) -> None:
    """The buyer cancels, or AWS terminates."""
    opened = _open(world, life)
    if opened:
        contract = world.dice.choice(opened)
        marketplace = world.sandbox.marketplace
        end = world.dice.choice((marketplace.cancel, marketplace.terminate))
        world.heard(end(contract.agreement_id), life)


def opt_out(world: World, life: Life) -> None:
    """The buyer does not want it to renew, or does again."""
    contract = _running(world, life)
    if contract is not None:
        at_end = world.dice.choice((AtEnd.RENEW, AtEnd.EXPIRE))
        world.heard(world.sandbox.marketplace.decide_end(contract.agreement_id, at_end=at_end), life)


def sign_in(world: World, life: Life) -> None:
    """Users take seats, as far as there are any."""
    for license_ in world.licenses_of(life):
        for user in USERS:
            try:
                world.ledger.seats.activate(license_.license_id, user=parse_user(user), caller=ADMIN)
            except RefusedError:
                return


def block(world: World, life: Life) -> None:
    """An administrator keeps somebody out."""
    for license_ in world.licenses_of(life):
        world.ledger.seats.block_user(
            license_.license_id,
            user=parse_user(world.dice.choice(USERS)),
            reason=BlockReason.LEFT,
            note=None,
            caller=ADMIN,
        )


_ACTS: Final[Sequence[tuple[Act, int]]] = (
    (set_seats, 4),
    (succeed, 4),
    (cancel, 1),
    (opt_out, 1),
    (sign_in, 6),
    (block, 1),
)


def _open(world: World, life: Life) -> list[Contract]:
    return [contract for contract in world.chain(life) if contract.is_active]


def _running(world: World, life: Life) -> Contract | None:
    at = world.clock()
    return next((one for one in reversed(world.chain(life)) if one.is_active and one.is_live(at=at)), None)


def buy(world: World, number: int) -> None:
    """A new customer accepts an offer."""
    dice, at = world.dice, world.clock()
    life = Life(
        account_id=f"{number + 1:012d}",
        generation=dice.choice((Generation.CONCURRENT, Generation.CONCURRENT, Generation.LEGACY)),
    )
    starts_at = None
    if life.generation is Generation.CONCURRENT and dice.random() < 0.2:
        starts_at = at + timedelta(hours=dice.randint(1, 72))
    world.lives.append(life)
    world.heard(
        world.sandbox.marketplace.buy(
            account_id=life.account_id,
            seats=dice.randint(1, 9),
            until=(starts_at or at) + world.some_days(),
            generation=life.generation,
            offer=Offer(starts_at=starts_at),
        ),
        life,
    )


def live(world: World) -> None:
    """Play the lives of a seed: mischief first, then quiet days."""
    dice, marketplace = world.dice, world.sandbox.marketplace
    # By somebody whose contract outlives the story the credentials are known to be the seller's.
    marketplace.buy(account_id="999999999999", seats=1, until=NOON + timedelta(days=3_000))
    marketplace.mischief.set(mischief(dice))
    acts, weights = zip(*_ACTS, strict=True)
    while world.clock() < NOON + MISCHIEF_LASTS:
        if len(world.lives) < LIVES and dice.random() < 0.5:
            buy(world, len(world.lives))
        for life in world.lives:
            if dice.random() < 0.25:
                dice.choices(acts, weights)[0](world, life)
        if dice.random() < 0.05:
            world.restart_ledger()
        if dice.random() < 0.05:
            world.restart_sandbox()
        world.pass_time(timedelta(minutes=dice.randint(STEP_MIN // MINUTE, STEP_MAX // MINUTE)))
    world.sandbox.marketplace.flush()
    until = world.clock() + QUIET_LASTS
    while world.clock() < until or world.is_near_a_date():
        world.pass_time(timedelta(hours=4))


@contextmanager
def world_of(folder: Path, *, seed: int) -> Iterator[World]:
    """A world of a seed."""
    with (
        patch.dict("os.environ", ANYBODY),
        patch("botocore.session.create_loader", lambda _: descriptions()),
    ):
        # The pauses of the program are random, and a life is to be the same again.
        random.seed(seed)
        world = World(folder, seed=seed)
        try:
            yield world
        finally:
            world.close()
