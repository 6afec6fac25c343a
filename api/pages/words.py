"""The sentences of the pages: what stands, what follows, what happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from ledger.license import events
from ledger.license.access import LicenseStatus
from ledger.license.events import ActorRole, BlockReason, DeletionReason, KeyKind, LapseReason, RenewalIntent
from ledger.license.state import SeatStatus
from ledger.seats import Change, SeatRecord
from ledger.system.events import KeyRole
from projections.history import AppendPart, HistoryEntry
from projections.license_information import LicenseInformation

# A sentence with times in it, which the page writes in the reader's own zone.
Sentence: TypeAlias = Sequence[str | datetime]

_HOUR_MINUTES: Final = 60
_DAY_HOURS: Final = 24

LICENSE_STATUSES: Final[Mapping[LicenseStatus, str]] = {
    LicenseStatus.PENDING: "Waiting for AWS",
    LicenseStatus.ACTIVE: "Active",
    LicenseStatus.OVERDUE: "Overdue",
    LicenseStatus.EXPIRED: "Expired",
    LicenseStatus.LAPSED: "Ended",
    LicenseStatus.FOLDED: "Folded",
}

SEAT_STATUSES: Final[Mapping[SeatStatus, str]] = {
    SeatStatus.ACTIVE: "Active",
    SeatStatus.BLOCKED: "Blocked",
    SeatStatus.INACTIVE: "Inactive",
    SeatStatus.DELETED: "Deleted",
}

BLOCK_REASONS: Final[Mapping[BlockReason, str]] = {
    BlockReason.LEFT: "Left the company",
    BlockReason.MISUSE: "Misuse",
    BlockReason.FREE_A_SEAT: "To free a seat",
    BlockReason.OTHER: "Another reason",
}

_DELETION_REASONS: Final[Mapping[str, str]] = {
    DeletionReason.DELETED_BY_ADMIN: "Deleted by an administrator",
    DeletionReason.LIMIT_LOWERED: "The limit was lowered",
    DeletionReason.USER_ERASED: "The user was erased",
}

ACTORS: Final[Mapping[str, str]] = {
    ActorRole.ADMIN: "an administrator",
    ActorRole.CLIENT: "the client program",
    ActorRole.MARKETPLACE: "AWS Marketplace",
    ActorRole.OPERATOR: "the operator",
    ActorRole.SYSTEM: "the ledger",
}

ACTOR_TITLES: Final[Mapping[str, str]] = {
    ActorRole.ADMIN: "Administrator",
    ActorRole.CLIENT: "Client program",
    ActorRole.MARKETPLACE: "AWS Marketplace",
    ActorRole.OPERATOR: "Operator",
    ActorRole.SYSTEM: "The ledger",
}

ROLES: Final[Mapping[KeyRole, str]] = {
    KeyRole.OPERATOR: "Operator",
    KeyRole.ADMIN: "Administrator",
    KeyRole.CLIENT: "Client program",
    KeyRole.AUDITOR: "Auditor",
}

EVENT_KINDS: Final[Mapping[str, str]] = {
    events.SeatActivated.TYPE: "A user took a seat",
    events.SeatBlocked.TYPE: "A user was blocked",
    events.SeatUnblocked.TYPE: "A user was unblocked",
    events.SeatDeleted.TYPE: "A user lost the seat",
    events.SeatLimitRaised.TYPE: "More seats were bought",
    events.SeatLimitLowered.TYPE: "Fewer seats were bought",
    events.SubscriptionStarted.TYPE: "The subscription started",
    events.SubscriptionRenewed.TYPE: "The renewal date moved later",
    events.SubscriptionShortened.TYPE: "The renewal date moved earlier",
    events.SubscriptionLapsed.TYPE: "The contract ended",
    events.SubscriptionResumed.TYPE: "The subscription resumed",
    events.AgreementSucceeded.TYPE: "A new agreement followed",
    events.LicenseIssued.TYPE: "The license was issued",
    events.LicenseIdentified.TYPE: "AWS named the license",
    events.CompanyRegistered.TYPE: "The company registered",
    events.RenewalAnnounced.TYPE: "AWS told of the renewal",
    events.SuccessionDecided.TYPE: "An operator decided what follows",
    events.ListingSucceeded.TYPE: "It goes on under another listing",
    events.TwinAbsorbed.TYPE: "A twin became one with it",
    events.LicenseFolded.TYPE: "It was folded into another license",
}

_ENDS: Final[Mapping[str, str]] = {
    LapseReason.EXPIRED: "it expired",
    LapseReason.CANCELLED: "it was cancelled",
    LapseReason.TERMINATED: "it was terminated",
}

# What a decision records beside what it is about.
_BESIDE: Final = frozenset({events.LicenseIdentified.TYPE, events.RenewalAnnounced.TYPE})

RENEWALS: Final[Mapping[RenewalIntent, str]] = {
    RenewalIntent.RENEWS: "the contract renews by itself at its date",
    RenewalIntent.ENDS: "the contract ends at its date, without a renewal",
    RenewalIntent.REPLACED: "another contract takes its place at its date",
}

_NAMES: Final[Mapping[str, str]] = {
    KeyKind.LICENSE_ARN: "license ARN",
    KeyKind.AGREEMENT: "agreement",
    KeyKind.CUSTOMER: "customer",
    KeyKind.ACCOUNT: "AWS account",
    KeyKind.PRODUCT: "product",
}


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 user`, `1,234 users`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def ago(at: datetime, *, now: datetime) -> str:
    """How long ago something was, to stand beside when it was: `3 minutes ago`."""
    minutes = max(0, int((now - at).total_seconds())) // 60
    if minutes < _HOUR_MINUTES:
        return f"{counted(minutes, 'minute')} ago" if minutes else "just now"
    hours = minutes // _HOUR_MINUTES
    return f"{counted(hours, 'hour')} ago" if hours < 2 * _DAY_HOURS else f"{hours // _DAY_HOURS:,} days ago"


def joined(names: Sequence[str]) -> str:
    """Names as one says them: `Ada, Grace and Joan`."""
    if len(names) < 2:  # noqa: PLR2004 -- one name stands alone
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def reason(code: str | None) -> str:
    """The reason of a block or deletion in words; empty if there is none."""
    if code is None:
        return ""
    return _DELETION_REASONS.get(code) or BLOCK_REASONS[BlockReason(code)]


def license_name(information: LicenseInformation) -> str:
    """What people call a license: the company, else whose account it is."""
    if information.company_name:
        return information.company_name
    return f"Customer {information.customer_id}" if information.customer_id else "Customer not named yet"


# -- changes to seats --------------------------------------------------------------------------------------------------

CHANGES: Final[Mapping[Change, str]] = {
    Change.ACTIVATE: "Activate",
    Change.BLOCK: "Block",
    Change.UNBLOCK: "Unblock",
    Change.DELETE: "Delete",
}

OFFERED: Final[Mapping[SeatStatus, tuple[Change, ...]]] = {
    SeatStatus.ACTIVE: (Change.BLOCK, Change.DELETE),
    SeatStatus.BLOCKED: (Change.UNBLOCK,),
    SeatStatus.INACTIVE: (Change.ACTIVATE, Change.BLOCK),
    SeatStatus.DELETED: (Change.ACTIVATE, Change.BLOCK),
}

_UNDONE_BY: Final[Mapping[Change, Change]] = {
    Change.ACTIVATE: Change.DELETE,
    Change.BLOCK: Change.UNBLOCK,
    Change.UNBLOCK: Change.BLOCK,
    Change.DELETE: Change.ACTIVATE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a change, as the row of the user says it.

    Attributes:
        seat: as it stands now.
        text: what happened, or why it did not.
        refused: the code of the refusal; null if it was done.
        way_back: the change that takes it back; null if there is none to offer.
        step_on: a change that one may want next.
    """

    seat: SeatRecord
    text: str
    refused: str | None
    way_back: Change | None
    step_on: Change | None = None


def what_follows(change: Change, seats: Sequence[SeatRecord]) -> Sequence[str]:
    """What a change will lead to, said before it is done."""
    if len(seats) == 1:
        return _follows_for_one(change, seats[0])
    return _follows_for_many(change, seats)


def _follows_for_one(change: Change, seat: SeatRecord) -> Sequence[str]:
    user, active = seat.user, seat.status is SeatStatus.ACTIVE
    match change:
        case Change.ACTIVATE:
            return (f"{user} takes a free seat now and can use the client.",)
        case Change.BLOCK:
            freed = f" The seat of {user} becomes free now." if active else ""
            return (f"{user} can't sign in until you unblock this user.{freed}",)
        case Change.UNBLOCK:
            return (f"{user} can sign in again and takes a seat at the next sign-in, if one is free.",)
        case Change.DELETE:
            return (
                f"{user} loses the seat, which becomes free now.",
                f"{user} may come back: the next sign-in takes a seat, if one is free.",
                f"To keep {user} out, block instead.",
            )


def _follows_for_many(change: Change, seats: Sequence[SeatRecord]) -> Sequence[str]:
    users = counted(len(seats), "user")
    freed = sum(seat.status is SeatStatus.ACTIVE for seat in seats)
    blocked = sum(seat.status is SeatStatus.BLOCKED for seat in seats)
    told = [_follows_for_all(change, users, f"{counted(freed, 'seat becomes', 'seats become')} free now.")]
    if blocked and change in (Change.ACTIVATE, Change.DELETE):
        stay = counted(blocked, "of them is blocked and stays so", "of them are blocked and stay so")
        told.append(f"{stay}: unblock first.")
    return told


def _follows_for_all(change: Change, users: str, become_free: str) -> str:
    match change:
        case Change.ACTIVATE:
            return f"These {users} take free seats now, in this order, as long as seats are free."
        case Change.BLOCK:
            return f"These {users} can't sign in until you unblock them. {become_free}"
        case Change.UNBLOCK:
            return f"These {users} can sign in again and take seats at their next sign-in, as long as seats are free."
        case Change.DELETE:
            return f"{become_free} These {users} may come back: the next sign-in takes a seat, if one is free."


def outcome(change: Change, seat: SeatRecord) -> Outcome:
    """What a change that was done led to."""
    return Outcome(
        seat=seat,
        text=_done(change, seat),
        refused=None,
        way_back=_UNDONE_BY[change],
        step_on=Change.ACTIVATE if change is Change.UNBLOCK and seat.status is SeatStatus.INACTIVE else None,
    )


def refused_outcome(change: Change, seat: SeatRecord, *, code: str, detail: str) -> Outcome:
    """Why a change was not done."""
    text = f"{seat.user} was not {_PAST[change]}. {detail}"
    return Outcome(seat=seat, text=text, refused=code, way_back=None)


_PAST: Final[Mapping[Change, str]] = {
    Change.ACTIVATE: "activated",
    Change.BLOCK: "blocked",
    Change.UNBLOCK: "unblocked",
    Change.DELETE: "deleted",
}


def _done(change: Change, seat: SeatRecord) -> str:
    user = seat.user
    match change:
        case Change.ACTIVATE:
            return f"{user} has a seat and can use the client."
        case Change.BLOCK:
            return f"{user} is blocked and has no seat."
        case Change.UNBLOCK:
            return f"{user} is unblocked and takes a seat at the next sign-in, if one is free."
        case Change.DELETE:
            return f"{user} was deleted and has no seat."


# -- the history -------------------------------------------------------------------------------------------------------


def sentence(entry: HistoryEntry, *, within: Sequence[AppendPart] = ()) -> Sentence:
    """An event as one would tell it.

    Args:
        entry: the event.
        within: the append that it belongs to, which may hold its cause.
    """
    data, user = entry.data, entry.user or "A user"
    match entry.type:
        case events.SeatActivated.TYPE:
            if entry.actor.role is ActorRole.CLIENT:
                return (f"{user} took a seat by signing in.",)
            return (f"{user} was given a seat by {_by(entry)}.",)
        case events.SeatBlocked.TYPE:
            return (f"{user} was blocked by {_by(entry)}: {reason(data['reason']).lower()}.",)
        case events.SeatUnblocked.TYPE:
            return (f"{user} was unblocked by {_by(entry)}.",)
        case events.SeatDeleted.TYPE if data["reason"] == DeletionReason.LIMIT_LOWERED:
            lowered = _lowered(within)
            limit = f"lowered {_numbers(lowered)}" if lowered else "lowered"
            return (f"{user} lost the seat: the limit was {limit} in AWS Marketplace.",)
        case events.SeatDeleted.TYPE:
            return (f"{user} lost the seat: deleted by {_by(entry)}.",)
        case _:
            return _license_sentence(entry)


def _license_sentence(entry: HistoryEntry) -> Sentence:
    data = entry.data
    match entry.type:
        case events.LicenseIssued.TYPE:
            return (f"The license was seen for the first time, for the product {data['product_code']}.",)
        case events.LicenseIdentified.TYPE:
            return (f"AWS named its {_NAMES[data['kind']]}: {data['value']}.",)
        case events.CompanyRegistered.TYPE:
            return (f"{data['company_name']} registered as the company.",)
        case events.SeatLimitRaised.TYPE | events.SeatLimitLowered.TYPE:
            verb = "raised" if entry.type == events.SeatLimitRaised.TYPE else "lowered"
            return (f"The limit was {verb} {_numbers(entry)} in AWS Marketplace.",)
        case _:
            return _succession_sentence(entry)


def _succession_sentence(entry: HistoryEntry) -> Sentence:
    data = entry.data
    match entry.type:
        case events.AgreementSucceeded.TYPE:
            return (f"Agreement {data['agreement_id_after']} followed {data['agreement_id_before']}.",)
        case events.RenewalAnnounced.TYPE if data["renewal"] == RenewalIntent.UNKNOWN:
            return ("AWS Marketplace does not tell what becomes of the contract at its date.",)
        case events.RenewalAnnounced.TYPE:
            return (f"AWS Marketplace told: {RENEWALS[data['renewal']]}.",)
        case events.SuccessionDecided.TYPE:
            return (f"An operator decided that {_NAMES[data['kind']]} {data['value']} follows behind this license.",)
        case events.ListingSucceeded.TYPE:
            return (f"It goes on under the product {data['product_code_after']}.",)
        case events.TwinAbsorbed.TYPE:
            return (f"License {data['twin']} turned out to be this one's twin, and its keys became this one's.",)
        case events.LicenseFolded.TYPE:
            return (f"This license turned out to be a twin of {data['into']}, which has its keys from now on.",)
        case _:
            return _subscription_sentence(entry)


def _subscription_sentence(entry: HistoryEntry) -> Sentence:
    data = entry.data
    match entry.type:
        case events.SubscriptionStarted.TYPE:
            seats = counted(data["seats_max"], "seat")
            return (f"The subscription started with {seats}, until ", _time(data["renews_at"]), ".")
        case events.SubscriptionRenewed.TYPE:
            return ("The contract was renewed until ", _time(data["renews_at_after"]), ".")
        case events.SubscriptionShortened.TYPE:
            return ("The contract was shortened until ", _time(data["renews_at_after"]), ".")
        case events.SubscriptionLapsed.TYPE:
            return ("The contract ended on ", _time(data["ended_at"]), f": {_ENDS[data['reason']]}.")
        case events.SubscriptionResumed.TYPE:
            return ("The contract was bought again, and everybody kept the seat.",)
        case _:
            return (EVENT_KINDS.get(entry.type, entry.type) + ".",)


def append_sentence(parts: Sequence[AppendPart]) -> Sentence:
    """One decision as one would tell it; its events follow each by itself."""
    events_in_all = sum(part.number for part in parts)
    if events_in_all == 1:
        return sentence(parts[0].first)
    lowered, deleted = _lowered(parts), _part(parts, events.SeatDeleted.TYPE)
    if lowered and deleted:
        return (_decrease(lowered, deleted.number) + _and_more(events_in_all - deleted.number - 1),)
    if len(parts) == 1:
        return (_many(parts[0]),)
    main = next((part for part in parts if part.first.type not in _BESIDE), parts[0])
    return (*sentence(main.first), _and_more(events_in_all - 1))


def _part(parts: Sequence[AppendPart], type_: str) -> AppendPart | None:
    return next((part for part in parts if part.first.type == type_), None)


def _lowered(parts: Sequence[AppendPart]) -> HistoryEntry | None:
    part = _part(parts, events.SeatLimitLowered.TYPE)
    return part.first if part else None


def _numbers(entry: HistoryEntry) -> str:
    return f"from {entry.data['seats_max_before']:,} to {entry.data['seats_max_after']:,}"


def _decrease(lowered: HistoryEntry, deleted: int) -> str:
    lost = "its one active user lost the seat" if deleted == 1 else f"all {deleted:,} active users lost their seats"
    return f"The limit was lowered {_numbers(lowered)} in AWS Marketplace: {lost}."


def _and_more(number: int) -> str:
    return f" {counted(number, 'more event')} with it." if number else ""


def _many(part: AppendPart) -> str:
    number, first = part.number, part.first
    match first.type:
        case events.SeatActivated.TYPE:
            return f"{number:,} users took seats."
        case events.SeatBlocked.TYPE:
            return f"{number:,} users were blocked by {_by(first)}."
        case events.SeatUnblocked.TYPE:
            return f"{number:,} users were unblocked by {_by(first)}."
        case events.SeatDeleted.TYPE:
            return f"{number:,} users lost their seats: deleted by {_by(first)}."
        case events.LicenseIdentified.TYPE:
            return f"AWS told {number:,} names of the license."
        case kind:
            return f"{EVENT_KINDS.get(kind, kind)}: {number:,} events."


def _by(entry: HistoryEntry) -> str:
    return ACTORS[entry.actor.role]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
