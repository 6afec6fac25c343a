"""The state of a license: what its events add up to. Nothing here refuses; rules stand in `decisions`."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from rpds import HashTrieMap

from ledger.license import events
from ledger.license.events import Actor, KeyKind, LapseReason, LicenseId, RenewalIntent, SeatId


class SeatStatus(StrEnum):
    """Where a user stands."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    INACTIVE = "inactive"
    DELETED = "deleted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """One user's place under a license; who the user is stands in the events alone.

    Attributes:
        status: active, blocked, inactive (unblocked, not signed in since) or deleted.
        version: version of the seat's latest event.
        named_version: version of the latest event with the user's name (and, of a blocked seat, the note).
        activated_at: when the seat was last taken.
        blocked_at: since when the user is blocked; null if not blocked.
        deleted_at: when the seat was lost; null if it was not, or was taken again.
        reason: of the block or the deletion that the status tells of.
        actor: who caused the latest event.
    """

    status: SeatStatus
    version: int
    named_version: int
    activated_at: datetime | None
    blocked_at: datetime | None
    deleted_at: datetime | None
    reason: str | None
    actor: Actor


@dataclass(frozen=True, kw_only=True, slots=True)
class Lapse:
    """The end of a contract."""

    reason: LapseReason
    ended_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """The paid arrangement: how many seats, until when, and whether it ended."""

    seats_max: int
    renews_at: datetime
    lapse: Lapse | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewal:
    """What becomes of the contract at its renewal date, who told it and when."""

    intent: RenewalIntent
    source: str
    announced_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class License:
    """What a customer holds of one product through one chain of agreements.

    Attributes:
        version: of the latest event, 0 before the first.
        recorded_at: when the latest event was recorded.
        product_codes: of its listing, and those of the listings before that one; the latest is the current one.
        names: every key and name that became known, in order; of each kind the latest is the current one.
        company_version: version of the event that says who the company is; 0 if it has not registered.
        subscription: null until seats were observed.
        renewal: what AWS told of the contract's end; null if nothing yet.
        folded_into: the license whose twin this one was; null but for twins.
        seats: every seat ever heard of, deleted ones too.
    """

    license_id: LicenseId
    version: int = 0
    recorded_at: datetime | None = None
    product_codes: tuple[str, ...] = ()
    names: tuple[tuple[KeyKind, str], ...] = ()
    company_name: str | None = None
    company_version: int = 0
    subscription: Subscription | None = None
    renewal: Renewal | None = None
    folded_into: LicenseId | None = None
    seats: "HashTrieMap[SeatId, Seat]" = field(default_factory=HashTrieMap)
    seats_active: int = 0
    seats_blocked: int = 0

    @property
    def issued(self) -> bool:
        """Whether the license exists."""
        return self.version > 0

    @property
    def product_code(self) -> str:
        """The product, as AWS names it in its calls; empty before the license was issued."""
        return self.product_codes[-1] if self.product_codes else ""

    @property
    def seats_max(self) -> int:
        """The bought number of seats, 0 before the subscription started."""
        return self.subscription.seats_max if self.subscription else 0

    @property
    def running(self) -> Subscription | None:
        """The subscription, as long as it has started and not ended."""
        return None if self.subscription is None or self.subscription.lapse is not None else self.subscription

    def name(self, kind: KeyKind) -> str | None:
        """The current name of this kind, null if none is known."""
        return next((value for known, value in reversed(self.names) if known is kind), None)

    def active_seats(self) -> Iterator[SeatId]:
        """The active seats, in the order in which they last changed."""
        active = ((seat.version, seat_id) for seat_id, seat in self.seats.items() if seat.status is SeatStatus.ACTIVE)
        return (seat_id for _, seat_id in sorted(active))


def evolve(license_: License, event: events.LicenseEvent, *, version: int, at: datetime, actor: Actor) -> License:
    """The state after one more event, recorded as `version` at `at` by `actor`."""
    match event:
        case events.SeatActivated() | events.SeatBlocked() | events.SeatUnblocked() | events.SeatDeleted():
            return _evolve_seat(license_, event, version=version, at=at, actor=actor)
        case events.LicenseIssued(product_code=code) | events.ListingSucceeded(product_code_after=code):
            return replace(license_, version=version, recorded_at=at, product_codes=(*license_.product_codes, code))
        case events.LicenseIdentified(kind=kind, value=value):
            return replace(license_, version=version, recorded_at=at, names=(*license_.names, (kind, value)))
        case events.CompanyRegistered(company_name=company_name):
            return replace(
                license_, version=version, recorded_at=at, company_name=company_name, company_version=version
            )
        case events.RenewalAnnounced(renewal=intent, source=source, announced_at=announced_at):
            renewal = Renewal(intent=intent, source=source, announced_at=announced_at)
            return replace(license_, version=version, recorded_at=at, renewal=renewal)
        case events.LicenseFolded(into=into):
            return replace(license_, version=version, recorded_at=at, folded_into=into)
        case events.SuccessionDecided() | events.TwinAbsorbed():
            # The keys follow as LicenseIdentified in the same append.
            return replace(license_, version=version, recorded_at=at)
        case events.AgreementSucceeded():
            # The new keys follow as LicenseIdentified in the same append; the latest of a kind is the current one.
            return replace(license_, version=version, recorded_at=at)
        case _:
            subscription = _evolve_subscription(license_.subscription, event)
            return replace(license_, version=version, recorded_at=at, subscription=subscription)


def _evolve_subscription(before: Subscription | None, event: events.SubscriptionEvent) -> Subscription | None:
    if isinstance(event, events.SubscriptionStarted):
        return Subscription(seats_max=event.seats_max, renews_at=event.renews_at)
    if before is None:
        # Appliers never refuse: a change of what never started changes nothing.
        return None
    match event:
        case events.SeatLimitRaised(seats_max_after=seats_max) | events.SeatLimitLowered(seats_max_after=seats_max):
            return replace(before, seats_max=seats_max)
        case (
            events.SubscriptionRenewed(renews_at_after=renews_at)
            | events.SubscriptionShortened(renews_at_after=renews_at)
        ):
            return replace(before, renews_at=renews_at)
        case events.SubscriptionLapsed(reason=reason, ended_at=ended_at):
            return replace(before, lapse=Lapse(reason=reason, ended_at=ended_at))
        case events.SubscriptionResumed():
            return replace(before, lapse=None)
        case events.AgreementSucceeded():
            return before
        case _:
            assert_never(event)


def _evolve_seat(license_: License, event: events.SeatEvent, *, version: int, at: datetime, actor: Actor) -> License:
    before = license_.seats.get(event.seat_id)
    after = _seat_after(before, event, version=version, at=at, actor=actor)
    was, now = before.status if before else None, after.status
    return License(
        license_id=license_.license_id,
        version=version,
        recorded_at=at,
        product_codes=license_.product_codes,
        names=license_.names,
        company_name=license_.company_name,
        company_version=license_.company_version,
        subscription=license_.subscription,
        renewal=license_.renewal,
        folded_into=license_.folded_into,
        seats=license_.seats.insert(event.seat_id, after),
        seats_active=license_.seats_active + (now is SeatStatus.ACTIVE) - (was is SeatStatus.ACTIVE),
        seats_blocked=license_.seats_blocked + (now is SeatStatus.BLOCKED) - (was is SeatStatus.BLOCKED),
    )


def _seat_after(before: Seat | None, event: events.SeatEvent, *, version: int, at: datetime, actor: Actor) -> Seat:
    activated_at = before.activated_at if before else None
    named_version = before.named_version if before else version
    match event:
        case events.SeatActivated():
            return Seat(
                status=SeatStatus.ACTIVE,
                version=version,
                named_version=version,
                activated_at=at,
                blocked_at=None,
                deleted_at=None,
                reason=None,
                actor=actor,
            )
        case events.SeatBlocked(reason=reason):
            return Seat(
                status=SeatStatus.BLOCKED,
                version=version,
                named_version=version,
                activated_at=activated_at,
                blocked_at=at,
                deleted_at=None,
                reason=reason.value,
                actor=actor,
            )
        case events.SeatUnblocked():
            return Seat(
                status=SeatStatus.INACTIVE,
                version=version,
                named_version=named_version,
                activated_at=activated_at,
                blocked_at=None,
                deleted_at=None,
                reason=None,
                actor=actor,
            )
        case events.SeatDeleted(reason=reason):
            return Seat(
                status=SeatStatus.DELETED,
                version=version,
                named_version=named_version,
                activated_at=activated_at,
                blocked_at=None,
                deleted_at=at,
                reason=reason.value,
                actor=actor,
            )
        case _:
            assert_never(event)
