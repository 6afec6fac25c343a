"""The sandbox Marketplace itself: it holds the contracts, lets them be changed, and says what became of them.

Nothing happens by itself, unless it is told to: a contract whose date passes has no entitlements any more and stays
ACTIVE, as with AWS in the time around a renewal, until it is renewed or let expire. A contract that is signed for a
later day has entitlements from that day on; the messages of its start are sent when it is told to start. When the clock
is moved forward, what falls due in between happens in its order.
"""

import base64
import binascii
import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from threading import RLock
from typing import Any
from uuid import UUID

import msgspec

from consumers.sandbox import contracts
from consumers.sandbox.agenda import Due, Event, due_for, next_end
from consumers.sandbox.book import Book
from consumers.sandbox.clock import SandboxClock
from consumers.sandbox.contracts import (
    AgreementStatus,
    AtEnd,
    Buyer,
    Contract,
    ContractIds,
    Generation,
    Intent,
    Offer,
    Party,
    PredecessorEnds,
    Product,
    Seats,
    SuccessorTerms,
)
from consumers.sandbox.courier import Courier
from consumers.sandbox.memory import State, StateFile, TimeState
from consumers.sandbox.mischief import Mischief
from consumers.sandbox.notices import Notice
from consumers.sandbox.notifications import Announcements, Message
from consumers.sandbox.signing import passing_key
from ledger.times import microseconds, moment

CONTRACTS_MAX = 50_000
MESSAGES_KEPT = 500
TOKEN_LIFETIME = timedelta(hours=4)
"""AWS: a registration token has an expiration window of 4 hours, and answers the same as long as it lives."""
PUBLIC_OFFER = Offer()

_SIGNATURE_BYTES = 16


class TokenIsInvalidError(Exception):
    """This Marketplace never issued the registration token."""


class TokenHasExpiredError(Exception):
    """The registration token was issued longer ago than it lives."""


class MessageNotFoundError(contracts.MarketplaceRefusedError):
    """No message has this number, or it was sent too long ago to be remembered."""

    def __init__(self, number: int) -> None:
        super().__init__(f"No message has the number {number} any more.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What an operation made of a contract, and the messages that went out about it."""

    contract: Contract
    messages: tuple[Message, ...]
    predecessor: Contract | None = None
    """The agreement whose place it took, as it is now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrationToken:
    """What "Set up your account" sends to the seller."""

    token: str
    expires_at: datetime
    is_of_trial: bool
    """Whether the form says `x-amzn-marketplace-offer-type=free-trial` beside it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """Something that fell due, and what came of it."""

    due: Due
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Time:
    """How the clock stands."""

    now: datetime
    ahead: timedelta
    """How far it was moved."""
    auto: bool
    """Whether what falls due happens by itself."""
    renewals_keep_license: bool
    next: Due | None
    """What falls due next."""


class Marketplace:
    """A place where a seller's products are sold. Safe to use from many threads.

    Changes go one after the other, each with its messages, so the queue gets them in the order in which they happened.
    Readers never wait for a change: they see the contracts as they were after the last one.
    """

    def __init__(
        self,
        *,
        products: Sequence[Product],
        clock: Callable[[], datetime],
        ids: Callable[[], UUID],
        deliver: Callable[[Message], bool],
        sign: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None,
        raw_delivery: bool = False,
        memory: StateFile | None = None,
    ) -> None:
        """Open for business.

        Args:
            products: what is sold, at least one.
            clock: gives the time, aware UTC.
            ids: every id and secret is made from what it gives.
            deliver: hands a message to the seller's queue and says whether the queue took it.
            sign: adds SNS's signature to a legacy notification; null is with a key of this process.
            raw_delivery: send legacy notifications without the SNS envelope.
            memory: keeps what is new after each change, before anybody hears of it, for the next Marketplace.
        """
        self.products = tuple(products)
        self._ids = ids
        self._announcements = {
            product.code: Announcements(
                product=product, ids=ids, sign=sign or passing_key().sign, raw_delivery=raw_delivery
            )
            for product in products
        }
        before = memory.state if memory else State()
        self._memory = memory
        self.contracts_max = CONTRACTS_MAX
        self._time = before.time or TimeState(ahead=timedelta(), notices_until=clock())
        self._clock = SandboxClock(clock, ahead=self._time.ahead)
        self.mischief = Mischief(before.mischief, keep=lambda state: self._keep(State(mischief=state)))
        self._courier = Courier(deliver=deliver, mischief=self.mischief, waiting=before.waiting or ())
        self._changing = RLock()
        self.book = Book(before.contracts)
        self._secret = before.secret or ids().bytes
        self._messages: deque[Message] = deque(maxlen=MESSAGES_KEPT)
        self._messages_sent = 0
        self._next_due = datetime.min.replace(tzinfo=UTC)
        # Whoever is killed forgets what was on its way; whoever is stopped writes it down.
        self._keep(State(secret=self._secret, waiting=()))

    @property
    def product(self) -> Product:
        """The first of the products: that of a purchase which names none."""
        return self.products[0]

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """All contracts, the first signed first."""
        return self.book.contracts

    @property
    def messages(self) -> tuple[Message, ...]:
        """The last messages, newest first."""
        with self._changing:
            return tuple(reversed(self._messages))

    def now(self) -> datetime:
        """Tell the time of this Marketplace."""
        return self._clock()

    def find(self, agreement_id: str) -> Contract:
        """Look a contract up.

        Raises:
            ContractNotFoundError: there is none.
        """
        return self.book.find(agreement_id)

    def product_of(self, contract: Contract) -> Product:
        """Tell what a contract is of."""
        return self._announcements[contract.product_code].product

    def buy(
        self,
        *,
        account_id: str,
        seats: Seats,
        until: datetime,
        generation: Generation = Generation.CONCURRENT,
        auto_renews: bool = True,
        offer: Offer = PUBLIC_OFFER,
    ) -> Outcome:
        """Let the buyer with this AWS account accept an offer.

        Raises:
            AccountIdMalformedError: the account id is not twelve digits.
            ProductNotFoundError: there is no such product.
            DimensionNotFoundError: the product has no such dimension.
            SeatsOutOfRangeError: fewer than one seat, or more than AWS can count.
            StartIsPastError: it would start before it is signed.
            EndNotLaterError: it would end before it begins.
            AnotherContractIsActiveError: the listing is a legacy one, and this buyer has a contract.
            TooManyContractsError: the sandbox is full.
        """
        with self._changing:
            at = self._clock()
            product = self._find_product(offer.product_code)
            buyer = Buyer(
                account_id=account_id,
                customer_identifier=self._legacy_name(account_id, product, generation),
                generation=generation,
            )
            contract = contracts.sign(
                ids=self._name_contract(),
                buyer=buyer,
                product=product,
                seats=seats,
                until=until,
                offer=offer if offer.at_end else replace(offer, at_end=AtEnd.RENEW if auto_renews else AtEnd.EXPIRE),
                at=at,
            )
            return self._settle(contract, lambda about, settled: about.of_purchase(settled, at=at), at=at)

    def succeed(self, agreement_id: str, terms: SuccessorTerms) -> Outcome:
        """Let another agreement take the place of one: a renewal, or an agreement-based offer that replaces it.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it was cancelled, terminated or archived.
            DimensionNotFoundError: the product has no such dimension.
            SeatsOutOfRangeError: fewer than one seat, or more than AWS can count.
            StartIsPastError: the new one would start before it is signed.
            EndNotLaterError: the new one would end before it begins.
            TooManyContractsError: the sandbox is full.
        """
        with self._changing:
            at = self._clock()
            before = self.find(agreement_id)
            successor = contracts.succeed(
                before, ids=self._name_contract(), product=self.product_of(before), terms=terms, at=at
            )
            if not before.is_active or not _ends_now(terms, successor):
                settled = self._settle(successor, lambda about, new: about.of_purchase(new, at=at), at=at)
                return replace(settled, predecessor=before)
            ended = contracts.end(before, status=successor.intent.ends_predecessor_as, at=at)
            return self._settle(
                successor,
                lambda about, new: about.of_succession(ended, new, at=at),
                at=at,
                predecessor=ended,
            )

    def set_seats(self, agreement_id: str, *, seats: Seats) -> Outcome:
        """Let the buyer have more or fewer seats. The same number again changes nothing and sends nothing.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over.
            DimensionNotFoundError: the product has no such dimension.
            SeatsOutOfRangeError: a negative number, or more than AWS can count.
        """
        with self._changing:
            before = self.find(agreement_id)
            after = contracts.set_seats(before, seats=seats, product=self.product_of(before))
            return self._amend(before, after)

    def renew(self, agreement_id: str, *, until: datetime) -> Outcome:
        """Let the same agreement go on to a later date. AWS renews by another agreement: see `succeed`.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over.
            EndNotLaterError: the new end is not later than the present one.
        """
        with self._changing:
            before = self.find(agreement_id)
            return self._amend(before, contracts.renew(before, until=until))

    def decide_end(self, agreement_id: str, *, at_end: AtEnd, by: Party = Party.ACCEPTOR) -> Outcome:
        """Let the buyer, or the seller, decide what becomes of a contract at its end.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over.
        """
        with self._changing:
            at = self._clock()
            before = self.find(agreement_id)
            after = contracts.decide_end(before, at_end=at_end, by=by)
            if after == before:
                return Outcome(contract=before, messages=())
            return self._settle(after, lambda about, settled: about.of_decision(settled, at=at), at=at)

    def start(self, agreement_id: str) -> Outcome:
        """Let the day come on which a future-dated contract starts.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over.
            ContractHasStartedError: it runs already.
        """
        with self._changing:
            at = self._clock()
            after = contracts.start(self.find(agreement_id), at=at)
            return self._settle(after, lambda about, settled: about.of_start(settled, at=at), at=at)

    def opt_in(self, agreement_id: str) -> Outcome:
        """Opt a legacy contract into Concurrent Agreements. AWS says nothing of it.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over.
            ContractIsNotLegacyError: it is none of a legacy listing, or was opted in before.
        """
        with self._changing:
            after = contracts.opt_in(self.find(agreement_id))
            return self._settle(after, lambda _about, _settled: (), at=self._clock())

    def cancel(self, agreement_id: str) -> Outcome:
        """Let the buyer cancel.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over already.
        """
        return self._end(agreement_id, status=AgreementStatus.CANCELLED)

    def terminate(self, agreement_id: str) -> Outcome:
        """Let AWS end it, as when a payment failed.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over already.
        """
        return self._end(agreement_id, status=AgreementStatus.TERMINATED)

    def expire(self, agreement_id: str) -> Outcome:
        """Let the end date pass now: it is renewed or replaced if another agreement waits for that, else expired.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over already.
        """
        with self._changing:
            successors = self.book.having("previous_agreement_id", agreement_id)
            intents = [successor.intent for successor in successors if successor.is_active]
            status = intents[0].ends_predecessor_as if intents else AgreementStatus.EXPIRED
            return self._end(agreement_id, status=status)

    def end(self, agreement_id: str, *, status: AgreementStatus) -> Outcome:
        """Let it end in this way, whether or not that is how AWS would end it.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over already.
        """
        return self._end(agreement_id, status=status)

    def archive(self, agreement_id: str) -> Outcome:
        """Put an agreement away. AWS says nothing of it.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is archived already.
        """
        with self._changing:
            at = self._clock()
            after = contracts.archive(self.find(agreement_id), at=at)
            return self._settle(after, lambda _about, _settled: (), at=at)

    def give_notice(self, agreement_id: str, notice: Notice, *, days: int = 30) -> Outcome:
        """Let AWS say something about a contract that changes nothing of it.

        Args:
            agreement_id: which contract.
            notice: what is said.
            days: how many days before its end an ending contract is told of.

        Raises:
            ContractNotFoundError: there is no such contract.
        """
        with self._changing:
            contract = self.find(agreement_id)
            about = self._announcements[contract.product_code]
            said = about.of_notice(contract, notice, days=days, at=self._clock())
            return Outcome(contract=contract, messages=self._send(said))

    def send_again(self, number: int) -> Message:
        """Hand a message to the queue once more, as it was.

        Raises:
            MessageNotFoundError: there is none with this number any more.
        """
        with self._changing:
            for message in self._messages:
                if message.number == number:
                    return self._courier.deliver(message)
            raise MessageNotFoundError(number)

    @property
    def time(self) -> Time:
        """How the clock stands, and what falls due next."""
        with self._changing:
            due = [due for contract in self.book.contracts for due in self._due_for(contract)]
            return Time(
                now=self._clock(),
                ahead=self._clock.ahead,
                auto=self._time.auto,
                renewals_keep_license=self._time.renewals_keep_license,
                next=min(due, default=None),
            )

    def set_auto(self, *, auto: bool, renewals_keep_license: bool = False) -> None:
        """Let what falls due happen by itself from now on, or not.

        Args:
            auto: whether it happens by itself.
            renewals_keep_license: whether an agreement that renews gives the license of the one before.
        """
        with self._changing:
            self._keep_time(auto=auto, renewals_keep_license=renewals_keep_license, notices_until=self._clock())

    def advance(self, to: datetime) -> tuple[Happening, ...]:
        """Move the clock to a later moment; what falls due until then happens in its order, each at its time.

        Raises:
            ClockGoesForwardError: the moment is past, or more than ten years ahead.
            TooManyContractsError: renewals filled the sandbox; the clock stands where that happened.
        """
        with self._changing:
            self._clock.require_ahead(to)
            if not self._time.auto:
                self._keep_time(notices_until=self._clock())
            happened = self._let_happen(until=to, move=True)
            self._clock.move_to(to)
            self._courier.deliver_due(at=to)
            self._keep_time(notices_until=to)
            return happened

    def tick(self) -> None:
        """Let happen what fell due, if that is wanted, and deliver what has waited long enough."""
        with self._changing:
            now = self._clock()
            if self._time.auto and self._next_due <= now:
                self._let_happen(until=now, move=False)
                self._keep_time(notices_until=now)
            self._courier.deliver_due(at=now)

    @property
    def waiting(self) -> int:
        """How many messages are on their way."""
        with self._changing:
            return len(self._courier.waiting)

    def flush(self) -> int:
        """Deliver all messages that are on their way, and say how many that were."""
        with self._changing:
            return self._courier.flush()

    def close(self) -> None:
        """Write down what is on its way, and let calls that hang go."""
        self.mischief.let_go()
        with self._changing:
            self._keep(State(waiting=self._courier.waiting))

    def issue_token(self, agreement_id: str) -> RegistrationToken:
        """Give the registration token that AWS sends to the seller when the buyer chooses "Set up your account".

        A token carries what it says and is signed with a secret of this Marketplace, so none needs to be remembered.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: AWS shows the button on active contracts only.
        """
        contract = self.find(agreement_id)
        if not contract.is_active:
            raise contracts.ContractHasEndedError(contract)
        issued_at = self._clock()
        said = f"{contract.agreement_id} {microseconds(issued_at)}".encode()
        return RegistrationToken(
            token=base64.urlsafe_b64encode(self._sign(said) + said).decode(),
            expires_at=issued_at + TOKEN_LIFETIME,
            is_of_trial=contract.trial_ends_at is not None,
        )

    def resolve_token(self, token: str) -> Contract:
        """Find the contract that a registration token stands for. The same token answers the same until it expires.

        Raises:
            TokenIsInvalidError: it was not issued here.
            TokenHasExpiredError: it is older than four hours.
        """
        try:
            signed = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise TokenIsInvalidError from None
        signature, said = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(said)):
            raise TokenIsInvalidError
        agreement_id, issued = said.decode().split(" ")
        if self._clock() >= moment(int(issued)) + TOKEN_LIFETIME:
            raise TokenHasExpiredError
        return self.find(agreement_id)

    def _let_happen(self, *, until: datetime, move: bool) -> tuple[Happening, ...]:
        agenda = [due for contract in self.book.contracts for due in self._due_for(contract) if due.at <= until]
        heapify(agenda)
        happened: list[Happening] = []
        done: set[Due] = set()
        while agenda:
            due = heappop(agenda)
            # What came before can have changed what was to come.
            if due in done or due not in self._due_for(self.find(due.agreement_id)):
                continue
            if move:
                self._clock.move_to(due.at)
                self._keep_time()
            self._courier.deliver_due(at=self._clock())
            done.add(due)
            outcome = self._happen(due)
            happened.append(Happening(due=due, outcome=outcome))
            touched = [one for one in (outcome.predecessor, outcome.contract) if one is not None]
            for new in (new for one in touched for new in self._due_for(one) if new.at <= until):
                heappush(agenda, new)
        left = (due.at for contract in self.book.contracts for due in self._due_for(contract) if due.at > until)
        self._next_due = min(left, default=datetime.max.replace(tzinfo=UTC))
        return tuple(happened)

    def _happen(self, due: Due) -> Outcome:
        match due.event:
            case Event.STARTS:
                return self.start(due.agreement_id)
            case Event.IS_ENDING:
                return self.give_notice(due.agreement_id, Notice.ENDING, days=due.days)
            case Event.ENDS:
                return self.expire(due.agreement_id)
            case Event.RENEWS:
                return self._renew_by_itself(self.find(due.agreement_id))

    def _renew_by_itself(self, contract: Contract) -> Outcome:
        now = self._clock()
        until = next_end(contract, after=now)
        if until is None:
            return self.expire(contract.agreement_id)
        terms = SuccessorTerms(
            until=until,
            intent=Intent.REPLACE if contract.at_end is AtEnd.REPLACE else Intent.RENEW,
            keeps_license=self._time.renewals_keep_license,
            predecessor_ends=PredecessorEnds.ON_ITS_DATE if now < contract.ends_at else PredecessorEnds.NOW,
        )
        return self.succeed(contract.agreement_id, terms)

    def _due_for(self, contract: Contract) -> Iterator[Due]:
        if not contract.is_active:
            return iter(())
        successors = self.book.having("previous_agreement_id", contract.agreement_id)
        return due_for(
            contract,
            has_successor=any(successor.is_active for successor in successors),
            notices_after=self._time.notices_until,
        )

    def _keep_time(self, **changed: Any) -> None:  # noqa: ANN401 -- fields of the struct
        self._time = msgspec.structs.replace(self._time, ahead=self._clock.ahead, **changed)
        self._keep(State(time=self._time))

    def _end(self, agreement_id: str, *, status: AgreementStatus) -> Outcome:
        with self._changing:
            at = self._clock()
            after = contracts.end(self.find(agreement_id), status=status, at=at)
            others = self.book.having("license_arn", after.license_arn)
            gone = not any(other.is_active for other in others if other.agreement_id != agreement_id)
            return self._settle(after, lambda about, settled: about.of_end(settled, license_gone=gone, at=at), at=at)

    def _amend(self, before: Contract, after: Contract) -> Outcome:
        if after == before:
            return Outcome(contract=before, messages=())
        at = self._clock()
        return self._settle(after, lambda about, settled: about.of_amendment(settled, at=at), at=at)

    def _settle(
        self,
        contract: Contract,
        announce: Callable[[Announcements, Contract], tuple[Message, ...]],
        *,
        at: datetime,
        predecessor: Contract | None = None,
    ) -> Outcome:
        # The contracts first: who reads the message at once must find in AWS what it is about.
        settled = tuple(replace(one, last_update_at=at) for one in (predecessor, contract) if one is not None)
        self._keep(State(contracts=settled))
        for one in settled:
            self.book.put(one)
            self._next_due = min([self._next_due, *(due.at for due in self._due_for(one))])
        messages = announce(self._announcements[contract.product_code], settled[-1])
        return Outcome(
            contract=settled[-1],
            messages=self._send(messages),
            predecessor=settled[0] if predecessor is not None else None,
        )

    def _keep(self, changed: State) -> None:
        if self._memory is not None:
            self._memory.keep(changed)

    def _send(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        sent = []
        for message in messages:
            self._messages_sent += 1
            sent.append(self._courier.send(replace(message, number=self._messages_sent), at=self._clock()))
        self._messages.extend(sent)
        return tuple(sent)

    def _find_product(self, code: str | None) -> Product:
        if code is None:
            return self.product
        if code not in self._announcements:
            raise contracts.ProductNotFoundError(code)
        return self._announcements[code].product

    def _name_contract(self) -> ContractIds:
        if len(self.book) >= self.contracts_max:
            raise contracts.TooManyContractsError(self.contracts_max)
        return ContractIds.made_from(self._ids(), self._ids(), self._ids())

    def _legacy_name(self, account_id: str, product: Product, generation: Generation) -> str | None:
        if generation is Generation.CONCURRENT:
            return None
        earlier = [one for one in self.book.having("account_id", account_id) if one.customer_identifier is not None]
        if generation is Generation.LEGACY and any(
            one.is_active and one.product_code == product.code and one.generation is Generation.LEGACY
            for one in earlier
        ):
            raise contracts.AnotherContractIsActiveError(account_id)
        names = (one.customer_identifier for one in earlier)
        return next(names, None) or contracts.name_legacy_buyer(self._ids())

    def _sign(self, said: bytes) -> bytes:
        return hmac.digest(self._secret, said, hashlib.sha256)[:_SIGNATURE_BYTES]


def _ends_now(terms: SuccessorTerms, successor: Contract) -> bool:
    if terms.predecessor_ends is None:
        return successor.has_started
    return terms.predecessor_ends is PredecessorEnds.NOW
