"""Who calls, and what they may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from api.problems import Problem
from ledger.keys import Key, Keys, KeyScope
from ledger.license.events import Actor, ActorRole, LicenseId
from ledger.system.events import KeyRole
from projections.license_information import LicenseInformation


class Permission(StrEnum):
    """What a call needs the caller to be allowed."""

    READ = "read"
    CHANGE_SEATS = "change seats"
    PREVIEW_LIMIT = "preview a seat limit"
    SIGN_USERS_IN = "sign users in"
    SIGN_USERS_IN_BY_KEY = "sign users in without naming a license"
    SEE_SIGN_INS = "see who is signed in"
    KEEP_KEYS = "issue and revoke keys"
    KEEP_INBOX = "look after the inbox"
    DECIDE_SUCCESSION = "decide which agreement follows"
    SEE_DRIFT = "see whether the ledger agrees with AWS"


_PERMISSIONS: Final[Mapping[KeyRole, frozenset[Permission]]] = {
    # An operator's key tells no customer, so that there is nothing to choose a license from.
    KeyRole.OPERATOR: frozenset(Permission) - {Permission.SIGN_USERS_IN_BY_KEY},
    KeyRole.ADMIN: frozenset(
        {Permission.READ, Permission.CHANGE_SEATS, Permission.PREVIEW_LIMIT, Permission.SEE_SIGN_INS}
    ),
    KeyRole.CLIENT: frozenset({Permission.SIGN_USERS_IN, Permission.SIGN_USERS_IN_BY_KEY}),
    KeyRole.AUDITOR: frozenset({Permission.READ}),
}

# An auditor's calls read alone, so that no event ever carries the role of one.
_ACTOR_ROLES: Final[Mapping[KeyRole, ActorRole]] = {
    KeyRole.OPERATOR: ActorRole.OPERATOR,
    KeyRole.ADMIN: ActorRole.ADMIN,
    KeyRole.CLIENT: ActorRole.CLIENT,
    KeyRole.AUDITOR: ActorRole.ADMIN,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """The holder of a key or a sign-in.

    Attributes:
        role: what they may do.
        scope: which licenses they reach.
        actor: as whom the events they cause name them: by the opaque id of the key or sign-in.
        key_id: the key that was shown, now or when signing in; null if a registration link was.
    """

    role: KeyRole
    scope: KeyScope
    actor: Actor
    key_id: str | None

    @classmethod
    def of(cls, *, role: KeyRole, scope: KeyScope, actor_id: str, key_id: str | None) -> Self:
        """The principal of a role who is known by an opaque id."""
        return cls(role=role, scope=scope, actor=Actor(_ACTOR_ROLES[role], actor_id), key_id=key_id)

    @classmethod
    def of_key(cls, key: Key) -> Self:
        """The principal who shows a key."""
        return cls.of(role=key.role, scope=key.scope, actor_id=key.key_id, key_id=key.key_id)

    def may(self, what: Permission) -> bool:
        """Whether the role allows it."""
        return what in _PERMISSIONS[self.role]

    def reaches(self, information: LicenseInformation) -> bool:
        """Whether the scope has this license."""
        return (
            self.names(information.license_id)
            and self.scope.customer_id in (None, *information.holder.customer_ids)
            and self.scope.product_id in (None, *information.products)
        )

    def names(self, license_id: LicenseId) -> bool:
        """Whether the scope lists this license, or lists none at all."""
        return self.scope.licenses is None or license_id in self.scope.licenses

    @property
    def asks_whose(self) -> bool:
        """Whether the scope depends on whose a license is."""
        return self.scope.customer_id is not None or self.scope.product_id is not None


def authenticate(header: str | None, *, keys: Keys, at: datetime) -> Principal:
    """Who sends a request with this `Authorization` header.

    Raises:
        Problem: `UNAUTHENTICATED`: there is no key in it, or one that opens nothing now.
    """
    scheme, _, secret = (header or "").strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise Problem(
            "UNAUTHENTICATED",
            "This call needs a key. Send it in the header Authorization: Bearer KEY.",
            headers={"WWW-Authenticate": 'Bearer realm="licensing-ledger"'},
        )
    key = keys.find(secret)
    if key is None or not key.is_valid(at=at):
        raise Problem(
            "UNAUTHENTICATED",
            "This key is not known, or it has expired or was revoked. Ask the operator for a new one.",
            headers={"WWW-Authenticate": 'Bearer realm="licensing-ledger", error="invalid_token"'},
        )
    return Principal.of_key(key)
