"""What keeps a server from outliving its tests: its folder, its processes and its ports."""

import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

_GUARD: Final = """
cat
for signal in QUIT KILL; do
    for pid in "$1"/*.pid; do
        test -e "$pid" && kill -s "$signal" "$(cat "$pid")" && sleep 0.3
    done
done 2>/dev/null
rm -rf -- "$1"
"""
"""Waits for the end of its input, which is the end of the tests however it came about."""

_PORTS: Final = range(15_000, 32_000)
"""Below the ports that Linux gives to clients: there a client that looks for a stopped server could meet itself."""


Process = subprocess.Popen[bytes]


class Home:
    """A folder of one server, and the processes started in it; both are gone when the tests are."""

    def __init__(self, purpose: str, *, user: str | None = None) -> None:
        self.path: Final = Path(tempfile.mkdtemp(prefix=f"licensing-ledger-{purpose}-"))
        self._user: Final = user
        if user is not None:
            shutil.chown(self.path, user)
        self._guard: Final = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def start(self, name: str, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Process:
        """Start a process; what it prints is in `log(name)`."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.path,
                env=None if env is None else {**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user,
            )
        (self.path / f"{name}.pid").write_text(str(process.pid))
        return process

    def run(self, name: str, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> None:
        """Run a process to its end.

        Raises:
            RuntimeError: It failed; with what it printed.
        """
        if self.start(name, command, env=env).wait() != 0:
            raise RuntimeError(f"{name} failed:\n{self.log(name).read_text()}")
        self.ended(name)

    def ended(self, name: str) -> None:
        """Forget a process that is no more, before its number is given to another."""
        (self.path / f"{name}.pid").unlink()

    def log(self, name: str) -> Path:
        """Where a process prints to."""
        return self.path / f"{name}.log"

    def remove(self) -> None:
        """Remove the folder and what still runs in it."""
        self._guard.communicate()


def await_ready(name: str, process: Process, log: Path, ready: Callable[[], bool]) -> None:
    """Wait until a server answers.

    Raises:
        RuntimeError: It ended instead, or did not answer within a minute; with the end of its log.
    """
    until = time.monotonic() + 60
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{name} does not answer:\n{log.read_text()[-4_000:]}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody listens on a TCP port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens.

    Raises:
        RuntimeError: All are taken.
    """
    for port in random.sample(_PORTS, k=100):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no TCP port is free")
