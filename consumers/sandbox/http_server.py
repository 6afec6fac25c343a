"""HTTP servers in threads of this process: the sandbox's own, and that of its queue."""

import socket
from threading import Thread
from typing import TYPE_CHECKING

from werkzeug.serving import WSGIRequestHandler, make_server

from consumers.sandbox.starting import SandboxCannotStartError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_STOPS_WITHIN_SECONDS = 0.05


class PortCannotBeUsedError(SandboxCannotStartError, OSError):
    """Another program listens at the port, or the host is not of this machine."""


def listen(host: str, port: int, *, who: str) -> socket.socket:
    """Take a port.

    Args:
        host: to listen at.
        port: to listen at; 0 is any free one.
        who: wants it, for people.

    Raises:
        PortCannotBeUsedError: it is taken, or the host is not of this machine.
    """
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise PortCannotBeUsedError(f"{who} can't listen at port {port}: {error.strerror}.") from error


class HttpServer:
    """Answers at one port, until it is stopped."""

    def __init__(
        self,
        app: "WSGIApplication",
        listening: socket.socket,
        *,
        name: str,
        request_handler: type[WSGIRequestHandler] | None = None,
    ) -> None:
        """Begin to answer.

        Args:
            app: gives the answers.
            listening: has the port, and may be closed afterwards.
            name: of the thread.
            request_handler: reads requests; null is werkzeug's.
        """
        host, port = listening.getsockname()[:2]
        # By descriptor, since werkzeug ends the process or the thread itself when it finds a port taken.
        self._server = make_server(
            host, port, app, threaded=True, request_handler=request_handler, fd=listening.fileno()
        )
        self._thread = Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": _STOPS_WITHIN_SECONDS}, name=name, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Answer no more, and let the port go."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
