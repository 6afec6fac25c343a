"""The server: one process that many clients speak to, slow ones and broken ones too, and that stops without loss."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import flask
import pytest
import urllib3

from api import server as api_server
from api.server import Server, ServerCannotListenError

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def running(app: flask.Flask, *, threads: int = 4, trusted_proxy: str | None = None) -> Iterator[Server]:
    """A server in a thread."""
    server = Server(app, host="127.0.0.1", port=0, threads=threads, trusted_proxy=trusted_proxy)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def greeter() -> flask.Flask:
    """An application that greets."""
    app = flask.Flask("greeter")
    app.add_url_rule("/", "greet", lambda: "good morning")
    return app


def connect(server: Server) -> socket.socket:
    """A bare connection."""
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def read_all(connection: socket.socket) -> bytes:
    """Whatever comes until the other side closes."""
    read = b""
    while received := connection.recv(65_536):
        read += received
    return read


def test_what_is_no_http_is_a_problem() -> None:
    """The server's own refusals look like all others."""
    with running(greeter()) as server, closing(connect(server)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nno header at all\r\n\r\n")
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "INVALID"


def test_headers_without_end_are_a_problem() -> None:
    """431 says so."""
    with running(greeter()) as server, closing(connect(server)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n")
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert b" 431 " in head.splitlines()[0]
    assert json.loads(body)["code"] == "TOO_LARGE"


def test_slow_clients_hold_no_thread_and_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than threads, each in the middle of a request: others are answered, and they are hung up on."""
    monkeypatch.setattr(api_server, "REQUEST_SECONDS_MAX", 1)
    with running(greeter(), threads=1) as server:
        slow = [connect(server) for _ in range(8)]
        for connection in slow:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nbegin")
        with urllib3.PoolManager(retries=False, timeout=5) as pool:
            assert pool.request("GET", server.url).data == b"good morning"
        for connection in slow:
            with closing(connection):
                assert read_all(connection) == b""


def test_clients_that_go_away_do_no_harm() -> None:
    """In the middle of a request, before the answer, with and without good-bye: the next one is answered."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with running(greeter()) as server:
        for sent in (b"", request[:10], request, request * 3, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n1"):
            for at_once in (True, False):
                connection = connect(server)
                if at_once:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(sent)
                connection.close()
        with urllib3.PoolManager(retries=False, timeout=5) as pool:
            assert pool.request("GET", server.url).data == b"good morning"


def calling_address(*, forwarded_for: str, trusted_proxy: str | None) -> str:
    """From which address a call comes, in the eyes of the application behind the server."""
    app = flask.Flask("mirror")
    app.add_url_rule("/", "mirror", lambda: flask.request.remote_addr or "")
    with (
        running(app, trusted_proxy=trusted_proxy) as server,
        urllib3.PoolManager(retries=False, timeout=5) as pool,
    ):
        return pool.request("GET", server.url, headers={"X-Forwarded-For": forwarded_for}).data.decode()


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("203.0.113.5:40001", "203.0.113.5"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:40001", "2001:db8::1"),
        ('"[2001:db8::1]:40001"', "2001:db8::1"),
        ("::ffff:203.0.113.5", "::ffff:203.0.113.5"),
        ("[::ffff:203.0.113.5]:40001", "::ffff:203.0.113.5"),
        ("198.51.100.7, 203.0.113.5", "203.0.113.5"),
    ],
)
def test_an_address_is_the_same_however_a_trusted_proxy_writes_it(told: str, address: str) -> None:
    """With a port, which differs at each connection; of either family; and only what the proxy itself adds counts."""
    assert ip_address(calling_address(forwarded_for=told, trusted_proxy="127.0.0.1")) == ip_address(address)


def test_what_a_trusted_proxy_says_is_taken_where_it_is_no_address_too() -> None:
    """As of a caller on the proxy's own machine."""
    assert calling_address(forwarded_for="unix:", trusted_proxy="127.0.0.1") == "unix:"


@pytest.mark.parametrize("trusted_proxy", [None, "192.0.2.1"])
def test_nobody_else_is_believed_about_the_address(trusted_proxy: str | None) -> None:
    """Whoever calls could say anything."""
    assert calling_address(forwarded_for="203.0.113.5", trusted_proxy=trusted_proxy) == "127.0.0.1"


def test_nothing_told_leaves_the_proxys_own_address() -> None:
    """As of its own look whether the ledger is ready."""
    assert calling_address(forwarded_for="", trusted_proxy="127.0.0.1") == "127.0.0.1"


def test_a_port_that_is_taken() -> None:
    """One line says so."""
    with running(greeter()) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(ServerCannotListenError, match=f"port {port}: Address already in use"):
            Server(greeter(), host="127.0.0.1", port=port, threads=1)


def test_an_answer_that_is_being_made_goes_out_before_the_stop() -> None:
    """Who asked before the stop is answered; nobody else is taken."""
    begun, go_on = threading.Event(), threading.Event()
    app = flask.Flask("thinker")

    def think() -> str:
        begun.set()
        go_on.wait(10)
        return "42"

    app.add_url_rule("/", "think", think)
    answers: list[bytes] = []
    with running(app) as server:

        def ask() -> None:
            with urllib3.PoolManager(retries=False, timeout=10) as pool:
                answers.append(pool.request("GET", server.url).data)

        asking = threading.Thread(target=ask)
        asking.start()
        assert begun.wait(10)
        try:
            server.stop()
            _wait_until_refused(server)
        finally:
            go_on.set()
            asking.join()
    assert answers == [b"42"]


def _wait_until_refused(server: Server) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            connect(server).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:
            # It came just when the listening ended.
            continue
    pytest.fail("still listening")


_PROCESS: Final = textwrap.dedent(
    """
    import flask
    from api.server import serve
    app = flask.Flask("greeter")
    app.add_url_rule("/", "greet", lambda: "good morning")
    serve(app, host="127.0.0.1", port={port}, threads=4, ready=lambda url: print(url, flush=True))
    print("stopped", flush=True)
    """
)


@contextmanager
def process(*, port: int = 0) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server in a process of its own."""
    command = [sys.executable, "-c", _PROCESS.format(port=port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            yield started, started.stdout.readline().strip()
        finally:
            started.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_within_seconds(number: signal.Signals) -> None:
    """Also while a client keeps its connection."""
    with process() as (started, url), urllib3.PoolManager(retries=False, timeout=5) as pool:
        assert pool.request("GET", url).status == 200
        os.kill(started.pid, number)
        assert started.wait(timeout=5) == 0
        assert started.stdout is not None
        assert "stopped" in started.stdout.read()


def test_killed_it_leaves_the_port_free() -> None:
    """Nothing of it goes on running, so that the next one can listen at once."""
    with process() as (started, url), urllib3.PoolManager(retries=False, timeout=5) as pool:
        assert pool.request("GET", url).status == 200
        started.kill()
        started.wait()
        with process(port=int(url.rpartition(":")[2])) as (_, again):
            assert again == url
            assert pool.request("GET", again).status == 200
