"""The stage of the doctor's tests: a stack in moto, a sandbox Marketplace, and a door in front of both.

The doctor finds AWS behind the door alone. The door can turn calls away as AWS does, keep them waiting, answer in AWS's
place, and tell another time.
"""

import json
import os
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from unittest.mock import patch
from urllib.parse import parse_qs

import urllib3

from consumers.marketplace.doctor import Doctor, DoctorSettings, Finding
from consumers.sandbox import Contract, Sandbox, SandboxSettings
from ledger.times import system_now
from tests.integration.consumers_stage import ANALYTICAL_ENGINES, PRODUCT_CODE, PRODUCT_ID, descriptions, sqs_endpoint
from tests.integration.stack import ACCOUNT, CREDENTIALS, Stack, make_stack

SAYING_MORE: Final = "arn:aws:iam::444455556666:user/katherine is not authorized to do that"
"""What AWS's errors say beside their code; not for everybody's eyes."""
SETTLED: Final = timedelta(days=189)


@dataclass(kw_only=True)
class Door:
    """How calls are let through; by the names of AWS's operations.

    Attributes:
        refusals: AWS's code for those that are turned away.
        silent: those that get no answer.
        answers: those that are answered here, with JSON.
        bodies: those that are answered here, with anything.
        ahead: how far AWS's clock is ahead of ours.
    """

    refusals: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    bodies: dict[str, str] = field(default_factory=dict)
    ahead: timedelta = timedelta()
    shut: threading.Event = field(default_factory=threading.Event)

    def open(self) -> None:
        """Let everything through again, in our time."""
        for told in (self.refusals, self.silent, self.answers, self.bodies):
            told.clear()
        self.ahead = timedelta()


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorStage:
    """What the doctor looks at.

    Attributes:
        settings: what it is told of the ledger.
        environment: how AWS is found, by AWS's own variables.
    """

    stack: Stack
    sandbox: Sandbox
    door: Door
    settings: DoctorSettings
    environment: Mapping[str, str]

    def buy(self) -> Contract:
        """Let Ada's company buy, which takes the warning that nobody has."""
        marketplace = self.sandbox.marketplace
        return marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=marketplace.now() + SETTLED).contract

    def examine(self, settings: DoctorSettings | None = None, *, aws: Mapping[str, str] | None = None) -> list[Finding]:
        """Let the doctor look at everything.

        Args:
            settings: what it is told, if not the truth.
            aws: variables of AWS's that differ.
        """
        with patch.dict(os.environ, {**self.environment, **(aws or {})}):
            return list(self._findings(settings or self.settings))

    def found(
        self, check: str, settings: DoctorSettings | None = None, *, aws: Mapping[str, str] | None = None
    ) -> Finding:
        """What the doctor finds about one thing; it looks no further."""
        with (
            patch.dict(os.environ, {**self.environment, **(aws or {})}),
            closing(self._findings(settings or self.settings)) as findings,
        ):
            return next(finding for finding in findings if finding.check == check)

    def _findings(self, settings: DoctorSettings) -> Generator[Finding, None, None]:
        doctor = Doctor(settings, now=system_now)
        with closing(doctor.examinations()) as examinations:
            for examination in examinations:
                yield from doctor.examine(examination)


@contextmanager
def doctor_stage(*, legacy_product_code: str | None = None) -> Iterator[DoctorStage]:
    """Set the stage: all is well but that nobody has bought."""
    stack, door = make_stack(legacy_product_code=legacy_product_code), Door()
    sandbox_settings = SandboxSettings(
        product_code=PRODUCT_CODE,
        product_id=PRODUCT_ID,
        product_title="SoftPhone",
        queue_url=stack.queue_url.replace("https://sqs.us-east-1.amazonaws.com", sqs_endpoint()),
    )
    with (
        patch.dict(os.environ, CREDENTIALS),
        # boto3 reads its descriptions of AWS for each session again, which takes longer than most of the tests.
        patch("botocore.session.create_loader", lambda _: descriptions()),
        Sandbox(sandbox_settings) as sandbox,
        _open(door, marketplace=sandbox.url, aws=sqs_endpoint()) as url,
    ):
        yield DoctorStage(
            stack=stack,
            sandbox=sandbox,
            door=door,
            settings=DoctorSettings(
                queue_url=stack.queue_url,
                products={PRODUCT_CODE: ("users",)},
                accounts=(ACCOUNT,),
                topic_arns=(),
                verifies=True,
            ),
            environment={**CREDENTIALS, "AWS_ENDPOINT_URL": url},
        )


@contextmanager
def _open(door: Door, *, marketplace: str, aws: str) -> Iterator[str]:
    pool = urllib3.PoolManager(retries=False, maxsize=8)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            target = self.headers.get("X-Amz-Target", "")
            operation = target.rpartition(".")[2] or parse_qs(body.decode())["Action"][0]
            if operation in door.silent:
                door.shut.wait()
                self.close_connection = True
                return
            if operation in door.refusals:
                self._answer(403, _refusal(door.refusals[operation], is_json=bool(target)))
                return
            if operation in door.answers:
                self._answer(200, json.dumps(door.answers[operation]).encode())
                return
            if operation in door.bodies:
                self._answer(
                    200,
                    door.bodies[operation].encode(),
                    content_type="text/html" if "<html>" in door.bodies[operation] else "text/xml",
                )
                return
            behind = marketplace if target.startswith("AWSMP") else aws
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            passed = pool.request("POST", f"{behind}{self.path}", body=body, headers=headers)
            self._answer(passed.status, passed.data, content_type=passed.headers.get("Content-Type", ""))

        def _answer(self, status: int, body: bytes, *, content_type: str = "application/x-amz-json-1.1") -> None:
            self.send_response_only(status)
            at: datetime = system_now() + door.ahead
            self.send_header("Date", format_datetime(at.replace(microsecond=0), usegmt=True))
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        door.shut.set()
        server.shutdown()
        thread.join()
        server.server_close()
        pool.clear()


def _refusal(code: str, *, is_json: bool) -> bytes:
    if is_json:
        return json.dumps({"__type": code, "message": SAYING_MORE}).encode()
    return f"<ErrorResponse><Error><Code>{code}</Code><Message>{SAYING_MORE}</Message></Error></ErrorResponse>".encode()
