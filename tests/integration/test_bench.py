"""The measurements run to their end; how fast anything is, no test asserts."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.services import absent, kafka, postgres

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "bench" / "README.md"
A_WIDE_TERMINAL: Final = {"COLUMNS": "400"}
WORDS_OF: Final = {
    "embedded": ("yardstick", "32 callers", "three views", "idle ledger", "bytes per event", "synchronous=FULL"),
    "postgres": (
        "1 caller",
        "2 processes",
        "with a license for each process",
        "following",
        "made again",
        "idle ledger",
        "fsync=on",
        "MB",
    ),
    "http": ("on SQLite, 2 connections", "on PostgreSQL, 2 connections", "waitress", "MB"),
    "kafka": ("events per second to Kafka", "Apache Kafka", "MB"),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("section", WORDS_OF)
def test_every_measurement_runs_and_has_a_line_in_its_table(section: str, tmp_path: Path) -> None:
    """With tiny sizes, in a directory of the caller's choice, which is left empty, and without touching the README."""
    _leave_where_servers_are_missing(section)
    before = README.read_bytes()
    done = _bench("--tiny", "--dir", str(tmp_path), section)
    assert done.returncode == 0, done.stderr
    table = " ".join(done.stdout.split())
    assert all(word in table for word in WORDS_OF[section]), done.stdout
    assert not list(tmp_path.iterdir())
    assert README.read_bytes() == before


def test_every_section_has_a_place_in_the_readme() -> None:
    """A run of all sections would find out at its end."""
    text = README.read_text()
    for section in WORDS_OF:
        assert text.count(f"<!-- measured: {section} -->\n") == 1
        assert text.count(f"<!-- /measured: {section} -->\n") == 1


def test_an_unknown_section_is_refused_in_one_line() -> None:
    """With the names of those that there are."""
    done = _bench("--tiny", "postgre")
    assert done.returncode == 2
    assert "there is no section postgre; there are embedded, postgres, http, kafka" in done.stderr


def _leave_where_servers_are_missing(section: str) -> None:
    needed = {
        "postgres": (postgres.installation(),),
        "http": (postgres.installation(),),
        "kafka": (postgres.installation(), kafka.installation()),
    }
    for software in needed.get(section, ()):
        if isinstance(software, str):
            absent(software)


def _bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=os.environ | A_WIDE_TERMINAL,
        text=True,
        timeout=280,
    )
