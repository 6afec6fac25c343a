"""What AWS Marketplace says of an agreement beside its life: notices, advisories, requests, refunds.

None of them changes what a buyer is entitled to. The shapes are those that AWS documents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from consumers.sandbox.contracts import AtEnd, Contract, Product

SELLER_ACCOUNT_ID = "444455556666"
"""The account in which the sandbox's seller publishes its products."""
PARTNER_ACCOUNT_ID = "777788889999"
"""The account of the channel partner, who proposes what the seller does not sell by itself."""
SELLER_NAME = "Mirage"
ENDING_DAYS = (180, 120, 90, 60, 30)
"""So many days before the end of an agreement AWS says that it is ending."""

PROPOSER, MANUFACTURER = "Proposer", "Manufacturer"

_CURRENCY = "USD"
_AMOUNT = "100.00"
_REASON = "INCORRECT_TERMS_ACCEPTED"


class Notice(StrEnum):
    """The kinds of notices."""

    ENDING = "ending"
    RENEWAL_UPCOMING = "renewal-upcoming"
    RENEWAL_TERMS_FINALIZED = "renewal-terms-finalized"
    ADVISORY_ISSUED = "advisory-issued"
    ADVISORY_RESOLVED = "advisory-resolved"
    CANCELLATION_PENDING = "cancellation-pending"
    CANCELLATION_APPROVED = "cancellation-approved"
    CANCELLATION_REJECTED = "cancellation-rejected"
    CANCELLATION_WITHDRAWN = "cancellation-withdrawn"
    CANCELLATION_INVALID = "cancellation-invalid"
    REFUND_COMPLETED = "refund-completed"
    REFUND_FAILED = "refund-failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """A notice in AWS's words."""

    name: str
    """The detail-type, without the role."""
    detail: Mapping[str, Any]
    """The members beside requestId and catalog."""
    names_resource: bool = True
    """Whether the event names the agreement among its resources too."""
    role: str | None = None
    """As what the seller hears of it: null is as whichever the seller is in this agreement."""


_CANCELLATION: Mapping[Notice, tuple[str, str]] = {
    Notice.CANCELLATION_PENDING: ("Pending Approval", "PENDING_APPROVAL"),
    Notice.CANCELLATION_APPROVED: ("Approved", "APPROVED"),
    Notice.CANCELLATION_REJECTED: ("Rejected", "REJECTED"),
    Notice.CANCELLATION_WITHDRAWN: ("Cancelled", "CANCELLED"),
    Notice.CANCELLATION_INVALID: ("Validation Failed", "VALIDATION_FAILED"),
}


def word(notice: Notice, contract: Contract, product: Product, *, days: int, at: datetime) -> Wording:
    """Put a notice about a contract into AWS's words.

    Args:
        notice: of which kind.
        contract: which one it is about.
        product: what the contract is of.
        days: how many days before its end an ending contract is told of.
        at: when it is said.
    """
    match notice:
        case Notice.ENDING:
            return Wording(
                name="Purchase Agreement Ending", detail=_ending(contract, product, days=days), role=PROPOSER
            )
        case Notice.RENEWAL_UPCOMING:
            renewal = {"lockoutReached": True, "tcv": _AMOUNT, "currency": _CURRENCY}
            return Wording(
                name="Purchase Agreement Renewal Upcoming",
                detail=_renewal(contract, product) | {"renewalSummary": renewal},
                role=PROPOSER,
            )
        case Notice.RENEWAL_TERMS_FINALIZED:
            terms = {
                "tcv": _AMOUNT,
                "currency": _CURRENCY,
                "termsFinalizedTime": instant(at),
                "lockoutReached": None,
                "lockoutStartTime": None,
            }
            return Wording(
                name="Purchase Agreement Renewal Terms Finalized",
                detail=_renewal(contract, product) | {"renewalSummary": terms},
                role=PROPOSER,
            )
        case Notice.ADVISORY_ISSUED:
            return _advisory("Issued", {"issuedAt": instant(at)}, contract, product)
        case Notice.ADVISORY_RESOLVED:
            return _advisory("Resolved", {"resolvedAt": instant(at)}, contract, product)
        case Notice.REFUND_COMPLETED:
            return _refund("Completed", contract)
        case Notice.REFUND_FAILED:
            return _refund("Failed", contract)
        case _:
            name, status = _CANCELLATION[notice]
            return _cancellation(name, status, contract, product, at=at)


def instant(at: datetime) -> str:
    """Write a time as AWS's agreement events do: milliseconds only where there are any."""
    in_utc = at.astimezone(UTC).replace(tzinfo=None)
    timespec = "milliseconds" if in_utc.microsecond >= 1000 else "seconds"  # noqa: PLR2004  microseconds in a millisecond
    return in_utc.isoformat(timespec=timespec) + "Z"


def renewal_summary(contract: Contract) -> Mapping[str, Any]:
    """Say who opted out of a renewal; the sandbox's offers have no time from which on nobody can."""
    return {"lockoutStartTime": None, "disabledBy": contract.opted_out_by}


def _term(contract: Contract) -> Mapping[str, Any]:
    return {
        "id": contract.agreement_id,
        "startTime": instant(contract.starts_at),
        "endTime": instant(contract.ends_at),
    }


def _renewal(contract: Contract, product: Product) -> dict[str, Any]:
    return {
        "agreement": _term(contract),
        "product": {"id": product.id, "title": product.title},
        "proposer": {"name": SELLER_NAME, "accountId": SELLER_ACCOUNT_ID},
    }


def _ending(contract: Contract, product: Product, *, days: int) -> Mapping[str, Any]:
    agreement = {
        **_term(contract),
        "status": contract.status.value,
        "daysBeforeEndTime": days,
        "autoRenewalEnabled": contract.at_end is AtEnd.RENEW,
    }
    return _renewal(contract, product) | {
        "agreement": agreement,
        "renewalSummary": renewal_summary(contract),
        "offer": {"id": contract.offer_id},
    }


def _advisory(name: str, advisory: Mapping[str, str], contract: Contract, product: Product) -> Wording:
    return Wording(
        name=f"Purchase Agreement Advisory {name}",
        detail={
            "agreement": {"id": contract.agreement_id},
            "product": {"id": product.id},
            "offer": {"id": contract.offer_id},
            "advisory": advisory,
        },
        role=MANUFACTURER,
    )


def _cancellation(name: str, status: str, contract: Contract, product: Product, *, at: datetime) -> Wording:
    return Wording(
        name=f"Agreement Cancellation Request {name}",
        detail={
            "agreement": {
                "id": contract.agreement_id,
                "acceptorId": contract.account_id,
                "productId": product.id,
                "offerId": contract.offer_id,
            },
            "agreementCancellationRequest": {
                "id": contract.agreement_id.replace("agmt-", "acr-"),
                "reasonCode": _REASON,
                "reasonMessage": "",
                "statusCode": status,
                "statusMessage": "",
                "createdAt": instant(at),
                "updatedAt": instant(at),
            },
        },
        names_resource=False,
        role=PROPOSER if status == "VALIDATION_FAILED" else None,
    )


def _refund(name: str, contract: Contract) -> Wording:
    return Wording(
        name=f"Purchase Agreement Billing Adjustment {name}",
        detail={
            "agreement": {"id": contract.agreement_id},
            "billingAdjustmentRequest": {
                "id": contract.agreement_id.replace("agmt-", "ba-"),
                "adjustmentAmount": f"-{_AMOUNT}",
                "currencyCode": _CURRENCY,
                "adjustmentReasonCode": _REASON,
            },
            "invoice": {"originalInvoiceId": "2028746221"},
        },
        names_resource=False,
        role=PROPOSER if name == "Failed" else None,
    )
