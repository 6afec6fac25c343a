"""What stands between the ledger and the sandbox Marketplace, and notes each call, as AWS counts them."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple

import urllib3

_KEPT: Final = ("Content-Type", "X-Amz-Target")


class Called(NamedTuple):
    """One call; `at` is in seconds of a clock that never goes back."""

    at: float
    operation: str


class Calls:
    """The calls that came by so far."""

    def __init__(self) -> None:
        """None came yet."""
        self._calls: list[Called] = []
        self._lock = threading.Lock()

    def note(self, operation: str) -> None:
        """One comes by now."""
        with self._lock:
            self._calls.append(Called(time.monotonic(), operation))

    def since(self, at: float) -> list[Called]:
        """Those since a moment, in their order."""
        with self._lock:
            return sorted(one for one in self._calls if one.at >= at)


def by_operation(calls: list[Called]) -> Counter[str]:
    """How many calls of each operation."""
    return Counter(one.operation for one in calls)


def most_in_a_second(calls: list[Called], operation: str) -> int:
    """The busiest second of an operation, wherever it begins."""
    times = [one.at for one in calls if one.operation == operation]
    first = most = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


@contextmanager
def gateway(sandbox_url: str, calls: Calls) -> Iterator[str]:
    """Hand each call on to the sandbox; gives the URL at which to call."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(sandbox_url, calls))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="gateway")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(sandbox_url: str, calls: Calls) -> type[BaseHTTPRequestHandler]:
    pool = urllib3.PoolManager(maxsize=32, retries=False, timeout=30.0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            calls.note(self.headers["X-Amz-Target"].rpartition(".")[2])
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept = {name: self.headers[name] for name in _KEPT}
            answer = pool.request("POST", sandbox_url + self.path, body=body, headers=kept)
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(answer.data)))
            self.end_headers()
            self.wfile.write(answer.data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name of the standard library
            """Say nothing."""

    return Handler
