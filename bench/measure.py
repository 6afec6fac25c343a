"""One measurement in a process of its own: `python -m bench.measure SIDE NAME DIRECTORY SIZES`, answered in JSON."""

import importlib
import json
import logging
import sys
from pathlib import Path

import structlog


def main() -> None:
    """Measure, and print the figures."""
    side, name, directory, sizes = sys.argv[1:]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    measure = getattr(importlib.import_module(f"bench.{side}"), name)
    print(json.dumps(measure(Path(directory), **json.loads(sizes))))


if __name__ == "__main__":
    main()
