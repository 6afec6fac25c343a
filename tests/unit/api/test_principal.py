"""What a role may do and a scope reaches."""

from datetime import timedelta

import pytest

from api.principal import Permission, Principal
from ledger.keys import Key, KeyScope
from ledger.license.access import LicenseStatus
from ledger.license.events import ActorRole, LicenseId
from ledger.license.holding import Holder
from ledger.system.events import KeyRole
from projections.license_information import LicenseInformation
from tests.stories import LICENSE, NOON, OTHER_LICENSE, PRODUCT_CODE

ITS: LicenseInformation = LicenseInformation(
    license_id=LICENSE,
    customer_id="111122223333",
    product_id="prod-softphone",
    product_code=PRODUCT_CODE,
    holder=Holder("111122223333", "X01EXAMPLEX"),
    products=(PRODUCT_CODE, "prod-softphone"),
    company_name=None,
    seats_max=0,
    seats_active=0,
    seats_blocked=0,
    seats_available=0,
    status=LicenseStatus.PENDING,
    lapse_reason=None,
    ended_at=None,
    renewal_date=None,
    renewal=None,
    usable_until=None,
    license_arn=None,
    agreement_id=None,
    folded_into=None,
    version=1,
    position=1,
    as_of=NOON,
)


def principal(role: KeyRole = KeyRole.ADMIN, *, scope: KeyScope | None = None) -> Principal:
    """The holder of a key."""
    return Principal.of_key(
        Key(
            key_id="key-1",
            name="a key",
            role=role,
            scope=scope or KeyScope(),
            issued_at=NOON,
            expires_at=None,
            revoked_at=None,
        )
    )


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        (KeyRole.OPERATOR, set(Permission) - {Permission.SIGN_USERS_IN_BY_KEY}),
        (
            KeyRole.ADMIN,
            {Permission.READ, Permission.CHANGE_SEATS, Permission.PREVIEW_LIMIT, Permission.SEE_SIGN_INS},
        ),
        (KeyRole.CLIENT, {Permission.SIGN_USERS_IN, Permission.SIGN_USERS_IN_BY_KEY}),
        (KeyRole.AUDITOR, {Permission.READ}),
    ],
)
def test_a_role_may_do_what_the_table_says(role: KeyRole, permissions: set[Permission]) -> None:
    """That, and nothing else."""
    assert {what for what in Permission if principal(role).may(what)} == permissions


@pytest.mark.parametrize(
    ("scope", "reached"),
    [
        (KeyScope(), True),
        (KeyScope(licenses=(LICENSE, OTHER_LICENSE)), True),
        (KeyScope(licenses=(OTHER_LICENSE,)), False),
        (KeyScope(licenses=()), False),
        (KeyScope(customer_id="111122223333", product_id="prod-softphone"), True),
        (KeyScope(customer_id="111122223333", product_id=PRODUCT_CODE), True),
        (KeyScope(customer_id="111122223333", product_id="prod-other"), False),
        (KeyScope(customer_id="444455556666", product_id="prod-softphone"), False),
        (KeyScope(customer_id="111122223333"), True),
        (KeyScope(customer_id="X01EXAMPLEX", product_id=PRODUCT_CODE), True),
        (KeyScope(customer_id="X01EXAMPLEX", product_id="prod-other"), False),
    ],
)
def test_a_scope_reaches_its_licenses(scope: KeyScope, *, reached: bool) -> None:
    """By their ids, or by whose they are."""
    assert principal(scope=scope).reaches(ITS) is reached


def test_events_carry_the_role_and_the_opaque_id() -> None:
    """Never a name."""
    assert principal(KeyRole.CLIENT).actor.role is ActorRole.CLIENT
    assert principal(KeyRole.CLIENT).actor.id == "key-1"


def test_a_key_is_valid_until_its_moment() -> None:
    """Not at the moment itself."""
    key = Key(
        key_id="key-1",
        name="a key",
        role=KeyRole.CLIENT,
        scope=KeyScope(licenses=(LicenseId(LICENSE),)),
        issued_at=NOON,
        expires_at=NOON + timedelta(hours=1),
        revoked_at=None,
    )
    assert key.is_valid(at=NOON + timedelta(minutes=59))
    assert not key.is_valid(at=NOON + timedelta(hours=1))
