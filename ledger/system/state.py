"""The state of the ledger itself: the access policies in the order in which they came into force."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from ledger.license.access import AccessPolicy
from ledger.system import events
from ledger.system.events import SystemEvent

_DEFAULT: Final = AccessPolicy()


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemState:
    """What the system stream adds up to.

    Attributes:
        version: of its latest event.
        policies: each with the position from which it holds.
    """

    version: int = 0
    policies: tuple[tuple[int, AccessPolicy], ...] = ()

    @property
    def policy(self) -> AccessPolicy:
        """The policy in force."""
        return self.policies[-1][1] if self.policies else _DEFAULT

    def policy_at(self, position: int) -> AccessPolicy:
        """The policy that was in force at a position."""
        in_force = (policy for since, policy in reversed(self.policies) if since <= position)
        return next(in_force, _DEFAULT)


def evolve(state: SystemState, event: SystemEvent, *, version: int, position: int) -> SystemState:
    """The state after one more event."""
    if isinstance(event, events.AccessPolicySet):
        policy = AccessPolicy(
            expiry_grace=timedelta(seconds=event.expiry_grace_seconds),
            blind_wait=timedelta(seconds=event.blind_wait_seconds),
        )
        return replace(state, version=version, policies=(*state.policies, (position, policy)))
    return replace(state, version=version)


def set_policy(state: SystemState, *, policy: AccessPolicy) -> tuple[SystemEvent, ...]:
    """Another policy holds from now on; the one in force is nothing new."""
    if state.policies and state.policy == policy:
        return ()
    return (
        events.AccessPolicySet(
            expiry_grace_seconds=policy.expiry_grace.total_seconds(),
            blind_wait_seconds=policy.blind_wait.total_seconds(),
        ),
    )
