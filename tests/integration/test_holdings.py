"""Signing in without naming a license: all that a customer holds of a product is looked at, and limits hold."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import pytest

from ledger.envelope import StoredEventDisagreesError
from ledger.errors import TooManyLicensesError, TooManyNewUsersError
from ledger.ledger import Ledger
from ledger.license.access import AccessCode
from ledger.license.decisions import (
    absorb_twin,
    decide_succession,
    identify_license,
    issue_license,
    observe_subscription,
)
from ledger.license.events import BlockReason, KeyKind, LapseReason, LicenseId, SuccessionReason
from ledger.license.holding import Holding
from ledger.seats import AccessAnswer, Change, SeatChange
from ledger.store import Store
from ledger.transaction import LICENSES_HELD_MAX, Transaction, Work
from tests.integration.ledgers import (
    activated,
    at_once,
    everything,
    execute,
    issue,
    lapse,
    license_now,
    opened,
    store_on,
    tables_of,
)
from tests.integration.ledgers import held as writer_held
from tests.integration.ledgers import waiting as writer_waiting
from tests.integration.test_store_fixtures import load_stored
from tests.stories import (
    ACCOUNT,
    ADA_SIGNS_IN,
    ADMIN,
    CLIENT,
    GRACE_SIGNS_IN,
    KATHERINE_SIGNS_IN,
    MARKETPLACE,
    PRODUCT_CODE,
    RENEWS_AT,
    Clock,
    colleague,
)

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = (KeyKind.PRODUCT, "prod-softphone")
HELD: Final = Holding(ACCOUNT[1], PRODUCT[1])
YEAR: Final = timedelta(days=365)


def license_id_of(number: int) -> LicenseId:
    """The ids of the company's licenses, in their order."""
    return LicenseId(f"{number:08x}-0000-4000-8000-000000000000")


FIRST: Final = license_id_of(1)
SECOND: Final = license_id_of(2)


def buy(ledger: Ledger, number: int, *, seats_max: int = 1, renews_at: datetime = RENEWS_AT) -> LicenseId:
    """Ada's company buys once more."""
    names = ((KeyKind.AGREEMENT, f"agmt-{number}"), ACCOUNT, PRODUCT)
    return issue(ledger, seats_max=seats_max, license_id=license_id_of(number), names=names, renews_at=renews_at)


def identify(ledger: Ledger, license_id: LicenseId, *names: tuple[KeyKind, str]) -> None:
    """A license becomes known by more names."""

    def decide(transaction: Transaction) -> None:
        transaction.append(license_id, identify_license(transaction.license(license_id), names=names))

    ledger.submit(Work(decide=decide, caller=MARKETPLACE, licenses=(license_id,)))


def succeed_listing(ledger: Ledger, license_id: LicenseId, *, product_code: str) -> None:
    """An operator says that a license goes on under another listing."""

    def decide(transaction: Transaction) -> None:
        decided = decide_succession(
            transaction.license(license_id),
            key=(KeyKind.AGREEMENT, "agmt-of-another-listing"),
            product_code=product_code,
            reason=SuccessionReason.NEW_LISTING,
        )
        transaction.append(license_id, decided)

    ledger.submit(Work(decide=decide, caller=ADMIN, licenses=(license_id,)))


def told(answer: AccessAnswer) -> tuple[str, LicenseId | None]:
    """The code and the license."""
    return answer.code, answer.license.license_id if answer.license else None


@pytest.fixture
def clock() -> Clock:
    """It is noon."""
    return Clock()


@pytest.fixture
def ledger(database: Path, clock: Clock) -> Iterator[Ledger]:
    """Nothing was bought yet."""
    with opened(database, now=clock) as ledger:
        yield ledger


# -- the choice --------------------------------------------------------------------------------------------------------


def test_seats_are_taken_where_they_last_longest_until_none_is_free(ledger: Ledger) -> None:
    """Each user takes one seat, and keeps it; who only asks takes none."""
    buy(ledger, 1)
    buy(ledger, 2, renews_at=RENEWS_AT + YEAR)
    asked = ledger.seats.access_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)
    assert (*told(asked), asked.seat_id) == ("NO_SEAT", SECOND, None)
    sign_in = partial(ledger.seats.sign_in_among, HELD, caller=CLIENT)
    assert told(sign_in(user=ADA_SIGNS_IN)) == ("ALLOWED", SECOND)
    assert told(sign_in(user=GRACE_SIGNS_IN)) == ("ALLOWED", FIRST)
    assert told(sign_in(user=KATHERINE_SIGNS_IN)) == ("NO_SEAT_FREE", SECOND)
    again = sign_in(user=ADA_SIGNS_IN)
    assert told(again) == ("ALLOWED", SECOND)
    assert again.position == ledger.head().position
    assert told(ledger.seats.access_among(HELD, user=GRACE_SIGNS_IN, caller=CLIENT)) == ("ALLOWED", FIRST)


def test_a_block_under_one_license_keeps_the_user_out_of_all(ledger: Ledger) -> None:
    """Although another has a free seat and the user's seat."""
    buy(ledger, 1)
    buy(ledger, 2)
    ledger.seats.activate(FIRST, user=ADA_SIGNS_IN, caller=CLIENT)
    ledger.seats.block_user(SECOND, user=ADA_SIGNS_IN, reason=BlockReason.LEFT, note=None, caller=ADMIN)
    assert told(ledger.seats.sign_in_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)) == ("USER_BLOCKED", SECOND)


def test_a_user_moves_on_when_a_contract_ends(ledger: Ledger) -> None:
    """The new seat is under the license that can be used."""
    buy(ledger, 1)
    ledger.seats.activate(FIRST, user=ADA_SIGNS_IN, caller=CLIENT)
    lapse(ledger, reason=LapseReason.CANCELLED, license_id=FIRST)
    assert told(ledger.seats.sign_in_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)) == ("SUBSCRIPTION_LAPSED", FIRST)
    buy(ledger, 2)
    assert told(ledger.seats.sign_in_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)) == ("ALLOWED", SECOND)


def test_listed_licenses_are_chosen_from_like_those_of_a_customer(ledger: Ledger) -> None:
    """One that is not there is none of them."""
    buy(ledger, 1)
    buy(ledger, 2)
    sign_in = partial(ledger.seats.sign_in_among, caller=CLIENT)
    assert told(sign_in((SECOND, license_id_of(3)), user=ADA_SIGNS_IN)) == ("ALLOWED", SECOND)
    assert told(sign_in((SECOND, FIRST), user=GRACE_SIGNS_IN)) == ("ALLOWED", FIRST)
    nowhere = sign_in((license_id_of(3),), user=ADA_SIGNS_IN)
    assert (*told(nowhere), nowhere.usable_until) == ("LICENSE_NOT_FOUND", None, None)
    assert told(sign_in((), user=ADA_SIGNS_IN)) == ("LICENSE_NOT_FOUND", None)


def test_what_another_customer_or_another_product_holds_does_not_count(ledger: Ledger) -> None:
    """Neither does a license of which the customer is not known."""
    issue(ledger, seats_max=1, license_id=FIRST, names=((KeyKind.AGREEMENT, "agmt-1"), PRODUCT))
    issue(ledger, seats_max=1, license_id=SECOND, names=((KeyKind.ACCOUNT, "444455556666"), PRODUCT))
    third = license_id_of(3)
    issue(ledger, seats_max=1, license_id=third, names=(ACCOUNT, (KeyKind.PRODUCT, "prod-recorder")))
    assert told(ledger.seats.sign_in_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)) == ("LICENSE_NOT_FOUND", None)
    identify(ledger, FIRST, ACCOUNT)
    assert told(ledger.seats.sign_in_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)) == ("ALLOWED", FIRST)


def test_a_license_is_held_by_whoever_has_it_now(ledger: Ledger) -> None:
    """Its former customer finds it no more."""
    buy(ledger, 1)
    identify(ledger, FIRST, (KeyKind.ACCOUNT, "444455556666"))
    assert told(ledger.seats.access_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)) == ("LICENSE_NOT_FOUND", None)
    theirs = Holding("444455556666", PRODUCT[1])
    assert told(ledger.seats.access_among(theirs, user=ADA_SIGNS_IN, caller=CLIENT)) == ("NO_SEAT", FIRST)


def test_a_key_that_was_made_with_an_earlier_name_goes_on_finding_the_license(ledger: Ledger) -> None:
    """AWS comes to name the account of a legacy customer, who then goes on under another listing."""
    issue(ledger, seats_max=1, license_id=FIRST, names=((KeyKind.CUSTOMER, f"{PRODUCT_CODE}/ada-lovelace-ltd"),))
    identify(ledger, FIRST, ACCOUNT)
    succeed_listing(ledger, FIRST, product_code="another-code")
    identify(ledger, FIRST, PRODUCT)
    for customer_id in ("ada-lovelace-ltd", ACCOUNT[1]):
        for product in (PRODUCT_CODE, "another-code", PRODUCT[1]):
            answer = ledger.seats.sign_in_among(Holding(customer_id, product), user=ADA_SIGNS_IN, caller=CLIENT)
            assert told(answer) == ("ALLOWED", FIRST)


def test_for_a_folded_twin_the_license_in_its_place_answers(ledger: Ledger) -> None:
    """To its customer, and to a key that lists the twin."""
    buy(ledger, 1)
    buy(ledger, 2, renews_at=RENEWS_AT + YEAR)
    assert told(ledger.seats.access_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)) == ("NO_SEAT", SECOND)

    def fold(transaction: Transaction) -> None:
        absorbed, folded = absorb_twin(transaction.license(FIRST), transaction.license(SECOND), succeeds=True)
        transaction.append(SECOND, folded)
        transaction.append(FIRST, absorbed)

    ledger.submit(Work(decide=fold, caller=MARKETPLACE, licenses=(FIRST, SECOND)))
    assert told(ledger.seats.access_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)) == ("NO_SEAT", FIRST)
    listed = partial(ledger.seats.access_among, user=ADA_SIGNS_IN, caller=CLIENT)
    assert told(listed((SECOND,))) == ("NO_SEAT", FIRST)
    assert told(listed((SECOND, FIRST))) == ("NO_SEAT", FIRST)


def test_a_product_is_found_by_its_code_too(ledger: Ledger) -> None:
    """Of a legacy customer nothing else is known: the identifier stands for the account, the code for the id."""
    issue(ledger, seats_max=1, license_id=FIRST, names=((KeyKind.CUSTOMER, f"{PRODUCT_CODE}/ada-lovelace-ltd"),))
    legacy = Holding("ada-lovelace-ltd", PRODUCT_CODE)
    assert told(ledger.seats.sign_in_among(legacy, user=ADA_SIGNS_IN, caller=CLIENT)) == ("ALLOWED", FIRST)
    buy(ledger, 2)
    by_code = Holding(ACCOUNT[1], PRODUCT_CODE)
    assert told(ledger.seats.sign_in_among(by_code, user=ADA_SIGNS_IN, caller=CLIENT)) == ("ALLOWED", SECOND)


def test_a_user_who_is_known_under_any_of_the_licenses_is_not_new(ledger: Ledger) -> None:
    """The limit of a client key counts those of whom nothing was heard."""
    buy(ledger, 1)
    ledger.seats.activate(FIRST, user=ADA_SIGNS_IN, caller=ADMIN)
    lapse(ledger, reason=LapseReason.EXPIRED, license_id=FIRST)
    buy(ledger, 2, seats_max=5)
    sign_in = partial(ledger.seats.sign_in_among, HELD, caller=CLIENT, new_users_max=1)
    assert told(sign_in(user=ADA_SIGNS_IN)) == ("ALLOWED", SECOND)
    assert told(sign_in(user=GRACE_SIGNS_IN)) == ("ALLOWED", SECOND)
    with pytest.raises(TooManyNewUsersError):
        sign_in(user=KATHERINE_SIGNS_IN)
    with pytest.raises(TooManyNewUsersError):
        ledger.seats.sign_in(SECOND, user=KATHERINE_SIGNS_IN, caller=CLIENT, new_users_max=1)
    assert told(sign_in(user=ADA_SIGNS_IN)) == ("ALLOWED", SECOND)


# -- many at once ------------------------------------------------------------------------------------------------------


def test_20_callers_on_two_licenses_with_one_free_seat_each_take_two(database: Path) -> None:
    """In two ledgers on one database; everybody else is told that none is free."""
    with opened(database) as one, opened(database) as other:
        buy(one, 1)
        buy(one, 2)
        calls = [
            partial((one, other)[number % 2].seats.sign_in_among, HELD, user=colleague(number), caller=CLIENT)
            for number in range(20)
        ]
        answers = at_once(*calls)
        codes = Counter(answer.code if isinstance(answer, AccessAnswer) else repr(answer) for answer in answers)
        assert codes == {AccessCode.ALLOWED: 2, AccessCode.NO_SEAT_FREE: 18}
        assert [license_now(one, license_id).seats_active for license_id in (FIRST, SECOND)] == [1, 1]


def test_one_user_signing_in_from_20_places_takes_one_seat(database: Path) -> None:
    """Under one license, though others have free ones."""
    with opened(database) as one, opened(database) as other:
        buy(one, 1, seats_max=20)
        buy(one, 2, seats_max=20)
        calls = [
            partial((one, other)[number % 2].seats.sign_in_among, HELD, user=ADA_SIGNS_IN, caller=CLIENT)
            for number in range(20)
        ]
        answers = at_once(*calls)
        assert len({getattr(answer, "seat_id", answer) for answer in answers}) == 1
        assert activated(everything(one)) == ["Ada Lovelace"]


SIGN_IN_IN_A_PROCESS = """
import sys
import structlog
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from ledger.times import system_now
from tests.integration.ledgers import opened
from tests.integration.test_holdings import HELD
from tests.stories import CLIENT, colleague

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

def sign_in(number):
    return ledger.seats.sign_in_among(HELD, user=colleague(number), caller=CLIENT).code == "ALLOWED"

with opened(Path(sys.argv[1]), now=system_now) as ledger, ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(sign_in, range(int(sys.argv[2]), int(sys.argv[2]) + 60))))
"""


def test_three_processes_keep_the_limits_of_all_licenses(database: Path) -> None:
    """Users who come through two processes take one seat; the seats of every license are taken, and no more."""
    sizes = {1: 5, 2: 40, 3: 15}
    with opened(database) as ledger:
        for number, seats_max in sizes.items():
            buy(ledger, number, seats_max=seats_max)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", SIGN_IN_IN_A_PROCESS, str(database), str(first)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for first in (0, 30, 60)
        ]
        allowed = [int(process.communicate(timeout=90)[0]) for process in processes]
        names = activated(everything(ledger))
        assert len(names) == len(set(names)) == 60
        assert sum(allowed) >= 60
        assert {n: license_now(ledger, license_id_of(n)).seats_active for n in sizes} == sizes


def test_a_license_bought_in_the_same_batch_is_found(ledger: Ledger) -> None:
    """The second of two decisions that are written together sees what the first did."""
    buy(ledger, 1)

    def buy_second(transaction: Transaction) -> None:
        names = ((KeyKind.AGREEMENT, "agmt-2"), ACCOUNT, PRODUCT)
        issued = issue_license(transaction.any_license(SECOND), product_code=PRODUCT_CODE, names=names)
        license_ = transaction.append(SECOND, issued)
        renews_at = RENEWS_AT + YEAR
        started = observe_subscription(license_, seats_max=1, renews_at=renews_at, confirmed=True)
        transaction.append(SECOND, started)

    with writer_held(ledger) as go_on:
        threads, answers = writer_waiting(
            ledger,
            partial(ledger.submit, Work(decide=buy_second, caller=MARKETPLACE)),
            partial(ledger.seats.access_among, HELD, user=ADA_SIGNS_IN, caller=CLIENT),
        )
        go_on.set()
        for thread in threads:
            thread.join(timeout=30)
    assert isinstance(answers[1], AccessAnswer)
    assert told(answers[1]) == ("NO_SEAT", SECOND)


def test_who_only_asks_does_not_wait_for_another_process_that_writes(database: Path) -> None:
    """Not even where no license is known yet: they are read in the snapshot of the question."""
    with opened(database) as ledger, opened(database) as other:
        buy(ledger, 1)
        buy(ledger, 2)
        taken = ledger.seats.activate(SECOND, user=ADA_SIGNS_IN, caller=CLIENT)
        # From here on the other knows the access policy, and no license.
        assert other.keys.issue_first(name="first", secret="a secret of the first", caller=ADMIN)
        with writer_held(ledger) as go_on:
            answer = other.seats.sign_in_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)
            assert (*told(answer), answer.position) == ("ALLOWED", SECOND, taken.position + 1)
            go_on.set()


# -- how much is read --------------------------------------------------------------------------------------------------


class CountingStore:
    """A store that counts what is asked of it."""

    def __init__(self, database: Path) -> None:
        """Nothing was asked yet."""
        self._store = store_on(database)
        self.asked: Counter[str] = Counter()

    def open(self, _: Path) -> Store:
        """The store, opened."""
        return cast("Store", self)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- as it is
        """Whatever is asked, counted where it is a call."""
        value = getattr(self._store, name)
        return partial(self._count, name, value) if callable(value) and name not in {"secret", "clock"} else value

    def _count(self, name: str, ask: Callable[..., object], *args: object, **kwargs: object) -> object:
        self.asked[name] += 1
        return ask(*args, **kwargs)


@pytest.mark.parametrize("count", [1, 40])
def test_many_licenses_are_read_in_as_few_questions_as_one(database: Path, count: int) -> None:
    """By a process that has just started; afterwards only the holding and the seats are asked for."""
    with opened(database) as ledger:
        for number in range(count):
            buy(ledger, number)
    store = CountingStore(database)
    with opened(database, open_store=store.open) as cold:
        cold.keys.issue_first(name="first", secret="a secret of the first", caller=ADMIN)
        store.asked.clear()
        assert cold.seats.access_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT).code == "NO_SEAT"
        assert store.asked == {
            "look": 1,
            "licenses_held": 1,
            "snapshots_of": 1,
            "events_of": 1,
            "directory": 1,
            "rollback": 1,
        }
        store.asked.clear()
        assert cold.seats.access_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT).code == "NO_SEAT"
        assert store.asked == {"look": 1, "licenses_held": 1, "directory": 1, "rollback": 1}


def test_a_large_license_is_read_from_its_snapshot(database: Path) -> None:
    """The state is the same as by its events."""
    with opened(database) as ledger:
        buy(ledger, 1, seats_max=3_000)
        buy(ledger, 2)
        for first in range(0, 2_000, 1_000):
            changes = [SeatChange(change=Change.ACTIVATE, user=colleague(first + n)) for n in range(1_000)]
            ledger.seats.change_many(FIRST, changes=changes, caller=ADMIN)
        state = license_now(ledger, FIRST)
    assert execute(database, "SELECT count(*) FROM snapshots") != [(0,)]
    with opened(database) as cold:
        answer = cold.seats.access_among(HELD, user=colleague(7), caller=CLIENT)
        assert told(answer) == ("ALLOWED", FIRST)
        assert answer.license == state


@pytest.mark.timeout(300)
def test_a_thousand_licenses_are_looked_at_and_more_are_refused(ledger: Ledger) -> None:
    """Rather than overlook a block under one of them; the sentence says what to do, and nothing changes."""

    def decide(transaction: Transaction) -> None:
        for number in range(LICENSES_HELD_MAX):
            license_id = license_id_of(number)
            names = ((KeyKind.AGREEMENT, f"agmt-{number}"), ACCOUNT, PRODUCT)
            issued = issue_license(transaction.any_license(license_id), product_code=PRODUCT_CODE, names=names)
            license_ = transaction.append(license_id, issued)
            started = observe_subscription(license_, seats_max=1, renews_at=RENEWS_AT, confirmed=True)
            transaction.append(license_id, started)

    ledger.submit(Work(decide=decide, caller=MARKETPLACE))
    last = license_id_of(LICENSES_HELD_MAX - 1)
    ledger.seats.block_user(last, user=GRACE_SIGNS_IN, reason=BlockReason.LEFT, note=None, caller=ADMIN)
    assert told(ledger.seats.sign_in_among(HELD, user=GRACE_SIGNS_IN, caller=CLIENT)) == ("USER_BLOCKED", last)
    assert told(ledger.seats.sign_in_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)) == ("ALLOWED", license_id_of(0))
    buy(ledger, LICENSES_HELD_MAX)
    head = ledger.head()
    with pytest.raises(TooManyLicensesError, match="more than 1,000 licenses"):
        ledger.seats.sign_in_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)
    with pytest.raises(TooManyLicensesError):
        ledger.seats.access_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)
    assert ledger.head() == head
    assert told(ledger.seats.sign_in_among((last,), user=ADA_SIGNS_IN, caller=CLIENT)) == ("ALLOWED", last)


def test_a_damaged_license_is_the_trouble_of_its_customer_alone(database: Path) -> None:
    """Whoever asks beside it is answered."""
    theirs = Holding("444455556666", PRODUCT[1])
    with opened(database) as ledger:
        buy(ledger, 1)
        issue(ledger, seats_max=1, license_id=SECOND, names=((KeyKind.ACCOUNT, theirs.customer_id), PRODUCT))
    execute(database, "UPDATE stored_events SET state = :state WHERE originator_id = :id", state=b"{}", id=FIRST)
    with opened(database) as cold:
        answers = at_once(
            partial(cold.seats.sign_in_among, HELD, user=ADA_SIGNS_IN, caller=CLIENT),
            partial(cold.seats.sign_in_among, theirs, user=GRACE_SIGNS_IN, caller=CLIENT),
        )
        assert isinstance(answers[0], StoredEventDisagreesError)
        assert isinstance(answers[1], AccessAnswer)
        assert told(answers[1]) == ("ALLOWED", SECOND)


# -- the table ---------------------------------------------------------------------------------------------------------


def test_holdings_are_made_again_from_the_events_where_they_are_missing(database: Path) -> None:
    """A ledger of an earlier version has none; what is made is what would have been written."""
    with opened(database) as ledger:
        for number in (1, 2, 3):
            buy(ledger, number)
        issue(ledger, seats_max=1, license_id=license_id_of(4), names=((KeyKind.CUSTOMER, f"{PRODUCT_CODE}/legacy"),))
        identify(ledger, FIRST, (KeyKind.ACCOUNT, "444455556666"))
        succeed_listing(ledger, SECOND, product_code="another-code")
    rows = "SELECT customer_id, product, license_id FROM holdings ORDER BY 1, 2, 3"
    written = execute(database, rows)
    assert len(written) == 3 * 2 + 1 + 2 + 1
    execute(database, "DROP TABLE holdings")
    with opened(database) as again:
        assert told(again.seats.access_among(HELD, user=ADA_SIGNS_IN, caller=CLIENT)) == ("NO_SEAT", SECOND)
    former = [(ACCOUNT[1], product, FIRST) for product in sorted((PRODUCT_CODE, PRODUCT[1]))]
    assert execute(database, rows) == [row for row in written if row not in former]
    execute(database, "DELETE FROM holdings")
    with opened(database):
        assert execute(database, rows) == []


def test_a_ledger_that_was_stored_before_gets_them(database: Path) -> None:
    """The licenses of its customers are found without being named."""
    load_stored(database)
    assert "holdings" not in tables_of(database)
    with opened(database, now=Clock()) as ledger:
        answer = ledger.seats.access_among(Holding(ACCOUNT[1], PRODUCT_CODE), user=ADA_SIGNS_IN, caller=CLIENT)
        assert answer.license is not None
