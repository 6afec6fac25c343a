"""One measurement in a process of its own: `python -m bench.measure SIDE NAME DIRECTORY SIZES`, answered in JSON."""

import importlib
import json
import logging
import sys
from pathlib import Path

import structlog

from bench.machine import memory_mb


def main() -> None:
    """Measure, and print the figures."""
    side, name, directory, sizes = sys.argv[1:]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    measure = getattr(importlib.import_module(f"bench.{side}"), name)
    figures = measure(Path(directory), **json.loads(sizes))
    print(json.dumps({"memory_mb": memory_mb()} | figures))


if __name__ == "__main__":
    main()
