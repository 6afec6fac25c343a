"""Succession: which agreement follows which behind one license, and what was bought while both show seats."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Final

import sqlalchemy

from consumers.marketplace import known_agreements, observations
from consumers.marketplace.agreement import LOST, SUCCEEDED, Agreement
from consumers.marketplace.budget import Priority
from consumers.marketplace.entitlements import LiveRow
from consumers.marketplace.standing import settle_succeeded
from consumers.marketplace.tables import INBOX, OBSERVATIONS
from ledger.errors import RefusedError
from ledger.inbox import ComingSeats
from ledger.license import decisions
from ledger.license.events import CompanyRegistered, KeyKind, LicenseId, RenewalIntent
from ledger.license.state import License
from ledger.transaction import Transaction

if TYPE_CHECKING:
    from consumers.marketplace.names import Name

_CHAIN_MAX: Final = 1_000


class ContradictionError(RefusedError):
    """What was heard contradicts what is known; the text says so in words. Nothing changes by it."""

    CODE: ClassVar[str] = "CONTRADICTION"


class PredecessorIsTakenError(ContradictionError):
    """An agreement claims to follow one that another one follows already.

    Attributes:
        taken_by: the agreement that follows it, as far as is known.
    """

    def __init__(self, previous: str, *, taken_by: str) -> None:
        """Say which agreements these are."""
        super().__init__(f"Two agreements say that they follow {previous}: this one and {taken_by}. Nothing changes.")
        self.taken_by = taken_by


# -- what was bought ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """The live rows that one agreement gives.

    Attributes:
        agreement: which one; null if that is not known.
        rows: one at least.
    """

    agreement: Agreement | None
    rows: tuple[LiveRow, ...]

    @property
    def seats(self) -> int:
        """How many seats it gives."""
        return sum(row.seats for row in self.rows)

    @property
    def is_over(self) -> bool:
        """Whether AWS said that its agreement ended."""
        return self.agreement is not None and self.agreement.has_ended


def generations(
    rows: Iterable[LiveRow], agreements: Sequence[Agreement], *, license_arns: Sequence[str] = ()
) -> tuple[Generation, ...]:
    """The live rows of a license by the agreements that give them, the earliest first.

    Args:
        rows: of one license.
        agreements: those behind it, the earliest first.
        license_arns: the ARNs that it had, the earliest first: the order where no agreement tells one.
    """
    by_arn: dict[str | None, list[LiveRow]] = {}
    for row in rows:
        by_arn.setdefault(row.license_arn, []).append(row)
    found = [one for arn, ours in by_arn.items() for one in _of_arn(arn, ours, agreements)]
    arns = [None, *license_arns]

    def place(one: Generation) -> tuple[int, int]:
        arn = one.rows[0].license_arn
        known = -1 if one.agreement is None else list(agreements).index(one.agreement)
        return known, arns.index(arn) if arn in arns else len(arns)

    return tuple(sorted(found, key=place))


def _of_arn(arn: str | None, rows: Sequence[LiveRow], agreements: Sequence[Agreement]) -> Iterable[Generation]:
    """A renewal may keep the ARN: then the rows are told apart by their dates."""
    givers = [one for one in agreements if arn is not None and one.license_arn == arn]
    if not givers:
        yield Generation(agreement=None, rows=tuple(rows))
        return
    left = list(rows)
    for place, giver in enumerate(givers[:-1]):
        # What took the place of an agreement that has ended may end on the same day.
        taken = {later.ends_at for later in givers[place + 1 :]} if giver.has_ended else set()
        ours = [
            row
            for row in left
            if giver.ends_at is not None and row.expires_at <= giver.ends_at and row.expires_at not in taken
        ]
        left = [row for row in left if row not in ours]
        if ours:
            yield Generation(agreement=giver, rows=tuple(ours))
    if left:
        yield Generation(agreement=givers[-1], rows=tuple(left))


def unseen(shown: Iterable[Generation], agreements: Iterable[Agreement], *, at: datetime) -> tuple[Agreement, ...]:
    """The agreements that run, as AWS told, and whose rows a reading lacks."""
    seen = {one.agreement.agreement_id for one in shown if one.agreement is not None}
    return tuple(
        one
        for one in agreements
        if one.license_arn is not None and one.agreement_id not in seen and _runs_on(one, at=at)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Bought:
    """What counts of the live rows of a license.

    Attributes:
        seats_max: the number.
        renews_at: the latest date.
        expires_at: the earliest date, when it has to be read again.
    """

    seats_max: int
    renews_at: datetime
    expires_at: datetime


def bought(shown: Sequence[Generation], *, at: datetime) -> Bought:
    """What was bought: while old and new agreement both show seats the larger number counts.

    The new one counts alone once AWS said that the old one ended; one that has not begun counts nothing.

    Args:
        shown: one at least, the earliest first.
        at: the moment of the reading.
    """
    counted = _counted(shown, at=at)
    return Bought(
        seats_max=max(one.seats for one in counted),
        renews_at=max(row.expires_at for one in counted for row in one.rows),
        expires_at=min(row.expires_at for one in counted for row in one.rows),
    )


def coming(shown: Sequence[Generation], *, at: datetime) -> ComingSeats | None:
    """That fewer seats were bought already for the time after an earlier agreement; null if they were not.

    Args:
        shown: one at least, the earliest first.
        at: the moment of the reading.
    """
    *before, last = _counted(shown, at=at)
    if not before or last.seats >= max(one.seats for one in before):
        return None
    return ComingSeats(seats_max=last.seats, since=max(row.expires_at for one in before for row in one.rows))


def _counted(shown: Sequence[Generation], *, at: datetime) -> Sequence[Generation]:
    begun = [one for one in shown if one.agreement is None or one.agreement.has_started(at=at)] or list(shown)
    return [*(one for one in begun[:-1] if not one.is_over), begun[-1]]


def still_running(agreements: Iterable[Agreement], *, but: Agreement, at: datetime) -> tuple[Agreement, ...]:
    """The other agreements that run, as far as is known."""
    return tuple(one for one in agreements if one.agreement_id != but.agreement_id and _runs_on(one, at=at))


def _runs_on(agreement: Agreement, *, at: datetime) -> bool:
    return agreement.runs(at=at) and (agreement.ends_at is None or agreement.ends_at > at)


# -- which agreement stands behind a license ---------------------------------------------------------------------------


def advance(transaction: Transaction, license_id: LicenseId, *, running: Collection[str] = ()) -> bool:
    """Let the latest agreement that has begun stand behind the license; whether that is another one than before.

    Args:
        transaction: the decision.
        license_id: the license.
        running: the agreements of which AWS has just shown that they run. An earlier one stands behind the license
            again, after the one that followed it was called off, by this alone.
    """
    license_ = transaction.license(license_id)
    agreements = known_agreements.of_license(transaction.rows, license_id)
    latest = _standing(agreements, at=transaction.at)
    if latest is None or not _takes_over(license_, latest, agreements, running=running):
        return False
    names: tuple[Name, ...] = ()
    if latest.license_arn is not None and transaction.license_of(KeyKind.LICENSE_ARN, latest.license_arn) in (
        None,
        license_id,
    ):
        names = ((KeyKind.LICENSE_ARN, latest.license_arn),)
    if transaction.license_of(KeyKind.AGREEMENT, latest.agreement_id) not in (None, license_id):
        return False
    transaction.append(license_id, decisions.succeed_agreement(license_, agreement_id=latest.agreement_id, names=names))
    return True


def announce(transaction: Transaction, license_id: LicenseId) -> None:
    """Record what AWS told of the end of the agreement that stands behind the license, if it is anything new."""
    license_ = transaction.license(license_id)
    current_id = license_.name(KeyKind.AGREEMENT)
    current = None if current_id is None else known_agreements.find(transaction.rows, current_id)
    if current is None or current.has_ended:
        return
    # Of an agreement of which nothing was told the word about the one before it says nothing.
    told_at = current.renewal_told_at if current.renewal is not None else current.read_at
    transaction.append(
        license_id,
        decisions.announce_renewal(
            license_,
            renewal=current.renewal or RenewalIntent.UNKNOWN,
            source=current.renewal_source or "DescribeAgreement",
            announced_at=told_at or transaction.at,
        ),
    )


def has_been_lost(license_: License, agreements: Iterable[Agreement]) -> bool:
    """Whether AWS said that the agreement behind a license has ended, and that none follows."""
    current = license_.name(KeyKind.AGREEMENT)
    return any(one.agreement_id == current and one.status in LOST for one in agreements)


def _standing(agreements: Sequence[Agreement], *, at: datetime) -> Agreement | None:
    begun = [one for one in agreements if one.has_started(at=at)]
    running = [one for one in begun if one.status not in LOST]
    if running and running[-1].status not in SUCCEEDED:
        return running[-1]
    # What followed the last one ended as well.
    return begun[-1] if begun else None


def _takes_over(
    license_: License, latest: Agreement, agreements: Sequence[Agreement], *, running: Collection[str]
) -> bool:
    """Whether this agreement comes to stand behind the license instead of the one that does."""
    current = license_.name(KeyKind.AGREEMENT)
    if current == latest.agreement_id:
        return False
    order = [one.agreement_id for one in agreements]
    if current not in order or order.index(current) < order.index(latest.agreement_id):
        # One that stood there before, and was called off, never comes back.
        return latest.status not in LOST or (KeyKind.AGREEMENT, latest.agreement_id) not in license_.names
    return latest.agreement_id in running and agreements[order.index(current)].status in LOST


# -- which license an agreement belongs to -----------------------------------------------------------------------------


def license_behind(
    transaction: Transaction, agreement: Agreement, *, product_code: str | None, is_news: bool = False
) -> LicenseId | None:
    """The license that an agreement belongs to by itself or by its chain; twins become one. Null if none is known.

    Args:
        transaction: the decision.
        agreement: as far as it is known.
        product_code: of this product alone; null for any.
        is_news: whether it was just told what the agreement follows. A license of its own that is in use is reported
            then, and goes on beside the other one ever after.

    Raises:
        ContradictionError: it claims to follow what another one follows, or itself, or two licenses are meant.
    """
    own, others = _owners(transaction, agreement, product_code=product_code)
    if own is None or is_news:
        _refuse_contradictions(transaction.rows, agreement)
    if own is None:
        if not others:
            return None
        # What a twin in use follows was told before, and is no news of what follows the twin.
        own, is_news = _goes_on_as(transaction, agreement, others, product_code=product_code), False
    for other in others:
        if other != own:
            own = _become_one(transaction, own, other, is_news=is_news)
    return own


def joins_licenses(transaction: Transaction, agreement: Agreement, *, product_code: str | None) -> bool:
    """Whether an agreement that has a license is of the chain of another one, so that the two may become one."""
    own, others = _owners(transaction, agreement, product_code=product_code)
    return own is not None and bool(others)


def _owners(
    transaction: Transaction, agreement: Agreement, *, product_code: str | None
) -> tuple[LicenseId | None, Sequence[LicenseId]]:
    """The license that an agreement has by itself, and the others that its chain has."""
    own = _owner(transaction, agreement, product_code=product_code)
    if product_code is None and own is not None:
        product_code = transaction.license(own).product_code
    related = known_agreements.relatives(transaction.rows, agreement)
    owners = [_owner(transaction, one, product_code=product_code) for one in related]
    return own, [*dict.fromkeys(owner for owner in owners if owner is not None and owner != own)]


def _owner(transaction: Transaction, agreement: Agreement, *, product_code: str | None) -> LicenseId | None:
    found = agreement.license_id or transaction.license_of(KeyKind.AGREEMENT, agreement.agreement_id)
    if found is None and agreement.license_arn is not None:
        found = transaction.license_of(KeyKind.LICENSE_ARN, agreement.license_arn)
    if found is None or product_code in (None, transaction.license(found).product_code):
        return found
    return None


def _goes_on_as(
    transaction: Transaction, agreement: Agreement, owners: Sequence[LicenseId], *, product_code: str | None
) -> LicenseId:
    """Which of the licenses of its chain an agreement comes to, that has none: that of the one that it follows."""
    previous = agreement.previous_agreement_id
    before = None if previous is None else known_agreements.find(transaction.rows, previous)
    owner = None if before is None else _owner(transaction, before, product_code=product_code)
    if owner is None and len(owners) > 1:
        raise ContradictionError("Its chain of agreements leads to two licenses. Nothing changes in either.")
    license_id = owner or owners[0]
    if not _is_of_buyer(transaction.license(license_id), agreement):
        raise ContradictionError(
            f"It follows an agreement of license {license_id}, but is of another AWS account. Nothing changes."
        )
    return license_id


def _refuse_contradictions(rows: sqlalchemy.Connection, agreement: Agreement) -> None:
    previous = agreement.previous_agreement_id
    if previous is None:
        return
    # Of those that claim it too only one that was taken in stands against it.
    others = [
        one
        for one in known_agreements.followers(rows, previous)
        if one.agreement_id != agreement.agreement_id and one.status not in LOST and one.license_id is not None
    ]
    if others:
        raise PredecessorIsTakenError(previous, taken_by=others[0].agreement_id)
    before: str | None = previous
    for _ in range(_CHAIN_MAX):
        if before is None:
            return
        if before == agreement.agreement_id:
            raise ContradictionError("The agreement follows itself, as AWS tells it. Nothing changes.")
        known = known_agreements.find(rows, before)
        before = None if known is None else known.previous_agreement_id


def _become_one(transaction: Transaction, own: LicenseId, other: LicenseId, *, is_news: bool) -> LicenseId:
    """Fold the later of two licenses of one chain into the earlier; returns the one that goes on with the agreement."""
    older, twin = sorted((own, other), key=lambda license_id: _begun(transaction, license_id))
    if not _are_of_one_buyer(transaction.license(older), transaction.license(twin)):
        if is_news:
            raise ContradictionError(
                f"Its agreement follows one of license {older}, but license {twin} was issued for it and is of another"
                " AWS account. Nothing changes in either; each goes on with its own agreement."
            )
        return own
    if decisions.is_bare(transaction.license(twin)):
        fold(transaction, twin, into=older)
        return older
    if is_news:
        raise ContradictionError(
            f"Its agreement follows one of license {older}, but license {twin} was issued for it and is in use. Nothing"
            " changes in either; each goes on with its own agreement."
        )
    return own


def _is_of_buyer(license_: License, agreement: Agreement) -> bool:
    accounts = _accounts(license_)
    return not accounts or agreement.account_id is None or agreement.account_id in accounts


def _are_of_one_buyer(one: License, other: License) -> bool:
    accounts, others = _accounts(one), _accounts(other)
    return not accounts or not others or bool(accounts & others)


def _accounts(license_: License) -> set[str]:
    return {value for kind, value in license_.names if kind is KeyKind.ACCOUNT}


def _begun(transaction: Transaction, license_id: LicenseId) -> tuple[bool, datetime, int]:
    agreements = known_agreements.of_license(transaction.rows, license_id)
    starts = [one.starts_at for one in agreements if one.starts_at is not None]
    issued = transaction.any_license(license_id)
    return not starts, min(starts, default=transaction.at), -issued.version


def fold(transaction: Transaction, twin: LicenseId, *, into: LicenseId, is_decided: bool = False) -> None:
    """A twin becomes one with the license that it belongs to: its keys, agreements and messages move, and it is read.

    `is_decided` is whether a person has decided it; then the twin's company becomes that of a license without one.

    Raises:
        TwinIsInUseError: somebody needs the twin.
    """
    rows, license_, absorbed = transaction.rows, transaction.license(into), transaction.license(twin)
    known_agreements.move(rows, twin, into=into)
    latest = _standing(known_agreements.of_license(rows, into), at=transaction.at)
    succeeds = latest is None or latest.agreement_id == absorbed.name(KeyKind.AGREEMENT)
    of_license, of_twin = decisions.absorb_twin(license_, absorbed, succeeds=succeeds, is_decided=is_decided)
    transaction.append(twin, of_twin)
    transaction.append(into, of_license)
    _take_over_company(transaction, absorbed, into=into)
    if succeeds:
        settle_succeeded(transaction, into)
    observations.request(transaction, into, priority=Priority.MESSAGE)
    rows.execute(sqlalchemy.update(INBOX).where(INBOX.c.license_id == twin).values(license_id=into))
    rows.execute(sqlalchemy.delete(OBSERVATIONS).where(OBSERVATIONS.c.license_id == twin))


def _take_over_company(transaction: Transaction, twin: License, *, into: LicenseId) -> None:
    """Who registered with the twin has not to do it again."""
    license_ = transaction.license(into)
    if twin.company_name is None or license_.company_name is not None:
        return
    registered = transaction.event(twin.license_id, twin.company_version)
    if isinstance(registered, CompanyRegistered):
        contact = registered.contact.plain
        events = decisions.register_company(
            license_, company_name=twin.company_name, contact=contact, contact_before=None
        )
        transaction.append(into, events)
