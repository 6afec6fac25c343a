"""Stopping cleanly when the process is asked to."""

import os
import signal
import sys
import threading
from types import FrameType

import click


def stop_on_signals() -> threading.Event:
    """An event that is set by SIGTERM or Ctrl-C."""
    stop = threading.Event()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def stop_at_once(error: Exception, *, code: int = 1) -> None:
    """End the process with one line: the ledger must not be written any more, so nothing is finished or closed."""
    click.echo(str(error), err=True)
    sys.stderr.flush()
    os._exit(code)
