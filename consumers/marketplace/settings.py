"""What the consumer of AWS Marketplace needs to know."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketplaceSettings:
    """What is sold, where AWS's messages lie, and how patient to be.

    Attributes:
        queue_url: the SQS queue with AWS's messages; null to do only what is due by itself.
        product_codes: the listings that this ledger serves, as AWS's calls name them.
        dimension: API name of the dimension that counts users.
        renewal_wait: how long around its date a contract may show nothing without having ended.
        decrease_confirm: how long after the first reading of a number that deletes seats the second one is taken.
        recheck: the first pause between readings that wait for something to happen; it grows to a day.
    """

    queue_url: str | None
    product_codes: tuple[str, ...]
    dimension: str
    renewal_wait: timedelta = timedelta(hours=2)
    decrease_confirm: timedelta = timedelta(minutes=5)
    recheck: timedelta = timedelta(minutes=5)
