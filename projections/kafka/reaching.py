"""Why a Kafka can't be reached as it is configured, in words.

The client library says no more than that it could not connect in time, whatever the reason. So before it is asked, one
broker is: whether it is there, speaks TLS, and wants to know who signs in.
"""

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from typing import Final

from projections.kafka.connection import KafkaConnection, KafkaIsAwayError, KafkaUnusableError

_CONNECT_SECONDS: Final = 5.0
_ANSWER_BYTES_MAX: Final = 65_536

# Of Kafka's protocol: SaslHandshake, and what a broker answers to it.
_SASL_HANDSHAKE: Final = 17
_SASL_HANDSHAKE_VERSION: Final = 1
_NO_ERROR: Final = 0
_UNSUPPORTED_MECHANISM: Final = 33
_NOT_HERE: Final = 34


def look(connection: KafkaConnection) -> None:
    """Ask one of the brokers whether they can be used as configured.

    Raises:
        KafkaIsAwayError: none of them is there.
        KafkaUnusableError: they want TLS or SASL, or have none; their certificate is not trusted; a file is missing.
    """
    if connection.security_protocol.startswith("SASL") and connection.sasl_mechanism is None:
        raise KafkaUnusableError(
            f"LEDGER_KAFKA_SECURITY_PROTOCOL is {connection.security_protocol}: set LEDGER_KAFKA_SASL_MECHANISM,"
            " _USERNAME and _PASSWORD too."
        )
    context = _tls(connection)
    with _socket_of(connection) as (broker, plain):
        if context is None:
            if _speaks_tls(broker):
                raise KafkaUnusableError(
                    f"The Kafka broker {broker} speaks TLS. Set LEDGER_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL."
                )
            _check_sign_in(connection, broker, plain)
            return
        with _wrapped(context, broker, plain) as wrapped:
            _check_sign_in(connection, broker, wrapped)


def not_let_in(connection: KafkaConnection) -> KafkaUnusableError:
    """What is left when a broker can be used as configured, but the client did not get in."""
    if connection.security_protocol.startswith("SASL"):
        return KafkaUnusableError(
            f"The Kafka brokers {connection.shown} don't let the user of LEDGER_KAFKA_SASL_USERNAME in, or can't be"
            " reached at the addresses that they tell. Look at LEDGER_KAFKA_SASL_PASSWORD first."
        )
    return KafkaIsAwayError(
        f"A Kafka broker of {connection.shown} answers, but not in time, or the addresses that it tells of the others"
        " can't be reached from here. Look at the brokers' advertised.listeners."
    )


@contextlib.contextmanager
def _socket_of(connection: KafkaConnection) -> Iterator[tuple[str, socket.socket]]:
    reason: OSError | None = None
    for broker in connection.bootstrap:
        try:
            found = socket.create_connection(_address(broker), timeout=_CONNECT_SECONDS)
        except OSError as error:
            reason = error
            continue
        with found:
            yield broker, found
        return
    raise KafkaIsAwayError(
        f"No Kafka broker answers at {connection.shown} ({(reason and reason.strerror) or reason}). Start Kafka, or"
        " look at LEDGER_KAFKA_BOOTSTRAP."
    ) from reason


def _address(broker: str) -> tuple[str, int]:
    host, _, port = broker.rpartition(":")
    if not host or not port.isdigit():
        return broker, 9092
    return host.strip("[]"), int(port)


def _tls(connection: KafkaConnection) -> ssl.SSLContext | None:
    if not connection.security_protocol.endswith("SSL"):
        return None
    context = ssl.create_default_context()
    try:
        if connection.ssl_cafile is not None:
            context.load_verify_locations(connection.ssl_cafile)
        if connection.ssl_certfile is not None:
            context.load_cert_chain(connection.ssl_certfile, connection.ssl_keyfile, connection.ssl_password)
    except OSError as error:
        raise KafkaUnusableError(
            "A file of LEDGER_KAFKA_SSL_CAFILE, LEDGER_KAFKA_SSL_CERTFILE or LEDGER_KAFKA_SSL_KEYFILE can't be used:"
            f" {error}."
        ) from error
    return context


def _speaks_tls(broker: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(_address(broker), timeout=_CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=_address(broker)[0]),
        ):
            return True
    except OSError:
        return False


def _wrapped(context: ssl.SSLContext, broker: str, plain: socket.socket) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(plain, server_hostname=_address(broker)[0])
    except ssl.SSLCertVerificationError as error:
        raise KafkaUnusableError(
            f"The certificate of the Kafka broker {broker} is not trusted ({error.verify_message}). Set"
            " LEDGER_KAFKA_SSL_CAFILE to a file of the authority that signed it."
        ) from error
    except OSError as error:
        raise KafkaUnusableError(
            f"The Kafka broker {broker} takes no TLS ({error}). Look at LEDGER_KAFKA_SECURITY_PROTOCOL and the port."
        ) from error


def _check_sign_in(connection: KafkaConnection, broker: str, asked: socket.socket) -> None:
    mechanism = connection.sasl_mechanism or "PLAIN"
    answer = _ask_for_sign_in(asked, mechanism)
    if answer is None:
        return
    code, offered = answer
    wants = code in (_NO_ERROR, _UNSUPPORTED_MECHANISM)
    signs_in = connection.security_protocol.startswith("SASL")
    if wants and not signs_in:
        raise KafkaUnusableError(
            f"The Kafka broker {broker} wants SASL ({', '.join(offered)}). Set LEDGER_KAFKA_SECURITY_PROTOCOL to"
            " SASL_SSL or SASL_PLAINTEXT, and LEDGER_KAFKA_SASL_MECHANISM, _USERNAME and _PASSWORD."
        )
    if code == _UNSUPPORTED_MECHANISM:
        raise KafkaUnusableError(
            f"The Kafka broker {broker} does not know the SASL mechanism {mechanism}. It offers {', '.join(offered)}:"
            " set LEDGER_KAFKA_SASL_MECHANISM."
        )
    if code == _NOT_HERE and signs_in:
        raise KafkaUnusableError(
            f"The Kafka broker {broker} knows no SASL at this port. Set LEDGER_KAFKA_SECURITY_PROTOCOL to PLAINTEXT or"
            " SSL, or take the port that does."
        )


def _ask_for_sign_in(asked: socket.socket, mechanism: str) -> tuple[int, list[str]] | None:
    """Begin to sign in; the error's number and the mechanisms that the broker offers, null if it says nothing."""
    name = mechanism.encode()
    request = struct.pack(">hhihh", _SASL_HANDSHAKE, _SASL_HANDSHAKE_VERSION, 1, -1, len(name)) + name
    try:
        asked.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _receive(asked, 4))
        if not 0 < size <= _ANSWER_BYTES_MAX:
            return None
        answer = _receive(asked, size)
        code, count = struct.unpack_from(">hi", answer, 4)
        return code, _texts(answer, at=10, count=count)
    except (OSError, struct.error, UnicodeDecodeError):
        return None


def _texts(answer: bytes, *, at: int, count: int) -> list[str]:
    texts = []
    for _ in range(count):
        (size,) = struct.unpack_from(">h", answer, at)
        texts.append(answer[at + 2 : at + 2 + size].decode())
        at += 2 + size
    return texts


def _receive(asked: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = asked.recv(size - len(received))
        if not part:
            raise ConnectionResetError
        received += part
    return received
