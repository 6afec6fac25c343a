"""Whose a license is: by customer and product, as a key's scope names them."""

from collections.abc import Sequence
from typing import NamedTuple

from ledger.license.events import KeyKind


class Holding(NamedTuple):
    """What a customer holds of one product; it may be several licenses, for AWS may sell one account several times.

    Attributes:
        customer_id: the buyer's AWS account, else the legacy customer identifier.
        product: its id or its code, for legacy messages tell the code alone.
    """

    customer_id: str
    product: str


def customer_id(*, account: str | None, customer: str | None) -> str | None:
    """The AWS account, else the legacy identifier, which stands after the product code; null if neither is known."""
    if account is not None or customer is None:
        return account
    return customer.partition("/")[2]


def holdings_of(product_code: str, names: Sequence[tuple[KeyKind, str]]) -> Sequence[Holding]:
    """As what a license with these names, the latest last, is held; as nothing as long as the customer is unknown."""
    current = dict(names)
    customer = customer_id(account=current.get(KeyKind.ACCOUNT), customer=current.get(KeyKind.CUSTOMER))
    if customer is None:
        return ()
    products = (product_code, current.get(KeyKind.PRODUCT))
    return [Holding(customer, product) for product in products if product is not None]
