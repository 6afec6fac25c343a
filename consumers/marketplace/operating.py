"""What an operator decides that AWS does not tell: which agreement follows, and that a contract has ended."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import sqlalchemy

from consumers.marketplace import known_agreements, names, observations, succession
from consumers.marketplace.agreement import LOST, Agreement
from consumers.marketplace.budget import Priority
from consumers.marketplace.licenses import license_of_arn
from consumers.marketplace.names import Name, NameIsMalformedError
from consumers.marketplace.standing import settle_succeeded
from consumers.marketplace.succession import ContradictionError
from consumers.marketplace.tables import INBOX, READINGS
from ledger.ledger import Ledger
from ledger.license import decisions
from ledger.license.decisions import TwinIsInUseError
from ledger.license.events import KeyKind, LapseReason, LicenseId, SuccessionReason
from ledger.license.holding import Holder, holder_of
from ledger.license.state import License
from ledger.succession import KeyIsMalformedError, KeyIsUnknownError, SuccessionPlan
from ledger.transaction import Caller, Transaction, Work


class MarketplaceOperating:
    """Carries out what operators decide about the licenses of a ledger; what AWS shows is read afterwards."""

    def __init__(self, ledger: Ledger) -> None:
        """Decide in this ledger."""
        self._ledger = ledger

    def preview(self, license_id: LicenseId, *, key: str, caller: Caller) -> SuccessionPlan:
        """What it would do to let what has this key follow behind a license; nothing is done.

        Raises:
            KeyIsMalformedError: it is no key.
            KeyIsUnknownError: AWS never named it.
            LicenseIsNotFoundError: there is no such license.
            ContradictionError: it has ended, or another agreement is going to follow.
            TwinIsInUseError: the license that has the key has users or blocks of its own.
        """
        keys = _keys(key)
        work = Work(
            decide=lambda transaction: _plan(transaction, license_id, keys),
            caller=caller,
            licenses=(license_id,),
            keys=keys,
            writes_rows=True,
        )
        return self._ledger.submit(work)

    def succeed(self, license_id: LicenseId, *, key: str, reason: SuccessionReason, caller: Caller) -> SuccessionPlan:
        """Let what has this key follow behind a license, which keeps its seats; AWS is read soon.

        Raises:
            KeyIsMalformedError, KeyIsUnknownError, LicenseIsNotFoundError, ContradictionError, TwinIsInUseError: as for
                `preview`.
        """
        keys = _keys(key)

        def decide(transaction: Transaction) -> SuccessionPlan:
            plan = _plan(transaction, license_id, keys)
            if not plan.follows_already:
                _succeed(transaction, plan, reason=reason)
                observations.request(transaction, license_id, priority=Priority.MESSAGE)
            return plan

        work = Work(decide=decide, caller=caller, licenses=(license_id,), keys=keys, writes_rows=True)
        return self._ledger.submit(work)

    def lapse(self, license_id: LicenseId, *, reason: LapseReason, caller: Caller) -> bool:
        """Record that a contract has ended of which AWS told nothing; whether it ran until now.

        Seats are kept. If AWS shows seats of it again, it resumes.

        Raises:
            LicenseIsNotFoundError: there is no such license.
        """

        def decide(transaction: Transaction) -> bool:
            license_ = transaction.license(license_id)
            lapsed = decisions.lapse_subscription(license_, reason=reason, at=transaction.at)
            transaction.append(license_id, lapsed)
            return bool(lapsed)

        return self._ledger.submit(Work(decide=decide, caller=caller, licenses=(license_id,)))


def _keys(text: str) -> tuple[Name, ...]:
    """What the text may name; of several, the form by which AWS names it is found out by what is known."""
    found: list[Name] = []
    for kind, read in ((KeyKind.LICENSE_ARN, names.license_arn), (KeyKind.AGREEMENT, names.agreement_id)):
        with suppress(NameIsMalformedError):
            found.append((kind, read(text)))
    code, slash, identifier = text.strip().partition("/")
    if slash and ":" not in code:
        with suppress(NameIsMalformedError):
            found.append((KeyKind.CUSTOMER, names.customer(names.product_code(code), identifier)))
    if not found:
        raise KeyIsMalformedError
    return tuple(found)


def _named_by_aws(transaction: Transaction, keys: Sequence[Name]) -> Name:
    """The one of the keys that AWS has named to the ledger.

    Raises:
        KeyIsUnknownError: none of them.
    """
    for key in keys:
        if transaction.license_of(*key) is not None or _is_told(transaction, key):
            return key
    raise KeyIsUnknownError


def _is_told(transaction: Transaction, key: Name) -> bool:
    """Whether AWS told of a key that no license has: of an agreement, or of an ARN in a message or a reading."""
    kind, value = key
    rows = transaction.rows
    if kind is KeyKind.AGREEMENT:
        return known_agreements.find(rows, value) is not None or _stands_in(rows, INBOX, INBOX.c.agreement_id == value)
    if kind is not KeyKind.LICENSE_ARN:
        return False
    # What follows `l-` is the same however AWS spells it.
    part = value.rpartition(":")[2]
    return (
        bool(known_agreements.of_arn(rows, value))
        or _stands_in(rows, READINGS, READINGS.c.rows.contains(part, autoescape=True))
        or _stands_in(rows, INBOX, INBOX.c.body.contains(part, autoescape=True))
    )


def _stands_in(rows: sqlalchemy.Connection, table: sqlalchemy.Table, where: sqlalchemy.ColumnElement[bool]) -> bool:
    return rows.scalar(sqlalchemy.select(table.c.number).where(where).limit(1)) is not None


def _plan(transaction: Transaction, license_id: LicenseId, keys: Sequence[Name]) -> SuccessionPlan:
    license_ = transaction.license(license_id)
    kind, value = key = _named_by_aws(transaction, keys)
    agreement = _agreement_of(transaction, key)
    owner = _owner(transaction, key, agreement)
    twin = None if owner in (None, license_id) else transaction.license(LicenseId(owner))
    if owner != license_id:
        _refuse(transaction, license_, agreement)
    if twin is not None and decisions.has_users(twin):
        raise TwinIsInUseError
    after = None if twin is None else twin.running
    holder, holder_after = holder_of(license_.names), _holder_after(twin, agreement)
    preview = decisions.preview_limit(license_, seats_max=license_.seats_max if after is None else after.seats_max)
    before = license_.name(KeyKind.AGREEMENT)
    now = license_.running
    return SuccessionPlan(
        license_id=license_id,
        kind=kind,
        value=value,
        follows_already=owner == license_id,
        twin=None if twin is None else twin.license_id,
        agreement_id_before=before,
        agreement_id_after=before if agreement is None else agreement.agreement_id,
        product_code_before=license_.product_code,
        product_code_after=license_.product_code if twin is None else twin.product_code,
        customer_id_before=holder.customer_id,
        customer_id_after=holder_after.customer_id,
        is_of_another=_are_apart(holder, holder_after),
        company_name=license_.company_name,
        seats_max_before=None if now is None else now.seats_max,
        seats_max_after=None if after is None else after.seats_max,
        renews_at_before=None if now is None else now.renews_at,
        renews_at_after=None if after is None else after.renews_at,
        seats_active=license_.seats_active,
        seats_deleted=preview.seats_deleted,
        must_free_first=preview.must_free_first,
    )


def _refuse(transaction: Transaction, license_: License, agreement: Agreement | None) -> None:
    """What can't follow: an agreement that has ended, or one where another one is going to."""
    if agreement is not None and agreement.status in LOST:
        raise ContradictionError(f"Agreement {agreement.agreement_id} has ended ({agreement.status}): nothing follows.")
    behind = known_agreements.of_license(transaction.rows, license_.license_id)
    for other in behind:
        if not other.has_started(at=transaction.at) and not other.has_ended and other.starts_at is not None:
            raise ContradictionError(
                f"Agreement {other.agreement_id} follows already, and begins on {other.starts_at:%d %B %Y}. It has to"
                " be cancelled in AWS Marketplace first."
            )


def _holder_after(twin: License | None, agreement: Agreement | None) -> Holder:
    if twin is not None:
        return holder_of(twin.names)
    return Holder(None if agreement is None else agreement.account_id)


def _are_apart(holder: Holder, other: Holder) -> bool:
    ids, others = {*holder.customer_ids}, {*other.customer_ids}
    return bool(ids and others) and not ids & others


def _agreement_of(transaction: Transaction, key: Name) -> Agreement | None:
    kind, value = key
    if kind is KeyKind.AGREEMENT:
        return known_agreements.find(transaction.rows, value) or Agreement(agreement_id=value)
    known = known_agreements.of_arn(transaction.rows, value) if kind is KeyKind.LICENSE_ARN else ()
    return known[-1] if known else None


def _owner(transaction: Transaction, key: Name, agreement: Agreement | None) -> LicenseId | None:
    kind, value = key
    by_key = (
        license_of_arn(transaction, value, product_code=None)
        if kind is KeyKind.LICENSE_ARN
        else transaction.license_of(kind, value)
    )
    return by_key or (None if agreement is None else agreement.license_id)


def _succeed(transaction: Transaction, plan: SuccessionPlan, *, reason: SuccessionReason) -> None:
    license_id, key = plan.license_id, (plan.kind, plan.value)
    transaction.append(
        license_id,
        decisions.decide_succession(
            transaction.license(license_id), key=key, product_code=plan.product_code_after, reason=reason
        ),
    )
    if plan.twin is not None:
        succession.fold(transaction, plan.twin, into=license_id, is_decided=True)
    agreement = _agreement_of(transaction, key)
    if agreement is None:
        transaction.append(license_id, decisions.identify_license(transaction.license(license_id), names=(key,)))
        return
    before = plan.agreement_id_before
    linked = before if before != agreement.agreement_id else agreement.previous_agreement_id
    known_agreements.belong_to(transaction, replace(agreement, previous_agreement_id=linked), license_id)
    succession.advance(transaction, license_id)
    settle_succeeded(transaction, license_id)
