"""The calls of AWS Marketplace as they go over the wire: AWS JSON 1.0 and 1.1, told apart by `X-Amz-Target`.

Names, members and errors are those of botocore's service models `meteringmarketplace` (2016-01-14),
`marketplace-entitlement` (2017-01-11) and `marketplace-agreement` (2020-03-01). Times are seconds since 1970. An error
is known by its `__type`; its status is 400, or 500 where the fault is on AWS's side.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from consumers.sandbox.agreement_calls import describe_agreement, get_agreement_entitlements, search_agreements
from consumers.sandbox.aws_json import Call, Json, WireError
from consumers.sandbox.entitlement_calls import get_entitlements, resolve_customer
from consumers.sandbox.faults import Faults, Refusal
from consumers.sandbox.marketplace import Marketplace
from consumers.sandbox.mischief import Trouble


@dataclass(frozen=True, kw_only=True, slots=True)
class WireAnswer:
    """What goes back to the client: an HTTP status, and a body for JSON."""

    status: int
    body: Json


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
        trouble = marketplace.mischief.meet(operation.name, at=marketplace.now())
        _make_trouble(operation, trouble)
        call = Call(request=_parse(payload), marketplace=marketplace, plan=faults.plan, trouble=trouble)
        return WireAnswer(status=200, body=operation.answer(call))
    except WireError as error:
        return WireAnswer(status=error.status, body=error.body)


class _Operation(NamedTuple):
    name: str
    answer: Callable[[Call], Json]
    fault_type: str


def _find_operation(target: str) -> _Operation:
    try:
        return OPERATIONS[target]
    except KeyError:
        raise WireError("UnknownOperationException", f"The sandbox has no operation {target!r}.") from None


def _misbehave(operation: _Operation, faults: Faults) -> None:
    match faults.meet(operation.name):
        case Refusal.THROTTLED:
            raise _throttled()
        case Refusal.FAILED:
            raise _failed(operation)
        case None:
            pass


def _make_trouble(operation: _Operation, trouble: Trouble) -> None:
    if trouble.throttled:
        raise _throttled()
    if trouble.failed:
        raise _failed(operation)


def _throttled() -> WireError:
    return WireError("ThrottlingException", "Rate exceeded")


def _failed(operation: _Operation) -> WireError:
    return WireError(operation.fault_type, "An internal error has occurred. Retry your request.", status=500)


def _parse(payload: bytes) -> Json:
    try:
        request = json.loads(payload)
    except (ValueError, RecursionError):
        raise WireError("SerializationException", "The request is not JSON.") from None
    if not isinstance(request, dict):
        raise WireError("SerializationException", "The request is not a JSON object.")
    return request


_METERING, _ENTITLEMENT = "AWSMPMeteringService", "AWSMPEntitlementService"
_AGREEMENT = "AWSMPCommerceService_v20200301"

OPERATIONS = {
    f"{_METERING}.ResolveCustomer": _Operation("ResolveCustomer", resolve_customer, "InternalServiceErrorException"),
    f"{_ENTITLEMENT}.GetEntitlements": _Operation("GetEntitlements", get_entitlements, "InternalServiceErrorException"),
    f"{_AGREEMENT}.DescribeAgreement": _Operation("DescribeAgreement", describe_agreement, "InternalServerException"),
    f"{_AGREEMENT}.SearchAgreements": _Operation("SearchAgreements", search_agreements, "InternalServerException"),
    f"{_AGREEMENT}.GetAgreementEntitlements": _Operation(
        "GetAgreementEntitlements", get_agreement_entitlements, "InternalServerException"
    ),
}
