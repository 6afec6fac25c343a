"""What AWS answers when it is asked about a license: the rows of GetEntitlements, and what agreements are behind it.

A reading counts only if it is complete: to the last page, and with nothing odd among the rows that count users.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from consumers.marketplace import names
from consumers.marketplace.agreement import Agreement, status_of
from consumers.marketplace.budget import Budget, NoCallIsLeftError
from consumers.marketplace.clients import Clients
from consumers.marketplace.names import Name, NameIsMalformedError
from ledger.license.events import KeyKind, RenewalIntent

if TYPE_CHECKING:
    from mypy_boto3_marketplace_agreement.type_defs import FilterTypeDef
    from mypy_boto3_marketplace_entitlement.literals import GetEntitlementFilterNameType

T = TypeVar("T")
AwsRow = Mapping[str, Any]

SEATS_MAX: Final = 10_000_000
"""No vendor sells more to one customer; a larger number is a mistake, or AWS's word for no limit."""
PAGES_MAX: Final = 100
PAGES_SEEN_MAX: Final = 10
"""How many pages are looked through for anybody's live row."""
READING_SECONDS_MAX: Final = 20
ROWS_PER_PAGE: Final = 25
"""AWS's limit."""

# Errors about one question; all others are about AWS or the credentials, and pass or are mended.
_REFUSALS: Final = frozenset({"InvalidParameterException", "ValidationException"})
_CODE: Final = re.compile(r"[A-Za-z0-9_.]{1,100}", re.ASCII)


class NoObservationError(Exception):
    """AWS's answer does not tell how many seats there are; the text says why. Nothing changes by it.

    Attributes:
        reason: why, in words.
        answered: the rows that AWS had answered by then.
    """

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason
        self.answered: Sequence[AwsRow] = ()


class NoAnswerError(NoObservationError):
    """AWS did not answer, or not to the end. It may do so soon."""


class SeveralLicensesError(NoObservationError):
    """AWS shows a legacy customer several licenses, and nobody knows which of them is the one that was asked about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """By what AWS is asked about a license.

    Attributes:
        product_code: of the license.
        customer: the legacy customer as the ledger holds it; null where the ARNs are asked for.
        license_arns: the ARNs of the license. Of a legacy customer's rows only those of one of them count, or all if
            there is none.
        license_arn_heard: an ARN as AWS spelled it, if not in the ledger's form.
    """

    product_code: str
    customer: str | None = None
    license_arns: tuple[str, ...] = ()
    license_arn_heard: str | None = None

    @property
    def filter(self) -> "dict[GetEntitlementFilterNameType, list[str]]":
        """As GetEntitlements takes it; the values of one name are alternatives."""
        if self.customer is not None:
            return {"CUSTOMER_IDENTIFIER": [names.customer_identifier(self.customer, code=self.product_code)]}
        spellings = dict.fromkeys(arn for arn in (*self.license_arns, self.license_arn_heard) if arn)
        return {"LICENSE_ARN": [arn for arn in spellings if arn.startswith("arn:aws")]}


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveRow:
    """A row of a dimension that counts users, whose date has not passed.

    Attributes:
        seats: the bought number.
        expires_at: its date.
        names: the names of a license that it carries.
    """

    seats: int
    expires_at: datetime
    names: tuple[Name, ...]

    @property
    def license_arn(self) -> str | None:
        """The ARN of the license that it is a row of, in the ledger's form; null if it carries none."""
        return names.value_of(self.names, KeyKind.LICENSE_ARN)


@contextmanager
def after_reading(rows: Sequence[AwsRow]) -> Iterator[None]:
    """Let an error that is raised over these rows carry them, so that people can see what was wrong with them."""
    try:
        yield
    except NoObservationError as error:
        error.answered = tuple(rows)
        raise


def read_rows(clients: Clients, question: Question, *, budget: Budget) -> Sequence[AwsRow]:
    """All rows of GetEntitlements, to the last page. Pages may be empty, and `Entitlements` absent.

    Raises:
        NoAnswerError: a page could not be had.
        NoObservationError: AWS refuses the question, or there is no end of pages.
    """
    rows: list[AwsRow] = []
    with after_reading(rows):
        for page in _pages(clients, question.product_code, question.filter, budget=budget):
            rows.extend(page)
    return rows


def sees_live_row(
    clients: Clients, *, product_code: str, dimensions: frozenset[str], at: datetime, budget: Budget
) -> bool:
    """Whether these credentials see a live row of anybody's: those of a buyer's account see none.

    Raises:
        NoObservationError: as for `read_rows`.
    """
    for page in islice(_pages(clients, product_code, {}, budget=budget), PAGES_SEEN_MAX):
        if any(_is_live(row, dimensions=dimensions, at=at) for row in page):
            return True
    return False


def live_rows(
    rows: Iterable[AwsRow], *, question: Question, dimensions: frozenset[str], at: datetime
) -> tuple[LiveRow, ...]:
    """The rows of the license that count users at this moment. Rows of other dimensions mean nothing here.

    Raises:
        NoObservationError: a row of one of the dimensions has no number that can be one of seats, or no date; or they
            add up to more than there can be.
    """
    ours = [row for row in rows if counts_users(row, dimensions) and _answers(row, question)]
    judged = [LiveRow(seats=seats_of(row), expires_at=expires_at_of(row), names=names_of(row)) for row in ours]
    live = tuple(row for row in judged if row.expires_at > at)
    if sum(row.seats for row in live) > SEATS_MAX:
        raise NoObservationError(f"The rows of the dimensions that count users add up to more than {SEATS_MAX:,}.")
    return live


def describe_agreement(clients: Clients, agreement_id: str, *, budget: Budget, at: datetime) -> Agreement | None:
    """What AWS tells of an agreement now; null if it does not tell it to this seller.

    Raises:
        NoAnswerError: AWS did not answer.
    """
    _take_call(budget)
    try:
        answer = ask("DescribeAgreement", lambda: clients.agreements.describe_agreement(agreementId=agreement_id))
    except NoObservationError as error:
        if _is_not_told(error):
            return None
        raise
    behavior: Mapping[str, Any] = answer.get("endTimeBehavior", {})
    told: Mapping[str, Any] = {**answer, "agreementId": agreement_id}
    trial_end = told.get("freeTrialSummary", {}).get("trialEndTime")
    return _agreement(told, end=behavior.get("type"), trial_end=trial_end, at=at, source="DescribeAgreement")


def agreements_of_chain(
    clients: Clients, initial_agreement_id: str, *, budget: Budget, at: datetime
) -> tuple[Agreement, ...]:
    """The agreements of a chain of renewals and replacements; none if AWS does not tell them to this seller.

    Raises:
        NoAnswerError: AWS did not answer.
    """
    return _search(clients, "InitialAgreementId", [initial_agreement_id], budget=budget, at=at)


def agreements_of_arn(
    clients: Clients, license_arns: Sequence[str], *, budget: Budget, at: datetime
) -> tuple[Agreement, ...]:
    """The agreements that give the license of this ARN, in any of its spellings; none if AWS does not tell them.

    Raises:
        NoAnswerError: AWS did not answer.
    """
    return _search(clients, "LicenseArn", list(dict.fromkeys(license_arns)), budget=budget, at=at)


def _search(clients: Clients, by: str, values: list[str], *, budget: Budget, at: datetime) -> tuple[Agreement, ...]:
    filters: list[FilterTypeDef] = [
        {"name": "PartyType", "values": ["Proposer"]},
        {"name": "AgreementType", "values": ["PurchaseAgreement"]},
        {"name": by, "values": values},
    ]
    request: dict[str, Any] = {"catalog": "AWSMarketplace", "filters": filters}
    found: list[Agreement] = []
    for _ in range(PAGES_MAX):
        _take_call(budget)
        try:
            answer = ask("SearchAgreements", lambda: clients.agreements.search_agreements(**request))
        except NoObservationError as error:
            if _is_not_told(error):
                return tuple(found)
            raise
        found.extend(agreements_found(answer, at=at))
        token = answer.get("nextToken")
        if not token:
            return tuple(found)
        request["nextToken"] = token
    raise NoObservationError(f"SearchAgreements has more than {PAGES_MAX} pages for one license.")


def agreements_found(answer: Mapping[str, Any], *, at: datetime) -> Iterable[Agreement]:
    """The agreements on one page of SearchAgreements; summaries that can't be read are left out."""
    for summary in answer.get("agreementViewSummaries") or []:
        found = _agreement(
            summary,
            end=summary.get("endTimeBehaviorType"),
            trial_end=summary.get("freeTrialEndTime"),
            at=at,
            source="SearchAgreements",
        )
        if found is not None:
            yield found


_RENEWALS: Final[Mapping[object, RenewalIntent]] = {
    "RENEW": RenewalIntent.RENEWS,
    "REPLACE": RenewalIntent.REPLACED,
    "EXPIRE": RenewalIntent.ENDS,
}


def _is_not_told(error: NoObservationError) -> bool:
    """A product sold by a channel partner has agreements that its manufacturer may not read."""
    cause = error.__cause__
    told_nobody = {"AccessDeniedException", "ResourceNotFoundException", *_REFUSALS}
    return isinstance(cause, ClientError) and code_of(cause) in told_nobody


def _agreement(
    told: Mapping[str, Any], *, end: object, trial_end: object, at: datetime, source: str
) -> Agreement | None:
    """What a description or a summary says; what is absent or odd is left out."""
    agreement_id = _id(told.get("agreementId"))
    if agreement_id is None:
        return None
    renewal = _RENEWALS.get(end)
    return Agreement(
        agreement_id=agreement_id,
        account_id=_account(told.get("acceptor")),
        initial_agreement_id=_id(told.get("initialAgreementId")),
        license_arn=_only_arn(told.get("entitlements")),
        product_ids=_product_ids(told.get("proposalSummary")),
        status=status_of(str(told.get("status"))),
        starts_at=_moment(told.get("startTime")),
        ends_at=_moment(told.get("endTime")),
        trial_ends_at=_moment(trial_end),
        renewal=renewal,
        renewal_source=None if renewal is None else source,
        renewal_told_at=None if renewal is None else at,
        read_at=at,
    )


def _id(text: object) -> str | None:
    try:
        return names.agreement_id(text)
    except NameIsMalformedError:
        return None


def _account(acceptor: object) -> str | None:
    try:
        return names.account_id(acceptor.get("accountId")) if isinstance(acceptor, dict) else None
    except NameIsMalformedError:
        return None


def _only_arn(entitlements: object) -> str | None:
    """The ARN of an agreement's license; null if it is about several."""
    found: set[str] = set()
    for one in entitlements if isinstance(entitlements, list) else []:
        try:
            found.add(names.license_arn(one.get("licenseArn")))
        except (AttributeError, NameIsMalformedError):
            continue
    return found.pop() if len(found) == 1 else None


def _product_ids(proposal: object) -> tuple[str, ...] | None:
    """All products that an agreement is about; null if one of them can't be read."""
    resources = proposal.get("resources") if isinstance(proposal, dict) else None
    try:
        found = {names.product_id(one.get("id")) for one in resources or ()}
    except (AttributeError, TypeError, NameIsMalformedError):
        return None
    return tuple(sorted(found)) or None


def _moment(told: object) -> datetime | None:
    return told.astimezone(UTC) if isinstance(told, datetime) and told.tzinfo is not None else None


def ask(operation: str, call: Callable[[], T]) -> T:
    """Call AWS once.

    Raises:
        NoAnswerError: it did not answer, answered with an error, or with something that is no answer.
        NoObservationError: it refuses the question.
    """
    try:
        return call()
    except ClientError as error:
        code = code_of(error)
        kind = NoObservationError if code in _REFUSALS else NoAnswerError
        raise kind(f"AWS Marketplace answered {operation} with {code}.") from error
    except BotoCoreError as error:
        raise NoAnswerError(f"AWS Marketplace did not answer {operation}: {type(error).__name__}.") from error
    except (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        # What botocore raises of a body that has another shape than its model.
        raise NoAnswerError(f"AWS Marketplace's answer to {operation} can't be read.") from error


def code_of(error: ClientError) -> str:
    """AWS's code of an error, or `an error` if it has none that can stand in a sentence."""
    code = error.response.get("Error", {}).get("Code")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "an error"


def _pages(
    clients: Clients,
    product_code: str,
    filter_: "dict[GetEntitlementFilterNameType, list[str]]",
    *,
    budget: Budget,
) -> Iterable[Sequence[AwsRow]]:
    request: dict[str, Any] = {"ProductCode": product_code, "MaxResults": ROWS_PER_PAGE}
    if filter_:
        request["Filter"] = filter_
    begun_at = time.monotonic()
    for _ in range(PAGES_MAX):
        _take_call(budget)
        answer = ask("GetEntitlements", lambda: clients.entitlements.get_entitlements(**request))
        yield answer.get("Entitlements") or []
        token = answer.get("NextToken")
        if not token:
            return
        request["NextToken"] = token
        if time.monotonic() - begun_at > READING_SECONDS_MAX:
            raise NoAnswerError(f"GetEntitlements was not read to the end within {READING_SECONDS_MAX} seconds.")
    raise NoObservationError(f"GetEntitlements has more than {PAGES_MAX} pages for one license.")


def _take_call(budget: Budget) -> None:
    try:
        budget.take()
    except NoCallIsLeftError as error:
        raise NoAnswerError(str(error)) from error


def _answers(row: AwsRow, question: Question) -> bool:
    """Whether a row is one of those that were asked for; what a row does not say is taken as asked."""
    if row.get("ProductCode", question.product_code) != question.product_code:
        return False
    if question.customer is not None:
        asked = names.customer_identifier(question.customer, code=question.product_code)
        return bool(row.get("CustomerIdentifier", asked) == asked)
    told = names.value_of(names_of(row), KeyKind.LICENSE_ARN)
    return told is None or told in question.license_arns


def _is_live(row: AwsRow, *, dimensions: frozenset[str], at: datetime) -> bool:
    if not counts_users(row, dimensions):
        return False
    try:
        return expires_at_of(row) > at
    except NoObservationError:
        return False


def counts_users(row: AwsRow, dimensions: frozenset[str]) -> bool:
    """Whether a row is of one of these dimensions."""
    # What stands there may be anything, also what no set can hold.
    return any(row.get("Dimension") == dimension for dimension in dimensions)


def seats_of(row: AwsRow) -> int:
    """The number of a row of the dimension that counts users.

    Raises:
        NoObservationError: it has no whole number from 0 to `SEATS_MAX`. AWS does not say how it shows what was sold
            without a limit; whatever is no number is none here.
    """
    value = row.get("Value")
    number = value.get("IntegerValue") if isinstance(value, dict) and len(value) == 1 else None
    # Exactly: Python takes True for 1 and 5.0 for 5.
    if type(number) is not int:
        raise NoObservationError("A row of a dimension that counts users has no whole number.")
    if number < 0:
        raise NoObservationError("A row of a dimension that counts users has a negative number.")
    if number > SEATS_MAX:
        raise NoObservationError(f"A row of a dimension that counts users has a number above {SEATS_MAX:,}.")
    return number


def expires_at_of(row: AwsRow) -> datetime:
    """The date of a row of the dimension that counts users, in UTC.

    Raises:
        NoObservationError: it has none.
    """
    expires_at = row.get("ExpirationDate")
    if not isinstance(expires_at, datetime) or expires_at.tzinfo is None:
        raise NoObservationError("A row of a dimension that counts users has no date.")
    return expires_at.astimezone(UTC)


def names_of(row: AwsRow) -> tuple[Name, ...]:
    """The names of a license that a row carries; what is none is left out."""
    found: list[Name] = []
    for kind, member, read in (
        (KeyKind.LICENSE_ARN, "LicenseArn", names.license_arn),
        (KeyKind.ACCOUNT, "CustomerAWSAccountId", names.account_id),
    ):
        try:
            found.append((kind, read(row.get(member))))
        except NameIsMalformedError:
            continue
    if "CustomerIdentifier" in row and "ProductCode" in row:
        try:
            found.append((KeyKind.CUSTOMER, names.customer(row["ProductCode"], row["CustomerIdentifier"])))
        except NameIsMalformedError:
            return tuple(found)
    return tuple(found)
