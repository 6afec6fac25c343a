"""What the HTTP door is put together from."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

import flask

from api.drift import Drift
from api.inbox import InboxDoor
from api.registration import Registration
from api.succession import Succession
from ledger.ledger import Ledger
from projections.kafka import PublisherStatus
from projections.views import Views

_EXTENSION: Final = "licensing-ledger"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiSettings:
    """What the HTTP door needs to know.

    Attributes:
        check_again: how long a client program may rely on an answer that lets a user work.
        new_users_per_hour: how many users never heard of a client key may bring in an hour.
        secure_cookies: whether browsers send the cookies over HTTPS alone.
        position_wait: how long `min_position` waits for a view.
        lag_max: how far behind a view may be before the process is not ready.
    """

    check_again: timedelta = timedelta(minutes=15)
    new_users_per_hour: int = 1_000
    secure_cookies: bool = True
    position_wait: timedelta = timedelta(seconds=5)
    lag_max: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The ledger, its views, and what else the door holds in its hands.

    Attributes:
        ledger: the write side.
        views: the read side.
        settings: of the door.
        inbox: what AWS Marketplace told.
        succession: carries out what operators decide about what follows behind a license.
        registration: who asks AWS Marketplace about a registration token; null where that is not set up.
        kafka: tells how far what is published to Kafka is behind; null where nothing is.
        drift: tells whether the ledger agrees with AWS; null where that is not set up.
    """

    ledger: Ledger
    views: Views
    settings: ApiSettings
    inbox: InboxDoor
    succession: Succession
    registration: Registration | None = None
    kafka: Callable[[], PublisherStatus] | None = None
    drift: Drift | None = None


def keep_parts(app: flask.Flask, parts: Parts) -> None:
    """Let every request of this app find its parts."""
    app.extensions[_EXTENSION] = parts


def current_parts() -> Parts:
    """The parts of the app that answers the current request."""
    return cast("Parts", flask.current_app.extensions[_EXTENSION])
