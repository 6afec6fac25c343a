"""Rows of reconciliation in the ledger's database: how far each run is, what it has read and found, and its report.

A run is carried out page by page and license by license; each step writes what it did and how far it came in one
transaction, so that whoever comes after a kill goes on from there. Times are whole microseconds since 1970.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from consumers.marketplace.tables import METADATA

# phase: `asked`, then how far it is; `done` and `failed` are the ends.
# agreements_*: the search for agreements: from when on, where it is (null: at its beginning, or its end), how many.
# searched: whether the search came to its end.
# search_restarts: how often AWS did not know the token any more.
# compared_to: the licenses up to this id are compared.
# licenses*, seats_running: what was compared; licenses_awaited: how many AWS should show, since they run, have not come
# to their date, and their agreements were not heard to have ended.
# losses: what was weighed, as JSON; null where nothing would be lost.
# sees_nothing: AWS showed these credentials nothing at all.
# failures: how many tries in a row failed, with the latest reason as trouble.
RUNS = Table(
    "marketplace_reconciliations",
    METADATA,
    # SQLite numbers only a column of this very type by itself.
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("dry_run", Integer, nullable=False),
    Column("apply_losses", Integer, nullable=False),
    Column("phase", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("begun_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("agreements_after", BigInteger),
    Column("agreements_token", Text),
    Column("agreements", Integer, nullable=False, default=0),
    Column("searched", Integer, nullable=False, default=0),
    Column("search_restarts", Integer, nullable=False, default=0),
    Column("compared_to", Text, nullable=False, default=""),
    Column("licenses", Integer, nullable=False, default=0),
    Column("licenses_running", Integer, nullable=False, default=0),
    Column("seats_running", BigInteger, nullable=False, default=0),
    Column("licenses_awaited", Integer, nullable=False, default=0),
    Column("losses", LargeBinary),
    Column("sees_nothing", Integer, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("trouble", Text),
    Column("notes", Text, nullable=False, default=""),
    Column("report", LargeBinary),
    Index("marketplace_reconciliations_phase", "phase"),
)

# next_token: where AWS goes on; null at the beginning and when done.
# restarts: how often the product began anew, since AWS did not know the token any more or showed nothing.
# failures: how often AWS did not answer; those that answered go first.
# reason: why the product could not be swept at all.
SWEEPS = Table(
    "marketplace_sweeps",
    METADATA,
    Column("run", BigInteger, primary_key=True),
    Column("product_code", Text, primary_key=True),
    Column("begun_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("next_token", Text),
    Column("pages", Integer, nullable=False, default=0),
    Column("rows", Integer, nullable=False, default=0),
    Column("restarts", Integer, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("reason", Text),
)

# odd: why the row can't be read; then seats and expires_at are null.
SWEPT = Table(
    "marketplace_swept",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("run", BigInteger, nullable=False),
    Column("product_code", Text, nullable=False),
    Column("license_arn", Text),
    Column("customer", Text),
    Column("account", Text),
    Column("seats", BigInteger),
    Column("expires_at", BigInteger),
    Column("odd", Text),
    Index("marketplace_swept_arn", "run", "license_arn"),
    Index("marketplace_swept_customer", "run", "customer"),
    Index("marketplace_swept_product", "run", "product_code"),
)

# stage: `found` by the sweep, `confirmed` by a reading of its own, `requested` from the observer, `settled`.
# failures: how often AWS did not answer about it; the others go first.
# difference: as it stands, as JSON; standing repeats its own, once it is settled.
FINDINGS = Table(
    "marketplace_findings",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("run", BigInteger, nullable=False),
    Column("stage", Text, nullable=False),
    Column("standing", Text, nullable=False),
    Column("license_id", Text),
    Column("is_loss", Integer, nullable=False, default=0),
    Column("seats_lost", BigInteger, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("names", Text, nullable=False),
    Column("difference", LargeBinary, nullable=False),
    Index("marketplace_findings_stage", "run", "stage"),
    Index("marketplace_findings_standing", "run", "standing"),
    # Whoever comes late with what AWS said of a finding must not meet another one under its number.
    sqlite_autoincrement=True,
)

# The licenses that were compared, as far as one may turn out to be another one renewed.
# ends_at: when it ended, or is to end.
COMPARED = Table(
    "marketplace_compared",
    METADATA,
    Column("run", BigInteger, primary_key=True),
    Column("license_id", Text, primary_key=True),
    Column("product_code", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Index("marketplace_compared_account", "run", "account", "product_code"),
)

# The licenses of whose agreements there is news, and which are read again when everything was compared.
# ended: whether it says that the agreement has ended. is_news: whether the license is still to be read because of it.
HEARD = Table(
    "marketplace_heard",
    METADATA,
    Column("run", BigInteger, primary_key=True),
    Column("license_id", Text, primary_key=True),
    Column("ended", Integer, nullable=False),
    Column("is_news", Integer, nullable=False),
)

# What licenses had when reconciliations let losses of theirs go: what they lost of it counts for a day.
LET_GO = Table(
    "marketplace_let_go",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("license_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("seats_max", BigInteger, nullable=False),
    Column("renews_at", BigInteger),
    Index("marketplace_let_go_at", "at"),
)

# The licenses that run and of which complete readings of reconciliations have shown nothing, one after the other.
UNSEEN = Table(
    "marketplace_unseen",
    METADATA,
    Column("license_id", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
)
