"""Whose a license is, as AWS's names for one buyer and one product change."""

from collections.abc import Sequence

import pytest

from ledger.license.events import KeyKind
from ledger.license.holding import Holding, holder_of, holdings_of
from ledger.license.state import License
from tests.stories import LICENSE

LEGACY = (KeyKind.CUSTOMER, "old-code/X01EXAMPLEX")
ADAS = (KeyKind.ACCOUNT, "111122223333")
GRACES = (KeyKind.ACCOUNT, "444422221111")


@pytest.mark.parametrize(
    ("names", "customer_id", "customer_ids"),
    [
        ((), None, ()),
        ((LEGACY,), "X01EXAMPLEX", ("X01EXAMPLEX",)),
        ((LEGACY, ADAS), "111122223333", ("111122223333", "X01EXAMPLEX")),
        ((ADAS, LEGACY, ADAS), "111122223333", ("111122223333", "X01EXAMPLEX")),
        ((LEGACY, ADAS, GRACES), "444422221111", ("444422221111",)),
        ((ADAS, GRACES, LEGACY), "444422221111", ("444422221111", "X01EXAMPLEX")),
    ],
)
def test_a_buyer_is_called_by_account_and_identifier(
    names: Sequence[tuple[KeyKind, str]], customer_id: str | None, customer_ids: Sequence[str]
) -> None:
    """The account is told where it is known; another account is another buyer, whom no earlier identifier means."""
    holder = holder_of(names)
    assert (holder.customer_id, holder.customer_ids) == (customer_id, customer_ids)


def test_a_license_is_held_by_each_name_of_buyer_and_product() -> None:
    """Those of a listing before the present one too."""
    ids = ((KeyKind.PRODUCT, "prod-old"), (KeyKind.PRODUCT, "prod-new"))
    license_ = License(license_id=LICENSE, product_codes=("old-code", "new-code"), names=(LEGACY, ADAS, *ids))
    products = ("old-code", "new-code", "prod-old", "prod-new")
    assert set(holdings_of(license_)) == {
        Holding(customer, product) for customer in ("111122223333", "X01EXAMPLEX") for product in products
    }
