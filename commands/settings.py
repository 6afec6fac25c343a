"""The settings: every environment variable of the ledger, read in one place. AWS's own are boto3's to read."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import sqlalchemy
import structlog

T = TypeVar("T")

_LOGGER: Final = structlog.get_logger(__name__)
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


def _sqlite_path(text: str) -> Path:
    message = "an address like sqlite:///licensing-ledger.db"
    try:
        url = sqlalchemy.make_url(text)
    except sqlalchemy.exc.ArgumentError as error:
        raise ValueError(message) from error
    if url.drivername != "sqlite" or not url.database or url.database == ":memory:" or url.host:
        raise ValueError(message)
    return Path(url.database)


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


def _list(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise ValueError("one or more product codes with commas between them")
    return parts


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
    parse=_sqlite_path,
    default="sqlite:///licensing-ledger.db",
    meaning="Where the ledger is kept: an SQLite file.",
)
VIEWS_URL: Final = Setting(
    name="LEDGER_VIEWS_URL",
    parse=_sqlite_path,
    default=None,
    meaning="Where the views are kept: an SQLite file of their own. Not set: beside the ledger, `<name>.views.db`.",
)
ADMIN_KEY: Final = Setting(
    name="LEDGER_ADMIN_KEY",
    parse=_admin_key,
    default=None,
    meaning=(
        "The first operator key. Not set: made at the first start and written to `<name>.admin-key` beside the"
        " database, readable by its owner alone."
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
    parse=_list,
    default=None,
    meaning="The product codes that licenses are issued for, with commas between them. Needed to consume.",
)
DIMENSION: Final = Setting(
    name="LEDGER_DIMENSION",
    parse=_text,
    default=None,
    meaning="The API name of the dimension that counts users. Needed to consume.",
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
    CHECK_AGAIN,
    NEW_USERS_PER_HOUR,
    SQS_QUEUE_URL,
    PRODUCT_CODES,
    DIMENSION,
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
    def views_path(self) -> Path:
        """Where the views are kept."""
        ledger = self[DATABASE_URL]
        return self.optional(VIEWS_URL) or ledger.with_name(f"{ledger.stem}.views.db")

    @property
    def admin_key_path(self) -> Path:
        """Where the first operator key is written, if none is set."""
        ledger = self[DATABASE_URL]
        return ledger.with_name(f"{ledger.stem}.admin-key")

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
