"""Elections: of all processes on one database, one does a job of which only one may run."""

import os
import time
from collections.abc import Callable
from typing import Final

from ledger.ids import random_id
from ledger.store import Store

LEASE_SECONDS: Final = 5.0
ASK_AGAIN_SECONDS: Final = 1.0


class Campaign:
    """A process's claim to a job.

    It is asked before each turn of the job, so that a process that hangs in its job, or as a whole, loses it within
    seconds. A turn that began before is not stopped by that: what the job writes is fenced besides.

    Attributes:
        term: grows with each change of the holder; 0 before this process held the job.
    """

    def __init__(self, store: Store, job: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is claimed yet.

        Args:
            store: what all processes share.
            job: its name.
            clock: seconds from any start, never going back.
        """
        self._store = store
        self._job = job
        self._clock = clock
        # For people, whose process it is.
        self._holder = f"{random_id()}-{os.getpid()}"
        self._asked_at: float | None = None
        self._held = False
        self.term = 0

    def holds(self) -> bool:
        """Whether this process may do the job now; claims it where nobody else has it.

        Raises:
            StoreError: the database can't be asked.
        """
        at = self._clock()
        if self._asked_at is not None and at - self._asked_at < ASK_AGAIN_SECONDS:
            return self._held
        self._held = False
        term = self._store.elect(self._job, self._holder, seconds=LEASE_SECONDS)
        # From before the question, so that this process is never the last one to know that its time is up.
        self._asked_at = at
        if term is not None:
            self.term = term
            self._held = self._clock() - at < LEASE_SECONDS
        return self._held

    def resign(self) -> None:
        """Let another process have the job at once.

        Raises:
            StoreError: the database can't be told; the job is free when the lease has run out.
        """
        if self._held:
            self._held, self._asked_at = False, None
            self._store.resign(self._job, self._holder)
