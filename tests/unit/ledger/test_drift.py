"""Differences in words: what mending one would do, and what it did."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pytest

from ledger.drift import Difference, DriftKind, Standing, Terms, what_it_would_do, what_was_done
from ledger.license.events import LicenseId

MAY: Final = datetime(2027, 5, 31, tzinfo=UTC)
FIVE: Final = Terms(seats_max=5, renews_at=MAY)
TWO: Final = Terms(seats_max=2, renews_at=MAY)
LATER: Final = Terms(seats_max=5, renews_at=MAY.replace(year=2028))


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a difference is to be told as."""

    kind: DriftKind
    here: Terms | None
    there: Terms | None
    would: str
    did: str
    users: int = 0
    deleted: int = 0


@pytest.mark.parametrize(
    "told",
    [
        Told(kind=DriftKind.MISSING_HERE, here=None, there=FIVE, would="It is issued.", did="It was issued."),
        Told(kind=DriftKind.MISSING_THERE, here=FIVE, there=None, would="It ends.", did="It ended."),
        Told(
            kind=DriftKind.MISSING_THERE,
            here=FIVE,
            there=None,
            users=1,
            would="It ends, and its 1 user can't use the client.",
            did="It ended, and its 1 user can't use the client.",
        ),
        Told(
            kind=DriftKind.NUMBER,
            here=FIVE,
            there=TWO,
            users=3,
            deleted=3,
            would="The number goes down from 5 to 2, which deletes its 3 users.",
            did="The number went down from 5 to 2, which deleted its 3 users.",
        ),
        Told(
            kind=DriftKind.NUMBER,
            here=TWO,
            there=LATER,
            users=2,
            would="The number goes up from 2 to 5. The date becomes later.",
            did="The number went up from 2 to 5. The date became later.",
        ),
        Told(
            kind=DriftKind.DATE,
            here=LATER,
            there=FIVE,
            would="The date becomes earlier.",
            did="The date became earlier.",
        ),
        Told(kind=DriftKind.NUMBER, here=None, there=FIVE, would="It begins to run.", did="It began to run."),
        Told(
            kind=DriftKind.KEY,
            here=FIVE,
            there=FIVE,
            would="The ledger comes to know it by AWS's key.",
            did="The ledger knows it by AWS's key.",
        ),
    ],
    ids=lambda told: told.did,
)
def test_what_mending_does_is_told_by_what_the_ledger_says_before_and_after(told: Told) -> None:
    """And by the users whom it shuts out or deletes."""
    difference = Difference(
        kinds=(told.kind,),
        standing=Standing.LEFT,
        license_id=LicenseId("ada"),
        product_code="softphone",
        customer_id="111122223333",
        key=None,
        here=told.here,
        there=told.there,
        is_loss=False,
        reason=None,
        seats_active=told.users,
        seats_deleted=told.deleted,
        after=told.there,
    )
    assert (what_it_would_do(difference), what_was_done(difference)) == (told.would, told.did)
