"""What people do in the stories of the composed system, each through its ordinary door."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.composed import Served, wait_for


def buy(served: Served, *, account: str, seats: int) -> tuple[str, str]:
    """A customer buys in AWS Marketplace; returns the agreement and, once the ledger has it, the license."""
    until = (datetime.now(UTC) + timedelta(days=189)).isoformat()
    bought = served.control("POST", "/sandbox/contracts", {"account_id": account, "seats": seats, "until": until})
    assert bought.status == 201, bought.body
    agreement_id: str = bought.json["contract"]["agreement_id"]

    def license_id() -> str | None:
        found = [one for one in served.licenses() if one["agreement_id"] == agreement_id and one["seats_max"] == seats]
        return found[0]["license_id"] if found else None

    return agreement_id, wait_for(license_id, what="the license")


def issue_client_key(served: Served, license_id: str) -> str:
    """The operator gives the client program a key."""
    key = served.call("POST", "/v1/keys", {"name": "softphone", "role": "client", "licenses": [license_id]})
    assert key.status == 201, key.body
    secret: str = key.json["key"]
    return secret


def sign_in(served: Served, license_id: str, user: str, key: str) -> dict[str, Any]:
    """A user signs in with the client program; returns when the views have it."""
    answer: dict[str, Any] = served.call("POST", f"/v1/licenses/{license_id}/sign-ins", {"user": user}, key=key).json
    position = answer["position"]
    assert served.call("GET", f"/v1/licenses/{license_id}?min_position={position}").status == 200
    return answer


def get_information(served: Served, license_id: str) -> dict[str, Any]:
    """License Information as the operator sees it."""
    information: dict[str, Any] = served.call("GET", f"/v1/licenses/{license_id}").json
    return information
