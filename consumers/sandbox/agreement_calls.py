"""`DescribeAgreement`, `SearchAgreements`, `GetAgreementEntitlements`: how agreements stand, for who proposed them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from operator import itemgetter
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
from consumers.sandbox.book import Place, place
from consumers.sandbox.contracts import AtEnd, Contract, ContractNotFoundError, NoRenewal, Party
from consumers.sandbox.marketplace import Marketplace
from consumers.sandbox.notices import SELLER_ACCOUNT_ID

PAGE_SIZE_MAX = 50
"""AWS's limit for maxResults of SearchAgreements."""
CATALOG = "AWSMarketplace"

_AGREEMENT_ID = re.compile(r"[A-Za-z0-9_/-]{1,64}", re.ASCII)
_AGREEMENT_TYPE = "PurchaseAgreement"
_RESOURCE_TYPE = "SaaSProduct"
_PROPOSER, _ACCEPTOR = "Proposer", "Acceptor"

_INDEXED = {
    "AcceptorAccountId": "account_id",
    "InitialAgreementId": "initial_agreement_id",
    "LicenseArn": "license_arn",
}
_TIMES = {"EndTime": "ends_at", "LastUpdateTime": "last_update_at", "StartTime": "starts_at"}

Filters = Mapping[str, str]
_Test = Callable[[Contract, Marketplace], bool]


def describe_agreement(call: Call) -> Json:
    """Tell all about one agreement."""
    contract = _find_agreement(call)
    described = _told_by_both(contract, call.marketplace)
    if contract.trial_ends_at is not None:
        described["freeTrialSummary"] = {"trialEndTime": epoch_seconds(contract.trial_ends_at)}
    if contract.is_active:
        described["endTimeBehavior"] = _end_time_behavior(contract)
    return described


def get_agreement_entitlements(call: Call) -> Json:
    """Tell whether the license of an agreement is there, or when it comes."""
    marketplace = call.marketplace
    contract = _find_agreement(call)
    entitlement: Json = {
        "resource": {"id": marketplace.product_of(contract).id, "type": _RESOURCE_TYPE},
        "type": _RESOURCE_TYPE,
        "licenseArn": contract.license_arn,
    }
    if contract.is_scheduled(at=marketplace.now()):
        status = {"status": "SCHEDULED", "statusReasonCode": "FUTURE_START_DATE"}
    elif contract.is_active:
        status = {"status": "PROVISIONED"}
    else:
        status = {"status": "DEPROVISIONED", "statusReasonCode": "AGREEMENT_INACTIVE"}
    return {"agreementEntitlements": [entitlement | status]}


def search_agreements(call: Call) -> Json:
    """List the agreements that the seller proposed, and that pass all filters."""
    request, marketplace = call.request, call.marketplace
    if request.get("catalog", CATALOG) != CATALOG:
        raise _invalid("INVALID_CATALOG", "catalog", f"catalog must be {CATALOG}.")
    filters = _read_filters(request.get("filters"))
    sort = _read_sort(request.get("sort"), filters["PartyType"])
    size = _read_page_size(request.get("maxResults"))
    question = name_question(filters, sort)
    after = _read_next_token(request.get("nextToken"), question)
    found = list(islice(_matching(filters, sort, after, marketplace), size + 1))
    shown: Json = {"agreementViewSummaries": [_summary(contract, marketplace) for _, contract in found[:size]]}
    if len(found) <= size:
        return shown
    return shown | {"nextToken": write_page_token(question, found[size - 1][0])}


class _Sort(NamedTuple):
    """By which time a list is sorted, and in which direction."""

    by: str
    order: str

    @property
    def is_descending(self) -> bool:
        """Whether the latest comes first."""
        return self.order == "DESCENDING"


def _find_agreement(call: Call) -> Contract:
    agreement_id = call.request.get("agreementId")
    if agreement_id is None:
        raise _invalid("MISSING_AGREEMENT_ID", "agreementId", "agreementId is required.")
    if not isinstance(agreement_id, str) or not _AGREEMENT_ID.fullmatch(agreement_id):
        raise _invalid("INVALID_AGREEMENT_ID", "agreementId", "agreementId is malformed.")
    try:
        contract = call.marketplace.find(agreement_id)
    except ContractNotFoundError as error:
        raise WireError(
            "ResourceNotFoundException", str(error), resourceId=agreement_id, resourceType="Agreement"
        ) from None
    if contract.via_partner:
        raise WireError(
            "AccessDeniedException",
            "Only the proposer and the acceptor may read this agreement.",
            reason="INVALID_ACCESS",
        )
    return contract


def _told_by_both(contract: Contract, marketplace: Marketplace) -> Json:
    return {
        "agreementId": contract.agreement_id,
        "initialAgreementId": contract.initial_agreement_id,
        "acceptor": {"accountId": contract.account_id},
        "proposer": {"accountId": SELLER_ACCOUNT_ID},
        "acceptanceTime": epoch_seconds(contract.accepted_at),
        "startTime": epoch_seconds(contract.starts_at),
        "endTime": epoch_seconds(contract.ends_at),
        "agreementType": _AGREEMENT_TYPE,
        "proposalSummary": {
            "resources": [{"id": marketplace.product_of(contract).id, "type": _RESOURCE_TYPE}],
            "offerId": contract.offer_id,
        },
        "status": contract.status.value,
    }


def _summary(contract: Contract, marketplace: Marketplace) -> Json:
    summary: Json = {
        **_told_by_both(contract, marketplace),
        "lastUpdateTime": epoch_seconds(contract.last_update_at),
    }
    if _has_license(contract, marketplace):
        summary["entitlements"] = [{"licenseArn": contract.license_arn}]
    if contract.trial_ends_at is not None:
        summary["freeTrialEndTime"] = epoch_seconds(contract.trial_ends_at)
    if contract.is_active:
        behavior = _end_time_behavior(contract)
        summary["endTimeBehaviorType"] = behavior["type"]
        if "reasonCode" in behavior:
            summary["endTimeBehaviorReasonCode"] = behavior["reasonCode"]
    return summary


def _has_license(contract: Contract, marketplace: Marketplace) -> bool:
    """Whether its license exists: that of a future-dated agreement comes with its start."""
    return contract.gives_license and contract.starts_at <= marketplace.now()


def _end_time_behavior(contract: Contract) -> Json:
    offer = {"renewalSummary": {"offerId": contract.offer_id}}
    if contract.at_end is AtEnd.RENEW:
        return {"type": "RENEW", **offer}
    if contract.at_end is AtEnd.REPLACE:
        return {"type": "REPLACE"}
    if contract.opted_out_by is None:
        return {"type": "EXPIRE", "reasonCode": contract.no_renewal or NoRenewal.NO_RENEWAL_TERM}
    return {"type": "EXPIRE", "reasonCode": _opted_out(contract.opted_out_by), **offer}


def _opted_out(party: Party) -> str:
    return f"{party.value}_RENEW_OPTED_OUT"


def _reason(contract: Contract) -> object:
    return _end_time_behavior(contract).get("reasonCode") if contract.is_active else None


def _matching(
    filters: Filters, sort: _Sort, after: Place | None, marketplace: Marketplace
) -> Iterator[tuple[Place, Contract]]:
    # The sandbox's seller buys nothing.
    if filters["PartyType"] == _ACCEPTOR:
        return
    tests = [_FILTERS[name](value) for name, value in filters.items()]
    for place_, contract in _candidates(filters, sort, after, marketplace):
        if not contract.via_partner and all(test(contract, marketplace) for test in tests):
            yield place_, contract


def _candidates(
    filters: Filters, sort: _Sort, after: Place | None, marketplace: Marketplace
) -> Iterable[tuple[Place, Contract]]:
    time = _TIMES[sort.by]
    indexed = next((name for name in _INDEXED if name in filters), None)
    if indexed is None:
        return marketplace.book.sorted_by(time, after=after, descending=sort.is_descending)
    placed = [(place(one, time), one) for one in marketplace.book.having(_INDEXED[indexed], filters[indexed])]
    placed.sort(key=itemgetter(0), reverse=sort.is_descending)
    if after is None:
        return placed
    return [pair for pair in placed if (pair[0] < after if sort.is_descending else pair[0] > after)]


def _equals(read: Callable[[Contract, Marketplace], object]) -> Callable[[str], _Test]:
    return lambda value: lambda contract, marketplace: read(contract, marketplace) == value


def _after(read: Callable[[Contract], datetime]) -> Callable[[str], _Test]:
    def make(value: str) -> _Test:
        at = _read_time(value)
        return lambda contract, _marketplace: read(contract) > at

    return make


def _before(read: Callable[[Contract], datetime]) -> Callable[[str], _Test]:
    def make(value: str) -> _Test:
        at = _read_time(value)
        return lambda contract, _marketplace: read(contract) < at

    return make


def _license_is(arn: str) -> _Test:
    return lambda contract, marketplace: contract.license_arn == arn and _has_license(contract, marketplace)


_FILTERS: Mapping[str, Callable[[str], _Test]] = {
    "AcceptorAccountId": _equals(lambda contract, _: contract.account_id),
    "AfterEndTime": _after(lambda contract: contract.ends_at),
    "AfterLastUpdateTime": _after(lambda contract: contract.last_update_at),
    "AfterStartTime": _after(lambda contract: contract.starts_at),
    "AgreementType": _equals(lambda _contract, _: _AGREEMENT_TYPE),
    "BeforeEndTime": _before(lambda contract: contract.ends_at),
    "BeforeLastUpdateTime": _before(lambda contract: contract.last_update_at),
    "BeforeStartTime": _before(lambda contract: contract.starts_at),
    "EndTimeBehaviorReasonCode": _equals(lambda contract, _: _reason(contract)),
    "EndTimeBehaviorType": _equals(lambda contract, _: contract.at_end if contract.is_active else None),
    "InitialAgreementId": _equals(lambda contract, _: contract.initial_agreement_id),
    "LicenseArn": _license_is,
    "OfferId": _equals(lambda contract, _: contract.offer_id),
    "PartyType": lambda _party: lambda _contract, _marketplace: True,
    "ResourceIdentifier": _equals(lambda contract, marketplace: marketplace.product_of(contract).id),
    "ResourceType": _equals(lambda _contract, _: _RESOURCE_TYPE),
    "Status": _equals(lambda contract, _: contract.status),
}


def _read_filters(filters: object) -> Filters:
    if not isinstance(filters, list):
        raise _invalid("INVALID_FILTERS", "filters", "filters must be a list; AgreementType is required.")
    read = dict(_read_filter(one) for one in filters)
    if read.get("AgreementType") is None:
        raise _invalid("INVALID_FILTERS", "filters", "The filter AgreementType is required.")
    if "PartyType" not in read:
        raise _invalid("MISSING_PARTY_TYPE", "filters", "The filter PartyType is required.")
    if read["PartyType"] not in {_PROPOSER, _ACCEPTOR}:
        raise _invalid("INVALID_PARTY_TYPE", "filters", f"PartyType must be {_PROPOSER} or {_ACCEPTOR}.")
    for name, value in read.items():
        _FILTERS[name](value)
    return read


def _read_filter(one: object) -> tuple[str, str]:
    if not isinstance(one, dict) or not isinstance(one.get("name"), str):
        raise _invalid("MISSING_FILTER_NAME", "filters", "A filter has a name.")
    name, values = one["name"], one.get("values")
    if name not in _FILTERS:
        raise _invalid("INVALID_FILTER_NAME", "filters", f"There is no filter {name}.")
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise _invalid("INVALID_FILTER_VALUES", "filters", f"The filter {name} takes a list of one string.")
    return name, values[0]


def _read_time(value: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise _invalid("INVALID_FILTER_VALUES", "filters", f"{value} is no time with a zone, as 2027-05-31T23:59:59Z.")
    return at


def _read_sort(sort: object, party: str) -> _Sort:
    asked = sort if isinstance(sort, dict) else {}
    by, order = asked.get("sortBy", "EndTime"), asked.get("sortOrder", "ASCENDING")
    if not isinstance(by, str) or by not in _TIMES or (party == _ACCEPTOR and by != "EndTime"):
        raise _invalid("INVALID_SORT_BY", "sort", f"An {party} can't sort by {by}.")
    if not isinstance(order, str) or order not in {"ASCENDING", "DESCENDING"}:
        raise _invalid("INVALID_SORT_ORDER", "sort", "sortOrder must be ASCENDING or DESCENDING.")
    return _Sort(by=by, order=order)


def _read_page_size(max_results: object) -> int:
    if max_results is None:
        return PAGE_SIZE_MAX
    if not isinstance(max_results, int) or isinstance(max_results, bool) or not 1 <= max_results <= PAGE_SIZE_MAX:
        raise _invalid("INVALID_MAX_RESULTS", "maxResults", f"maxResults must be between 1 and {PAGE_SIZE_MAX}.")
    return max_results


def _read_next_token(token: object, question: str) -> tuple[int, str] | None:
    if token is None:
        return None
    try:
        at, agreement_id = read_page_token(token, question, kinds=(int, str))
    except PageTokenIsMadeUpError:
        raise _invalid("INVALID_NEXT_TOKEN", "nextToken", "nextToken is invalid.") from None
    return at, agreement_id


def _invalid(reason: str, field: str, message: str) -> WireError:
    return WireError("ValidationException", message, reason=reason, fields=[{"name": field, "message": message}])
