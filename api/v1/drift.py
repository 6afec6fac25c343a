"""Drift: where the ledger and AWS are not the same. For operators alone."""

from typing import Final

import flask
from flask_smorest import Blueprint

from api.principal import Permission
from api.problems import Problem
from api.v1 import schemas
from api.v1.operation import Call, Operation, operation, respond

BLUEPRINT: Final = Blueprint("drift", __name__, url_prefix="/v1", description="Whether the ledger agrees with AWS.")


@operation(
    BLUEPRINT,
    "GET",
    "/drift",
    Operation(
        permission=Permission.SEE_DRIFT,
        query=schemas.DriftQuery,
        answers={200: schemas.Drift},
        codes=["NOT_FOUND"],
    ),
)
def get_drift(call: Call) -> flask.Response:
    """The report of the last reconciliation, or of an earlier one, and how far the present one is."""
    drift, number = call.parts.drift, call.query.get("number")
    report = None if drift is None else drift.report(number)
    if report is None and number is not None:
        raise Problem("NOT_FOUND", f"There is no report {number}, or it is not kept any more.")
    return respond(
        {
            "running": None if drift is None else drift.progress(),
            "kept": [] if drift is None else list(drift.numbers()),
            "report": report,
        }
    )
