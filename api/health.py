"""Whether the process lives, and whether it can do its work."""

from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Final, TypeVar

import flask
import msgspec

from api.parts import Parts, current_parts
from api.problems import problem_of
from ledger.transaction import Transaction, Work
from ledger.writer import SYSTEM_CALLER

T = TypeVar("T")


def register(app: flask.Flask) -> None:
    """Answer `/healthz/live` and `/healthz/ready`."""
    app.add_url_rule("/healthz/live", "live", _live)
    app.add_url_rule("/healthz/ready", "ready", _ready)


def _reach_now(transaction: Transaction) -> None:
    transaction.raise_head(transaction.at)


# Records nothing, and takes what every command takes: the queue, the lock, and room on the disk.
_WRITE: Final = Work(decide=_reach_now, caller=SYSTEM_CALLER)


def _live() -> flask.Response:
    return _answer({"status": "alive"}, HTTPStatus.OK)


def _ready() -> flask.Response:
    parts = current_parts()
    checks = {
        "database_readable": _failure(parts.ledger.head),
        "database_writable": _failure(lambda: parts.ledger.submit(_WRITE)),
        "views": _failure(lambda: _check_views(parts)),
    }
    ready = not any(checks.values())
    # Told, but no reason to send callers elsewhere: no answer of this process needs Kafka.
    if parts.kafka is not None:
        checks["kafka"] = _failure(parts.kafka, stopped_by=lambda status: status.stopped)
    document = {
        "status": "ready" if ready else "not ready",
        "checks": {name: failure or "ok" for name, failure in checks.items()},
    }
    return _answer(document, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)


class _ViewsLagError(Exception):
    """The views are too far behind, or don't go on."""


def _check_views(parts: Parts) -> None:
    for view in parts.views.status():
        if timedelta(seconds=view.lag_seconds) > parts.settings.lag_max:
            msg = f"The view {view.name} is {view.lag_events} events behind."
            raise _ViewsLagError(msg)
        if view.stopped is not None:
            raise _ViewsLagError(view.stopped)


def _failure(check: Callable[[], T], *, stopped_by: Callable[[T], str | None] = lambda _: None) -> str | None:
    try:
        return stopped_by(check())
    except _ViewsLagError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is why the process is not ready
        return problem_of(error).detail


def _answer(document: object, status: HTTPStatus) -> flask.Response:
    retry_after = {} if status is HTTPStatus.OK else {"Retry-After": "1"}
    return flask.Response(
        msgspec.json.encode(document),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"} | retry_after,
    )
