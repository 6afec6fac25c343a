"""The doctor beside a sandbox Marketplace, as one finds it on a laptop."""

from tests.e2e.composed import Ledgers, wait_for


def test_the_doctor_is_content_with_a_sandbox(composed: Ledgers) -> None:
    """It says that this is no real Marketplace, asks nobody else, and finds nothing wrong."""
    marketplace = composed.start_marketplace()
    served = composed.serve(**marketplace)
    bought = served.control(
        "POST", "/sandbox/contracts", {"account_id": "111122223333", "seats": 5, "until": "2037-05-31T23:59:59Z"}
    )
    assert bought.status == 201, bought.body
    wait_for(served.licenses, what="the license")

    ran = composed.run("doctor", **marketplace)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    verdicts = {line[16:].partition(":")[0]: line[:16].strip() for line in ran.stdout.splitlines()}
    assert verdicts["endpoints"] == "warning"
    assert verdicts["database"] == verdicts["receiving"] == verdicts["registration"] == "ok"
    assert [verdicts[check] for check in ("credentials", "rule", "legacy topics")] == ["could not look"] * 3
    assert "broke off" not in ran.stdout
    assert served.stop() == 0
