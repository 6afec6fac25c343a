"""Many callers at once, in one process and in several: limits hold, positions have no gaps, nobody waits for ever."""

import subprocess
import sys
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from ledger.errors import LicenseIsNotFoundError, QueueIsFullError, UnavailableError
from ledger.ledger import Ledger
from ledger.license.access import AccessCode
from ledger.license.decisions import NoSeatIsFreeError, issue_license
from ledger.license.events import CompanyRegistered, Contact, LicenseId, Personal
from ledger.seats import SeatAnswer
from ledger.transaction import Transaction, Work
from tests.integration.ledgers import activated, at_once, everything, held, issue, license_now, opened, until, waiting
from tests.stories import (
    ADA_SIGNS_IN,
    ADMIN,
    AGREEMENT,
    CLIENT,
    GRACE_SIGNS_IN,
    KATHERINE_SIGNS_IN,
    LICENSE,
    MARKETPLACE,
    NOON,
    OTHER_LICENSE,
    PRODUCT_CODE,
    Clock,
    colleague,
)

ROOT = Path(__file__).parents[2]


def test_64_threads_take_exactly_the_50_seats(database: Path) -> None:
    """50 get a seat, 14 are told that none is free, and each who got one is recorded once."""
    with opened(database) as ledger:
        issue(ledger, seats_max=50)
        calls = [partial(ledger.seats.activate, LICENSE, user=colleague(n), caller=CLIENT) for n in range(64)]
        answers = at_once(*calls)
        seated = [answer.seat.user for answer in answers if isinstance(answer, SeatAnswer)]
        assert len(seated) == 50
        assert sum(isinstance(answer, NoSeatIsFreeError) for answer in answers) == 14
        assert sorted(activated(everything(ledger))) == sorted(seated)


def test_one_user_signing_in_from_32_places_takes_one_seat(database: Path) -> None:
    """Everybody gets the same seat, and one event is recorded."""
    with opened(database) as ledger:
        issue(ledger, seats_max=50)
        answers = at_once(*[partial(ledger.seats.sign_in, LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)] * 32)
        assert len({getattr(answer, "seat_id", answer) for answer in answers}) == 1
        assert activated(everything(ledger)) == ["Ada Lovelace"]


def test_two_ledgers_on_one_database_keep_one_limit(database: Path) -> None:
    """Each brings its states up to date with what the other wrote before it decides."""
    with opened(database) as one, opened(database) as other:
        issue(one, seats_max=20)
        calls = [
            partial((one, other)[number % 2].seats.activate, LICENSE, user=colleague(number // 2), caller=CLIENT)
            for number in range(64)
        ]
        answers = at_once(*calls)
        assert sum(isinstance(answer, NoSeatIsFreeError) for answer in answers) == 24
        names = activated(everything(one))
        assert len(names) == len(set(names)) == 20
        assert license_now(one) == license_now(other)
        assert license_now(one).seats_active == 20


ACTIVATE_IN_A_PROCESS = """
import sys
import structlog
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from ledger.errors import RefusedError
from ledger.times import system_now
from tests.integration.ledgers import opened
from tests.stories import CLIENT, LICENSE, colleague

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

def activate(number):
    try:
        return ledger.seats.activate(LICENSE, user=colleague(number), caller=CLIENT).took_seat
    except RefusedError:
        return False

with opened(Path(sys.argv[1]), now=system_now) as ledger, ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(activate, range(int(sys.argv[2]), int(sys.argv[2]) + 100))))
"""


def test_three_processes_on_one_database_keep_one_limit(database: Path) -> None:
    """300 users, some in two processes, on 120 seats: exactly 120 take one, positions have no gap."""
    with opened(database) as ledger:
        issue(ledger, seats_max=120)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", ACTIVATE_IN_A_PROCESS, str(database), str(first)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for first in (0, 50, 100)
        ]
        took = [int(process.communicate(timeout=90)[0]) for process in processes]
        assert sum(took) == 120
        names = activated(everything(ledger))
        assert len(names) == len(set(names)) == 120
        assert license_now(ledger).seats_active == 120


def test_one_purchase_heard_of_in_many_threads_and_two_ledgers_is_one_license(database: Path) -> None:
    """The key is looked up under the lock, so that the second to hear of it finds the first one's license."""

    def hear(ledger: Ledger) -> LicenseId:
        def decide(transaction: Transaction) -> LicenseId:
            known = transaction.license_of(*AGREEMENT)
            license_id = known or LicenseId(str(uuid4()))
            license_ = transaction.any_license(license_id)
            transaction.append(license_id, issue_license(license_, product_code=PRODUCT_CODE, names=(AGREEMENT,)))
            return license_id

        return ledger.submit(Work(decide=decide, caller=MARKETPLACE, keys=(AGREEMENT,)))

    with opened(database) as one, opened(database) as other:
        heard = at_once(*[partial(hear, ledger) for ledger in (one, other) for _ in range(16)])
        assert len(set(map(str, heard))) == 1
        assert len(everything(one)) == 2


def test_a_bad_command_fails_alone(database: Path) -> None:
    """Of those that wait together one breaks, one is too long, one is refused: the others are carried out."""

    def break_down(_: Transaction) -> None:
        msg = "a mistake of ours"
        raise ZeroDivisionError(msg)

    def append_too_much(transaction: Transaction) -> None:
        endless = Contact(name="n" * 70_000, email="a@b.example", phone=None)
        registered = CompanyRegistered(company_name="Endless", contact=_personal(endless))
        transaction.append(LICENSE, [registered])

    with opened(database) as ledger:
        issue(ledger, seats_max=1)
        with held(ledger) as go_on:
            threads, answers = waiting(
                ledger,
                partial(ledger.seats.activate, LICENSE, user=ADA_SIGNS_IN, caller=CLIENT),
                partial(ledger.submit, Work(decide=break_down, caller=ADMIN)),
                partial(ledger.submit, Work(decide=append_too_much, caller=ADMIN, licenses=(LICENSE,))),
                partial(ledger.seats.activate, LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT),
                partial(ledger.seats.activate, OTHER_LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT),
                partial(ledger.seats.activate, LICENSE, user=ADA_SIGNS_IN, caller=CLIENT),
            )
            go_on.set()
            for thread in threads:
                thread.join(timeout=30)
        assert [type(answer).__name__ for answer in answers] == [
            "SeatAnswer",
            "ZeroDivisionError",
            "EnvelopeIsTooLargeError",
            "NoSeatIsFreeError",
            LicenseIsNotFoundError.__name__,
            "SeatAnswer",
        ]
        assert activated(everything(ledger)) == ["Ada Lovelace"]
        assert license_now(ledger).company_name is None


def _personal(contact: Contact) -> Personal[Contact]:
    return Personal("contact", contact)


def test_the_commands_of_a_batch_see_one_another(database: Path) -> None:
    """What waits together is decided in turn: the second user finds the seat of the first taken, the third none."""
    with opened(database) as ledger:
        issue(ledger, seats_max=2)
        users = (ADA_SIGNS_IN, GRACE_SIGNS_IN, ADA_SIGNS_IN, KATHERINE_SIGNS_IN)
        with held(ledger) as go_on:
            threads, answers = waiting(
                ledger, *(partial(ledger.seats.activate, LICENSE, user=user, caller=CLIENT) for user in users)
            )
            go_on.set()
            for thread in threads:
                thread.join(timeout=30)
        assert [getattr(answer, "took_seat", None) for answer in answers] == [True, True, False, None]
        assert isinstance(answers[3], NoSeatIsFreeError)
        appends = [one.recorded_at for one in everything(ledger)]
        assert len(set(appends)) == 3


def test_a_full_queue_refuses_at_once_and_loses_nothing(database: Path) -> None:
    """As many wait as may; the next is told to come again; those who waited are answered."""
    with opened(database, waiting_max=3) as ledger:
        issue(ledger, seats_max=10)
        calls = [partial(ledger.seats.activate, LICENSE, user=colleague(n), caller=CLIENT) for n in range(4)]
        with held(ledger) as go_on:
            threads, answers = waiting(ledger, *calls[:3])
            with pytest.raises(QueueIsFullError):
                calls[3]()
            go_on.set()
            for thread in threads:
                thread.join(timeout=30)
        assert all(isinstance(answer, SeatAnswer) for answer in answers)
        assert isinstance(calls[3](), SeatAnswer)


def test_closing_answers_those_who_wait_and_refuses_those_who_come(database: Path) -> None:
    """A stop loses nothing that was taken in, and takes nothing in that it would lose."""
    with opened(database, waiting_max=8) as ledger:
        issue(ledger, seats_max=10)
        calls = [partial(ledger.seats.activate, LICENSE, user=colleague(n), caller=CLIENT) for n in range(8)]
        with held(ledger) as go_on:
            threads, answers = waiting(ledger, *calls)
            closing = threading.Thread(target=ledger.close)
            closing.start()
            until(lambda: _refuses(ledger))
            closing_too = threading.Thread(target=ledger.close)
            closing_too.start()
            go_on.set()
            for thread in (*threads, closing, closing_too):
                thread.join(timeout=30)
                assert not thread.is_alive()
        assert all(isinstance(answer, SeatAnswer) for answer in answers)
        with pytest.raises(UnavailableError):
            calls[0]()
    with opened(database) as again:
        assert len(activated(everything(again))) == 8


def _refuses(ledger: Ledger) -> bool:
    try:
        ledger.seats.access(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
    except QueueIsFullError:
        return False
    except UnavailableError:
        return True
    return False


def test_recorded_times_grow_even_when_the_clock_goes_back(database: Path) -> None:
    """A clock set back by an hour does not turn the order of appends around."""
    clock = Clock()
    with opened(database, now=clock) as ledger:
        issue(ledger, seats_max=3)
        for hours in (1, -1, 0):
            clock.move(timedelta(hours=hours))
            ledger.seats.activate(LICENSE, user=colleague(hours), caller=CLIENT)
        times = [one.recorded_at - NOON for one in everything(ledger)[3:]]
        hour = timedelta(hours=1)
        tick = timedelta(microseconds=1)
        assert times == [hour, hour + tick, hour + 2 * tick]


def test_who_only_asks_does_not_wait_for_another_process_that_writes(database: Path) -> None:
    """May this user work, a sign-in of one who has a seat, and a preview are answered while the append lock is held."""
    with opened(database) as ledger, opened(database) as other:
        issue(ledger, seats_max=2)
        ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT)
        # From here on the other knows the license, if not yet of Grace.
        assert other.seats.access(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).code is AccessCode.ALLOWED
        taken = ledger.seats.activate(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
        with held(ledger) as go_on:
            signed_in = other.seats.sign_in(LICENSE, user=GRACE_SIGNS_IN, caller=CLIENT)
            assert (signed_in.code, signed_in.position) == (AccessCode.ALLOWED, taken.position)
            refused = other.seats.access(LICENSE, user=KATHERINE_SIGNS_IN, caller=CLIENT)
            assert (refused.code, refused.position) == (AccessCode.NO_SEAT, taken.position)
            assert other.seats.preview(LICENSE, seats_max=1, caller=ADMIN).limit.seats_deleted == 2
            go_on.set()
        assert len(everything(ledger)) == taken.position
