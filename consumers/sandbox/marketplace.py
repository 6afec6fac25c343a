"""The sandbox Marketplace itself: it holds the contracts, lets them be changed, and says what became of them.

Nothing happens by itself, unless it is told to: a contract whose date passes has no entitlements any more and stays
ACTIVE, as with AWS in the time around a renewal, until it is renewed or let expire. A contract that is signed for a
later day has entitlements from that day on; the messages of its start are sent when it is told to start. When the clock
is moved forward, what falls due in between happens in its order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from threading import RLock
from uuid import UUID

from consumers.sandbox import contracts
from consumers.sandbox.agenda import Due, Event, next_end
from consumers.sandbox.book import Book
from consumers.sandbox.contracts import (
    AgreementStatus,
    AtEnd,
    Buyer,
    Contract,
    ContractIds,
    Generation,
    Intent,
    NoRenewal,
    Offer,
    Party,
    PredecessorEnds,
    Product,
    Seats,
    SuccessorTerms,
)
from consumers.sandbox.courier import Courier
from consumers.sandbox.memory import State, StateFile
from consumers.sandbox.mischief import Mischief
from consumers.sandbox.notices import Notice
from consumers.sandbox.notifications import Announcements, Message
from consumers.sandbox.outcomes import Happening, Outcome
from consumers.sandbox.signing import passing_key
from consumers.sandbox.starting import SandboxCannotStartError
from consumers.sandbox.timeline import Time, Timeline
from consumers.sandbox.tokens import RegistrationToken, Tokens

CONTRACTS_MAX = 50_000
PUBLIC_OFFER = Offer()


class ProductsAreMissingError(SandboxCannotStartError):
    """There are contracts of products that are not sold any more, of which AWS could tell nothing."""

    def __init__(self, contracts: Sequence[Contract]) -> None:
        dimensions: dict[str, dict[str, None]] = {}
        for contract in contracts:
            dimensions.setdefault(contract.product_code, {}).update(dict.fromkeys(contract.quantities))
        named = ", ".join(f"{code}:{'+'.join(names)}" for code, names in dimensions.items())
        super().__init__(
            f"There are contracts of {named}, which this sandbox does not sell. "
            f"Name {'it' if len(dimensions) == 1 else 'them'} too, by --product or LEDGER_PRODUCT_CODES, "
            "or start in another folder."
        )


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

        Raises:
            ProductsAreMissingError: the memory has contracts of something that is not sold.
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
        unsold = [contract for contract in before.contracts if contract.product_code not in self._announcements]
        if unsold:
            raise ProductsAreMissingError(unsold)
        self._memory = memory
        self.contracts_max = CONTRACTS_MAX
        self.mischief = Mischief(before.mischief, keep=lambda state: self._keep(State(mischief=state)))
        self._courier = Courier(deliver=deliver, mischief=self.mischief, waiting=before.waiting or ())
        self._changing = RLock()
        self.book = Book(before.contracts)
        self._timeline = Timeline(
            clock=clock, before=before.time, book=self.book, keep=lambda time: self._keep(State(time=time))
        )
        self._tokens = Tokens(secret=before.secret or ids().bytes)
        # Whoever is killed forgets what was on its way; whoever is stopped writes it down.
        self._keep(State(secret=self._tokens.secret, waiting=()))

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
        """The last messages as they are now, newest first."""
        with self._changing:
            return self._courier.messages

    def now(self) -> datetime:
        """Tell the time of this Marketplace."""
        return self._timeline.now()

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
            TrialEndOutsideError: its free trial would end before it begins, or later than it ends itself.
            AnotherContractIsActiveError: the listing is a legacy one, and this buyer has a contract.
            TooManyContractsError: the sandbox is full.
        """
        with self._changing:
            at = self.now()
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
            ContractsOverlapError: the listing is a legacy one, and this buyer would have two contracts at a time.
            TooManyContractsError: the sandbox is full.
        """
        with self._changing:
            return self._succeed(self.find(agreement_id), terms, at=self.now())

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
            ContractsOverlapError: the listing is a legacy one, and another contract of this buyer starts before.
        """
        with self._changing:
            before = self.find(agreement_id)
            after = contracts.renew(before, until=until)
            self._require_alone(after)
            return self._amend(before, after)

    def decide_end(
        self, agreement_id: str, *, at_end: AtEnd, by: Party = Party.ACCEPTOR, reason: NoRenewal | None = None
    ) -> Outcome:
        """Let the buyer, or the seller, decide what becomes of a contract at its end.

        Args:
            agreement_id: which contract.
            at_end: what becomes of it.
            by: who opts out, if it is to expire.
            reason: why it is to expire though nobody opts out.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over.
        """
        with self._changing:
            at = self.now()
            before = self.find(agreement_id)
            after = contracts.decide_end(before, at_end=at_end, by=by, reason=reason)
            if after == before:
                return Outcome(contract=before, messages=())
            return self._settle(after, lambda about, settled: about.of_decision(settled, at=at), at=at)

    def start(self, agreement_id: str) -> Outcome:
        """Let the day come on which a future-dated contract starts.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over.
            ContractHasStartedError: it runs already.
            ContractsOverlapError: the listing is a legacy one, and another contract of this buyer runs until later.
        """
        with self._changing:
            at = self.now()
            before = self.find(agreement_id)
            after = contracts.start(before, at=at)
            if after.starts_at < before.starts_at:
                self._require_alone(after)
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
            return self._settle(after, lambda _about, _settled: (), at=self.now())

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
        """Let the end date pass now: it is renewed or replaced if another agreement took its place, else expired.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over already.
        """
        with self._changing:
            successor = self.book.successor(agreement_id)
            status = AgreementStatus.EXPIRED if successor is None else successor.intent.ends_predecessor_as
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
            at = self.now()
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
            said = about.of_notice(contract, notice, days=days, at=self.now())
            return Outcome(contract=contract, messages=self._send(said))

    def send_again(self, number: int) -> Message:
        """Hand a message to the queue once more, as it was.

        Raises:
            MessageNotFoundError: there is none with this number any more.
        """
        with self._changing:
            return self._courier.deliver(self._courier.find(number))

    @property
    def time(self) -> Time:
        """How the clock stands, and what falls due next."""
        with self._changing:
            return self._timeline.time

    def set_auto(self, *, auto: bool, renewals_keep_license: bool = False) -> None:
        """Let what falls due happen by itself from now on, or not.

        Args:
            auto: whether it happens by itself.
            renewals_keep_license: whether an agreement that renews gives the license of the one before.
        """
        with self._changing:
            self._timeline.set_auto(auto=auto, renewals_keep_license=renewals_keep_license)

    def advance(self, to: datetime, *, chosen_at: datetime | None = None) -> tuple[Happening, ...]:
        """Move the clock to a later moment; what falls due until then happens in its order, each at its time.

        Args:
            to: the moment.
            chosen_at: the time at which it was chosen, which went on since; null is now.

        Raises:
            ClockGoesForwardError: the moment was past when it was chosen, or more than ten years ahead.
            TooManyContractsError: renewals filled the sandbox; the clock stands where that happened.
        """
        with self._changing:
            return self._timeline.advance(
                to,
                chosen_at=chosen_at,
                happen=self._happen,
                meanwhile=lambda at: self._courier.deliver_due(at=at),
            )

    def tick(self) -> None:
        """Deliver what has waited long enough, and let happen what fell due, if that is wanted.

        Raises:
            TooManyContractsError: a renewal filled the sandbox.
        """
        with self._changing:
            self._courier.deliver_due(at=self.now())
            self._timeline.tick(happen=self._happen)

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

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: AWS shows the button on active contracts only.
        """
        return self._tokens.issue(self.find(agreement_id), at=self.now())

    def resolve_token(self, token: str) -> Contract:
        """Find the contract that a registration token stands for. The same token answers the same until it expires.

        Raises:
            TokenIsInvalidError: it was not issued here.
            TokenHasExpiredError: it is older than four hours.
        """
        return self.find(self._tokens.read(token, at=self.now()))

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
        at = self.now()
        until = next_end(contract, at=at)
        if until is None:
            return self.expire(contract.agreement_id)
        terms = SuccessorTerms(
            until=until,
            intent=Intent.REPLACE if contract.at_end is AtEnd.REPLACE else Intent.RENEW,
            keeps_license=self._timeline.renewals_keep_license,
            predecessor_ends=PredecessorEnds.ON_ITS_DATE if at < contract.ends_at else PredecessorEnds.NOW,
        )
        return self._succeed(contract, terms, at=at)

    def _succeed(self, before: Contract, terms: SuccessorTerms, *, at: datetime) -> Outcome:
        successor = contracts.succeed(
            before, ids=self._name_contract(), product=self.product_of(before), terms=terms, at=at
        )
        if not before.is_active or not _ends_now(terms, successor):
            self._require_alone(successor)
            settled = self._settle(successor, lambda about, new: about.of_purchase(new, at=at), at=at)
            return replace(settled, predecessor=before)
        ended = contracts.end(before, status=successor.intent.ends_predecessor_as, at=at)
        self._require_alone(successor, after=ended)
        return self._settle(
            successor,
            lambda about, new: about.of_succession(ended, new, at=at),
            at=at,
            predecessor=ended,
        )

    def _require_alone(self, contract: Contract, *, after: Contract | None = None) -> None:
        """Check that a legacy buyer has no two contracts at a time; `after` is one that ends by what is decided."""
        if contract.generation is Generation.LEGACY:
            others = self.book.having("account_id", contract.account_id)
            gone = None if after is None else after.agreement_id
            contracts.require_alone(contract, [other for other in others if other.agreement_id != gone])

    def _end(self, agreement_id: str, *, status: AgreementStatus) -> Outcome:
        with self._changing:
            at = self.now()
            after = contracts.end(self.find(agreement_id), status=status, at=at)
            others = self.book.having("license_arn", after.license_arn)
            gone = not any(other.is_active for other in others if other.agreement_id != agreement_id)
            return self._settle(after, lambda about, settled: about.of_end(settled, license_gone=gone, at=at), at=at)

    def _amend(self, before: Contract, after: Contract) -> Outcome:
        if after == before:
            return Outcome(contract=before, messages=())
        at = self.now()
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
            self._timeline.note(one)
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
        numbers = [self._courier.send(message, at=self.now()) for message in messages]
        # One that was overtaken has come with the next one.
        return tuple(self._courier.find(number) for number in numbers)

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


def _ends_now(terms: SuccessorTerms, successor: Contract) -> bool:
    if terms.predecessor_ends is None:
        return successor.has_started
    return terms.predecessor_ends is PredecessorEnds.NOW
