"""Products: which agreements are about products of the seller that this ledger does not serve, as far as AWS told.

Nothing is guessed: an id is one of another product if AWS named its code, or if the ids of all that are served are
known and it is none of them.
"""

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy
from sqlalchemy import Connection

from consumers.marketplace import known_agreements
from consumers.marketplace.agreement import Agreement
from consumers.marketplace.tables import PRODUCTS


def note(rows: Connection, product_id: str, *, product_code: str) -> None:
    """Keep which product an id is of."""
    this = PRODUCTS.c.product_id == product_id
    known = rows.scalar(sqlalchemy.select(PRODUCTS.c.product_code).where(this))
    if known is None:
        rows.execute(sqlalchemy.insert(PRODUCTS).values(product_id=product_id, product_code=product_code))
    elif known != product_code:
        rows.execute(sqlalchemy.update(PRODUCTS).where(this).values(product_code=product_code))


def of_others(rows: Connection, agreements: Collection[Agreement], *, served: Collection[str]) -> Sequence[Agreement]:
    """Those of some agreements that are about products which are not served, and about no other.

    One of which AWS told no product is about the same as the agreements that it follows, or that follow it.

    Args:
        rows: what AWS told.
        agreements: of which no license is known.
        served: the codes of the products that this ledger serves.
    """
    if not agreements:
        return ()
    codes = {row.product_id: row.product_code for row in rows.execute(sqlalchemy.select(PRODUCTS))}
    return [one for one in agreements if _is_of_others(_products_of(rows, one), codes, served=served)]


def _products_of(rows: Connection, agreement: Agreement) -> Collection[str]:
    if agreement.product_ids is not None:
        return agreement.product_ids
    return {id_ for one in known_agreements.relatives(rows, agreement) for id_ in one.product_ids or ()}


def _is_of_others(product_ids: Collection[str], codes: Mapping[str, str], *, served: Collection[str]) -> bool:
    ours = {product_id for product_id, code in codes.items() if code in served}
    others = codes.keys() - ours
    all_ours_are_known = {codes[product_id] for product_id in ours} == {*served}
    return bool(product_ids) and all(
        product_id in others or (all_ours_are_known and product_id not in ours) for product_id in product_ids
    )
