"""Observing a license: AWS is read without holding anything, then the decision is made at the end of the ledger."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Final

import structlog

from consumers.marketplace import known_agreements, observations, readings
from consumers.marketplace.budget import Budget, Priority
from consumers.marketplace.clients import Clients
from consumers.marketplace.entitlements import LiveRow, NoAnswerError, NoObservationError, SeveralLicensesError
from consumers.marketplace.inbox import MARKETPLACE
from consumers.marketplace.licenses import claiming
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.names import Name
from consumers.marketplace.observing import deciding, rereading
from consumers.marketplace.observing.claim import Claim, numbers
from consumers.marketplace.observing.reading import Reader, Reading, names_read
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.standing import MessageStatus, tell
from consumers.marketplace.succession import ContradictionError
from consumers.marketplace.waiting import WaitingMessage, note_events, waiting_messages
from ledger.errors import QueueIsFullError, UnavailableError
from ledger.ledger import Ledger
from ledger.license.events import KeyKind, LicenseId
from ledger.store import StoreError
from ledger.transaction import Caller, Transaction, Work

_TRIES: Final = 3
_LOGGER: Final = structlog.get_logger(__name__)


class Outcome(Enum):
    """What became of a reading."""

    NOTHING_DUE = "nothing-due"
    OBSERVED = "observed"
    NO_OBSERVATION = "no-observation"
    NO_ANSWER = "no-answer"
    SUPERSEDED = "superseded"


class Observer:
    """Reads licenses and records what changed."""

    def __init__(
        self,
        ledger: Ledger,
        settings: MarketplaceSettings,
        clients: Clients,
        *,
        budget: Budget,
        lineages: Lineages,
        now: Callable[[], datetime],
    ) -> None:
        """Read with these clients.

        Args:
            ledger: where to record what changed.
            settings: what is sold.
            clients: by which AWS is asked.
            budget: how often it may be asked about entitlements.
            lineages: asks about agreements.
            now: the clock, aware UTC.
        """
        self._ledger = ledger
        self._settings = settings
        self._lineages = lineages
        self._reader = Reader(ledger, settings, clients, budget=budget, lineages=lineages, now=now)

    def observe_next(self, *, at: datetime, up_to: Priority) -> Outcome:
        """Read the license that is due first, if there is one that is no less urgent than `up_to`.

        Raises:
            LedgerError, StoreError: the database can't be written or read.
        """
        with self._ledger.reading.connect() as reading:
            due = observations.next_due(reading, at=at)
        if due is None or due[1] > up_to:
            return Outcome.NOTHING_DUE
        license_id, priority = due
        try:
            claim = self._begin(license_id, only_if_due=True)
            # Where it was superseded, whoever came later decides; if they are killed, their lease runs out.
            return Outcome.SUPERSEDED if claim is None else self._observe(claim, priority=priority)
        except (QueueIsFullError, UnavailableError, StoreError):
            raise
        except Exception as error:
            # The other licenses must not wait behind it.
            _LOGGER.exception("a license could not be worked on", license_id=license_id)
            self._stumbled(license_id, reason=f"The program failed over it: {type(error).__name__}.")
            return Outcome.NO_OBSERVATION

    def observe(self, license_id: LicenseId, *, cause: str | None) -> Outcome:
        """Read a license at once, for somebody who waits.

        Raises:
            LedgerError: the database can't be written.
        """
        outcome = Outcome.SUPERSEDED
        for _ in range(_TRIES):
            claim = self._begin(license_id, only_if_due=False, cause=cause)
            if claim is None:
                return outcome
            outcome = self._observe(claim, priority=Priority.REGISTRATION)
            if outcome is not Outcome.SUPERSEDED:
                return outcome
        return outcome

    def _begin(self, license_id: LicenseId, *, only_if_due: bool, cause: str | None = None) -> Claim | None:
        def decide(transaction: Transaction) -> Claim | None:
            observation = observations.find(transaction.rows, license_id)
            if observation is None or (only_if_due and not observation.is_due(at=transaction.at)):
                return None
            if transaction.any_license(license_id).folded_into is not None:
                return None
            messages = waiting_messages(transaction.rows, license_id)
            parked = waiting_messages(transaction.rows, license_id, status=MessageStatus.PARKED)
            return Claim(
                number=observations.begin(transaction, license_id, observation),
                license=transaction.license(license_id),
                messages=messages,
                parked=parked,
                agreements=known_agreements.of_license(transaction.rows, license_id),
                license_arn_heard=observation.license_arn_heard,
                saw_several=observation.saw_several,
                cause=cause or _cause(messages) or _cause(parked),
            )

        work = Work(decide=decide, caller=Caller(MARKETPLACE), licenses=(license_id,), writes_rows=True)
        return self._ledger.submit(work)

    def _observe(self, claim: Claim, *, priority: Priority) -> Outcome:
        license_id = claim.license.license_id
        try:
            reading = self._reader.read(claim)
        except NoObservationError as error:
            _LOGGER.warning("a license could not be read", license_id=license_id, reason=error.reason)
            return self._put_off(claim, error, priority=priority)
        outcome = self._decide(claim, reading)
        if outcome is Outcome.OBSERVED:
            self._introduce(claim, reading.strangers)
        return outcome

    def _introduce(self, claim: Claim, strangers: Sequence[LiveRow]) -> None:
        """Further ARNs of a legacy customer are licenses of their own."""
        for names in dict.fromkeys(_names_of_stranger(row) for row in strangers):
            try:
                self._lineages.introduce(
                    names, product_code=claim.license.product_code, caller=Caller(MARKETPLACE, claim.cause)
                )
            except (ContradictionError, NoObservationError) as error:
                _LOGGER.warning("a license of a customer could not be issued", reason=str(error))

    def _decide(self, claim: Claim, reading: Reading) -> Outcome:
        license_id, settings = claim.license.license_id, self._settings
        names = names_read(claim.license, reading.rows)
        answered = numbers((*claim.messages, *claim.parked))

        def decide(transaction: Transaction) -> Outcome:
            observation = observations.find(transaction.rows, license_id)
            if observation is None or observation.number != claim.number:
                return Outcome.SUPERSEDED
            before = transaction.position
            found_more = deciding.take_in(transaction, license_id, reading)
            if transaction.any_license(license_id).folded_into is not None:
                # It was a twin, as came to light by this reading; the license in its place is read next.
                note_events(transaction, answered, after=before)
                return Outcome.SUPERSEDED
            deciding.absorb_namesake(transaction, claim, reading)
            decided = deciding.decide(transaction, claim, reading, observation, settings=settings)
            then = rereading.after_decision(transaction, claim, decided, observation, settings=settings)
            if found_more or decided.is_another:
                # Agreements came to light whose rows were not asked for.
                then = replace(then, due_at=transaction.at, priority=Priority.MESSAGE)
            observations.conclude(transaction.rows, license_id, then)
            note_events(transaction, answered, after=before)
            if claim.messages or transaction.position > before:
                number = readings.keep(
                    transaction, license_id, rows=reading.answered, told=reading.told, reason=decided.reason
                )
                readings.of_messages(transaction, answered, number)
            return Outcome.OBSERVED

        keys = claiming({name for row in reading.rows for name in row.names} | set(names))
        caller = Caller(MARKETPLACE, claim.cause)
        return self._ledger.submit(
            Work(decide=decide, caller=caller, licenses=(license_id,), keys=keys, writes_rows=True)
        )

    def _put_off(self, claim: Claim, error: NoObservationError, *, priority: Priority) -> Outcome:
        """There is no observation: nothing changes, the messages are kept with the reason, and it is read again."""
        license_id = claim.license.license_id

        def decide(transaction: Transaction) -> Outcome:
            observation = observations.find(transaction.rows, license_id)
            if observation is None or observation.number != claim.number:
                return Outcome.SUPERSEDED
            tell(transaction, numbers(claim.messages), MessageStatus.WAITING, reason=error.reason)
            if isinstance(error, SeveralLicensesError):
                observations.note_several(transaction.rows, license_id)
            if not isinstance(error, NoAnswerError):
                number = readings.keep_refused(transaction, license_id, rows=error.answered, reason=error.reason)
                readings.of_messages(transaction, numbers(claim.messages), number)
            then = rereading.after_failure(
                transaction, error, observation, priority=priority, first_recheck=self._settings.recheck
            )
            observations.conclude(transaction.rows, license_id, then)
            return Outcome.NO_ANSWER if isinstance(error, NoAnswerError) else Outcome.NO_OBSERVATION

        work = Work(decide=decide, caller=Caller(MARKETPLACE), licenses=(license_id,), writes_rows=True)
        return self._ledger.submit(work)

    def _stumbled(self, license_id: LicenseId, *, reason: str) -> None:
        """The program itself fails over a license: it is tried again, in pauses that grow to a day."""

        def decide(transaction: Transaction) -> None:
            observation = observations.find(transaction.rows, license_id)
            if observation is not None:
                then = rereading.after_failure(
                    transaction,
                    NoObservationError(reason),
                    observation,
                    priority=Priority.RECHECK,
                    first_recheck=self._settings.recheck,
                )
                observations.conclude(transaction.rows, license_id, then)

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))


def _names_of_stranger(row: LiveRow) -> tuple[Name, ...]:
    return tuple(name for name in row.names if name[0] is not KeyKind.CUSTOMER)


def _cause(messages: Sequence[WaitingMessage]) -> str | None:
    """The message that a decision follows from: the latest that says that something ended, else the latest."""
    ends = [message for message in messages if message.poke.ends]
    last = (ends or messages)[-1:]
    return last[0].poke.message_id if last else None
