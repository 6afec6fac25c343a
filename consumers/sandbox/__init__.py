"""The sandbox Marketplace: AWS Marketplace, played on a laptop, for unmodified boto3 clients.

    with Sandbox(SandboxSettings(product_code="…", product_id="prod-…", product_title="…")) as sandbox:
        sandbox.marketplace.buy(account_id="111122223333", seats=5, until=END_OF_MAY)

answers AWS's calls at `sandbox.url`, sends what AWS would send to `sandbox.queue_url`, shows a control page at
`sandbox.url`, and has a control API, described in `consumers.sandbox.control`.
"""

from consumers.sandbox.contracts import (
    AgreementStatus,
    AtEnd,
    Contract,
    Generation,
    Intent,
    NoRenewal,
    Offer,
    Party,
    PredecessorEnds,
    Product,
    SuccessorTerms,
)
from consumers.sandbox.faults import FaultPlan, Faults
from consumers.sandbox.marketplace import Marketplace
from consumers.sandbox.mischief import MischiefPlan
from consumers.sandbox.notices import Notice
from consumers.sandbox.notifications import Fate, Message
from consumers.sandbox.outcomes import Outcome
from consumers.sandbox.sandbox import Sandbox, SandboxSettings
from consumers.sandbox.tokens import RegistrationToken

__all__ = [
    "AgreementStatus",
    "AtEnd",
    "Contract",
    "Fate",
    "FaultPlan",
    "Faults",
    "Generation",
    "Intent",
    "Marketplace",
    "Message",
    "MischiefPlan",
    "NoRenewal",
    "Notice",
    "Offer",
    "Outcome",
    "Party",
    "PredecessorEnds",
    "Product",
    "RegistrationToken",
    "Sandbox",
    "SandboxSettings",
    "SuccessorTerms",
]
