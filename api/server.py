"""The WSGI server: threads in this process, beside the ledger's writer, so that many commands share one commit.

waitress was chosen by measuring. Its one loop reads each request whole before a thread works on it, so that slow
clients hold a connection but no thread; here are the limits that it lacks, problems in place of its error pages, a stop
that lets answers go out, and addresses as proxies write them.
"""

import contextlib
import ipaddress
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from types import FrameType
from typing import TYPE_CHECKING, Final

import flask
import msgspec
import structlog
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher
from waitress.wasyncore import close_all, dispatcher, loop

from api.problems import MEDIA_TYPE, Problem
from ledger.ids import random_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

BACKLOG: Final = 1_024
CONNECTIONS_MAX: Final = 2_000
IDLE_SECONDS_MAX: Final = 30
REQUEST_SECONDS_MAX: Final = 20
DRAIN_SECONDS_MAX: Final = 8
HEADER_BYTES_MAX: Final = 32_000
# More than a request may have, so that somewhat larger ones are read to the end and their senders read the answer.
BODY_BYTES_READ_MAX: Final = 10_000_000

_READ_BYTES: Final = 65_536
_READS_BEFORE_CLOSE_MAX: Final = 64
_LOOK_SECONDS: Final = 1.0
_DRAIN_LOOK_SECONDS: Final = 0.05
_LOGGER: Final = structlog.get_logger(__name__)


class ServerCannotListenError(Exception):
    """The address can't be listened at; the text is one line that says why."""


class _ProblemTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """What is answered to a request that is no HTTP, or is too large to be read."""

    def execute(self) -> None:
        """Answer with a problem and close."""
        problem = _problem(self.request.error.code)
        body = msgspec.json.encode(problem.document(request_id=random_id()))
        self.status = f"{problem.status} {HTTPStatus(problem.status).phrase}"
        self.response_headers.append(("Content-Type", MEDIA_TYPE))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


def _problem(status: int) -> Problem:
    match status:
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Problem("TOO_LARGE", "The body is too large. Send less at once.")
        case HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            detail = f"The headers have more than {HEADER_BYTES_MAX:,} bytes. Send shorter ones."
            return Problem("TOO_LARGE", detail, status=status)
        case HTTPStatus.INTERNAL_SERVER_ERROR:
            return Problem("INTERNAL", "Something went wrong inside the ledger. Tell the operator what you did.")
        case _:
            return Problem("INVALID", "This is no valid HTTP request.", status=status)


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """One connection, which knows since when it waits for the rest of a request."""

    error_task_class = _ProblemTask
    incomplete_since: float | None = None

    def received(self, data: bytes) -> bool:
        """Take what came."""
        taken: bool = super().received(data)
        if self.request is None:
            self.incomplete_since = None
        elif self.incomplete_since is None:
            self.incomplete_since = time.time()
        return taken

    def handle_close(self) -> None:
        """Close; what has come already is taken first, or else the answer would be lost in a reset."""
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self._take_what_came()
        super().handle_close()

    def _take_what_came(self) -> None:
        for _ in range(_READS_BEFORE_CLOSE_MAX):
            if not self.socket.recv(_READ_BYTES, socket.MSG_DONTWAIT):
                return

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being made or sent."""
        return bool(self.requests or self.total_outbufs_len)


class _Listener(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """What accepts connections and ends those that take too long."""

    channel_class = _Channel

    def maintenance(self, now: float) -> None:
        """End connections on which nothing happens, and those whose request does not come to its end."""
        super().maintenance(now)
        for channel in self.active_channels.values():
            since = channel.incomplete_since
            if since is not None and not channel.requests and now - since > REQUEST_SECONDS_MAX:
                channel.will_close = True

    def stop_listening(self) -> None:
        """Take no more connections; those that are there go on."""
        self.accepting = False
        dispatcher.close(self)


class Server:
    """An HTTP server over a WSGI application.

    Attributes:
        url: where it listens.
    """

    def __init__(
        self, app: flask.Flask, *, host: str, port: int, threads: int, trusted_proxy: str | None = None
    ) -> None:
        """Listen; connections wait until `run`.

        Args:
            app: what answers.
            host: a name or address of this machine.
            port: 0 is any free one.
            threads: how many requests are worked on at once.
            trusted_proxy: the address of a proxy that is believed where it says who calls, by which scheme and host.

        Raises:
            ServerCannotListenError: the port is taken, or the host is none of this machine.
        """
        listening = _listen(host, port)
        self.url: Final = _url(host, listening)
        self._channels: dict[int, object] = {}
        self._threads = ThreadedTaskDispatcher()
        self._threads.set_thread_count(threads)
        # waitress warns of each request that waits for a thread, which is what its queue is for.
        self._threads.queue_logger.disabled = True
        self._listener = _Listener(
            _knowing_callers(app),
            map=self._channels,
            _sock=listening,
            dispatcher=self._threads,
            adj=Adjustments(
                sockets=[listening],
                backlog=BACKLOG,
                connection_limit=CONNECTIONS_MAX,
                cleanup_interval=1,
                channel_timeout=IDLE_SECONDS_MAX,
                max_request_header_size=HEADER_BYTES_MAX,
                max_request_body_size=BODY_BYTES_READ_MAX,
                asyncore_use_poll=True,
                ident=None,
                clear_untrusted_proxy_headers=True,
                **_believing(trusted_proxy),
            ),
            bind_socket=False,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
        )
        self._stopping = False
        self._closed = False
        # A signal handler may come in on the thread that has it.
        self._ending = threading.RLock()

    def run(self) -> None:
        """Answer requests until `stop`; then finish those that came, within seconds."""
        while not self._stopping:
            self._turn(_LOOK_SECONDS)
        self._listener.stop_listening()
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        while self._is_busy() and time.monotonic() < deadline:
            self._turn(_DRAIN_LOOK_SECONDS)
        self._threads.shutdown(timeout=1)
        with self._ending:
            self._closed = True
            close_all(self._channels)

    def stop(self) -> None:
        """Let `run` come to its end; may be called from any thread or signal handler."""
        with self._ending:
            self._stopping = True
            # Once closed, its descriptor may be another file's.
            if not self._closed:
                self._listener.pull_trigger()

    def _turn(self, seconds: float) -> None:
        loop(timeout=seconds, use_poll=True, map=self._channels, count=1)

    def _is_busy(self) -> bool:
        return any(channel.is_busy for channel in self._listener.active_channels.values())


def serve(
    app: flask.Flask,
    *,
    host: str,
    port: int,
    threads: int,
    ready: Callable[[str], None],
    trusted_proxy: str | None = None,
) -> None:
    """Serve an application from the main thread until SIGTERM or SIGINT.

    Args:
        app: what answers.
        host: a name or address of this machine.
        port: 0 is any free one.
        threads: how many requests are worked on at once.
        ready: told the URL once connections are taken.
        trusted_proxy: the address of a proxy that is believed where it says who calls, and by which scheme and host.

    Raises:
        ServerCannotListenError: the port is taken, or the host is none of this machine.
    """
    server = Server(app, host=host, port=port, threads=threads, trusted_proxy=trusted_proxy)
    with _stopped_by_signals(server):
        ready(server.url)
        server.run()


@contextlib.contextmanager
def _stopped_by_signals(server: Server) -> Iterator[None]:
    def stop(number: int, _: FrameType | None) -> None:
        _LOGGER.info("stopping", signal=signal.Signals(number).name)
        server.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _believing(trusted_proxy: str | None) -> dict[str, object]:
    if trusted_proxy is None:
        return {}
    headers = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}
    return {"trusted_proxy": trusted_proxy, "trusted_proxy_count": 1, "trusted_proxy_headers": headers}


def _knowing_callers(app: "WSGIApplication") -> "WSGIApplication":
    """An application that knows by which address a trusted proxy was called."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        # waitress leaves the header only where it comes from the trusted proxy. What it makes of it can be a part of an
        # address of IPv6, or an address with its port.
        if told := environ.get("HTTP_X_FORWARDED_FOR"):
            environ["REMOTE_ADDR"] = _address_in(told)
        return app(environ, start_response)

    return answer


def _address_in(told: str) -> str:
    """The address in what a proxy tells of a caller, with a port or without; what is no address stays as it is."""
    for written in (told, told.rpartition(":")[0]):
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(written.strip('[]" ')))
    return told


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        msg = f"Can't listen at {host}, port {port}: {error.strerror}."
        raise ServerCannotListenError(msg) from error


def _url(host: str, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
