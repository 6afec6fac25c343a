"""The composed system as a user has it: the command `licensing-ledger` in processes of its own, spoken to over HTTP."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import urllib3

COMMAND: Final = Path(sys.executable).with_name("licensing-ledger")
OPERATOR_KEY: Final = "the-operators-key-of-this-story"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 -- whatever the interface answers
        """The body, read as JSON."""
        return json.loads(self.body)


@dataclass(kw_only=True)
class Served:
    """A running `licensing-ledger serve`."""

    process: "subprocess.Popen[str]"
    log: Path
    url: str
    sandbox_url: str | None
    pool: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(maxsize=64, retries=False, timeout=30.0)
    )

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = OPERATOR_KEY,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request as JSON."""
        return _send(self.pool, method, self.url + path, body, key=key, headers=headers)

    def control(self, method: str, path: str, body: object = None) -> Answer:
        """Ask the sandbox Marketplace's control interface."""
        if self.sandbox_url is None:
            raise ValueError("this ledger runs without a sandbox")
        return _send(self.pool, method, self.sandbox_url + path, body, key=None, headers=None)

    def licenses(self) -> list[dict[str, Any]]:
        """Every license, as the operator sees them."""
        items: list[dict[str, Any]] = self.call("GET", "/v1/licenses?limit=1000").json["items"]
        return items

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()
        self.pool.clear()

    def stop(self) -> int:
        """Ask it to stop, as a service manager does; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS)
        self.pool.clear()
        return code


def _send(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    body: object,
    *,
    key: str | None,
    headers: Mapping[str, str] | None,
) -> Answer:
    sent = dict(headers or {})
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    if body is not None:
        sent["Content-Type"] = "application/json"
    answer = pool.request(
        method, url, headers=sent, body=None if body is None else json.dumps(body).encode(), redirect=False
    )
    return Answer(status=answer.status, headers=dict(answer.headers), body=answer.data)


class Ledgers:
    """Starts ledgers in a folder and sees that none outlives the test."""

    def __init__(self, folder: Path, *, database_url: str | None = None) -> None:
        """Nothing is started yet; the database is a file in the folder if none is named."""
        self.folder = folder
        self.database_url = database_url or f"sqlite:///{folder / 'ledger.db'}"
        self._processes: list[subprocess.Popen[str]] = []

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of a process: this machine's, without settings of whoever runs the tests."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEDGER_", "AWS_"))}
        told = {
            "LEDGER_DATABASE_URL": self.database_url,
            "LEDGER_ADMIN_KEY": OPERATOR_KEY,
            "LEDGER_PORT": "0",
            "LEDGER_LOG_FORMAT": "json",
        }
        return kept | told | settings

    def serve(self, *arguments: str, **settings: str) -> Served:
        """Start `serve` and wait until it answers."""
        log = self.folder / f"serve-{len(self._processes)}.log"
        process = self.start("serve", *arguments, log=log, **settings)
        url = wait_for(lambda: _told(process, log, r"The ledger is at (http://\S+?)/?$"), what="the ledger's start")
        sandbox = (
            wait_for(lambda: _told(process, log, r"The sandbox Marketplace is at (http://\S+?)/?$"), what="the sandbox")
            if "--sandbox" in arguments
            else settings.get("AWS_ENDPOINT_URL_MARKETPLACE_METERING")
        )
        return Served(process=process, log=log, url=url, sandbox_url=sandbox)

    def start_marketplace(self, *options: str, **settings: str) -> dict[str, str]:
        """Start a sandbox Marketplace in a process of its own; returns the environment that leads to it."""
        log = self.folder / "sandbox.log"
        process = self.start("sandbox", "--port", "0", *options, log=log, **settings)
        wait_for(lambda: _told(process, log, r"The sandbox Marketplace is at (\S+)"), what="the sandbox")
        exported = re.findall(r"^export (\w+)=(.*)$", log.read_text(), re.MULTILINE)
        return {name: value.strip("'") for name, value in exported}

    def start(self, *arguments: str, log: Path, **settings: str) -> "subprocess.Popen[str]":
        """Start any command; what it prints goes to a file."""
        with log.open("w") as file:
            process = subprocess.Popen(
                [COMMAND, *arguments],
                env=self.environment(**settings),
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                cwd=self.folder,
            )
        self._processes.append(process)
        return process

    def run(self, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [COMMAND, *arguments],
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.folder,
        )

    def end(self) -> None:
        """Kill whatever still runs."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def ledgers(folder: Path, *, database_url: str | None = None) -> Iterator[Ledgers]:
    """A place to start ledgers in."""
    started = Ledgers(folder, database_url=database_url)
    try:
        yield started
    finally:
        started.end()


def _told(process: "subprocess.Popen[str]", log: Path, pattern: str) -> str | None:
    text = log.read_text()
    found = re.search(pattern, text, re.MULTILINE)
    if found is None and process.poll() is not None:
        raise AssertionError(f"the process ended with {process.returncode}: {text}")
    return found[1] if found else None


def wait_for(condition: Callable[[], T | None], *, what: str, seconds: float = START_SECONDS) -> T:
    """What a condition gives once it gives something; it is asked until then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s in vain for {what}")


class InThreads:
    """Runs a function in threads and raises what they raise."""

    def __init__(self) -> None:
        """None runs yet."""
        self._errors: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self, function: Callable[[], object]) -> Self:
        """One more thread."""

        def run() -> None:
            try:
                function()
            except BaseException as error:  # noqa: BLE001 -- raised again where the threads are joined
                self._errors.put(error)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return self

    def join(self) -> None:
        """Wait for all; raises the first error."""
        for thread in self._threads:
            thread.join()
        if not self._errors.empty():
            raise self._errors.get()
