"""What is known of one agreement: how it stands, which one it follows, from when to when, and what becomes of it."""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from ledger.license.events import LicenseId, RenewalIntent


class AgreementStatus(StrEnum):
    """How an agreement stands, of AWS's statuses those that tell something here."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    RENEWED = "RENEWED"
    REPLACED = "REPLACED"
    TERMINATED = "TERMINATED"


SUCCEEDED: Final = frozenset({AgreementStatus.RENEWED, AgreementStatus.REPLACED})
"""An agreement that another one follows has not ended for the customer."""
ENDED: Final = frozenset(AgreementStatus) - {AgreementStatus.ACTIVE}
"""An agreement that stands so never stands otherwise again."""
WHEN_ASKED: Final = frozenset({"DescribeAgreement", "SearchAgreements"})
"""The calls by which AWS tells all that it knows of the end of an agreement, not only whether it renews by itself."""
LOST: Final = ENDED - SUCCEEDED
"""It ended, and none follows."""


def status_of(text: str) -> AgreementStatus | None:
    """A status as AWS writes it; null for one that tells nothing here, such as that of an inactive revision."""
    return AgreementStatus(text) if text in AgreementStatus.__members__ else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """One agreement, as far as AWS told; what is null was not told.

    Attributes:
        agreement_id: AWS's id of it.
        license_id: the license behind which it stands, or will.
        account_id: the buyer's AWS account.
        initial_agreement_id: the first of its chain of renewals and replacements.
        previous_agreement_id: the one that it follows.
        license_arn: of the license that it gives, in the ledger's form.
        product_ids: the products that it is about, in the order of their ids.
        status: how it stands.
        starts_at: from when; it may be signed long before.
        ends_at: until when.
        trial_ends_at: until when it is a free trial; null for one without.
        renewal: what becomes of it at its end.
        renewal_source: the message or call that told that.
        renewal_told_at: when AWS said so.
        read_at: when AWS was asked about it itself, whatever it told.
        heard_at: when it was first heard of.
    """

    agreement_id: str
    license_id: LicenseId | None = None
    account_id: str | None = None
    initial_agreement_id: str | None = None
    previous_agreement_id: str | None = None
    license_arn: str | None = None
    product_ids: tuple[str, ...] | None = None
    status: AgreementStatus | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    trial_ends_at: datetime | None = None
    renewal: RenewalIntent | None = None
    renewal_source: str | None = None
    renewal_told_at: datetime | None = None
    read_at: datetime | None = None
    heard_at: datetime | None = None

    def has_started(self, *, at: datetime) -> bool:
        """Whether it runs, or did; one of which no start was told does, and one that ended before its start did not."""
        if self.starts_at is None:
            return True
        called_off = self.status in LOST and self.ends_at is not None and self.ends_at < self.starts_at
        return self.starts_at <= at and not called_off

    @property
    def has_ended(self) -> bool:
        """Whether AWS said that it is over, whatever follows."""
        return self.status in ENDED

    def ended_by(self, at: datetime) -> "Agreement":
        """As it is known if its end was heard at a moment: then it did not last longer."""
        is_earlier = self.status in LOST and (self.ends_at is None or self.ends_at > at)
        return replace(self, ends_at=at) if is_earlier else self

    def runs(self, *, at: datetime) -> bool:
        """Whether it has begun, and AWS did not say that it is over."""
        return self.has_started(at=at) and not self.has_ended

    def and_heard(self, heard: "Agreement") -> "Agreement":
        """With what was heard now: it says more, but nothing that ended comes back."""
        told = {name: value for name in _TOLD if (value := getattr(heard, name)) is not None}
        if self.has_ended and heard.status is AgreementStatus.ACTIVE:
            told.pop("status")
        if self.has_ended and self.ends_at is not None and heard.ends_at is not None and heard.ends_at > self.ends_at:
            told.pop("ends_at")
        if self.product_ids is not None and heard.product_ids is not None:
            # A message names one of several.
            told["product_ids"] = tuple(sorted({*self.product_ids, *heard.product_ids}))
        if heard.renewal is not None and not self._believes(heard):
            told = {name: value for name, value in told.items() if name not in _RENEWAL}
        return replace(self, **told)

    def _believes(self, heard: "Agreement") -> bool:
        """Whether what is told of the end counts: not what is older, nor less exact than what is known.

        A message tells whether it renews by itself, which an agreement that is going to be replaced does not.
        """
        is_less_exact = self.renewal is RenewalIntent.REPLACED and heard.renewal is RenewalIntent.ENDS
        if is_less_exact and heard.renewal_source not in WHEN_ASKED:
            return False
        return _is_later(heard.renewal_told_at, self.renewal_told_at)


def _is_later(told_at: datetime | None, before: datetime | None) -> bool:
    return before is None or (told_at is not None and told_at >= before)


_RENEWAL: Final = ("renewal", "renewal_source", "renewal_told_at")
_TOLD: Final = tuple(field.name for field in fields(Agreement) if field.name not in ("agreement_id", "heard_at"))
