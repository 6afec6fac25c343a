"""The sandbox Marketplace: AWS Marketplace for one product, played on a laptop, for unmodified boto3 clients.

    with Sandbox(SandboxSettings(product_code="…", product_id="prod-…", product_title="…")) as sandbox:
        sandbox.marketplace.buy(account_id="111122223333", seats=5, until=END_OF_MAY)

answers AWS's calls at `sandbox.url`, sends what AWS would send to `sandbox.queue_url`, shows a control page at
`sandbox.url`, and has a control API, described in `consumers.sandbox.control`.
"""

from consumers.sandbox.contracts import AgreementStatus, Contract, Generation, Product
from consumers.sandbox.faults import FaultPlan, Faults
from consumers.sandbox.marketplace import Marketplace, Outcome, RegistrationToken
from consumers.sandbox.notifications import Message
from consumers.sandbox.sandbox import Sandbox, SandboxSettings

__all__ = [
    "AgreementStatus",
    "Contract",
    "FaultPlan",
    "Faults",
    "Generation",
    "Marketplace",
    "Message",
    "Outcome",
    "Product",
    "RegistrationToken",
    "Sandbox",
    "SandboxSettings",
]
