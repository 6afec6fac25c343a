"""Snapshots: a license's state as bytes, so that a long stream need not be read from its beginning.

They are a cache: they hold nothing personal, and can be thrown away at any time.
"""

import zlib
from datetime import datetime
from typing import Final

import msgspec
from rpds import HashTrieMap

from ledger.license.events import KeyKind, LicenseId, SeatId
from ledger.license.state import License, Renewal, Seat, Subscription

EVENTS_BETWEEN_MIN: Final = 1_000


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    license_id: LicenseId
    version: int
    recorded_at: datetime | None
    product_codes: tuple[str, ...]
    names: tuple[tuple[KeyKind, str], ...]
    company_name: str | None
    company_version: int
    subscription: Subscription | None
    renewal: Renewal | None
    folded_into: LicenseId | None
    seats: dict[str, Seat]
    seats_active: int
    seats_blocked: int


_DECODE: Final = msgspec.msgpack.Decoder(_Snapshot).decode
_ENCODE: Final = msgspec.msgpack.Encoder().encode


def is_due(license_: License, *, version_before: int) -> bool:
    """Whether enough happened since the last snapshot that writing another one costs little per event."""
    return license_.version - version_before >= max(EVENTS_BETWEEN_MIN, len(license_.seats) // 2)


def encode(license_: License) -> bytes:
    """The state as bytes."""
    state = _ENCODE(
        _Snapshot(
            license_.license_id,
            license_.version,
            license_.recorded_at,
            license_.product_codes,
            license_.names,
            license_.company_name,
            license_.company_version,
            license_.subscription,
            license_.renewal,
            license_.folded_into,
            dict(license_.seats.items()),
            license_.seats_active,
            license_.seats_blocked,
        )
    )
    # Seats resemble each other: a quarter of the bytes. Other threads go on meanwhile.
    return zlib.compress(state, level=1)


def decode(stored: bytes) -> License:
    """The state from bytes."""
    snapshot = _DECODE(zlib.decompress(stored))
    return License(
        license_id=snapshot.license_id,
        version=snapshot.version,
        recorded_at=snapshot.recorded_at,
        product_codes=snapshot.product_codes,
        names=snapshot.names,
        company_name=snapshot.company_name,
        company_version=snapshot.company_version,
        subscription=snapshot.subscription,
        renewal=snapshot.renewal,
        folded_into=snapshot.folded_into,
        seats=HashTrieMap({SeatId(seat_id): seat for seat_id, seat in snapshot.seats.items()}),
        seats_active=snapshot.seats_active,
        seats_blocked=snapshot.seats_blocked,
    )
