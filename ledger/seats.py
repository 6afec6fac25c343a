"""Commands about seats, carried out by the writer: activate, block, unblock, delete, many at once, sign in."""

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from ledger.errors import (
    IdempotencyKeyIsReusedError,
    IsStaleError,
    LicenseIsFoldedError,
    RefusedError,
    TooManyNewUsersError,
)
from ledger.ids import random_id
from ledger.license import access, decisions
from ledger.license.access import AccessCode
from ledger.license.choice import Place, license_to_work_under
from ledger.license.decisions import LimitPreview, SeatIsNotFoundError
from ledger.license.events import (
    Actor,
    BlockReason,
    LicenseEvent,
    LicenseId,
    Personal,
    SeatActivated,
    SeatBlocked,
    SeatId,
)
from ledger.license.holding import Holding
from ledger.license.state import License, Seat, SeatStatus
from ledger.replay import Moment, Past
from ledger.store import REMEMBERED_FOR, RememberedAnswer
from ledger.transaction import Caller, Transaction, Work
from ledger.twins import Twins, in_its_place
from ledger.users import User
from ledger.writer import Writer

CHANGES_MAX: Final = 1_000
USERS_PREVIEWED_MAX: Final = 1_000
SEATS_PREVIEWED_MAX: Final = 2**31 - 1
"""The largest limit that is previewed: the largest number that AWS can sell."""

# What the caller believes to change: a version, or "*" for "it exists".
IfMatch: TypeAlias = int | Literal["*"] | None
NamingEvent: TypeAlias = SeatActivated | SeatBlocked
# The licenses among which one is chosen: these, or whatever a customer holds of a product.
Among: TypeAlias = Holding | Sequence[LicenseId]

R = TypeVar("R")


class SeatRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A seat as people and programs see it, with the user's name."""

    license_id: LicenseId
    seat_id: SeatId
    user: str
    status: SeatStatus
    activated_at: datetime | None
    blocked_at: datetime | None
    deleted_at: datetime | None
    reason: str | None
    note: str | None
    actor: Actor
    version: int


class SeatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a command about one seat.

    Attributes:
        seat: as it stands now.
        took_seat: the command activated it.
        license_version: of the license, after the command.
        position: up to which this is true.
    """

    seat: SeatRecord
    took_seat: bool
    license_version: int
    position: int


class Change(StrEnum):
    """What a row of many changes asks for."""

    ACTIVATE = "activate"
    BLOCK = "block"
    UNBLOCK = "unblock"
    DELETE = "delete"


class SeatChange(msgspec.Struct, frozen=True, kw_only=True):
    """One row of many changes; exactly one of `user` and `seat_id` is set, and `reason` where it blocks."""

    change: Change
    user: User | None = None
    seat_id: SeatId | None = None
    reason: BlockReason | None = None
    note: str | None = None


class ChangeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row: the seat after all rows, or the refusal."""

    seat: SeatRecord | None
    took_seat: bool
    refusal: RefusedError | None


class ChangesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to many changes, in their order."""

    results: Sequence[ChangeResult]
    license_version: int
    position: int


class AccessAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a user may work.

    Attributes:
        code: the answer; `ALLOWED` alone is yes.
        user: the spelling that was asked with.
        license: as it stood; null if there was none to choose.
        seat_id: the user's seat there, null if the license never heard of the user.
        is_new: no license that was looked at ever heard of the user.
        usable_until: until when anybody may use this license as things stand.
        at: when this was decided.
        position: up to which this is true.
    """

    code: AccessCode
    user: str
    license: License | None
    seat_id: SeatId | None
    is_new: bool
    usable_until: datetime | None
    at: datetime
    position: int


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What another seat limit would do, with the names of the first users it would delete."""

    limit: LimitPreview
    seats_active: int
    users: Sequence[str]
    license_version: int
    position: int


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """An Idempotency-Key: keyed hashes of whose it is and of what was asked."""

    key_hash: bytes
    request_hash: bytes


class _Result(msgspec.Struct, frozen=True, array_like=True):
    seat_id: str | None
    took_seat: bool
    code: str | None


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of an answer: enough to render it again from the state at its version, and nothing personal."""

    version: int
    position: int
    results: list[_Result]


_ENCODE_KEPT: Final = msgspec.json.Encoder().encode
_DECODE_KEPT: Final = msgspec.json.Decoder(_Kept).decode


class Seats:
    """The commands about seats. What is asked of a twin is answered from the license that it was folded into."""

    def __init__(self, writer: Writer, past: Past, twins: Twins) -> None:
        """Write through a writer; render repeated answers from the past; know where the twins went."""
        self._writer = writer
        self._past = past
        self._twins = twins

    def activate(
        self, license_id: LicenseId, *, user: User, caller: Caller, if_match: IfMatch = None, once: Once | None = None
    ) -> SeatAnswer:
        """A user takes a seat; one who has one keeps it. `if_match` is the license's version.

        Raises:
            LicenseIsNotFoundError, IsStaleError, IdempotencyKeyIsReusedError: see there.
            RefusedError: a rule of `decisions.activate_seat` refuses.
        """
        change = SeatChange(change=Change.ACTIVATE, user=user)
        return self._change_one(license_id, change, caller=caller, if_match=if_match, once=once)

    def block_user(
        self,
        license_id: LicenseId,
        *,
        user: User,
        reason: BlockReason,
        note: str | None,
        caller: Caller,
        if_match: IfMatch = None,
        once: Once | None = None,
    ) -> SeatAnswer:
        """Keep a user out, also one never seen. `if_match` is the license's version.

        Raises:
            LicenseIsNotFoundError, IsStaleError, IdempotencyKeyIsReusedError: see there.
        """
        change = SeatChange(change=Change.BLOCK, user=user, reason=reason, note=note)
        return self._change_one(license_id, change, caller=caller, if_match=if_match, once=once)

    def block(
        self,
        license_id: LicenseId,
        *,
        seat_id: SeatId,
        reason: BlockReason,
        note: str | None,
        caller: Caller,
        if_match: IfMatch = None,
        once: Once | None = None,
    ) -> SeatAnswer:
        """Keep the user of a seat out. `if_match` is the seat's version.

        Raises:
            LicenseIsNotFoundError, SeatIsNotFoundError, IsStaleError, IdempotencyKeyIsReusedError: see there.
        """
        change = SeatChange(change=Change.BLOCK, seat_id=seat_id, reason=reason, note=note)
        return self._change_one(license_id, change, caller=caller, if_match=if_match, once=once)

    def unblock(
        self,
        license_id: LicenseId,
        *,
        seat_id: SeatId,
        caller: Caller,
        if_match: IfMatch = None,
        once: Once | None = None,
    ) -> SeatAnswer:
        """Let the user of a seat in again. `if_match` is the seat's version.

        Raises:
            LicenseIsNotFoundError, SeatIsNotFoundError, IsStaleError, IdempotencyKeyIsReusedError: see there.
        """
        change = SeatChange(change=Change.UNBLOCK, seat_id=seat_id)
        return self._change_one(license_id, change, caller=caller, if_match=if_match, once=once)

    def delete(
        self,
        license_id: LicenseId,
        *,
        seat_id: SeatId,
        caller: Caller,
        if_match: IfMatch = None,
        once: Once | None = None,
    ) -> SeatAnswer:
        """Take the seat from its user, who may come back. `if_match` is the seat's version.

        Raises:
            LicenseIsNotFoundError, SeatIsNotFoundError, IsStaleError, IdempotencyKeyIsReusedError: see there.
            UserIsBlockedError: unblock first.
        """
        change = SeatChange(change=Change.DELETE, seat_id=seat_id)
        return self._change_one(license_id, change, caller=caller, if_match=if_match, once=once)

    def change_many(
        self, license_id: LicenseId, *, changes: Sequence[SeatChange], caller: Caller, once: Once | None = None
    ) -> ChangesAnswer:
        """Carry out up to 1,000 changes in their order; those accepted are one append.

        Raises:
            LicenseIsNotFoundError, IdempotencyKeyIsReusedError: see there.
        """

        def run(transaction: Transaction, license_: License) -> tuple[list[_Result], License]:
            results = []
            for change in changes:
                result, license_ = _try_change(transaction, license_, change)
                results.append(result)
            return results, license_

        return in_its_place(license_id, lambda it: self._carry_out(it, changes, run, caller=caller, once=once))

    def sign_in(
        self,
        license_id: LicenseId,
        *,
        user: User,
        caller: Caller,
        new_users_max: int | None = None,
    ) -> AccessAnswer:
        """May this user work? A user without a seat takes one, if one is free.

        Args:
            license_id: the license; one that is not there answers `LICENSE_NOT_FOUND`.
            user: who signs in.
            caller: the client program's key.
            new_users_max: how many users never heard of this caller may bring in an hour; null is no limit.

        Raises:
            TooManyNewUsersError: this would be one more.
        """
        return in_its_place(
            license_id,
            lambda it: self._sign_in(_asks(it, user, caller=caller), user=user, new_users_max=new_users_max),
        )

    def sign_in_among(
        self, among: Among, *, user: User, caller: Caller, new_users_max: int | None = None
    ) -> AccessAnswer:
        """May this user work under one of these licenses? A user without a seat takes one, where one is free.

        The license is chosen by `license_to_work_under`; where there is none the answer is `LICENSE_NOT_FOUND`.

        Args:
            among: at most 1,000 licenses.
            user: who signs in.
            caller: the client program's key.
            new_users_max: how many users never heard of this caller may bring in an hour; null is no limit.

        Raises:
            TooManyNewUsersError: this would be one more.
            TooManyLicensesError: the customer holds more than 1,000 licenses of the product.
        """
        return self._ask_among(
            among,
            lambda them: self._sign_in(_asks_among(them, user, caller=caller), user=user, new_users_max=new_users_max),
        )

    def access(self, license_id: LicenseId, *, user: User, caller: Caller) -> AccessAnswer:
        """May this user work, as things stand? Changes nothing."""
        return in_its_place(license_id, lambda it: self._writer.submit(_asks(it, user, caller=caller)))

    def access_among(self, among: Among, *, user: User, caller: Caller) -> AccessAnswer:
        """May this user work under one of these licenses, as things stand? Changes nothing.

        Raises:
            TooManyLicensesError: the customer holds more than 1,000 licenses of the product.
        """
        return self._ask_among(among, lambda them: self._writer.submit(_asks_among(them, user, caller=caller)))

    def preview(self, license_id: LicenseId, *, seats_max: int, caller: Caller) -> Preview:
        """What the limit `seats_max` would do to the users. Changes nothing.

        Raises:
            LicenseIsNotFoundError: there is none of this id.
        """

        def ask(license_id: LicenseId) -> tuple[License, int]:
            def decide(transaction: Transaction) -> tuple[License, int]:
                return transaction.license(license_id), transaction.position

            return self._writer.submit(Work(decide=decide, caller=caller, licenses=(license_id,), only_asks=True))

        license_, position = in_its_place(license_id, ask)
        limit = decisions.preview_limit(license_, seats_max=seats_max)
        deleted = [license_.seats[seat_id] for seat_id in license_.active_seats()] if limit.seats_deleted else []
        return Preview(
            limit=limit,
            seats_active=license_.seats_active,
            users=[self._name(license_, seat) for seat in deleted[:USERS_PREVIEWED_MAX]],
            license_version=license_.version,
            position=position,
        )

    def _name(self, license_: License, seat: Seat) -> str:
        return self._past.naming_event(license_.license_id, seat).user.plain

    def _ask_among(self, among: Among, ask: Callable[[Among], AccessAnswer]) -> AccessAnswer:
        try:
            return ask(among)
        except LicenseIsFoldedError:
            if isinstance(among, Holding):
                raise
            return self._ask_among(self._twins.follow(among), ask)

    def _sign_in(self, asks: Work[AccessAnswer], *, user: User, new_users_max: int | None) -> AccessAnswer:
        # Most who sign in have a seat, or get none: they need not wait for those who take one.
        answer = self._writer.submit(asks)
        if answer.code is not AccessCode.NO_SEAT:
            return answer
        counter = (asks.caller.actor.id, _hour(self._past.now()))

        def decide(transaction: Transaction) -> AccessAnswer:
            answer = asks.decide(transaction)
            if answer.code is not AccessCode.NO_SEAT or answer.license is None:
                return answer
            return _take_seat(transaction, answer.license, user, answer, counter=counter, new_users_max=new_users_max)

        counters = () if new_users_max is None else (counter,)
        return self._writer.submit(msgspec.structs.replace(asks, decide=decide, counters=counters, only_asks=False))

    def _change_one(
        self, license_id: LicenseId, change: SeatChange, *, caller: Caller, if_match: IfMatch, once: Once | None
    ) -> SeatAnswer:
        def run(transaction: Transaction, license_: License) -> tuple[list[_Result], License]:
            if change.seat_id is None:
                _match(license_.version, if_match)
            elif (seat := license_.seats.get(change.seat_id)) is not None:
                _match(seat.version, if_match)
            result, license_ = _try_change(transaction, license_, change)
            return [result], license_

        answer = in_its_place(license_id, lambda it: self._carry_out(it, [change], run, caller=caller, once=once))
        result = answer.results[0]
        if result.refusal is not None or result.seat is None:
            raise result.refusal or SeatIsNotFoundError
        return SeatAnswer(
            seat=result.seat,
            took_seat=result.took_seat,
            license_version=answer.license_version,
            position=answer.position,
        )

    def _carry_out(
        self,
        license_id: LicenseId,
        changes: Sequence[SeatChange],
        run: Callable[[Transaction, License], tuple[list[_Result], License]],
        *,
        caller: Caller,
        once: Once | None,
    ) -> ChangesAnswer:
        def decide(transaction: Transaction) -> ChangesAnswer | _Kept:
            kept = _kept_before(transaction, license_id, once)
            if kept is not None:
                return kept
            license_ = transaction.license(license_id)
            results, license_ = run(transaction, license_)
            kept = _Kept(license_.version, transaction.position, results)
            _keep(transaction, once, kept)
            return _render(kept, license_, lambda seat: transaction.naming_event(license_id, seat))

        answer = self._writer.submit(
            Work(
                decide=decide,
                caller=caller,
                licenses=(license_id,),
                users=tuple((license_id, change.user) for change in changes if change.user is not None),
                answers=() if once is None else (once.key_hash,),
            )
        )
        return self._render_again(license_id, answer) if isinstance(answer, _Kept) else answer

    def _render_again(self, license_id: LicenseId, kept: _Kept) -> ChangesAnswer:
        then = self._past.license_at(license_id, Moment(version=kept.version))
        return _render(kept, then.license, lambda seat: self._past.naming_event(license_id, seat))


def seat_record(license_id: LicenseId, seat_id: SeatId, seat: Seat, named: NamingEvent) -> SeatRecord:
    """A seat with its user's name, as the naming event has it."""
    blocked = seat.status is SeatStatus.BLOCKED and isinstance(named, SeatBlocked)
    return SeatRecord(
        license_id=license_id,
        seat_id=seat_id,
        user=named.user.plain,
        status=seat.status,
        activated_at=seat.activated_at,
        blocked_at=seat.blocked_at,
        deleted_at=seat.deleted_at,
        reason=seat.reason,
        note=named.note.plain if blocked and isinstance(named, SeatBlocked) and named.note else None,
        actor=seat.actor,
        version=seat.version,
    )


def _render(kept: _Kept, license_: License, naming: Callable[[Seat], NamingEvent]) -> ChangesAnswer:
    def result(one: _Result) -> ChangeResult:
        seat = license_.seats.get(SeatId(one.seat_id)) if one.seat_id is not None else None
        return ChangeResult(
            seat=seat_record(license_.license_id, SeatId(one.seat_id), seat, naming(seat))
            if one.seat_id is not None and seat is not None
            else None,
            took_seat=one.took_seat,
            refusal=decisions.refusal(license_, one.code) if one.code is not None else None,
        )

    return ChangesAnswer(
        results=[result(one) for one in kept.results], license_version=kept.version, position=kept.position
    )


def _kept_before(transaction: Transaction, license_id: LicenseId, once: Once | None) -> _Kept | None:
    """What was answered under this license before; since it was folded the one in its place answers."""
    remembered = transaction.remembered(once.key_hash) if once is not None else None
    if once is None or remembered is None or transaction.at - remembered.answered_at > REMEMBERED_FOR:
        return None
    if _was_folded_by(transaction.any_license(license_id), remembered.answered_at):
        return None
    if remembered.request_hash != once.request_hash:
        raise IdempotencyKeyIsReusedError
    return _DECODE_KEPT(remembered.answer)


def _was_folded_by(license_: License, at: datetime) -> bool:
    # Nothing is recorded of a license after that.
    return license_.folded_into is not None and license_.recorded_at is not None and at >= license_.recorded_at


def _keep(transaction: Transaction, once: Once | None, kept: _Kept) -> None:
    if once is None:
        return
    answer = RememberedAnswer(request_hash=once.request_hash, answer=_ENCODE_KEPT(kept), answered_at=transaction.at)
    transaction.remember(once.key_hash, answer)


def _try_change(transaction: Transaction, license_: License, change: SeatChange) -> tuple[_Result, License]:
    seat_id, known = _seat_of(transaction, license_, change)
    try:
        events = _decide_change(transaction, license_, change, seat_id)
    except RefusedError as refusal:
        return _Result(seat_id if known else None, False, refusal.CODE), license_  # noqa: FBT003 -- a struct like a row
    after = transaction.append(license_.license_id, events)
    took_seat = bool(events) and after.seats[seat_id].status is SeatStatus.ACTIVE
    return _Result(seat_id, took_seat, None), after


def _seat_of(transaction: Transaction, license_: License, change: SeatChange) -> tuple[SeatId, bool]:
    """The seat that a change is about, and whether it was heard of before."""
    if change.seat_id is not None:
        return change.seat_id, change.seat_id in license_.seats
    if change.user is None:
        msg = "a change needs a user or a seat"
        raise ValueError(msg)
    seat_id = transaction.seat_of(license_.license_id, change.user)
    return (seat_id, True) if seat_id is not None else (SeatId(random_id()), False)


def _decide_change(
    transaction: Transaction, license_: License, change: SeatChange, seat_id: SeatId
) -> Sequence[LicenseEvent]:
    match change.change:
        case Change.UNBLOCK:
            return decisions.unblock_seat(license_, seat_id=seat_id)
        case Change.DELETE:
            return decisions.delete_seat(license_, seat_id=seat_id)
    seat = license_.seats.get(seat_id)
    if seat is None and change.user is None:
        raise SeatIsNotFoundError
    # The name is looked up where the change does not bring it, the note where it is compared.
    looks_up = change.user is None or change.change is Change.BLOCK
    named = transaction.naming_event(license_.license_id, seat) if seat is not None and looks_up else None
    if change.change is Change.ACTIVATE:
        return decisions.activate_seat(
            license_,
            seat_id=seat_id,
            user=_personal_name(seat_id, change, named),
            policy=transaction.policy,
            at=transaction.at,
        )
    return decisions.block_seat(
        license_,
        seat_id=seat_id,
        user=_personal_name(seat_id, change, named),
        reason=change.reason or BlockReason.OTHER,
        note=Personal(seat_id, change.note) if change.note is not None else None,
        note_before=named.note if isinstance(named, SeatBlocked) else None,
    )


def _personal_name(seat_id: SeatId, change: SeatChange, named: NamingEvent | None) -> Personal[str]:
    if change.user is not None:
        return Personal(seat_id, change.user.name)
    if named is None:
        raise SeatIsNotFoundError
    return named.user


def _asks(license_id: LicenseId, user: User, *, caller: Caller) -> Work[AccessAnswer]:
    def decide(transaction: Transaction) -> AccessAnswer:
        license_ = transaction.any_license(license_id)
        if license_.folded_into is not None:
            raise LicenseIsFoldedError(license_.folded_into)
        seat_id = transaction.seat_of(license_id, user)
        code = access.access(license_, seat_id, policy=transaction.policy, at=transaction.at)
        place = Place(license=license_, seat_id=seat_id)
        return _access_answer(transaction, user, code=code, place=place, is_new=seat_id is None)

    return Work(decide=decide, caller=caller, licenses=(license_id,), users=((license_id, user),), only_asks=True)


def _asks_among(among: Among, user: User, *, caller: Caller) -> Work[AccessAnswer]:
    def decide(transaction: Transaction) -> AccessAnswer:
        places = [
            Place(license=license_, seat_id=transaction.seat_of(license_.license_id, user))
            for license_ in _licenses_among(transaction, among)
        ]
        choice = license_to_work_under(places, policy=transaction.policy, at=transaction.at)
        is_new = all(place.seat_id is None for place in places)
        return _access_answer(transaction, user, code=choice.code, place=choice.place, is_new=is_new)

    if isinstance(among, Holding):
        return Work(decide=decide, caller=caller, holdings=((among, user),), only_asks=True)
    users = tuple((license_id, user) for license_id in among)
    return Work(decide=decide, caller=caller, licenses=tuple(among), users=users, only_asks=True)


def _licenses_among(transaction: Transaction, among: Among) -> Sequence[License]:
    """Those that are there; a twin that was folded into another license is not.

    Raises:
        LicenseIsFoldedError: a license is named whose place another one has taken that is not.
    """
    if isinstance(among, Holding):
        licenses = transaction.licenses_held(among)
    else:
        licenses = [transaction.any_license(license_id) for license_id in among]
        _refuse_left_behind(licenses, among)
    return [license_ for license_ in licenses if license_.issued and license_.folded_into is None]


def _refuse_left_behind(licenses: Sequence[License], among: Sequence[LicenseId]) -> None:
    for license_ in licenses:
        if license_.folded_into is not None and license_.folded_into not in among:
            raise LicenseIsFoldedError(license_.folded_into)


def _access_answer(
    transaction: Transaction, user: User, *, code: AccessCode, place: Place | None, is_new: bool
) -> AccessAnswer:
    license_ = None if place is None else place.license
    return AccessAnswer(
        code=code,
        user=user.name,
        license=license_,
        seat_id=None if place is None else place.seat_id,
        is_new=is_new,
        usable_until=access.usable_until(license_.subscription, policy=transaction.policy) if license_ else None,
        at=transaction.at,
        position=transaction.position,
    )


def _take_seat(
    transaction: Transaction,
    license_: License,
    user: User,
    answer: AccessAnswer,
    *,
    counter: tuple[str, int],
    new_users_max: int | None,
) -> AccessAnswer:
    if license_.seats_active >= license_.seats_max:
        return msgspec.structs.replace(answer, code=AccessCode.NO_SEAT_FREE)
    if answer.is_new and new_users_max is not None:
        if transaction.new_users(counter) >= new_users_max:
            raise TooManyNewUsersError(
                users_max=new_users_max, retry_after_seconds=_seconds_to_next_hour(transaction.at)
            )
        transaction.count_new_user(counter)
    seat_id = answer.seat_id or SeatId(random_id())
    events = decisions.activate_seat(
        license_,
        seat_id=seat_id,
        user=Personal(seat_id, user.name),
        policy=transaction.policy,
        at=transaction.at,
    )
    after = transaction.append(license_.license_id, events)
    return msgspec.structs.replace(
        answer, code=AccessCode.ALLOWED, license=after, seat_id=seat_id, position=transaction.position
    )


def _match(version: int, if_match: IfMatch) -> None:
    if if_match is not None and if_match not in ("*", version):
        raise IsStaleError(version=version)


def _hour(moment: datetime) -> int:
    return int(moment.timestamp()) // 3600


def _seconds_to_next_hour(moment: datetime) -> int:
    return 3600 - int(moment.timestamp()) % 3600
