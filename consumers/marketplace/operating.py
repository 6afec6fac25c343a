"""What an operator decides that AWS does not tell: which agreement follows, and that a contract has ended."""

from dataclasses import replace

from consumers.marketplace import known_agreements, names, observations, succession
from consumers.marketplace.agreement import Agreement
from consumers.marketplace.budget import Priority
from consumers.marketplace.licenses import license_of_arn
from consumers.marketplace.names import Name, NameIsMalformedError
from consumers.marketplace.standing import settle_succeeded
from ledger.ledger import Ledger
from ledger.license import decisions
from ledger.license.decisions import TwinIsInUseError
from ledger.license.events import KeyKind, LapseReason, LicenseId, SuccessionReason
from ledger.succession import KeyIsMalformedError, SuccessionPlan
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
            LicenseIsNotFoundError: there is no such license.
            TwinIsInUseError: the license that has the key has users or a company of its own.
        """
        name = _key(key)
        work = Work(
            decide=lambda transaction: _plan(transaction, license_id, name),
            caller=caller,
            licenses=(license_id,),
            keys=(name,),
            writes_rows=True,
        )
        return self._ledger.submit(work)

    def succeed(self, license_id: LicenseId, *, key: str, reason: SuccessionReason, caller: Caller) -> SuccessionPlan:
        """Let what has this key follow behind a license, which keeps its seats; AWS is read soon.

        Raises:
            KeyIsMalformedError, LicenseIsNotFoundError, TwinIsInUseError: as for `preview`.
        """
        name = _key(key)

        def decide(transaction: Transaction) -> SuccessionPlan:
            plan = _plan(transaction, license_id, name)
            if not plan.follows_already:
                _succeed(transaction, plan, reason=reason)
                observations.request(transaction, license_id, priority=Priority.MESSAGE)
            return plan

        work = Work(decide=decide, caller=caller, licenses=(license_id,), keys=(name,), writes_rows=True)
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


def _key(text: str) -> Name:
    for kind, read in ((KeyKind.LICENSE_ARN, names.license_arn), (KeyKind.AGREEMENT, names.agreement_id)):
        try:
            return kind, read(text)
        except NameIsMalformedError:
            continue
    raise KeyIsMalformedError


def _plan(transaction: Transaction, license_id: LicenseId, key: Name) -> SuccessionPlan:
    kind, value = key
    license_ = transaction.license(license_id)
    agreement = _agreement_of(transaction, key)
    owner = _owner(transaction, key, agreement)
    twin = None if owner in (None, license_id) else owner
    if twin is not None and not decisions.is_bare(transaction.license(twin)):
        raise TwinIsInUseError
    code = license_.product_code if twin is None else transaction.license(twin).product_code
    before = license_.name(KeyKind.AGREEMENT)
    return SuccessionPlan(
        license_id=license_id,
        kind=kind,
        value=value,
        follows_already=owner == license_id,
        twin=twin,
        agreement_id_before=before,
        agreement_id_after=before if agreement is None else agreement.agreement_id,
        product_code_before=license_.product_code,
        product_code_after=code,
    )


def _agreement_of(transaction: Transaction, key: Name) -> Agreement | None:
    kind, value = key
    if kind is KeyKind.AGREEMENT:
        return known_agreements.find(transaction.rows, value) or Agreement(agreement_id=value)
    known = known_agreements.of_arn(transaction.rows, value)
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
        succession.fold(transaction, plan.twin, into=license_id)
    agreement = _agreement_of(transaction, key)
    if agreement is None:
        transaction.append(license_id, decisions.identify_license(transaction.license(license_id), names=(key,)))
        return
    before = plan.agreement_id_before
    linked = before if before != agreement.agreement_id else agreement.previous_agreement_id
    known_agreements.belong_to(transaction, replace(agreement, previous_agreement_id=linked), license_id)
    succession.advance(transaction, license_id)
    settle_succeeded(transaction, license_id)
