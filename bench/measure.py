"""One measurement in a process of its own: `python -m bench.measure SIDE NAME DIRECTORY SIZES`, answered in JSON."""

import importlib
import json
import sys
from pathlib import Path

from bench.machine import memory_mb
from bench.processes import keep_quiet


def main() -> None:
    """Measure, and print the figures."""
    side, name, directory, sizes = sys.argv[1:]
    keep_quiet()
    measure = getattr(importlib.import_module(f"bench.{side}"), name)
    figures = measure(Path(directory), **json.loads(sizes))
    print(json.dumps({"memory_mb": memory_mb()} | figures))


if __name__ == "__main__":
    main()
