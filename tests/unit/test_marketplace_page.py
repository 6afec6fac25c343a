"""docs/marketplace.md leads to what is there."""

import re
from pathlib import Path
from typing import Final

import click

from commands.main import cli
from commands.settings import SETTINGS
from consumers.marketplace.doctor import Verdict

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = (DOCS / "marketplace.md").read_text(encoding="utf-8")


def test_its_links_lead_somewhere() -> None:
    """Those to other pages and files of ours; a heading that is named is there too."""
    for path, heading in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", PAGE):
        target = (DOCS / path).resolve() if path else DOCS / "marketplace.md"
        assert target.exists(), path
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert not heading or heading in {one.lower().replace(" ", "-") for one in headings}, heading


def test_its_commands_are_there() -> None:
    """Whoever reads it types them."""
    for words in re.findall(r"licensing-ledger ([a-z]+)", PAGE):
        assert isinstance(cli.commands.get(words), click.Command), words


def test_its_settings_are_there() -> None:
    """And none is misspelled."""
    assert set(re.findall(r"LEDGER_[A-Z_]+", PAGE)) <= {setting.name for setting in SETTINGS}


def test_it_tells_what_each_verdict_means() -> None:
    """In the words that the doctor prints."""
    assert all(f"| `{verdict}` |" in PAGE for verdict in Verdict)
