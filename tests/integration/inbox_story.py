"""A night of AWS Marketplace: what lies in the inbox at three in the morning, told by a real consumer and a sandbox."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import flask

from api.app import ApiSettings, Parts, create_app
from consumers.marketplace import MarketplaceInbox, MarketplaceOperating
from consumers.sandbox import Contract, FaultPlan
from ledger.inbox import InboxMessage, InboxQuery
from ledger.keys import KeyScope
from ledger.license.events import Contact, LicenseId
from ledger.store.url import DatabaseUrl
from ledger.system.events import KeyRole
from projections.views import Views, ViewsSettings
from tests.integration.consumers_stage import ADMIN, COMPILERS_INC, NOON, Stage, staged

COMPANY: Final = "Analytical Engines"
GARBAGE: Final = "GET /healthz HTTP/1.1"
_ODD_ROW: Final = {"Value": {"IntegerValue": -1}, "ExpirationDate": (NOON + timedelta(days=9)).timestamp()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """What a test holds in its hands.

    Attributes:
        stage: the consumer between the sandbox and the ledger.
        views: of that ledger.
        app: the HTTP door over both.
        license_id: the license of Ada's company.
        keys: by role.
    """

    stage: Stage
    views: Views
    app: flask.Flask
    license_id: LicenseId
    keys: dict[str, str]

    def found(self, **query: Any) -> InboxMessage:  # noqa: ANN401 -- the fields of a query
        """The newest message that fits."""
        [message] = MarketplaceInbox(self.stage.ledger).list(InboxQuery(**query), after=None, limit=1).items
        return message


@contextmanager
def open_night(url: DatabaseUrl, *, views_url: DatabaseUrl) -> Iterator[Night]:
    """Two messages failed and one is parked for more than a day; others are done, ignored, repeated, or wait."""
    with staged(url) as stage:
        license_id = _tell(stage)
        views = Views.open(ViewsSettings(url=views_url), stage.ledger)
        views.start()
        parts = Parts(
            ledger=stage.ledger,
            views=views,
            settings=ApiSettings(secure_cookies=False),
            inbox=MarketplaceInbox(stage.ledger),
            succession=MarketplaceOperating(stage.ledger),
        )
        keys = {
            "operator": _key(stage, KeyRole.OPERATOR, KeyScope()),
            "admin": _key(stage, KeyRole.ADMIN, KeyScope(licenses=(license_id,))),
            "auditor": _key(stage, KeyRole.AUDITOR, KeyScope()),
        }
        try:
            assert views.wait_for(stage.ledger.head().position, timeout_seconds=10)
            yield Night(stage=stage, views=views, app=create_app(parts), license_id=license_id, keys=keys)
        finally:
            views.stop()


def _key(stage: Stage, role: KeyRole, scope: KeyScope) -> str:
    return stage.ledger.keys.issue(name=role.value, role=role, scope=scope, expires_at=None, caller=ADMIN)[1]


def _tell(stage: Stage) -> LicenseId:
    contract = stage.bought(seats=5)
    license_id = stage.license().license_id
    contact = Contact(name="Noor Haddad", email="noor@example.com", phone="+1 206 555 0100")
    stage.ledger.companies.register(license_id, company_name=COMPANY, contact=contact, caller=ADMIN)
    stage.clock.move(timedelta(hours=1))
    end = {"startTime": "2026-11-24T12:00:00Z", "endTime": "2027-05-31T23:59:59Z", "autoRenewalEnabled": False}
    stage.send(
        _event(contract, "Purchase Agreement Ending", 1, agreement=end | {"daysBeforeEndTime": 180}),
        _event(contract, "Purchase Agreement Advisory Issued", 2),
        _event(contract, "Agreement Cancellation Request Pending Approval", 3),
        _event(contract, "Purchase Agreement Created", 4, agreement={"id": "agmt-of-nobody", "intent": "NEW"}),
        _event(contract, "Purchase Agreement Sung", 5),
    )
    stage.consume()
    stage.clock.move(timedelta(hours=26))
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=25)
    updated = stage.held_back()
    stage.send(*updated)
    stage.consume()
    other_product = {"id": "prod-other", "code": "another"}
    stage.send(
        updated[-1],
        json.dumps(json.loads(updated[-1]) | {"id": "5eed0000-0000-4000-8000-000000000007"}),
        _event(contract, "License Updated", 6, product=other_product, license={"arn": contract.license_arn}),
        GARBAGE,
    )
    stage.consume()
    stage.clock.move(timedelta(hours=12))
    grace = stage.buy(account_id=COMPILERS_INC)
    stage.sandbox.faults.set(FaultPlan(rows={grace.agreement_id: (_ODD_ROW,)}))
    stage.consume()
    return license_id


def _event(contract: Contract, detail_type: str, number: int, **detail: dict[str, Any]) -> str:
    agreement = {"id": contract.agreement_id} | detail.pop("agreement", {})
    event = {
        "version": "0",
        "id": f"5eed0000-0000-4000-8000-{number:012}",
        "detail-type": f"{detail_type} - Proposer",
        "source": "aws.agreement-marketplace",
        "time": "2026-11-24T13:00:00Z",
        "region": "us-east-1",
        "detail": {
            "requestId": f"4e90e570-0000-4000-8000-{number:012}",
            "agreement": agreement,
            "acceptor": {"accountId": contract.account_id},
            **detail,
        },
    }
    return json.dumps(event)
