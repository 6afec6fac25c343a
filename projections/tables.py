"""The tables of all views, one set for each generation. What depends on the clock stands in none of them.

Licenses and seats have numbers of the views' own, in the order in which they are first heard of: an index of those
grows at its end, where one of random ids would touch a page of the file for each event.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, ScalarSelect, Table
from sqlalchemy import Text as AnyText

from projections.generations import suffix

# Sorted and compared by code points on every engine, whatever language a database was made for.
Text = AnyText().with_variant(AnyText(collation="C"), "postgresql")

_TO_WRITE: Final = "to write"


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """One set.

    Attributes:
        metadata: what makes them.
        licenses: a row for each license.
        access_policy: the policy in force, one row at most.
        seats: a row for each seat ever heard of.
        history: a row for each event of a license.
    """

    metadata: MetaData
    licenses: Table
    access_policy: Table
    seats: Table
    history: Table

    @property
    def indexes(self) -> list[Index]:
        """The indexes of all tables."""
        found = {index for table in self.metadata.sorted_tables for index in table.indexes}
        return sorted(found, key=lambda one: str(one.name))

    @property
    def indexes_to_write(self) -> list[Index]:
        """Those by which the rows are found that events are about."""
        return [index for index in self.indexes if _TO_WRITE in index.info]

    @property
    def indexes_to_read(self) -> list[Index]:
        """Those that only readers need."""
        return [index for index in self.indexes if _TO_WRITE not in index.info]


# The same objects for the same generation, so that statements are compiled once.
@lru_cache(maxsize=8)
def tables_of(number: int) -> Tables:
    """The tables of a generation."""
    metadata, ending = MetaData(), suffix(number)
    return Tables(
        metadata=metadata,
        licenses=_licenses_table(metadata, ending),
        access_policy=_access_policy_table(metadata, ending),
        seats=_seats_table(metadata, ending),
        history=_history_table(metadata, ending),
    )


def license_key(tables: Tables, license_id: str) -> "ScalarSelect[int]":
    """The number that a license has in these tables."""
    licenses = tables.licenses
    return sqlalchemy.select(licenses.c.license_key).where(licenses.c.license_id == license_id).scalar_subquery()


def _licenses_table(metadata: MetaData, suffix: str) -> Table:
    """A row for each license.

    `company_key` is the company's name casefolded, by which the list is sorted; `search` is all that a license can be
    searched by, casefolded. `account` and `identifier` are those of `Holder`; `products` and `known_as` list all codes
    and ids of the product, and all names of the license, one a line. The subscription's columns are null before it
    started.
    """
    name = f"licenses{suffix}"
    return Table(
        name,
        metadata,
        _key("license_key"),
        Column("license_id", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("product_code", Text, nullable=False),
        Column("account", Text),
        Column("identifier", Text),
        Column("product", Text),
        Column("products", Text, nullable=False),
        Column("known_as", Text, nullable=False),
        Column("license_arn", Text),
        Column("agreement", Text),
        Column("company_name", Text),
        Column("company_key", Text, nullable=False),
        Column("search", Text, nullable=False),
        Column("seats_max", Integer),
        Column("renews_at_microseconds", BigInteger),
        Column("lapse_reason", Text),
        Column("ended_at_microseconds", BigInteger),
        Column("renewal_intent", Text),
        Column("renewal_source", Text),
        Column("renewal_announced_at_microseconds", BigInteger),
        Column("folded_into", Text),
        Column("seats_active", Integer, nullable=False),
        Column("seats_blocked", Integer, nullable=False),
        Column("seats_inactive", Integer, nullable=False),
        Column("seats_deleted", Integer, nullable=False),
        Index(f"{name}_by_id", "license_id", unique=True, info={_TO_WRITE: True}),
        Index(f"{name}_by_company", "company_key", "license_id"),
        Index(f"{name}_by_account", "account"),
        Index(f"{name}_by_identifier", "identifier"),
    )


def _access_policy_table(metadata: MetaData, suffix: str) -> Table:
    """The access policy in force; no row before one was set."""
    return Table(
        f"access_policy{suffix}",
        metadata,
        Column("expiry_grace_microseconds", BigInteger, nullable=False),
        Column("blind_wait_microseconds", BigInteger, nullable=False),
    )


def _seats_table(metadata: MetaData, suffix: str) -> Table:
    """A row for each seat ever heard of; `identity` is the user's name casefolded, by which the list is sorted."""
    name = f"seats{suffix}"
    return Table(
        name,
        metadata,
        _key("seat_key"),
        Column("license_key", Integer, nullable=False),
        Column("seat_id", Text, nullable=False),
        Column("user", Text, nullable=False),
        Column("identity", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("activated_at_microseconds", BigInteger),
        Column("blocked_at_microseconds", BigInteger),
        Column("deleted_at_microseconds", BigInteger),
        Column("reason", Text),
        Column("note", Text),
        Column("actor_role", Text, nullable=False),
        Column("actor_id", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Index(f"{name}_by_id", "seat_id", info={_TO_WRITE: True}),
        Index(f"{name}_by_user", "license_key", "identity"),
    )


def _history_table(metadata: MetaData, suffix: str) -> Table:
    """A row for each event of a license; `user` is the name that the seat's user went by then."""
    name = f"history{suffix}"
    return Table(
        name,
        metadata,
        _key("position"),
        Column("license_key", Integer, nullable=False),
        Column("seat_key", Integer),
        Column("version", Integer, nullable=False),
        Column("append_first", Integer, nullable=False),
        Column("append_last", Integer, nullable=False),
        Column("type", Text, nullable=False),
        Column("recorded_at_microseconds", BigInteger, nullable=False),
        Column("actor_role", Text, nullable=False),
        Column("actor_id", Text, nullable=False),
        Column("cause", Text),
        Column("user", Text),
        Column("data", Text, nullable=False),
        Index(f"{name}_by_license", "license_key", "position"),
        Index(f"{name}_by_seat", "seat_key", "position"),
    )


def _key(name: str) -> "Column[int]":
    # In SQLite only an INTEGER key is the row's own place.
    return Column(name, BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False)
