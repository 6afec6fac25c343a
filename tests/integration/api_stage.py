"""A ledger behind its HTTP door: a real server in a thread, spoken to over real connections."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import urllib3

from api import sign_ins
from api.app import ApiSettings, Parts, create_app
from api.server import Server
from consumers.marketplace import METADATA, MarketplaceInbox, MarketplaceOperating
from ledger.keys import KeyScope
from ledger.ledger import Ledger, LedgerSettings
from ledger.license.events import KeyKind, LicenseId
from ledger.system.events import KeyRole
from projections.views import Views, ViewsSettings
from tests.integration.ledgers import issue, url_of
from tests.stories import (
    ACCOUNT,
    ADMIN,
    AGREEMENT,
    LICENSE,
    LICENSE_ARN,
    OTHER_LICENSE,
    Clock,
)

PRODUCT: Final = (KeyKind.PRODUCT, "prod-softphone")
OTHER_ACCOUNT: Final = (KeyKind.ACCOUNT, "444455556666")
SEATS: Final = f"/v1/licenses/{LICENSE}/seats"
OTHER_SEATS: Final = f"/v1/licenses/{OTHER_LICENSE}/seats"
THREADS: Final = 8

OPERATOR: Final = "operator's key"
ADMIN_OF_IT: Final = "key of the administrator of Ada's and Grace's company"
CLIENT_OF_IT: Final = "key of the client program of that company"
CLIENT_BY_CUSTOMER: Final = "key of the client program by customer and product"
AUDITOR: Final = "key of the auditor of everything"
AUDITOR_OF_OTHER: Final = "key of the auditor of the other company"

_KEYS: Final[Mapping[str, tuple[KeyRole, KeyScope]]] = {
    OPERATOR: (KeyRole.OPERATOR, KeyScope()),
    ADMIN_OF_IT: (KeyRole.ADMIN, KeyScope(licenses=(LICENSE,))),
    CLIENT_OF_IT: (KeyRole.CLIENT, KeyScope(licenses=(LICENSE,))),
    CLIENT_BY_CUSTOMER: (KeyRole.CLIENT, KeyScope(customer_id=ACCOUNT[1], product_id=PRODUCT[1])),
    AUDITOR: (KeyRole.AUDITOR, KeyScope()),
    AUDITOR_OF_OTHER: (KeyRole.AUDITOR, KeyScope(licenses=(OTHER_LICENSE,))),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 -- whatever the interface answers
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A ledger with its views and a server.

    Attributes:
        clock: of all of them; it stands still.
    """

    url: str
    clock: Clock
    ledger: Ledger
    views: Views
    server: Server
    pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(retries=False, timeout=30, maxsize=32)
    )

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = OPERATOR,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; a body of bytes goes as it is, anything else as JSON."""
        sent = dict(headers or {})
        if key is not None:
            sent.setdefault("Authorization", f"Bearer {key}")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        answer = self.pool.request(method, self.url + path, body=data, headers=sent)
        return Answer(status=answer.status, headers=answer.headers, body=answer.data)

    def get(self, path: str, *, key: str = OPERATOR) -> Any:  # noqa: ANN401 -- whatever the interface answers
        """Read something that is there, as true as the ledger is now."""
        separator = "&" if "?" in path else "?"
        position = self.ledger.head().position
        answer = self.call("GET", f"{path}{separator}min_position={position}", key=key)
        assert answer.status == 200, answer.body
        return answer.json

    def activate(self, *users: str) -> list[Any]:
        """Users take seats; what was answered to each."""
        return [self.call("POST", SEATS, {"user": user}).json for user in users]


@contextmanager
def open_stage(
    database: Path,
    *,
    views_database: Path | None = None,
    settings: ApiSettings | None = None,
    seats_max: int = 3,
    waiting_max: int = 1_000,
) -> Iterator[Stage]:
    """Two companies, each with a license, and everybody's keys; the views live where they do if nothing is set."""
    clock = Clock()
    ledger_settings = LedgerSettings(url=url_of(database), waiting_max=waiting_max)
    ledger = Ledger.open(ledger_settings, now=clock, tables=[sign_ins.METADATA, METADATA])
    issue(ledger, seats_max=seats_max, names=(AGREEMENT, LICENSE_ARN, ACCOUNT, PRODUCT))
    other_names = ((KeyKind.AGREEMENT, "agmt-other"), OTHER_ACCOUNT, PRODUCT)
    issue(ledger, seats_max=seats_max, license_id=LicenseId(OTHER_LICENSE), names=other_names)
    for secret, (role, scope) in _KEYS.items():
        ledger.keys.issue(name=secret, role=role, scope=scope, expires_at=None, caller=ADMIN, secret=secret)
    beside = database if url_of(database).sqlite_path is None else database.with_stem("views")
    views = Views.open(ViewsSettings(url=url_of(views_database or beside)), ledger)
    views.start()
    views.wait_for(ledger.head().position, timeout_seconds=10)
    app = create_app(
        Parts(
            ledger=ledger,
            views=views,
            settings=settings or ApiSettings(secure_cookies=False),
            inbox=MarketplaceInbox(ledger),
            succession=MarketplaceOperating(ledger),
        )
    )
    server = Server(app, host="127.0.0.1", port=0, threads=THREADS)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    stage = Stage(url=server.url, clock=clock, ledger=ledger, views=views, server=server)
    try:
        yield stage
    finally:
        stage.pool.clear()
        server.stop()
        thread.join()
        views.stop()
        ledger.close()
