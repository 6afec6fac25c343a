"""A consumer in a process of its own: `python -m tests.integration.consumers_process`, told what to do by one line.

The line is JSON: `path`, `queue_url`, `environment` of the sandbox, and `tokens` to register, which is done at the same
time. It says `ready` when it consumes, `registered` when the tokens are resolved, and stops on SIGTERM.
"""

import json
import signal
import sys
import threading
from pathlib import Path

from consumers.marketplace import (
    METADATA,
    Consumer,
    MarketplaceRegistration,
    MarketplaceSettings,
    aws_clients,
)
from ledger.ledger import Ledger, LedgerSettings
from ledger.store.url import DatabaseUrl
from tests.integration.consumers_stage import NOON, PRODUCT_CODE


def main() -> None:
    """Consume at noon until told to stop."""
    told = json.loads(sys.stdin.readline())
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = MarketplaceSettings(queue_url=told["queue_url"], product_codes=(PRODUCT_CODE,), dimension="users")
    ledger = Ledger.open(LedgerSettings(url=DatabaseUrl.of_file(Path(told["path"]))), now=lambda: NOON, tables=[METADATA])
    clients = aws_clients(told["environment"])
    registration = MarketplaceRegistration(ledger, settings, clients, now=lambda: NOON)

    def register() -> None:
        for number, token in enumerate(told["tokens"]):
            registration.resolve(token, cause=f"request-{number}")
        sys.stdout.write("registered\n")
        sys.stdout.flush()

    threading.Thread(target=register, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    Consumer(ledger, settings, clients, now=lambda: NOON).run(stop)
    clients.close()
    ledger.close()


if __name__ == "__main__":
    main()
