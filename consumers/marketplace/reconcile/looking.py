"""Looking at one license: what AWS shows of it at this moment, and what is on its way about it."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy

from consumers.marketplace import names, observations
from consumers.marketplace.budget import Budget
from consumers.marketplace.clients import Clients
from consumers.marketplace.entitlements import (
    PAGES_MAX,
    READING_SECONDS_MAX,
    ROWS_PER_PAGE,
    NoAnswerError,
    NoObservationError,
    ask,
)
from consumers.marketplace.names import Name
from consumers.marketplace.reconcile.comparing import Row
from consumers.marketplace.reconcile.sweeping import read_row
from consumers.marketplace.standing import MessageStatus
from consumers.marketplace.tables import INBOX
from ledger.license.events import KeyKind, LicenseId

if TYPE_CHECKING:
    from consumers.marketplace.entitlements import AwsRow

_NO_KEY = "No key of the license is known by which AWS could be asked."
_MESSAGE_WAITS = "A message of AWS about it is not worked off yet."
_SUCCESSOR_AWAITED = "The agreement goes on as another one, which is awaited."
_SECOND_READING = "A second reading of AWS has to say the same before users lose their seats."


def look(
    clients: Clients,
    known_by: Sequence[Name],
    *,
    product_code: str,
    license_arn_heard: str | None,
    dimensions: Mapping[str, frozenset[str]],
    budget: Budget,
) -> list[Row]:
    """All rows that AWS shows of a license now, to the last page.

    Args:
        clients: by which AWS is asked.
        known_by: the names of the license.
        product_code: its product.
        license_arn_heard: its ARN as AWS spelled it, if otherwise.
        dimensions: by product code, what counts users.
        budget: says when.

    Raises:
        NoCallIsLeftError: AWS must not be asked by this process now.
        NoAnswerError: AWS did not answer.
        NoObservationError: AWS refuses the question, or there is no end of pages.
    """
    request: dict[str, Any] = {
        "ProductCode": product_code,
        "MaxResults": ROWS_PER_PAGE,
        "Filter": _filter(known_by, product_code=product_code, license_arn_heard=license_arn_heard),
    }
    rows: list[Row] = []
    begun_at = time.monotonic()
    for _ in range(PAGES_MAX):
        budget.take()
        answer = ask("GetEntitlements", lambda: clients.entitlements.get_entitlements(**request))
        told: Sequence[AwsRow] = answer.get("Entitlements") or []
        read = (read_row(row, product_code=product_code, dimensions=dimensions[product_code]) for row in told)
        rows.extend(row for row in read if row is not None and _answers(row, known_by))
        token = answer.get("NextToken")
        if not token:
            return rows
        request["NextToken"] = token
        if time.monotonic() - begun_at > READING_SECONDS_MAX:
            raise NoAnswerError(f"GetEntitlements was not read to the end within {READING_SECONDS_MAX} seconds.")
    raise NoObservationError(f"GetEntitlements has more than {PAGES_MAX} pages for one license.")


def on_its_way(rows: sqlalchemy.Connection, license_id: LicenseId, *, shown: bool) -> str | None:
    """What is under way about a license and may explain a difference, in words; null if nothing is.

    Args:
        rows: of the ledger.
        license_id: the license.
        shown: whether AWS shows seats of it. An agreement that is to follow explains that it shows none, for as long
            as it takes; a number that it shows is explained by nothing that may never come.
    """
    query = sqlalchemy.select(INBOX.c.status).where(
        INBOX.c.license_id == license_id,
        INBOX.c.status.in_([MessageStatus.NEW, MessageStatus.WAITING, MessageStatus.PARKED]),
    )
    statuses = set(rows.scalars(query))
    observation = observations.find(rows, license_id)
    if observation is not None and observation.first_reading is not None:
        return _SECOND_READING
    if statuses & {MessageStatus.NEW, MessageStatus.WAITING}:
        return _MESSAGE_WAITS
    return _SUCCESSOR_AWAITED if statuses and not shown else None


def _filter(known_by: Sequence[Name], *, product_code: str, license_arn_heard: str | None) -> dict[str, list[str]]:
    """Every key by which AWS may have the license; a legacy one is asked for by its customer, whose rows carry ARNs."""
    customer = names.value_of(tuple(reversed(known_by)), KeyKind.CUSTOMER)
    if customer is not None:
        return {"CUSTOMER_IDENTIFIER": [names.customer_identifier(customer, code=product_code)]}
    told = [value for kind, value in known_by if kind is KeyKind.LICENSE_ARN]
    if license_arn_heard is not None and license_arn_heard.startswith("arn:aws"):
        told.append(license_arn_heard)
    if not told:
        raise NoObservationError(_NO_KEY)
    return {"LICENSE_ARN": list(dict.fromkeys(told))}


def _answers(row: Row, known_by: Sequence[Name]) -> bool:
    """Whether a row is of what was asked for, should AWS show more than that."""
    return any(name in known_by for name in row.names if name[0] in (KeyKind.LICENSE_ARN, KeyKind.CUSTOMER))
