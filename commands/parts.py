"""The parts put together, as every command needs them."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from api import sign_ins
from commands.logs import configure_logs
from commands.settings import (
    BLIND_WAIT,
    DATABASE_URL,
    DECREASE_CONFIRM,
    DIMENSION,
    EXPIRY_GRACE,
    LOG_FORMAT,
    LOG_LEVEL,
    PRODUCT_CODES,
    QUEUE,
    RECHECK,
    RENEWAL_WAIT,
    SQS_QUEUE_URL,
    THREADS,
    Settings,
)
from consumers import marketplace
from consumers.marketplace import MarketplaceSettings
from ledger.ledger import Ledger, LedgerSettings
from ledger.license.access import AccessPolicy
from projections.views import Views, ViewsSettings

TABLES: Final = (sign_ins.METADATA, marketplace.METADATA)


def read_settings(environment: Mapping[str, str] | None = None, *, with_sandbox: bool = False) -> Settings:
    """The settings of this process, with the logs configured by them.

    Raises:
        SettingIsWrongError: one of them can't be used.
    """
    settings = Settings(os.environ if environment is None else environment, with_sandbox=with_sandbox)
    configure_logs(level=settings[LOG_LEVEL], format_=settings.optional(LOG_FORMAT))
    return settings


@contextlib.contextmanager
def open_ledger(settings: Settings, *, on_fatal: Callable[[Exception], None] | None = None) -> Iterator[Ledger]:
    """The ledger of this process.

    Raises:
        StoreCannotOpenError: in one line, why not.
    """
    ledger = Ledger.open(
        LedgerSettings(url=settings[DATABASE_URL], waiting_max=settings[QUEUE], readers_max=settings[THREADS] + 16),
        tables=TABLES,
        on_fatal=on_fatal,
    )
    try:
        yield ledger
    finally:
        ledger.close()


@contextlib.contextmanager
def open_views(settings: Settings, ledger: Ledger) -> Iterator[Views]:
    """The views of a ledger.

    Raises:
        StoreCannotOpenError: in one line, why not.
    """
    views = Views.open(ViewsSettings(url=settings.views_url, readers_max=settings[THREADS] + 16), ledger)
    try:
        yield views
    finally:
        views.stop()


def access_policy(settings: Settings) -> AccessPolicy:
    """The settings by which it is judged whether a license is usable."""
    return AccessPolicy(expiry_grace=settings[EXPIRY_GRACE], blind_wait=settings[BLIND_WAIT])


def marketplace_settings(settings: Settings) -> MarketplaceSettings:
    """What the Marketplace consumer needs to know.

    Raises:
        SettingIsWrongError: the product codes or the dimension are not set.
    """
    return MarketplaceSettings(
        queue_url=settings.optional(SQS_QUEUE_URL),
        product_codes=settings[PRODUCT_CODES],
        dimension=settings[DIMENSION],
        renewal_wait=settings[RENEWAL_WAIT],
        decrease_confirm=settings[DECREASE_CONFIRM],
        recheck=settings[RECHECK],
    )
