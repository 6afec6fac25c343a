"""The settings: every environment variable of the ledger, read in one place. AWS's own are boto3's to read."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from ledger.store.url import DatabaseUrl

T = TypeVar("T")

_LOGGER: Final = structlog.get_logger(__name__)
# Product codes and dimensions are opaque to AWS's callers; what stands between them here can be in neither.
_NAME_OF_AWS: Final = re.compile(r"[!-*\--9;-~]{1,255}", re.ASCII)
PREFIX: Final = "LEDGER_"


class SettingIsWrongError(Exception):
    """A setting can't be used; the text is one line that names it and says what it should be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting(Generic[T]):
    """One setting.

    Attributes:
        name: of the environment variable.
        parse: reads its text; a ValueError says in words what the text should be.
        default: the text that stands for it when it is not set; none is null in the settings.
        sandbox: the text that stands for it with the sandbox Marketplace, where that differs.
        meaning: one sentence for people.
        is_secret: never to be shown.
    """

    name: str
    parse: Callable[[str], T]
    default: str | None
    meaning: str
    sandbox: str | None = None
    is_secret: bool = False


def _text(text: str) -> str:
    return text


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else None
        if number is None or not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return number

    return parse


def _duration(text: str) -> timedelta:
    message = "an ISO 8601 duration of 0 to 10 years, such as PT15M or P3D"
    try:
        duration = msgspec.convert(text, timedelta)
    except msgspec.ValidationError as error:
        raise ValueError(message) from error
    if not timedelta() <= duration <= timedelta(days=3653):
        raise ValueError(message)
    return duration


def _positive_duration(text: str) -> timedelta:
    duration = _duration(text)
    if not duration:
        raise ValueError("an ISO 8601 duration longer than 0, such as PT5M")
    return duration


def _percent(text: str) -> Decimal:
    number = text.removesuffix("%").strip()
    if not re.fullmatch(r"\d{1,3}(\.\d{1,3})?", number, re.ASCII) or Decimal(number) > 100:  # noqa: PLR2004 -- all of it
        raise ValueError("a percentage from 0 to 100, such as 5 or 2.5")
    return Decimal(number)


def _products(text: str) -> Mapping[str, tuple[str, ...]]:
    parts = [part.partition(":") for part in text.split(",")]
    products = {code.strip(): _dimensions(told) if colon else () for code, colon, told in parts}
    if not all(_NAME_OF_AWS.fullmatch(code) for code in products):
        raise ValueError("product codes with commas between them, such as code,code or code:users+admins,code:users")
    if len(products) < len(parts):
        raise ValueError("product codes that are named once each")
    return products


def _dimensions(text: str) -> tuple[str, ...]:
    dimensions = tuple(_dimension(part.strip()) for part in text.split("+"))
    if len(set(dimensions)) < len(dimensions):
        raise ValueError("product codes whose dimensions are named once each")
    return dimensions


def _dimension(text: str) -> str:
    if not _NAME_OF_AWS.fullmatch(text):
        raise ValueError("API names of dimensions, of 1 to 255 characters each, such as users")
    return text


def _retention(text: str) -> timedelta:
    duration = _duration(text)
    if duration < timedelta(days=15):
        raise ValueError("an ISO 8601 duration of at least P15D, since SQS may bring a message again for 14 days")
    return duration


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return text.lower()

    return parse


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError("an IP address, such as 10.0.0.5") from error


def _brokers(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if not all(re.fullmatch(r"[^\s/]+:\d{1,5}", part) for part in parts):
        raise ValueError("brokers like kafka-1:9092,kafka-2:9092")
    return parts


def _topic_arns(text: str) -> frozenset[str]:
    return _all_like(
        r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}",
        text,
        "ARNs like arn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-PRODUCTCODE",
    )


def _accounts(text: str) -> frozenset[str]:
    return _all_like(r"[0-9]{12}", text, "twelve digits for each account, such as 123456789012,210987654321")


def _all_like(pattern: str, text: str, message: str) -> frozenset[str]:
    parts = frozenset(part.strip() for part in text.split(","))
    if not all(re.fullmatch(pattern, part) for part in parts):
        raise ValueError(message)
    return parts


def _topic(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", text) or text in (".", ".."):
        raise ValueError("the name of a topic: up to 249 letters, digits, dots, underscores and hyphens")
    return text


def _version(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(\.\d+){1,2}", text):
        raise ValueError("a version such as 2.3")
    return tuple(int(part) for part in text.split("."))


def _protocol(text: str) -> str:
    if text.upper() not in (choices := ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")):
        raise ValueError("one of " + ", ".join(choices))
    return text.upper()


def _admin_key(text: str) -> str:
    if len(text) < 16:  # noqa: PLR2004 -- said in the sentence
        raise ValueError("a secret of at least 16 characters")
    return text


def _queue_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError(
            "the URL of an SQS queue, such as https://sqs.us-east-1.amazonaws.com/123456789012/marketplace"
        )
    return text


DATABASE_URL: Final = Setting(
    name="LEDGER_DATABASE_URL",
    parse=DatabaseUrl.parse,
    default="sqlite:///licensing-ledger.db",
    meaning=(
        "Where the ledger is kept: an SQLite file, or a PostgreSQL database by an address such as"
        " postgresql://ledger@db.example/ledger?sslmode=verify-full, which libpq gets whole: password, TLS, time"
        " limits, options, several hosts."
    ),
    is_secret=True,
)
VIEWS_URL: Final = Setting(
    name="LEDGER_VIEWS_URL",
    parse=DatabaseUrl.parse,
    default=None,
    meaning=(
        "Where the views are kept: an SQLite file of their own or a PostgreSQL database. Not set: beside an SQLite"
        " ledger, `<name>.views.db`; in the same database as a PostgreSQL one."
    ),
    is_secret=True,
)
ADMIN_KEY: Final = Setting(
    name="LEDGER_ADMIN_KEY",
    parse=_admin_key,
    default=None,
    meaning=(
        "The first operator key. Not set: made at the first start and written to `<name>.admin-key` beside the"
        " database, or in the working folder with PostgreSQL, readable by its owner alone."
    ),
    is_secret=True,
)
SANDBOX_KEY: Final = Setting(
    name="LEDGER_SANDBOX_KEY",
    parse=_text,
    default=None,
    meaning=(
        "A key of the ledger, by which the sandbox's pages show what the ledger has beside each contract; one of an"
        " auditor is enough. `serve --sandbox` makes one where none is set, in `<name>.sandbox-key`."
    ),
    is_secret=True,
)
HOST: Final = Setting(
    name="LEDGER_HOST", parse=_text, default="127.0.0.1", meaning="The address to listen at; 0.0.0.0 is every address."
)
PORT: Final = Setting(
    name="LEDGER_PORT", parse=_whole(0, 65_535), default="8080", meaning="The port to listen at; 0 is any free one."
)
THREADS: Final = Setting(
    name="LEDGER_THREADS",
    parse=_whole(1, 1_024),
    default="64",
    meaning="How many requests are worked on at once. Many waiting callers share one disk write.",
)
QUEUE: Final = Setting(
    name="LEDGER_QUEUE",
    parse=_whole(1, 1_000_000),
    default="1000",
    meaning="How many commands may wait to be written; more are answered 503.",
)
SECURE_COOKIES: Final = Setting(
    name="LEDGER_SECURE_COOKIES",
    parse=_one_of("yes", "no"),
    default=None,
    meaning="Whether browsers send the sign-in over HTTPS alone. Not set: no at a loopback address, else yes.",
)
TRUSTED_PROXY: Final = Setting(
    name="LEDGER_TRUSTED_PROXY",
    parse=_ip_address,
    default=None,
    meaning=(
        "The address of a proxy in front that is believed in X-Forwarded-For, -Proto and -Host. Not set: these headers"
        " are ignored."
    ),
)
EXPIRY_GRACE: Final = Setting(
    name="LEDGER_EXPIRY_GRACE",
    parse=_duration,
    default="PT0S",
    meaning="How long an expired contract may still be used.",
)
BLIND_WAIT: Final = Setting(
    name="LEDGER_BLIND_WAIT",
    parse=_duration,
    default="P3D",
    sandbox="PT0S",
    meaning="How long a contract past its date may be used while AWS can't be asked.",
)
RENEWAL_WAIT: Final = Setting(
    name="LEDGER_RENEWAL_WAIT",
    parse=_duration,
    default="PT2H",
    sandbox="PT0S",
    meaning="How long after its date, or after a license was deprovisioned, a contract is given to be renewed.",
)
DECREASE_CONFIRM: Final = Setting(
    name="LEDGER_DECREASE_CONFIRM",
    parse=_duration,
    default="PT5M",
    sandbox="PT0S",
    meaning="How long after the first the second reading of AWS comes that a decrease needs which deletes users.",
)
RECHECK: Final = Setting(
    name="LEDGER_RECHECK",
    parse=_positive_duration,
    default="PT5M",
    sandbox="PT5S",
    meaning="How soon AWS is asked again about what is open; it backs off to a day.",
)
RECONCILE_EVERY: Final = Setting(
    name="LEDGER_RECONCILE_EVERY",
    parse=_positive_duration,
    default=None,
    meaning="How often all that AWS sells is compared with the ledger, such as PT24H. Not set: only by `reconcile`.",
)
RECONCILE_MAX_LOSS: Final = Setting(
    name="LEDGER_RECONCILE_MAX_LOSS",
    parse=_percent,
    default="5",
    meaning=(
        "How many percent of all seats, or of all licenses, comparisons may take away within 24 hours. More, from three"
        " licenses up, is withheld with an alarm."
    ),
)
INBOX_RETENTION: Final = Setting(
    name="LEDGER_INBOX_RETENTION",
    parse=_retention,
    default="P400D",
    meaning=(
        "How long messages of AWS Marketplace that are settled, and readings of AWS, are kept: at least P15D, since SQS"
        " may bring a message again for 14 days."
    ),
)
CHECK_AGAIN: Final = Setting(
    name="LEDGER_CHECK_AGAIN",
    parse=_positive_duration,
    default="PT15M",
    meaning="How soon the client program asks again whether its user may work.",
)
NEW_USERS_PER_HOUR: Final = Setting(
    name="LEDGER_NEW_USERS_PER_HOUR",
    parse=_whole(0, 1_000_000_000),
    default="1000",
    meaning="How many users never heard of one client key may bring within an hour.",
)
SQS_QUEUE_URL: Final = Setting(
    name="LEDGER_SQS_QUEUE_URL",
    parse=_queue_url,
    default=None,
    meaning="The queue that gets AWS Marketplace's messages. Set: `serve` consumes it too.",
)
PRODUCT_CODES: Final = Setting(
    name="LEDGER_PRODUCT_CODES",
    parse=_products,
    default=None,
    meaning="The product codes that licenses are issued for, each with the dimensions that count its users, which add"
    " up: code:users+admins,code:users. Needed to consume.",
)
DIMENSION: Final = Setting(
    name="LEDGER_DIMENSION",
    parse=_dimension,
    default=None,
    meaning="The API name of the dimension that counts users, for each product code that names none itself.",
)
SNS_VERIFY: Final = Setting(
    name="LEDGER_SNS_VERIFY",
    parse=_one_of("on", "off"),
    default="on",
    meaning=(
        "Whether a message of SNS needs a valid signature: on, or off, which takes it as it comes, also by raw"
        " delivery, from whoever can write to the queue."
    ),
)
SNS_TOPIC_ARNS: Final = Setting(
    name="LEDGER_SNS_TOPIC_ARNS",
    parse=_topic_arns,
    default=None,
    meaning="The ARNs of the SNS topics whose messages are taken, with commas between them. Not set: any topic.",
)
AWS_ACCOUNTS: Final = Setting(
    name="LEDGER_AWS_ACCOUNTS",
    parse=_accounts,
    default=None,
    meaning=(
        "The AWS accounts of the seller, twelve digits each, with commas between them, whose EventBridge events are"
        " taken. Not set: any account."
    ),
)
KAFKA_BOOTSTRAP: Final = Setting(
    name="LEDGER_KAFKA_BOOTSTRAP",
    parse=_brokers,
    default=None,
    meaning="The Kafka brokers to ask first, each host:port, with commas between them. Not set: no Kafka.",
)
KAFKA_EVENTS_TOPIC: Final = Setting(
    name="LEDGER_KAFKA_EVENTS_TOPIC",
    parse=_topic,
    default=None,
    meaning="The topic that gets every event as a CloudEvent. Not set: events are not published.",
)
KAFKA_LICENSES_TOPIC: Final = Setting(
    name="LEDGER_KAFKA_LICENSES_TOPIC",
    parse=_topic,
    default=None,
    meaning="The compacted topic that holds the current License Information of each license. Not set: not published.",
)
KAFKA_MESSAGES_TOPIC: Final = Setting(
    name="LEDGER_KAFKA_MESSAGES_TOPIC",
    parse=_topic,
    default=None,
    meaning="The topic of AWS Marketplace's messages. Needed for `consume kafka` and `consume sqs --to-kafka`.",
)
KAFKA_DEAD_LETTER_TOPIC: Final = Setting(
    name="LEDGER_KAFKA_DEAD_LETTER_TOPIC",
    parse=_topic,
    default=None,
    meaning="The topic for messages that can't be understood, with the reason. Not set: the inbox alone keeps them.",
)
KAFKA_PERSONAL: Final = Setting(
    name="LEDGER_KAFKA_PERSONAL",
    parse=_one_of("full", "omit"),
    default="full",
    meaning="full publishes names as they are stored; omit leaves them out, for a topic that others read.",
)
KAFKA_API_VERSION: Final = Setting(
    name="LEDGER_KAFKA_API_VERSION",
    parse=_version,
    default=None,
    meaning="The version of Kafka's protocol to speak, such as 2.3. Not set: the brokers are asked.",
)
KAFKA_SECURITY_PROTOCOL: Final = Setting(
    name="LEDGER_KAFKA_SECURITY_PROTOCOL",
    parse=_protocol,
    default="PLAINTEXT",
    meaning="How the brokers are spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
)
KAFKA_SASL_MECHANISM: Final = Setting(
    name="LEDGER_KAFKA_SASL_MECHANISM",
    parse=_text,
    default=None,
    meaning="How one signs in to the brokers, such as PLAIN or SCRAM-SHA-512.",
)
KAFKA_SASL_USERNAME: Final = Setting(
    name="LEDGER_KAFKA_SASL_USERNAME", parse=_text, default=None, meaning="Who signs in to the brokers."
)
KAFKA_SASL_PASSWORD: Final = Setting(
    name="LEDGER_KAFKA_SASL_PASSWORD",
    parse=_text,
    default=None,
    meaning="The secret of who signs in to the brokers.",
    is_secret=True,
)
KAFKA_SSL_CAFILE: Final = Setting(
    name="LEDGER_KAFKA_SSL_CAFILE",
    parse=_text,
    default=None,
    meaning="A PEM file of the authorities that are trusted. Not set: the system's.",
)
KAFKA_SSL_CERTFILE: Final = Setting(
    name="LEDGER_KAFKA_SSL_CERTFILE",
    parse=_text,
    default=None,
    meaning="A PEM file of the ledger's certificate, where the brokers want one.",
)
KAFKA_SSL_KEYFILE: Final = Setting(
    name="LEDGER_KAFKA_SSL_KEYFILE", parse=_text, default=None, meaning="A PEM file of that certificate's key."
)
KAFKA_SSL_PASSWORD: Final = Setting(
    name="LEDGER_KAFKA_SSL_PASSWORD",
    parse=_text,
    default=None,
    meaning="The secret that opens that key.",
    is_secret=True,
)
LOG_LEVEL: Final = Setting(
    name="LEDGER_LOG_LEVEL",
    parse=_one_of("debug", "info", "warning", "error"),
    default="info",
    sandbox="warning",
    meaning="What is worth a log line: debug, info, warning or error.",
)
LOG_FORMAT: Final = Setting(
    name="LEDGER_LOG_FORMAT",
    parse=_one_of("json", "text"),
    default=None,
    meaning="json, or text for people. Not set: text on a terminal, else json.",
)

SETTINGS: Final[tuple[Setting[Any], ...]] = (
    DATABASE_URL,
    VIEWS_URL,
    ADMIN_KEY,
    SANDBOX_KEY,
    HOST,
    PORT,
    THREADS,
    QUEUE,
    SECURE_COOKIES,
    TRUSTED_PROXY,
    EXPIRY_GRACE,
    BLIND_WAIT,
    RENEWAL_WAIT,
    DECREASE_CONFIRM,
    RECHECK,
    INBOX_RETENTION,
    RECONCILE_EVERY,
    RECONCILE_MAX_LOSS,
    CHECK_AGAIN,
    NEW_USERS_PER_HOUR,
    SQS_QUEUE_URL,
    PRODUCT_CODES,
    DIMENSION,
    SNS_VERIFY,
    SNS_TOPIC_ARNS,
    AWS_ACCOUNTS,
    KAFKA_BOOTSTRAP,
    KAFKA_EVENTS_TOPIC,
    KAFKA_LICENSES_TOPIC,
    KAFKA_MESSAGES_TOPIC,
    KAFKA_DEAD_LETTER_TOPIC,
    KAFKA_PERSONAL,
    KAFKA_API_VERSION,
    KAFKA_SECURITY_PROTOCOL,
    KAFKA_SASL_MECHANISM,
    KAFKA_SASL_USERNAME,
    KAFKA_SASL_PASSWORD,
    KAFKA_SSL_CAFILE,
    KAFKA_SSL_CERTFILE,
    KAFKA_SSL_KEYFILE,
    KAFKA_SSL_PASSWORD,
    LOG_LEVEL,
    LOG_FORMAT,
)


class Settings:
    """The settings as the environment has them."""

    def __init__(self, environment: Mapping[str, str], *, with_sandbox: bool = False) -> None:
        """Read every setting, so that a wrong one is known at the start.

        Raises:
            SettingIsWrongError: one of them can't be used.
        """
        self._values = {setting.name: _read(setting, environment, with_sandbox=with_sandbox) for setting in SETTINGS}
        known = self._values.keys()
        self.unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)

    def optional(self, setting: Setting[T]) -> T | None:
        """The value of a setting, null if it is not set and has no default."""
        value: T | None = self._values[setting.name]
        return value

    def __getitem__(self, setting: Setting[T]) -> T:
        """The value of a setting.

        Raises:
            SettingIsWrongError: it is not set and has no default.
        """
        value = self.optional(setting)
        if value is None:
            raise SettingIsWrongError(f"{setting.name} is not set. {setting.meaning}")
        return value

    @property
    def products(self) -> Mapping[str, tuple[str, ...]]:
        """Of each product, by its code, the dimensions that count its users, both in the order in which they are told.

        Raises:
            SettingIsWrongError: no product is set, or one without a dimension.
        """
        dimension = self.optional(DIMENSION)
        of_others = () if dimension is None else (dimension,)
        products = {code: dimensions or of_others for code, dimensions in self[PRODUCT_CODES].items()}
        without = [code for code, dimensions in products.items() if not dimensions]
        if without:
            raise SettingIsWrongError(
                f"{PRODUCT_CODES.name} names no dimension of {without[0]!r}. Add it, such as {without[0]}:users, or set"
                f" {DIMENSION.name}."
            )
        return products

    @property
    def views_url(self) -> DatabaseUrl:
        """Where the views are kept."""
        path = self[DATABASE_URL].sqlite_path
        beside = self[DATABASE_URL] if path is None else DatabaseUrl.of_file(path.with_name(f"{path.stem}.views.db"))
        return self.optional(VIEWS_URL) or beside

    @property
    def admin_key_path(self) -> Path:
        """Where the first operator key is written, if none is set."""
        return self.beside_database("admin-key")

    def beside_database(self, ending: str) -> Path:
        """A file beside the database; in the working folder where the database is no file."""
        path = self[DATABASE_URL].sqlite_path or Path("licensing-ledger.db")
        return path.with_name(f"{path.stem}.{ending}")

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers send the sign-in over HTTPS alone."""
        told = self.optional(SECURE_COOKIES)
        return self[HOST] not in ("127.0.0.1", "localhost", "::1") if told is None else told == "yes"


def _read(setting: Setting[T], environment: Mapping[str, str], *, with_sandbox: bool) -> T | None:
    default = setting.sandbox if with_sandbox and setting.sandbox is not None else setting.default
    text = environment.get(setting.name, "").strip() or default
    if text is None:
        return None
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = "" if setting.is_secret else f", not {text!r}"
        raise SettingIsWrongError(f"{setting.name} has to be {error}{shown}.") from error
