"""Which of a customer's licenses a user works under, where the client program names none: the rule across licenses."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from ledger.license.access import AccessCode, AccessPolicy, access
from ledger.license.events import SeatId
from ledger.license.state import License, SeatStatus

_NEAREST_FIRST: Final = tuple(reversed(AccessCode))
_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC)
_AFTER_ALL: Final = datetime.max.replace(tzinfo=UTC)

_Rank: TypeAlias = tuple[bool, int, bool, timedelta, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A license, and the seat that a user has under it.

    Attributes:
        license: as it stands.
        seat_id: null if the license never heard of the user.
    """

    license: License
    seat_id: SeatId | None

    @property
    def is_blocked(self) -> bool:
        """Whether the user is kept out here, be the license usable or not."""
        seat = self.license.seats.get(self.seat_id) if self.seat_id is not None else None
        return seat is not None and seat.status is SeatStatus.BLOCKED

    @property
    def has_free_seat(self) -> bool:
        """Whether one more user could take a seat."""
        return self.license.seats_active < self.license.seats_max


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What was chosen.

    Attributes:
        code: whether the user may work; `NO_SEAT` where a seat is to be taken, if one is free.
        place: where; null if there is no license.
    """

    code: AccessCode
    place: Place | None


def license_to_work_under(places: Iterable[Place], *, policy: AccessPolicy, at: datetime) -> Choice:
    """A block anywhere counts everywhere; else where the user has a seat; else where one is free; else the nearest.

    Of several that are equally good it is the one with the latest renewal date, then the least license id.
    """
    judged = [(place, _code(place, policy=policy, at=at)) for place in places]
    if not judged:
        return Choice(code=AccessCode.LICENSE_NOT_FOUND, place=None)
    place, code = min(judged, key=lambda one: _rank(*one))
    return Choice(code=code, place=place)


def _code(place: Place, *, policy: AccessPolicy, at: datetime) -> AccessCode:
    if place.is_blocked:
        return AccessCode.USER_BLOCKED
    return access(place.license, place.seat_id, policy=policy, at=at)


def _rank(place: Place, code: AccessCode) -> _Rank:
    subscription = place.license.subscription
    renews_at = _BEFORE_ALL if subscription is None else subscription.renews_at
    return (
        code is not AccessCode.USER_BLOCKED,
        _NEAREST_FIRST.index(code),
        code is AccessCode.NO_SEAT and not place.has_free_seat,
        _AFTER_ALL - renews_at,
        place.license.license_id,
    )
