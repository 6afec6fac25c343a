"""Succession decided by an operator: what would follow behind a license, and what that would do."""

from dataclasses import dataclass

from ledger.errors import LedgerError
from ledger.license.events import KeyKind, LicenseId


class KeyIsMalformedError(LedgerError):
    """What was given is no key by which AWS names a license."""

    CODE = "INVALID"

    def __init__(self) -> None:
        """Say what one looks like."""
        super().__init__(
            "This is neither a LicenseArn (arn:aws:license-manager::…:license:l-…) nor the id of an agreement (agmt-…)."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessionPlan:
    """What it would mean that a key follows behind a license.

    Attributes:
        license_id: the license that goes on, with its seats.
        kind: of the key.
        value: the key in the ledger's form.
        follows_already: whether it stands behind this license as it is.
        twin: the license that has the key now, and would be folded into this one; null if none has it.
        agreement_id_before: the agreement that stands behind the license now; null if none is known.
        agreement_id_after: the one that would; null if none is known.
        product_code_before: of the license now.
        product_code_after: of the license then.
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
