"""The tables of all views, one set for each generation. What depends on the clock stands in none of them."""

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

from projections.generations import suffix


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


def _licenses_table(metadata: MetaData, suffix: str) -> Table:
    """A row for each license.

    `company_key` is the company's name casefolded, by which the list is sorted; `search` is all that a license can be
    searched by, casefolded; the names and `customer_id` are as in `LicenseInformation`. The subscription's columns are
    null before it started.
    """
    name = f"licenses{suffix}"
    return Table(
        name,
        metadata,
        Column("license_id", Text, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("product_code", Text, nullable=False),
        Column("account", Text),
        Column("customer", Text),
        Column("product", Text),
        Column("license_arn", Text),
        Column("agreement", Text),
        Column("customer_id", Text),
        Column("company_name", Text),
        Column("company_key", Text, nullable=False),
        Column("search", Text, nullable=False),
        Column("seats_max", Integer),
        Column("renews_at_microseconds", BigInteger),
        Column("lapse_reason", Text),
        Column("ended_at_microseconds", BigInteger),
        Column("seats_active", Integer, nullable=False),
        Column("seats_blocked", Integer, nullable=False),
        Column("seats_inactive", Integer, nullable=False),
        Column("seats_deleted", Integer, nullable=False),
        Index(f"{name}_by_company", "company_key", "license_id"),
        Index(f"{name}_by_customer", "customer_id"),
        sqlite_with_rowid=False,
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
    """A row for each seat ever heard of.

    `identity` is the user's name casefolded, by which the list is sorted. The key begins with the seat's id: a batch
    finds its seats by that alone.
    """
    name = f"seats{suffix}"
    return Table(
        name,
        metadata,
        Column("seat_id", Text, primary_key=True),
        Column("license_id", Text, primary_key=True),
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
        Index(f"{name}_by_user", "license_id", "identity", "seat_id"),
        sqlite_with_rowid=False,
    )


def _history_table(metadata: MetaData, suffix: str) -> Table:
    """A row for each event of a license; `user` is the name that the user went by then."""
    name = f"history{suffix}"
    return Table(
        name,
        metadata,
        # In SQLite only an INTEGER key is the row's own place.
        Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
        Column("license_id", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("append_first", Integer, nullable=False),
        Column("append_last", Integer, nullable=False),
        Column("type", Text, nullable=False),
        Column("recorded_at_microseconds", BigInteger, nullable=False),
        Column("actor_role", Text, nullable=False),
        Column("actor_id", Text, nullable=False),
        Column("cause", Text),
        Column("seat_id", Text),
        Column("user", Text),
        Column("data", Text, nullable=False),
        Index(f"{name}_by_license", "license_id", "position"),
        Index(f"{name}_by_seat", "seat_id", "position"),
    )
