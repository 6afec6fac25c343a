"""The inbox as people see it: every message with what became of it, what needs a look, and for how long it is kept."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from structlog.testing import capture_logs

from api.inbox import led_to
from consumers.marketplace import MarketplaceInbox, upkeep
from consumers.marketplace.tables import INBOX, READINGS
from consumers.marketplace.upkeep import Upkeep
from consumers.sandbox import Contract, FaultPlan, Generation, SuccessorTerms
from consumers.sandbox.contracts import AgreementStatus, Offer
from ledger.inbox import (
    DismissalReason,
    Failure,
    InboxMessage,
    InboxQuery,
    MessageIsNotFoundError,
    MessageStatus,
    NothingToDismissError,
    NothingToRetryError,
    Notices,
)
from ledger.license.events import Actor, ActorRole, LicenseId
from ledger.store.url import DatabaseUrl
from ledger.times import microseconds
from ledger.transaction import Caller, Transaction, Work
from projections.views import Views, ViewsSettings
from tests.integration.consumers_stage import (
    ANALYTICAL_ENGINES,
    COMPILERS_INC,
    END_OF_MAY,
    END_OF_NEXT_MAY,
    ENGINES,
    MINUTE,
    NOON,
    PRODUCT_CODE,
    Stage,
    database,
    staged,
)
from tests.integration.test_consumers_succession import says_it_follows, succeed

OPERATOR = Caller(Actor(ActorRole.OPERATOR, "key-o1"), "c0ffee00-0f5d-4c84-9f0e-2f0c5a0b9d04")
DAY = timedelta(days=1)
EVERYTHING = InboxQuery()
NEEDS_LOOK = InboxQuery(needs_look=True)
GOOD_ROW = {"Value": {"IntegerValue": 5}, "ExpirationDate": (NOON + 9 * DAY).timestamp()}
ODD_ROW = GOOD_ROW | {"Value": {"IntegerValue": -1}}


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


def messages(stage: Stage, query: InboxQuery = EVERYTHING) -> Sequence[InboxMessage]:
    """Those that the query finds, the newest first."""
    return MarketplaceInbox(stage.ledger).list(query, after=None, limit=100).items


def newest(stage: Stage) -> InboxMessage:
    """The message that came last."""
    return messages(stage)[0]


def updated_of(stage: Stage) -> str:
    """The message that there is something to read about the license."""
    return next(message.body for message in stage.sandbox.marketplace.messages if "License" in message.title)


def about(contract: Contract, detail_type: str, *, id_: str, **detail: Any) -> str:  # noqa: ANN401 -- JSON
    """A message about a contract that the sandbox does not send."""
    event = {
        "id": id_,
        "detail-type": f"{detail_type} - Proposer",
        "time": "2026-11-24T12:00:00Z",
        "detail": {"agreement": {"id": contract.agreement_id, **detail}},
    }
    return json.dumps(event)


def test_a_message_is_shown_with_what_it_led_to(stage: Stage) -> None:
    """The license, the events by their positions, and the rows that AWS answered."""
    contract = stage.bought(seats=5)
    updated = newest(stage)
    license_id = stage.license().license_id
    assert (updated.status, updated.kind, updated.license_id) == (MessageStatus.DONE, "license-updated", license_id)
    assert updated.agreement_id == contract.agreement_id
    assert updated.received_at == NOON
    assert updated.positions is not None
    first, last = updated.positions
    types = [event.event.TYPE for event in stage.ledger.feed(after=first - 1, limit=last - first + 1)]
    assert "license.subscription-started" in types
    in_full = MarketplaceInbox(stage.ledger).get(updated.number)
    assert json.loads(in_full.body)["id"] == updated.message_id
    assert in_full.reading is not None
    assert in_full.reading.outcome == "observed"
    [row] = in_full.reading.rows
    assert (row["Dimension"], row["Value"], row["ExpirationDate"]) == (
        "users",
        {"IntegerValue": 5},
        "2027-05-31T23:59:59.999000Z",
    )


@contextmanager
def views_beside(stage: Stage, folder: Path) -> Iterator[Views]:
    """Views of the ledger in the same kind of database, to be brought up to date by the test."""
    url = DatabaseUrl.of_file(folder / "ledger.views") if stage.url.sqlite_path else stage.url
    views = Views.open(ViewsSettings(url=url), stage.ledger)
    try:
        yield views
    finally:
        views.stop()


def test_what_a_message_led_to_is_shown_also_when_its_license_has_become_anothers(stage: Stage, tmp_path: Path) -> None:
    """The message that issued the twin, and the one that folded it; nothing of another purchase between them."""
    contract = stage.bought(seats=5)
    stage.clock.move(DAY)
    renewal = succeed(stage, contract, SuccessorTerms(until=END_OF_NEXT_MAY, seats=6, is_linked=False))
    stage.buy(account_id=COMPILERS_INC)
    stage.consume()
    issued = next(one for one in messages(stage) if one.positions and one.agreement_id == renewal.agreement_id)
    inbox = MarketplaceInbox(stage.ledger)
    with views_beside(stage, tmp_path) as views:
        views.run_once()
        before = [entry.type for entry in led_to(views, issued, limit=100)]
        assert before[:2] == ["license.license-issued", "license.license-identified"]
        stage.send(says_it_follows(stage, renewal, contract))
        stage.consume()
        views.run_once()
        issued, folded = inbox.get(issued.number).message, newest(stage)
        assert issued.license_id == folded.license_id == stage.licenses()[0].license_id
        assert [entry.type for entry in led_to(views, issued, limit=100)] == before
        assert led_to(views, issued, limit=2) == led_to(views, issued, limit=100)[:2]
        told = [entry.type for entry in led_to(views, folded, limit=100)]
        assert {"license.license-folded", "license.twin-absorbed"} < set(told)


def test_a_message_that_changed_nothing_says_so(stage: Stage) -> None:
    """It is done, and led to no event."""
    stage.bought()
    poke = json.loads(updated_of(stage))
    stage.send(json.dumps(poke | {"id": "once-more", "detail": poke["detail"] | {"requestId": "another"}}))
    stage.consume()
    assert (newest(stage).status, newest(stage).positions) == (MessageStatus.DONE, None)


def test_the_very_same_message_is_counted_and_the_same_request_is_repeated(stage: Stage) -> None:
    """By the message's id, and by AWS's id of the request behind it."""
    stage.bought()
    body = updated_of(stage)
    stage.send(body)
    stage.consume()
    assert [message.repeats for message in messages(stage)] == [1, 0]
    stage.send(json.dumps(json.loads(body) | {"id": "under-another-id"}))
    stage.consume()
    assert newest(stage).status is MessageStatus.REPEATED
    assert newest(stage).reason


def test_what_waits_says_what_for(stage: Stage) -> None:
    """A reading that tells nothing is told in words, with the time of the next look."""
    contract = stage.buy()
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (ODD_ROW,)}))
    stage.consume()
    waiting = newest(stage)
    assert waiting.status is MessageStatus.WAITING
    assert waiting.reason
    assert "negative number" in waiting.reason
    assert waiting.due_at is not None
    assert waiting.due_at > NOON
    assert not waiting.needs_look


@pytest.mark.parametrize(
    ("rows", "reason", "shown"),
    [
        ((ODD_ROW,), "negative number", [{"IntegerValue": -1}]),
        ((GOOD_ROW, ODD_ROW), "negative number", [{"IntegerValue": 5}, {"IntegerValue": -1}]),
        ((GOOD_ROW | {"Value": {"StringValue": "Unlimited"}},), "no whole number", [{"StringValue": "Unlimited"}]),
        # No JSON that others read, and no UTF-8, but boto3 takes them.
        ((GOOD_ROW | {"Value": {"DoubleValue": math.inf}},), "no whole number", [{"DoubleValue": "inf"}]),
        ((GOOD_ROW | {"Value": {"StringValue": "\ud800"}},), "no whole number", [{"StringValue": "?"}]),
    ],
)
def test_rows_that_tell_nothing_are_kept_as_aws_answered_them(
    stage: Stage, rows: tuple[Any, ...], reason: str, shown: list[Any]
) -> None:
    """Whoever looks into it sees what was odd, and the good rows beside it."""
    contract = stage.buy()
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: rows}))
    stage.consume()
    reading = MarketplaceInbox(stage.ledger).get(newest(stage).number).reading
    assert reading is not None
    assert reading.outcome == "no-observation"
    assert reason in str(reading.reason)
    assert [row["Value"] for row in reading.rows] == shown
    assert {row["Dimension"] for row in reading.rows} == {"users"}


def test_rows_of_several_licenses_at_first_sight_are_kept(stage: Stage) -> None:
    """An operator finds there which of them the legacy customer's license may be."""
    contract = stage.buy(generation=Generation.LEGACY)
    arns = [f"arn:aws:license-manager::294406891311:license:l-{digit * 32}" for digit in "ab"]
    rows = tuple(GOOD_ROW | {"LicenseArn": arn} for arn in arns)
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: rows}))
    stage.consume()
    reading = MarketplaceInbox(stage.ledger).get(newest(stage).number).reading
    assert reading is not None
    assert "seats of several licenses" in str(reading.reason)
    assert [row["LicenseArn"] for row in reading.rows] == arns


def test_what_failed_needs_a_look_at_once_and_what_is_parked_or_waits_after_a_day(stage: Stage) -> None:
    """They are counted, and listed without the others."""
    contract = stage.bought()
    created = json.loads(next(one.body for one in stage.sandbox.marketplace.messages if "Created" in one.title))
    unknown = created | {"id": "unknown", "detail": created["detail"] | {"agreement": {"id": "agmt-unknown"}}}
    unknown["detail"]["requestId"] = "unknown"
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (ODD_ROW,)}))
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=6)
    stage.send("not JSON", json.dumps(unknown))
    stage.consume()
    inbox = MarketplaceInbox(stage.ledger)
    assert (inbox.counts().need_look, [one.status for one in messages(stage, NEEDS_LOOK)]) == (1, ["failed"])
    stage.clock.move(DAY + MINUTE)
    counts = inbox.counts()
    assert (counts.failed, counts.parked_long) == (1, 1)
    assert counts.waiting_long == counts.by_status[MessageStatus.WAITING] > 0
    assert sorted({one.status for one in messages(stage, NEEDS_LOOK)}) == ["failed", "parked", "waiting"]
    assert len(messages(stage, NEEDS_LOOK)) == counts.need_look
    assert all(one.needs_look for one in messages(stage, NEEDS_LOOK))


@pytest.mark.parametrize(
    ("body", "failure", "is_claim"),
    [
        ("not JSON", Failure.NOT_UNDERSTOOD, False),
        ('{"id": "odd", "detail-type": "Nonsense", "detail": {}}', Failure.UNKNOWN_TYPE, False),
        ('{"id": "odd", "detail-type": "License Updated - Manufacturer"}', Failure.NOT_UNDERSTOOD, True),
        ('{"action": "nonsense"}', Failure.UNKNOWN_TYPE, False),
    ],
)
def test_a_message_that_failed_says_why_in_a_word(stage: Stage, body: str, failure: Failure, *, is_claim: bool) -> None:
    """By that it is known what to do; what can be told of it is told as its claim."""
    stage.send(body)
    stage.consume()
    assert (newest(stage).failure, newest(stage).is_claim) == (failure, is_claim)


def test_a_message_that_contradicts_what_is_known_comes_from_aws(stage: Stage) -> None:
    """What it says is no mere claim, and mending may help."""
    contract = stage.bought()
    follows = {"previousAgreementId": contract.agreement_id, "intent": "RENEW", "status": "ACTIVE"}
    stage.send(about(contract, "Purchase Agreement Created", id_="circle", **follows))
    stage.consume()
    assert "The agreement follows itself" in str(newest(stage).reason)
    assert (newest(stage).failure, newest(stage).is_claim) == (Failure.OTHER, False)


def test_messages_are_found_by_what_they_are_about(stage: Stage) -> None:
    """By status, license, kind, time of receipt, and the beginning of their id."""
    stage.bought()
    stage.clock.move(DAY)
    stage.buy(account_id=COMPILERS_INC)
    stage.send("not JSON")
    stage.consume()
    ada, grace = (license_.license_id for license_ in stage.licenses())
    everything = messages(stage)
    failed = next(one for one in everything if one.status is MessageStatus.FAILED)
    for query, found in (
        (InboxQuery(status=MessageStatus.FAILED), [failed]),
        (InboxQuery(license_id=ada), [one for one in everything if one.license_id == ada]),
        (InboxQuery(license_id=grace, kind="license-updated"), [one for one in everything if _updated(one, grace)]),
        (InboxQuery(since=NOON + DAY), [one for one in everything if one.received_at >= NOON + DAY]),
        (InboxQuery(until=NOON + DAY), [one for one in everything if one.license_id == ada]),
        (InboxQuery(q=failed.message_id[:12]), [failed]),
        (InboxQuery(q="%"), []),
    ):
        assert messages(stage, query) == found, query
        assert found or query.q


def test_messages_are_found_by_any_id_that_a_customer_or_aws_may_quote(stage: Stage) -> None:
    """Agreement, LicenseArn in any spelling, license, account, request; each finds its license's messages alone."""
    contract = stage.bought()
    stage.buy(account_id=COMPILERS_INC)
    stage.consume()
    stage.send(about(contract, "Purchase Agreement Advisory Issued", id_="advisory"))
    stage.consume()
    license_ = stage.licenses()[0]
    ours = [one for one in messages(stage) if one.license_id == license_.license_id]
    assert 2 < len(ours) < len(messages(stage))
    for q in (
        contract.agreement_id,
        contract.license_arn,
        contract.license_arn.replace(":license:l-", ":license/lic-"),
        license_.license_id.upper(),
        contract.account_id,
    ):
        assert messages(stage, InboxQuery(q=q)) == ours, q
    [updated] = [one for one in ours if one.kind == "license-updated"]
    for q in (updated.message_id, updated.message_id[:8], str(updated.request_id), str(updated.request_id)[:8]):
        assert messages(stage, InboxQuery(q=q)) == [updated], q
    for q in (contract.agreement_id[:8], contract.account_id[:6], "%", ""):
        found = messages(stage, InboxQuery(q=q))
        assert found == ([] if q else messages(stage)), q


def test_what_waits_for_its_license_is_found_by_the_account_that_bought(stage: Stage) -> None:
    """The agreement says whose it is."""
    stage.buy(account_id=COMPILERS_INC)
    stage.send(stage.held_back()[0])
    stage.consume()
    [parked] = messages(stage, InboxQuery(q=COMPILERS_INC))
    assert (parked.status, parked.license_id) == (MessageStatus.PARKED, None)


def test_messages_about_a_legacy_customer_are_found_by_the_identifier(stage: Stage) -> None:
    """As AWS writes it, without the product's code."""
    contract = stage.buy(generation=Generation.LEGACY)
    stage.consume()
    assert messages(stage, InboxQuery(q=contract.customer_identifier)) == messages(stage)


def _updated(message: InboxMessage, license_id: LicenseId) -> bool:
    return (message.license_id, message.kind) == (license_id, "license-updated")


def test_the_inbox_goes_from_page_to_page(stage: Stage) -> None:
    """Nothing is left out and nothing comes twice, whatever comes meanwhile."""
    stage.send(*(f"not JSON {number}" for number in range(5)))
    stage.consume()
    inbox, seen, after = MarketplaceInbox(stage.ledger), list[int](), None
    while True:
        page = inbox.list(EVERYTHING, after=after, limit=2)
        seen += [one.number for one in page.items]
        if page.next is None:
            break
        after = int(page.next[0] or 0)
        stage.send("not JSON either")
        stage.consume()
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5


def test_what_aws_says_beside_the_seats_is_shown_with_the_license(stage: Stage) -> None:
    """Ending notices and requests to cancel, also those that came before the license was known by its agreement."""
    contract = stage.buy()
    bought = stage.held_back()
    end = "2027-05-31T23:59:59Z"
    stage.send(about(contract, "Purchase Agreement Ending", id_="ending", daysBeforeEndTime=180, endTime=end))
    stage.consume()
    stage.send(*bought, about(contract, "Agreement Cancellation Request Rejected", id_="rejected"))
    stage.consume()
    license_id = stage.license().license_id
    notices = MarketplaceInbox(stage.ledger).notices(license_id)
    assert [str(notice.says[0])[:22] for notice in notices.latest] == [
        "The customer rejected ",
        "180 days' notice: agre",
    ]
    assert notices.latest[0].told_at == NOON
    assert notices.earlier == []
    # The inbox of the license has both, too.
    listed = messages(stage, InboxQuery(license_id=license_id, kind="notice"))
    assert [one.number for one in listed] == [notice.number for notice in notices.latest]
    other = LicenseId("7b1d5f1b-64b6-4d5f-8e5c-1b5b308080e1")
    assert MarketplaceInbox(stage.ledger).notices(other) == Notices(latest=[], earlier=[])


def test_the_newest_notice_of_each_kind_comes_first_and_none_disappears(stage: Stage) -> None:
    """However many refunds were made since: that the contract ends, and that this can't be called off any more."""
    contract = stage.bought()
    ending, upcoming, refund = (
        f"Purchase Agreement {title}" for title in ("Ending", "Renewal Upcoming", "Billing Adjustment Completed")
    )
    stage.send(
        about(contract, ending, id_="180", daysBeforeEndTime=180),
        about(contract, ending, id_="120", daysBeforeEndTime=120),
        about(contract, upcoming, id_="upcoming"),
        *(about(contract, refund, id_=f"refund-{number}") for number in range(8)),
    )
    stage.consume()
    notices = MarketplaceInbox(stage.ledger).notices(stage.license().license_id)
    assert [notice.kind for notice in notices.latest] == [refund, upcoming, ending]
    assert str(notices.latest[-1].says[0]).startswith("120 days' notice: agreement")
    assert [notice.kind for notice in notices.earlier] == [refund] * 7 + [ending]


def buy_on_trial(stage: Stage, generation: Generation) -> None:
    """Ada's company buys after a free trial of thirty days, and the ledger hears of it."""
    offer = Offer(trial_ends_at=NOON + 30 * DAY)
    stage.sandbox.marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, generation=generation, offer=offer
    )
    stage.consume()


def test_a_free_trial_of_a_concurrent_agreement_is_told_although_no_message_says_it(stage: Stage) -> None:
    """AWS was asked about the agreement, and tells until when it is one."""
    buy_on_trial(stage, Generation.CONCURRENT)
    license_id, until = stage.license().license_id, NOON + 30 * DAY
    [trial] = MarketplaceInbox(stage.ledger).notices(license_id).latest
    assert (trial.number, trial.kind, trial.says) == (None, "Free trial", ("Free trial until ", until, "."))
    stage.clock.move(31 * DAY)
    [over] = MarketplaceInbox(stage.ledger).notices(license_id).latest
    assert over.says == ("The free trial ended on ", until, ".")


def test_a_free_trial_of_a_legacy_customer_is_told_by_its_message(stage: Stage) -> None:
    """It says that there is one, and not until when."""
    buy_on_trial(stage, Generation.LEGACY)
    [trial] = MarketplaceInbox(stage.ledger).notices(stage.license().license_id).latest
    assert str(trial.says[0]).endswith("subscribed, with a free trial.")
    assert trial.number is not None


# -- beginning anew ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", [timedelta(), DAY])
def test_a_parked_message_begins_anew(stage: Stage, wait: timedelta) -> None:
    """It is looked at once more, and parked again if nothing new is known."""
    stage.buy()
    created = stage.held_back()[0]
    stage.send(created)
    stage.consume()
    parked = newest(stage)
    assert parked.status is MessageStatus.PARKED
    stage.clock.move(wait)
    again = MarketplaceInbox(stage.ledger).retry(parked.number, caller=OPERATOR)
    assert (again.status, again.parked_at) == (MessageStatus.WAITING, None)
    stage.consume()
    parked_again = newest(stage)
    assert (parked_again.status, parked_again.parked_at) == (MessageStatus.PARKED, NOON + wait)


def test_a_message_that_begins_anew_has_not_waited_yet(stage: Stage) -> None:
    """However old it is: it waits from its retry on, or from the moment in which it woke."""
    stage.buy()
    created, updated = stage.held_back()
    stage.send(created)
    stage.consume()
    stage.clock.move(2 * DAY)
    inbox = MarketplaceInbox(stage.ledger)
    retried = inbox.retry(newest(stage).number, caller=OPERATOR)
    assert (retried.status, retried.needs_look, inbox.counts().need_look) == (MessageStatus.WAITING, False, 0)
    stage.consume()
    stage.clock.move(2 * DAY)
    assert inbox.counts().need_look == 1
    stage.sandbox.faults.set(FaultPlan(rows={newest(stage).agreement_id or "": (ODD_ROW,)}))
    stage.send(updated)
    stage.consume()
    assert [one.status for one in messages(stage)] == [MessageStatus.WAITING, MessageStatus.WAITING]
    assert (inbox.counts().need_look, messages(stage, NEEDS_LOOK)) == (0, [])
    stage.clock.move(DAY)
    assert (inbox.counts().waiting_long, len(messages(stage, NEEDS_LOOK))) == (2, 2)


def test_a_message_that_failed_begins_anew(stage: Stage) -> None:
    """As if it had come just now: it fails again if nothing was mended."""
    stage.send("not JSON")
    stage.consume()
    failed = newest(stage)
    MarketplaceInbox(stage.ledger).retry(failed.number, caller=OPERATOR)
    stage.consume()
    again = newest(stage)
    assert (again.number, again.status, again.received_at) == (failed.number, MessageStatus.FAILED, failed.received_at)
    assert again.reason


def test_an_ignored_message_that_begins_anew_needs_no_look(stage: Stage) -> None:
    """Nothing hangs on a notice that names no agreement, and nothing does when it is looked at once more."""
    stage.send(json.dumps({"detail-type": "Purchase Agreement Ending - Proposer", "detail": {}}))
    stage.consume()
    ignored = newest(stage)
    assert (ignored.status, ignored.needs_look) == (MessageStatus.IGNORED, False)
    MarketplaceInbox(stage.ledger).retry(ignored.number, caller=OPERATOR)
    stage.consume()
    assert newest(stage) == ignored


def test_a_message_that_an_older_version_did_not_understand_is_understood_when_it_begins_anew(stage: Stage) -> None:
    """What is kept of it beside its text is read again, and its license is found."""
    stage.buy()
    updated = stage.held_back()[-1]
    said = {"message_id": json.loads(updated)["id"], "body": updated, "received_at": microseconds(NOON)}

    def store(transaction: Transaction) -> None:
        row = said | {"status": "failed", "reason": "The detail-type is not known."}
        transaction.rows.execute(sqlalchemy.insert(INBOX).values(row))

    stage.ledger.submit(Work(decide=store, caller=OPERATOR, writes_rows=True))
    failed = newest(stage)
    MarketplaceInbox(stage.ledger).retry(failed.number, caller=OPERATOR)
    stage.consume()
    done = newest(stage)
    assert (done.status, done.kind, done.license_id) == ("done", "license-updated", stage.license().license_id)
    assert (done.agreement_id, done.request_id) != (None, None)
    assert stage.license().seats_max == 5


def test_a_message_that_is_not_trusted_is_not_trusted_when_it_begins_anew(stage: Stage) -> None:
    """Nobody gets around the signature of SNS by asking twice."""
    said = {"action": "subscribe-success", "customer-identifier": "X01EXAMPLEX", "product-code": PRODUCT_CODE}
    stage.send(json.dumps(said))
    stage.consume()
    refused = newest(stage)
    assert (refused.status, refused.license_id) == (MessageStatus.FAILED, None)
    assert "signature" in str(refused.reason)
    assert (refused.is_claim, refused.failure) == (True, Failure.NOT_TRUSTED)
    MarketplaceInbox(stage.ledger).retry(refused.number, caller=OPERATOR)
    stage.consume()
    assert newest(stage) == refused
    assert stage.licenses() == []


def test_what_is_done_or_waits_does_not_begin_anew(stage: Stage) -> None:
    """Nor does a message that is not there."""
    contract = stage.bought()
    inbox = MarketplaceInbox(stage.ledger)
    with pytest.raises(NothingToRetryError, match="The message is done"):
        inbox.retry(newest(stage).number, caller=OPERATOR)
    stage.sandbox.faults.set(FaultPlan(rows={contract.agreement_id: (ODD_ROW,)}))
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=6)
    stage.consume()
    with pytest.raises(NothingToRetryError, match="The message is waiting"):
        inbox.retry(newest(stage).number, caller=OPERATOR)
    with pytest.raises(MessageIsNotFoundError):
        inbox.retry(2**53 - 1, caller=OPERATOR)
    with pytest.raises(MessageIsNotFoundError):
        inbox.get(2**53 - 1)


# -- what is dismissed -------------------------------------------------------------------------------------------------


def dismiss(stage: Stage, message: InboxMessage) -> InboxMessage:
    """An operator says that nobody need look at a message."""
    return MarketplaceInbox(stage.ledger).dismiss(
        message.number, reason=DismissalReason.SETTLED_OTHERWISE, note=None, caller=OPERATOR
    )


def test_a_subscription_that_sns_asks_about_is_told_in_words_and_dismissed(stage: Stage) -> None:
    """The reason says what to do, nobody is visited, and the message says who dismissed it."""
    said = {"Type": "SubscriptionConfirmation", "MessageId": "confirm", "Message": "…", "Token": "2336412f"}
    stage.send(json.dumps(said | {"TopicArn": "arn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-x"}))
    stage.consume()
    failed = newest(stage)
    assert (failed.status, failed.can_be_dismissed) == (MessageStatus.FAILED, True)
    assert "aws sns confirm-subscription" in str(failed.reason)
    assert (failed.is_claim, failed.failure) == (False, Failure.ABOUT_QUEUE)
    dismissed = dismiss(stage, failed)
    assert dismissed.dismissal is not None
    assert (dismissed.dismissal.actor, dismissed.dismissal.dismissed_at >= NOON) == (OPERATOR.actor, True)
    assert (dismissed.reason, dismissed.needs_look) == (failed.reason, False)
    counts = MarketplaceInbox(stage.ledger).counts()
    assert (counts.need_look, counts.failed, counts.by_status[MessageStatus.DISMISSED]) == (0, 0, 1)
    assert messages(stage, NEEDS_LOOK) == []


def test_a_dismissed_message_that_is_parked_goes_on_when_more_is_known(stage: Stage) -> None:
    """Nobody loses what was bought because a message about it was put aside."""
    stage.buy()
    created, *others = stage.held_back()
    stage.send(created)
    stage.consume()
    parked = newest(stage)
    stage.clock.move(DAY + MINUTE)
    assert MarketplaceInbox(stage.ledger).counts().parked_long == 1
    dismissed = dismiss(stage, parked)
    assert dismissed.status is MessageStatus.DISMISSED
    assert MarketplaceInbox(stage.ledger).counts().need_look == 0
    stage.send(*others)
    stage.consume()
    done = next(one for one in messages(stage) if one.number == parked.number)
    assert (done.status, done.dismissal, done.license_id) == (MessageStatus.DONE, None, stage.license().license_id)
    assert stage.license().seats_max == 5


def test_a_dismissed_message_that_comes_again_and_is_understood_begins_anew(stage: Stage) -> None:
    """The same id with a text that can be read: what was put aside was not this."""
    stage.buy()
    updated = stage.held_back()[-1]
    stage.send(json.dumps({"id": json.loads(updated)["id"], "detail-type": "Nonsense", "detail": {}}))
    stage.consume()
    failed = newest(stage)
    assert dismiss(stage, failed).status is MessageStatus.DISMISSED
    stage.send(updated)
    stage.consume()
    done = newest(stage)
    assert (done.number, done.status, done.dismissal) == (failed.number, MessageStatus.DONE, None)
    assert stage.license().seats_max == 5


def test_what_is_done_or_waits_is_not_dismissed(stage: Stage) -> None:
    """Nor is a message that is not there."""
    stage.bought()
    with pytest.raises(NothingToDismissError, match="The message is done"):
        dismiss(stage, newest(stage))
    with pytest.raises(MessageIsNotFoundError):
        dismiss(stage, replace(newest(stage), number=2**53 - 1))


def test_the_messages_of_one_license_are_counted_by_themselves(stage: Stage) -> None:
    """As many as the list of that license has, status by status."""
    stage.bought()
    stage.buy(account_id=COMPILERS_INC)
    stage.send("not JSON")
    stage.consume()
    inbox = MarketplaceInbox(stage.ledger)
    for license_ in stage.licenses():
        listed = messages(stage, InboxQuery(license_id=license_.license_id))
        counted = inbox.counts(license_.license_id).by_status
        assert {status: number for status, number in counted.items() if number} == Counter(one.status for one in listed)
    assert sum(inbox.counts().by_status.values()) == len(messages(stage))


# -- what is kept ------------------------------------------------------------------------------------------------------


def count_of_readings(stage: Stage) -> int:
    """How many readings are kept."""
    with stage.ledger.reading.connect() as reading:
        return reading.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(READINGS)) or 0


def test_settled_messages_and_readings_are_removed_when_they_are_old(stage: Stage) -> None:
    """Not a moment earlier; what failed, is parked or waits is kept however old it is."""
    contract = stage.bought()
    stage.send(about(contract, "Purchase Agreement Ending", id_="ending"), "not JSON")
    stage.consume()
    care = Upkeep(stage.ledger, retention=15 * DAY)
    before = len(messages(stage))
    care.forget_old(at=NOON + 15 * DAY - MINUTE)
    assert (len(messages(stage)), count_of_readings(stage) > 0) == (before, True)
    care.forget_old(at=NOON + 15 * DAY + MINUTE)
    assert [one.status for one in messages(stage)] == [MessageStatus.FAILED]
    assert count_of_readings(stage) == 0
    assert stage.license().seats_max == 5


def test_the_number_of_a_removed_reading_is_no_other_readings(stage: Stage) -> None:
    """A parked message outlives the reading of its license, and does not show somebody else's for it."""
    contract = stage.bought()
    stage.sandbox.marketplace.end(contract.agreement_id, status=AgreementStatus.REPLACED)
    stage.consume()
    parked, *_ = messages(stage, InboxQuery(status=MessageStatus.PARKED))
    inbox = MarketplaceInbox(stage.ledger)
    assert inbox.get(parked.number).reading is not None
    Upkeep(stage.ledger, retention=15 * DAY).forget_old(at=NOON + 16 * DAY)
    for seats in (6, 7, 8):
        stage.buy(seats, account_id=COMPILERS_INC)
        stage.consume()
    assert count_of_readings(stage) >= 3
    assert inbox.get(parked.number).reading is None


def test_a_dismissed_message_is_removed_when_its_dismissal_is_old(stage: Stage) -> None:
    """However old the message itself is."""
    stage.send("not JSON")
    stage.consume()
    stage.clock.move(10 * DAY)
    dismiss(stage, newest(stage))
    care = Upkeep(stage.ledger, retention=15 * DAY)
    care.forget_old(at=NOON + 25 * DAY - MINUTE)
    assert [one.status for one in messages(stage)] == [MessageStatus.DISMISSED]
    care.forget_old(at=NOON + 25 * DAY + MINUTE)
    assert messages(stage) == []


def test_a_message_that_comes_again_after_its_removal_changes_nothing(stage: Stage) -> None:
    """It is read for once more, and AWS shows what the ledger knows."""
    stage.bought()
    events = stage.events()
    Upkeep(stage.ledger, retention=15 * DAY).forget_old(at=NOON + 16 * DAY)
    assert messages(stage) == []
    stage.send(*(message.body for message in stage.sandbox.marketplace.messages))
    stage.consume()
    assert {one.status for one in messages(stage)} == {MessageStatus.DONE}
    assert stage.events() == events


def test_many_old_messages_are_removed_in_portions(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody waits long behind a removal; what is left over goes in the next hour."""
    monkeypatch.setattr(upkeep, "PORTION", 2)
    monkeypatch.setattr(upkeep, "REMOVED_MAX", 4)
    contract = stage.bought()
    stage.send(*(about(contract, "Purchase Agreement Ending", id_=f"ending-{number}") for number in range(5)))
    stage.consume()
    care = Upkeep(stage.ledger, retention=15 * DAY)
    care.work(at=NOON + 20 * DAY)
    assert len(messages(stage)) == 3
    care.work(at=NOON + 20 * DAY + 59 * MINUTE)
    assert len(messages(stage)) == 3
    care.work(at=NOON + 20 * DAY + 60 * MINUTE)
    assert messages(stage) == []


def test_a_message_that_is_parked_for_a_day_is_reported_once(stage: Stage) -> None:
    """One line names all of them, with the time since when the oldest is parked."""
    stage.buy()
    stage.send(stage.held_back()[0])
    stage.consume()
    care = Upkeep(stage.ledger, retention=15 * DAY)
    with capture_logs() as logs:
        for hours in (0, 23, 25, 26, 48):
            care.work(at=NOON + timedelta(hours=hours))
    [line] = [log for log in logs if log["log_level"] == "warning"]
    assert (line["event"], line["number"]) == ("messages are parked for more than a day", 1)
    assert line["message_ids"] == [newest(stage).message_id]
    dismiss(stage, newest(stage))
    with capture_logs() as logs:
        Upkeep(stage.ledger, retention=15 * DAY).work(at=NOON + timedelta(hours=48))
    assert logs == []


def test_the_consumer_looks_after_its_inbox(stage: Stage) -> None:
    """Without being told, by the retention of its settings."""
    stage.bought()
    stage.sandbox.faults.clear()
    stage.pass_time(stage.settings.inbox_retention + 60 * MINUTE)
    assert [one for one in messages(stage) if one.received_at == NOON] == []
