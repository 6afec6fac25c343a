"""JSON as it is taken: UTF-8, an object, and no number that is none."""

import json
import math
from typing import Any, Final

import flask

from api.problems import InvalidProblem, Problem

MEDIA_TYPE: Final = "application/json"
# Longer ones are beyond every limit, and reading them costs more the longer they are.
_DIGITS_MAX: Final = 19


def read_object(request: flask.Request) -> dict[str, Any]:
    """The JSON object in the body of a request. Of a member that is there twice the last counts.

    Raises:
        Problem: `UNSUPPORTED_MEDIA_TYPE`, `TOO_LARGE`, `NOT_JSON`, or `INVALID` for JSON that is no object.
    """
    if request.mimetype != MEDIA_TYPE:
        raise Problem("UNSUPPORTED_MEDIA_TYPE", f"The body has to be JSON, with the header Content-Type: {MEDIA_TYPE}.")
    try:
        value = _DECODER.decode(request.get_data(cache=False).decode())
    except (ValueError, RecursionError) as error:
        raise Problem("NOT_JSON", f"The body can't be read as JSON: {_reason(error)}.") from error
    if not isinstance(value, dict):
        raise InvalidProblem({"body": ["Send a JSON object: {…}."]})
    return value


def _reason(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            # Without the text, which may name a user.
            return f"{error.msg.lower()} at line {error.lineno}, column {error.colno}"
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case _:
            return "it is nested too deeply"


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS_MAX else math.inf


def _constant(_: str) -> float:
    # NaN and Infinity are no JSON; as a number that fits nowhere they are named with their field.
    return math.nan


_DECODER: Final = json.JSONDecoder(parse_int=_integer, parse_constant=_constant)
