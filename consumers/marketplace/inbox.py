"""The inbox: every message is stored before it is worked on, and kept, with what became of it."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import sqlalchemy
import structlog

from consumers.marketplace import known_agreements, legacy, observations, products
from consumers.marketplace.agreement import LOST, Agreement
from consumers.marketplace.budget import Priority
from consumers.marketplace.entitlements import NoAnswerError, NoObservationError
from consumers.marketplace.licenses import (
    claiming,
    unclaimed_legacy,
)
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.messages import NotUnderstood, Parsed, Poke, Unrelated, parse
from consumers.marketplace.names import Name, value_of
from consumers.marketplace.pauses import LICENSE, OUTAGE
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.settling import BEGINNING, ISSUING, Settled, records_something, settle
from consumers.marketplace.standing import NOT_DISMISSED, MessageStatus, anew, standing
from consumers.marketplace.succession import ContradictionError, PredecessorIsTakenError
from consumers.marketplace.tables import AGREEMENTS, INBOX
from consumers.marketplace.waiting import note_events
from ledger.errors import QueueIsFullError, UnavailableError
from ledger.ledger import Ledger
from ledger.license.events import Actor, ActorRole, KeyKind, LicenseId
from ledger.store.tables import LICENSE_KEYS
from ledger.times import microseconds
from ledger.transaction import Caller, Transaction, Work

MARKETPLACE: Final = Actor(ActorRole.MARKETPLACE, "aws-marketplace")
"""Who causes what AWS tells."""
ATTEMPTS_MAX: Final = 5
"""How often a message is tried that the program itself stumbles over."""
LEGACY_READ_MAX: Final = 3
"""How often a legacy license is read before another one is issued beside it: one answer of AWS may lack its row."""

BODY_MAX: Final = 1_048_576
"""The longest message, in characters; SQS takes no longer one."""
TOO_LONG: Final = "The message is longer than any of AWS Marketplace."

SETTLED_AT_ONCE: Final = 100
AGREEMENTS_WOKEN_MAX: Final = 1_000
"""Of how many agreements messages wake at once because they wait in vain; the next look goes on."""
_SHOWN_MAX: Final = 1_000
# No database keeps all of them, and no message of AWS has any.
_NOT_KEPT: Final = re.compile("[\x00\ud800-\udfff]")
_LOGGER: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A message as it came.

    Attributes:
        body: as it can be kept.
        parsed: what it says, or why it can't be understood.
    """

    body: str
    parsed: Parsed

    @property
    def message_id(self) -> str:
        """The id by which it is known when it comes again."""
        return self.parsed.message_id


@dataclass(frozen=True, kw_only=True, slots=True)
class _New:
    """A message that is to be settled."""

    number: int
    message_id: str
    parsed: Parsed
    attempts: int

    @property
    def names(self) -> tuple[Name, ...]:
        return self.parsed.names if isinstance(self.parsed, Poke) else ()


_TO_SETTLE: Final = (MessageStatus.NEW, MessageStatus.PARKED)
"""Those with a due time: of the parked ones those that wait for an answer of AWS."""
_DUE: Final = (
    sqlalchemy.select(INBOX.c.number)
    .where(
        INBOX.c.status.in_(_TO_SETTLE),
        INBOX.c.verified_at.is_not(None),
        INBOX.c.due_at <= sqlalchemy.bindparam("at"),
    )
    .order_by(INBOX.c.number)
    .limit(SETTLED_AT_ONCE)
)
"""Asked in each turn of the work, so that it is made once."""
_NO_TEXT: Final = "The message holds characters that are none of a text."
_LINEAGE_AWAITED: Final = "Nothing is known of its agreement yet, so that it is asked again before a license is issued."
_LEGACY_AWAITED: Final = (
    "It may be about the customer's legacy license, which is read before another one is issued beside it."
)
_LEGACY_UNKNOWN: Final = (
    "It may be about the customer's legacy license, of which AWS shows several: tell the ledger which is, with"
    " `licensing-ledger succeed`."
)
_NO_ANSWER: Final = "AWS Marketplace does not answer at this moment."


def received(body: str, *, transport_id: str) -> Received:
    """Read a message.

    Args:
        body: as it came.
        transport_id: by which it is known if it carries no id of its own.
    """
    if len(body) > BODY_MAX:
        return not_understood(body[:_SHOWN_MAX], transport_id=transport_id, reason=TOO_LONG)
    if _NOT_KEPT.search(body):
        return not_understood(body, transport_id=transport_id, reason=_NO_TEXT)
    return Received(body=body, parsed=parse(body, transport_id=transport_id))


def not_understood(shown: str, *, transport_id: str, reason: str) -> Received:
    """A message that is none, with as much of it as can be shown."""
    body = _NOT_KEPT.sub("\N{REPLACEMENT CHARACTER}", shown)
    return Received(body=body, parsed=NotUnderstood(message_id=transport_id, reason=reason))


class Inbox:
    """The messages of AWS Marketplace, in the ledger's database."""

    def __init__(
        self,
        ledger: Ledger,
        settings: MarketplaceSettings,
        lineages: Lineages,
        *,
        observe: Callable[[LicenseId, str], bool],
    ) -> None:
        """Keep messages.

        Args:
            ledger: beside whose events.
            settings: what is sold.
            lineages: asks AWS for the lineage of what is not known.
            observe: reads a license at once, because of a message; whether AWS answered.
        """
        self._ledger = ledger
        self._settings = settings
        self._lineages = lineages
        self._observe = observe
        self._outages = 0
        self._rests_until: datetime | None = None
        self._now = datetime.min.replace(tzinfo=UTC)

    def store(self, received: Sequence[Received]) -> None:
        """Make messages durable; those that are stored already stay as they are.

        But for one that had failed and can be understood now, by this version of the program or since somebody mended
        it and sent it again: it begins anew.

        Raises:
            LedgerError: the database can't be written; nothing was stored.
        """
        # Of one that came twice the first counts.
        by_id = {message.message_id: message for message in reversed(received)}
        in_order = [by_id.pop(message.message_id) for message in received if message.message_id in by_id]

        def decide(transaction: Transaction) -> list[Received]:
            rows, at = transaction.rows, transaction.at
            known = _statuses(rows, [message.message_id for message in in_order])
            new = [message for message in in_order if message.message_id not in known]
            if new:
                rows.execute(sqlalchemy.insert(INBOX), [_row(message, at=at) for message in new])
            for message in in_order:
                if message.message_id in known:
                    _note_repeated(rows, message, known[message.message_id], at=at)
            return new

        for message in self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True)):
            if isinstance(message.parsed, NotUnderstood):
                _LOGGER.warning(
                    "a message can't be understood", message_id=message.message_id, reason=message.parsed.reason
                )

    def known(self, message_ids: Sequence[str]) -> Collection[str]:
        """Which of these messages are stored already."""
        with self._ledger.reading.connect() as reading:
            return set(_statuses(reading, message_ids))

    def settle_new(self, *, at: datetime) -> int:
        """Find out what the new messages are about, in the order in which they came; returns how many were looked at.

        Only of those that are known to come from where they may come from.

        Raises:
            LedgerError: the database can't be written.
        """
        self._now = at
        with self._ledger.reading.connect() as reading:
            numbers = reading.scalars(_DUE, {"at": microseconds(at)}).all()
            if not numbers:
                return 0
            messages = reading.execute(
                sqlalchemy.select(INBOX.c.number, INBOX.c.message_id, INBOX.c.body, INBOX.c.attempts)
                .where(INBOX.c.number.in_(numbers))
                .order_by(INBOX.c.number)
            ).all()
        left = [
            _New(number=number, message_id=message_id, parsed=parse(body, transport_id=message_id), attempts=attempts)
            for number, message_id, body, attempts in messages
        ]
        while left:
            self._settle(left[0])
            left = left[1:]
            left = left[self._settle_quiet(left) :]
        return len(messages)

    def wake_parked(self) -> bool:
        """Look again whether the keys became known for which messages wait, or that they never will; whether any wakes.

        Raises:
            LedgerError: the database can't be written.
        """
        named = INBOX.c.agreement_id.in_(
            sqlalchemy.select(LICENSE_KEYS.c.value)
            .where(LICENSE_KEYS.c.kind == KeyKind.AGREEMENT.value)
            .union(sqlalchemy.select(AGREEMENTS.c.agreement_id).where(AGREEMENTS.c.license_id.is_not(None)))
        )
        parked = (INBOX.c.status == MessageStatus.PARKED) & INBOX.c.license_id.is_(None)
        # Those with a due time wait for an answer of AWS.
        for_a_key = parked & INBOX.c.due_at.is_(None)
        with self._ledger.reading.connect() as reading:
            waited_for = known_agreements.among(reading, sqlalchemy.select(INBOX.c.agreement_id).where(for_a_key))
            others = products.of_others(reading, waited_for, served=self._settings.product_codes)
            in_vain = INBOX.c.agreement_id.in_([one.agreement_id for one in others[:AGREEMENTS_WOKEN_MAX]])
            awake = (parked & named) | (for_a_key & in_vain)
            found = reading.scalar(sqlalchemy.select(INBOX.c.number).where(awake).limit(1))
        if found is None:
            return False

        def decide(transaction: Transaction) -> None:
            transaction.rows.execute(sqlalchemy.update(INBOX).where(awake).values(anew(transaction)))

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))
        return True

    def _settle_quiet(self, messages: Sequence[_New]) -> int:
        """Settle those at the beginning that record nothing, all at once; returns how many.

        Most messages tell of a license that is known by all that they say. What records something is one append for
        itself, caused by its message.
        """
        if not messages:
            return 0
        license_id = LicenseId(str(uuid4()))
        keys = {key for message in messages for key in claiming(message.names)}

        def decide(transaction: Transaction) -> list[tuple[_New, Settled]]:
            settled: list[tuple[_New, Settled]] = []
            new = _still_new(transaction.rows, [message.number for message in messages])
            for message in messages:
                poke = message.parsed
                if message.number not in new or not isinstance(poke, Poke):
                    break
                if records_something(transaction, poke, settings=self._settings):
                    break
                settled.append((message, self._settle_in(transaction, message.number, poke, license_id)))
            return settled

        try:
            settled = self._ledger.submit(
                Work(decide=decide, caller=Caller(MARKETPLACE), keys=tuple(keys), writes_rows=True)
            )
        except (QueueIsFullError, UnavailableError):
            raise
        except Exception as error:  # noqa: BLE001 -- told of when the one that it came from is tried alone
            _LOGGER.info("messages are worked on one by one", error=type(error).__name__)
            return 0
        for message, then in settled:
            _say_put_aside(message.message_id, then)
        return len(settled)

    def _settle(self, message: _New) -> None:
        poke = message.parsed
        if not isinstance(poke, Poke):
            # It began anew, or was stored by a version of this program that understood it, or could not say so.
            self._write(message.number, Settled(status=_unread(poke), reason=poke.reason))
            return
        try:
            settled = self._settle_poke(message.number, poke, attempts=message.attempts)
        except (QueueIsFullError, UnavailableError):
            raise
        except Exception as error:
            # The next messages must not wait behind it.
            _LOGGER.exception("a message could not be worked on", message_id=message.message_id)
            self._try_again(message.number, reason=f"The program failed over it: {type(error).__name__}.")
            return
        if settled is not None:
            _say_put_aside(message.message_id, settled)

    def _settle_poke(self, number: int, poke: Poke, *, attempts: int) -> Settled | None:
        try:
            told = self._lineage_of(poke)
        except NoObservationError as error:
            reason = f"{error.reason} {_LINEAGE_AWAITED}"
            return self._park(number, reason=reason, no_answer=isinstance(error, NoAnswerError))
        legacy_first = self._why_legacy_first(poke, told, attempts=attempts)
        if legacy_first is not None:
            return self._park(number, reason=legacy_first)
        try:
            return self._decide(number, poke, told)
        except PredecessorIsTakenError as error:
            # What follows it, as far as is known, may have been called off without a word.
            return self._settle_claim(number, poke, error)
        except ContradictionError as error:
            return self._fail(number, error)

    def _settle_claim(self, number: int, poke: Poke, error: PredecessorIsTakenError) -> Settled | None:
        try:
            other = self._lineages.describe(error.taken_by)
        except NoObservationError as no_answer:
            return self._park(number, reason=f"{error} {no_answer.reason}", no_answer=True)
        if other is None or other.status not in LOST:
            # What it claims is kept, so that its agreement does not come in by another message.
            return self._fail(number, error, claim=poke.agreement)
        try:
            return self._decide(number, poke, (other,))
        except ContradictionError as still:
            return self._fail(number, still)

    def _decide(self, number: int, poke: Poke, told: Sequence[Agreement]) -> Settled | None:
        license_id = LicenseId(str(uuid4()))

        def decide(transaction: Transaction) -> Settled | None:
            if not _still_new(transaction.rows, [number]):
                return None
            return self._settle_in(transaction, number, poke, license_id, told=told)

        caller = Caller(MARKETPLACE, poke.message_id)
        return self._ledger.submit(Work(decide=decide, caller=caller, keys=claiming(poke.names), writes_rows=True))

    def _fail(self, number: int, error: ContradictionError, *, claim: Agreement | None = None) -> Settled:
        settled = Settled(status=MessageStatus.FAILED, reason=str(error))
        self._write(number, settled, claim=claim)
        return settled

    def _lineage_of(self, poke: Poke) -> tuple[Agreement, ...]:
        """What AWS tells of an agreement that was never heard of: one call, for the first message that names it."""
        if poke.product_code not in (None, *self._settings.product_codes) or poke.kind not in BEGINNING:
            return ()
        if self._rests_until is not None and self._now < self._rests_until and self._lineages.is_unknown(poke.names):
            raise NoAnswerError(_NO_ANSWER)
        told = self._lineages.read(poke.names, license_arn_heard=poke.license_arn_heard)
        if told:
            self._outages, self._rests_until = 0, None
        return told

    def _why_legacy_first(self, poke: Poke, told: Sequence[Agreement], *, attempts: int) -> str | None:
        """Why no license may be issued yet beside the legacy license of its customer; null if one may.

        A customer whose listing has moved to concurrent agreements is heard of by an agreement that nobody knows, and
        may have the very license that the legacy one claims as soon as it is read.
        """
        unclaimed = self._unclaimed_legacy(poke)
        answered = all(self._observe(license_id, poke.message_id) for license_id in unclaimed)
        left = self._unclaimed_legacy(poke) if unclaimed else ()
        if not left and answered:
            return None
        if not answered or attempts + 1 < LEGACY_READ_MAX:
            return _LEGACY_AWAITED
        return _LEGACY_UNKNOWN if self._may_be_legacys(poke, told, left) else None

    def _may_be_legacys(self, poke: Poke, told: Sequence[Agreement], unclaimed: Sequence[LicenseId]) -> bool:
        """Whether a message may be about the contract of a legacy license, of which several ARNs are shown."""
        agreement_id = value_of(poke.names, KeyKind.AGREEMENT)
        with self._ledger.reading.connect() as reading:
            seen = [observations.find(reading, license_id) for license_id in unclaimed]
            known = None if agreement_id is None else known_agreements.find(reading, agreement_id)
        agreements = [one for one in (*told, known, poke.agreement) if one is not None and one.starts_at is not None]
        return any(
            observation is not None
            and observation.saw_several
            and (
                not agreements
                or legacy.may_be_its_contract(agreements, issued_at=legacy.issued_at(self._ledger, license_id))
            )
            for license_id, observation in zip(unclaimed, seen, strict=True)
        )

    def _unclaimed_legacy(self, poke: Poke) -> Sequence[LicenseId]:
        """The legacy licenses of its customer that no ARN is known of, if no license has a key of this message."""
        account, product_code = value_of(poke.names, KeyKind.ACCOUNT), poke.product_code
        if account is None or product_code not in self._settings.product_codes or poke.kind not in ISSUING:
            return ()
        agreement_id, keys = value_of(poke.names, KeyKind.AGREEMENT), claiming(poke.names)

        def decide(transaction: Transaction) -> Sequence[LicenseId]:
            heard = None if agreement_id is None else known_agreements.find(transaction.rows, agreement_id)
            if heard is not None and heard.license_id is not None:
                return ()
            if any(transaction.license_of(*key) for key in keys):
                return ()
            return unclaimed_legacy(transaction, account, product_code=product_code)

        return self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), keys=keys, only_asks=True))

    def _park(self, number: int, *, reason: str, no_answer: bool = False) -> Settled:
        """Nothing is issued whose lineage is not known: it is asked for again, in pauses that grow."""
        if no_answer:
            self._outages += 1
        outages = self._outages

        def decide(transaction: Transaction) -> Settled:
            rows, this = transaction.rows, INBOX.c.number == number
            attempts = (rows.scalar(sqlalchemy.select(INBOX.c.attempts).where(this)) or 0) + 1
            rows.execute(sqlalchemy.update(INBOX).where(this).values(attempts=attempts))
            if outages:
                self._rests_until = transaction.at + OUTAGE.after(outages)
            settled = Settled(
                status=MessageStatus.PARKED,
                reason=reason,
                due_at=transaction.at + LICENSE.after(attempts),
            )
            _write_settled(transaction, number, settled)
            return settled

        return self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))

    def _settle_in(
        self,
        transaction: Transaction,
        number: int,
        poke: Poke,
        new_license_id: LicenseId,
        *,
        told: Sequence[Agreement] = (),
    ) -> Settled:
        before = transaction.position
        settled = settle(
            transaction, poke, number=number, settings=self._settings, new_license_id=new_license_id, told=told
        )
        if settled.reads and settled.license_id is not None:
            heard = _heard_otherwise(poke)
            observations.request(transaction, settled.license_id, priority=Priority.MESSAGE, license_arn_heard=heard)
        _write_settled(transaction, number, settled)
        note_events(transaction, [number], after=before)
        return settled

    def _write(self, number: int, settled: Settled, *, claim: Agreement | None = None) -> None:
        def decide(transaction: Transaction) -> None:
            if claim is not None and not known_agreements.is_taken_in(transaction, claim.agreement_id):
                known_agreements.note(transaction, claim)
            _write_settled(transaction, number, settled)

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))

    def _try_again(self, number: int, *, reason: str) -> None:
        def decide(transaction: Transaction) -> None:
            rows, this = transaction.rows, INBOX.c.number == number
            attempts = (rows.scalar(sqlalchemy.select(INBOX.c.attempts).where(this)) or 0) + 1
            given_up = attempts >= ATTEMPTS_MAX
            values: dict[str, Any] = {
                "attempts": attempts,
                "reason": reason,
                "status": MessageStatus.FAILED if given_up else MessageStatus.NEW,
                "due_at": None if given_up else microseconds(transaction.at + LICENSE.after(attempts)),
                **NOT_DISMISSED,
            }
            rows.execute(sqlalchemy.update(INBOX).where(this).values(values))

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))


def _note_repeated(rows: sqlalchemy.Connection, message: Received, status: str, *, at: datetime) -> None:
    this = INBOX.c.message_id == message.message_id
    values: dict[str, Any] = {"repeats": INBOX.c.repeats + 1}
    if status == MessageStatus.FAILED and not isinstance(message.parsed, NotUnderstood):
        values |= _row(message, at=at) | {"attempts": 0}
    rows.execute(sqlalchemy.update(INBOX).where(this).values(values))


def _still_new(rows: sqlalchemy.Connection, numbers: Sequence[int]) -> Collection[int]:
    """Which of these messages nobody has settled meanwhile."""
    query = sqlalchemy.select(INBOX.c.number).where(INBOX.c.number.in_(numbers), INBOX.c.status.in_(_TO_SETTLE))
    return set(rows.scalars(query))


def _say_put_aside(message_id: str, settled: Settled) -> None:
    if settled.status is not MessageStatus.WAITING:
        _LOGGER.info("a message was put aside", message_id=message_id, status=settled.status, reason=settled.reason)


def _heard_otherwise(poke: Poke) -> str | None:
    """The ARN as the message spells it, if that is not the form in which the ledger holds it."""
    known = value_of(poke.names, KeyKind.LICENSE_ARN)
    return None if poke.license_arn_heard == known else poke.license_arn_heard


def _statuses(rows: sqlalchemy.Connection, message_ids: Sequence[str]) -> Mapping[str, str]:
    query = sqlalchemy.select(INBOX.c.message_id, INBOX.c.status).where(INBOX.c.message_id.in_(message_ids))
    return {row.message_id: row.status for row in rows.execute(query)}


def _row(message: Received, *, at: datetime) -> dict[str, Any]:
    said = message.parsed
    row: dict[str, Any] = {
        "message_id": said.message_id,
        "body": message.body,
        "received_at": microseconds(at),
        "kind": None,
        "sent_at": None,
        "agreement_id": None,
        "request_id": None,
        "reason": None,
        "due_at": None,
        "verified_at": None,
        "anew_at": None,
        **NOT_DISMISSED,
    }
    match said:
        case Poke():
            return row | {
                "status": MessageStatus.NEW,
                "due_at": microseconds(at),
                "kind": said.kind,
                "sent_at": None if said.sent_at is None else microseconds(said.sent_at),
                "agreement_id": value_of(said.names, KeyKind.AGREEMENT),
                "request_id": said.request_id,
            }
        case Unrelated() | NotUnderstood():
            return row | {"status": _unread(said), "reason": said.reason}


def _unread(said: Unrelated | NotUnderstood) -> MessageStatus:
    """How a message stands after which there is nothing to read."""
    return MessageStatus.IGNORED if isinstance(said, Unrelated) else MessageStatus.FAILED


def _write_settled(transaction: Transaction, number: int, settled: Settled) -> None:
    values = standing(transaction, settled.status) | {
        "reason": settled.reason,
        "license_id": settled.license_id,
        "due_at": None if settled.due_at is None else microseconds(settled.due_at),
    }
    transaction.rows.execute(sqlalchemy.update(INBOX).where(INBOX.c.number == number).values(values))
