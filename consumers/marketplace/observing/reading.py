"""Reading AWS about one license: all its rows, its agreements, and, where nothing is shown, whether it ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from consumers.marketplace import endings, entitlements, legacy, succession
from consumers.marketplace.agreement import LOST, SUCCEEDED, Agreement, AgreementStatus
from consumers.marketplace.budget import Budget
from consumers.marketplace.clients import Clients
from consumers.marketplace.entitlements import LiveRow, NoObservationError, Question, SeveralLicensesError
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.messages import PokeKind
from consumers.marketplace.names import Name, value_of
from consumers.marketplace.observing.claim import Claim
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.waiting import WaitingMessage
from ledger.ledger import Ledger
from ledger.license.events import KeyKind
from ledger.license.state import License

_ARNS_MAX: Final = 20
_ABOUT_AGREEMENTS: Final = frozenset({PokeKind.AGREEMENT_CREATED, PokeKind.AGREEMENT_AMENDED})

_NO_KEY: Final = "No key of the license is known by which AWS could be asked."
_PRODUCT_NOT_SERVED: Final = "The license's product is none of LEDGER_PRODUCT_CODES, so AWS is not asked about it."
_SEVERAL_ARNS: Final = (
    "AWS shows this legacy customer seats of several licenses, and none of them is known to be this one's. Nothing"
    " changes: tell the ledger which is, with `licensing-ledger succeed`."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What AWS said, read completely.

    Attributes:
        answered: the rows as AWS answered them.
        rows: those that count the license's users.
        told: what AWS told of agreements, if it was asked.
        strangers: rows of a legacy customer that are of other licenses than this one.
        issued_at: when a legacy license that has no ARN yet was first heard of; null for every other.
        status: of the current agreement, if nothing was shown; null if AWS told nothing.
        trusted: whether the credentials are known to see live rows of the product.
    """

    answered: Sequence[entitlements.AwsRow]
    rows: tuple[LiveRow, ...]
    told: tuple[Agreement, ...] = ()
    strangers: tuple[LiveRow, ...] = ()
    issued_at: datetime | None = None
    status: AgreementStatus | None = None
    trusted: bool = False


class Reader:
    """Asks AWS, and holds nothing meanwhile."""

    def __init__(
        self,
        ledger: Ledger,
        settings: MarketplaceSettings,
        clients: Clients,
        *,
        budget: Budget,
        lineages: Lineages,
        now: Callable[[], datetime],
    ) -> None:
        """Read with these clients.

        Args:
            ledger: tells when a legacy license was heard of, and which ARNs are others'.
            settings: what is sold.
            clients: by which AWS is asked.
            budget: how often it may be asked about entitlements.
            lineages: asks about agreements.
            now: the clock, aware UTC.
        """
        self._ledger = ledger
        self._settings = settings
        self._clients = clients
        self._budget = budget
        self._lineages = lineages
        self._now = now

    def read(self, claim: Claim) -> Reading:
        """Read what AWS shows of a license, to the last page, and what else a decision about it needs to know.

        Raises:
            NoObservationError: it can't be read, so that nothing may change.
            LedgerError, StoreError: the database can't be read.
        """
        license_, at = claim.license, self._now()
        question = _question(license_, claim.agreements, license_arn_heard=claim.license_arn_heard)
        if question is None:
            raise NoObservationError(_NO_KEY)
        dimensions = self._dimensions_of(license_)
        answered = entitlements.read_rows(self._clients, question, budget=self._budget)
        with entitlements.after_reading(answered):
            shown = entitlements.live_rows(answered, question=question, dimensions=dimensions, at=at)
            issued_at = None
            if question.customer is not None and not question.license_arns:
                issued_at = legacy.issued_at(self._ledger, license_.license_id)
                shown = self._of_unclaimed(claim, shown, issued_at=issued_at)
            rows, strangers = _of_license(shown, question)
        told = self._ask_about_agreements(claim, rows)
        reading = Reading(answered=answered, rows=rows, told=told, strangers=strangers, issued_at=issued_at)
        if rows:
            self._clients.trust.note(license_.product_code, at=at)
            return reading
        if license_.running is None:
            return reading
        status, more = self._ask_whether_it_ended(claim)
        return replace(reading, told=(*told, *more), status=status, trusted=self._is_trusted(license_, at=at))

    def _of_unclaimed(self, claim: Claim, shown: Sequence[LiveRow], *, issued_at: datetime) -> tuple[LiveRow, ...]:
        """The rows of a legacy customer that may be of this license, which has no ARN yet.

        Raises:
            SeveralLicensesError: nobody knows which of several is.
        """
        arns = {row.license_arn for row in shown if row.license_arn is not None}
        others = legacy.arns_of_others(self._ledger, claim.license.license_id, arns, issued_at=issued_at)
        left = arns - {*others}
        # One that is left of several may be the other one, unless that has come to be known.
        if len(left) > 1 or (left and claim.saw_several and not others):
            raise SeveralLicensesError(_SEVERAL_ARNS)
        return tuple(row for row in shown if row.license_arn not in others)

    def _ask_about_agreements(self, claim: Claim, rows: Sequence[LiveRow]) -> tuple[Agreement, ...]:
        """What a message was about, and, where there are two agreements, whether the one has ended."""
        shown = succession.generations(rows, claim.agreements)
        asked = [one.agreement.agreement_id for one in shown[:-1] if one.agreement and not one.is_over]
        if rows:
            asked += [one.agreement_id for one in succession.unseen(shown, claim.agreements, at=self._now())]
        asked += [agreement_id for message in claim.messages for agreement_id in _asked_about(message)]
        told = [self._lineages.describe(agreement_id) for agreement_id in dict.fromkeys(asked)]
        told += self._ask_for_arns(claim)
        if not claim.agreements and len({row.license_arn for row in rows} - {None}) == 1 and not _is_claimed(claim):
            # A legacy license that is about to claim an ARN: what follows it later is found by its agreement.
            told += self._lineages.read(names_read(claim.license, rows))
        return tuple(one for one in told if one is not None)

    def _ask_for_arns(self, claim: Claim) -> Sequence[Agreement]:
        """The chain, where an agreement has begun whose license came to be with its start."""
        at = self._now()
        unseen = [one for one in claim.agreements if one.license_arn is None and one.runs(at=at)]
        initials = dict.fromkeys(one.initial_agreement_id for one in unseen if one.initial_agreement_id)
        return [one for initial in initials for one in self._lineages.chain(initial)]

    def _ask_whether_it_ended(self, claim: Claim) -> tuple[AgreementStatus | None, tuple[Agreement, ...]]:
        """How the current agreement stands, and what else there is to know of it.

        Where another one is to follow it, that is the chain that it is of; where none does, those before it: it may
        have been called off while they go on.
        """
        agreement_id = _agreement_of(claim)
        described = None if agreement_id is None else self._lineages.describe(agreement_id)
        if described is None:
            # AWS does not tell it to this seller; what a message said is all that there is.
            known = next((one for one in claim.agreements if one.agreement_id == agreement_id), None)
            awaits = known is not None and known.status in SUCCEEDED and not _has_gone_on(claim, known)
            return (known.status if known is not None and awaits else None), ()
        if described.status in SUCCEEDED:
            initial = described.initial_agreement_id or described.agreement_id
            return described.status, (described, *self._lineages.chain(initial))
        if described.status not in LOST:
            return described.status, (described,)
        others = succession.still_running(claim.agreements, but=described, at=self._now())
        told = [self._lineages.describe(one.agreement_id) for one in others]
        going_on = tuple(one for one in told if one is not None and one.status is AgreementStatus.ACTIVE)
        return (going_on[-1] if going_on else described).status, (described, *going_on)

    def _dimensions_of(self, license_: License) -> frozenset[str]:
        dimensions = self._settings.products.get(license_.product_code)
        if not dimensions:
            # Without them no row would count users, and the license would seem to have no seats.
            raise NoObservationError(_PRODUCT_NOT_SERVED)
        return dimensions

    def _is_trusted(self, license_: License, *, at: datetime) -> bool:
        subscription, wait = license_.subscription, self._settings.renewal_wait
        if subscription is None or not endings.is_overdue(subscription, renewal_wait=wait, at=at):
            return False
        code, trust = license_.product_code, self._clients.trust
        if trust.holds(code, at=at):
            return True
        seen = entitlements.sees_live_row(
            self._clients, product_code=code, dimensions=self._dimensions_of(license_), at=at, budget=self._budget
        )
        if seen:
            trust.note(code, at=at)
        return seen


def _question(license_: License, agreements: Sequence[Agreement], *, license_arn_heard: str | None) -> Question | None:
    """By what AWS is asked: the customer where the license was first known by one, else the ARNs of its agreements.

    Of an agreement that has ended nothing is asked when another one stands behind the license.
    """
    kinds = (kind for kind, _ in license_.names if kind in (KeyKind.LICENSE_ARN, KeyKind.CUSTOMER))
    kind = next(kinds, None)
    current = license_.name(KeyKind.AGREEMENT)
    arns = [value for known, value in license_.names if known is KeyKind.LICENSE_ARN]
    over = {one.license_arn for one in agreements if one.has_ended and one.agreement_id != current}
    asked = [arn for arn in arns if arn not in over] or arns[-1:]
    asked += [one.license_arn for one in agreements if one.license_arn is not None and not one.has_ended]
    license_arns = tuple(dict.fromkeys(reversed(asked)))[:_ARNS_MAX]
    if kind is KeyKind.CUSTOMER:
        customer = license_.name(KeyKind.CUSTOMER)
        return Question(product_code=license_.product_code, customer=customer, license_arns=license_arns)
    if not license_arns:
        return None
    return Question(product_code=license_.product_code, license_arns=license_arns, license_arn_heard=license_arn_heard)


def _of_license(rows: Sequence[LiveRow], question: Question) -> tuple[tuple[LiveRow, ...], tuple[LiveRow, ...]]:
    """The rows that are this license's, and those of others of the same legacy customer.

    A legacy license counts the rows of the ARN that it claimed.
    """
    if question.customer is None or not question.license_arns:
        return tuple(rows), ()
    ours = tuple(row for row in rows if row.license_arn is None or row.license_arn in question.license_arns)
    return ours, tuple(row for row in rows if row not in ours)


def _is_claimed(claim: Claim) -> bool:
    return claim.license.name(KeyKind.LICENSE_ARN) is not None


def _asked_about(message: WaitingMessage) -> tuple[str, ...]:
    """The agreement of a message after which AWS is asked how it stands."""
    if message.poke.kind not in _ABOUT_AGREEMENTS or message.poke.agreement is None:
        return ()
    return (message.poke.agreement.agreement_id,)


def _agreement_of(claim: Claim) -> str | None:
    known = claim.license.name(KeyKind.AGREEMENT)
    if known is not None:
        return known
    told = (value_of(message.poke.names, KeyKind.AGREEMENT) for message in claim.messages if message.poke.ends)
    return next((agreement_id for agreement_id in told if agreement_id), None)


def _has_gone_on(claim: Claim, agreement: Agreement) -> bool:
    """Whether an end is told of what follows an agreement, under its ARN and before anything else of it."""
    ended = (value_of(message.poke.names, KeyKind.AGREEMENT) for message in claim.messages if message.poke.ends)
    return any(agreement_id not in (None, agreement.agreement_id) for agreement_id in ended)


def names_read(license_: License, rows: Sequence[LiveRow]) -> tuple[Name, ...]:
    """The names that the rows agree on. Rows of several licenses of one legacy customer name none of them."""
    read = [set(row.names) for row in rows]
    if not read:
        return ()
    common = set.intersection(*read)
    return tuple(sorted(common - set(license_.names)))
