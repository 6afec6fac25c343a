"""The sentences of the inbox's pages."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from api.pages import inbox_words
from consumers.marketplace.messages import PokeKind
from ledger.inbox import Failure, InboxCounts, InboxMessage, MessageStatus
from ledger.license.events import Actor, ActorRole, SeatLimitRaised
from projections.history import AppendPart, HistoryEntry

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
DONE = InboxMessage(
    number=17,
    message_id="84a4f48b-0000-4000-8000-000000000001",
    request_id=None,
    kind="license-updated",
    says=("Something has changed.",),
    is_claim=False,
    status=MessageStatus.DONE,
    failure=None,
    reason=None,
    license_id=None,
    agreement_id=None,
    received_at=NOON,
    sent_at=NOON,
    due_at=None,
    parked_at=None,
    attempts=0,
    repeats=0,
    positions=None,
    dismissal=None,
    needs_look=False,
)


def counts(*, failed: int = 0, parked: int = 0, waiting: int = 0) -> InboxCounts:
    """An inbox with so many that need a look, and a thousand that don't."""
    by_status = dict.fromkeys(MessageStatus, 1_000) | {MessageStatus.FAILED: failed}
    return InboxCounts(by_status=by_status, parked_long=parked, waiting_long=waiting)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (counts(failed=1), "1 message failed."),
        (counts(failed=2, parked=1), "2 messages failed, 1 is parked for more than a day."),
        (counts(parked=2, waiting=1), "2 are parked for more than a day, 1 waits for more than a day."),
        (counts(waiting=1_234), "1,234 wait for more than a day."),
    ],
)
def test_what_needs_a_look_is_one_sentence(number: InboxCounts, sentence: str) -> None:
    """What failed comes first; what is parked or waits counts after a day."""
    assert inbox_words.need_look(number) == sentence


def test_what_became_of_a_message_is_its_reason_or_what_it_led_to() -> None:
    """A message that is done may have changed nothing; what it led to is told for itself."""
    assert inbox_words.became(DONE) == "AWS was read, and showed what the ledger knew."
    assert inbox_words.became(replace(DONE, positions=(7, 1_234))) == ""
    assert inbox_words.became(replace(DONE, reason="The message is not JSON.")) == "The message is not JSON."


@pytest.mark.parametrize(
    ("decisions", "told"),
    [
        (1, "The limit was raised from 5 to 25 in AWS Marketplace. "),
        (3, "The limit was raised from 5 to 25 in AWS Marketplace. " * 3),
        (5, "The limit was raised from 5 to 25 in AWS Marketplace. " * 3 + "2 more decisions with it."),
    ],
)
def test_what_a_message_led_to_is_told_in_a_few_sentences(decisions: int, told: str) -> None:
    """Not by positions, between which others may stand."""
    raised = AppendPart(
        first=HistoryEntry(
            position=7,
            version=7,
            type=SeatLimitRaised.TYPE,
            recorded_at=NOON,
            actor=Actor(ActorRole.MARKETPLACE, "sqs"),
            cause=None,
            seat_id=None,
            user=None,
            data={"seats_max_before": 5, "seats_max_after": 25},
            append=(7, 7),
        ),
        number=1,
    )
    assert "".join(map(str, inbox_words.led_to([[raised]] * decisions))) == told


@pytest.mark.parametrize("status", MessageStatus)
def test_every_status_has_its_words(status: MessageStatus) -> None:
    """Its name, its headline, and what to do next."""
    assert inbox_words.STATUSES[status] in inbox_words.HEADLINES[status]
    assert inbox_words.next_step(replace(DONE, status=status)).endswith(".")


@pytest.mark.parametrize("failure", Failure)
def test_every_failure_says_what_to_do(failure: Failure) -> None:
    """It depends on why it failed; once it is dismissed nothing is to be done."""
    failed = replace(DONE, status=MessageStatus.FAILED, failure=failure)
    dismissed = replace(failed, status=MessageStatus.DISMISSED)
    assert inbox_words.next_step(failed).endswith(".")
    assert inbox_words.next_step(dismissed).startswith("Nothing is to be done.")


@pytest.mark.parametrize("failure", [Failure.NOT_TRUSTED, Failure.UNKNOWN_TYPE, Failure.NOT_UNDERSTOOD])
def test_a_message_that_failed_is_not_called_by_what_it_claims(failure: Failure) -> None:
    """Nobody reads as a fact that somebody has unsubscribed."""
    claims = replace(DONE, kind="unsubscribe-success", status=MessageStatus.FAILED, failure=failure)
    assert inbox_words.kind(claims).startswith("A message that is not ")


def test_what_was_understood_and_contradicts_itself_is_called_by_what_it_is_about() -> None:
    """AWS did send it."""
    contradicts = replace(DONE, status=MessageStatus.FAILED, failure=Failure.OTHER)
    assert inbox_words.kind(contradicts) == "License updated"


def test_every_kind_has_its_words() -> None:
    """The pages name what the consumer understands."""
    assert set(inbox_words.KINDS) == {kind.value for kind in PokeKind}
    assert inbox_words.kind(replace(DONE, kind=None)) == "Message"
