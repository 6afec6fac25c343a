"""Random contract lives, with all mischief and restarts: at the end the ledger says what AWS says."""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ledger.license.access import AccessPolicy
from ledger.license.events import DeletionReason, LicenseId, SeatDeleted, SeatLimitLowered
from ledger.system.events import STREAM as SYSTEM_STREAM
from tests.integration.consumers_stage import anew
from tests.integration.lives import Life, Truth, World, world_of
from tests.integration.lives_acts import live

# The last five found faults that are mended.
KEPT = (*range(5), 428, 595, 661, 726, 896)
A_DAY = timedelta(days=1)
SEEDS = range(int(os.environ.get("LIVES_FROM", "0")), int(os.environ["LIVES"])) if "LIVES" in os.environ else KEPT


def is_told(world: World, life: Life) -> bool:
    """Whether the ledger says of a life what is AWS's truth; there is one license of it, or none."""
    licenses, truth = world.licenses_of(life), world.truth(life)
    assert len(licenses) <= 1, [license_.names for license_ in licenses]
    subscription = licenses[0].subscription if licenses else None
    if subscription is None:
        # What ended before it was heard of was never begun.
        return truth.seats_max == 0
    if subscription.lapse is None:
        waits = A_DAY + (AccessPolicy().blind_wait if world.is_awaited(life) else timedelta())
        unknowable = life.ended_unheard and subscription.renews_at > world.clock() - waits
        return unknowable or truth == Truth(seats_max=subscription.seats_max, renews_at=subscription.renews_at)
    lapses = truth.lapses
    if life.follows is not None and are_one(world, life):
        # What AWS links only after all has ended keeps the end that it had.
        lapses |= world.truth(life.follows).lapses
    return truth.seats_max == 0 and (not truth.lapses or subscription.lapse.reason in lapses)


def told(world: World, life: Life) -> str:
    """All that there is about a life, to look into a failure."""
    return f"{life}\n{world.chain(life)}\n{[(one.names, one.subscription) for one in world.licenses_of(life)]}"


def untold(world: World) -> list[str]:
    """The lives of which the ledger says something else than AWS."""
    gone_on = {life.follows.number for life in world.lives if life.follows is not None and are_one(world, life)}
    return [told(world, life) for life in world.lives if life.number not in gone_on and not is_told(world, life)]


def are_one(world: World, life: Life) -> bool:
    """Whether a life's license is the one of the life that it follows, as AWS came to tell."""
    assert life.follows is not None
    ours, theirs = ({one.license_id for one in world.licenses_of(of)} for of in (life, life.follows))
    return bool(ours & theirs)


def hear_all(world: World) -> None:
    """Every message of the story again, each with an id of its own where it has one."""
    for body in world.bodies:
        event = json.loads(body)
        again = anew(event) if "detail-type" in event else body
        world.clients.sqs.send_message(QueueUrl=world.sandbox.queue_url, MessageBody=again)
    world.pass_time(timedelta(hours=1))


def numbers_lately(life: Life, *, at: datetime) -> set[int]:
    """What AWS's truth was at some moment of the day before."""
    untils = [since for since, _ in life.numbers[1:]] + [at]
    return {
        number
        for (since, number), until in zip(life.numbers, untils, strict=True)
        if since <= at and until >= at - A_DAY
    }


def lost_seats_without_a_decrease(world: World) -> list[tuple[str, int]]:
    """The decreases that deleted seats, and that AWS's truth did not have."""
    recorded = world.ledger.feed(after=0, limit=1_000_000)
    deleting = {
        event.append
        for event in recorded
        if isinstance(event.event, SeatDeleted) and event.event.reason is DeletionReason.LIMIT_LOWERED
    }
    wrong = []
    for event in recorded:
        if (
            event.append not in deleting
            or not isinstance(event.event, SeatLimitLowered)
            or event.stream == SYSTEM_STREAM
        ):
            continue
        lives = world.lives_of(world.ledger.past.license_now(LicenseId(event.stream)))
        numbers = {number for life in lives for number in numbers_lately(life, at=event.recorded_at)}
        if event.event.seats_max_after not in numbers:
            wrong.append((lives[0].account_id, event.event.seats_max_after))
    return wrong


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_after_all_mischief_the_ledger_says_what_aws_says(tmp_path: Path, seed: int) -> None:
    """Number, date and status of every license; no seat was lost but by a decrease, and nothing is said twice."""
    with world_of(tmp_path, seed=seed) as world:
        live(world)
        assert untold(world) == []
        assert lost_seats_without_a_decrease(world) == []

        # What had been lost is heard now for the first time, and all else again.
        hear_all(world)
        assert untold(world) == []
        world.pass_what_is_due(within=timedelta(hours=2))
        events = world.events()
        hear_all(world)
        assert world.events() == events
