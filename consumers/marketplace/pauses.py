"""Pauses that grow while something does not work."""

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Pauses:
    """Each pause is twice as long as the one before, up to a longest one.

    Attributes:
        first: the pause after the first failure.
        longest: no pause is longer.
    """

    first: timedelta
    longest: timedelta

    def after(self, failures: int) -> timedelta:
        """The pause after so many failures in a row, somewhere in its upper half: so not all come back at once."""
        doublings = min(failures - 1, 30)
        longest = min(self.longest, self.first * (1 << doublings))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 -- spreads load, guards nothing


OUTAGE = Pauses(first=timedelta(seconds=1), longest=timedelta(minutes=1))
"""Between tries while AWS or the database does not answer."""
LICENSE = Pauses(first=timedelta(seconds=1), longest=timedelta(minutes=5))
"""Between readings of one license that AWS did not answer."""
