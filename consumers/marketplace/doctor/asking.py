"""How the doctor asks AWS: once, for a few seconds, with every way of not answering put into words."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from consumers.marketplace.clients import REGION, region_of
from consumers.marketplace.doctor.findings import Finding, could_not_look, wrong
from consumers.marketplace.entitlements import code_of

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_marketplace_agreement import AgreementServiceClient
    from mypy_boto3_marketplace_entitlement import MarketplaceEntitlementServiceClient
    from mypy_boto3_meteringmarketplace import MarketplaceMeteringClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sts import STSClient

T = TypeVar("T")

ANSWER_SECONDS: Final = 5
"""How long any one answer is waited for."""
LEDGER_POLICY: Final = "the policy that the stack's output LedgerPolicyArn names"
DOCTOR_POLICY: Final = "the policy that the stack's output DoctorPolicyArn names"

_CONFIG: Final = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 1})
_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "UnauthorizedOperation",
    }
)
_UNKNOWN_CREDENTIALS: Final = frozenset(
    {
        "ExpiredToken",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_NOT_NOW: Final = frozenset({"RequestThrottled", "Throttling", "ThrottlingException", "TooManyRequestsException"})
_NOT_PLAYED: Final = frozenset({"NotImplemented", "UnknownOperationException"})
_NO_CREDENTIALS: Final = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
)
_UNREADABLE: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    ResponseParserError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What botocore raises of a body that has another shape than its model."""
_SERVER_FAULT: Final = 500


class Trouble(StrEnum):
    """Why AWS did not answer the question."""

    DENIED = "denied"
    CREDENTIALS = "credentials"
    SILENT = "silent"
    NOT_NOW = "not now"
    REFUSED = "refused"


class AskingFailedError(Exception):
    """AWS did not answer the question; the text is a sentence that says how.

    Attributes:
        trouble: of which kind it is.
        code: AWS's own, null if it did not answer at all.
    """

    def __init__(self, told: str, *, trouble: Trouble, code: str | None = None) -> None:
        """Keep what is known of it."""
        super().__init__(told)
        self.trouble = trouble
        self.code = code


class InstrumentsAreUnusableError(Exception):
    """AWS can't be asked at all, with what boto3 finds; the text is a sentence that says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruments:
    """The clients of AWS by which the doctor looks.

    Attributes:
        region: in which queues are, as the ledger itself takes it.
        now: our clock, aware UTC.
        skews: how far our clock was ahead of AWS's, at each answer.
        failures: what became of questions that need not be waited for again, by what was asked about.
    """

    region: str
    now: Callable[[], datetime]
    sts: "STSClient"
    sqs: "SQSClient"
    events: "EventBridgeClient"
    sns: "SNSClient"
    metering: "MarketplaceMeteringClient"
    entitlements: "MarketplaceEntitlementServiceClient"
    agreements: "AgreementServiceClient"
    skews: list[timedelta] = field(default_factory=list)
    failures: "dict[str, AskingFailedError]" = field(default_factory=dict)

    @classmethod
    def open(cls, *, now: Callable[[], datetime]) -> Self:
        """Make them from this process's environment, as the ledger does.

        Raises:
            InstrumentsAreUnusableError: the environment or AWS's files of configuration are wrong.
        """
        try:
            session = boto3.Session()
            region = region_of(os.environ, session)
            return cls(
                region=region,
                now=now,
                sts=session.client("sts", region_name=region, config=_CONFIG),
                sqs=session.client("sqs", region_name=region, config=_CONFIG),
                events=session.client("events", region_name=region, config=_CONFIG),
                sns=session.client("sns", region_name=REGION, config=_CONFIG),
                metering=session.client("meteringmarketplace", region_name=region, config=_CONFIG),
                entitlements=session.client("marketplace-entitlement", region_name=REGION, config=_CONFIG),
                agreements=session.client("marketplace-agreement", region_name=REGION, config=_CONFIG),
            )
        except (BotoCoreError, ValueError) as error:
            # Its text may quote what stands in a file of credentials.
            raise InstrumentsAreUnusableError(f"boto3 can't use its configuration: {type(error).__name__}.") from error

    def close(self) -> None:
        """Close their connections."""
        for client in (
            self.sts,
            self.sqs,
            self.events,
            self.sns,
            self.metering,
            self.entitlements,
            self.agreements,
        ):
            client.close()

    def would_show_aws(self, client: "BaseClient") -> bool:
        """Whether a client would show credentials to AWS that are for whoever plays AWS Marketplace."""
        return not is_aws(self.metering.meta.endpoint_url) and is_aws(client.meta.endpoint_url)

    def ask(self, operation: str, call: Callable[[], T]) -> T:
        """Call AWS once.

        Args:
            operation: its name, for the sentence.
            call: calls it.

        Raises:
            AskingFailedError: there is no answer to the question.
        """
        try:
            answer = call()
        except ClientError as error:
            self._note_clock(_headers(error.response))
            raise _refused(operation, error) from error
        except _NO_CREDENTIALS as error:
            told = "boto3 finds no credentials, or can't get them."
            raise AskingFailedError(told, trouble=Trouble.CREDENTIALS) from error
        except BotoCoreError as error:
            told = f"There was no answer to {operation} within {ANSWER_SECONDS} seconds: {type(error).__name__}."
            raise AskingFailedError(told, trouble=Trouble.SILENT) from error
        except _UNREADABLE as error:
            raise AskingFailedError(_none_of_awss(operation), trouble=Trouble.SILENT) from error
        if isinstance(answer, Mapping):
            self._note_clock(_headers(answer))
        return answer

    def check_page(self, operation: str, page: Mapping[str, Any]) -> None:
        """See that a page of an answer is AWS's, where one with nothing in it would mean something; note its time.

        Raises:
            AskingFailedError: it is a page for people, as a proxy has them, in which botocore finds nothing.
        """
        headers = _headers(page)
        if "html" in headers.get("content-type", ""):
            raise AskingFailedError(_none_of_awss(operation), trouble=Trouble.SILENT)
        self._note_clock(headers)

    def _note_clock(self, headers: Mapping[str, str]) -> None:
        try:
            told = parsedate_to_datetime(headers["date"])
        except (KeyError, ValueError):
            return
        self.skews.append(self.now() - told.astimezone(UTC))


def needed(check: str, error: AskingFailedError) -> Finding:
    """What an answer that the ledger can't do without means, where it did not come."""
    told = str(error)
    match error.trouble:
        case Trouble.DENIED:
            return wrong(check, told, f"Give the credentials {LEDGER_POLICY}.")
        case Trouble.CREDENTIALS:
            return wrong(check, told, "Give the ledger credentials of the seller's account, as boto3 looks for them.")
        case Trouble.SILENT:
            return wrong(check, told, "Look at the network between here and AWS: names, proxy, firewall, endpoints.")
        case Trouble.NOT_NOW:
            return could_not_look(check, told, "Try again in a minute.")
        case Trouble.REFUSED:
            return wrong(check, told, "Look the code up in AWS's reference of that call.")


def looked_for(check: str, error: AskingFailedError) -> Finding:
    """What an answer that only the doctor wants means, where it did not come."""
    remedy = {
        Trouble.DENIED: f"It may be all right. To have it looked at, add {DOCTOR_POLICY}.",
        Trouble.NOT_NOW: "Try again in a minute.",
    }
    return could_not_look(check, str(error), remedy.get(error.trouble))


def not_shown(check: str) -> Finding:
    """Credentials are for whoever plays AWS Marketplace, and so only that one is asked."""
    return could_not_look(check, "AWS Marketplace is played, and whoever plays it has none of this.")


def shown_url(url: str) -> str:
    """A URL without user, password and query; of what is none, nothing is shown."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "of that address, which is no URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def is_aws(url: str) -> bool:
    """Whether a URL leads to AWS itself."""
    host = urlsplit(url).hostname or ""
    return host.endswith((".amazonaws.com", ".api.aws"))


def _headers(answer: Mapping[str, Any]) -> Mapping[str, str]:
    headers: Mapping[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


def _none_of_awss(operation: str) -> str:
    return f"The answer to {operation} is none of AWS's."


def _refused(operation: str, error: ClientError) -> AskingFailedError:
    code = code_of(error)
    if code in _DENIED:
        told = f"These credentials may not call {operation}."
        return AskingFailedError(told, trouble=Trouble.DENIED, code=code)
    if code in _UNKNOWN_CREDENTIALS:
        told = f"AWS does not take these credentials ({code}): unknown, expired, or signed by a clock that is wrong."
        return AskingFailedError(told, trouble=Trouble.CREDENTIALS, code=code)
    if code in _NOT_PLAYED:
        told = f"Whoever answers there does not know {operation}."
        return AskingFailedError(told, trouble=Trouble.NOT_NOW, code=code)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    not_now = code in _NOT_NOW or status >= _SERVER_FAULT
    told = f"AWS answered {operation} with {code}."
    return AskingFailedError(told, trouble=Trouble.NOT_NOW if not_now else Trouble.REFUSED, code=code)
