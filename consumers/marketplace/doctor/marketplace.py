"""What AWS Marketplace lets the ledger ask, and what it answers about the listings."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from consumers.marketplace.doctor.asking import AskingFailedError, Instruments, Trouble, needed
from consumers.marketplace.doctor.findings import Finding, Findings, could_not_look, ok, warning, wrong

PAGES_SEEN_MAX: Final = 10
ROWS_PER_PAGE: Final = 25
_NO_TOKEN: Final = "licensing-ledger-doctor"  # noqa: S105 -- it opens nothing, which is what it is for
_NO_AGREEMENT: Final = "agmt-licensingledgerdoctor"
_TOKEN_REFUSED: Final = frozenset({"InvalidTokenException", "ExpiredTokenException"})
_AGREEMENT_REFUSED: Final = frozenset({"ResourceNotFoundException", "ValidationException"})
_BUYER: Final = (
    "Before the first purchase this is right. After it, these are not credentials of the account that sells: all others"
    " get an answer with nothing in it."
)


def look_at_products(instruments: Instruments, *, products: Mapping[str, Collection[str]]) -> Findings:
    """Whether each product code is one, and its dimensions are those that count users."""
    if not products:
        told = "LEDGER_PRODUCT_CODES is not set: no license is issued, and nobody can register."
        yield wrong("product", told, "Set it to the listing's product code and dimension.")
    for code, dimensions in products.items():
        yield _product(instruments, code, dimensions)


def look_at_registration(instruments: Instruments) -> Findings:
    """Whether a registration token would be resolved, with one that is none."""
    check = "registration"
    try:
        instruments.ask("ResolveCustomer", lambda: instruments.metering.resolve_customer(RegistrationToken=_NO_TOKEN))
    except AskingFailedError as error:
        if error.code in _TOKEN_REFUSED:
            yield ok(check, "The ledger may ask who registers.")
        elif error.code == "DisabledApiException":
            yield wrong(
                check, f"ResolveCustomer is not offered in {instruments.region}.", "Set AWS_REGION to us-east-1."
            )
        else:
            yield needed(check, error)
        return
    yield could_not_look(check, "A token that was made up was taken, so this is not AWS.")


def look_at_agreements(instruments: Instruments) -> Findings:
    """Whether the ledger may find and read the agreements of its listings."""
    agreement_id = None
    try:
        agreement_id = _any_agreement(instruments)
        yield ok("finding agreements", "The ledger may search them.")
    except AskingFailedError as error:
        yield needed("finding agreements", error)
    yield _described(instruments, agreement_id)


def _product(instruments: Instruments, code: str, dimensions: Collection[str]) -> Finding:
    check = f"product {code}"
    try:
        rows = instruments.ask("GetEntitlements", lambda: list(_rows(instruments, code)))
    except AskingFailedError as error:
        if error.code == "InvalidParameterException":
            told = "AWS Marketplace does not know this product code."
            return wrong(check, told, "Compare LEDGER_PRODUCT_CODES with the listing: the code is not the prod-… id.")
        return needed(check, error)
    if not rows:
        return warning(check, "AWS Marketplace shows no entitlement of anybody.", _BUYER)
    seen = Counter(str(row.get("Dimension")) for row in rows)
    others = sorted(seen.keys() - set(dimensions))
    counting = ", ".join(sorted(dimensions))
    if not seen.keys() & set(dimensions):
        told = f"None of the entitlements has the dimension {counting}; seen are {', '.join(others)}."
        return wrong(check, told, "Set the dimension that counts users in LEDGER_PRODUCT_CODES by its API name.")
    if others:
        told = f"Beside {counting} there are the dimensions {', '.join(others)}, which count no users here."
        return warning(check, told, "If one of them counts users, add it in LEDGER_PRODUCT_CODES.")
    return ok(check, _bought(rows, instruments.now()))


def _rows(instruments: Instruments, code: str) -> Iterator[Mapping[str, Any]]:
    pages = instruments.entitlements.get_paginator("get_entitlements").paginate(
        ProductCode=code, PaginationConfig={"PageSize": ROWS_PER_PAGE}
    )
    for page in islice(pages, PAGES_SEEN_MAX):
        instruments.check_page("GetEntitlements", page)
        yield from page.get("Entitlements") or []


def _bought(rows: Collection[Mapping[str, Any]], at: datetime) -> str:
    live = sum(1 for row in rows if isinstance(row.get("ExpirationDate"), datetime) and row["ExpirationDate"] > at)
    first = "The first " if len(rows) >= PAGES_SEEN_MAX * ROWS_PER_PAGE else ""
    return f"{first}{len(rows)} {'entitlement' if len(rows) == 1 else 'entitlements'}, {live} in force."


def _any_agreement(instruments: Instruments) -> str | None:
    answer = instruments.ask(
        "SearchAgreements",
        lambda: instruments.agreements.search_agreements(
            catalog="AWSMarketplace",
            filters=[
                {"name": "PartyType", "values": ["Proposer"]},
                {"name": "AgreementType", "values": ["PurchaseAgreement"]},
            ],
            maxResults=1,
        ),
    )
    found = answer.get("agreementViewSummaries", [])
    return found[0].get("agreementId") if found else None


def _described(instruments: Instruments, agreement_id: str | None) -> Finding:
    check = "reading agreements"
    try:
        instruments.ask(
            "DescribeAgreement",
            lambda: instruments.agreements.describe_agreement(agreementId=agreement_id or _NO_AGREEMENT),
        )
    except AskingFailedError as error:
        if error.code in _AGREEMENT_REFUSED:
            return ok(check, "The ledger may read them.")
        if error.trouble is Trouble.DENIED and agreement_id is None:
            told = "There is none to try, and AWS answers the same about agreements of others."
            return could_not_look(check, told, "Run the doctor again after the first purchase.")
        return needed(check, error)
    return ok(check, "The ledger may read them.")
