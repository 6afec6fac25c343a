"""Random contract lives by a seed: AWS's truth about each, and what the ledger made of it."""

import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Final
from unittest.mock import patch
from uuid import UUID

import sqlalchemy

from consumers.marketplace import Clients, Consumer, MarketplaceRegistration, MarketplaceSettings, aws_clients
from consumers.marketplace.reconcile.tables import RUNS
from consumers.marketplace.tables import OBSERVATIONS
from consumers.sandbox import (
    AgreementStatus,
    AtEnd,
    Contract,
    Fate,
    Intent,
    Message,
    Outcome,
    Sandbox,
    SandboxSettings,
    SuccessorTerms,
)
from ledger.license import access
from ledger.license.events import KeyKind, LapseReason, LicenseId
from ledger.license.state import License
from ledger.store.tables import LICENSE_KEYS
from ledger.store.url import DatabaseUrl
from ledger.system.events import STREAM as SYSTEM_STREAM
from ledger.times import moment
from tests.integration.consumers_stage import (
    ANYBODY,
    NOON,
    PRODUCT_CODE,
    PRODUCT_ID,
    Clock,
    descriptions,
    fresh_queue,
    open_ledger,
    sqs_endpoint,
)

MISCHIEF_LASTS: Final = timedelta(days=6)
QUIET_LASTS: Final = timedelta(days=3)
STEP_MAX: Final = timedelta(hours=8)
QUIET_STEP_MAX: Final = timedelta(hours=12)
WAIT_MAX: Final = timedelta(days=1) + STEP_MAX
"""How long the ledger may be wrong while AWS misbehaves: rechecks come once a day at the least."""
TRIES: Final = 3
TRIES_PAUSE: Final = timedelta(minutes=6)
"""Where AWS did not answer, the program asks again within minutes; the story does not jump over all of that."""
DUE_MAX: Final = 48
"""How often what is due may bring about something that is due soon again; readings come once a day in the end."""
ENDS_LATE: Final = timedelta(minutes=30)
"""So long after its date AWS says that a contract ended, or goes on."""

_LAPSES: Final = {
    AgreementStatus.CANCELLED: LapseReason.CANCELLED,
    AgreementStatus.TERMINATED: LapseReason.TERMINATED,
    AgreementStatus.EXPIRED: LapseReason.EXPIRED,
}
_PARTNERS_ENDS: Final = ("Purchase Agreement Ended - Manufacturer", "License Deprovisioned - Manufacturer")


@dataclass(kw_only=True)
class Life:
    """What one license is to be: a purchase of a customer, and the agreements that followed it.

    Attributes:
        number: the lives are told apart by it in the story; one customer may have several.
        account_id: of the buyer.
        is_legacy: whether it was bought from a legacy listing, opted in since or not.
        is_beside: whether it was bought by such a customer after the listing had opted in, as a license of its own.
        via_partner: whether a channel partner sold it, so that the seller may not read its agreements.
        agreement_ids: the chain, the first signed first.
        licensed: those of them of which a message told which license they give. Of a channel partner's agreement
            nothing else tells it.
        numbers: what counted of AWS's truth, from which moment on; 0 where nothing did.
        follows: the life that it goes on with, as AWS came to tell later; null if it never did.
        ended_unheard: whether all word was lost of an end of which AWS tells nobody who asks: then nobody can know of
            it before its date.
        wrong_since: since when the ledger lets nobody in who may, or lets in who may not.
    """

    number: int
    account_id: str
    is_legacy: bool = False
    is_beside: bool = False
    via_partner: bool = False
    follows: "Life | None" = None
    agreement_ids: list[str] = field(default_factory=list)
    licensed: set[str] = field(default_factory=set)
    numbers: list[tuple[datetime, int]] = field(default_factory=list)
    ended_unheard: bool = False
    wrong_since: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """What AWS would say of a life at a moment; the license is to say the same.

    Attributes:
        seats_max: the number that counts; 0 if nothing is live.
        renews_at: the latest date; null if nothing is live.
        lapses: why it may be said to have ended; none if something is live, nothing ever was, or nobody is told why.
    """

    seats_max: int = 0
    renews_at: datetime | None = None
    lapses: frozenset[LapseReason] = frozenset()


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
            reconcile_every=timedelta(hours=12),
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

    def tell(self, what: str) -> None:
        """Note what happens, for whoever looks into a failure."""
        self.story.append(f"{self.clock():%d %b %H:%M} {what}")

    # -- starting again ------------------------------------------------------------------------------------------------

    def restart_ledger(self) -> None:
        """As after a kill: nobody resigns."""
        self.tell("The ledger starts again")
        self.ledger.close()
        self.ledger = open_ledger(self._url, clock=self.clock)
        self.consumer = self._make_consumer()

    def restart_sandbox(self) -> None:
        """What is on its way comes later."""
        self.tell("The sandbox starts again")
        self.sandbox.stop()
        self.sandbox = self._start_sandbox()

    def _start_sandbox(self) -> Sandbox:
        return Sandbox(
            self._sandbox_settings, clock=self.clock, ids=lambda: UUID(int=self.dice.getrandbits(128))
        ).start()

    def _make_consumer(self) -> Consumer:
        return Consumer(self.ledger, self._settings, self.clients, now=self.clock, readings_per_second=10_000.0)

    def registration(self) -> MarketplaceRegistration:
        """The page to which AWS sends buyers."""
        return MarketplaceRegistration(self.ledger, self._settings, self.clients, now=self.clock)

    # -- time ----------------------------------------------------------------------------------------------------------

    def pass_time(self, by: timedelta) -> None:
        """Let time pass, and do what became due; then look who is let in."""
        self._move(by)
        self.let_end()
        self.consume()
        for _ in range(TRIES):
            if not self._is_due_within(TRIES_PAUSE):
                break
            self._move(TRIES_PAUSE)
            self.consume()
        licenses = self.licenses()
        gone_on = [life.follows for life in self.lives if life.follows is not None]
        for life in self.lives:
            if life not in gone_on:
                self._audit(life, licenses)

    def pass_quiet_time(self) -> None:
        """Let the time pass until a contract has started or ended, or half a day where none does."""
        at = self.clock()
        ahead = [date - at for date in self._dates() if date > at]
        self.pass_time(min([QUIET_STEP_MAX, *ahead]))

    def pass_what_is_due(self, *, within: timedelta) -> None:
        """Let happen what the clock alone brings about so soon, as the end of what was awaited."""
        for _ in range(DUE_MAX):
            if not self._is_due_within(within):
                break
            self.pass_time(within)

    def _move(self, by: timedelta) -> None:
        self.clock.move(by)
        self.sandbox.marketplace.tick()

    def _dates(self) -> Iterator[datetime]:
        for contract in (contract for life in self.lives for contract in self.chain(life)):
            if contract.is_active:
                yield contract.ends_at + ENDS_LATE if contract.has_started else contract.starts_at

    def _is_due_within(self, by: timedelta) -> bool:
        """Whether AWS will be asked again so soon, as after a call that it did not answer."""
        with self.ledger.reading.connect() as reading:
            due_at = reading.scalar(sqlalchemy.select(sqlalchemy.func.min(OBSERVATIONS.c.due_at)))
            under_way = RUNS.c.begun_at.is_not(None) & RUNS.c.finished_at.is_(None)
            reconciles = reading.scalar(sqlalchemy.select(RUNS.c.number).where(under_way))
        return reconciles is not None or (due_at is not None and moment(due_at) <= self.clock() + by)

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
        begun = [one for one in chain if one.has_started or one.starts_at < min(one.ends_at, at)]
        # SNS does not say who ended a legacy contract; nor does anybody tell who is not the proposer.
        if not begun or begun[-1].is_active or life.is_legacy or life.via_partner:
            return Truth()
        # Where a renewal was called off, its predecessor may have run longer, of which nobody need have heard.
        ended = [one for one in begun if one.status in _LAPSES]
        last = (ended[-1], max(ended, key=lambda one: one.ends_at)) if ended else ()
        return Truth(lapses=frozenset(_LAPSES[one.status] for one in last))

    def is_awaited(self, life: Life) -> bool:
        """Whether all that AWS tells of a life's end is that it goes on as something that nobody is told of."""
        return self.chain(life)[-1].status in (AgreementStatus.RENEWED, AgreementStatus.REPLACED)

    def is_near_a_date(self) -> bool:
        """Whether a contract will start or end within hours, or something happened to one within the last day."""
        at = self.clock()
        chains = [contract for life in self.lives for contract in self.chain(life)]
        return any(at - contract.last_update_at < timedelta(days=1) for contract in chains) or any(
            date - at < timedelta(hours=4) for date in self._dates()
        )

    def _note_truth(self, life: Life) -> None:
        number = self.truth(life).seats_max
        if not life.numbers or life.numbers[-1][1] != number:
            life.numbers.append((self.clock(), number))

    def let_end(self) -> None:
        """What reached its date ends, unless it goes on."""
        for life in list(self.lives):
            for contract in self.chain(life):
                if contract.is_active and not contract.has_started and contract.starts_at <= self.clock():
                    self.heard(self.sandbox.marketplace.start(contract.agreement_id), life)
                elif contract.is_active and contract.ends_at + ENDS_LATE <= self.clock():
                    self._end(life, contract)

    def _end(self, life: Life, contract: Contract) -> None:
        marketplace = self.sandbox.marketplace
        followed = contract.agreement_id != life.agreement_ids[-1]
        if followed or contract.at_end is AtEnd.EXPIRE or self.dice.random() < 0.3:
            self.heard(marketplace.expire(contract.agreement_id), life)
            return
        terms = SuccessorTerms(
            until=self.clock() + self.some_days(),
            intent=Intent.REPLACE if contract.at_end is AtEnd.REPLACE else Intent.RENEW,
            seats=self.dice.choice((None, self.dice.randint(1, 9))),
            keeps_license=self.dice.random() < 0.5,
        )
        self.succeeded(marketplace.succeed(contract.agreement_id, terms), life, terms)

    def begin(
        self, *, account_id: str, is_legacy: bool = False, is_beside: bool = False, via_partner: bool = False
    ) -> Life:
        """Another license is to come to be."""
        life = Life(
            number=len(self.lives) + 1,
            account_id=account_id,
            is_legacy=is_legacy,
            is_beside=is_beside,
            via_partner=via_partner,
        )
        self.lives.append(life)
        return life

    def succeeded(self, outcome: Outcome, life: Life, terms: SuccessorTerms) -> None:
        """Another agreement took the place of one; where nobody could tell that it does, its license is another one."""
        told = terms.keeps_license or (terms.is_linked and not life.via_partner)
        heir = (
            life
            if told
            else self.begin(account_id=life.account_id, is_beside=life.is_beside, via_partner=life.via_partner)
        )
        self.heard(outcome, heir)
        if heir is not life:
            self._note_unheard(outcome.messages, life)
            self._note_truth(life)

    def heard(self, outcome: Outcome, life: Life) -> Contract:
        """Keep what went out about a contract."""
        contract = outcome.contract
        self.bodies += [message.body for message in outcome.messages]
        if contract.agreement_id not in life.agreement_ids:
            life.agreement_ids.append(contract.agreement_id)
        self.tell(
            f"  life {life.number}: {contract.agreement_id[-6:]} {contract.status} {contract.seats} seats,"
            f" {contract.starts_at:%d %b %H:%M} to {contract.ends_at:%d %b %H:%M}, l-…{contract.license_arn[-6:]}"
        )
        for message in outcome.messages:
            self.tell(f"    {message.agreement_id[-6:]} {message.title}: {message.fate}")
        self._note_unheard(outcome.messages, life)
        self._note_truth(life)
        return contract

    def _note_unheard(self, messages: Sequence[Message], life: Life) -> None:
        """Where nobody may ask how an agreement stands, its end is told by its messages alone."""
        ours = [message for message in messages if message.agreement_id in life.agreement_ids]
        life.licensed |= {
            message.agreement_id
            for message in ours
            if message.title.startswith("License") and message.fate is not Fate.DROPPED
        }
        ends = [message for message in ours if _is_an_end(message, life)]
        told = [one for one in ends if one.fate is not Fate.DROPPED and self._is_understood(one, life)]
        life.ended_unheard |= bool(ends) and not told and self.truth(life).seats_max == 0

    def _is_understood(self, message: Message, life: Life) -> bool:
        if life.is_legacy:
            return True
        # Of one that was renewed or replaced it is awaited what follows, whatever else is told.
        ended = self.sandbox.marketplace.find(message.agreement_id).status in _LAPSES
        return ended and message.agreement_id in life.licensed

    def some_days(self) -> timedelta:
        """A length of a contract: it may end within the story, but what begins in its quiet days goes on."""
        if self.clock() >= NOON + MISCHIEF_LASTS:
            return timedelta(days=300)
        return timedelta(hours=self.dice.randint(20, 24 * 12))

    def link(self, life: Life, *, follows: Life) -> None:
        """AWS comes to tell that the first agreement of a life follows the last one of another."""
        contract, before = self.chain(life)[0], self.chain(follows)[-1]
        linked = replace(
            contract, initial_agreement_id=before.initial_agreement_id, previous_agreement_id=before.agreement_id
        )
        self.sandbox.marketplace.book.put(replace(linked, last_update_at=self.clock()))
        life.follows = follows

    # -- the ledger ----------------------------------------------------------------------------------------------------

    def licenses(self) -> list[License]:
        """All licenses but for twins."""
        with self.ledger.reading.connect() as reading:
            ids = reading.scalars(sqlalchemy.select(LICENSE_KEYS.c.license_id).distinct()).all()
        found = [self.ledger.past.license_now(LicenseId(license_id)) for license_id in ids]
        return [license_ for license_ in found if license_.folded_into is None]

    def licenses_of(self, life: Life, licenses: Sequence[License] | None = None) -> list[License]:
        """Those, of all or of these, that are known by a key of a life; there must never be two."""
        keys = self._keys(life)
        return [one for one in (self.licenses() if licenses is None else licenses) if keys & set(one.names)]

    def lives_of(self, license_: License) -> list[Life]:
        """Those of which a license is, or was before it was folded."""
        return [life for life in self.lives if self._keys(life) & set(license_.names)]

    def _keys(self, life: Life) -> set[tuple[KeyKind, str]]:
        chain = self.chain(life)
        customers = set() if life.is_beside else {one.customer_identifier for one in chain} - {None}
        return {
            *((KeyKind.AGREEMENT, one.agreement_id) for one in chain),
            *((KeyKind.LICENSE_ARN, one.license_arn) for one in chain),
            *((KeyKind.CUSTOMER, f"{PRODUCT_CODE}/{customer}") for customer in customers),
        }

    def events(self) -> int:
        """How many events of licenses there are."""
        return sum(event.stream != SYSTEM_STREAM for event in self.ledger.feed(after=0, limit=1_000_000))

    def _audit(self, life: Life, licenses: Sequence[License]) -> None:
        """Nobody is refused, or let in, longer than the settings allow."""
        at = self.clock()
        policy = access.AccessPolicy()
        live = bool(self.truth(life).seats_max)
        subscriptions = [license_.subscription for license_ in self.licenses_of(life, licenses)]
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


def _is_an_end(message: Message, life: Life) -> bool:
    if message.title == "unsubscribe-success":
        return life.is_legacy
    return life.via_partner and message.title in _PARTNERS_ENDS


@contextmanager
def world_of(folder: Path, *, seed: int) -> Iterator[World]:
    """A world of a seed. What fails in it names the seed and tells the story so far."""
    with (
        patch.dict("os.environ", ANYBODY),
        patch("botocore.session.create_loader", lambda _: descriptions()),
    ):
        # The pauses of the program are random, and a life is to be the same again.
        random.seed(seed)
        world = World(folder, seed=seed)
        try:
            yield world
        except BaseException as error:
            error.add_note("\n".join((f"Seed {seed}. The story so far:", *world.story)))
            raise
        finally:
            world.close()
