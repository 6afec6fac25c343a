"""Which license a message or a customer is about: found by its keys, issued once, known by more and more names."""

from collections.abc import Iterable, Sequence

import sqlalchemy

from consumers.marketplace import known_agreements, legacy, standing, succession
from consumers.marketplace.agreement import Agreement
from consumers.marketplace.names import Name, value_of
from consumers.marketplace.succession import ContradictionError
from consumers.marketplace.tables import INBOX
from ledger.errors import TooManyLicensesError
from ledger.license import decisions
from ledger.license.events import KeyKind, LicenseEvent, LicenseId
from ledger.license.holding import Holding
from ledger.transaction import CLAIMING_KINDS, Transaction


def claiming(names: Iterable[Name]) -> tuple[Name, ...]:
    """The names by which one license at most is known: its keys."""
    return tuple(name for name in names if name[0] in CLAIMING_KINDS)


def find_license(
    transaction: Transaction, names: Sequence[Name], *, product_code: str | None, is_news: bool = False
) -> LicenseId | None:
    """The license that these keys mean, by themselves or by the chain of its agreements; the work must name the keys.

    One agreement may be about several products, so a license found by it must be of the message's product. `is_news`
    is whether it was just told what the agreement follows.

    Raises:
        ContradictionError: they mean two licenses, or what was heard of the agreement contradicts what is known.
    """
    found = list(dict.fromkeys(_found(transaction, names, product_code=product_code, is_news=is_news)))
    if len(found) > 1:
        found = _still_apart(transaction, names, found, product_code=product_code)
    return found[0] if found else None


def _still_apart(
    transaction: Transaction, names: Sequence[Name], found: Sequence[LicenseId], *, product_code: str | None
) -> list[LicenseId]:
    # To look them up may just have made twins one.
    again = list(dict.fromkeys(_found(transaction, names, product_code=product_code)))
    if len(again) > 1:
        raise ContradictionError(
            f"Its names mean two licenses, {found[0]} and {found[1]}. Nothing changes in either; find out in AWS"
            " Marketplace which one is meant."
        )
    return again


def _found(
    transaction: Transaction, names: Sequence[Name], *, product_code: str | None, is_news: bool = False
) -> Iterable[LicenseId]:
    arn, agreement_id = value_of(names, KeyKind.LICENSE_ARN), value_of(names, KeyKind.AGREEMENT)
    by_arn = None if arn is None else license_of_arn(transaction, arn, product_code=product_code)
    if by_arn is not None:
        yield by_arn
    if agreement_id is not None:
        heard = known_agreements.find(transaction.rows, agreement_id) or Agreement(agreement_id=agreement_id)
        behind = succession.license_behind(transaction, heard, product_code=product_code, is_news=is_news)
        if behind is not None:
            yield behind
    customer = value_of(names, KeyKind.CUSTOMER)
    of_customer = None if customer is None else transaction.license_of(KeyKind.CUSTOMER, customer)
    if of_customer is not None and not _is_another_purchase(transaction, of_customer, names):
        yield of_customer


def license_of_arn(transaction: Transaction, license_arn: str, *, product_code: str | None) -> LicenseId | None:
    """The license that has this ARN, or behind which an agreement stands that gives it; null if none does."""
    owners = [transaction.license_of(KeyKind.LICENSE_ARN, license_arn)]
    owners += [one.license_id for one in known_agreements.of_arn(transaction.rows, license_arn)]
    for owner in owners:
        if owner is not None and product_code in (None, transaction.license(owner).product_code):
            return owner
    return None


def unclaimed_legacy(transaction: Transaction, account_id: str, *, product_code: str) -> Sequence[LicenseId]:
    """The legacy licenses of a buyer's account that claimed no ARN yet; none where it has more than are looked at."""
    try:
        held = transaction.licenses_held(Holding(account_id, product_code))
    except TooManyLicensesError:
        return ()
    return [
        license_.license_id
        for license_ in held
        if license_.folded_into is None
        and license_.name(KeyKind.CUSTOMER) is not None
        and license_.name(KeyKind.LICENSE_ARN) is None
    ]


def _is_another_purchase(transaction: Transaction, license_id: LicenseId, names: Sequence[Name]) -> bool:
    """Whether a legacy license is not meant by its customer: another ARN is, or an agreement that began later."""
    arn, agreement_id = value_of(names, KeyKind.LICENSE_ARN), value_of(names, KeyKind.AGREEMENT)
    claimed = [value for kind, value in transaction.license(license_id).names if kind is KeyKind.LICENSE_ARN]
    if arn is None or claimed:
        return arn is not None and arn not in claimed
    known = None if agreement_id is None else known_agreements.find(transaction.rows, agreement_id)
    if known is None or known.license_id == license_id:
        return False
    return not legacy.may_be_its_contract([known], issued_at=transaction.issued_at(license_id))


def issue_license(
    transaction: Transaction, license_id: LicenseId, *, product_code: str, names: Sequence[Name]
) -> LicenseId:
    """The license of these keys, issued under `license_id` if there is none; it is known by all the names from now on.

    The look-up is made under the append lock, so that two who hear of one purchase at once end in one license.

    Raises:
        ContradictionError: as for `find_license`.
    """
    found = find_license(transaction, names, product_code=product_code)
    if found is not None:
        identify_license(transaction, found, names=names)
        return found
    ours = _claimable(transaction, license_id, names)
    transaction.append(
        license_id,
        decisions.issue_license(transaction.any_license(license_id), product_code=product_code, names=ours),
    )
    _keep_agreement(transaction, license_id, names)
    _keep_agreements_of_arn(transaction, license_id, names)
    _wake_parked(transaction, ours)
    return license_id


def identify_license(transaction: Transaction, license_id: LicenseId, *, names: Sequence[Name]) -> None:
    """The license is known by these names too, but for keys that are another license's.

    An agreement that it was not known by follows the one that stands behind it, if it has begun.
    """
    _keep_agreement(transaction, license_id, names)
    transaction.append(license_id, identifying(transaction, license_id, names=names))
    _keep_agreements_of_arn(transaction, license_id, names)
    if succession.advance(transaction, license_id):
        standing.settle_succeeded(transaction, license_id)
    _wake_parked(transaction, names)


def identifying(transaction: Transaction, license_id: LicenseId, *, names: Sequence[Name]) -> Sequence[LicenseEvent]:
    """What is to be recorded when a license is called by these names, whichever agreement stands behind it."""
    license_ = transaction.license(license_id)
    current = license_.name(KeyKind.AGREEMENT)
    agreement_id = value_of(names, KeyKind.AGREEMENT)
    ours = _claimable(transaction, license_id, names)
    if current is not None and agreement_id not in (None, current):
        # Its keys become the license's own when it stands behind it.
        ours = tuple(name for name in ours if name[0] not in (KeyKind.AGREEMENT, KeyKind.LICENSE_ARN))
    return decisions.identify_license(license_, names=ours)


def is_new_agreement(transaction: Transaction, license_id: LicenseId, names: Sequence[Name]) -> bool:
    """Whether an agreement is named that may stand behind the license from now on."""
    agreement_id = value_of(names, KeyKind.AGREEMENT)
    known = None if agreement_id is None else known_agreements.find(transaction.rows, agreement_id)
    current = transaction.license(license_id).name(KeyKind.AGREEMENT)
    return agreement_id not in (None, current) and (known is None or known.license_id != license_id)


def names_current(transaction: Transaction, license_id: LicenseId, names: Sequence[Name]) -> bool:
    """Whether names of a license mean what stands behind it now, not an earlier or a later agreement of it."""
    license_ = transaction.license(license_id)
    kind, value = claiming(names)[0]
    if license_.name(kind) not in (None, value):
        return False
    agreement_id, current = value_of(names, KeyKind.AGREEMENT), license_.name(KeyKind.AGREEMENT)
    if current is None or agreement_id in (None, current):
        return True
    # An agreement that nobody knows may be the one that the ARN has come to be of.
    known = known_agreements.find(transaction.rows, agreement_id)
    return known is None or known.license_id != license_id


def _keep_agreement(transaction: Transaction, license_id: LicenseId, names: Sequence[Name]) -> None:
    agreement_id, arn = value_of(names, KeyKind.AGREEMENT), value_of(names, KeyKind.LICENSE_ARN)
    if agreement_id is None:
        return
    owner = transaction.license_of(KeyKind.AGREEMENT, agreement_id)
    if owner in (None, license_id):
        heard = Agreement(agreement_id=agreement_id, license_arn=arn)
        known_agreements.belong_to(transaction, heard, license_id)


def _keep_agreements_of_arn(transaction: Transaction, license_id: LicenseId, names: Sequence[Name]) -> None:
    """Agreements that were heard of before anybody knew whose they are: who has the ARN that they give has them."""
    arn = value_of(names, KeyKind.LICENSE_ARN)
    if arn is None or transaction.license_of(KeyKind.LICENSE_ARN, arn) != license_id:
        return
    for agreement in known_agreements.of_arn(transaction.rows, arn):
        if agreement.license_id is None:
            known_agreements.belong_to(transaction, agreement, license_id)


def _claimable(transaction: Transaction, license_id: LicenseId, names: Sequence[Name]) -> tuple[Name, ...]:
    """The names that can be this license's. A legacy customer's license claims an ARN only when a reading shows it."""
    customer = value_of(names, KeyKind.CUSTOMER)
    is_legacy = customer is not None and transaction.license_of(KeyKind.CUSTOMER, customer) in (None, license_id)
    return tuple(
        (kind, value)
        for kind, value in names
        if not (is_legacy and kind is KeyKind.LICENSE_ARN)
        and (kind not in CLAIMING_KINDS or transaction.license_of(kind, value) in (None, license_id))
    )


def _wake_parked(transaction: Transaction, names: Sequence[Name]) -> None:
    agreements = [value for kind, value in names if kind is KeyKind.AGREEMENT]
    if not agreements:
        return
    transaction.rows.execute(
        sqlalchemy.update(INBOX)
        .where(INBOX.c.agreement_id.in_(agreements), INBOX.c.status == "parked", INBOX.c.license_id.is_(None))
        .values(standing.anew(transaction))
    )
