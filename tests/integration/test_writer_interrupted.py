"""Callers who are interrupted while they wait, or while they decide for others."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.ledger import Ledger
from ledger.transaction import Transaction, Work
from tests.integration.ledgers import opened, until
from tests.stories import MARKETPLACE

SECONDS_MAX = 30


def submit(ledger: Ledger, decide: Callable[[Transaction], str]) -> str:
    """One command."""
    return ledger.submit(Work(decide=decide, caller=MARKETPLACE))


def begin(call: Callable[[], object]) -> threading.Thread:
    """Call on another thread."""
    thread = threading.Thread(target=call)
    thread.start()
    return thread


def test_a_caller_interrupted_while_waiting_holds_nobody_up(database: Path) -> None:
    """The command is not carried out, and those who come after it are."""
    deciding, go_on, done = threading.Event(), threading.Event(), list[str]()

    def hold_up(_: Transaction) -> str:
        deciding.set()
        go_on.wait(SECONDS_MAX)
        return "first"

    def be_carried_out(_: Transaction) -> str:
        done.append("interrupted")
        return "interrupted"

    def interrupt() -> None:
        until(lambda: ledger.waiting == 1)
        os.kill(os.getpid(), signal.SIGINT)

    with opened(database) as ledger:
        first = begin(lambda: done.append(submit(ledger, hold_up)))
        assert deciding.wait(SECONDS_MAX)
        interrupting = begin(interrupt)
        with pytest.raises(KeyboardInterrupt):
            submit(ledger, be_carried_out)
        assert ledger.waiting == 0
        go_on.set()
        first.join(SECONDS_MAX)
        interrupting.join(SECONDS_MAX)
        assert submit(ledger, lambda _: "after") == "after"
    assert done == ["first"]


def test_a_caller_interrupted_while_deciding_lets_the_next_one_lead(database: Path) -> None:
    """Who waits then is answered; nothing of the interrupted decision is kept."""
    answers: list[str] = []

    def be_interrupted(_: Transaction) -> str:
        threads.append(begin(lambda: answers.append(submit(ledger, lambda _: "next"))))
        until(lambda: ledger.waiting == 1)
        raise KeyboardInterrupt

    threads: list[threading.Thread] = []
    with opened(database) as ledger:
        with pytest.raises(KeyboardInterrupt):
            submit(ledger, be_interrupted)
        threads[0].join(SECONDS_MAX)
        assert submit(ledger, lambda _: "after") == "after"
        assert ledger.head().position == 0
    assert answers == ["next"]
