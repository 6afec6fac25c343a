"""The load on both servers: many connections, each asking for one user after the other."""

import http.client
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench.load import Figures, percentile, together

_OK: Final = 200
_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_SCRIPT: Final = """
local number = 0
request = function()
  number = number + 1
  return wrk.format("GET", string.format("{path}?user=user-%06d%%40example.com", number % {users}))
end
"""


def ask(directory: Path, url: str, *, key: str, connections: int, seconds: int, users: int) -> Figures:
    """Ask for so many users in turn: requests per second, and the 99th percentile of the seconds that one took."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return _ask_from_threads(url, key=key, connections=connections, seconds=seconds, users=users)
    script = directory / "access.lua"
    script.write_text(_SCRIPT.format(path=urlsplit(url).path, users=users))
    command = [
        *(wrk, "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--latency"),
        *(f"--script={script}", f"--header=Authorization: Bearer {key}", url),
    ]
    told = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    per_second = re.search(r"^Requests/sec:\s+([0-9.]+)", told, flags=re.MULTILINE)
    p99 = re.search(r"^\s+99%\s+([0-9.]+)(us|ms|s)", told, flags=re.MULTILINE)
    if per_second is None or p99 is None or "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(told)
    return {"per_second": float(per_second[1]), "p99": float(p99[1]) * _UNITS[p99[2]]}


def _ask_from_threads(url: str, *, key: str, connections: int, seconds: int, users: int) -> Figures:
    parts = urlsplit(url)
    took: list[float] = []

    def run(_: int) -> None:
        connection = http.client.HTTPConnection(parts.netloc)
        deadline, number = time.perf_counter() + seconds, 0
        while (begin := time.perf_counter()) < deadline:
            number += 1
            path = f"{parts.path}?user=user-{number % users:06d}%40example.com"
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != _OK:
                raise RuntimeError(f"the server answered {answer.status}")
            took.append(time.perf_counter() - begin)
        connection.close()

    whole = together(connections, run)
    return {"per_second": len(took) / whole, "p99": percentile(took, 99)}
