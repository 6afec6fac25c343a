"""Misbehavior on request: what AWS does on a bad day, so that a client of it can be tried."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from threading import Condition
from typing import Any

OPERATIONS = (
    "ResolveCustomer",
    "GetEntitlements",
    "DescribeAgreement",
    "SearchAgreements",
    "GetAgreementEntitlements",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultPlan:
    """How the sandbox is to misbehave from now on. The plan without arguments is good behavior."""

    throttle: Mapping[str, int] = field(default_factory=dict)
    """By operation: how many of the next calls get ThrottlingException."""
    fail: Mapping[str, int] = field(default_factory=dict)
    """By operation: how many of the next calls (after those throttled) get a 500."""
    hang_seconds: float = 0.0
    """How long every call waits for its answer."""
    as_buyer: bool = False
    """Answer GetEntitlements as to credentials of a buyer's account: 200 and empty, for everyone."""
    page_size: int | None = None
    """At most so many entitlements on a page of GetEntitlements."""
    empty_pages: int = 0
    """How many empty pages with a NextToken come before each page of GetEntitlements."""
    rows: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """By agreement id: rows that GetEntitlements shows in place of the contract's own, as AWS's JSON.

    Members that name the license (ProductCode, LicenseArn, …) are filled in where a row lacks them.
    """


class Refusal(Enum):
    """How a call is turned away."""

    THROTTLED = "throttled"
    FAILED = "failed"


class Faults:
    """The plan in force, counted down as calls come in. Safe to use from many threads."""

    def __init__(self) -> None:
        """Begin with good behavior."""
        self._plan = FaultPlan()
        self._plans_made = 0
        self._planned = Condition()

    @property
    def plan(self) -> FaultPlan:
        """The plan in force, with the counts that are left."""
        return self._plan

    def set(self, plan: FaultPlan) -> None:
        """Misbehave by this plan instead of the one before. Calls that hang go on at once."""
        with self._planned:
            self._plan = plan
            self._plans_made += 1
            self._planned.notify_all()

    def clear(self) -> None:
        """Behave again."""
        self.set(FaultPlan())

    def meet(self, operation: str) -> Refusal | None:
        """Let a call wait as long as planned, and say whether it is then turned away."""
        with self._planned:
            plans_made = self._plans_made
            self._planned.wait_for(lambda: self._plans_made != plans_made, timeout=self._plan.hang_seconds)
            if self._plan.throttle.get(operation, 0):
                self._plan = replace(self._plan, throttle=_one_less(self._plan.throttle, operation))
                return Refusal.THROTTLED
            if self._plan.fail.get(operation, 0):
                self._plan = replace(self._plan, fail=_one_less(self._plan.fail, operation))
                return Refusal.FAILED
            return None


def _one_less(counts: Mapping[str, int], operation: str) -> dict[str, int]:
    left = {**counts, operation: counts[operation] - 1}
    return {name: count for name, count in left.items() if count}
