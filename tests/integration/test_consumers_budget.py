"""AWS's budget, shared by the processes of one database: what registrations may call, and who reads for the others."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.marketplace import Consumer
from consumers.marketplace.budget import NoCallIsLeftError, RegistrationsBudget
from tests.integration.consumers_stage import ENGINES, NOON, Stage, database, open_ledger, staged


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


class Waiting:
    """Seconds since noon by the stage's clock, which moves as somebody sleeps."""

    def __init__(self, stage: Stage) -> None:
        """It is noon."""
        self._stage = stage

    def __call__(self) -> float:
        """Tell the time."""
        return (self._stage.clock.at - NOON).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._stage.clock.move(timedelta(seconds=seconds))


def test_registrations_of_all_processes_count_together(stage: Stage) -> None:
    """Three at once, and three a second after that, whichever process they come to."""
    waiting = Waiting(stage)
    second = open_ledger(stage.url, clock=stage.clock)
    budgets = [RegistrationsBudget(ledger, clock=waiting, sleep=waiting.sleep) for ledger in (stage.ledger, second)]
    called_at: list[float] = []
    for number in range(30):
        budgets[number % 2].take()
        called_at.append(waiting())
    second.close()
    assert called_at[2] == 0
    assert 8.9 < waiting() < 9.1
    assert max(sum(at <= other <= at + 1 for other in called_at) for at in called_at) <= 6


def test_a_registration_waits_no_longer_than_a_few_seconds(stage: Stage) -> None:
    """Others may be quicker each time."""
    waiting = Waiting(stage)
    others = RegistrationsBudget(stage.ledger, clock=waiting, sleep=waiting.sleep)

    def sleep(seconds: float) -> None:
        waiting.sleep(seconds)
        others.take()

    for _ in range(3):
        others.take()
    with pytest.raises(NoCallIsLeftError):
        RegistrationsBudget(stage.ledger, clock=waiting, sleep=sleep).take()
    assert 2.5 < waiting() <= 3


def test_a_clock_that_was_set_back_stops_no_registration(stage: Stage) -> None:
    """The calls of an hour that has not come yet are forgotten."""
    waiting = Waiting(stage)
    budget = RegistrationsBudget(stage.ledger, clock=waiting, sleep=waiting.sleep)
    waiting.sleep(3600)
    for _ in range(3):
        budget.take()
    waiting.sleep(-3600)
    budget.take()
    assert waiting() <= 1


def test_who_registers_when_many_do_is_read_for_first_of_all(stage: Stage) -> None:
    """By the elected process, as soon as it may; the buyer goes on without the number until then."""
    contracts = [stage.buy(seats=5) for _ in range(4)]
    stage.held_back()
    tokens = [stage.sandbox.marketplace.issue_token(contract.agreement_id).token for contract in contracts]
    resolved = [stage.registration.resolve(token, cause="request") for token in tokens]
    assert [told.seats_max for told in resolved] == [5, 5, 5, None]
    stage.pass_time(timedelta(seconds=2))
    assert [license_.seats_max for license_ in stage.licenses()] == [5, 5, 5, 5]


def test_only_the_elected_process_reads_and_another_takes_over(stage: Stage) -> None:
    """All of them fill the inbox."""
    second = open_ledger(stage.url, clock=stage.clock)
    other = Consumer(second, stage.settings, stage.clients, now=stage.clock)
    stage.consume()
    stage.buy(seats=5)
    assert other.run_once()
    assert stage.statuses() == ["new", "new"]
    stage.consume()
    assert stage.license().seats_max == 5
    stage.buy(seats=3)
    stage.consumer.stand_back()
    other.stand_back()
    while not other.run_once() or len(stage.licenses()) == 1:
        pass
    while other.run_once():
        pass
    second.close()
    assert [license_.seats_max for license_ in stage.licenses()] == [5, 3]
