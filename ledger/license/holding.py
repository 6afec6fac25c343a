"""Whose a license is: by customer and product, as a key's scope names them.

AWS calls one buyer and one product by several names as time goes by. A key that was given to client programs goes on
working whatever name it was made with.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from typing import NamedTuple

from ledger.license.events import KeyKind
from ledger.license.state import License


class Holding(NamedTuple):
    """What a customer holds of one product; it may be several licenses, for AWS may sell one account several times.

    Attributes:
        customer_id: the buyer's AWS account, or the legacy customer identifier.
        product: its id or its code, for legacy messages tell the code alone.
    """

    customer_id: str
    product: str


@dataclass(frozen=True, slots=True)
class Holder:
    """The buyer who has a license now.

    Attributes:
        account: the AWS account; null if AWS did not tell it.
        identifier: the legacy customer identifier of the same buyer; null if there is none.
    """

    account: str | None = None
    identifier: str | None = None

    @property
    def customer_id(self) -> str | None:
        """The AWS account, else the legacy identifier; null if neither is known."""
        return self.account if self.account is not None else self.identifier

    @property
    def customer_ids(self) -> Sequence[str]:
        """Each id by which the buyer can be called."""
        return tuple(one for one in (self.account, self.identifier) if one is not None)

    def known_by(self, kind: KeyKind, value: str) -> "Holder":
        """The buyer after one more name of the license; another account is another buyer."""
        match kind:
            case KeyKind.ACCOUNT:
                return Holder(value, self.identifier if self.account in (None, value) else None)
            case KeyKind.CUSTOMER:
                return replace(self, identifier=value.partition("/")[2])
            case _:
                return self


def holder_of(names: Iterable[tuple[KeyKind, str]]) -> Holder:
    """Who has a license with these names, the latest last."""
    return reduce(lambda holder, name: holder.known_by(*name), names, Holder())


def products_of(license_: License) -> Sequence[str]:
    """Each code and id of the product, those of listings before the present one too."""
    ids = (value for kind, value in license_.names if kind is KeyKind.PRODUCT)
    return tuple(dict.fromkeys((*license_.product_codes, *ids)))


def holdings_of(license_: License) -> Sequence[Holding]:
    """As what a license is held; as nothing as long as the customer is unknown."""
    return [Holding(*one) for one in product(holder_of(license_.names).customer_ids, products_of(license_))]
