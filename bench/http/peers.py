"""The peer: one bare Flask route that answers as many bytes, on the same WSGI server with the same settings."""

import subprocess
import sys
from pathlib import Path

import flask

from api import server
from bench.http.load import ask
from bench.load import Figures
from bench.machine import memory_mb
from commands.settings import THREADS

ROOT = Path(__file__).parents[2]
PATH = "/v1/licenses/0f8c7a52-7a3a-4f0e-9a55-3d1c3a0e6b10/access"


def route(directory: Path, *, connections: int, seconds: int, users: int) -> Figures:
    """Requests per second that do nothing but answer."""
    command = [sys.executable, "-m", "bench.http.peers"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip() + PATH
            figures = ask(directory, url, key="none", connections=connections, seconds=seconds, users=users)
            return figures | {"memory_mb": memory_mb(process.pid)}
        finally:
            process.kill()


def _app() -> flask.Flask:
    app = flask.Flask(__name__)

    @app.get("/v1/licenses/<license_id>/access")
    def access(license_id: str) -> flask.Response:
        return flask.jsonify(
            allowed=True,
            code="ALLOWED",
            detail="The user may work.",
            user=flask.request.args["user"],
            seat_id="7b0b8a52-7a3a-4f0e-9a55-3d1c3a0e6b10",
            license_id=license_id,
            usable_until="2027-11-24T12:00:00Z",
            check_again_at="2026-11-24T12:15:00Z",
            position=1_234,
        )

    return app


def _tell(url: str) -> None:
    print(url, flush=True)


if __name__ == "__main__":
    threads = THREADS.parse(THREADS.default or "")
    server.serve(_app(), host="127.0.0.1", port=0, threads=threads, ready=_tell)
