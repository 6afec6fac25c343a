"""Rows of the consumer in the ledger's database: the inbox, and where each license stands with being read.

Times are whole microseconds since 1970. They are written under the append lock alone, so that each row and the events
that follow from it are one.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

METADATA = MetaData()

# number: the order of receipt, with gaps where a transaction failed.
# status: `new` (to be looked at), `waiting` (for a reading of its license), `parked` (for a key to become known),
# `done`, `ignored` (with the reason), `failed` (can't be understood, with the reason). No row is ever removed.
# verified_at: when it was found to come from where it may come from; a new message without it is not worked on.
INBOX = Table(
    "marketplace_inbox",
    METADATA,
    # SQLite numbers only a column of this very type by itself.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("message_id", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("kind", Text),
    Column("sent_at", BigInteger),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", BigInteger),
    Column("verified_at", BigInteger),
    Column("license_id", Text),
    Column("agreement_id", Text),
    Index("marketplace_inbox_status", "status", "due_at"),
    Index("marketplace_inbox_license", "license_id", "status"),
    Index("marketplace_inbox_agreement", "agreement_id", "status"),
)

# observation: the number that fences readings: only the reading that raised it last may decide.
# license_arn_heard: the ARN as AWS spelled it, where that is not the form in which the ledger holds it.
# reading_*: a first reading that waits for its second.
# recheck: the pause before the latest recheck, 0 before the first.
OBSERVATIONS = Table(
    "marketplace_observations",
    METADATA,
    Column("license_id", Text, primary_key=True),
    Column("observation", Integer, nullable=False, default=0),
    Column("due_at", BigInteger),
    Column("priority", Integer, nullable=False, default=0),
    Column("leased_until", BigInteger, nullable=False, default=0),
    Column("recheck", BigInteger, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("reason", Text),
    Column("license_arn_heard", Text),
    Column("reading_seats_max", BigInteger),
    Column("reading_renews_at", BigInteger),
    Column("reading_due_at", BigInteger),
    Index("marketplace_observations_due", "due_at"),
)

# spent_until: calls that all processes make together are spread over time; those made so far reach to this moment.
CALLS = Table(
    "marketplace_calls",
    METADATA,
    Column("budget", Text, primary_key=True),
    Column("spent_until", BigInteger, nullable=False),
)
