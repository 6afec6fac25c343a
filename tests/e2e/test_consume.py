"""`consume sqs` in a process of its own, beside a `serve` that consumes the same queue and registers its buyers."""

import signal
from datetime import UTC, datetime, timedelta
from functools import partial

import urllib3

from tests.e2e.composed import InThreads, Ledgers, Served, wait_for

PURCHASES = 12


def test_a_purchase_heard_of_in_two_processes_is_one_license(composed: Ledgers) -> None:
    """Two processes consume one queue while the buyers register: each purchase ends in one license, issued once."""
    marketplace = composed.start_marketplace()
    log = composed.folder / "consume.log"
    consumer = composed.start("consume", "sqs", log=log, **marketplace)
    served = composed.serve(**marketplace)
    wait_for(lambda: "Consuming" in log.read_text(), what="the consumer")

    agreements = [_buy(served, account=f"1111222233{number:02}") for number in range(PURCHASES)]
    registrations = InThreads()
    for agreement_id in agreements:
        token = served.control("POST", f"/sandbox/contracts/{agreement_id}/token").json["token"]
        for _ in range(2):
            registrations.start(partial(_register, served, token))
    registrations.join()

    wait_for(lambda: _started(served) == set(agreements), what="all licenses")
    licenses = served.licenses()
    assert sorted(one["agreement_id"] for one in licenses) == sorted(agreements)
    for one in licenses:
        history = served.call("GET", f"/v1/licenses/{one['license_id']}/history?order=asc").json["items"]
        types = [event["type"] for event in history]
        assert types.count("license.license-issued") == 1
        assert types.count("license.subscription-started") == 1
        identified = [tuple(e["data"].values()) for e in history if e["type"] == "license.license-identified"]
        assert len(identified) == len(set(identified))

    consumer.send_signal(signal.SIGTERM)
    assert consumer.wait(20) == 0
    assert served.stop() == 0


def _buy(served: Served, *, account: str) -> str:
    until = (datetime.now(UTC) + timedelta(days=189)).isoformat()
    bought = served.control("POST", "/sandbox/contracts", {"account_id": account, "seats": 5, "until": until})
    assert bought.status == 201, bought.body
    agreement_id: str = bought.json["contract"]["agreement_id"]
    return agreement_id


def _register(served: Served, token: str) -> None:
    with urllib3.PoolManager() as pool:
        answer = pool.request(
            "POST",
            f"{served.url}/marketplace/register",
            fields={"x-amzn-marketplace-token": token},
            encode_multipart=False,
            redirect=False,
        )
    # The door counts knocks of one address, and all buyers of this story come from one.
    assert answer.status in (303, 429), answer.data


def _started(served: Served) -> set[str]:
    return {one["agreement_id"] for one in served.licenses() if one["seats_max"] == 5}
