"""Rows of the consumer in the ledger's database: the inbox, and where each license stands with being read.

Times are whole microseconds since 1970. They are written under the append lock alone, so that each row and the events
that follow from it are one.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

METADATA = MetaData()

# number: the order of receipt, with gaps where a transaction failed.
# status: `new` (to be looked at), `waiting` (for a reading of its license), `parked` (for a key to become known, a
# successor or an answer of AWS), `done`, `repeated` (another message said the same before), `ignored` (with the
# reason), `failed` (can't be understood or contradicts what is known, with the reason).
# repeats: how often the same message came again. request_id: AWS's own id of what the message tells of.
# first_position, last_position: the events of the decision that it led to. reading: the one that it was done with.
# verified_at: when it was found to come from where it may come from; a new message without it is not worked on.
# anew_at: when it began anew, by a retry or because what it was parked for became known; null if it never did.
# dismissed_*: who said when and why that nobody need look at it any more while it is `failed` or `parked`.
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
    Column("request_id", Text),
    Column("repeats", Integer, nullable=False, default=0),
    Column("first_position", BigInteger),
    Column("last_position", BigInteger),
    Column("reading", BigInteger),
    Column("parked_at", BigInteger),
    Column("anew_at", BigInteger),
    Column("dismissed_at", BigInteger),
    Column("dismissed_by", Text),
    Column("dismissed_reason", Text),
    Column("dismissed_note", Text),
    Index("marketplace_inbox_status", "status", "due_at"),
    Index("marketplace_inbox_license", "license_id", "status"),
    Index("marketplace_inbox_agreement", "agreement_id", "status"),
    Index("marketplace_inbox_request", "request_id"),
    # A number that was removed is not given again: what names it would mean another one.
    sqlite_autoincrement=True,
)

# rows: GetEntitlements' rows as AWS answered them, in JSON. agreements: what AWS told of agreements, in JSON; null if
# it was not asked. Kept are those that messages waited for, that changed something, or that were no observation.
READINGS = Table(
    "marketplace_readings",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("license_id", Text, nullable=False),
    Column("read_at", BigInteger, nullable=False),
    Column("rows", Text, nullable=False),
    Column("agreements", Text),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Index("marketplace_readings_license", "license_id", "number"),
    # As for the inbox, whose messages name readings that were removed before them.
    sqlite_autoincrement=True,
)

# What AWS told of each agreement, as `agreement.Agreement` has it. heard_at: when it was first heard of. product_ids:
# with spaces between them.
AGREEMENTS = Table(
    "marketplace_agreements",
    METADATA,
    Column("agreement_id", Text, primary_key=True),
    Column("license_id", Text),
    Column("account_id", Text),
    Column("initial_agreement_id", Text),
    Column("previous_agreement_id", Text),
    Column("license_arn", Text),
    Column("product_ids", Text),
    Column("status", Text),
    Column("starts_at", BigInteger),
    Column("ends_at", BigInteger),
    Column("trial_ends_at", BigInteger),
    Column("renewal", Text),
    Column("renewal_source", Text),
    Column("renewal_told_at", BigInteger),
    Column("read_at", BigInteger),
    Column("heard_at", BigInteger, nullable=False),
    Index("marketplace_agreements_license", "license_id"),
    Index("marketplace_agreements_account", "account_id"),
    Index("marketplace_agreements_initial", "initial_agreement_id"),
    Index("marketplace_agreements_previous", "previous_agreement_id"),
    Index("marketplace_agreements_arn", "license_arn"),
)

# What AWS told of the seller's products, those that this ledger does not serve too.
PRODUCTS = Table(
    "marketplace_products",
    METADATA,
    Column("product_id", Text, primary_key=True),
    Column("product_code", Text, nullable=False),
)

# observation: the number that fences readings: only the reading that raised it last may decide.
# license_arn_heard: the ARN as AWS spelled it, where that is not the form in which the ledger holds it.
# reading_*: a first reading that waits for its second.
# coming_*: the smaller number that AWS shows already for the time after the present contract.
# saw_several: a legacy customer had several ARNs at first sight, so that a single one is not taken for the old one.
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
    Column("saw_several", Integer, nullable=False, default=0),
    Column("reading_seats_max", BigInteger),
    Column("reading_renews_at", BigInteger),
    Column("reading_due_at", BigInteger),
    Column("coming_seats_max", BigInteger),
    Column("coming_since", BigInteger),
    Index("marketplace_observations_due", "due_at"),
)

# spent_until: calls that all processes make together are spread over time; those made so far reach to this moment.
CALLS = Table(
    "marketplace_calls",
    METADATA,
    Column("budget", Text, primary_key=True),
    Column("spent_until", BigInteger, nullable=False),
)
