"""The facts about the ledger itself.

STORAGE FORMAT. What stands here is what is stored, for ever: never rename a class's `TYPE`, a field or a value, never
give a field another meaning.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, TypeAlias

from ledger.license.events import LicenseId

STREAM = "system"


class KeyRole(StrEnum):
    """What the holder of a key or sign-in may do."""

    OPERATOR = "operator"
    ADMIN = "admin"
    CLIENT = "client"
    AUDITOR = "auditor"


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessPolicySet:
    """Until when a contract may be used after its date, from now on."""

    TYPE: ClassVar[str] = "system.access-policy-set"
    expiry_grace_seconds: float
    blind_wait_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyIssued:
    """A key was given out. Its scope: some licenses, or a customer's of a product, or (all null) everything."""

    TYPE: ClassVar[str] = "system.key-issued"
    key_id: str
    name: str
    role: KeyRole
    licenses: tuple[LicenseId, ...] | None
    customer_id: str | None
    product_id: str | None
    expires_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRevoked:
    """A key was taken back."""

    TYPE: ClassVar[str] = "system.key-revoked"
    key_id: str


SystemEvent: TypeAlias = AccessPolicySet | KeyIssued | KeyRevoked
