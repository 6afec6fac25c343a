"""Given these events, when this is decided, then those events follow: how the rules of a license are told."""

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec

import pytest

from ledger.errors import RefusedError
from ledger.license.events import LicenseEvent
from ledger.license.state import License, evolve
from tests.stories import ADMIN, LICENSE, NOON

P = ParamSpec("P")


def fold(*events: LicenseEvent, after: License | None = None) -> License:
    """The license after these events, all recorded at noon."""
    license_ = after or License(license_id=LICENSE)
    for event in events:
        license_ = evolve(license_, event, version=license_.version + 1, at=NOON, actor=ADMIN.actor)
    return license_


class Decided:
    """A decision on a license, to be looked at in one of three ways."""

    def __init__(self, license_: License, decide: Callable[[License], Sequence[LicenseEvent]]) -> None:
        """Keep what is to be decided."""
        self._license = license_
        self._decide = decide

    def then(self, *expected: LicenseEvent) -> License:
        """These events follow; deciding once more when they are recorded adds none. Returns the license after them."""
        after = self.then_once(*expected)
        assert tuple(self._decide(after)) == ()
        return after

    def then_once(self, *expected: LicenseEvent) -> License:
        """These events follow, where the arguments say what stood before and so hold for one decision only."""
        events = self._decide(self._license)
        assert tuple(events) == expected
        return fold(*events, after=self._license)

    def then_refuses(self, refusal: type[RefusedError]) -> RefusedError:
        """The rule refuses, in words; returns what it said."""
        with pytest.raises(refusal) as refused:
            self._decide(self._license)
        assert refused.value.detail.endswith(".")
        return refused.value

    def then_nothing(self) -> None:
        """Nothing has to happen, which is a success."""
        assert tuple(self._decide(self._license)) == ()


class Given:
    """A license with a history."""

    def __init__(self, license_: License) -> None:
        """Keep the license."""
        self.license = license_

    def when(
        self, decide: Callable[Concatenate[License, P], Sequence[LicenseEvent]], *args: P.args, **kwargs: P.kwargs
    ) -> Decided:
        """Something is to be decided about it."""
        return Decided(self.license, lambda license_: decide(license_, *args, **kwargs))


def given(*events: LicenseEvent) -> Given:
    """A license to which this happened."""
    return Given(fold(*events))
