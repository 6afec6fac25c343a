"""Keys: who may call this interface. For operators alone."""

from typing import Final

import flask
from flask_smorest import Blueprint

from api.principal import Permission
from api.v1 import schemas
from api.v1.conditions import IDEMPOTENCY_KEY, IF_MATCH
from api.v1.cursors import Cursors
from api.v1.operation import Call, Operation, operation, respond
from ledger.keys import Key, KeyScope
from ledger.times import microseconds

BLUEPRINT: Final = Blueprint("keys", __name__, url_prefix="/v1", description="Who may call this interface.")


@operation(
    BLUEPRINT,
    "GET",
    "/keys",
    Operation(permission=Permission.KEEP_KEYS, query=schemas.KeysQuery, answers={200: schemas.KeyPage}),
)
def list_keys(call: Call) -> flask.Response:
    """List the keys in the order in which they were issued, revoked ones too."""
    position = call.parts.ledger.head().position
    cursors = Cursors.for_list(call.parts.ledger, caller_id=call.principal.actor.id, call="list_keys", filters={})
    after = cursors.read(call.query.get("cursor"))
    keys = [key for key in call.parts.ledger.keys.all() if after is None or _place(key) > after]
    page, more = keys[: call.query["limit"]], len(keys) > call.query["limit"]
    return respond(
        {
            "items": [_document(key) for key in page],
            "next": cursors.write(_place(page[-1])) if more else None,
            "position": position,
        }
    )


@operation(
    BLUEPRINT,
    "POST",
    "/keys",
    Operation(
        permission=Permission.KEEP_KEYS,
        submits=True,
        refuses=(IDEMPOTENCY_KEY, IF_MATCH),
        body=schemas.KeyBody,
        answers={201: schemas.IssuedKey},
    ),
)
def issue_key(call: Call) -> flask.Response:
    """Issue a key; the answer shows it, this once."""
    body = call.body
    licenses = body["licenses"]
    key, secret = call.parts.ledger.keys.issue(
        name=body["name"],
        role=body["role"],
        scope=KeyScope(
            licenses=tuple(licenses) if licenses is not None else None,
            customer_id=body["customer_id"],
            product_id=body["product_id"],
        ),
        expires_at=body["expires_at"],
        caller=call.caller,
    )
    return respond(_document(key) | {"key": secret}, status=201)


@operation(
    BLUEPRINT,
    "DELETE",
    "/keys/<key_id>",
    Operation(
        permission=Permission.KEEP_KEYS,
        submits=True,
        refuses=(IDEMPOTENCY_KEY, IF_MATCH),
        answers={200: schemas.Key},
        codes=["NOT_FOUND"],
    ),
)
def revoke_key(call: Call, key_id: str) -> flask.Response:
    """Revoke a key, at once; it stays listed."""
    return respond(_document(call.parts.ledger.keys.revoke(key_id, caller=call.caller)))


def _place(key: Key) -> tuple[int, str]:
    return microseconds(key.issued_at), key.key_id


def _document(key: Key) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role,
        "licenses": key.scope.licenses,
        "customer_id": key.scope.customer_id,
        "product_id": key.scope.product_id,
        "issued_at": key.issued_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
