"""The views answer what the events say, page by page, now and about the past."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger.errors import LicenseIsNotFoundError, NotRecordedError, TimeIsInvalidError
from ledger.license.access import AccessPolicy, LicenseStatus
from ledger.license.events import ActorRole, Contact, LicenseId
from ledger.license.state import SeatStatus
from ledger.replay import Moment
from projections.history import HistoryEntry, HistoryQuery, Span
from projections.license_information import LicenseQuery
from projections.seats import SeatQuery
from tests.integration.projections_story import ADMIN, ANALYTICAL, BOMBE, IN_A_YEAR, NOON, Story, tell

if TYPE_CHECKING:
    from projections.page import PageKey

NOBODY = LicenseId("00000000-0000-4000-8000-00000000000f")


@pytest.fixture
def story(database: Path) -> Iterator[Story]:
    """Begin at noon with an empty ledger."""
    with tell(database) as begun:
        yield begun


def register(story: Story, license_id: LicenseId, company_name: str) -> None:
    """Send the registration form."""
    contact = Contact(name="Charles", email="charles@engines.test", phone=None)
    story.ledger.companies.register(license_id, company_name=company_name, contact=contact, caller=ADMIN)


def entries(story: Story, query: HistoryQuery, *, limit: int = 1_000) -> list[HistoryEntry]:
    """Read the history to its last page."""
    found: list[HistoryEntry] = []
    after: PageKey | None = None
    while True:
        page = story.views.history.list(ANALYTICAL, query, after=after, limit=limit)
        found += page.items
        after = page.next
        if after is None:
            return found


def test_license_information_says_what_was_bought_and_used(story: Story) -> None:
    """Every field comes from the events, at the position of the last one."""
    story.buy(seats_max=5)
    register(story, ANALYTICAL, "Analytical Engines")
    story.activate("Ada")
    story.activate("Grace")
    story.block("Grace")
    story.views.run_once()
    information = story.views.licenses.get(ANALYTICAL, at=NOON)
    assert information is not None
    assert information.company_name == "Analytical Engines"
    assert (information.customer_id, information.product_id) == ("123456789012", "prod-softphone")
    assert (information.seats_max, information.seats_active, information.seats_available) == (5, 1, 4)
    assert information.seats_blocked == 1
    assert (information.status, information.renewal_date) == (LicenseStatus.ACTIVE, IN_A_YEAR)
    assert information.position == story.ledger.head().position


def test_information_of_now_equals_the_replayed_one(story: Story) -> None:
    """The view and the replay to the head tell the same of one moment."""
    story.buy()
    story.activate("Ada")
    story.views.run_once()
    head = story.ledger.head()
    then = story.views.licenses.then(ANALYTICAL, Moment(position=head.position))
    assert story.views.licenses.get(ANALYTICAL, at=then.as_of) == then


def test_the_decisions_of_several_licenses_are_told_at_once(story: Story) -> None:
    """Each span has those of its license alone that were caused in this role, whatever stands between them."""
    story.buy(ANALYTICAL, seats_max=5)
    story.buy(BOMBE, seats_max=9)
    story.activate("Ada")
    story.buy(ANALYTICAL, seats_max=7)
    story.views.run_once()
    last = story.ledger.head().position
    everything = Span(license_id=ANALYTICAL, first=1, last=last)
    of_bombe = Span(license_id=BOMBE, first=1, last=last)
    end = Span(license_id=ANALYTICAL, first=last, last=last)
    of_nobody = Span(license_id=NOBODY, first=1, last=last)
    found = story.views.history.appends_within([everything, of_bombe, end, of_nobody], actor=ActorRole.MARKETPLACE)
    issued = [("license.license-issued", 1), ("license.license-identified", 2)]
    started, raised = [("license.subscription-started", 1)], [("license.seat-limit-raised", 1)]

    def told(span: Span) -> list[tuple[str, int]]:
        return [(part.first.type, part.number) for parts in found[span] for part in parts]

    assert told(everything) == [*issued, *started, *raised]
    assert told(of_bombe) == [*issued, *started]
    assert told(end) == raised
    assert told(of_nobody) == []
    assert story.views.history.appends_within([], actor=ActorRole.MARKETPLACE) == {}


def test_a_license_nobody_knows_is_null_now_and_not_found_then(story: Story) -> None:
    """The view has no row; the past refuses."""
    story.buy()
    story.views.run_once()
    assert story.views.licenses.get(NOBODY, at=NOON) is None
    with pytest.raises(LicenseIsNotFoundError):
        story.views.licenses.then(NOBODY, Moment(as_of=NOON))


def test_usable_until_follows_the_policy_in_force(story: Story) -> None:
    """A new policy changes what is told of an old contract, and the listed statuses with it."""
    story.buy(renews_at=NOON + timedelta(days=1))
    story.views.run_once()
    two_days_on = NOON + timedelta(days=2)
    waiting = story.views.licenses.get(ANALYTICAL, at=two_days_on)
    assert waiting is not None
    assert waiting.status is LicenseStatus.OVERDUE
    story.ledger.set_access_policy(AccessPolicy(blind_wait=timedelta(), expiry_grace=timedelta(hours=1)))
    story.views.run_once()
    strict = story.views.licenses.get(ANALYTICAL, at=two_days_on)
    assert strict is not None
    assert strict.status is LicenseStatus.EXPIRED
    assert strict.usable_until == NOON + timedelta(days=1, hours=1)


@pytest.mark.parametrize("hours", [0, 23, 24, 25, 95, 96, 97, 2000])
def test_a_license_is_listed_under_the_status_that_it_shows(story: Story, hours: int) -> None:
    """The filter on stored columns agrees with the rule, at and around each boundary."""
    story.buy(renews_at=NOON + timedelta(days=1))
    story.buy(BOMBE, seats_max=0)
    story.views.run_once()
    at = NOON + timedelta(hours=hours)
    for status in LicenseStatus:
        page = story.views.licenses.list(LicenseQuery(status=status), after=None, limit=10, at=at)
        shown = [story.views.licenses.get(license_id, at=at) for license_id in (ANALYTICAL, BOMBE)]
        expected = [one for one in shown if one is not None and one.status is status]
        assert list(page.items) == expected


def test_licenses_are_found_by_parts_of_names_and_ids_and_by_scope(story: Story) -> None:
    """Search takes any case; what looks like a pattern is only text; a scope restricts."""
    story.buy()
    story.buy(BOMBE)
    register(story, ANALYTICAL, "Straße & 100% Engines_")
    story.views.run_once()

    def found(query: LicenseQuery) -> list[LicenseId]:
        page = story.views.licenses.list(query, after=None, limit=10, at=NOON)
        return [one.license_id for one in page.items]

    assert found(LicenseQuery(q="STRASSE")) == [ANALYTICAL]
    assert found(LicenseQuery(q="100%")) == [ANALYTICAL]
    assert found(LicenseQuery(q="10%E")) == []
    assert found(LicenseQuery(q="engines-")) == []
    assert found(LicenseQuery(q="PROD-SOFT")) == [BOMBE, ANALYTICAL]
    assert found(LicenseQuery(q=BOMBE[:4])) == [BOMBE]
    assert found(LicenseQuery(customer_ids=("123456789012",))) == [BOMBE, ANALYTICAL]
    assert found(LicenseQuery(customer_ids=("1234",))) == []
    assert found(LicenseQuery(licenses=(ANALYTICAL,), product_id="prod-softphone")) == [ANALYTICAL]
    assert found(LicenseQuery(licenses=(ANALYTICAL,), product_id="softphone")) == [ANALYTICAL]
    assert found(LicenseQuery(licenses=(ANALYTICAL,), product_id="prod-another")) == []
    assert found(LicenseQuery(licenses=())) == []


def test_pages_of_licenses_with_equal_names_miss_and_repeat_none(story: Story) -> None:
    """Twelve companies of one name come once each, five at a time."""
    ids = [LicenseId(f"0c000000-0000-4000-8000-{number:012}") for number in range(12)]
    for license_id in ids:
        story.buy(license_id)
        register(story, license_id, "Engines")
    story.views.run_once()
    found: list[LicenseId] = []
    after: PageKey | None = None
    for _ in range(3):
        page = story.views.licenses.list(LicenseQuery(), after=after, limit=5, at=NOON)
        found += [one.license_id for one in page.items]
        after = page.next
    assert after is None
    assert found == ids


def test_seats_are_listed_by_name_in_pages(story: Story) -> None:
    """The order is that of the casefolded names, whatever the spelling, and no page begins twice."""
    names = ["grace", "Ada", "édith", "ALAN", "Zuse", "barbara", "Émile"]
    story.buy(seats_max=10)
    for name in names:
        story.activate(name)
    story.views.run_once()
    found: list[str] = []
    after: PageKey | None = None
    while True:
        page = story.views.seats.list(ANALYTICAL, SeatQuery(), after=after, limit=2)
        found += [seat.user for seat in page.items]
        after = page.next
        if after is None:
            break
    assert found == ["Ada", "ALAN", "barbara", "grace", "Zuse", "édith", "Émile"]


def test_seats_are_found_by_status_name_and_part_of_a_name(story: Story) -> None:
    """A user is found in any spelling, a part in any case, and only under the license that was asked."""
    story.buy()
    story.buy(BOMBE)
    story.activate("Ada Lovelace")
    story.activate("Grace")
    story.activate("Ada Lovelace", BOMBE)
    blocked = story.block("Grace", note="left in May")
    story.views.run_once()

    def found(query: SeatQuery) -> list[str]:
        return [seat.user for seat in story.views.seats.list(ANALYTICAL, query, after=None, limit=10).items]

    assert found(SeatQuery(user="ADA LOVELACE ")) == ["Ada Lovelace"]
    assert found(SeatQuery(user="Ada")) == []
    assert found(SeatQuery(q="LOVE")) == ["Ada Lovelace"]
    assert found(SeatQuery(q="_")) == []
    assert found(SeatQuery(status=SeatStatus.BLOCKED)) == ["Grace"]
    assert found(SeatQuery(status=SeatStatus.DELETED)) == []
    assert story.views.seats.get(ANALYTICAL, blocked.seat.seat_id) == blocked.seat
    assert story.views.seats.get(BOMBE, blocked.seat.seat_id) is None


def test_a_seat_is_told_as_the_command_told_it(story: Story) -> None:
    """After each step of a seat's life the view's record is the one that the command answered."""
    story.buy()
    for step in ("activate", "block", "unblock", "activate", "delete"):
        match step:
            case "activate":
                answer = story.activate("Ada")
            case "block":
                answer = story.block("ADA", note="in May")
            case "unblock":
                seat_id = story.seat_of("Ada")
                answer = story.ledger.seats.unblock(ANALYTICAL, seat_id=seat_id, caller=ADMIN)
            case _:
                seat_id = story.seat_of("Ada")
                answer = story.ledger.seats.delete(ANALYTICAL, seat_id=seat_id, caller=ADMIN)
        story.views.run_once()
        assert story.views.seats.get(ANALYTICAL, answer.seat.seat_id) == answer.seat


def test_counts_agree_across_the_views(story: Story) -> None:
    """The counts beside the filters are those of License Information, and of the listed seats."""
    story.buy()
    story.activate("Ada")
    story.activate("Grace")
    story.block("Grace")
    story.activate("Alan")
    story.buy(seats_max=1)
    story.views.run_once()
    counts = story.views.seats.counts(ANALYTICAL)
    information = story.views.licenses.get(ANALYTICAL, at=NOON)
    assert information is not None
    assert counts == {SeatStatus.ACTIVE: 0, SeatStatus.BLOCKED: 1, SeatStatus.INACTIVE: 0, SeatStatus.DELETED: 2}
    assert (information.seats_active, information.seats_blocked) == (0, 1)
    for status, number in counts.items():
        page = story.views.seats.list(ANALYTICAL, SeatQuery(status=status), after=None, limit=10)
        assert len(page.items) == number
    assert set(story.views.seats.counts(NOBODY).values()) == {0}


def test_history_tells_every_event_with_the_name_of_then(story: Story) -> None:
    """A deletion says who lost the seat, in the spelling that the user had then."""
    story.buy(seats_max=1)
    story.activate("Ada")
    seat_id = story.seat_of("Ada")
    story.ledger.seats.delete(ANALYTICAL, seat_id=seat_id, caller=ADMIN)
    story.activate("ADA")
    story.views.run_once()
    told = [(one.type, one.user) for one in entries(story, HistoryQuery(order="asc")) if one.seat_id]
    assert told == [
        ("license.seat-activated", "Ada"),
        ("license.seat-deleted", "Ada"),
        ("license.seat-activated", "ADA"),
    ]
    last = entries(story, HistoryQuery())[0]
    assert last.data == {"seat_id": seat_id, "user": {"of": seat_id, "plain": "ADA"}}
    assert (last.actor, last.cause, last.seat_id) == (ADMIN.actor, ADMIN.cause, seat_id)
    assert last.append == (last.version, last.version)


def test_history_is_filtered_and_paged_both_ways(story: Story) -> None:
    """Filters restrict, orders mirror each other, and small pages add up to the whole."""
    story.buy()
    story.activate("Ada")
    story.clock.at = NOON + timedelta(hours=1)
    story.block("Grace")
    story.activate("Alan")
    story.views.run_once()
    everything = entries(story, HistoryQuery(order="asc"))
    assert [one.version for one in everything] == list(range(1, len(everything) + 1))
    assert entries(story, HistoryQuery(order="asc"), limit=2) == everything
    assert entries(story, HistoryQuery(), limit=2) == everything[::-1]
    assert [one.user for one in entries(story, HistoryQuery(user="GRACE"))] == ["Grace"]
    assert entries(story, HistoryQuery(user="nobody")) == []
    assert [one.user for one in entries(story, HistoryQuery(type="license.seat-blocked"))] == ["Grace"]
    assert {one.user for one in entries(story, HistoryQuery(actor="admin"))} == {"Ada", "Grace", "Alan"}
    assert {one.user for one in entries(story, HistoryQuery(actor="marketplace:sqs"))} == {None}
    assert entries(story, HistoryQuery(actor="admin:another")) == []
    later = everything[-2].recorded_at
    assert [one.user for one in entries(story, HistoryQuery(since=later, order="asc"))] == ["Grace", "Alan"]
    assert entries(story, HistoryQuery(until=later, order="asc")) == everything[:-2]


def test_an_append_is_told_whole_from_any_of_its_events(story: Story) -> None:
    """Of each type its first event and how many there are, in the order of the append."""
    story.buy(seats_max=3)
    for name in ("Ada", "Grace", "Alan"):
        story.activate(name)
    story.buy(seats_max=2)
    story.activate("Ada")
    story.views.run_once()
    assert story.views.history.appends([]) == {}
    lowered, alone = (
        entries(story, HistoryQuery(type="license.seat-limit-lowered")) + entries(story, HistoryQuery())[:1]
    )
    found = story.views.history.appends([lowered, alone])
    assert set(found) == {lowered.begins_at, alone.begins_at} == {lowered.position - 3, alone.position}
    told = [(part.first.type, part.first.user, part.number) for part in found[lowered.begins_at]]
    assert told == [("license.seat-deleted", "Ada", 3), ("license.seat-limit-lowered", None, 1)]
    assert [(part.first, part.number) for part in found[alone.begins_at]] == [(alone, 1)]


def test_what_was_said_of_a_time_is_said_again_later(story: Story) -> None:
    """Information and seats as of each step are what the views said at that step."""
    story.buy(seats_max=2)
    said = []
    for hour, name in enumerate(("Ada", "Grace"), 1):
        story.clock.at = NOON + timedelta(hours=hour)
        story.activate(name)
        story.views.run_once()
        information = story.views.licenses.get(ANALYTICAL, at=story.clock.at)
        seats = story.views.seats.list(ANALYTICAL, SeatQuery(), after=None, limit=10)
        said.append((story.clock.at, information, seats.items, seats.position))
    story.clock.at = NOON + timedelta(hours=9)
    story.buy(seats_max=1)
    for as_of, information, seats_then, position in said:
        moment = Moment(as_of=as_of)
        assert story.views.licenses.then(ANALYTICAL, moment) == information
        page = story.views.seats.then(ANALYTICAL, moment, SeatQuery(), after=None, limit=10)
        assert (list(page.items), page.position, page.as_of) == (list(seats_then), position, as_of)


def test_the_past_is_paged_and_filtered_like_the_present(story: Story) -> None:
    """At the head, both ways of reading give the same pages for every filter."""
    story.buy()
    for name in ("Ada", "alan", "Grace"):
        story.activate(name)
    story.block("Grace")
    story.views.run_once()
    moment = Moment(position=story.ledger.head().position)
    for query in (SeatQuery(), SeatQuery(status=SeatStatus.ACTIVE), SeatQuery(q="A"), SeatQuery(user="ADA")):
        after: PageKey | None = None
        while True:
            now = story.views.seats.list(ANALYTICAL, query, after=after, limit=1)
            then = story.views.seats.then(ANALYTICAL, moment, query, after=after, limit=1)
            assert (list(now.items), now.next, now.position) == (list(then.items), then.next, then.position)
            after = now.next
            if after is None:
                break


def test_a_moment_inside_an_append_is_the_append_s_end(story: Story) -> None:
    """A decrease that deletes is told whole, from whichever of its events one asks."""
    story.buy(seats_max=2)
    story.activate("Ada")
    story.activate("Grace")
    before = story.ledger.head().position
    story.buy(seats_max=1)
    after = story.ledger.head().position
    for position in range(before + 1, after + 1):
        then = story.views.licenses.then(ANALYTICAL, Moment(position=position))
        assert (then.seats_max, then.seats_active, then.position) == (1, 0, after)
    with pytest.raises(NotRecordedError):
        story.views.licenses.then(ANALYTICAL, Moment(position=after + 1))


def test_a_time_that_has_not_come_is_refused(story: Story) -> None:
    """Nothing is said about the future, of a license or of its seats."""
    story.buy()
    tomorrow = Moment(as_of=NOON + timedelta(days=1))
    with pytest.raises(TimeIsInvalidError):
        story.views.licenses.then(ANALYTICAL, tomorrow)
    with pytest.raises(TimeIsInvalidError):
        story.views.seats.then(ANALYTICAL, tomorrow, SeatQuery(), after=None, limit=1)
