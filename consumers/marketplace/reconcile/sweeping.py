"""Sweeping: reading all that AWS sells, product by product, a page at a time, and keeping each page as it comes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy

from consumers.marketplace import entitlements
from consumers.marketplace.budget import Budget
from consumers.marketplace.clients import Clients
from consumers.marketplace.entitlements import AwsRow, NoAnswerError, NoObservationError, ask
from consumers.marketplace.names import value_of
from consumers.marketplace.reconcile import runs
from consumers.marketplace.reconcile.comparing import Row
from consumers.marketplace.reconcile.runs import Run
from consumers.marketplace.reconcile.tables import SWEEPS, SWEPT
from ledger.license.events import KeyKind
from ledger.times import microseconds, moment
from ledger.transaction import Transaction

AGE_MAX: Final = timedelta(days=1)
"""What was read longer ago is read again when a run goes on."""
RESTARTS_MAX: Final = 5
"""How often a product begins anew before it is given up for this run."""
EMPTY_MAX: Final = 3
"""How often AWS must show nothing of a product until that is taken for its answer: one may be empty by mistake."""

_FORGOTTEN_TOO_OFTEN: Final = "AWS forgot where the sweep of {code} was, again and again."
_OLD_TOO_OFTEN: Final = "What was read of it was a day old before it could be compared, again and again."


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """How far the sweep of a product is.

    Attributes:
        product_code: what is swept.
        begun_at: since when.
        next_token: where AWS goes on; null at the beginning.
        pages: how many pages were read.
        rows: how many rows they had that count users.
        restarts: how often it began anew.
    """

    product_code: str
    begun_at: datetime
    next_token: str | None
    pages: int
    rows: int
    restarts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of AWS's answer: the rows that count users, and where it goes on; null at the end."""

    rows: tuple[Row, ...]
    next_token: str | None


class TokenIsForgottenError(Exception):
    """AWS does not know any more where the sweep was."""


def begin(transaction: Transaction, run: Run, *, product_codes: Sequence[str]) -> None:
    """Every product is to be swept."""
    at = microseconds(transaction.at)
    values = [{"run": run.number, "product_code": code, "begun_at": at} for code in product_codes]
    transaction.rows.execute(sqlalchemy.insert(SWEEPS), values)


def unfinished(reading: sqlalchemy.Connection, run: Run) -> Sweep | None:
    """The sweep to go on with, of which AWS answered most; null if all are done."""
    row = reading.execute(
        sqlalchemy.select(SWEEPS)
        .where(SWEEPS.c.run == run.number, SWEEPS.c.finished_at.is_(None))
        .order_by(SWEEPS.c.failures, SWEEPS.c.product_code)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    return _sweep(row)


def read_page(clients: Clients, sweep: Sweep, *, dimensions: Mapping[str, frozenset[str]], budget: Budget) -> Page:
    """One page of all that AWS sells of a product.

    Raises:
        NoCallIsLeftError: AWS must not be asked by this process now.
        NoAnswerError: AWS did not answer.
        NoObservationError: AWS refuses the question.
        TokenIsForgottenError: it is to begin anew.
    """
    code, token = sweep.product_code, sweep.next_token
    request: dict[str, Any] = {"ProductCode": code, "MaxResults": entitlements.ROWS_PER_PAGE}
    if token is not None:
        request["NextToken"] = token
    budget.take()
    try:
        answer = ask("GetEntitlements", lambda: clients.entitlements.get_entitlements(**request))
    except NoAnswerError:
        raise
    except NoObservationError as error:
        if token is not None:
            raise TokenIsForgottenError from error
        raise
    told: Sequence[AwsRow] = answer.get("Entitlements") or []
    read = (read_row(row, product_code=code, dimensions=dimensions[code]) for row in told)
    return Page(rows=tuple(row for row in read if row is not None), next_token=answer.get("NextToken") or None)


def read_row(row: AwsRow, *, product_code: str, dimensions: frozenset[str]) -> Row | None:
    """A row as a sweep keeps it; null for one of another product, or of a dimension that does not count users."""
    if row.get("ProductCode", product_code) != product_code or not entitlements.counts_users(row, dimensions):
        return None
    names = entitlements.names_of(row)
    known = Row(
        product_code=product_code,
        license_arn=value_of(names, KeyKind.LICENSE_ARN),
        customer=value_of(names, KeyKind.CUSTOMER),
        account=value_of(names, KeyKind.ACCOUNT),
    )
    try:
        return replace(known, seats=entitlements.seats_of(row), expires_at=entitlements.expires_at_of(row))
    except NoObservationError as error:
        return replace(known, odd=error.reason)


def keep_page(transaction: Transaction, run: Run, sweep: Sweep, page: Page) -> None:
    """Write a page down, and where AWS goes on; if nobody did so meanwhile."""
    if not _is_at(transaction, run, sweep):
        return
    if not sweep.rows and not page.rows and page.next_token is None and sweep.restarts + 1 < EMPTY_MAX:
        begin_anew(transaction, run, sweep)
        return
    if page.rows:
        transaction.rows.execute(sqlalchemy.insert(SWEPT), [_values(run, row) for row in page.rows])
    _write(
        transaction,
        run,
        sweep,
        next_token=page.next_token,
        pages=sweep.pages + 1,
        begun_at=microseconds(sweep.begun_at if sweep.pages else transaction.at),
        rows=SWEEPS.c.rows + len(page.rows),
        finished_at=None if page.next_token else microseconds(transaction.at),
    )
    runs.write(transaction, run)


def begin_anew(transaction: Transaction, run: Run, sweep: Sweep) -> None:
    """This product is read from its first page again, a few times at most: tokens expire, and AWS may show nothing."""
    if _is_at(transaction, run, sweep):
        reason = _FORGOTTEN_TOO_OFTEN.format(code=sweep.product_code)
        _begin_anew(transaction, run, sweep, or_give_up_since=reason)


def are_old(reading: sqlalchemy.Connection, run: Run, *, at: datetime) -> bool:
    """Whether pages were read so long ago that they tell nothing any more."""
    return bool(_old(reading, run, at=at))


def begin_old_anew(transaction: Transaction, run: Run) -> None:
    """What was read long ago is read again, a few times at most."""
    for sweep in _old(transaction.rows, run, at=transaction.at):
        _begin_anew(transaction, run, sweep, or_give_up_since=_OLD_TOO_OFTEN)


def give_up(transaction: Transaction, run: Run, sweep: Sweep, *, reason: str) -> None:
    """A product can't be swept, so that nothing is said about its licenses; unless somebody did so meanwhile."""
    if _is_at(transaction, run, sweep):
        _give_up(transaction, run, sweep, reason=reason)


def put_back(transaction: Transaction, run: Run) -> None:
    """AWS did not answer about the product that is swept now: others go first."""
    sweep = unfinished(transaction.rows, run)
    if sweep is not None:
        _write(transaction, run, sweep, failures=SWEEPS.c.failures + 1)


def give_up_rest(transaction: Transaction, run: Run, *, reason: str) -> bool:
    """Go on without the products that are not done; false if none is, so that there would be nothing to compare."""
    done = sqlalchemy.select(SWEEPS.c.product_code).where(
        SWEEPS.c.run == run.number, SWEEPS.c.finished_at.is_not(None), SWEEPS.c.reason.is_(None)
    )
    if transaction.rows.scalar(done.limit(1)) is None:
        return False
    while (sweep := unfinished(transaction.rows, run)) is not None:
        give_up(transaction, run, sweep, reason=reason)
    return True


def not_swept(rows: sqlalchemy.Connection, run: Run) -> Mapping[str, str]:
    """The products that could not be swept, and why."""
    query = sqlalchemy.select(SWEEPS.c.product_code, SWEEPS.c.reason).where(
        SWEEPS.c.run == run.number, SWEEPS.c.reason.is_not(None)
    )
    return {row.product_code: row.reason for row in rows.execute(query)}


def totals(rows: sqlalchemy.Connection, run: Run) -> tuple[int, int]:
    """How many rows were kept, on how many pages."""
    summed = (sqlalchemy.func.coalesce(sqlalchemy.func.sum(column), 0) for column in (SWEEPS.c.rows, SWEEPS.c.pages))
    row = rows.execute(sqlalchemy.select(*summed).where(SWEEPS.c.run == run.number)).one()
    return int(row[0]), int(row[1])


def saw_live_row(rows: sqlalchemy.Connection, run: Run, *, at: datetime) -> bool:
    """Whether AWS showed a live row of anybody's."""
    live = sqlalchemy.select(SWEPT.c.number).where(SWEPT.c.run == run.number, SWEPT.c.expires_at > microseconds(at))
    return rows.scalar(live.limit(1)) is not None


def row_of(row: "sqlalchemy.Row[Any]") -> Row:
    """A row of the table."""
    return Row(
        product_code=row.product_code,
        license_arn=row.license_arn,
        customer=row.customer,
        account=row.account,
        seats=row.seats,
        expires_at=None if row.expires_at is None else moment(row.expires_at),
        odd=row.odd,
    )


def _values(run: Run, row: Row) -> dict[str, Any]:
    return {
        "run": run.number,
        "product_code": row.product_code,
        "license_arn": row.license_arn,
        "customer": row.customer,
        "account": row.account,
        "seats": row.seats,
        "expires_at": None if row.expires_at is None else microseconds(row.expires_at),
        "odd": row.odd,
    }


def _sweep(row: "sqlalchemy.Row[Any]") -> Sweep:
    return Sweep(
        product_code=row.product_code,
        begun_at=moment(row.begun_at),
        next_token=row.next_token,
        pages=row.pages,
        rows=row.rows,
        restarts=row.restarts,
    )


def _old(rows: sqlalchemy.Connection, run: Run, *, at: datetime) -> list[Sweep]:
    query = sqlalchemy.select(SWEEPS).where(
        SWEEPS.c.run == run.number,
        SWEEPS.c.pages > 0,
        SWEEPS.c.reason.is_(None),
        SWEEPS.c.begun_at < microseconds(at - AGE_MAX),
    )
    return [_sweep(row) for row in rows.execute(query)]


def _is_at(transaction: Transaction, run: Run, sweep: Sweep) -> bool:
    """Whether the sweep still stands where it was when the page was asked for."""
    now = unfinished(transaction.rows, run)
    return now == sweep and runs.find(transaction.rows, run.number) is not None


def _forget_rows(transaction: Transaction, run: Run, sweep: Sweep) -> None:
    of_product = (SWEPT.c.run == run.number) & (SWEPT.c.product_code == sweep.product_code)
    transaction.rows.execute(sqlalchemy.delete(SWEPT).where(of_product))


def _write(transaction: Transaction, run: Run, sweep: Sweep, **values: Any) -> None:  # noqa: ANN401 -- columns
    of_product = (SWEEPS.c.run == run.number) & (SWEEPS.c.product_code == sweep.product_code)
    transaction.rows.execute(sqlalchemy.update(SWEEPS).where(of_product).values(values))


def _begin_anew(transaction: Transaction, run: Run, sweep: Sweep, *, or_give_up_since: str) -> None:
    if sweep.restarts >= RESTARTS_MAX:
        _give_up(transaction, run, sweep, reason=or_give_up_since)
        return
    _forget_rows(transaction, run, sweep)
    values = {"next_token": None, "pages": 0, "rows": 0, "finished_at": None, "restarts": sweep.restarts + 1}
    _write(transaction, run, sweep, begun_at=microseconds(transaction.at), **values)


def _give_up(transaction: Transaction, run: Run, sweep: Sweep, *, reason: str) -> None:
    _forget_rows(transaction, run, sweep)
    _write(transaction, run, sweep, reason=reason, finished_at=microseconds(transaction.at), next_token=None)
    runs.write(transaction, run)
