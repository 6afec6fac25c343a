"""Stopping cleanly when the process is asked to."""

import signal
import threading
from types import FrameType


def stop_on_signals() -> threading.Event:
    """An event that is set by SIGTERM or Ctrl-C."""
    stop = threading.Event()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop
