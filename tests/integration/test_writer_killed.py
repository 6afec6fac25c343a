"""A process killed in the middle of its work: what it acknowledged is there, once, and it goes on from there."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.seats import Once
from tests.integration.ledgers import activated, everything, issue, license_now, opened
from tests.stories import CLIENT, LICENSE, colleague

ROOT = Path(__file__).parents[2]
USERS = 20_000

ACTIVATE_AND_TELL = """
import os, sys
import structlog
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from ledger.seats import Once
from ledger.times import system_now
from tests.integration.ledgers import opened
from tests.stories import CLIENT, LICENSE, colleague

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

def activate(number):
    once = Once(key_hash=b"key-%d" % number, request_hash=b"activate")
    answer = ledger.seats.activate(LICENSE, user=colleague(number), caller=CLIENT, once=once)
    os.write(1, f"{number} {answer.seat.seat_id} {answer.position}\\n".encode())

with opened(Path(sys.argv[1]), now=system_now) as ledger, ThreadPoolExecutor(16) as pool:
    list(pool.map(activate, range(int(sys.argv[2]))))
"""


@pytest.mark.parametrize("attempt", range(6))
def test_what_was_acknowledged_before_a_kill_is_there_once(database: Path, attempt: int) -> None:
    """Killed after some acknowledgements: each is found at its position, once, and repeated it is answered the same."""
    with opened(database) as ledger:
        issue(ledger, seats_max=USERS)
    acknowledged = _activate_until_killed(database, after=random.Random(attempt).randrange(1, 600))
    with opened(database) as ledger:
        recorded = everything(ledger)
        names = activated(recorded)
        assert len(names) == len(set(names)) <= USERS
        assert len(acknowledged) <= len(names)
        places = {one.position: one.event for one in recorded}
        for number, seat_id, position in acknowledged:
            event = places[position]
            assert (event.TYPE, event.seat_id) == ("license.seat-activated", seat_id)  # type: ignore[union-attr]
            assert event.user.plain == colleague(number).name  # type: ignore[union-attr]
        assert license_now(ledger).seats_active == len(names)
        number, seat_id, position = acknowledged[-1]
        once = Once(key_hash=b"key-%d" % number, request_hash=b"activate")
        again = ledger.seats.activate(LICENSE, user=colleague(number), caller=CLIENT, once=once)
        assert (again.took_seat, again.seat.seat_id, again.position) == (True, seat_id, position)
        assert ledger.seats.activate(LICENSE, user=colleague(USERS), caller=CLIENT).position == len(recorded) + 1


def _activate_until_killed(database: Path, *, after: int) -> list[tuple[int, str, int]]:
    """Users sign in from 16 threads of a process that is killed when it has acknowledged so many."""
    process = subprocess.Popen(
        [sys.executable, "-c", ACTIVATE_AND_TELL, str(database), str(USERS)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(after)]
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.readlines()
    process.stdout.close()
    assert process.wait(timeout=30) == -signal.SIGKILL
    whole = [line.split() for line in lines if line.endswith(b"\n")]
    return [(int(number), seat_id.decode(), int(position)) for number, seat_id, position in whole]
