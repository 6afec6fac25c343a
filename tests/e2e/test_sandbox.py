"""`sandbox` in a process of its own."""

import json
import re
import signal
import socket
from urllib.request import urlopen

import pytest

from tests.e2e.composed import Ledgers, wait_for


def test_a_sandbox_sells_the_products_that_it_is_told(composed: Ledgers) -> None:
    """Each with its dimensions; the environment that it prints lets a ledger serve all of them."""
    log = composed.folder / "sandbox.log"
    told = ("--product", "softphone:users", "--product", "deskphone:phones+users")
    process = composed.start("sandbox", "--port", "0", *told, log=log)
    printed = wait_for(
        lambda: re.search(r"The sandbox Marketplace is at (\S+)", log.read_text()), what="the sandbox's start"
    )
    assert "export LEDGER_PRODUCT_CODES=softphone:users,deskphone:phones+users\n" in log.read_text()
    with urlopen(f"{printed[1]}/sandbox/products", timeout=10) as answer:  # noqa: S310  our own server
        products = json.load(answer)["items"]
    assert [(one["code"], one["dimensions"]) for one in products] == [
        ("softphone", ["users"]),
        ("deskphone", ["phones", "users"]),
    ]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    "told",
    ["soft phone", "softphone:", f"softphone:{256 * 'u'}"],
    ids=["a code with a space", "no dimension", "a dimension whose name is too long"],
)
def test_a_product_that_can_not_be_sold_is_wrong_usage(composed: Ledgers, told: str) -> None:
    """It says what a product looks like."""
    ended = composed.run("sandbox", "--product", told)
    assert ended.returncode == 2
    assert "'--product'" in ended.stderr
    assert "such as" in ended.stderr


@pytest.mark.parametrize(
    ("told", "who"),
    [(("--port",), "The sandbox"), (("--port", "0", "--queue-port"), "The sandbox's queue")],
    ids=["of the sandbox", "of its queue"],
)
def test_a_port_that_is_taken_is_one_line(composed: Ledgers, told: tuple[str, ...], who: str) -> None:
    """It names the port, and who wants it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = composed.run("sandbox", *told, port)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert f"{who} can't listen at port {port}: Address already in use" in ended.stderr


@pytest.mark.parametrize("option", ["--port", "--queue-port"])
def test_a_port_that_can_not_be_is_wrong_usage(composed: Ledgers, option: str) -> None:
    """It says which there are."""
    ended = composed.run("sandbox", option, "99999")
    assert ended.returncode == 2
    assert f"Invalid value for '{option}': 99999 is not in the range 0<=x<=65535." in ended.stderr


def test_a_file_that_another_sandbox_has_is_one_line(composed: Ledgers) -> None:
    """It names the file, and the other one goes on."""
    first = composed.start_marketplace()["AWS_ENDPOINT_URL_MARKETPLACE_METERING"]
    ended = composed.run("sandbox", "--port", "0")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "ledger.sandbox.json. Stop it first" in ended.stderr
    with urlopen(f"{first}/sandbox/contracts", timeout=10) as answer:  # noqa: S310  our own server
        assert json.load(answer) == {"items": []}


def test_a_queue_of_a_sandbox_that_is_gone_is_one_line(composed: Ledgers) -> None:
    """As when one starts it again in the shell that has the environment of before."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        queue_url = f"http://127.0.0.1:{taken.getsockname()[1]}/123456789012/aws-marketplace"
    ended = composed.run("sandbox", "--port", "0", LEDGER_SQS_QUEUE_URL=queue_url)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert f"The queue {queue_url} can't be used" in ended.stderr


def test_a_state_that_can_not_be_read_is_one_line(composed: Ledgers) -> None:
    """Nothing of it is overwritten."""
    path = composed.folder / "engines.sandbox.json"
    path.write_text("{")
    ended = composed.run("sandbox", "--port", "0", LEDGER_DATABASE_URL=f"sqlite:///{composed.folder}/engines.db")
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("holds no state of a sandbox. Remove it.")
    assert path.read_text() == "{"
