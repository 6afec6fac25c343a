"""Registration: a buyer comes from AWS Marketplace with a token, and it is found out at once who that is."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import structlog
from botocore.exceptions import ClientError, ParamValidationError

from consumers.marketplace import names
from consumers.marketplace.budget import Counted, RegistrationsBudget
from consumers.marketplace.clients import Clients
from consumers.marketplace.entitlements import NoObservationError, ask, code_of
from consumers.marketplace.inbox import MARKETPLACE
from consumers.marketplace.licenses import claiming
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.names import Name, NameIsMalformedError
from consumers.marketplace.observing import Observer
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.succession import ContradictionError
from ledger.ledger import Ledger
from ledger.license.events import KeyKind, LicenseId
from ledger.registration import (
    MarketplaceIsUnavailableError,
    ProductIsNotOursError,
    PurchaseIsUnclearError,
    RegistrationTokenIsExpiredError,
    RegistrationTokenIsInvalidError,
    Resolved,
)
from ledger.transaction import Caller

_LOGGER: Final = structlog.get_logger(__name__)


class MarketplaceRegistration:
    """Asks AWS who is behind a registration token. The token itself is kept nowhere."""

    def __init__(
        self, ledger: Ledger, settings: MarketplaceSettings, clients: Clients, *, now: Callable[[], datetime]
    ) -> None:
        """Issue licenses in this ledger; `now` is the clock, aware UTC."""
        self._ledger = ledger
        self._settings = settings
        self._clients = clients
        budget = RegistrationsBudget(ledger)
        self._lineages = Lineages(ledger, clients, budget=RegistrationsBudget(ledger, Counted.AGREEMENTS), now=now)
        self._observer = Observer(ledger, settings, clients, budget=budget, lineages=self._lineages, now=now)

    def resolve(self, token: str, *, cause: str) -> Resolved:
        """Find out who comes, let the license exist, and read its seats. The same token twice gives the same.

        Args:
            token: `x-amzn-marketplace-token` as AWS Marketplace posted it.
            cause: id of the request.

        Raises:
            RegistrationTokenIsExpiredError, RegistrationTokenIsInvalidError: AWS does not take the token.
            ProductIsNotOursError: it is for another product.
            PurchaseIsUnclearError: what AWS says contradicts what is known.
            MarketplaceIsUnavailableError: AWS does not answer now.
        """
        customer = self._ask(token)
        code, known_by = _read_customer(customer)
        if code not in self._settings.product_codes:
            raise ProductIsNotOursError
        license_id = self._issue(code, known_by, arn_heard=customer.get("LicenseArn"), cause=cause)
        self._observer.observe(license_id, cause=cause)
        return self._resolved(license_id, known_by)

    def _ask(self, token: str) -> dict[str, Any]:
        try:
            return dict(
                ask("ResolveCustomer", lambda: self._clients.metering.resolve_customer(RegistrationToken=token))
            )
        except NoObservationError as error:
            cause = error.__cause__
        # Neither AWS's words nor boto3's are passed on: they may repeat the token.
        if isinstance(cause, ParamValidationError | UnicodeError):
            raise RegistrationTokenIsInvalidError
        code = code_of(cause) if isinstance(cause, ClientError) else type(cause).__name__
        if code == "ExpiredTokenException":
            raise RegistrationTokenIsExpiredError
        if code == "InvalidTokenException":
            raise RegistrationTokenIsInvalidError
        _LOGGER.warning("a registration token could not be resolved", reason=code)
        raise MarketplaceIsUnavailableError

    def _issue(self, code: str, known_by: tuple[Name, ...], *, arn_heard: str | None, cause: str) -> LicenseId:
        try:
            return self._lineages.introduce(
                known_by, product_code=code, caller=Caller(MARKETPLACE, cause), license_arn_heard=arn_heard
            )
        except ContradictionError as error:
            _LOGGER.warning("a customer's license is not clear", reason=str(error))
            raise PurchaseIsUnclearError from error
        except NoObservationError as error:
            _LOGGER.warning("a customer's license could not be found", reason=str(error))
            raise MarketplaceIsUnavailableError from error

    def _resolved(self, license_id: LicenseId, known_by: tuple[Name, ...]) -> Resolved:
        license_ = self._ledger.past.license_now(license_id)
        subscription = license_.subscription
        customer = license_.name(KeyKind.CUSTOMER)
        code = license_.product_code
        return Resolved(
            license_id=license_id,
            customer_id=names.value_of(known_by, KeyKind.ACCOUNT)
            or (None if customer is None else names.customer_identifier(customer, code=code)),
            product_code=code,
            seats_max=None if subscription is None else subscription.seats_max,
            renews_at=None if subscription is None else subscription.renews_at,
        )


def _read_customer(customer: dict[str, Any]) -> tuple[str, tuple[Name, ...]]:
    """The product's code and the names that AWS told; a legacy customer's identifier before the ARN, as it decides."""
    try:
        code = names.product_code(customer.get("ProductCode"))
        known_by: list[Name] = []
        if customer.get("CustomerIdentifier"):
            known_by.append((KeyKind.CUSTOMER, names.customer(code, customer["CustomerIdentifier"])))
        if customer.get("LicenseArn"):
            known_by.append((KeyKind.LICENSE_ARN, names.license_arn(customer["LicenseArn"])))
        agreement_id = (customer.get("Metadata") or {}).get("AgreementId")
        if agreement_id:
            known_by.append((KeyKind.AGREEMENT, names.agreement_id(agreement_id)))
        if customer.get("CustomerAWSAccountId"):
            known_by.append((KeyKind.ACCOUNT, names.account_id(customer["CustomerAWSAccountId"])))
    except NameIsMalformedError as error:
        _LOGGER.warning("AWS told a customer in a way that is not understood", reason=str(error))
        raise MarketplaceIsUnavailableError from error
    if not claiming(known_by):
        _LOGGER.warning("AWS told a customer without any key of a license")
        raise MarketplaceIsUnavailableError
    return code, tuple(known_by)
