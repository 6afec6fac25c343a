"""The calls of AWS Marketplace as they go over the wire: AWS JSON 1.0 and 1.1, told apart by `X-Amz-Target`.

Names, members and errors are those of botocore's service models `meteringmarketplace` (2016-01-14),
`marketplace-entitlement` (2017-01-11) and `marketplace-agreement` (2020-03-01). Times are seconds since 1970. An error
is known by its `__type`; its status is 400, or 500 where the fault is on AWS's side.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from consumers.sandbox.contracts import AgreementStatus, Contract, ContractNotFoundError, Generation
from consumers.sandbox.faults import Faults, Refusal
from consumers.sandbox.marketplace import Marketplace, TokenHasExpiredError, TokenIsInvalidError
from consumers.sandbox.notifications import SELLER_ACCOUNT_ID

PAGE_SIZE_MAX = 25
"""AWS's limit for MaxResults of GetEntitlements."""

_FILTERED_MEMBER = {
    "CUSTOMER_IDENTIFIER": "CustomerIdentifier",
    "CUSTOMER_AWS_ACCOUNT_ID": "CustomerAWSAccountId",
    "DIMENSION": "Dimension",
    "LICENSE_ARN": "LicenseArn",
}
_AGREEMENT_ID = re.compile(r"[A-Za-z0-9_/-]{1,64}", re.ASCII)

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class WireAnswer:
    """What goes back to the client: an HTTP status, and a body for JSON."""

    status: int
    body: Json


class WireError(Exception):
    """An error as AWS words it."""

    def __init__(self, error_type: str, message: str, *, status: int = 400, **members: object) -> None:
        """Name the error by AWS's type; members are those that its shape has beside the message."""
        super().__init__(message)
        self.status = status
        self.body: Json = {"__type": error_type, "message": message, **members}


def answer(*, target: str, payload: bytes, marketplace: Marketplace, faults: Faults) -> WireAnswer:
    """Answer one call.

    Args:
        target: the header `X-Amz-Target`: service, version and operation.
        payload: the body of the request.
        marketplace: the contracts.
        faults: how to misbehave.
    """
    try:
        operation = _find_operation(target)
        _misbehave(operation, faults)
        return WireAnswer(status=200, body=operation.answer(_parse(payload), marketplace, faults))
    except WireError as error:
        return WireAnswer(status=error.status, body=error.body)


class _Operation(NamedTuple):
    name: str
    answer: Callable[[Json, Marketplace, Faults], Json]
    fault_type: str


def _find_operation(target: str) -> _Operation:
    try:
        return _OPERATIONS[target]
    except KeyError:
        raise WireError("UnknownOperationException", f"The sandbox has no operation {target!r}.") from None


def _misbehave(operation: _Operation, faults: Faults) -> None:
    match faults.meet(operation.name):
        case Refusal.THROTTLED:
            raise WireError("ThrottlingException", "Rate exceeded")
        case Refusal.FAILED:
            raise WireError(operation.fault_type, "An internal error has occurred. Retry your request.", status=500)
        case None:
            pass


def _parse(payload: bytes) -> Json:
    try:
        request = json.loads(payload)
    except ValueError:
        raise WireError("SerializationException", "The request is not JSON.") from None
    if not isinstance(request, dict):
        raise WireError("SerializationException", "The request is not a JSON object.")
    return request


def _resolve_customer(request: Json, marketplace: Marketplace, _faults: Faults) -> Json:
    token = request.get("RegistrationToken")
    if not isinstance(token, str):
        raise WireError("InvalidTokenException", "RegistrationToken is required.")
    try:
        contract = marketplace.resolve_token(token)
    except TokenIsInvalidError:
        raise WireError("InvalidTokenException", "The registration token is invalid.") from None
    except TokenHasExpiredError:
        raise WireError("ExpiredTokenException", "The registration token has expired.") from None
    customer = {"ProductCode": marketplace.product.code, "CustomerAWSAccountId": contract.account_id}
    if contract.generation is Generation.LEGACY:
        return customer | {"CustomerIdentifier": contract.customer_identifier}
    return customer | {"LicenseArn": contract.license_arn, "Metadata": {"AgreementId": contract.agreement_id}}


def _get_entitlements(request: Json, marketplace: Marketplace, faults: Faults) -> Json:
    product_code = request.get("ProductCode")
    if not isinstance(product_code, str) or not product_code:
        raise _invalid_parameter("ProductCode is required.")
    filters = _read_filters(request.get("Filter"))
    page_size = _read_page_size(request.get("MaxResults"))
    # A page belongs to its question: a token given with another product or filter is as good as made up.
    question = hashlib.sha256(json.dumps([product_code, filters], sort_keys=True).encode()).hexdigest()[:16]
    start = _read_next_token(request.get("NextToken"), question)
    plan = faults.plan
    if plan.as_buyer:
        return {}
    rows = [
        row
        for contract in marketplace.contracts
        for row in _rows_of(contract, marketplace, plan.rows.get(contract.agreement_id))
        if row["ProductCode"] == product_code and _passes(row, filters)
    ]
    page, then = _page(rows, start, min(page_size, plan.page_size or PAGE_SIZE_MAX), plan.empty_pages)
    # AWS leaves the member out where there is nothing to put in it.
    shown: Json = {"Entitlements": page} if page else {}
    return shown if then is None else shown | {"NextToken": _write_next_token(then, question)}


def _rows_of(
    contract: Contract, marketplace: Marketplace, planned: Sequence[Mapping[str, Any]] | None
) -> Sequence[Json]:
    product = marketplace.product
    names: Json = {
        "ProductCode": product.code,
        "Dimension": product.dimension,
        "CustomerAWSAccountId": contract.account_id,
    }
    if contract.generation is Generation.LEGACY:
        names["CustomerIdentifier"] = contract.customer_identifier
    else:
        names["LicenseArn"] = contract.license_arn
    if planned is not None:
        return [names | dict(row) for row in planned]
    if not contract.is_live(at=marketplace.now()):
        return []
    return [names | {"Value": {"IntegerValue": contract.seats}, "ExpirationDate": _epoch_seconds(contract.ends_at)}]


def _read_filters(filters: object) -> Mapping[str, Sequence[str]]:
    if filters is None:
        return {}
    if not isinstance(filters, dict):
        raise _invalid_parameter("Filter must be a map.")
    for name, values in filters.items():
        if name not in _FILTERED_MEMBER:
            raise _invalid_parameter(f"Filter has an unknown key: {name}.")
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            raise _invalid_parameter(f"Filter {name} must be a list with at least one string.")
    if {"CUSTOMER_IDENTIFIER", "CUSTOMER_AWS_ACCOUNT_ID"} <= filters.keys():
        raise _invalid_parameter("CUSTOMER_IDENTIFIER and CUSTOMER_AWS_ACCOUNT_ID exclude each other.")
    return filters


def _read_page_size(max_results: object) -> int:
    if max_results is None:
        return PAGE_SIZE_MAX
    if not isinstance(max_results, int) or isinstance(max_results, bool) or not 1 <= max_results <= PAGE_SIZE_MAX:
        raise _invalid_parameter(f"MaxResults must be a number between 1 and {PAGE_SIZE_MAX}.")
    return max_results


def _passes(row: Json, filters: Mapping[str, Sequence[str]]) -> bool:
    return all(row.get(_FILTERED_MEMBER[name]) in values for name, values in filters.items())


class _Place(NamedTuple):
    """Where a page begins: after so many rows, and after so many empty pages that were put before it."""

    rows: int
    empty_pages: int


def _page(rows: Sequence[Json], start: _Place, size: int, empty_pages: int) -> tuple[Sequence[Json], _Place | None]:
    if start.empty_pages < empty_pages:
        return [], start._replace(empty_pages=start.empty_pages + 1)
    end = start.rows + size
    return rows[start.rows : end], _Place(rows=end, empty_pages=0) if end < len(rows) else None


def _write_next_token(place: _Place, question: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([question, *place]).encode()).decode()


def _read_next_token(token: object, question: str) -> _Place:
    if token is None:
        return _Place(rows=0, empty_pages=0)
    try:
        asked, rows, empty_pages = json.loads(base64.urlsafe_b64decode(str(token)))
    except (ValueError, TypeError, binascii.Error):
        raise _invalid_parameter("NextToken is invalid.") from None
    if asked != question or not isinstance(rows, int) or not isinstance(empty_pages, int):
        raise _invalid_parameter("NextToken is invalid.")
    return _Place(rows=rows, empty_pages=empty_pages)


def _describe_agreement(request: Json, marketplace: Marketplace, _faults: Faults) -> Json:
    agreement_id = request.get("agreementId")
    if agreement_id is None:
        raise _invalid_agreement_id("MISSING_AGREEMENT_ID", "agreementId is required.")
    if not isinstance(agreement_id, str) or not _AGREEMENT_ID.fullmatch(agreement_id):
        raise _invalid_agreement_id("INVALID_AGREEMENT_ID", "agreementId is malformed.")
    try:
        contract = marketplace.find(agreement_id)
    except ContractNotFoundError as error:
        raise WireError(
            "ResourceNotFoundException", str(error), resourceId=agreement_id, resourceType="Agreement"
        ) from None
    described: Json = {
        "agreementId": contract.agreement_id,
        "acceptor": {"accountId": contract.account_id},
        "proposer": {"accountId": SELLER_ACCOUNT_ID},
        "startTime": _epoch_seconds(contract.accepted_at),
        "endTime": _epoch_seconds(contract.ends_at),
        "acceptanceTime": _epoch_seconds(contract.accepted_at),
        "agreementType": "PurchaseAgreement",
        "proposalSummary": {
            "resources": [{"id": marketplace.product.id, "type": "SaaSProduct"}],
            "offerId": contract.offer_id,
        },
        "status": contract.status.value,
        "initialAgreementId": contract.agreement_id,
    }
    if contract.status is AgreementStatus.ACTIVE:
        described["endTimeBehavior"] = _end_time_behavior(contract)
    return described


def _end_time_behavior(contract: Contract) -> Json:
    if contract.auto_renews:
        return {"type": "RENEW", "renewalSummary": {"offerId": contract.offer_id}}
    return {"type": "EXPIRE", "reasonCode": "ACCEPTOR_RENEW_OPTED_OUT"}


def _invalid_parameter(message: str) -> WireError:
    return WireError("InvalidParameterException", message)


def _invalid_agreement_id(reason: str, message: str) -> WireError:
    fields = [{"name": "agreementId", "message": message}]
    return WireError("ValidationException", message, reason=reason, fields=fields)


def _epoch_seconds(at: datetime) -> float:
    return round(at.timestamp(), 3)


_OPERATIONS = {
    "AWSMPMeteringService.ResolveCustomer": _Operation(
        "ResolveCustomer", _resolve_customer, "InternalServiceErrorException"
    ),
    "AWSMPEntitlementService.GetEntitlements": _Operation(
        "GetEntitlements", _get_entitlements, "InternalServiceErrorException"
    ),
    "AWSMPCommerceService_v20200301.DescribeAgreement": _Operation(
        "DescribeAgreement", _describe_agreement, "InternalServerException"
    ),
}
