"""The sentences that the pages say."""

from datetime import UTC, datetime
from typing import Any

import pytest

from api.pages import words
from ledger.license import events
from ledger.license.events import Actor, ActorRole, LicenseId, SeatId
from ledger.license.state import SeatStatus
from ledger.seats import Change, SeatRecord
from projections.history import AppendPart, HistoryEntry

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def seat(user: str, status: SeatStatus) -> SeatRecord:
    """The seat of a user."""
    return SeatRecord(
        license_id=LicenseId("noon"),
        seat_id=SeatId(user.lower()),
        user=user,
        status=status,
        activated_at=NOON,
        blocked_at=None,
        deleted_at=None,
        reason=None,
        note=None,
        actor=Actor(ActorRole.ADMIN, "sign-in-1"),
        version=7,
    )


def entry(
    type_: str, *, user: str | None = None, role: ActorRole = ActorRole.MARKETPLACE, **data: object
) -> HistoryEntry:
    """An event of the history."""
    return HistoryEntry(
        position=9,
        version=7,
        type=type_,
        recorded_at=NOON,
        actor=Actor(role, "somebody"),
        cause=None,
        seat_id=SeatId("ada") if user else None,
        user=user,
        data=data,
        append=(7, 7),
    )


@pytest.mark.parametrize(("number", "said"), [(0, "0 users"), (1, "1 user"), (2, "2 users"), (1_234, "1,234 users")])
def test_a_number_goes_with_the_right_noun(number: int, said: str) -> None:
    """One user is singular, none and many are plural, thousands stand apart."""
    assert words.counted(number, "user") == said


def test_a_block_of_an_active_user_says_that_the_seat_becomes_free() -> None:
    """The user is named, and both what follows for the user and for the seat."""
    assert words.what_follows(Change.BLOCK, [seat("Ada", SeatStatus.ACTIVE)]) == (
        "Ada can't sign in until you unblock this user. The seat of Ada becomes free now.",
    )


def test_a_block_of_a_deleted_user_frees_no_seat() -> None:
    """Nothing is said of a seat that the user does not have."""
    assert words.what_follows(Change.BLOCK, [seat("Ada", SeatStatus.DELETED)]) == (
        "Ada can't sign in until you unblock this user.",
    )


def test_a_deletion_of_many_says_how_many_seats_become_free_and_who_stays() -> None:
    """Blocked users are not deleted, which is said beforehand."""
    seats = [seat("Ada", SeatStatus.ACTIVE), seat("Grace", SeatStatus.ACTIVE), seat("Joan", SeatStatus.BLOCKED)]
    assert words.what_follows(Change.DELETE, seats) == [
        "2 seats become free now. These 3 users may come back: the next sign-in takes a seat, if one is free.",
        "1 of them is blocked and stays so: unblock first.",
    ]


def test_every_change_has_a_way_back() -> None:
    """Whatever was done can be taken back from the row."""
    ways_back = {change: words.outcome(change, seat("Ada", SeatStatus.ACTIVE)).way_back for change in Change}
    assert ways_back == {
        Change.ACTIVATE: Change.DELETE,
        Change.BLOCK: Change.UNBLOCK,
        Change.UNBLOCK: Change.BLOCK,
        Change.DELETE: Change.ACTIVATE,
    }


def test_a_refusal_offers_no_way_back() -> None:
    """Nothing happened, so that there is nothing to take back."""
    refused = words.refused_outcome(
        Change.ACTIVATE, seat("Ada", SeatStatus.INACTIVE), code="NO_SEAT_FREE", detail="All are in use."
    )
    assert (refused.text, refused.way_back) == ("Ada was not activated. All are in use.", None)


LOWERED = AppendPart(first=entry(events.SeatLimitLowered.TYPE, seats_max_before=5, seats_max_after=3), number=1)


def deleted(number: int) -> AppendPart:
    """Users who lost their seats to a lowered limit."""
    return AppendPart(first=entry(events.SeatDeleted.TYPE, user="Grace", reason="limit-lowered"), number=number)


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "its one active user lost the seat"), (5, "all 5 active users lost"), (1_500, "all 1,500 active users lost")],
)
def test_deletions_and_their_cause_are_one_sentence(number: int, said: str) -> None:
    """The decrease rule is told by its cause."""
    (told,) = words.append_sentence([deleted(number), LOWERED])
    assert str(told).startswith(f"The limit was lowered from 5 to 3 in AWS Marketplace: {said}")


def test_what_comes_with_a_decrease_is_counted() -> None:
    """The date of the same observation is not kept back."""
    renewed = AppendPart(first=entry(events.SubscriptionRenewed.TYPE, renews_at_after="2027-03-01"), number=1)
    (told,) = words.append_sentence([deleted(5), LOWERED, renewed])
    assert str(told).endswith("all 5 active users lost their seats. 1 more event with it.")


def test_a_decision_is_told_by_what_it_is_about() -> None:
    """Not by the names that became known with it, or by what AWS told of the renewal."""
    beside = [
        AppendPart(first=entry(type_, **_DATA[type_]), number=1)
        for type_ in (events.LicenseIdentified.TYPE, events.RenewalAnnounced.TYPE)
    ]
    raised = AppendPart(first=entry(events.SeatLimitRaised.TYPE, seats_max_before=5, seats_max_after=25), number=1)
    (told, more) = words.append_sentence([*beside, raised])
    assert told == "The limit was raised from 5 to 25 in AWS Marketplace."
    assert more == " 2 more events with it."
    assert words.append_sentence(beside) == ("AWS named its AWS account: 123456789012.", " 1 more event with it.")


@pytest.mark.parametrize(
    ("within", "lowered"), [((), "lowered"), ((deleted(5), LOWERED), "lowered from 5 to 3")], ids=["alone", "whole"]
)
def test_a_seat_lost_to_a_lowered_limit_says_so(within: tuple[AppendPart, ...], lowered: str) -> None:
    """Who looks for one user finds the reason in the sentence."""
    told = words.sentence(deleted(1).first, within=within)
    assert told == (f"Grace lost the seat: the limit was {lowered} in AWS Marketplace.",)


def test_a_sentence_with_a_date_keeps_the_date_apart() -> None:
    """The page writes it in the reader's zone."""
    told = words.sentence(entry(events.SubscriptionRenewed.TYPE, renews_at_after="2027-03-01T12:00:00Z"))
    assert told == ("The contract was renewed until ", NOON, ".")


_DATA: dict[str, dict[str, Any]] = {
    events.LicenseIssued.TYPE: {"product_code": "p"},
    events.LicenseIdentified.TYPE: {"kind": "account", "value": "123456789012"},
    events.CompanyRegistered.TYPE: {"company_name": "Noon Telephony"},
    events.SubscriptionStarted.TYPE: {"seats_max": 1, "renews_at": "2027-03-01T12:00:00Z"},
    events.SeatLimitRaised.TYPE: {"seats_max_before": 1, "seats_max_after": 2},
    events.SeatLimitLowered.TYPE: {"seats_max_before": 2, "seats_max_after": 1},
    events.SubscriptionRenewed.TYPE: {"renews_at_after": "2027-03-01T12:00:00Z"},
    events.SubscriptionShortened.TYPE: {"renews_at_after": "2027-03-01T12:00:00Z"},
    events.SubscriptionLapsed.TYPE: {"reason": "cancelled", "ended_at": "2027-03-01T12:00:00Z"},
    events.SubscriptionResumed.TYPE: {},
    events.AgreementSucceeded.TYPE: {"agreement_id_before": "agmt-1", "agreement_id_after": "agmt-2"},
    events.RenewalAnnounced.TYPE: {"renewal": "ends", "source": "DescribeAgreement"},
    events.SuccessionDecided.TYPE: {"kind": "agreement", "value": "agmt-2", "reason": "other"},
    events.ListingSucceeded.TYPE: {"product_code_before": "p", "product_code_after": "q"},
    events.TwinAbsorbed.TYPE: {"twin": "6f0c0000-0000-4000-8000-000000000002"},
    events.LicenseFolded.TYPE: {"into": "6f0c0000-0000-4000-8000-000000000001"},
    events.SeatActivated.TYPE: {},
    events.SeatBlocked.TYPE: {"reason": "left"},
    events.SeatUnblocked.TYPE: {},
    events.SeatDeleted.TYPE: {"reason": "deleted-by-admin"},
}


@pytest.mark.parametrize("type_", sorted(words.EVENT_KINDS))
def test_every_event_of_a_license_is_told_in_a_sentence(type_: str) -> None:
    """No event falls back to its stored type, alone or in an append."""
    one = entry(type_, user="Ada" if type_.startswith("license.seat-") else None, **_DATA[type_])
    for parts in (words.sentence(one), words.append_sentence([AppendPart(first=one, number=2)])):
        told = "".join(str(part) for part in parts)
        assert told.endswith(".")
        assert type_ not in told


def test_every_event_of_a_license_has_a_name_in_the_filter() -> None:
    """A new event type can be filtered for as soon as it is there."""
    types = {event.TYPE for event in vars(events).values() if isinstance(event, type) and hasattr(event, "TYPE")}
    assert set(words.EVENT_KINDS) == types


@pytest.mark.parametrize("reason", [*events.BlockReason, *events.DeletionReason])
def test_every_reason_has_words(reason: str) -> None:
    """No code of a reason reaches a page."""
    assert words.reason(reason) != reason
