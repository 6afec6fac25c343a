"""The docs say what the program does: nothing that people rely on is without its place."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from api.problems import PROBLEMS
from commands.main import cli
from commands.settings import SETTINGS, Setting
from ledger.envelope import event_types

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


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_a_problem_code_has_its_place(code: str) -> None:
    """docs/problems.md tells of each code what it means and what to do."""
    assert len(_section("problems.md", code)) > len(code)


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
