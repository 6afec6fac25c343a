"""The load that both sides carry: users who take seats, one by one or many at once."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

Figures = dict[str, Any]


def names(prefix: str, count: int) -> list[str]:
    """This many users, each of another name."""
    return [f"{prefix}-{number:06d}@example.com" for number in range(count)]


def seconds_of(action: Callable[[], object]) -> float:
    """How long something takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def together(callers: int, call: Callable[[int], None]) -> float:
    """Let callers run at once, each on a thread of its own; returns the seconds from the start to the last one's end.

    Raises:
        RuntimeError: a caller failed.
    """
    ready = threading.Barrier(callers + 1)
    failures: list[Exception] = []

    def run(number: int) -> None:
        ready.wait()
        try:
            call(number)
        except Exception as error:  # noqa: BLE001 -- told below, on the thread that measures
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    if failures:
        msg = f"{len(failures)} of {callers} callers failed, the first with {failures[0]!r}"
        raise RuntimeError(msg)
    return seconds


def one_by_one(users: Sequence[str], act: Callable[[str], object]) -> list[float]:
    """The seconds that each takes."""
    return [seconds_of(partial(act, user)) for user in users]


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
