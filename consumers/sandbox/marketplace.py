"""The sandbox Marketplace itself: it holds the contracts, lets them be changed, and says what became of them.

Nothing happens by itself: a contract whose date passes has no entitlements any more and stays ACTIVE, as with AWS in
the time around a renewal, until it is renewed or let expire.
"""

import base64
import binascii
import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from types import MappingProxyType
from uuid import UUID

from consumers.sandbox import contracts
from consumers.sandbox.contracts import AgreementStatus, Contract, ContractIds, Generation, Product
from consumers.sandbox.notifications import Announcements, Message
from consumers.sandbox.signing import passing_key
from ledger.times import microseconds, moment

CONTRACTS_MAX = 1_000
MESSAGES_KEPT = 500
TOKEN_LIFETIME = timedelta(hours=4)
"""AWS: a registration token has an expiration window of 4 hours, and answers the same as long as it lives."""

_SIGNATURE_BYTES = 16


class TokenIsInvalidError(Exception):
    """This Marketplace never issued the registration token."""


class TokenHasExpiredError(Exception):
    """The registration token was issued longer ago than it lives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What an operation made of a contract, and the messages that went out about it."""

    contract: Contract
    messages: tuple[Message, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrationToken:
    """What "Set up your account" sends to the seller."""

    token: str
    expires_at: datetime


class Marketplace:
    """A place where one product is sold. Safe to use from many threads.

    Changes go one after the other, each with its messages, so the queue gets them in the order in which they happened.
    Readers never wait: they see the contracts as they were after the last change.
    """

    def __init__(
        self,
        *,
        product: Product,
        clock: Callable[[], datetime],
        ids: Callable[[], UUID],
        deliver: Callable[[Message], bool],
        sign: Callable[[Mapping[str, str]], Mapping[str, str]] | None = None,
        raw_delivery: bool = False,
        contracts_before: Sequence[Contract] = (),
        keep: Callable[[Sequence[Contract]], None] | None = None,
    ) -> None:
        """Open for business.

        Args:
            product: what is sold.
            clock: gives the time, aware UTC.
            ids: every id and secret is made from what it gives.
            deliver: hands a message to the seller's queue and says whether the queue took it.
            sign: adds SNS's signature to a legacy notification; null is with a key of this process.
            raw_delivery: send legacy notifications without the SNS envelope.
            contracts_before: the contracts that there are already.
            keep: is given all contracts after each change, before anybody hears of it.
        """
        self.product = product
        self._clock = clock
        self._ids = ids
        self._deliver = deliver
        self._announcements = Announcements(
            product=product, ids=ids, sign=sign or passing_key().sign, raw_delivery=raw_delivery
        )
        self._secret = ids().bytes
        self._changing = Lock()
        self._keep = keep
        self._contracts: Mapping[str, Contract] = MappingProxyType({one.agreement_id: one for one in contracts_before})
        self._messages: deque[Message] = deque(maxlen=MESSAGES_KEPT)

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """All contracts, the first bought first."""
        return tuple(self._contracts.values())

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
        try:
            return self._contracts[agreement_id]
        except KeyError:
            raise contracts.ContractNotFoundError(agreement_id) from None

    def buy(
        self,
        *,
        account_id: str,
        seats: int,
        until: datetime,
        generation: Generation = Generation.CONCURRENT,
        auto_renews: bool = True,
    ) -> Outcome:
        """Let the buyer with this AWS account accept an offer.

        Raises:
            AccountIdMalformedError: the account id is not twelve digits.
            SeatsOutOfRangeError: fewer than one seat, or more than AWS can count.
            EndNotLaterError: it would end before it begins.
            AnotherContractIsActiveError: the listing is a legacy one, and this buyer has a contract.
            TooManyContractsError: the sandbox is full.
        """
        with self._changing:
            if len(self._contracts) >= CONTRACTS_MAX:
                raise contracts.TooManyContractsError(CONTRACTS_MAX)
            at = self._clock()
            contract = contracts.sign(
                ids=ContractIds.made_from(self._ids(), self._ids(), self._ids()),
                account_id=account_id,
                customer_identifier=self._legacy_name(account_id) if generation is Generation.LEGACY else None,
                seats=seats,
                until=until,
                auto_renews=auto_renews,
                at=at,
            )
            return self._settle(contract, self._announcements.of_purchase(contract, at=at))

    def set_seats(self, agreement_id: str, *, seats: int) -> Outcome:
        """Let the buyer have more or fewer seats. The same number again changes nothing and sends nothing.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over.
            SeatsOutOfRangeError: a negative number, or more than AWS can count.
        """
        with self._changing:
            before = self.find(agreement_id)
            after = contracts.set_seats(before, seats=seats)
            if after == before:
                return Outcome(contract=before, messages=())
            return self._settle(after, self._announcements.of_amendment(after, at=self._clock()))

    def renew(self, agreement_id: str, *, until: datetime) -> Outcome:
        """Let the same agreement go on to a later date.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over.
            EndNotLaterError: the new end is not later than the present one.
        """
        with self._changing:
            after = contracts.renew(self.find(agreement_id), until=until)
            return self._settle(after, self._announcements.of_amendment(after, at=self._clock()))

    def cancel(self, agreement_id: str) -> Outcome:
        """Let the buyer cancel.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over already.
        """
        return self._end(agreement_id, status=AgreementStatus.CANCELLED)

    def expire(self, agreement_id: str) -> Outcome:
        """Let the end date pass now, without a renewal.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: it is over already.
        """
        return self._end(agreement_id, status=AgreementStatus.EXPIRED)

    def issue_token(self, agreement_id: str) -> RegistrationToken:
        """Give the registration token that AWS sends to the seller when the buyer chooses "Set up your account".

        A token carries what it says and is signed with a secret of this Marketplace, so none needs to be remembered.

        Raises:
            ContractNotFoundError: there is no such contract.
            ContractHasEndedError: AWS shows the button on active contracts only.
        """
        contract = self.find(agreement_id)
        if contract.status is not AgreementStatus.ACTIVE:
            raise contracts.ContractHasEndedError(contract)
        issued_at = self._clock()
        said = f"{contract.agreement_id} {microseconds(issued_at)}".encode()
        token = base64.urlsafe_b64encode(self._sign(said) + said).decode()
        return RegistrationToken(token=token, expires_at=issued_at + TOKEN_LIFETIME)

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

    def _end(self, agreement_id: str, *, status: AgreementStatus) -> Outcome:
        with self._changing:
            at = self._clock()
            after = contracts.end(self.find(agreement_id), status=status, at=at)
            return self._settle(after, self._announcements.of_end(after, at=at))

    def _settle(self, contract: Contract, messages: tuple[Message, ...]) -> Outcome:
        # The contract first: who reads the message at once must find in AWS what it is about.
        after = {**self._contracts, contract.agreement_id: contract}
        if self._keep is not None:
            self._keep(tuple(after.values()))
        self._contracts = MappingProxyType(after)
        sent = tuple(replace(message, delivered=self._deliver(message)) for message in messages)
        self._messages.extend(sent)
        return Outcome(contract=contract, messages=sent)

    def _legacy_name(self, account_id: str) -> str:
        earlier = [
            contract
            for contract in self._contracts.values()
            if contract.account_id == account_id and contract.generation is Generation.LEGACY
        ]
        if any(contract.status is AgreementStatus.ACTIVE for contract in earlier):
            raise contracts.AnotherContractIsActiveError(account_id)
        names = (contract.customer_identifier for contract in earlier if contract.customer_identifier is not None)
        return next(names, None) or contracts.name_legacy_buyer(self._ids())

    def _sign(self, said: bytes) -> bytes:
        return hmac.digest(self._secret, said, hashlib.sha256)[:_SIGNATURE_BYTES]
