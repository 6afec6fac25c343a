"""Observing a license: AWS is read without holding anything, then the decision is made at the end of the ledger."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

import structlog

from consumers.marketplace import (
    endings,
    entitlements,
    known_agreements,
    legacy,
    observations,
    readings,
    succession,
)
from consumers.marketplace.agreement import LOST, SUCCEEDED, Agreement, AgreementStatus
from consumers.marketplace.budget import Budget, Priority
from consumers.marketplace.clients import Clients
from consumers.marketplace.endings import EndNotice
from consumers.marketplace.entitlements import (
    LiveRow,
    NoAnswerError,
    NoObservationError,
    Question,
    SeveralLicensesError,
)
from consumers.marketplace.inbox import (
    GOING_ON,
    MARKETPLACE,
    WaitingMessage,
    is_overtaken,
    note_events,
    waiting_messages,
)
from consumers.marketplace.licenses import claiming, identify_license, license_of_arn, names_current
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.messages import PokeKind
from consumers.marketplace.names import Name, value_of
from consumers.marketplace.observations import FirstReading, Next, Observation
from consumers.marketplace.pauses import LICENSE
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.standing import MessageStatus, settle_succeeded, tell
from consumers.marketplace.succession import ContradictionError
from ledger.errors import QueueIsFullError, UnavailableError
from ledger.inbox import ComingSeats
from ledger.ledger import Ledger
from ledger.license import decisions
from ledger.license.decisions import SecondReadingIsNeededError
from ledger.license.events import KeyKind, LicenseId
from ledger.license.state import License
from ledger.store import StoreError
from ledger.transaction import Caller, Transaction, Work

_TRIES: Final = 3
_UNSEEN_WAIT: Final = timedelta(days=1)
"""So long a smaller number must be read while AWS says that an agreement runs of which it shows nothing."""
_ARNS_MAX: Final = 20
_ABOUT_AGREEMENTS: Final = frozenset({PokeKind.AGREEMENT_CREATED, PokeKind.AGREEMENT_AMENDED})
_LOGGER: Final = structlog.get_logger(__name__)

_NO_KEY: Final = "No key of the license is known by which AWS could be asked."
_PRODUCT_NOT_SERVED: Final = "The license's product is none of LEDGER_PRODUCT_CODES, so AWS is not asked about it."
_STILL_SHOWN: Final = "AWS still shows the license's seats. It is read again until they are gone."
_OVERTAKEN: Final = "A later message tells that the license goes on, and AWS shows its seats."
_SUBSCRIBED_AGAIN: Final = "The customer has subscribed again since."
_SUCCESSOR_AWAITED: Final = "The agreement goes on as another one, which is awaited. Nothing is taken."
_NOT_SURE_YET: Final = "AWS shows no seats, and does not say that the agreement has ended. It may be renewed."
_UNSEEN: Final = "AWS shows nothing of an agreement that runs, so that this is looked at for a day."
_SEVERAL_ARNS: Final = (
    "AWS shows this legacy customer seats of several licenses, and none of them is known to be this one's. Nothing"
    " changes: tell the ledger which is, with `licensing-ledger succeed`."
)


class Outcome(Enum):
    """What became of a reading."""

    NOTHING_DUE = "nothing-due"
    OBSERVED = "observed"
    NO_OBSERVATION = "no-observation"
    NO_ANSWER = "no-answer"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claim:
    """A reading that was begun, and the license and its messages as they stood then.

    Attributes:
        number: fences the reading.
        license: as it stood.
        messages: those that the reading comes after; later ones need another.
        parked: those that wait until a reading shows what follows.
        agreements: those behind the license, the earliest first.
        license_arn_heard: the ARN as AWS spelled it, if not in the ledger's form.
        saw_several: whether a legacy customer had several ARNs at first sight.
        cause: what the events of the decision follow from.
    """

    number: int
    license: License
    messages: tuple[WaitingMessage, ...]
    parked: tuple[WaitingMessage, ...]
    agreements: tuple[Agreement, ...]
    license_arn_heard: str | None
    saw_several: bool
    cause: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """What AWS said, read completely.

    Attributes:
        answered: the rows as AWS answered them.
        rows: those that count the license's users.
        told: what AWS told of agreements, if it was asked.
        strangers: rows of a legacy customer that are of other licenses than this one.
        issued_at: when a legacy license that has no ARN yet was first heard of; null for every other.
        status: of the current agreement, if nothing was shown; null if AWS told nothing.
        trusted: whether the credentials are known to see live rows of the product.
    """

    answered: Sequence[entitlements.AwsRow]
    rows: tuple[LiveRow, ...]
    told: tuple[Agreement, ...] = ()
    strangers: tuple[LiveRow, ...] = ()
    issued_at: datetime | None = None
    status: AgreementStatus | None = None
    trusted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decided:
    """A decision about a license: the license after it, and what is still waited for.

    Attributes:
        license: after its events.
        expires_at: when the earliest row passes; null if none was shown.
        first_reading: waits for its second.
        notices: the end notices that stay open.
        reason: why it is read again, in words.
        is_incomplete: whether AWS is about to show more, or less.
        coming: the smaller number that is shown already for the time after the present contract.
        is_another: whether another agreement than the one that was read stands behind the license now.
    """

    license: License
    expires_at: datetime | None = None
    first_reading: FirstReading | None = None
    notices: tuple[WaitingMessage, ...] = ()
    reason: str | None = None
    is_incomplete: bool = False
    coming: ComingSeats | None = None
    is_another: bool = False


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
        self._clients = clients
        self._budget = budget
        self._now = now
        self._lineages = lineages

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

    def _begin(self, license_id: LicenseId, *, only_if_due: bool, cause: str | None = None) -> _Claim | None:
        def decide(transaction: Transaction) -> _Claim | None:
            observation = observations.find(transaction.rows, license_id)
            if observation is None or (only_if_due and not observation.is_due(at=transaction.at)):
                return None
            if transaction.any_license(license_id).folded_into is not None:
                return None
            messages = waiting_messages(transaction.rows, license_id)
            parked = waiting_messages(transaction.rows, license_id, status=MessageStatus.PARKED)
            return _Claim(
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

    def _observe(self, claim: _Claim, *, priority: Priority) -> Outcome:
        license_id = claim.license.license_id
        try:
            reading = self._read(claim)
        except NoObservationError as error:
            _LOGGER.warning("a license could not be read", license_id=license_id, reason=error.reason)
            return self._put_off(claim, error, priority=priority)
        outcome = self._decide(claim, reading)
        if outcome is Outcome.OBSERVED:
            self._introduce(claim, reading.strangers)
        return outcome

    # -- reading AWS ---------------------------------------------------------------------------------------------------

    def _read(self, claim: _Claim) -> _Reading:
        license_, at = claim.license, self._now()
        question = _question(license_, claim.agreements, license_arn_heard=claim.license_arn_heard)
        if question is None:
            raise NoObservationError(_NO_KEY)
        dimensions = self._dimensions_of(license_)
        answered = entitlements.read_rows(self._clients, question, budget=self._budget)
        with entitlements.after_reading(answered):
            shown = entitlements.live_rows(answered, question=question, dimensions=dimensions, at=at)
            issued_at = None
            if question.customer is not None and not question.license_arns:
                issued_at = legacy.issued_at(self._ledger, license_.license_id)
                shown = self._of_unclaimed(claim, shown, issued_at=issued_at)
            rows, strangers = _of_license(shown, question)
        told = self._ask_about_agreements(claim, rows)
        reading = _Reading(answered=answered, rows=rows, told=told, strangers=strangers, issued_at=issued_at)
        if rows:
            self._clients.trust.note(license_.product_code, at=at)
            return reading
        if license_.subscription is None or license_.subscription.lapse is not None:
            return reading
        status, more = self._ask_whether_it_ended(claim)
        return replace(reading, told=(*told, *more), status=status, trusted=self._is_trusted(license_, at=at))

    def _of_unclaimed(self, claim: _Claim, shown: Sequence[LiveRow], *, issued_at: datetime) -> tuple[LiveRow, ...]:
        """The rows of a legacy customer that may be of this license, which has no ARN yet.

        Raises:
            SeveralLicensesError: nobody knows which of several is.
        """
        arns = {row.license_arn for row in shown if row.license_arn is not None}
        others = legacy.arns_of_others(self._ledger, claim.license.license_id, arns, issued_at=issued_at)
        left = arns - {*others}
        # One that is left of several may be the other one, unless that has come to be known.
        if len(left) > 1 or (left and claim.saw_several and not others):
            raise SeveralLicensesError(_SEVERAL_ARNS)
        return tuple(row for row in shown if row.license_arn not in others)

    def _ask_about_agreements(self, claim: _Claim, rows: Sequence[LiveRow]) -> tuple[Agreement, ...]:
        """What a message was about, and, where there are two agreements, whether the one has ended."""
        shown = succession.generations(rows, claim.agreements)
        asked = [one.agreement.agreement_id for one in shown[:-1] if one.agreement and not one.is_over]
        if rows:
            asked += [one.agreement_id for one in succession.unseen(shown, claim.agreements, at=self._now())]
        asked += [agreement_id for message in claim.messages for agreement_id in _asked_about(message)]
        told = [self._lineages.describe(agreement_id) for agreement_id in dict.fromkeys(asked)]
        told += self._ask_for_arns(claim)
        if not claim.agreements and len({row.license_arn for row in rows} - {None}) == 1 and not _is_claimed(claim):
            # A legacy license that is about to claim an ARN: what follows it later is found by its agreement.
            told += self._lineages.read(_names_read(claim.license, rows))
        return tuple(one for one in told if one is not None)

    def _ask_for_arns(self, claim: _Claim) -> Sequence[Agreement]:
        """The chain, where an agreement has begun whose license came to be with its start."""
        at = self._now()
        unseen = [one for one in claim.agreements if one.license_arn is None and one.runs(at=at)]
        initials = dict.fromkeys(one.initial_agreement_id for one in unseen if one.initial_agreement_id)
        return [one for initial in initials for one in self._lineages.chain(initial)]

    def _ask_whether_it_ended(self, claim: _Claim) -> tuple[AgreementStatus | None, tuple[Agreement, ...]]:
        """How the current agreement stands, and what else there is to know of it.

        Where another one is to follow it, that is the chain that it is of; where none does, those before it: it may
        have been called off while they go on.
        """
        agreement_id = _agreement_of(claim)
        described = None if agreement_id is None else self._lineages.describe(agreement_id)
        if described is None:
            # AWS does not tell it to this seller; what a message said is all that there is.
            known = next((one for one in claim.agreements if one.agreement_id == agreement_id), None)
            awaits = known is not None and known.status in SUCCEEDED and not _has_gone_on(claim, known)
            return (known.status if known is not None and awaits else None), ()
        if described.status in SUCCEEDED:
            initial = described.initial_agreement_id or described.agreement_id
            return described.status, (described, *self._lineages.chain(initial))
        if described.status not in LOST:
            return described.status, (described,)
        others = succession.still_running(claim.agreements, but=described, at=self._now())
        told = [self._lineages.describe(one.agreement_id) for one in others]
        going_on = tuple(one for one in told if one is not None and one.status is AgreementStatus.ACTIVE)
        return (going_on[-1] if going_on else described).status, (described, *going_on)

    def _dimensions_of(self, license_: License) -> frozenset[str]:
        dimensions = self._settings.products.get(license_.product_code)
        if not dimensions:
            # Without them no row would count users, and the license would seem to have no seats.
            raise NoObservationError(_PRODUCT_NOT_SERVED)
        return dimensions

    def _is_trusted(self, license_: License, *, at: datetime) -> bool:
        subscription, wait = license_.subscription, self._settings.renewal_wait
        if subscription is None or not endings.is_overdue(subscription, renewal_wait=wait, at=at):
            return False
        code, trust = license_.product_code, self._clients.trust
        if trust.holds(code, at=at):
            return True
        seen = entitlements.sees_live_row(
            self._clients, product_code=code, dimensions=self._dimensions_of(license_), at=at, budget=self._budget
        )
        if seen:
            trust.note(code, at=at)
        return seen

    def _introduce(self, claim: _Claim, strangers: Sequence[LiveRow]) -> None:
        """Further ARNs of a legacy customer are licenses of their own."""
        for names in dict.fromkeys(_names_of_stranger(row) for row in strangers):
            try:
                self._lineages.introduce(
                    names, product_code=claim.license.product_code, caller=Caller(MARKETPLACE, claim.cause)
                )
            except (ContradictionError, NoObservationError) as error:
                _LOGGER.warning("a license of a customer could not be issued", reason=str(error))

    # -- deciding ------------------------------------------------------------------------------------------------------

    def _decide(self, claim: _Claim, reading: _Reading) -> Outcome:
        license_id = claim.license.license_id
        names = _names_read(claim.license, reading.rows)

        def decide(transaction: Transaction) -> Outcome:
            observation = observations.find(transaction.rows, license_id)
            if observation is None or observation.number != claim.number:
                return Outcome.SUPERSEDED
            before = transaction.position
            found_more = self._take_in(transaction, license_id, reading)
            if transaction.any_license(license_id).folded_into is not None:
                # It was a twin, as came to light by this reading; the license in its place is read next.
                note_events(transaction, _numbers((*claim.messages, *claim.parked)), after=before)
                return Outcome.SUPERSEDED
            self._absorb_namesake(transaction, claim, reading)
            rows = tuple(row for row in reading.rows if _is_of(transaction, row, license_id))
            if rows:
                decided = self._decide_shown(transaction, claim, rows, observation)
            else:
                decided = self._decide_not_shown(transaction, claim, reading, observation)
            then = self._next(transaction, claim, decided, observation)
            if found_more or decided.is_another:
                # Agreements came to light whose rows were not asked for.
                then = replace(then, due_at=transaction.at, priority=Priority.MESSAGE)
            observations.conclude(transaction.rows, license_id, then)
            note_events(transaction, _numbers((*claim.messages, *claim.parked)), after=before)
            if claim.messages or transaction.position > before:
                number = readings.keep(
                    transaction, license_id, rows=reading.answered, told=reading.told, reason=decided.reason
                )
                readings.of_messages(transaction, _numbers((*claim.messages, *claim.parked)), number)
            return Outcome.OBSERVED

        keys = claiming({name for row in reading.rows for name in row.names} | set(names))
        caller = Caller(MARKETPLACE, claim.cause)
        return self._ledger.submit(
            Work(decide=decide, caller=caller, licenses=(license_id,), keys=keys, writes_rows=True)
        )

    @staticmethod
    def _take_in(transaction: Transaction, license_id: LicenseId, reading: _Reading) -> bool:
        """Keep what AWS told of agreements; whether one of them, or its ARN, was not known yet."""
        found_more = False
        for heard in reading.told:
            before = known_agreements.find(transaction.rows, heard.agreement_id)
            known = known_agreements.note(transaction, heard)
            if known.license_id is None:
                known = known_agreements.belong_to(transaction, known, license_id)
                found_more = True
            if before is not None and known.license_id == license_id and known.license_arn != before.license_arn:
                found_more = True
        if _become_one(transaction, license_id, reading.told):
            return True
        if succession.advance(transaction, license_id, running=_running(transaction, license_id, reading)):
            settle_succeeded(transaction, license_id)
        succession.announce(transaction, license_id)
        return found_more

    @staticmethod
    def _absorb_namesake(transaction: Transaction, claim: _Claim, reading: _Reading) -> None:
        """A license that was issued for the only ARN under which AWS shows a legacy customer now is this one's twin."""
        license_id = claim.license.license_id
        arns = {row.license_arn for row in reading.rows}
        arn = arns.pop() if len(arns) == 1 else None
        if reading.issued_at is None or arn is None:
            return
        namesake = license_of_arn(transaction, arn, product_code=claim.license.product_code)
        if namesake in (None, license_id) or not decisions.is_bare(transaction.license(namesake)):
            return
        agreements = known_agreements.of_license(transaction.rows, namesake)
        if legacy.may_be_its_contract(agreements, issued_at=reading.issued_at):
            succession.fold(transaction, namesake, into=license_id)

    def _decide_shown(
        self, transaction: Transaction, claim: _Claim, rows: Sequence[LiveRow], observation: Observation
    ) -> _Decided:
        license_id = claim.license.license_id
        agreements = known_agreements.of_license(transaction.rows, license_id)
        self._name_by_rows(transaction, claim, rows, agreements)
        license_ = transaction.license(license_id)
        arns = [value for kind, value in license_.names if kind is KeyKind.LICENSE_ARN]
        shown = succession.generations(rows, agreements, license_arns=arns)
        bought = succession.bought(shown, at=transaction.at)
        seats_max, renews_at = bought.seats_max, bought.renews_at
        expires_at = min(row.expires_at for row in rows)
        first = observation.first_reading
        same = first is not None and (first.seats_max, first.renews_at) == (seats_max, renews_at)
        confirmed = first is not None and same and transaction.at >= first.due_at
        try:
            events = decisions.observe_subscription(
                license_, seats_max=seats_max, renews_at=renews_at, confirmed=confirmed
            )
        except SecondReadingIsNeededError as needed:
            unseen = bool(succession.unseen(shown, agreements, at=transaction.at))
            reason = f"{needed.detail} {_UNSEEN}" if unseen else needed.detail
            due_at = transaction.at + (_UNSEEN_WAIT if unseen else self._settings.decrease_confirm)
            if first is None or not same or (not unseen and due_at < first.due_at):
                first = FirstReading(seats_max=seats_max, renews_at=renews_at, due_at=due_at)
            tell(transaction, _numbers(claim.messages), MessageStatus.WAITING, reason=reason)
            return _Decided(
                license=license_, expires_at=expires_at, first_reading=first, reason=reason, is_incomplete=unseen
            )
        license_ = transaction.append(license_id, events)
        notices = self._notices_still_open(transaction, claim)
        is_ending = bool(notices) or succession.has_been_lost(license_, agreements)
        return _Decided(
            license=license_,
            expires_at=expires_at,
            notices=notices,
            reason=_STILL_SHOWN if is_ending else None,
            is_incomplete=is_ending,
            coming=succession.coming(shown, at=transaction.at),
        )

    @staticmethod
    def _name_by_rows(
        transaction: Transaction, claim: _Claim, rows: Sequence[LiveRow], agreements: Sequence[Agreement]
    ) -> None:
        """The license is known by what its rows agree on, but an ARN of another agreement waits for that one's turn."""
        elsewhere = {one.license_arn for one in agreements if one.agreement_id != claim.license.name(KeyKind.AGREEMENT)}
        names = tuple(
            (kind, value)
            for kind, value in _names_read(claim.license, rows)
            if not (kind is KeyKind.LICENSE_ARN and value in elsewhere)
        )
        identify_license(transaction, claim.license.license_id, names=names)

    def _notices_still_open(self, transaction: Transaction, claim: _Claim) -> tuple[WaitingMessage, ...]:
        """AWS shows seats: what says that they ended stays open, unless a later message says that they go on."""
        rows, license_id = transaction.rows, claim.license.license_id
        notices = [message for message in claim.messages if _ends_current(transaction, message, license_id)]
        overtaken = [
            message for message in notices if is_overtaken(rows, license_id, message, by=_taking_back(message))
        ]
        still_open = tuple(message for message in notices if message not in overtaken)
        tell(transaction, [message.number for message in claim.messages if message not in notices], MessageStatus.DONE)
        tell(transaction, _numbers(overtaken), MessageStatus.IGNORED, reason=_OVERTAKEN)
        tell(transaction, _numbers(still_open), MessageStatus.WAITING, reason=_STILL_SHOWN)
        return still_open

    def _decide_not_shown(
        self, transaction: Transaction, claim: _Claim, reading: _Reading, observation: Observation
    ) -> _Decided:
        """AWS shows no seats, which ends the subscription only on evidence."""
        license_ = transaction.license(claim.license.license_id)
        notices = self._notices_that_count(transaction, claim)
        subscription = license_.subscription
        if subscription is None or subscription.lapse is not None:
            tell(transaction, _numbers(notices), MessageStatus.DONE)
            return _Decided(license=license_)
        if not _is_awaited(claim, license_):
            # Another agreement came to light by this reading, and is read next.
            return _Decided(license=license_, first_reading=observation.first_reading, is_another=True)
        reason = endings.reason_to_lapse(
            subscription,
            notices=[_end_notice(message) for message in notices],
            agreement_status=reading.status,
            trusted=reading.trusted,
            renewal_wait=self._settings.renewal_wait,
            successor_wait=max(transaction.policy.blind_wait, transaction.policy.expiry_grace),
            at=transaction.at,
        )
        if reason is not None:
            lapsed = decisions.lapse_subscription(license_, reason=reason, at=transaction.at)
            tell(transaction, _numbers(notices), MessageStatus.DONE)
            settle_succeeded(transaction, license_.license_id)
            return _Decided(license=transaction.append(license_.license_id, lapsed))
        awaited = reading.status in SUCCEEDED
        status, why = (MessageStatus.PARKED, _SUCCESSOR_AWAITED) if awaited else (MessageStatus.WAITING, _NOT_SURE_YET)
        tell(transaction, _numbers(notices), status, reason=why)
        return _Decided(
            license=license_,
            first_reading=observation.first_reading,
            notices=() if awaited else notices,
            reason=why,
            is_incomplete=True,
        )

    def _notices_that_count(self, transaction: Transaction, claim: _Claim) -> tuple[WaitingMessage, ...]:
        """AWS shows no seats: an end counts, but for that of a customer who has subscribed again since."""
        rows, license_id = transaction.rows, claim.license.license_id
        notices = [message for message in claim.messages if _ends_current(transaction, message, license_id)]
        overtaken = [
            message
            for message in notices
            if message.poke.kind is PokeKind.UNSUBSCRIBE_SUCCESS
            and is_overtaken(rows, license_id, message, by=_taking_back(message))
        ]
        tell(transaction, [message.number for message in claim.messages if message not in notices], MessageStatus.DONE)
        tell(transaction, _numbers(overtaken), MessageStatus.IGNORED, reason=_SUBSCRIBED_AGAIN)
        return tuple(message for message in notices if message not in overtaken)

    # -- when to read again --------------------------------------------------------------------------------------------

    def _next(self, transaction: Transaction, claim: _Claim, decided: _Decided, observation: Observation) -> Next:
        at, subscription = transaction.at, decided.license.subscription
        runs = subscription is not None and subscription.lapse is None
        overdue = runs and subscription is not None and subscription.renews_at <= at
        rechecked = subscription is None or overdue or bool(decided.notices) or decided.is_incomplete
        recheck = timedelta()
        due: list[tuple[datetime, Priority]] = []
        if rechecked:
            recheck = observations.longer_recheck(observation.recheck, first=self._settings.recheck)
            due.append((at + recheck, Priority.RECHECK))
        if decided.first_reading is not None:
            due.append((decided.first_reading.due_at, Priority.MESSAGE))
        if runs and subscription is not None:
            wait = self._settings.renewal_wait
            dates = [decided.expires_at or subscription.renews_at, *_added(subscription.renews_at, wait)]
            due.extend((date, Priority.DATE) for date in dates if date > at)
        start = known_agreements.next_start(
            known_agreements.of_license(transaction.rows, decided.license.license_id), at=at
        )
        if start is not None:
            due.append((start, Priority.DATE))
        counts_from = [_added(notice.received_at, self._settings.renewal_wait) for notice in decided.notices]
        due.extend((date, Priority.RECHECK) for dates in counts_from for date in dates if date > at)
        if self._has_later_messages(transaction, claim):
            due.append((at, Priority.MESSAGE))
        if not due:
            return Next(due_at=None)
        due_at, priority = min(due)
        return Next(
            due_at=due_at,
            priority=priority,
            recheck=recheck,
            reason=decided.reason,
            first_reading=decided.first_reading,
            coming=decided.coming,
        )

    @staticmethod
    def _has_later_messages(transaction: Transaction, claim: _Claim) -> bool:
        known = set(_numbers(claim.messages))
        waiting = waiting_messages(transaction.rows, claim.license.license_id)
        return any(message.number not in known for message in waiting)

    def _put_off(self, claim: _Claim, error: NoObservationError, *, priority: Priority) -> Outcome:
        """There is no observation: nothing changes, the messages are kept with the reason, and it is read again."""
        license_id = claim.license.license_id

        def decide(transaction: Transaction) -> Outcome:
            observation = observations.find(transaction.rows, license_id)
            if observation is None or observation.number != claim.number:
                return Outcome.SUPERSEDED
            tell(transaction, _numbers(claim.messages), MessageStatus.WAITING, reason=error.reason)
            if isinstance(error, SeveralLicensesError):
                observations.note_several(transaction.rows, license_id)
            if not isinstance(error, NoAnswerError):
                number = readings.keep_refused(transaction, license_id, rows=error.answered, reason=error.reason)
                readings.of_messages(transaction, _numbers(claim.messages), number)
            then = self._put_off_until(transaction, error, observation, priority=priority)
            observations.conclude(transaction.rows, license_id, then)
            return Outcome.NO_ANSWER if isinstance(error, NoAnswerError) else Outcome.NO_OBSERVATION

        work = Work(decide=decide, caller=Caller(MARKETPLACE), licenses=(license_id,), writes_rows=True)
        return self._ledger.submit(work)

    def _stumbled(self, license_id: LicenseId, *, reason: str) -> None:
        """The program itself fails over a license: it is tried again, in pauses that grow to a day."""

        def decide(transaction: Transaction) -> None:
            observation = observations.find(transaction.rows, license_id)
            if observation is not None:
                then = self._put_off_until(
                    transaction, NoObservationError(reason), observation, priority=Priority.RECHECK
                )
                observations.conclude(transaction.rows, license_id, then)

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))

    def _put_off_until(
        self, transaction: Transaction, error: NoObservationError, observation: Observation, *, priority: Priority
    ) -> Next:
        if isinstance(error, NoAnswerError):
            failures = observation.failures + 1
            return Next(
                due_at=transaction.at + LICENSE.after(failures),
                priority=priority,
                recheck=observation.recheck,
                failures=failures,
                reason=error.reason,
                first_reading=observation.first_reading,
            )
        recheck = observations.longer_recheck(observation.recheck, first=self._settings.recheck)
        return Next(
            due_at=transaction.at + recheck,
            recheck=recheck,
            reason=error.reason,
            first_reading=observation.first_reading,
        )


def _question(license_: License, agreements: Sequence[Agreement], *, license_arn_heard: str | None) -> Question | None:
    """By what AWS is asked: the customer where the license was first known by one, else the ARNs of its agreements.

    Of an agreement that has ended nothing is asked when another one stands behind the license.
    """
    kinds = (kind for kind, _ in license_.names if kind in (KeyKind.LICENSE_ARN, KeyKind.CUSTOMER))
    kind = next(kinds, None)
    current = license_.name(KeyKind.AGREEMENT)
    arns = [value for known, value in license_.names if known is KeyKind.LICENSE_ARN]
    over = {one.license_arn for one in agreements if one.has_ended and one.agreement_id != current}
    asked = [arn for arn in arns if arn not in over] or arns[-1:]
    asked += [one.license_arn for one in agreements if one.license_arn is not None and not one.has_ended]
    license_arns = tuple(dict.fromkeys(reversed(asked)))[:_ARNS_MAX]
    if kind is KeyKind.CUSTOMER:
        customer = license_.name(KeyKind.CUSTOMER)
        return Question(product_code=license_.product_code, customer=customer, license_arns=license_arns)
    if not license_arns:
        return None
    return Question(product_code=license_.product_code, license_arns=license_arns, license_arn_heard=license_arn_heard)


def _of_license(rows: Sequence[LiveRow], question: Question) -> tuple[tuple[LiveRow, ...], tuple[LiveRow, ...]]:
    """The rows that are this license's, and those of others of the same legacy customer.

    A legacy license counts the rows of the ARN that it claimed.
    """
    if question.customer is None or not question.license_arns:
        return tuple(rows), ()
    ours = tuple(row for row in rows if row.license_arn is None or row.license_arn in question.license_arns)
    return ours, tuple(row for row in rows if row not in ours)


def _is_claimed(claim: _Claim) -> bool:
    return claim.license.name(KeyKind.LICENSE_ARN) is not None


def _is_awaited(claim: _Claim, license_: License) -> bool:
    """Whether no other agreement than the one that was read has come to stand behind the license."""
    return claim.license.name(KeyKind.AGREEMENT) in (None, license_.name(KeyKind.AGREEMENT))


def _become_one(transaction: Transaction, license_id: LicenseId, told: Sequence[Agreement]) -> bool:
    """Let a license and its twins become one, where AWS told of one chain of agreements; whether any did."""
    before = transaction.position
    product_code = transaction.license(license_id).product_code
    for heard in told:
        known = known_agreements.find(transaction.rows, heard.agreement_id) or heard
        try:
            succession.license_behind(transaction, known, product_code=product_code)
        except ContradictionError as error:
            _LOGGER.warning("agreements contradict each other", agreement=heard.agreement_id, reason=str(error))
    return transaction.position > before


def _running(transaction: Transaction, license_id: LicenseId, reading: _Reading) -> Collection[str]:
    """The agreements of which a reading shows that they run: AWS said so, or showed their seats."""
    shown = succession.generations(reading.rows, known_agreements.of_license(transaction.rows, license_id))
    seen = {one.agreement.agreement_id for one in shown if one.agreement is not None}
    return seen | {one.agreement_id for one in reading.told if one.status is AgreementStatus.ACTIVE}


def _asked_about(message: WaitingMessage) -> tuple[str, ...]:
    """The agreement of a message after which AWS is asked how it stands."""
    if message.poke.kind not in _ABOUT_AGREEMENTS or message.poke.agreement is None:
        return ()
    return (message.poke.agreement.agreement_id,)


def _ends_current(transaction: Transaction, message: WaitingMessage, license_id: LicenseId) -> bool:
    """Whether a message says that what stands behind the license now has ended."""
    return message.poke.ends and names_current(transaction, license_id, message.poke.names)


def _taking_back(message: WaitingMessage) -> Collection[PokeKind]:
    """What takes an end notice back if it comes later, and AWS shows seats."""
    match message.poke.kind:
        case PokeKind.UNSUBSCRIBE_SUCCESS:
            return {PokeKind.SUBSCRIBE_SUCCESS}
        case PokeKind.LICENSE_DEPROVISIONED:
            return GOING_ON
        case _:
            # An agreement that ended stays so.
            return ()


def _agreement_of(claim: _Claim) -> str | None:
    known = claim.license.name(KeyKind.AGREEMENT)
    if known is not None:
        return known
    told = (value_of(message.poke.names, KeyKind.AGREEMENT) for message in claim.messages if message.poke.ends)
    return next((agreement_id for agreement_id in told if agreement_id), None)


def _has_gone_on(claim: _Claim, agreement: Agreement) -> bool:
    """Whether an end is told of what follows an agreement, under its ARN and before anything else of it."""
    ended = (value_of(message.poke.names, KeyKind.AGREEMENT) for message in claim.messages if message.poke.ends)
    return any(agreement_id not in (None, agreement.agreement_id) for agreement_id in ended)


def _names_read(license_: License, rows: Sequence[LiveRow]) -> tuple[Name, ...]:
    """The names that the rows agree on. Rows of several licenses of one legacy customer name none of them."""
    read = [set(row.names) for row in rows]
    if not read:
        return ()
    common = set.intersection(*read)
    return tuple(sorted(common - set(license_.names)))


def _names_of_stranger(row: LiveRow) -> tuple[Name, ...]:
    return tuple(name for name in row.names if name[0] is not KeyKind.CUSTOMER)


def _is_of(transaction: Transaction, row: LiveRow, license_id: LicenseId) -> bool:
    """Whether a row counts for this license: one that carries another license's ARN is that license's."""
    arn = value_of(row.names, KeyKind.LICENSE_ARN)
    return arn is None or license_of_arn(transaction, arn, product_code=None) in (None, license_id)


def _cause(messages: Sequence[WaitingMessage]) -> str | None:
    """The message that a decision follows from: the latest that says that something ended, else the latest."""
    ends = [message for message in messages if message.poke.ends]
    last = (ends or messages)[-1:]
    return last[0].poke.message_id if last else None


def _end_notice(message: WaitingMessage) -> EndNotice:
    return EndNotice(kind=message.poke.kind, status=message.poke.status, received_at=message.received_at)


def _numbers(messages: Sequence[WaitingMessage]) -> list[int]:
    return [message.number for message in messages]


def _added(date: datetime, wait: timedelta) -> tuple[datetime, ...]:
    try:
        return (date + wait,)
    except OverflowError:
        # AWS writes the year 9999 for "no end".
        return ()
