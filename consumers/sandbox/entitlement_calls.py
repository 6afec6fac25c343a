"""`ResolveCustomer` and `GetEntitlements`: who a buyer is, and what a buyer may use."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from consumers.sandbox.aws_json import (
    Call,
    Json,
    PageTokenIsMadeUpError,
    WireError,
    epoch_seconds,
    name_question,
    read_page_token,
    write_page_token,
)
from consumers.sandbox.contracts import Contract, Generation
from consumers.sandbox.faults import FaultPlan
from consumers.sandbox.marketplace import Marketplace
from consumers.sandbox.tokens import TokenHasExpiredError, TokenIsInvalidError

PAGE_SIZE_MAX = 25
"""AWS's limit for MaxResults of GetEntitlements."""

_FILTERED_MEMBER = {
    "CUSTOMER_IDENTIFIER": "CustomerIdentifier",
    "CUSTOMER_AWS_ACCOUNT_ID": "CustomerAWSAccountId",
    "DIMENSION": "Dimension",
    "LICENSE_ARN": "LicenseArn",
}
_NAME_OF_CONTRACT = {
    "CUSTOMER_IDENTIFIER": "customer_identifier",
    "CUSTOMER_AWS_ACCOUNT_ID": "account_id",
    "LICENSE_ARN": "license_arn",
}

Filters = Mapping[str, Sequence[str]]


class _Place(NamedTuple):
    """Where a page begins: at this contract, after so many of its rows, and after so many empty pages before it."""

    contract: int = 0
    rows: int = 0
    empty_pages: int = 0


def resolve_customer(call: Call) -> Json:
    """Tell who a registration token stands for."""
    token = call.request.get("RegistrationToken")
    if not isinstance(token, str):
        raise WireError("InvalidTokenException", "RegistrationToken is required.")
    if call.trouble.expired_token:
        call.marketplace.mischief.note("token-expired")
        raise WireError("ExpiredTokenException", "The registration token has expired.")
    try:
        contract = call.marketplace.resolve_token(token)
    except TokenIsInvalidError:
        raise WireError("InvalidTokenException", "The registration token is invalid.") from None
    except TokenHasExpiredError:
        raise WireError("ExpiredTokenException", "The registration token has expired.") from None
    customer = {"ProductCode": contract.product_code, "CustomerAWSAccountId": contract.account_id}
    if contract.customer_identifier is not None:
        customer["CustomerIdentifier"] = contract.customer_identifier
    if contract.generation is Generation.LEGACY:
        return customer
    return customer | {"LicenseArn": contract.license_arn, "Metadata": {"AgreementId": contract.agreement_id}}


def get_entitlements(call: Call) -> Json:
    """Tell what buyers of a product may use, a page at a time."""
    request, plan = call.request, call.plan
    product_code = request.get("ProductCode")
    if not isinstance(product_code, str) or not product_code:
        raise _invalid_parameter("ProductCode is required.")
    filters = _read_filters(request.get("Filter"))
    page_size = _read_page_size(request.get("MaxResults"))
    question = name_question(product_code, filters)
    start = _read_next_token(request.get("NextToken"), question)
    if plan.as_buyer:
        return {}
    if call.trouble.as_buyer and start == _Place():
        call.marketplace.mischief.note("answered-as-buyer")
        return {}
    if start.empty_pages < plan.empty_pages + call.trouble.empty_page:
        if start.empty_pages == plan.empty_pages:
            call.marketplace.mischief.note("empty-page")
        return {"NextToken": write_page_token(question, start._replace(empty_pages=start.empty_pages + 1))}
    size = min(page_size, plan.page_size or PAGE_SIZE_MAX)
    page, then = _read_page(call.marketplace, product_code, filters, plan, start=start, size=size)
    if call.trouble.missing_row is not None and page:
        call.marketplace.mischief.note("row-missing")
        page.pop(int(call.trouble.missing_row * len(page)))
    # AWS leaves the member out where there is nothing to put in it.
    shown: Json = {"Entitlements": page} if page else {}
    return shown if then is None else shown | {"NextToken": write_page_token(question, then)}


def _read_page(
    marketplace: Marketplace, product_code: str, filters: Filters, plan: FaultPlan, *, start: _Place, size: int
) -> tuple[list[Json], _Place | None]:
    names = {_NAME_OF_CONTRACT[name]: values for name, values in filters.items() if name in _NAME_OF_CONTRACT}
    rows = (
        (entry.number, place, row)
        for entry in marketplace.book.entries({"product_code": [product_code], **names}, start=start.contract)
        for place, row in enumerate(_rows_of(entry.contract, marketplace, plan.rows.get(entry.contract.agreement_id)))
        if row["ProductCode"] == product_code and _passes(row, filters)
        if (entry.number, place) >= (start.contract, start.rows)
    )
    found = list(islice(rows, size + 1))
    page = [row for _, _, row in found[:size]]
    if len(found) <= size:
        return page, None
    contract, place, _ = found[size]
    return page, _Place(contract=contract, rows=place)


def _rows_of(
    contract: Contract, marketplace: Marketplace, planned: Sequence[Mapping[str, object]] | None
) -> Sequence[Json]:
    names: Json = {
        "ProductCode": contract.product_code,
        "Dimension": marketplace.product_of(contract).dimension,
        "CustomerAWSAccountId": contract.account_id,
    }
    if contract.customer_identifier is not None:
        names["CustomerIdentifier"] = contract.customer_identifier
    if contract.generation is not Generation.LEGACY:
        names["LicenseArn"] = contract.license_arn
    if planned is not None:
        return [names | dict(row) for row in planned]
    if not contract.is_live(at=marketplace.now()):
        return []
    until = epoch_seconds(contract.ends_at)
    return [
        names | {"Dimension": dimension, "Value": {"IntegerValue": seats}, "ExpirationDate": until}
        for dimension, seats in contract.quantities.items()
    ]


def _read_filters(filters: object) -> Filters:
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


def _read_next_token(token: object, question: str) -> _Place:
    if token is None:
        return _Place()
    try:
        return _Place(*read_page_token(token, question, kinds=(int, int, int)))
    except PageTokenIsMadeUpError:
        raise _invalid_parameter("NextToken is invalid.") from None


def _passes(row: Json, filters: Filters) -> bool:
    return all(row.get(_FILTERED_MEMBER[name]) in values for name, values in filters.items())


def _invalid_parameter(message: str) -> WireError:
    return WireError("InvalidParameterException", message)
