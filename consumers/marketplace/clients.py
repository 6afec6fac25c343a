"""The clients of AWS, each with limits of time, and what is known of the credentials behind them."""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

from consumers.marketplace.origin.certificates import SigningCertificates

if TYPE_CHECKING:
    from mypy_boto3_marketplace_agreement import AgreementServiceClient
    from mypy_boto3_marketplace_entitlement import MarketplaceEntitlementServiceClient
    from mypy_boto3_meteringmarketplace import MarketplaceMeteringClient
    from mypy_boto3_sqs import SQSClient

REGION: Final = "us-east-1"
"""The one region in which AWS Marketplace tells entitlements and agreements."""
CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 5
POLL_SECONDS: Final = 2
"""How long a poll of the queue waits for a message: short, so that a stop is not kept waiting."""

TRUST_LASTS: Final = timedelta(hours=1)

# The consumer has pauses of its own, which grow and can be interrupted; boto3's would come on top.
_ONCE: Final = Config(
    connect_timeout=CONNECT_SECONDS,
    read_timeout=READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": 1},
)
_POLLING: Final = _ONCE.merge(Config(read_timeout=READ_SECONDS + POLL_SECONDS))


class Trust:
    """When these credentials last read a live row of a product.

    Credentials of a buyer's account answer every question with 200 and nothing, so that an empty answer means something
    only if they are known to see anything at all.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._read_at: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def note(self, product_code: str, *, at: datetime) -> None:
        """They read a live row of this product."""
        with self._lock:
            self._read_at[product_code] = at

    def holds(self, product_code: str, *, at: datetime) -> bool:
        """Whether they did so within the last hour."""
        with self._lock:
            read_at = self._read_at.get(product_code)
        return read_at is not None and at - read_at <= TRUST_LASTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Clients:
    """Everything by which AWS is asked. One for a process.

    Attributes:
        sqs: the queue.
        metering: resolves registration tokens.
        entitlements: tells seats and dates.
        agreements: tells how agreements ended.
        certificates: by which SNS's signatures are checked.
        trust: what is known of the credentials.
    """

    sqs: "SQSClient"
    metering: "MarketplaceMeteringClient"
    entitlements: "MarketplaceEntitlementServiceClient"
    agreements: "AgreementServiceClient"
    certificates: SigningCertificates = field(default_factory=SigningCertificates)
    trust: Trust = field(default_factory=Trust)

    def close(self) -> None:
        """Close their connections."""
        self.sqs.close()
        self.metering.close()
        self.entitlements.close()
        self.agreements.close()


def aws_clients(environment: Mapping[str, str] | None = None) -> Clients:
    """Make the clients from AWS's own variables.

    Args:
        environment: `AWS_ENDPOINT_URL_*`, `AWS_REGION` and credentials, as the sandbox tells them. What is not there is
            found by boto3 for itself; null is this process's environment.
    """
    names = os.environ if environment is None else environment
    session = boto3.Session(
        aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID") if environment else None,
        aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY") if environment else None,
        aws_session_token=environment.get("AWS_SESSION_TOKEN") if environment else None,
    )
    region = region_of(names, session)

    def options(service: str, region_name: str) -> Any:  # noqa: ANN401 -- what boto3's typed overloads take
        url = environment.get(f"AWS_ENDPOINT_URL_{service}") if environment else None
        return {"region_name": region_name} | ({"endpoint_url": url} if url else {})

    return Clients(
        sqs=session.client("sqs", config=_POLLING, **options("SQS", region)),
        metering=session.client("meteringmarketplace", config=_ONCE, **options("MARKETPLACE_METERING", region)),
        entitlements=session.client(
            "marketplace-entitlement", config=_ONCE, **options("MARKETPLACE_ENTITLEMENT_SERVICE", REGION)
        ),
        agreements=session.client("marketplace-agreement", config=_ONCE, **options("MARKETPLACE_AGREEMENT", REGION)),
        certificates=SigningCertificates(endpoint_url=_sns_endpoint(environment)),
    )


def region_of(names: Mapping[str, str], session: boto3.Session) -> str:
    """The region in which queues are, and tokens are resolved.

    Args:
        names: the environment.
        session: what boto3 found for itself.
    """
    # boto3 itself reads AWS_DEFAULT_REGION alone.
    return names.get("AWS_REGION") or session.region_name or REGION


def _sns_endpoint(environment: Mapping[str, str] | None) -> str | None:
    """Where SNS is played, by AWS's variables; null is SNS itself."""
    told = environment.get("AWS_ENDPOINT_URL_SNS") if environment else None
    if told or os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return told
    return os.environ.get("AWS_ENDPOINT_URL_SNS") or os.environ.get("AWS_ENDPOINT_URL") or None
