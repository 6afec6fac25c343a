"""The tables beside the events in the ledger's database.

`directory`, `license_keys`, `holdings` and `snapshots` can be made again from the events, and `holdings` are so by
themselves where they are missing; the others are primary data.
"""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint

METADATA = MetaData()
SCHEMA_VERSION = 4
# Snapshots of another format are not read: the state is made from the events, and a new snapshot written.
SNAPSHOT_FORMAT = 4

HEAD = Table(
    "head",
    METADATA,
    Column("one", Integer, primary_key=True),
    Column("schema_version", Integer, nullable=False),
    Column("ledger_id", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("recorded_at_microseconds", BigInteger, nullable=False),
)

DIRECTORY = Table(
    "directory",
    METADATA,
    Column("license_id", Text, primary_key=True),
    Column("identity_hash", LargeBinary, primary_key=True),
    Column("seat_id", Text, nullable=False),
    Column("named_version", Integer, nullable=False),
    sqlite_with_rowid=False,
)

LICENSE_KEYS = Table(
    "license_keys",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("license_id", Text, nullable=False),
    sqlite_with_rowid=False,
)

# Also what was of another customer or product before: who asks looks at the license itself.
HOLDINGS = Table(
    "holdings",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("product", Text, primary_key=True),
    Column("license_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)

IDEMPOTENCY = Table(
    "idempotency",
    METADATA,
    Column("key_hash", LargeBinary, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("answered_at_microseconds", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

SNAPSHOTS = Table(
    "snapshots",
    METADATA,
    Column("stream", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("format", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
)

SECRETS = Table(
    "secrets",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

NEW_USERS = Table(
    "new_users",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("hour", Integer, primary_key=True),
    Column("users", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# Who does a job of which only one process may do it, until when by the database's clock. On SQLite files are locked.
ELECTIONS = Table(
    "elections",
    METADATA,
    Column("job", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("until_microseconds", BigInteger, nullable=False),
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("licenses", Text),
    Column("customer_id", Text),
    Column("product_id", Text),
    Column("expires_at_microseconds", BigInteger),
    Column("issued_at_microseconds", BigInteger, nullable=False),
    Column("revoked_at_microseconds", BigInteger),
    UniqueConstraint("secret_hash"),
)


def schema_is_wrong(database: str, version: int) -> str:
    """One line about a database with a schema of another version."""
    age = "newer" if version > SCHEMA_VERSION else "older"
    return (
        f"The ledger's database {database} has schema {version}, {age} than this program's {SCHEMA_VERSION}."
        " Use the program's version that belongs to it."
    )
