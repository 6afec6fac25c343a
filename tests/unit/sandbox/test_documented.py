"""The docs of the sandbox say what it does: no call, no term and no kind of mischief is without its place."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from flask import Flask

from consumers.sandbox import FaultPlan, Faults, Generation, MischiefPlan, Notice, control, wire
from consumers.sandbox.notifications import Fate
from consumers.sandbox.schemas import PurchaseSchema, SuccessorSchema
from tests.unit.sandbox.story import Stage

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text()
DOCSTRING = str(control.__doc__)


def calls() -> set[tuple[str, str]]:
    """Name every call of the control API, by method and path."""
    api = control.ControlApi(marketplace=Stage().marketplace, faults=Faults(), fulfillment_url=None)
    app = Flask(__name__)
    app.register_blueprint(api.blueprint())
    return {
        (method, re.sub(r"<(?:int:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("control.")
        for method in rule.methods or ()
        if method not in {"HEAD", "OPTIONS"}
    }


def test_every_call_has_its_place() -> None:
    """In the table at the end of the page, and none that is not there."""
    assert set(re.findall(r"^\| `(\w+) (/sandbox/[^`]+)` \|", PAGE, re.MULTILINE)) == calls()


def test_every_call_stands_in_the_docstring_of_the_api() -> None:
    """In short: what is done with one contract begins with an ellipsis."""
    short = re.findall(r"^\| `(\w+) (\S+)` \|", DOCSTRING, re.MULTILINE)
    assert {(method, path.replace("…", "/sandbox/contracts")) for method, path in short} == calls()


@pytest.mark.parametrize("text", [PAGE, DOCSTRING], ids=["page", "docstring"])
@pytest.mark.parametrize(
    "names",
    [
        [field.name for field in fields(MischiefPlan)],
        [field.name for field in fields(FaultPlan)],
        [*PurchaseSchema().fields],
        [*SuccessorSchema().fields],
        [*Notice],
        [*Generation],
    ],
    ids=["mischief", "faults", "purchase", "successor", "notices", "generations"],
)
def test_every_name_has_its_place(names: list[str], text: str) -> None:
    """As something to type."""
    typed = " ".join(re.findall(r"`[^`]+`|^    .*$", re.sub(r"```\w*\n", "", text), re.MULTILINE))
    assert [name for name in names if name not in typed] == []


def test_every_call_of_aws_has_its_place() -> None:
    """With the client by which it is made."""
    answered = {line.split("`")[1] for line in PAGE.splitlines() if re.match(r"\| `[A-Z]\w+` \| `", line)}
    assert answered == {operation.name for operation in wire.OPERATIONS.values()}


def test_every_fate_of_a_message_has_its_place() -> None:
    """Where messages are shown."""
    assert [fate for fate in Fate if f"`{fate}`" not in PAGE] == []
