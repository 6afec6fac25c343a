"""What the consumer of AWS Marketplace needs to know."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketplaceSettings:
    """What is sold, where AWS's messages lie, and how patient to be.

    Attributes:
        queue_url: the SQS queue with AWS's messages; null to do only what is due by itself.
        products: the listings that this ledger serves, by the codes with which AWS's calls name them: of each the API
            names of the dimensions that count users, which add up.
        renewal_wait: how long around its date a contract may show nothing without having ended.
        decrease_confirm: how long after the first reading of a number that deletes seats the second one is taken.
        recheck: the first pause between readings that wait for something to happen; it grows to a day.
        inbox_retention: how long settled messages and readings are kept.
        reconcile_every: how often all of AWS's entitlements are compared with the ledger; null is when asked for.
        reconcile_max_loss: how many of a hundred seats, or licenses, a comparison lets go within a day.
        reconcile_dry_only: whether comparisons that mend are left to other processes.
        sns_verify: whether a message of SNS needs a valid signature.
        sns_topic_arns: the topics from which messages are taken; null is any.
        aws_accounts: the accounts whose events are taken, twelve digits each; null is any.
    """

    queue_url: str | None
    products: Mapping[str, frozenset[str]]
    renewal_wait: timedelta = timedelta(hours=2)
    decrease_confirm: timedelta = timedelta(minutes=5)
    recheck: timedelta = timedelta(minutes=5)
    inbox_retention: timedelta = timedelta(days=400)
    reconcile_every: timedelta | None = None
    reconcile_max_loss: Decimal = Decimal(5)
    reconcile_dry_only: bool = False
    sns_verify: bool = True
    sns_topic_arns: frozenset[str] | None = None
    aws_accounts: frozenset[str] | None = None

    @property
    def product_codes(self) -> tuple[str, ...]:
        """The codes of the listings that this ledger serves."""
        return tuple(self.products)
