"""The docs say what the program does: nothing that people rely on is without its place."""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import api
import commands
import consumers
import ledger
import projections
from api.pages.errors import PageCode
from api.problems import PROBLEMS
from api.sign_ins import SignInIsRefusedError
from commands.main import cli
from commands.settings import SETTINGS, Setting
from ledger.envelope import event_types
from ledger.errors import LedgerError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def _headings(name: str) -> list[str]:
    return re.findall(r"^#{2,3} (.+)$", (DOCS / name).read_text(), re.MULTILINE)


def _section(name: str, heading: str) -> str:
    found = re.search(
        rf"^#{{2,3}} {re.escape(heading)}\n(.*?)(?=^#{{2,3}} |\Z)", (DOCS / name).read_text(), re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/{name} has no heading {heading!r}"
    return " ".join(found[1].split())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_has_its_place(setting: Setting[object]) -> None:
    """docs/settings.md tells what each setting means and what stands when it is not set."""
    section = _section("settings.md", setting.name)
    assert setting.meaning in section
    assert setting.default is None or f"`{setting.default}`" in section
    assert setting.sandbox is None or f"with the sandbox `{setting.sandbox}`" in section


def test_no_setting_is_documented_that_is_none() -> None:
    """A setting that went away is not in docs/settings.md any more."""
    assert set(_headings("settings.md")) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("type_", sorted(event_types()))
def test_an_event_type_has_its_place(type_: str) -> None:
    """docs/events.md tells of each stored type, with every field of its data."""
    section = _section("events.md", type_)
    for field in dataclasses.fields(event_types()[type_]):
        assert f"`{field.name}`" in section, f"{field.name} of {type_}"


def test_no_event_type_is_documented_that_is_none() -> None:
    """Every heading of a type in docs/events.md is one that can be stored."""
    documented = {heading for heading in _headings("events.md") if re.match(r"(license|system)\.", heading)}
    assert documented == set(event_types())


# What nobody is ever answered, with the reason.
NEVER_ANSWERED = {
    "SECOND_READING_NEEDED": "the consumer waits for the second reading, and tells nobody",
    "KEY_CLAIMED": "the consumer looks up whose a key is under the same lock, before it gives the key to a license",
}


def _subclasses(error: type[Exception]) -> Iterator[type[Exception]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _codes_raised() -> set[str]:
    """The code of every error that the program can raise, found by importing all of it."""
    for package in (ledger, projections, api, consumers, commands):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    errors = {*_subclasses(LedgerError), *_subclasses(SignInIsRefusedError)}
    return {vars(error)["CODE"] for error in errors if "CODE" in vars(error)}


CODES = ({*PROBLEMS} | {*PageCode} | _codes_raised()) - {*NEVER_ANSWERED}


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_problem_code_has_its_place(code: str) -> None:
    """docs/problems.md tells of each code what it means and what to do."""
    assert len(_section("problems.md", code)) > len(code)


def test_no_problem_code_is_documented_that_is_none() -> None:
    """Every code in docs/problems.md can be met, and what is never answered is really raised."""
    assert {heading for heading in _headings("problems.md") if re.fullmatch(r"[A-Z_]+", heading)} == CODES
    assert {*NEVER_ANSWERED} <= _codes_raised()


def test_what_only_pages_show_is_documented_as_such() -> None:
    """Who writes a program need not read of it: it stands behind everything else."""
    _, of_pages = (DOCS / "problems.md").read_text().split("## Pages only")
    only_pages = {*PageCode} | {vars(error)["CODE"] for error in _subclasses(SignInIsRefusedError)}
    assert only_pages <= set(re.findall(r"^### (.+)$", of_pages, re.MULTILINE))


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from _commands(inner, f"{path} {name}".strip())


@pytest.mark.parametrize(
    ("path", "command"), [*_commands(cli, "")], ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_command_has_its_place(path: str, command: click.Command) -> None:
    """docs/commands.md has each command with each of its options and arguments."""
    section = _section("commands.md", f"licensing-ledger {path}")
    for parameter in command.params:
        name = (
            parameter.opts[0]
            if isinstance(parameter, click.Option)
            else (parameter.metavar or parameter.name or "").upper()
        )
        assert name in section, f"{name} of {path}"


def test_the_readme_names_the_two_commands() -> None:
    """A new user reads `make run` and `make test` in the README."""
    readme = (ROOT / "README.md").read_text()
    assert "make run" in readme
    assert "make test" in readme
