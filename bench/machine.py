"""The facts of the machine, without which a figure says nothing."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def facts(directory: Path, *, load_before: float, of_section: Sequence[str]) -> list[str]:
    """Lines about the machine on which the measurements of a section ran, and about what ran beside them."""
    return [
        f"Date: {datetime.now(UTC):%Y-%m-%d}",
        f"Processor: {_processor()}, {os.cpu_count()} cores",
        f"System: {platform.system()} {platform.release()}, file system {_file_system(directory)}",
        *of_section,
        f"Load average of the minute before the run: {load_before:.1f}. {_beside(load_before)}",
    ]


def memory_mb(process: int | str = "self") -> float:
    """The most memory that a process has had so far: its resident set, in megabytes."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    # Not what `getrusage` says, which begins with the memory of the process that started this one.
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) / 1024


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _file_system(directory: Path) -> str:
    """Of the longest mount point above the directory."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    found = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    holding = [(len(mount[1]), mount[2]) for mount in found if directory.resolve().is_relative_to(mount[1])]
    return max(holding)[1] if holding else "unknown"


def _beside(load: float) -> str:
    if load < 0.5:  # noqa: PLR2004 -- half a core
        return "Nothing else of weight was running."
    return "Other programs used the processor and the disk at the same time: read the ratios, not the absolute figures."
