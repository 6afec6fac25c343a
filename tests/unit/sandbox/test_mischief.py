"""Mischief: what a bad day does to messages and calls, the same with the same seed."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from consumers.sandbox import Faults, Message, MischiefPlan, wire
from consumers.sandbox.courier import OVERTAKEN_LONGEST
from consumers.sandbox.wire import WireAnswer
from tests.unit.sandbox.story import ANALYTICAL_ENGINES, END_OF_MAY, NOON, SOFTPHONE, Stage

ENTITLEMENTS = "AWSMPEntitlementService.GetEntitlements"
RESOLVE = "AWSMPMeteringService.ResolveCustomer"
DESCRIBE = "AWSMPCommerceService_v20200301.DescribeAgreement"


def on_a_bad_day(**plan: Any) -> Stage:  # noqa: ANN401 -- fields of the plan
    """Open with a plan of mischief."""
    stage = Stage()
    stage.marketplace.mischief.set(MischiefPlan(**plan))
    return stage


def buy(stage: Stage, seats: int = 5) -> tuple[Message, ...]:
    """Let the company of Ada buy, which sends two messages."""
    return stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=seats, until=END_OF_MAY).messages


def call(stage: Stage, target: str = ENTITLEMENTS, **request: object) -> WireAnswer:
    """Send one request."""
    asked = request or {"ProductCode": SOFTPHONE.code}
    return wire.answer(
        target=target, payload=json.dumps(asked).encode(), marketplace=stage.marketplace, faults=Faults()
    )


def numbers(stage: Stage) -> list[int]:
    """Tell which messages came, in their order."""
    return [message.number for message in stage.sent]


def test_a_good_day_does_nothing_and_counts_nothing() -> None:
    """The plan without arguments, or one with a seed alone."""
    stage = on_a_bad_day(seed=7)
    buy(stage)
    call(stage)
    state = stage.marketplace.mischief.state
    assert (state.messages, state.calls, state.done) == (0, 0, {})
    assert numbers(stage) == [1, 2]


def test_a_lost_message_never_comes() -> None:
    """It is remembered with its fate, and can be sent by hand."""
    stage = on_a_bad_day(drop=1)
    assert [(message.delivered, message.fate) for message in buy(stage)] == [(False, "dropped")] * 2
    assert stage.sent == []
    assert stage.marketplace.mischief.state.done == {"dropped": 2}
    stage.marketplace.send_again(2)
    assert numbers(stage) == [2]


def test_a_message_can_come_twice() -> None:
    """Word for word."""
    stage = on_a_bad_day(duplicate=1)
    assert {message.fate for message in buy(stage)} == {"duplicated"}
    assert numbers(stage) == [1, 1, 2, 2]
    assert len({message.body for message in stage.sent}) == 2


def test_a_message_can_be_overtaken_by_the_next_one() -> None:
    """It comes after it; if none comes, after a minute."""
    stage = Stage()
    stage.marketplace.mischief.set(MischiefPlan(reorder=1))
    first, second = buy(stage)
    assert (first.fate, second.fate) == ("reordered", "reordered")
    assert stage.marketplace.waiting == 2
    stage.marketplace.mischief.set(MischiefPlan())
    buy(stage)
    assert numbers(stage) == [3, 1, 2, 4]
    stage.marketplace.mischief.set(MischiefPlan(reorder=1))
    buy(stage)
    stage.clock.move(OVERTAKEN_LONGEST)
    stage.marketplace.tick()
    assert numbers(stage)[4:] == [5, 6]


def test_a_message_can_be_overtaken_and_wait_too() -> None:
    """It comes behind the next one when both have waited; if none comes, a minute after its own delay."""
    stage = on_a_bad_day(reorder=1, delay_seconds=(2, 2))
    buy(stage)
    stage.marketplace.mischief.set(MischiefPlan(delay_seconds=(3, 3)))
    buy(stage)
    assert stage.marketplace.mischief.state.done == {"delayed": 2}
    stage.clock.move(timedelta(seconds=2))
    stage.marketplace.tick()
    assert stage.sent == []
    stage.clock.move(timedelta(seconds=1))
    stage.marketplace.tick()
    assert numbers(stage) == [3, 1, 2, 4]
    stage.marketplace.mischief.set(MischiefPlan(reorder=1, delay_seconds=(2, 2)))
    buy(stage)
    assert stage.marketplace.mischief.state.done == {"delayed": 2, "reordered": 2}
    stage.clock.move(OVERTAKEN_LONGEST)
    stage.marketplace.tick()
    assert len(stage.sent) == 4
    stage.clock.move(timedelta(seconds=2))
    stage.marketplace.tick()
    assert numbers(stage)[4:] == [5, 6]


def test_a_license_can_be_spelled_as_documentation_and_samples_do() -> None:
    """The id at its end is the same; other messages name no license and stay as they are."""
    stage = on_a_bad_day(respell=1)
    for _ in range(20):
        buy(stage)
    arns = {contract.license_arn[-32:] for contract in stage.marketplace.contracts}
    told = [body["detail"]["license"]["arn"] for body in stage.bodies() if "license" in body["detail"]]
    assert {arn[-32:] for arn in told} == arns
    assert {arn[:-32] for arn in told} == {
        "aws:license-manager:us-east-1:294406891311:l-",
        "arn:aws:license-manager:us-east-1:294406891311:license/lic-",
    }
    assert stage.marketplace.mischief.state.done == {"respelled": 20}


def test_a_message_waits_as_long_as_planned() -> None:
    """By the clock of the sandbox; or until all is delivered at once."""
    stage = on_a_bad_day(delay_seconds=(2, 3))
    assert {message.fate for message in buy(stage)} == {"delayed"}
    stage.clock.move(timedelta(seconds=1.9))
    stage.marketplace.tick()
    assert stage.sent == []
    stage.clock.move(timedelta(seconds=1.1))
    stage.marketplace.tick()
    assert sorted(numbers(stage)) == [1, 2]
    buy(stage)
    assert stage.marketplace.waiting == 2
    assert stage.marketplace.flush() == 2
    assert (len(stage.sent), stage.marketplace.waiting) == (4, 0)


def told(stage: Stage) -> list[tuple[bool, str]]:
    """Tell what has become of each message, the first sent first."""
    return [(message.delivered, message.fate) for message in reversed(stage.marketplace.messages)]


@pytest.mark.parametrize(
    ("share", "fate"),
    [({"delay_seconds": (2, 2)}, "delayed"), ({"reorder": 1}, "reordered")],
    ids=["late", "overtaken"],
)
def test_what_is_on_its_way_is_told_as_delivered_once_it_came(share: dict[str, Any], fate: str) -> None:
    """Not before; and what the queue did not take then did not come."""
    stage = on_a_bad_day(**share)
    assert {message.delivered for message in buy(stage)} == {False}
    assert told(stage) == [(False, fate)] * 2
    stage.marketplace.flush()
    assert told(stage) == [(True, fate)] * 2
    buy(stage)
    stage.queue_takes = False
    stage.marketplace.flush()
    assert told(stage) == [(True, fate)] * 2 + [(False, "not-taken")] * 2


def test_a_message_that_is_sent_again_has_come() -> None:
    """Whether it was lost or not taken; one that came before has come, whatever becomes of it now."""
    stage = on_a_bad_day(drop=1)
    buy(stage)
    stage.marketplace.mischief.set(MischiefPlan())
    stage.queue_takes = False
    buy(stage)
    assert told(stage) == [(False, "dropped")] * 2 + [(False, "not-taken")] * 2
    stage.queue_takes = True
    for number in (1, 2, 3):
        stage.marketplace.send_again(number)
    stage.queue_takes = False
    assert not stage.marketplace.send_again(2).delivered
    assert told(stage) == [(True, "dropped"), (True, "dropped"), (True, "sent"), (False, "not-taken")]


def test_one_copy_that_came_is_enough() -> None:
    """The message has come, also if the queue did not take the other one."""
    stage = on_a_bad_day(duplicate=1, delay_seconds=(2, 3))
    buy(stage)
    stage.clock.move(timedelta(seconds=2.5))
    stage.marketplace.tick()
    assert (sorted(numbers(stage)), stage.marketplace.waiting) == ([1, 2], 2)
    stage.queue_takes = False
    stage.marketplace.flush()
    assert told(stage) == [(True, "duplicated")] * 2


def fates(seed: int) -> list[str]:
    """Play two hundred messages on a day of this seed."""
    stage = on_a_bad_day(seed=seed, drop=0.2, duplicate=0.2, reorder=0.2)
    return [message.fate for _ in range(100) for message in buy(stage)]


def test_the_same_seed_does_the_same() -> None:
    """And another one something else; each as often as planned, roughly."""
    assert fates(7) == fates(7)
    assert fates(7) != fates(8)
    counts = Counter(fates(7))
    assert all(20 <= counts[fate] <= 60 for fate in ("dropped", "duplicated"))
    assert 10 <= counts["reordered"] <= 50


def test_calls_in_between_do_not_change_the_fate_of_messages() -> None:
    """Messages and calls have dice of their own."""
    stage = on_a_bad_day(seed=7, drop=0.2, duplicate=0.2, reorder=0.2, throttle=0.5)
    fates_with_calls = []
    for _ in range(50):
        call(stage)
        fates_with_calls += [message.fate for message in buy(stage)]
    assert fates_with_calls == fates(7)[:100]


def test_mischief_keeps_to_its_hours() -> None:
    """From one moment to another, by the clock of the sandbox."""
    hour = timedelta(hours=1)
    stage = on_a_bad_day(drop=1, since=NOON + hour, until=NOON + 2 * hour)
    came = []
    for _ in range(3):
        came.append([message.delivered for message in buy(stage)])
        stage.clock.move(hour)
    assert came == [[True, True], [False, False], [True, True]]


def test_calls_are_throttled_and_fail_as_often_as_planned() -> None:
    """In AWS's words; the same with the same seed."""

    def answers() -> list[str]:
        stage = on_a_bad_day(seed=7, throttle=0.3, fail=0.3)
        return [str(call(stage).body.get("__type")) for _ in range(100)]

    counts = Counter(answers())
    assert answers() == answers()
    assert set(counts) == {"None", "ThrottlingException", "InternalServiceErrorException"}
    assert all(15 <= count <= 60 for count in counts.values())


def test_an_empty_page_stands_before_each_page_and_the_end_is_reached() -> None:
    """Also when every call would have one."""
    stage = on_a_bad_day(empty_pages=1)
    buy(stage, 5)
    buy(stage, 7)
    pages = []
    token: dict[str, str] = {}
    while True:
        page = call(stage, ProductCode=SOFTPHONE.code, MaxResults=1, **token).body
        pages.append([row["Value"]["IntegerValue"] for row in page.get("Entitlements", [])])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert pages == [[], [5], [], [7]]
    assert stage.marketplace.mischief.state.done["empty-page"] == 2


def test_one_row_of_a_page_can_be_missing() -> None:
    """One and no more, and every one at some time."""
    stage = on_a_bad_day(missing_row=1)
    for seats in (1, 2, 4):
        buy(stage, seats)
    sums = {sum(row["Value"]["IntegerValue"] for row in call(stage).body["Entitlements"]) for _ in range(30)}
    assert sums == {3, 5, 6}


def test_a_question_can_be_answered_as_to_a_buyer() -> None:
    """200 and empty; who describes an agreement is not concerned."""
    stage = on_a_bad_day(as_buyer=1)
    buy(stage)
    assert call(stage) == WireAnswer(status=200, body={})
    agreement_id = stage.marketplace.contracts[0].agreement_id
    assert call(stage, DESCRIBE, agreementId=agreement_id).body["status"] == "ACTIVE"
    assert stage.marketplace.mischief.state.done == {"answered-as-buyer": 1}


def test_a_token_can_be_called_expired() -> None:
    """Though it is good; the contract itself is not concerned."""
    stage = on_a_bad_day(expired_tokens=1)
    buy(stage)
    token = stage.marketplace.issue_token(stage.marketplace.contracts[0].agreement_id).token
    assert call(stage, RESOLVE, RegistrationToken=token).body["__type"] == "ExpiredTokenException"
    stage.marketplace.mischief.set(MischiefPlan())
    assert call(stage, RESOLVE, RegistrationToken=token).status == 200


def test_a_call_hangs_no_longer_than_planned() -> None:
    """Then it is answered."""
    stage = on_a_bad_day(hang=1, hang_seconds=0.01)
    assert call(stage).status == 200
    assert stage.marketplace.mischief.state.done == {"hung": 1}


@pytest.mark.parametrize("share", [{"drop": 1}, {"delay_seconds": (1, 1)}])
def test_the_contract_is_changed_whatever_becomes_of_its_messages(share: dict[str, Any]) -> None:
    """AWS's truth is not concerned."""
    stage = on_a_bad_day(**share)
    buy(stage, 9)
    stage.marketplace.mischief.set(MischiefPlan())
    assert call(stage).body["Entitlements"][0]["Value"] == {"IntegerValue": 9}
