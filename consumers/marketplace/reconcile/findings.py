"""The findings of a run: each difference, from the sweep that found it to what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec
import sqlalchemy

from consumers.marketplace.names import Name, customer_identifier, value_of
from consumers.marketplace.reconcile.comparing import Found
from consumers.marketplace.reconcile.runs import Run
from consumers.marketplace.reconcile.tables import FINDINGS
from ledger.drift import STANDINGS, Difference, Standing, Terms
from ledger.license.events import KeyKind, LicenseId
from ledger.transaction import Transaction

_LEFT_AT_ONCE: Final = 100
_NAMES: Final = msgspec.json.Decoder(tuple[tuple[KeyKind, str], ...])
_DIFFERENCE: Final = msgspec.json.Decoder(Difference)


class Stage(StrEnum):
    """How far a finding is."""

    FOUND = "found"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    REQUESTED = "requested"
    SETTLED = "settled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A difference on its way.

    Attributes:
        number: its place.
        names: by which the license is known, as far as either side says.
        seats_lost: how many seats mending it takes away.
        difference: as it stands.
    """

    number: int
    names: tuple[Name, ...]
    seats_lost: int
    difference: Difference


def add(transaction: Transaction, run: Run, found: Sequence[Found]) -> None:
    """Differences were found by the sweep."""
    if found:
        values = [{"run": run.number, **_values(one, stage=Stage.FOUND, standing=Standing.LEFT)} for one in found]
        transaction.rows.execute(sqlalchemy.insert(FINDINGS), values)


def at_stage(
    rows: sqlalchemy.Connection,
    run: Run,
    stage: Stage,
    *,
    limit: int = 1,
    where: "sqlalchemy.ColumnElement[bool] | None" = None,
) -> list[Finding]:
    """The first findings of a stage, of those that meet a condition: those first about which AWS answered."""
    query = sqlalchemy.select(FINDINGS).where(FINDINGS.c.run == run.number, FINDINGS.c.stage == stage)
    if where is not None:
        query = query.where(where)
    order = (FINDINGS.c.failures, FINDINGS.c.number)
    return [_finding(row) for row in rows.execute(query.order_by(*order).limit(limit))]


def is_at(transaction: Transaction, finding: Finding, stage: Stage) -> bool:
    """Whether a finding is at this stage still, so that what was asked about it may be written."""
    query = sqlalchemy.select(FINDINGS.c.stage).where(FINDINGS.c.number == finding.number)
    return transaction.rows.scalar(query) == stage


def put_back(transaction: Transaction, run: Run, stage: Stage) -> None:
    """AWS did not answer about the first finding of a stage: the others go before it."""
    for finding in at_stage(transaction.rows, run, stage):
        _write(transaction, finding, failures=FINDINGS.c.failures + 1)


def leave(transaction: Transaction, run: Run, stage: Stage, *, reason: str) -> None:
    """Go on without the first findings of a stage, whose licenses AWS does not answer about."""
    for finding in at_stage(transaction.rows, run, stage, limit=_LEFT_AT_ONCE):
        leave_one(transaction, finding, reason=reason)


def leave_one(transaction: Transaction, finding: Finding, *, reason: str) -> None:
    """It could not be read; that there was news of its agreement alone is no difference to report."""
    if finding.difference.kinds:
        settle(transaction, finding, Standing.LEFT, reason=reason)
    else:
        drop(transaction, finding)


def confirm(transaction: Transaction, run: Run, finding: Finding, found: Found) -> None:
    """A reading of its own shows the difference too, perhaps another one; a dry run goes no further."""
    standing = Standing.MENDABLE if run.dry_run else Standing.LEFT
    _write(transaction, finding, **_values(found, stage=Stage.CONFIRMED, standing=standing))


def drop(transaction: Transaction, finding: Finding) -> None:
    """There is no difference, or none any more."""
    transaction.rows.execute(sqlalchemy.delete(FINDINGS).where(FINDINGS.c.number == finding.number))


def drop_all(transaction: Transaction, run: Run, *, but: "sqlalchemy.Select[str]") -> None:
    """What was found tells nothing, but about these licenses."""
    transaction.rows.execute(
        sqlalchemy.delete(FINDINGS).where(FINDINGS.c.run == run.number, FINDINGS.c.license_id.not_in(but))
    )


def move(transaction: Transaction, finding: Finding, stage: Stage, *, license_id: LicenseId | None = None) -> None:
    """The next thing was done about it; `license_id` is the license that was issued for it."""
    difference = finding.difference
    if license_id is not None:
        difference = msgspec.structs.replace(difference, license_id=license_id)
    _write(transaction, finding, stage=stage, license_id=difference.license_id, difference=_encode(difference))


def settle(
    transaction: Transaction, finding: Finding, standing: Standing, *, reason: str | None, found: Found | None = None
) -> None:
    """What became of it; `found` is the difference as a later reading shows it."""
    difference = finding.difference if found is None else difference_of(found, standing=standing)
    difference = msgspec.structs.replace(difference, standing=standing, reason=reason)
    _write(transaction, finding, stage=Stage.SETTLED, standing=standing, difference=_encode(difference))


def mended(transaction: Transaction, finding: Finding, *, after: Terms | None) -> None:
    """The ledger says what AWS says, or something newer."""
    before = finding.difference
    deleted = before.seats_active if after is not None and after.seats_max < before.seats_active else 0
    difference = msgspec.structs.replace(
        before, standing=Standing.MENDED, reason=None, after=after, seats_deleted=deleted
    )
    _write(transaction, finding, stage=Stage.SETTLED, standing=Standing.MENDED, difference=_encode(difference))


def losses(rows: sqlalchemy.Connection, run: Run) -> list[Finding]:
    """The losses that readings of their own have confirmed."""
    query = sqlalchemy.select(FINDINGS).where(
        FINDINGS.c.run == run.number, FINDINGS.c.stage == Stage.CONFIRMED, FINDINGS.c.is_loss == 1
    )
    return [_finding(row) for row in rows.execute(query.order_by(FINDINGS.c.number))]


def withheld(run: Run) -> "sqlalchemy.Select[str]":
    """Selects the licenses whose losses are withheld: AWS says that they ended, or have fewer seats."""
    return sqlalchemy.select(FINDINGS.c.license_id).where(
        FINDINGS.c.run == run.number, FINDINGS.c.standing == Standing.WITHHELD, FINDINGS.c.license_id.is_not(None)
    )


def withheld_differences(rows: sqlalchemy.Connection, run: Run) -> tuple[Difference, ...]:
    """Those whose losses are withheld."""
    query = sqlalchemy.select(FINDINGS.c.difference).where(
        FINDINGS.c.run == run.number, FINDINGS.c.standing == Standing.WITHHELD
    )
    return tuple(_DIFFERENCE.decode(stored) for stored in rows.scalars(query.order_by(FINDINGS.c.number)))


def release_confirmed(transaction: Transaction, run: Run) -> None:
    """What is confirmed and not settled may be mended."""
    these = (FINDINGS.c.run == run.number) & (FINDINGS.c.stage == Stage.CONFIRMED)
    transaction.rows.execute(sqlalchemy.update(FINDINGS).where(these).values(stage=Stage.RELEASED))


def counts(rows: sqlalchemy.Connection, run: Run) -> dict[Standing, int]:
    """How many findings stand how."""
    query = (
        sqlalchemy.select(FINDINGS.c.standing, sqlalchemy.func.count())
        .where(FINDINGS.c.run == run.number)
        .group_by(FINDINGS.c.standing)
    )
    counted = {Standing(standing): number for standing, number in rows.execute(query)}
    return {standing: counted.get(standing, 0) for standing in Standing}


def stages(rows: sqlalchemy.Connection, run_number: int) -> dict[Stage, int]:
    """How many findings are at which stage."""
    query = (
        sqlalchemy.select(FINDINGS.c.stage, sqlalchemy.func.count())
        .where(FINDINGS.c.run == run_number)
        .group_by(FINDINGS.c.stage)
    )
    return {Stage(stage): number for stage, number in rows.execute(query)}


def differences(rows: sqlalchemy.Connection, run: Run, *, limit: int) -> tuple[Difference, ...]:
    """The first differences, in the order in which a person wants to see them."""
    order = {standing: place for place, standing in enumerate(STANDINGS)}
    query = (
        sqlalchemy.select(FINDINGS.c.difference)
        .where(FINDINGS.c.run == run.number)
        .order_by(sqlalchemy.case(order, value=FINDINGS.c.standing), FINDINGS.c.number)
        .limit(limit)
    )
    return tuple(_DIFFERENCE.decode(stored) for stored in rows.scalars(query))


def difference_of(found: Found, *, standing: Standing) -> Difference:
    """A difference as it is reported."""
    account, customer = value_of(found.names, KeyKind.ACCOUNT), value_of(found.names, KeyKind.CUSTOMER)
    legacy = None if customer is None else customer_identifier(customer, code=found.product_code)
    latest = tuple(reversed(found.names))
    return Difference(
        kinds=found.kinds,
        standing=standing,
        license_id=found.license_id,
        product_code=found.product_code,
        customer_id=account or legacy,
        key=value_of(latest, KeyKind.LICENSE_ARN) or value_of(latest, KeyKind.AGREEMENT) or legacy,
        here=found.here,
        there=found.there,
        is_loss=found.is_loss,
        reason=found.reason,
        seats_active=found.seats_active,
        seats_deleted=found.seats_deleted,
    )


def _values(found: Found, *, stage: Stage, standing: Standing) -> dict[str, Any]:
    return {
        "stage": stage,
        "standing": standing,
        "license_id": found.license_id,
        "is_loss": int(found.is_loss),
        "seats_lost": found.seats_lost,
        "names": msgspec.json.encode(found.names).decode(),
        "difference": _encode(difference_of(found, standing=standing)),
    }


def _encode(difference: Difference) -> bytes:
    return msgspec.json.encode(difference)


def _write(transaction: Transaction, finding: Finding, **values: Any) -> None:  # noqa: ANN401 -- columns
    transaction.rows.execute(sqlalchemy.update(FINDINGS).where(FINDINGS.c.number == finding.number).values(values))


def _finding(row: "sqlalchemy.Row[Any]") -> Finding:
    return Finding(
        number=row.number,
        names=_NAMES.decode(row.names),
        seats_lost=row.seats_lost,
        difference=_DIFFERENCE.decode(row.difference),
    )
