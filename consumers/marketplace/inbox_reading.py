"""The inbox as people ask for it, from the rows that the consumer writes; no consumer need run beside it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy
import structlog
from sqlalchemy import ColumnElement, CompoundSelect, Row, Select

from consumers.marketplace import known_agreements, telling
from consumers.marketplace.agreement import Agreement
from consumers.marketplace.inbox import MARKETPLACE
from consumers.marketplace.messages import Parsed, Poke, PokeKind, parse
from consumers.marketplace.names import NameIsMalformedError, license_arn, value_of
from consumers.marketplace.standing import NOT_DISMISSED, anew
from consumers.marketplace.standing import MessageStatus as Stored
from consumers.marketplace.tables import AGREEMENTS, INBOX, OBSERVATIONS, READINGS
from ledger.inbox import (
    DISMISSIBLE,
    LONG,
    RETRIED,
    ComingSeats,
    Dismissal,
    DismissalReason,
    Failure,
    InboxCounts,
    InboxMessage,
    InboxQuery,
    MessageInFull,
    MessageIsNotFoundError,
    MessageReading,
    MessageStatus,
    NothingToDismissError,
    NothingToRetryError,
    Notice,
    Notices,
)
from ledger.ledger import Ledger
from ledger.license.events import Actor, ActorRole, KeyKind, LicenseId
from ledger.store.tables import HOLDINGS, LICENSE_KEYS
from ledger.times import microseconds, moment
from ledger.transaction import Caller, Transaction, Work
from projections.page import Page

_LOGGER: Final = structlog.get_logger(__name__)

_READ_FOR_A_LIST: Final = 20_000
"""How many characters of a body are read to tell what it says; AWS's messages have a tenth of that."""
_NOTICES_SOUGHT: Final = 100
_BELIEVED: Final = (Stored.IGNORED, Stored.WAITING, Stored.DONE)
"""What stands for a message that was looked at, and comes from AWS."""
_NOT_BELIEVED: Final = (Stored.NEW, Stored.FAILED)
"""What stands for a message of which it is not known yet, or not so, that it comes from AWS, if it was not verified."""
_STORED: Final[Mapping[MessageStatus, tuple[Stored, ...]]] = {
    MessageStatus.FAILED: (Stored.FAILED,),
    MessageStatus.PARKED: (Stored.PARKED,),
    MessageStatus.WAITING: (Stored.NEW, Stored.WAITING),
    MessageStatus.DONE: (Stored.DONE,),
    MessageStatus.REPEATED: (Stored.REPEATED,),
    MessageStatus.IGNORED: (Stored.IGNORED,),
}
_SHOWN: Final = {stored: shown for shown, all_stored in _STORED.items() for stored in all_stored}
_PUT_ASIDE: Final = tuple(stored for shown in DISMISSIBLE for stored in _STORED[shown])
"""Of these some are shown as dismissed: what is done about messages goes on for them as for the others."""

_LOOKED_AT_NEXT: Final = "It is looked at next."
_READ_NEXT: Final = "It waits for a reading of its license."
_ROWS: Final = msgspec.json.Decoder(list[dict[str, Any]])


class MarketplaceInbox:
    """The messages of AWS Marketplace, for people and programs that look after them."""

    def __init__(self, ledger: Ledger) -> None:
        """Show those in the database of this ledger."""
        self._ledger = ledger

    def list(self, query: InboxQuery, *, after: int | None, limit: int) -> Page[InboxMessage]:
        """Messages, the newest first; see `api.inbox.InboxDoor`."""
        position, at = self._ledger.head().position, self._ledger.now()
        which = sqlalchemy.select(INBOX.c.number).where(*_conditions(query, at=at))
        if after is not None:
            which = which.where(INBOX.c.number < after)
        with self._ledger.reading.connect() as reading:
            # The texts of those alone that are shown, since most messages may fit.
            numbers = reading.scalars(which.order_by(INBOX.c.number.desc()).limit(limit + 1)).all()
            rows = reading.execute(_of(numbers)).all()
        return Page(
            items=[_message(row, at=at) for row in rows[:limit]],
            next=(rows[limit - 1].number,) if len(rows) > limit else None,
            position=position,
        )

    def get(self, number: int) -> MessageInFull:
        """One message with all that is kept of it; see `api.inbox.InboxDoor`."""
        with self._ledger.reading.connect() as reading:
            row = reading.execute(_select(INBOX.c.body).where(INBOX.c.number == number)).one_or_none()
            if row is None:
                raise MessageIsNotFoundError
            of_it = sqlalchemy.select(READINGS).where(READINGS.c.number == row.reading)
            read = None if row.reading is None else reading.execute(of_it).one_or_none()
        return MessageInFull(
            message=_message(row, at=self._ledger.now()),
            body=row.body,
            reading=None if read is None else _reading(read),
        )

    def counts(self, license_id: LicenseId | None = None) -> InboxCounts:
        """How many messages there are; see `api.inbox.InboxDoor`."""
        at = self._ledger.now()
        about = sqlalchemy.true() if license_id is None else INBOX.c.number.in_(_about(license_id))
        count = sqlalchemy.func.count()
        # By an index that has all of it; only those that may be dismissed are looked at themselves.
        by_status = sqlalchemy.select(INBOX.c.status, count.label("number")).where(about).group_by(INBOX.c.status)
        with self._ledger.reading.connect() as reading:
            found, dismissed = (
                {Stored(row.status): row.number for row in reading.execute(query)}
                for query in (by_status, by_status.where(_is_dismissed()))
            )
            parked, waiting = (
                reading.scalar(sqlalchemy.select(count).select_from(INBOX).where(about, condition)) or 0
                for condition in (_is_parked_long(at), _waits_long(at))
            )
        left = {
            shown: sum(found.get(one, 0) - dismissed.get(one, 0) for one in stored) for shown, stored in _STORED.items()
        }
        return InboxCounts(
            by_status={**left, MessageStatus.DISMISSED: sum(dismissed.values())},
            parked_long=parked,
            waiting_long=waiting,
        )

    def coming(self, license_id: LicenseId) -> ComingSeats | None:
        """Fewer seats that are to come; see `api.inbox.InboxDoor`."""
        told = sqlalchemy.select(OBSERVATIONS.c.coming_seats_max, OBSERVATIONS.c.coming_since).where(
            OBSERVATIONS.c.license_id == license_id, OBSERVATIONS.c.coming_since > microseconds(self._ledger.now())
        )
        with self._ledger.reading.connect() as reading:
            row = reading.execute(told).one_or_none()
        return None if row is None else ComingSeats(seats_max=row.coming_seats_max, since=moment(row.coming_since))

    def notices(self, license_id: LicenseId) -> Notices:
        """What AWS told about a license beside its seats; see `api.inbox.InboxDoor`."""
        says_something = (
            INBOX.c.kind.in_((PokeKind.NOTICE, PokeKind.SUBSCRIBE_SUCCESS)),
            INBOX.c.status.in_(_BELIEVED),
        )
        with self._ledger.reading.connect() as reading:
            agreements = known_agreements.of_license(reading, license_id)
            found = reading.scalars(_about(license_id, *says_something)).all()
            rows = reading.execute(_of(sorted(found, reverse=True)[:_NOTICES_SOUGHT])).all()
        at = self._ledger.now()
        told = [*(_trial(one, at=at) for one in reversed(agreements)), *map(_notice, rows)]
        notices = [one for one in told if one is not None]
        latest = {one.kind: one for one in reversed(notices)}
        return Notices(
            latest=[one for one in notices if latest[one.kind] is one],
            earlier=[one for one in notices if latest[one.kind] is not one],
        )

    def retry(self, number: int, *, caller: Caller) -> InboxMessage:
        """Let a message begin anew; see `api.inbox.InboxDoor`."""
        in_full = self.get(number)
        before = in_full.message
        if not before.can_be_retried:
            raise NothingToRetryError(status=before.status)
        understood = _understood(parse(in_full.body, transport_id=before.message_id))

        def decide(transaction: Transaction) -> None:
            # Nothing if it began anew meanwhile, so that a decision that is made twice makes no difference.
            settled = sqlalchemy.or_(*map(_stands, RETRIED))
            values = understood | {
                **NOT_DISMISSED,
                **anew(transaction),
                "reason": None,
                "attempts": 0,
                "parked_at": None,
                "verified_at": None,
            }
            transaction.rows.execute(sqlalchemy.update(INBOX).where(INBOX.c.number == number, settled).values(values))

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))
        _LOGGER.info("a message begins anew", message_id=before.message_id, was=before.status, by=caller.actor.id)
        return self.get(number).message

    def dismiss(self, number: int, *, reason: DismissalReason, note: str | None, caller: Caller) -> InboxMessage:
        """Let nobody need look at a message any more; see `api.inbox.InboxDoor`."""
        before = self.get(number).message
        if before.dismissal is not None:
            return before
        if not before.can_be_dismissed:
            raise NothingToDismissError(status=before.status)

        def decide(transaction: Transaction) -> None:
            # Nothing if something became of it meanwhile, or somebody else was quicker.
            still = (INBOX.c.number == number, sqlalchemy.or_(*map(_stands, DISMISSIBLE)))
            values = {
                "dismissed_at": microseconds(transaction.at),
                "dismissed_by": caller.actor.id,
                "dismissed_reason": reason,
                "dismissed_note": note,
            }
            transaction.rows.execute(sqlalchemy.update(INBOX).where(*still).values(values))

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))
        _LOGGER.info(
            "a message was dismissed",
            message_id=before.message_id,
            was=before.status,
            reason=reason,
            by=caller.actor.id,
        )
        return self.get(number).message


_SHORT_BODY: Final = (
    sqlalchemy.func.substr(INBOX.c.body, 1, _READ_FOR_A_LIST).label("beginning"),
    sqlalchemy.func.length(INBOX.c.body).label("length"),
)


def _select(*more: ColumnElement[Any]) -> Select[Any]:
    """What a message is made of, and when its license is read next."""
    columns = [column for column in INBOX.c if column is not INBOX.c.body]
    of_its_license = OBSERVATIONS.c.license_id == INBOX.c.license_id
    return sqlalchemy.select(*columns, *_SHORT_BODY, OBSERVATIONS.c.due_at.label("read_due_at"), *more).select_from(
        INBOX.outerjoin(OBSERVATIONS, of_its_license)
    )


def _of(numbers: Sequence[int]) -> Select[Any]:
    """The messages of these numbers, the newest first."""
    return _select().where(INBOX.c.number.in_(numbers)).order_by(INBOX.c.number.desc())


def _conditions(query: InboxQuery, *, at: datetime) -> Iterator[ColumnElement[bool]]:
    if query.status is not None:
        yield _stands(query.status)
    if query.license_id is not None:
        yield INBOX.c.number.in_(_about(query.license_id))
    if query.kind is not None:
        yield INBOX.c.kind == query.kind
    if query.since is not None:
        yield INBOX.c.received_at >= microseconds(query.since)
    if query.until is not None:
        yield INBOX.c.received_at < microseconds(query.until)
    if query.q is not None:
        yield INBOX.c.number.in_(_named(query.q))
    if query.needs_look:
        yield _stands(MessageStatus.FAILED) | _is_parked_long(at) | _waits_long(at)


def _about(license_id: LicenseId, *more: ColumnElement[bool]) -> "CompoundSelect[Any]":
    """The numbers of the messages about a license.

    A notice that came before its license was known has no other link to it than the agreement.
    """
    agreements = sqlalchemy.select(LICENSE_KEYS.c.value).where(
        LICENSE_KEYS.c.kind == KeyKind.AGREEMENT.value, LICENSE_KEYS.c.license_id == license_id
    )
    early = (INBOX.c.kind == PokeKind.NOTICE) & INBOX.c.license_id.is_(None) & INBOX.c.agreement_id.in_(agreements)
    # Each by an index of its own.
    return sqlalchemy.union(
        *(
            sqlalchemy.select(INBOX.c.number).where(condition, *more)
            for condition in (INBOX.c.license_id == license_id, early)
        )
    )


def _named(q: str) -> "CompoundSelect[Any]":
    """The numbers of the messages that have this id, or are about what has it."""
    keys = sqlalchemy.select(LICENSE_KEYS.c.license_id).where(
        LICENSE_KEYS.c.kind == KeyKind.LICENSE_ARN.value, LICENSE_KEYS.c.value == _as_license_arn(q)
    )
    held = sqlalchemy.select(HOLDINGS.c.license_id).where(HOLDINGS.c.customer_id == q)
    # Of the messages of a license that is not known yet the agreement tells whose they are.
    bought = sqlalchemy.select(AGREEMENTS.c.agreement_id).where(AGREEMENTS.c.account_id == q)
    return sqlalchemy.union(
        *(
            sqlalchemy.select(INBOX.c.number).where(condition)
            for condition in (
                INBOX.c.message_id.startswith(q, autoescape=True),
                INBOX.c.request_id.startswith(q, autoescape=True),
                INBOX.c.agreement_id == q,
                INBOX.c.license_id == q.lower(),
                INBOX.c.license_id.in_(keys.union(held)),
                INBOX.c.agreement_id.in_(bought),
            )
        )
    )


def _as_license_arn(q: str) -> str:
    try:
        return license_arn(q)
    except NameIsMalformedError:
        return q


def _stands(status: MessageStatus) -> ColumnElement[bool]:
    """Whether a message is shown with this status."""
    if status is MessageStatus.DISMISSED:
        return _is_dismissed()
    stored = INBOX.c.status.in_(_STORED[status])
    return stored & INBOX.c.dismissed_at.is_(None) if status in DISMISSIBLE else stored


def _is_dismissed() -> ColumnElement[bool]:
    return INBOX.c.status.in_(_PUT_ASIDE) & INBOX.c.dismissed_at.is_not(None)


def _is_parked_long(at: datetime) -> ColumnElement[bool]:
    since = sqlalchemy.func.coalesce(INBOX.c.parked_at, INBOX.c.received_at)
    return _stands(MessageStatus.PARKED) & (since <= microseconds(at - LONG))


def _waits_long(at: datetime) -> ColumnElement[bool]:
    since = sqlalchemy.func.coalesce(INBOX.c.anew_at, INBOX.c.received_at)
    return INBOX.c.status.in_(_STORED[MessageStatus.WAITING]) & (since <= microseconds(at - LONG))


def _message(row: Row[Any], *, at: datetime) -> InboxMessage:
    dismissal, told = _dismissal(row), _tell(row)
    status = _SHOWN[Stored(row.status)] if dismissal is None else MessageStatus.DISMISSED
    since = _moment(row.parked_at if status is MessageStatus.PARKED else row.anew_at) or moment(row.received_at)
    unsettled = status in (MessageStatus.PARKED, MessageStatus.WAITING)
    return InboxMessage(
        number=row.number,
        message_id=row.message_id,
        request_id=row.request_id,
        kind=row.kind,
        says=told.says,
        is_claim=told.failure is None and row.verified_at is None and row.status in _NOT_BELIEVED,
        status=status,
        failure=_failure(row, told),
        reason=_reason(row),
        license_id=None if row.license_id is None else LicenseId(row.license_id),
        agreement_id=row.agreement_id,
        received_at=moment(row.received_at),
        sent_at=_moment(row.sent_at),
        due_at=_moment(row.read_due_at if row.status == Stored.WAITING else row.due_at),
        parked_at=_moment(row.parked_at),
        attempts=row.attempts,
        repeats=row.repeats,
        positions=None if row.first_position is None else (row.first_position, row.last_position),
        dismissal=dismissal,
        needs_look=status is MessageStatus.FAILED or (unsettled and since <= at - LONG),
    )


def _failure(row: Row[Any], told: telling.Told) -> Failure | None:
    if row.status != Stored.FAILED:
        return None
    if row.kind is None:
        return told.failure or Failure.NOT_UNDERSTOOD
    return Failure.NOT_TRUSTED if row.verified_at is None else Failure.OTHER


def _dismissal(row: Row[Any]) -> Dismissal | None:
    if row.dismissed_at is None or row.status not in _PUT_ASIDE:
        return None
    return Dismissal(
        reason=DismissalReason(row.dismissed_reason),
        note=row.dismissed_note,
        actor=Actor(ActorRole.OPERATOR, row.dismissed_by),
        dismissed_at=moment(row.dismissed_at),
    )


def _understood(said: Parsed) -> dict[str, Any]:
    """What is kept of a message beside its text, as this version of the program understands it."""
    if not isinstance(said, Poke):
        return {}
    return {
        "kind": said.kind,
        "sent_at": None if said.sent_at is None else microseconds(said.sent_at),
        "agreement_id": value_of(said.names, KeyKind.AGREEMENT),
        "request_id": said.request_id,
    }


def _notice(row: Row[Any]) -> Notice | None:
    told = _tell(row)
    if told.notice is None:
        return None
    told_at = moment(row.received_at if row.sent_at is None else row.sent_at)
    return Notice(number=row.number, kind=told.notice, says=told.says, told_at=told_at)


def _trial(agreement: Agreement, *, at: datetime) -> Notice | None:
    """That an agreement is a free trial, which AWS tells of concurrent agreements only when it is asked."""
    ends_at, told_at = agreement.trial_ends_at, agreement.read_at or agreement.heard_at
    if ends_at is None or told_at is None:
        return None
    says = ("Free trial until " if ends_at > at else "The free trial ended on ", ends_at, ".")
    return Notice(number=None, kind=telling.FREE_TRIAL, says=says, told_at=told_at)


def _reason(row: Row[Any]) -> str | None:
    match row.status:
        case Stored.NEW if row.reason is None:
            return _LOOKED_AT_NEXT
        case Stored.WAITING if row.reason is None:
            return _READ_NEXT
        case _:
            return None if row.reason is None else str(row.reason)


def _tell(row: Row[Any]) -> telling.Told:
    return telling.tell(row.beginning, whole=row.length <= _READ_FOR_A_LIST)


def _reading(row: Row[Any]) -> MessageReading:
    return MessageReading(
        number=row.number,
        read_at=moment(row.read_at),
        outcome=row.outcome,
        reason=row.reason,
        rows=_ROWS.decode(row.rows),
        agreements=None if row.agreements is None else _ROWS.decode(row.agreements),
    )


def _moment(at: int | None) -> datetime | None:
    return None if at is None else moment(at)
