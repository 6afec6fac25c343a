"""Succession decided by an operator: what would follow behind a license, and what that would do."""

from dataclasses import dataclass
from datetime import datetime

from ledger.errors import LedgerError
from ledger.license.events import KeyKind, LicenseId


class KeyIsMalformedError(LedgerError):
    """What was given is no key by which AWS names a license."""

    CODE = "INVALID"

    def __init__(self) -> None:
        """Say what one looks like."""
        super().__init__(
            "This is neither a LicenseArn (arn:aws:license-manager::…:license:l-…), nor the id of an agreement"
            " (agmt-…), nor the customer of a legacy license (product code/customer identifier)."
        )


class KeyIsUnknownError(LedgerError):
    """AWS never named this key to the ledger, so that it may be a typing error."""

    CODE = "KEY_UNKNOWN"

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__(
            "AWS Marketplace has never named this key here. Check it for a typing error; if it is right, let"
            " `licensing-ledger reconcile` look for it first."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessionPlan:
    """What it would mean that a key follows behind a license.

    Attributes:
        license_id: the license that goes on, with its users.
        kind: of the key.
        value: the key in the ledger's form.
        follows_already: whether it stands behind this license as it is.
        twin: the license that has the key now, and would be folded into this one; null if none has it.
        agreement_id_before: the agreement that stands behind the license now; null if none is known.
        agreement_id_after: the one that would; null if none is known.
        product_code_before: of the license now.
        product_code_after: of the license then.
        customer_id_before: whose the license is; null if that is not known.
        customer_id_after: whose what follows is; null if that is not known.
        is_of_another: whether that is another customer.
        company_name: as the customer registered it; null before that.
        seats_max_before: how many seats the license has; null if it does not run.
        seats_max_after: how many what follows has; null if that is not known yet.
        renews_at_before: until when; null if the license does not run.
        renews_at_after: until when what follows runs; null if that is not known yet.
        seats_active: how many users have a seat.
        seats_deleted: how many of them are deleted when the seats of the contract before are gone: all or none.
        must_free_first: how many users to block or delete before that, so that none is deleted.
    """

    license_id: LicenseId
    kind: KeyKind
    value: str
    follows_already: bool
    twin: LicenseId | None
    agreement_id_before: str | None
    agreement_id_after: str | None
    product_code_before: str
    product_code_after: str
    customer_id_before: str | None
    customer_id_after: str | None
    is_of_another: bool
    company_name: str | None
    seats_max_before: int | None
    seats_max_after: int | None
    renews_at_before: datetime | None
    renews_at_after: datetime | None
    seats_active: int
    seats_deleted: int
    must_free_first: int
