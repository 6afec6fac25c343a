"""When a license is read again."""

from datetime import datetime, timedelta

from consumers.marketplace import known_agreements, observations
from consumers.marketplace.budget import Priority
from consumers.marketplace.entitlements import NoAnswerError, NoObservationError
from consumers.marketplace.observations import Next, Observation
from consumers.marketplace.observing.claim import Claim, numbers
from consumers.marketplace.observing.deciding import Decided
from consumers.marketplace.pauses import LICENSE
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.waiting import waiting_messages
from ledger.transaction import Transaction


def after_decision(
    transaction: Transaction,
    claim: Claim,
    decided: Decided,
    observation: Observation,
    *,
    settings: MarketplaceSettings,
) -> Next:
    """When a license is read again of which it was just decided: at its dates, and until nothing is awaited."""
    at, running = transaction.at, decided.license.running
    overdue = running is not None and running.renews_at <= at
    rechecked = decided.license.subscription is None or overdue or bool(decided.notices) or decided.is_incomplete
    recheck = timedelta()
    due: list[tuple[datetime, Priority]] = []
    if rechecked:
        recheck = observations.longer_recheck(observation.recheck, first=settings.recheck)
        due.append((at + recheck, Priority.RECHECK))
    if decided.first_reading is not None:
        due.append((decided.first_reading.due_at, Priority.MESSAGE))
    if running is not None:
        dates = [decided.expires_at or running.renews_at, *_added(running.renews_at, settings.renewal_wait)]
        due.extend((date, Priority.DATE) for date in dates if date > at)
    start = known_agreements.next_start(
        known_agreements.of_license(transaction.rows, decided.license.license_id), at=at
    )
    if start is not None:
        due.append((start, Priority.DATE))
    counts_from = [_added(notice.received_at, settings.renewal_wait) for notice in decided.notices]
    due.extend((date, Priority.RECHECK) for dates in counts_from for date in dates if date > at)
    if _has_later_messages(transaction, claim):
        due.append((at, Priority.MESSAGE))
    if not due:
        return Next(due_at=None)
    due_at, priority = min(due)
    return Next(
        due_at=due_at,
        priority=priority,
        recheck=recheck,
        reason=decided.reason,
        first_reading=decided.first_reading,
        coming=decided.coming,
    )


def after_failure(
    transaction: Transaction,
    error: NoObservationError,
    observation: Observation,
    *,
    priority: Priority,
    first_recheck: timedelta,
) -> Next:
    """When a license is read again that could not be read: in pauses that grow."""
    if isinstance(error, NoAnswerError):
        failures = observation.failures + 1
        return Next(
            due_at=transaction.at + LICENSE.after(failures),
            priority=priority,
            recheck=observation.recheck,
            failures=failures,
            reason=error.reason,
            first_reading=observation.first_reading,
        )
    recheck = observations.longer_recheck(observation.recheck, first=first_recheck)
    return Next(
        due_at=transaction.at + recheck,
        recheck=recheck,
        reason=error.reason,
        first_reading=observation.first_reading,
    )


def _has_later_messages(transaction: Transaction, claim: Claim) -> bool:
    known = set(numbers(claim.messages))
    waiting = waiting_messages(transaction.rows, claim.license.license_id)
    return any(message.number not in known for message in waiting)


def _added(date: datetime, wait: timedelta) -> tuple[datetime, ...]:
    try:
        return (date + wait,)
    except OverflowError:
        # AWS writes the year 9999 for "no end".
        return ()
