"""Elections on real databases: one holder among all, another within seconds when it dies or hangs, terms that grow."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ledger.elections import ASK_AGAIN_SECONDS, LEASE_SECONDS
from tests.integration.ledgers import at_once, database_in, drop_databases, opened, until

ROOT = Path(__file__).parents[2]
JOB = "views"

HOLD = """
import sys, time
import structlog
from pathlib import Path
from ledger.elections import ASK_AGAIN_SECONDS
from tests.integration.ledgers import opened

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

with opened(Path(sys.argv[1])) as ledger:
    campaign = ledger.campaign(sys.argv[2])
    told = None
    while True:
        now = campaign.holds()
        if now is not told:
            told = now
            print(f"{now} {campaign.term}", flush=True)
        time.sleep(ASK_AGAIN_SECONDS / 10)
"""


@contextmanager
def holding_process(database: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that asks again and again, and tells when its answer is another; it holds the job."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database), JOB], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert _told(process) == "True 1"
        yield process
    finally:
        process.kill()
        process.communicate()


def _told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_of_many_who_ask_at_once_one_holds_the_job(database: Path) -> None:
    """Eight ledgers, four campaigns in each; all others hear that they do not, and go on hearing it."""
    with ExitStack() as stack:
        ledgers = [stack.enter_context(opened(database)) for _ in range(8)]
        campaigns = [ledger.campaign(JOB) for ledger in ledgers for _ in range(4)]
        assert sum(answer is True for answer in at_once(*[one.holds for one in campaigns])) == 1
        [holder] = [one for one in campaigns if one.holds()]
        assert holder.term == 1
        assert [one.term for one in campaigns if one is not holder] == [0] * 31


def test_jobs_are_held_one_by_one(database: Path) -> None:
    """Who has one has no other."""
    with opened(database) as one, opened(database) as other:
        assert one.campaign("views").holds()
        assert other.campaign("kafka").holds()
        assert not other.campaign("views").holds()


def test_a_holder_that_asks_again_keeps_the_job_beyond_the_lease(tmp_path: Path) -> None:
    """Each question renews it, in the same term."""
    database = database_in(tmp_path, "postgres")
    with opened(database) as one, opened(database) as other:
        holder = one.campaign(JOB)
        assert holder.holds()
        held_since = time.monotonic()
        while time.monotonic() < held_since + LEASE_SECONDS + 1:
            time.sleep(ASK_AGAIN_SECONDS / 10)
            assert holder.holds()
            assert not other.campaign(JOB).holds()
        assert holder.term == 1
    drop_databases(tmp_path)


def test_who_resigns_lets_another_hold_it_at_once_in_a_new_term(database: Path) -> None:
    """And may hold it again later, in yet another; resigning what one does not hold changes nothing."""
    with opened(database) as one, opened(database) as other:
        first, second = one.campaign(JOB), other.campaign(JOB)
        assert first.holds()
        first.resign()
        assert second.holds()
        assert second.term == 2
        first.resign()
        assert not one.campaign(JOB).holds()
        second.resign()
        assert first.holds()
        assert (first.term, second.term) == (3, 2)


def test_terms_grow_over_a_restart_of_everybody(database: Path) -> None:
    """The number of the last term is kept beside the events, so that a fence is never the same again."""
    for term in (1, 2, 3):
        with opened(database) as ledger:
            campaign = ledger.campaign(JOB)
            assert campaign.holds()
            assert campaign.term == term
            campaign.resign()


def test_a_ledger_that_is_closed_without_resigning_leaves_the_job_within_the_lease(database: Path) -> None:
    """Somebody forgot to resign."""
    with opened(database) as ledger:
        assert ledger.campaign(JOB).holds()
    with opened(database) as again:
        campaign = again.campaign(JOB)
        until(campaign.holds, seconds=LEASE_SECONDS + 5)
        assert campaign.term == 2


def test_another_takes_over_within_seconds_when_the_holder_is_killed(database: Path) -> None:
    """Not before: as long as it lives, it alone holds the job."""
    with opened(database) as ledger, holding_process(database) as process:
        campaign = ledger.campaign(JOB)
        assert not campaign.holds()
        process.kill()
        process.wait()
        killed_at = time.monotonic()
        until(campaign.holds, seconds=15)
        assert time.monotonic() - killed_at < LEASE_SECONDS + 3
        assert campaign.term == 2


def test_another_takes_over_from_a_holder_that_hangs_and_the_woken_one_notices(tmp_path: Path) -> None:
    """By the database's clock the lease runs out; woken, the old holder hears at its next question that it lost it."""
    database = database_in(tmp_path, "postgres")
    with opened(database) as ledger, holding_process(database) as process:
        campaign = ledger.campaign(JOB)
        assert not campaign.holds()
        os.kill(process.pid, signal.SIGSTOP)
        stopped_at = time.monotonic()
        until(campaign.holds, seconds=15)
        assert time.monotonic() - stopped_at < LEASE_SECONDS + 3
        assert campaign.term == 2
        os.kill(process.pid, signal.SIGCONT)
        assert _told(process) == "False 1"
        assert campaign.holds()
        campaign.resign()
        assert _told(process) == "True 3"
    drop_databases(tmp_path)


def test_a_process_that_hangs_on_a_file_keeps_the_job_until_it_ends(tmp_path: Path) -> None:
    """On one machine the system itself keeps the lock, so that no two ever hold it, however slow one is."""
    database = database_in(tmp_path, "sqlite")
    with opened(database) as ledger, holding_process(database) as process:
        os.kill(process.pid, signal.SIGSTOP)
        campaign = ledger.campaign(JOB)
        for _ in range(100):
            assert campaign.holds() is False
        process.kill()
        until(campaign.holds)
        assert campaign.term == 2
