"""The rules of a license: pure functions from a state to the events that follow, and the refusals.

An empty answer means that nothing has to happen, and is a success. A decision's clock (`at`) is the moment at which its
events are recorded.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ledger.errors import RefusedError
from ledger.license import events
from ledger.license.access import AccessCode, AccessPolicy, unusable
from ledger.license.events import (
    BlockReason,
    Contact,
    DeletionReason,
    KeyKind,
    LapseReason,
    LicenseEvent,
    Personal,
    RenewalIntent,
    SeatId,
    SuccessionReason,
)
from ledger.license.state import License, Seat, SeatStatus, Subscription


class SubscriptionHasNotStartedError(RefusedError):
    """No seats were bought yet, as far as AWS told."""

    CODE: ClassVar[str] = AccessCode.SUBSCRIPTION_NOT_STARTED

    def __init__(self) -> None:
        """Say what is waited for."""
        super().__init__("AWS Marketplace has not told the number of seats of this license yet. Try again in a minute.")


class SubscriptionHasLapsedError(RefusedError):
    """The contract ended."""

    CODE: ClassVar[str] = AccessCode.SUBSCRIPTION_LAPSED

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("The contract of this license has ended. Buy it again in AWS Marketplace.")


class SubscriptionHasExpiredError(RefusedError):
    """The renewal date is past and no renewal was heard of."""

    CODE: ClassVar[str] = AccessCode.SUBSCRIPTION_EXPIRED

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("The renewal date of this license has passed. Renew the contract in AWS Marketplace.")


class UserIsBlockedError(RefusedError):
    """The user is kept out until unblocked."""

    CODE: ClassVar[str] = AccessCode.USER_BLOCKED

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("This user is blocked. Unblock the user first.")


class NoSeatIsFreeError(RefusedError):
    """All seats are taken."""

    CODE: ClassVar[str] = AccessCode.NO_SEAT_FREE

    def __init__(self, *, seats_max: int, seats_active: int) -> None:
        """Say how many there are and what to do."""
        super().__init__(
            f"{seats_active} of {seats_max} seats are in use. Block or delete a user, or buy more seats in AWS"
            " Marketplace.",
            seats_max=seats_max,
            seats_active=seats_active,
        )


class SeatIsNotFoundError(RefusedError):
    """The license has no such seat."""

    CODE: ClassVar[str] = "SEAT_NOT_FOUND"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("This license has no such seat. Look the user up among its seats.")


class TwinIsInUseError(RefusedError):
    """A license that was taken for a twin has users or blocks of its own, or a company that nobody asked about."""

    CODE: ClassVar[str] = "TWIN_IN_USE"

    def __init__(self) -> None:
        """Say what can be done."""
        super().__init__(
            "The other license has users or blocks of its own, so the two can't become one. Delete and unblock them"
            " first, or let both go on."
        )


class SecondReadingIsNeededError(RefusedError):
    """One reading alone is not believed when it would delete seats."""

    CODE: ClassVar[str] = "SECOND_READING_NEEDED"

    def __init__(self, *, seats_deleted: int) -> None:
        """Say what a second reading would do."""
        super().__init__(
            f"This number would delete {seats_deleted} seats. It counts when a second reading of AWS says the same.",
            seats_deleted=seats_deleted,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitPreview:
    """What another seat limit would do to the users.

    Attributes:
        seats_max: the limit one has in mind.
        seats_deleted: how many active seats it would delete: all of them or none.
        must_free_first: how many users to block or delete first, so that none is deleted.
    """

    seats_max: int
    seats_deleted: int
    must_free_first: int


def issue_license(
    license_: License, *, product_code: str, names: Iterable[tuple[KeyKind, str]]
) -> Sequence[LicenseEvent]:
    """A license is seen for the first time, or named anew."""
    issued = () if license_.issued else (events.LicenseIssued(product_code=product_code),)
    return (*issued, *identify_license(license_, names=names))


def identify_license(license_: License, *, names: Iterable[tuple[KeyKind, str]]) -> Sequence[LicenseEvent]:
    """Keys or names of the license became known; those known before are nothing new."""
    known = set(license_.names)
    new = dict.fromkeys(name for name in names if name not in known)
    return tuple(events.LicenseIdentified(kind=kind, value=value) for kind, value in new)


def announce_renewal(
    license_: License, *, renewal: RenewalIntent, source: str, announced_at: datetime
) -> Sequence[LicenseEvent]:
    """AWS told what becomes of the contract at its renewal date; the same once more is nothing new."""
    before = license_.renewal
    if before is not None and before.intent is renewal:
        return ()
    if before is None and renewal is RenewalIntent.UNKNOWN:
        return ()
    return (events.RenewalAnnounced(renewal=renewal, source=source, announced_at=announced_at),)


def succeed_agreement(
    license_: License, *, agreement_id: str, names: Iterable[tuple[KeyKind, str]] = ()
) -> Sequence[LicenseEvent]:
    """Another agreement stands behind the license from now on; its keys become the current ones.

    Args:
        license_: the license as it stands.
        agreement_id: the agreement that follows.
        names: further keys and names that come with it, such as its LicenseArn.
    """
    before = license_.name(KeyKind.AGREEMENT)
    if before == agreement_id:
        return identify_license(license_, names=names)
    succeeded = (
        ()
        if before is None
        else (events.AgreementSucceeded(agreement_id_before=before, agreement_id_after=agreement_id),)
    )
    current = ((KeyKind.AGREEMENT, agreement_id), *names)
    return (*succeeded, *(_named(name) for name in current if license_.name(name[0]) != name[1]))


def _named(name: tuple[KeyKind, str]) -> events.LicenseIdentified:
    return events.LicenseIdentified(kind=name[0], value=name[1])


def decide_succession(
    license_: License, *, key: tuple[KeyKind, str], product_code: str, reason: SuccessionReason
) -> Sequence[LicenseEvent]:
    """An operator decides that what has this key follows behind the license, perhaps under another listing."""
    kind, value = key
    decided = events.SuccessionDecided(kind=kind, value=value, reason=reason)
    if product_code == license_.product_code:
        return (decided,)
    listed = events.ListingSucceeded(product_code_before=license_.product_code, product_code_after=product_code)
    return (decided, listed)


def is_bare(license_: License) -> bool:
    """Whether nobody needs a license: it has no user with a seat, no block and no company."""
    return not has_users(license_) and license_.company_name is None


def has_users(license_: License) -> bool:
    """Whether somebody has a seat or is kept out."""
    return bool(license_.seats_active or license_.seats_blocked)


def absorb_twin(
    license_: License, twin: License, *, succeeds: bool, is_decided: bool = False
) -> tuple[Sequence[LicenseEvent], Sequence[LicenseEvent]]:
    """Fold a twin into the license that it belongs to: what is recorded of the license, and of the twin.

    Args:
        license_: the license that goes on.
        twin: the other one.
        succeeds: whether the twin's agreement stands behind the license from now on. If not, as of one that has not
            begun, its keys become the license's, whose own stay the current ones.
        is_decided: whether a person has decided it, who was told that the twin's company has registered.

    Raises:
        TwinIsInUseError: somebody needs the twin.
    """
    if has_users(twin) or not (is_decided or is_bare(twin)):
        raise TwinIsInUseError
    before, after = license_.name(KeyKind.AGREEMENT), twin.name(KeyKind.AGREEMENT)
    moves = before is not None and after not in (None, before)
    succeeded = (
        (events.AgreementSucceeded(agreement_id_before=before, agreement_id_after=after),)
        if succeeds and before is not None and after is not None and moves
        else ()
    )
    claimed = dict.fromkeys(name for name in twin.names if name not in license_.names)
    current = {(kind, license_.name(kind)) for kind, _ in claimed} if moves and not succeeds else set()
    kept = [name for name in dict.fromkeys(license_.names) if name in current]
    return (
        (events.TwinAbsorbed(twin=twin.license_id), *succeeded, *map(_named, (*claimed, *kept))),
        (events.LicenseFolded(into=license_.license_id),),
    )


def register_company(
    license_: License, *, company_name: str, contact: Contact, contact_before: Contact | None
) -> Sequence[LicenseEvent]:
    """The registration form was sent; `contact_before` is what it said last time."""
    if company_name == license_.company_name and contact == contact_before:
        return ()
    return (events.CompanyRegistered(company_name=company_name, contact=Personal("contact", contact)),)


def observe_subscription(
    license_: License, *, seats_max: int, renews_at: datetime, confirmed: bool
) -> Sequence[LicenseEvent]:
    """What AWS's entitlements say, read completely: the number of the live rows and their latest date.

    Args:
        license_: the license as it stands.
        seats_max: sum of the live rows, 0 or more.
        renews_at: latest date of the live rows.
        confirmed: an earlier reading, long enough ago, said the same.

    Raises:
        SecondReadingIsNeededError: seats would be deleted, and this is the first reading that says so.
    """
    before = license_.subscription
    if before is None or before.lapse is not None:
        if seats_max == 0:
            return ()
        if before is None:
            return (events.SubscriptionStarted(seats_max=seats_max, renews_at=renews_at),)
    resumed = (events.SubscriptionResumed(),) if before.lapse else ()
    limit = _change_limit(license_, before, seats_max=seats_max, confirmed=confirmed)
    return (*resumed, *limit, *_move_date(before, renews_at=renews_at))


def _change_limit(
    license_: License, before: Subscription, *, seats_max: int, confirmed: bool
) -> Sequence[LicenseEvent]:
    if seats_max > before.seats_max:
        return (events.SeatLimitRaised(seats_max_before=before.seats_max, seats_max_after=seats_max),)
    if seats_max == before.seats_max:
        return ()
    seats_deleted = preview_limit(license_, seats_max=seats_max).seats_deleted
    if seats_deleted and not confirmed:
        raise SecondReadingIsNeededError(seats_deleted=seats_deleted)
    return lower_limit(license_, before, seats_max=seats_max)


def lower_limit(license_: License, before: Subscription, *, seats_max: int) -> Sequence[LicenseEvent]:
    """The decrease rule: below the number of active users, all of them are deleted and sign in afresh.

    The limit moves last, so that `seats_active <= seats_max` holds after each single event.
    """
    deleted: Sequence[SeatId] = tuple(license_.active_seats()) if license_.seats_active > seats_max else ()
    return (
        *(events.SeatDeleted(seat_id=seat_id, reason=DeletionReason.LIMIT_LOWERED) for seat_id in deleted),
        events.SeatLimitLowered(seats_max_before=before.seats_max, seats_max_after=seats_max),
    )


def preview_limit(license_: License, *, seats_max: int) -> LimitPreview:
    """What the limit `seats_max` would do."""
    over = max(0, license_.seats_active - seats_max)
    return LimitPreview(seats_max=seats_max, seats_deleted=license_.seats_active if over else 0, must_free_first=over)


def _move_date(before: Subscription, *, renews_at: datetime) -> Sequence[LicenseEvent]:
    if renews_at > before.renews_at:
        return (events.SubscriptionRenewed(renews_at_before=before.renews_at, renews_at_after=renews_at),)
    if renews_at < before.renews_at:
        return (events.SubscriptionShortened(renews_at_before=before.renews_at, renews_at_after=renews_at),)
    return ()


def lapse_subscription(license_: License, *, reason: LapseReason, at: datetime) -> Sequence[LicenseEvent]:
    """The contract ended. Seats are kept: an end is not a decrease."""
    subscription = license_.subscription
    if subscription is None or subscription.lapse is not None:
        return ()
    return (events.SubscriptionLapsed(reason=reason, ended_at=min(subscription.renews_at, at)),)


def activate_seat(
    license_: License, *, seat_id: SeatId, user: Personal[str], policy: AccessPolicy, at: datetime
) -> Sequence[LicenseEvent]:
    """A user takes a seat.

    Raises:
        SubscriptionHasNotStartedError, SubscriptionHasLapsedError, SubscriptionHasExpiredError: it is not usable.
        UserIsBlockedError: the user is blocked.
        NoSeatIsFreeError: all seats are taken.
    """
    _refuse_unusable(license_, policy=policy, at=at)
    seat = license_.seats.get(seat_id)
    if seat is not None and seat.status is SeatStatus.BLOCKED:
        raise UserIsBlockedError
    if seat is not None and seat.status is SeatStatus.ACTIVE:
        return ()
    if license_.seats_active >= license_.seats_max:
        raise NoSeatIsFreeError(seats_max=license_.seats_max, seats_active=license_.seats_active)
    return (events.SeatActivated(seat_id=seat_id, user=user),)


def _refuse_unusable(license_: License, *, policy: AccessPolicy, at: datetime) -> None:
    match unusable(license_.subscription, policy=policy, at=at):
        case AccessCode.SUBSCRIPTION_NOT_STARTED:
            raise SubscriptionHasNotStartedError
        case AccessCode.SUBSCRIPTION_LAPSED:
            raise SubscriptionHasLapsedError
        case AccessCode.SUBSCRIPTION_EXPIRED:
            raise SubscriptionHasExpiredError


def block_seat(
    license_: License,
    *,
    seat_id: SeatId,
    user: Personal[str],
    reason: BlockReason,
    note: Personal[str] | None,
    note_before: Personal[str] | None,
) -> Sequence[LicenseEvent]:
    """An administrator keeps a user out; the seat becomes free. The user may never have been heard of.

    Args:
        license_: the license as it stands.
        seat_id: the user's seat.
        user: the user's name.
        reason: why.
        note: free text beside the reason; none means that nothing is said anew.
        note_before: the note of the block that stands, if the user is blocked already.
    """
    seat = license_.seats.get(seat_id)
    blocked = seat is not None and seat.status is SeatStatus.BLOCKED
    if seat is not None and blocked and seat.reason == reason.value and note in (None, note_before):
        return ()
    return (events.SeatBlocked(seat_id=seat_id, user=user, reason=reason, note=note),)


def unblock_seat(license_: License, *, seat_id: SeatId) -> Sequence[LicenseEvent]:
    """An administrator lets a user in again; the next sign-in takes a seat, if one is free.

    Raises:
        SeatIsNotFoundError: the license has no such seat.
    """
    if _seat(license_, seat_id).status is not SeatStatus.BLOCKED:
        return ()
    return (events.SeatUnblocked(seat_id=seat_id),)


def delete_seat(license_: License, *, seat_id: SeatId) -> Sequence[LicenseEvent]:
    """A user loses the seat and may come back. No deletion lifts a block.

    Raises:
        SeatIsNotFoundError: the license has no such seat.
        UserIsBlockedError: the user is blocked; unblock first.
    """
    status = _seat(license_, seat_id).status
    if status is SeatStatus.BLOCKED:
        raise UserIsBlockedError
    if status is not SeatStatus.ACTIVE:
        return ()
    return (events.SeatDeleted(seat_id=seat_id, reason=DeletionReason.DELETED_BY_ADMIN),)


def _seat(license_: License, seat_id: SeatId) -> Seat:
    seat = license_.seats.get(seat_id)
    if seat is None:
        raise SeatIsNotFoundError
    return seat


def refusal(license_: License, code: str) -> RefusedError:
    """The refusal of this code by a decision of the append that led to this state."""
    if code == NoSeatIsFreeError.CODE:
        # All seats were taken when it refused, whatever a later change of the same append freed.
        return NoSeatIsFreeError(seats_max=license_.seats_max, seats_active=license_.seats_max)
    return _PLAIN_REFUSALS[code]()


_PLAIN_REFUSALS: Mapping[str, Callable[[], RefusedError]] = {
    error.CODE: error
    for error in (
        SubscriptionHasNotStartedError,
        SubscriptionHasLapsedError,
        SubscriptionHasExpiredError,
        UserIsBlockedError,
        SeatIsNotFoundError,
    )
}
