"""Searching agreements: which of them AWS has news of since the last run, a page at a time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy
from botocore.exceptions import ClientError

from consumers.marketplace.agreement import Agreement
from consumers.marketplace.budget import Budget
from consumers.marketplace.clients import Clients
from consumers.marketplace.entitlements import NoAnswerError, NoObservationError, agreements_found, ask
from consumers.marketplace.reconcile.runs import ENDED, Run
from consumers.marketplace.reconcile.tables import RUNS
from ledger.times import moment, written
from ledger.transaction import Transaction

AGREEMENTS_PER_PAGE: Final = 50
"""AWS's limit."""
OVERLAP: Final = timedelta(hours=1)
"""By how much a search reaches back behind the begin of the run before: AWS's index may lag."""
_DENIED: Final = frozenset({"AccessDeniedException", "AccessDenied", "UnauthorizedException"})


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreementsPage:
    """A page of agreements, and where AWS goes on; null at the end."""

    agreements: tuple[Agreement, ...]
    next_token: str | None


class SearchIsRefusedError(Exception):
    """AWS does not let these credentials search agreements; the text says why."""


def begin_after(transaction: Transaction) -> datetime | None:
    """From when on a run searches that begins now: from the begin of the last one that mended; null for all."""
    last = transaction.rows.scalar(
        sqlalchemy.select(sqlalchemy.func.max(RUNS.c.begun_at)).where(
            RUNS.c.phase.in_(ENDED), RUNS.c.dry_run == 0, RUNS.c.searched == 1
        )
    )
    return None if last is None else moment(last) - OVERLAP


def read_page(clients: Clients, run: Run, *, budget: Budget, at: datetime) -> AgreementsPage:
    """One page of the agreements that AWS has news of.

    Raises:
        NoCallIsLeftError: AWS must not be asked by this process now.
        NoAnswerError: AWS did not answer.
        SearchIsRefusedError: AWS refuses the search, or does not go on with it.
    """
    filters = [
        {"name": "PartyType", "values": ["Proposer"]},
        {"name": "AgreementType", "values": ["PurchaseAgreement"]},
    ]
    if run.agreements_after is not None:
        after = written(run.agreements_after, timespec="milliseconds")
        filters.append({"name": "AfterLastUpdateTime", "values": [after]})
    request: dict[str, Any] = {
        "catalog": "AWSMarketplace",
        "filters": filters,
        "sort": {"sortBy": "LastUpdateTime", "sortOrder": "ASCENDING"},
        "maxResults": AGREEMENTS_PER_PAGE,
    }
    if run.agreements_token is not None:
        request["nextToken"] = run.agreements_token
    budget.take()
    try:
        answer = ask("SearchAgreements", lambda: clients.agreements.search_agreements(**request))
    except NoAnswerError as error:
        cause = error.__cause__
        if isinstance(cause, ClientError) and cause.response.get("Error", {}).get("Code") in _DENIED:
            raise SearchIsRefusedError(error.reason) from error
        raise
    except NoObservationError as error:
        raise SearchIsRefusedError(error.reason) from error
    return AgreementsPage(agreements=tuple(agreements_found(answer, at=at)), next_token=answer.get("nextToken") or None)
