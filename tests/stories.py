"""The people, the license and the moments that the tests tell of."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from ledger.license import events
from ledger.license.access import AccessPolicy
from ledger.license.events import (
    Actor,
    ActorRole,
    BlockReason,
    Contact,
    DeletionReason,
    KeyKind,
    LapseReason,
    LicenseEvent,
    LicenseId,
    Personal,
    SeatId,
)
from ledger.transaction import Caller
from ledger.users import User, parse_user

NOON: Final = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
RENEWS_AT: Final = datetime(2027, 5, 31, 23, 59, 59, tzinfo=UTC)
NEXT_RENEWS_AT: Final = RENEWS_AT.replace(year=2028)
NEVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""What AWS writes for a contract without an end."""

NO_WAIT: Final = AccessPolicy(expiry_grace=timedelta(), blind_wait=timedelta())
THREE_DAYS: Final = AccessPolicy(expiry_grace=timedelta(), blind_wait=timedelta(days=3))

LICENSE: Final = LicenseId("6f0c4e0a-53a5-4c4e-9d4b-0a4a2f7f7d10")
"""The license of Ada's and Grace's company."""
OTHER_LICENSE: Final = LicenseId("7b1d5f1b-64b6-4d5f-8e5c-1b5b308080e1")
PRODUCT_CODE: Final = "74az0btybm649octamy0sktos"
AGREEMENT: Final = (KeyKind.AGREEMENT, "agmt-7qk2m3x5a9c1e8g4i6k0mabcd")
ACCOUNT: Final = (KeyKind.ACCOUNT, "111122223333")
LICENSE_ARN: Final = (KeyKind.LICENSE_ARN, "arn:aws:license-manager::294406891311:license:l-0f1e2d3c4b5a")

ADMIN: Final = Caller(Actor(ActorRole.ADMIN, "key-0a1b2c3d4e5f6071"), "0b5f3f86-2a37-4f6a-9f7e-8f2f7c1f2a11")
CLIENT: Final = Caller(Actor(ActorRole.CLIENT, "key-1b2c3d4e5f607182"))
MARKETPLACE: Final = Caller(Actor(ActorRole.MARKETPLACE, "sqs"), "6a7e8feb-b491-4cf7-a9f1-bf3703467718")

ADA_SEAT: Final = SeatId("ada00000-0000-4000-8000-000000000001")
GRACE_SEAT: Final = SeatId("97ace000-0000-4000-8000-000000000002")
KATHERINE_SEAT: Final = SeatId("0a7e0000-0000-4000-8000-000000000003")

ADA: Final = Personal(ADA_SEAT, "Ada Lovelace")
GRACE: Final = Personal(GRACE_SEAT, "grace@navy.example")
KATHERINE: Final = Personal(KATHERINE_SEAT, "Katherine")
ADA_SIGNS_IN: Final = parse_user("Ada Lovelace")
GRACE_SIGNS_IN: Final = parse_user("grace@navy.example")
KATHERINE_SIGNS_IN: Final = parse_user("Katherine")

ADA_LEFT: Final = Personal(ADA_SEAT, "Left for London in March.")
CONTACT: Final = Contact(name="Annabella Byron", email="annabella@engines.example", phone="+44 20 7946 0000")

ISSUED: Final = events.LicenseIssued(product_code=PRODUCT_CODE)
IDENTIFIED_BY_AGREEMENT: Final = events.LicenseIdentified(kind=AGREEMENT[0], value=AGREEMENT[1])
STARTED_WITH_ONE_SEAT: Final = events.SubscriptionStarted(seats_max=1, renews_at=RENEWS_AT)
STARTED_WITH_TWO_SEATS: Final = replace(STARTED_WITH_ONE_SEAT, seats_max=2)
STARTED_WITHOUT_END: Final = replace(STARTED_WITH_ONE_SEAT, renews_at=NEVER)
RENEWED: Final = events.SubscriptionRenewed(renews_at_before=RENEWS_AT, renews_at_after=NEXT_RENEWS_AT)
CANCELLED: Final = events.SubscriptionLapsed(reason=LapseReason.CANCELLED, ended_at=NOON)
TERMINATED: Final = events.SubscriptionLapsed(reason=LapseReason.TERMINATED, ended_at=NOON)
EXPIRED: Final = events.SubscriptionLapsed(reason=LapseReason.EXPIRED, ended_at=RENEWS_AT)
REGISTERED: Final = events.CompanyRegistered(company_name="Analytical Engines", contact=Personal("contact", CONTACT))
ADA_ACTIVATED: Final = events.SeatActivated(seat_id=ADA_SEAT, user=ADA)
GRACE_ACTIVATED: Final = events.SeatActivated(seat_id=GRACE_SEAT, user=GRACE)
ADA_BLOCKED: Final = events.SeatBlocked(seat_id=ADA_SEAT, user=ADA, reason=BlockReason.LEFT, note=ADA_LEFT)
GRACE_BLOCKED: Final = events.SeatBlocked(seat_id=GRACE_SEAT, user=GRACE, reason=BlockReason.MISUSE, note=None)
ADA_UNBLOCKED: Final = events.SeatUnblocked(seat_id=ADA_SEAT)
ADA_DELETED: Final = events.SeatDeleted(seat_id=ADA_SEAT, reason=DeletionReason.DELETED_BY_ADMIN)
ADA_LOST_THE_SEAT: Final = events.SeatDeleted(seat_id=ADA_SEAT, reason=DeletionReason.LIMIT_LOWERED)
GRACE_LOST_THE_SEAT: Final = events.SeatDeleted(seat_id=GRACE_SEAT, reason=DeletionReason.LIMIT_LOWERED)

ISSUED_WITH_ONE_SEAT: Final[tuple[LicenseEvent, ...]] = (ISSUED, STARTED_WITH_ONE_SEAT)
ISSUED_WITH_TWO_SEATS: Final[tuple[LicenseEvent, ...]] = (ISSUED, STARTED_WITH_TWO_SEATS)


class Clock:
    """A clock that stands still until it is moved, also back."""

    def __init__(self, at: datetime = NOON) -> None:
        """It is noon."""
        self.at = at

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.at

    def move(self, by: timedelta) -> None:
        """Let time pass."""
        self.at += by


def colleague(number: int) -> User:
    """One of many users of the company."""
    return parse_user(f"colleague-{number}@engines.example")
