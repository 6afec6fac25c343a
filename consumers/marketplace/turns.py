"""Turns that are taken until told to stop, with growing pauses while they fail."""

import threading
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from consumers.marketplace.pauses import OUTAGE
from consumers.marketplace.sources import SourceFailedError
from ledger.errors import LedgerError
from ledger.store import StoreError

_LOGGER: Final = structlog.get_logger(__name__)


def again_until(stop: threading.Event, turn: Callable[[], object], *, failed: str) -> None:
    """Take one turn after the other until told to stop; each failure is one line in the log.

    Args:
        stop: set to stop.
        turn: what to do.
        failed: what to say when a turn fails.
    """
    failures = 0
    while not stop.is_set():
        try:
            turn()
        except (SourceFailedError, LedgerError, StoreError, SQLAlchemyError) as error:
            failures += 1
            _LOGGER.warning(failed, reason=_in_words(error), failures=failures)
        except Exception as error:
            failures += 1
            _LOGGER.exception(failed, error=type(error).__name__, failures=failures)
        else:
            failures = 0
            continue
        stop.wait(OUTAGE.after(failures).total_seconds())


def _in_words(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
