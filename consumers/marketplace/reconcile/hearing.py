"""Hearing of agreements: what the search of a run tells is taken in as if messages had told it; a dry run only listens.

Their licenses are read again when everything was compared, so that the report says what differed before; but not those
whose losses are withheld. What they lose by that is weighed like all that the sweep finds: much may happen after it.
"""

from collections.abc import Collection, Sequence

import sqlalchemy

from consumers.marketplace import known_agreements
from consumers.marketplace.agreement import LOST, Agreement
from consumers.marketplace.licenses import find_license, identify_license
from consumers.marketplace.reconcile import findings
from consumers.marketplace.reconcile.runs import Run
from consumers.marketplace.reconcile.tables import HEARD
from consumers.marketplace.succession import ContradictionError
from ledger.license.events import KeyKind, LicenseId
from ledger.transaction import Transaction


def hear(transaction: Transaction, run: Run, agreements: Sequence[Agreement]) -> list[str]:
    """Take in what AWS told of agreements; returns what contradicts what is known, in words."""
    contradictions = []
    hear_one = _listen_to if run.dry_run else _take_in
    for agreement in agreements:
        try:
            hear_one(transaction, run, agreement)
        except ContradictionError as error:
            contradictions.append(f"Agreement {agreement.agreement_id}: {error}")
    return contradictions


def heard_of(rows: sqlalchemy.Connection, run: Run, *, limit: int) -> Sequence[LicenseId]:
    """Some of the licenses of whose agreements there is news, but for those whose losses are withheld."""
    query = sqlalchemy.select(HEARD.c.license_id).where(
        HEARD.c.run == run.number, HEARD.c.is_news == 1, HEARD.c.license_id.not_in(findings.withheld(run))
    )
    return [LicenseId(one) for one in rows.scalars(query.order_by(HEARD.c.license_id).limit(limit))]


def among(rows: sqlalchemy.Connection, run: Run, license_ids: Collection[LicenseId]) -> set[LicenseId]:
    """Those of these licenses of whose agreements there is news."""
    query = sqlalchemy.select(HEARD.c.license_id).where(
        HEARD.c.run == run.number, HEARD.c.is_news == 1, HEARD.c.license_id.in_(license_ids)
    )
    return {LicenseId(one) for one in rows.scalars(query)}


def heard_to_have_ended(run: Run) -> "sqlalchemy.Select[str]":
    """Selects the licenses whose agreements have ended, as AWS tells to the seller alone."""
    return sqlalchemy.select(HEARD.c.license_id).where(HEARD.c.run == run.number, HEARD.c.ended == 1)


def forget(transaction: Transaction, run: Run, license_ids: Sequence[LicenseId]) -> None:
    """These are being read."""
    these = (HEARD.c.run == run.number) & HEARD.c.license_id.in_(license_ids)
    transaction.rows.execute(sqlalchemy.update(HEARD).where(these).values(is_news=0))


def _take_in(transaction: Transaction, run: Run, agreement: Agreement) -> None:
    before = known_agreements.find(transaction.rows, agreement.agreement_id)
    after = known_agreements.note(transaction, agreement)
    is_news = _is_news(before, after)
    license_id = _put_behind_license(transaction, after) if is_news else after.license_id
    _note(transaction, run, after, license_id, is_news=is_news)


def _listen_to(transaction: Transaction, run: Run, agreement: Agreement) -> None:
    """What it tells counts for this run, and is as unknown as before when that is done."""
    before = known_agreements.find(transaction.rows, agreement.agreement_id)
    after = agreement if before is None else before.and_heard(agreement)
    license_id = after.license_id or transaction.license_of(KeyKind.AGREEMENT, agreement.agreement_id)
    _note(transaction, run, after, license_id, is_news=_is_news(before, after))


def _put_behind_license(transaction: Transaction, agreement: Agreement) -> LicenseId | None:
    """The license of an agreement, behind which it stands from now on if it has begun."""
    names = ((KeyKind.AGREEMENT, agreement.agreement_id),)
    license_id = find_license(transaction, names, product_code=None, is_news=True)
    if license_id is not None and not agreement.has_ended:
        identify_license(transaction, license_id, names=names)
    return license_id


def _is_news(before: Agreement | None, after: Agreement) -> bool:
    """Whether a reading of the license may show anything else because of it."""
    if before is None:
        return True
    return before.license_id is None or _told(before) != _told(after)


def _told(agreement: Agreement) -> tuple[object, ...]:
    return (
        agreement.status,
        agreement.starts_at,
        agreement.ends_at,
        agreement.initial_agreement_id,
        agreement.license_arn,
        agreement.renewal,
    )


def _note(
    transaction: Transaction, run: Run, agreement: Agreement, license_id: LicenseId | None, *, is_news: bool
) -> None:
    """Keep of a license that there is news of its agreement, or that this has ended."""
    if license_id is None or not (is_news or agreement.has_ended):
        return
    current = transaction.license(license_id).name(KeyKind.AGREEMENT)
    ended = agreement.status in LOST and current in (None, agreement.agreement_id)
    rows, this = transaction.rows, (HEARD.c.run == run.number) & (HEARD.c.license_id == license_id)
    known = rows.execute(sqlalchemy.select(HEARD.c.ended, HEARD.c.is_news).where(this)).one_or_none()
    if known is None:
        values = {"run": run.number, "license_id": license_id, "ended": int(ended), "is_news": int(is_news)}
        rows.execute(sqlalchemy.insert(HEARD).values(values))
        return
    values = {"ended": int(ended or known.ended), "is_news": int(is_news or known.is_news)}
    rows.execute(sqlalchemy.update(HEARD).where(this).values(values))
