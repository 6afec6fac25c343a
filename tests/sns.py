"""SNS as the tests play it: a key that signs messages, and a host at which certificates lie."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, TypeAlias

from consumers.sandbox.signing import SignatureVersion, SigningKey, passing_key
from tests.services.certificates import Certificate
from tests.unit.consumers import aws

TOPIC_ARN: Final = str(aws.wrapped("")["TopicArn"])


@cache
def forgers_key() -> SigningKey:
    """A key of somebody who is not SNS, with a certificate that says otherwise."""
    return SigningKey.make()


def signed(
    message: str,
    *,
    key: SigningKey | None = None,
    version: SignatureVersion = SignatureVersion.SHA1,
    **members: str,
) -> dict[str, str]:
    """An envelope as SNS sends it; members may be added and replaced before it is signed.

    Args:
        message: what it carries.
        key: whose; null is that of the sandboxes.
        version: the way of signing.
        members: of the envelope.
    """
    envelope = {
        "Type": "Notification",
        "MessageId": aws.SNS_ID,
        "TopicArn": TOPIC_ARN,
        "Message": message,
        "Timestamp": "2026-11-24T12:00:00.000Z",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        **members,
    }
    return (key or passing_key()).sign(envelope, version=version)


Answer: TypeAlias = Callable[[BaseHTTPRequestHandler], None]


def document(body: bytes, *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with this."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@dataclass(kw_only=True, slots=True)
class CertificateHost:
    """A host at which certificates lie.

    Attributes:
        url: where it is.
        answers: what it answers at each path; 404 elsewhere.
        asked: the paths that were asked for.
        released: set when those that hang are to end.
    """

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def holds(self, key: SigningKey) -> None:
        """Let the certificate of a key lie there."""
        self.answers[key.path] = document(key.pem)

    def hang(self, request: BaseHTTPRequestHandler) -> None:
        """Answer nothing until the end."""
        del request
        self.released.wait()

    def drip(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a header now and then, so that no single wait is a long one."""
        request.send_response(HTTPStatus.OK)
        request.flush_headers()
        # Whoever asked may have gone away.
        with suppress(OSError):
            while not self.released.wait(0.05):
                request.send_header("X-Drop", "another")
                request.flush_headers()


@contextmanager
def certificate_host(*, port: int = 0, tls: Certificate | None = None) -> Iterator[CertificateHost]:
    """Run a host of certificates.

    Args:
        port: where; 0 is any free one.
        tls: by which it is known; null is without TLS.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append(self.path)
            answer = host.answers.get(self.path, document(b"", status=HTTPStatus.NOT_FOUND))
            answer(self)

        def do_CONNECT(self) -> None:
            """Be a proxy that reaches nobody."""
            host.asked.append(self.path)
            self.send_error(HTTPStatus.BAD_GATEWAY)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls.certificate, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    host = CertificateHost(url=f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield host
    finally:
        host.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
