"""The parts put together, as every command needs them."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from api import sign_ins
from commands.logs import configure_logs
from commands.settings import (
    AWS_ACCOUNTS,
    BLIND_WAIT,
    DATABASE_URL,
    DECREASE_CONFIRM,
    EXPIRY_GRACE,
    INBOX_RETENTION,
    KAFKA_API_VERSION,
    KAFKA_BOOTSTRAP,
    KAFKA_DEAD_LETTER_TOPIC,
    KAFKA_EVENTS_TOPIC,
    KAFKA_LICENSES_TOPIC,
    KAFKA_MESSAGES_TOPIC,
    KAFKA_PERSONAL,
    KAFKA_SASL_MECHANISM,
    KAFKA_SASL_PASSWORD,
    KAFKA_SASL_USERNAME,
    KAFKA_SECURITY_PROTOCOL,
    KAFKA_SSL_CAFILE,
    KAFKA_SSL_CERTFILE,
    KAFKA_SSL_KEYFILE,
    KAFKA_SSL_PASSWORD,
    LOG_FORMAT,
    LOG_LEVEL,
    QUEUE,
    RECHECK,
    RECONCILE_EVERY,
    RECONCILE_MAX_LOSS,
    RENEWAL_WAIT,
    SNS_TOPIC_ARNS,
    SNS_VERIFY,
    SQS_QUEUE_URL,
    THREADS,
    Settings,
)
from consumers import marketplace
from consumers.kafka import KafkaInSettings
from consumers.marketplace import MarketplaceSettings
from ledger.ledger import Ledger, LedgerSettings
from ledger.license.access import AccessPolicy
from projections import kafka
from projections.kafka import KafkaConnection, Publisher, PublisherSettings
from projections.views import Views, ViewsSettings

TABLES: Final = (sign_ins.METADATA, marketplace.METADATA, kafka.METADATA)

_PUBLISHER_STOPS_SECONDS: Final = 10


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


@contextlib.contextmanager
def publishing(settings: Settings, ledger: Ledger, views: Views) -> Iterator[Publisher | None]:
    """Publish to Kafka meanwhile, where topics are set.

    Raises:
        KafkaUnusableError: in one line, why it can't be.
    """
    topics = (settings.optional(KAFKA_EVENTS_TOPIC), settings.optional(KAFKA_LICENSES_TOPIC))
    if topics == (None, None):
        yield None
        return
    publisher = Publisher.open(
        PublisherSettings(
            connection=kafka_connection(settings),
            events_topic=topics[0],
            licenses_topic=topics[1],
            personal="omit" if settings[KAFKA_PERSONAL] == "omit" else "full",
        ),
        ledger,
        views,
    )
    stop = threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop,), name="publisher", daemon=True)
    thread.start()
    try:
        yield publisher
    finally:
        stop.set()
        thread.join(_PUBLISHER_STOPS_SECONDS)


def kafka_connection(settings: Settings) -> KafkaConnection:
    """How the Kafka cluster is reached.

    Raises:
        SettingIsWrongError: LEDGER_KAFKA_BOOTSTRAP is not set.
    """
    return KafkaConnection(
        bootstrap=settings[KAFKA_BOOTSTRAP],
        api_version=settings.optional(KAFKA_API_VERSION),
        security_protocol=settings[KAFKA_SECURITY_PROTOCOL],
        sasl_mechanism=settings.optional(KAFKA_SASL_MECHANISM),
        sasl_username=settings.optional(KAFKA_SASL_USERNAME),
        sasl_password=settings.optional(KAFKA_SASL_PASSWORD),
        ssl_cafile=settings.optional(KAFKA_SSL_CAFILE),
        ssl_certfile=settings.optional(KAFKA_SSL_CERTFILE),
        ssl_keyfile=settings.optional(KAFKA_SSL_KEYFILE),
        ssl_password=settings.optional(KAFKA_SSL_PASSWORD),
    )


def kafka_in_settings(settings: Settings) -> KafkaInSettings:
    """Where AWS's messages lie in Kafka.

    Raises:
        SettingIsWrongError: the brokers or the topic are not set.
    """
    return KafkaInSettings(
        connection=kafka_connection(settings),
        messages_topic=settings[KAFKA_MESSAGES_TOPIC],
        dead_letter_topic=settings.optional(KAFKA_DEAD_LETTER_TOPIC),
    )


def access_policy(settings: Settings) -> AccessPolicy:
    """The settings by which it is judged whether a license is usable."""
    return AccessPolicy(expiry_grace=settings[EXPIRY_GRACE], blind_wait=settings[BLIND_WAIT])


def marketplace_settings(settings: Settings) -> MarketplaceSettings:
    """What the Marketplace consumer needs to know.

    Raises:
        SettingIsWrongError: no product code is set, or one without a dimension.
    """
    return MarketplaceSettings(
        queue_url=settings.optional(SQS_QUEUE_URL),
        products={code: frozenset(dimensions) for code, dimensions in settings.products.items()},
        sns_verify=settings[SNS_VERIFY] == "on",
        sns_topic_arns=settings.optional(SNS_TOPIC_ARNS),
        aws_accounts=settings.optional(AWS_ACCOUNTS),
        renewal_wait=settings[RENEWAL_WAIT],
        decrease_confirm=settings[DECREASE_CONFIRM],
        recheck=settings[RECHECK],
        inbox_retention=settings[INBOX_RETENTION],
        reconcile_every=settings.optional(RECONCILE_EVERY),
        reconcile_max_loss=settings[RECONCILE_MAX_LOSS],
    )
