"""The measurements run to their end; how fast anything is, no test asserts."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
A_WIDE_TERMINAL = {"COLUMNS": "300"}


def test_every_measurement_runs_and_has_a_line_in_the_table(tmp_path: Path) -> None:
    """With tiny sizes, in a directory of the caller's choice, which is left empty, and without touching the README."""
    readme = ROOT / "bench" / "README.md"
    before = readme.read_bytes()
    command = [sys.executable, "-m", "bench", "--tiny", "--dir", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, check=False, cwd=ROOT, env=os.environ | A_WIDE_TERMINAL, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    table = " ".join(done.stdout.split())
    assert all(word in table for word in ("yardstick", "32 callers", "three views", "idle ledger", "bytes per event"))
    assert not list(tmp_path.iterdir())
    assert readme.read_bytes() == before
