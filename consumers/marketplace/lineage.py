"""Lineage: before a license is issued for a key that nobody knows, AWS is asked which agreements are behind it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import uuid4

import sqlalchemy

from consumers.marketplace import entitlements, known_agreements, names, observations
from consumers.marketplace.agreement import Agreement
from consumers.marketplace.budget import Budget, Priority
from consumers.marketplace.clients import Clients
from consumers.marketplace.licenses import claiming, issue_license
from consumers.marketplace.names import Name
from ledger.ledger import Ledger
from ledger.license.events import KeyKind, LicenseId
from ledger.store.tables import LICENSE_KEYS
from ledger.transaction import Caller, Transaction, Work


class Lineages:
    """Asks AWS for the agreements behind names that are not known yet."""

    def __init__(self, ledger: Ledger, clients: Clients, *, budget: Budget, now: Callable[[], datetime]) -> None:
        """Ask with these clients, as often as the budget lets; `now` is the clock, aware UTC."""
        self._ledger = ledger
        self._clients = clients
        self._budget = budget
        self._now = now

    def read(self, known_by: Sequence[Name], *, license_arn_heard: str | None = None) -> tuple[Agreement, ...]:
        """What AWS tells of the agreement that is named, or of those that give the license that is named.

        Nothing is asked, and nothing told, where that is known already; AWS tells nothing of agreements that this
        seller may not read, as those of a channel partner.

        Raises:
            NoObservationError: AWS did not answer.
        """
        if not self.is_unknown(known_by):
            return ()
        agreement_id = names.value_of(known_by, KeyKind.AGREEMENT)
        if agreement_id is not None:
            # That it is not told is known from now on as well, so that it is not asked for each message.
            return (self.describe(agreement_id) or Agreement(agreement_id=agreement_id, read_at=self._now()),)
        arn = names.value_of(known_by, KeyKind.LICENSE_ARN)
        spellings = [spelling for spelling in (arn, license_arn_heard) if spelling]
        return entitlements.agreements_of_arn(self._clients, spellings, budget=self._budget, at=self._now())

    def introduce(
        self, known_by: Sequence[Name], *, product_code: str, caller: Caller, license_arn_heard: str | None = None
    ) -> LicenseId:
        """The license of these keys, issued if none has them or the chain of their agreements; it is read soon.

        Raises:
            NoObservationError: AWS did not tell the lineage; nothing was issued.
            ContradictionError: the keys mean two licenses.
            LedgerError: the database can't be written.
        """
        told = self.read(known_by, license_arn_heard=license_arn_heard)
        known_by = _with_agreement(known_by, told, at=self._now())
        new_license_id = LicenseId(str(uuid4()))
        heard = None if license_arn_heard == names.value_of(known_by, KeyKind.LICENSE_ARN) else license_arn_heard

        def decide(transaction: Transaction) -> LicenseId:
            for agreement in told:
                known_agreements.note(transaction, agreement)
            license_id = issue_license(transaction, new_license_id, product_code=product_code, names=known_by)
            observations.request(transaction, license_id, priority=Priority.REGISTRATION, license_arn_heard=heard)
            return license_id

        work = Work(decide=decide, caller=caller, keys=claiming(known_by), writes_rows=True)
        return self._ledger.submit(work)

    def describe(self, agreement_id: str) -> Agreement | None:
        """How an agreement stands now; null if AWS does not tell it to this seller.

        Raises:
            NoAnswerError: AWS did not answer.
        """
        return entitlements.describe_agreement(self._clients, agreement_id, budget=self._budget, at=self._now())

    def chain(self, initial_agreement_id: str) -> tuple[Agreement, ...]:
        """The agreements of a chain of renewals and replacements; none if AWS does not tell them to this seller.

        Raises:
            NoObservationError: AWS did not answer.
        """
        return entitlements.agreements_of_chain(
            self._clients, initial_agreement_id, budget=self._budget, at=self._now()
        )

    def is_unknown(self, known_by: Sequence[Name]) -> bool:
        """Whether AWS would have to be asked about these names."""
        agreement_id = names.value_of(known_by, KeyKind.AGREEMENT)
        arn = names.value_of(known_by, KeyKind.LICENSE_ARN)
        if agreement_id is not None:
            return not self._was_read(agreement_id)
        return arn is not None and not self._is_known(arn)

    def _was_read(self, agreement_id: str) -> bool:
        with self._ledger.reading.connect() as reading:
            known = known_agreements.find(reading, agreement_id)
        return known is not None and known.read_at is not None

    def _is_known(self, license_arn: str) -> bool:
        query = sqlalchemy.select(LICENSE_KEYS.c.license_id).where(
            LICENSE_KEYS.c.kind == KeyKind.LICENSE_ARN.value, LICENSE_KEYS.c.value == license_arn
        )
        with self._ledger.reading.connect() as reading:
            return reading.scalar(query) is not None or bool(known_agreements.of_arn(reading, license_arn))


def _with_agreement(known_by: Sequence[Name], told: Sequence[Agreement], *, at: datetime) -> tuple[Name, ...]:
    """The names, and the agreement that AWS told for the ARN: of several the latest that has begun."""
    if not told or names.value_of(known_by, KeyKind.AGREEMENT) is not None:
        return tuple(known_by)
    in_order = known_agreements.in_order(told)
    begun = [one for one in in_order if one.has_started(at=at)] or in_order
    return (*known_by, (KeyKind.AGREEMENT, begun[-1].agreement_id))
