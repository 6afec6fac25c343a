"""Several processes that begin at the same moment."""

import logging
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import TypeVar

import structlog

from bench.load import Figures

START_SECONDS_MAX = 120

Job = TypeVar("Job")
_started: list[Barrier] = []


def in_processes(work: Callable[[Job], Figures], jobs: Sequence[Job]) -> list[Figures]:
    """Run each job in a process of its own; each gets ready and then calls `await_all`."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(jobs))
    with ProcessPoolExecutor(len(jobs), mp_context=context, initializer=_keep, initargs=(barrier,)) as pool:
        return list(pool.map(work, jobs))


def await_all() -> None:
    """Wait until every process is ready; no process takes a second job before that."""
    _started[0].wait(START_SECONDS_MAX)


def keep_quiet() -> None:
    """Say only what went wrong, and not where figures are awaited."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _keep(barrier: Barrier) -> None:
    keep_quiet()
    _started.append(barrier)
