"""The door for AWS Marketplace: its messages, its entitlements, and the buyers whom it sends to register.

A message is a poke; the numbers come from a reading made after it. `Consumer` takes messages from an SQS queue, or
another source, into the inbox, finds the licenses that they are about, reads those and records what changed.
`MarketplaceRegistration` does the same for a buyer who comes with a registration token. Both stand over one ledger,
beside others of their kind. `MarketplaceInbox` shows people and programs what became of each message.
"""

from consumers.marketplace.clients import Clients, aws_clients
from consumers.marketplace.consumer import Consumer
from consumers.marketplace.inbox_reading import MarketplaceInbox
from consumers.marketplace.operating import MarketplaceOperating
from consumers.marketplace.reconcile.reports import DriftReports
from consumers.marketplace.reconcile.runs import ask as ask_for_reconciliation
from consumers.marketplace.reconcile.runs import hold_losses_back
from consumers.marketplace.registration import MarketplaceRegistration
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.tables import METADATA

__all__ = [
    "METADATA",
    "Clients",
    "Consumer",
    "DriftReports",
    "MarketplaceInbox",
    "MarketplaceOperating",
    "MarketplaceRegistration",
    "MarketplaceSettings",
    "ask_for_reconciliation",
    "aws_clients",
    "hold_losses_back",
]
