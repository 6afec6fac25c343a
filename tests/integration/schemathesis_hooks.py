"""What Schemathesis is told beside the description; it loads this by `SCHEMATHESIS_HOOKS`."""

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import schemathesis
from schemathesis import Case, HookContext

from api.v1.conditions import IDEMPOTENCY_KEY
from api.v1.fields import is_uuid
from tests.stories import NOON

IDS: Final = {
    "license_id": os.environ.get("STORY_LICENSE_ID", ""),
    "seat_id": os.environ.get("STORY_SEAT_ID", ""),
    "key_id": os.environ.get("STORY_KEY_ID", ""),
    "number": os.environ.get("STORY_MESSAGE_NUMBER", ""),
}
_USED: Final[set[tuple[str, str]]] = set()
POSITION_REACHED: Final = 10
_MOMENTS: Final = frozenset({"as_of", "version", "position"})


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Let ids that could be be those that are, so that calls get further than "not found"."""
    parameters = case.path_parameters or {}
    for name, real in IDS.items():
        if name in parameters and _could_be(str(parameters[name])):
            parameters[name] = real


def _could_be(id_: str) -> bool:
    return is_uuid(id_) or id_.startswith("key-") or id_.isdecimal()


@schemathesis.hook
def filter_case(_: HookContext, case: Case[Any]) -> bool:
    """Leave out what no schema can tell from what is right; it has tests of its own."""
    query = _members(case.query)
    return not (
        "cursor" in query
        or len(_MOMENTS & query.keys()) > 1
        or _is_later_than_noon(query.get("as_of"))
        or _is_out_of_reach(query.get("min_position"))
        or _was_used(case)
    )


def _was_used(case: Case[Any]) -> bool:
    """An Idempotency-Key is for one request; each operation has its own."""
    key = _members(case.headers).get(IDEMPOTENCY_KEY)
    if key is None:
        return False
    used = (case.operation.label, str(key))
    if used in _USED:
        return True
    _USED.add(used)
    return False


def _members(container: object) -> dict[str, object]:
    return dict(container) if isinstance(container, Mapping) else {}


def _is_later_than_noon(as_of: object) -> bool:
    try:
        return isinstance(as_of, str) and datetime.fromisoformat(as_of) > NOON
    except (ValueError, TypeError):
        return False


def _is_out_of_reach(position: object) -> bool:
    return str(position).isdecimal() and int(str(position)) > POSITION_REACHED
