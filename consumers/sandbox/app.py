"""The one HTTP server of the sandbox: AWS's calls, the control API and the pages."""

import json
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit
from uuid import uuid4

from flask import Flask, Response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException

from consumers.sandbox import wire
from consumers.sandbox.control import ControlApi, problem, problem_of
from consumers.sandbox.faults import Faults
from consumers.sandbox.ledger_window import LedgerWindow
from consumers.sandbox.marketplace import Marketplace
from consumers.sandbox.page import PageParts, Pages
from consumers.sandbox.signing import SigningKey

BODY_BYTES_MAX = 1_000_000
_INTERNAL = HTTPStatus.INTERNAL_SERVER_ERROR


def make_app(
    *,
    marketplace: Marketplace,
    faults: Faults,
    fulfillment_url: str | None,
    signing_key: SigningKey,
    environment: Callable[[], Mapping[str, str]],
    window: Callable[[], LedgerWindow | None],
) -> Flask:
    """Put the doors of the sandbox together.

    Args:
        marketplace: the contracts.
        faults: how to misbehave.
        fulfillment_url: where "Set up your account" sends the buyer with a registration token.
        signing_key: that of SNS here, whose certificate is handed out.
        environment: what a boto3 client needs to talk to the sandbox.
        window: to look at the ledger; null where none is known.
    """
    app = Flask(__name__)
    app.secret_key = secrets.token_bytes(32)
    app.config.update(
        MAX_CONTENT_LENGTH=BODY_BYTES_MAX, SESSION_COOKIE_NAME="sandbox", SESSION_COOKIE_SAMESITE="Strict"
    )
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    api = ControlApi(marketplace=marketplace, faults=faults, fulfillment_url=fulfillment_url)
    pages = Pages(
        PageParts(
            marketplace=marketplace,
            faults=faults,
            fulfillment_url=fulfillment_url,
            environment=environment,
            window=window,
        )
    )
    app.register_blueprint(api.blueprint())
    app.register_blueprint(pages.blueprint())
    policy = _content_security_policy(fulfillment_url)

    @app.post("/")
    def aws_call() -> Response:
        answered = wire.answer(
            target=request.headers.get("X-Amz-Target", ""),
            payload=request.get_data(),
            marketplace=marketplace,
            faults=faults,
        )
        response = Response(json.dumps(answered.body), status=answered.status)
        response.content_type = request.content_type or "application/x-amz-json-1.1"
        response.headers["x-amzn-RequestId"] = str(uuid4())
        return response

    @app.get(signing_key.path)
    def certificate() -> Response:
        return Response(signing_key.pem, content_type="application/x-pem-file")

    @app.before_request
    def refuse_other_sites() -> Response | None:
        # The sandbox has no sign-in, so a page of another site open in the same browser must not press its buttons.
        origin = request.headers.get("Origin")
        if request.method in {"GET", "HEAD"} or origin is None or origin == request.host_url.rstrip("/"):
            return None
        return problem(HTTPStatus.FORBIDDEN, "FORBIDDEN", "The sandbox takes requests from its own page only.")

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.errorhandler(RecursionError)
    def nested_too_deeply(_error: RecursionError) -> ResponseReturnValue:
        return failed(BadRequest("The request is nested too deeply."))

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> ResponseReturnValue:
        if "X-Amz-Target" in request.headers:
            return {"__type": error.name.replace(" ", ""), "message": error.description}, error.code or _INTERNAL
        if request.path.startswith("/sandbox/"):
            return problem_of(error)
        return render_template("error.html", error=error), error.code or _INTERNAL

    return app


def _content_security_policy(fulfillment_url: str | None) -> str:
    targets = "'self'"
    if fulfillment_url is not None:
        ledger = urlsplit(fulfillment_url)
        targets += f" {ledger.scheme}://{ledger.netloc}"
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        f"form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    )
