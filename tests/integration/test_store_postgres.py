"""The store on PostgreSQL: what it refuses to open, each in one line, and what an address may say all the same."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final
from urllib.parse import quote

import pytest

from ledger.ledger import Ledger, LedgerSettings
from ledger.license.decisions import NoSeatIsFreeError
from ledger.seats import SeatAnswer
from ledger.store import RememberedAnswer, Rows, StoreCannotOpenError, StoreError
from ledger.store.postgres import PostgresStore
from ledger.store.tables import SCHEMA_VERSION
from ledger.store.url import DatabaseUrl
from tests.integration.ledgers import activated, at_once, everything, issue, license_now, observe, rows_of, until
from tests.services.postgres import PASSWORD, PostgresServer
from tests.services.processes import free_port
from tests.stories import ADA_SIGNS_IN, CLIENT, LICENSE, NOON, colleague

SECRET: Final = "secret-of-the-role"


def open_store(url: str) -> PostgresStore:
    """The store at an address."""
    return PostgresStore(DatabaseUrl.parse(url), readers_max=2)


@contextmanager
def ledger_at(url: str) -> Iterator[Ledger]:
    """The ledger at an address, by the database's clock."""
    ledger = Ledger.open(LedgerSettings(url=DatabaseUrl.parse(url), readers_max=2))
    try:
        yield ledger
    finally:
        ledger.close()


def refusal(url: str) -> str:
    """The line with which an address is refused; nothing of the try stays connected, and no password is told."""
    with pytest.raises(StoreCannotOpenError) as refused:
        open_store(url)
    line = str(refused.value)
    assert "\n" not in line
    assert line.endswith(".")
    assert PASSWORD not in line
    assert SECRET not in line
    return line


def sessions(server: PostgresServer, url: str) -> int:
    """How many connections of ours a database has."""
    name = url.rpartition("/")[2].partition("?")[0]
    counted = server.execute(
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND application_name LIKE 'licensing-ledger%'"  # noqa: S608 -- own names
    )
    return int(counted[0][0])


@pytest.fixture
def role(postgres: PostgresServer, postgres_database: str) -> Iterator[str]:
    """A role that may connect and nothing else."""
    name = f"role_of_{postgres_database.rpartition('/')[2]}"[:60]
    postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}'")
    yield name
    postgres.execute(f"DROP OWNED BY {name}", database=postgres_database.rpartition("/")[2])
    postgres.execute(f"DROP ROLE {name}")


# -- what is refused -----------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_refused() -> None:
    """Nobody listens at the port."""
    line = refusal(f"postgresql://ada:{SECRET}@127.0.0.1:{free_port()}/ledger")
    assert line.startswith("The ledger's database postgresql://ada@127.0.0.1:")
    assert "Connection refused" in line


def test_a_host_without_an_address_is_refused() -> None:
    """Its name is told."""
    assert "nowhere.invalid" in refusal(f"postgresql://ada:{SECRET}@nowhere.invalid/ledger")


def test_an_option_that_libpq_does_not_take_is_refused(postgres_database: str) -> None:
    """A mistyped value is named with its option."""
    assert "sslmode" in refusal(f"{postgres_database}?sslmode=perhaps")


def test_a_wrong_password_is_refused(postgres: PostgresServer, postgres_database: str) -> None:
    """The line names the user, not what was tried."""
    wrong = postgres.url(postgres_database.rpartition("/")[2], password=SECRET)
    assert 'password authentication failed for user "postgres"' in refusal(wrong)


def test_a_database_that_is_not_there_is_refused(postgres: PostgresServer) -> None:
    """The ledger makes its tables, not its database."""
    assert 'database "nothing_here" does not exist' in refusal(postgres.url("nothing_here"))


def test_a_role_that_may_not_make_tables_is_refused(
    postgres: PostgresServer, postgres_database: str, role: str
) -> None:
    """The line says what permission is missing; nothing was made."""
    database = postgres_database.rpartition("/")[2]
    assert "permission denied for schema public" in refusal(postgres.url(database, user=role, password=SECRET))
    assert postgres.execute("SELECT to_regclass('head')", database=database) == [(None,)]


def test_a_role_that_may_only_read_and_write_rows_opens_a_ledger_that_is_there(
    postgres: PostgresServer, postgres_database: str, role: str
) -> None:
    """Somebody else made the tables; no right beyond the rows is asked for."""
    database = postgres_database.rpartition("/")[2]
    open_store(postgres_database).close()
    postgres.execute(
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}", database=database
    )
    with ledger_at(postgres.url(database, user=role, password=SECRET)) as ledger:
        issue(ledger, seats_max=2)
        assert ledger.seats.activate(LICENSE, user=ADA_SIGNS_IN, caller=CLIENT).position == 4
        assert ledger.campaign("views").holds()


def test_a_search_path_that_leads_nowhere_is_refused(postgres_database: str) -> None:
    """There is no place for the tables."""
    assert "no schema of the search path" in refusal(f"{postgres_database}?options=" + quote("-c search_path=nowhere"))


@pytest.mark.parametrize(("version", "age"), [(SCHEMA_VERSION + 1, "newer"), (SCHEMA_VERSION - 1, "older")])
def test_another_schema_is_refused_and_left_alone(
    postgres: PostgresServer, postgres_database: str, version: int, age: str
) -> None:
    """The line says whether the program or the ledger is the older one, and no table is added."""
    database = postgres_database.rpartition("/")[2]
    open_store(postgres_database).close()
    postgres.execute(f"UPDATE head SET schema_version = {version}", database=database)  # noqa: S608 -- a number
    postgres.execute("DROP TABLE new_users", database=database)
    assert f"schema {version}, {age} than" in refusal(postgres_database)
    assert postgres.execute("SELECT to_regclass('new_users')", database=database) == [(None,)]


@pytest.mark.parametrize("value", ["off", "local"])
@pytest.mark.parametrize("by", ["database", "address"])
def test_a_server_that_answers_before_it_has_written_is_refused(
    postgres: PostgresServer, postgres_database: str, by: str, value: str
) -> None:
    """Set for the database or asked for in the address: it would lose what was answered."""
    url = postgres_database
    if by == "database":
        postgres.execute(f'ALTER DATABASE "{url.rpartition("/")[2]}" SET synchronous_commit = {value}')
    else:
        url += "?options=" + quote(f"-c synchronous_commit={value}")
    assert f"has synchronous_commit {value}: it would lose what was answered" in refusal(url)


@pytest.mark.parametrize("value", ["on", "remote_write", "remote_apply"])
def test_a_server_that_writes_first_is_taken(postgres_database: str, value: str) -> None:
    """Whatever else it waits for."""
    open_store(f"{postgres_database}?options=" + quote(f"-c synchronous_commit={value}")).close()


def test_a_server_that_becomes_forgetful_is_not_written_to(postgres: PostgresServer, postgres_database: str) -> None:
    """A new connection is looked at like the first; when it is right again, it is taken."""
    database = postgres_database.rpartition("/")[2]
    store = open_store(postgres_database)
    postgres.execute(f'ALTER DATABASE "{database}" SET synchronous_commit = off')
    with pytest.raises(StoreError, match="synchronous_commit off"):
        store.reconnect()
    with pytest.raises(StoreError):
        store.begin()
    postgres.execute(f'ALTER DATABASE "{database}" RESET synchronous_commit')
    store.reconnect()
    assert store.begin().position == 0
    store.rollback()
    store.close()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_an_encoding_that_can_not_hold_every_name_is_refused(postgres: PostgresServer, encoding: str) -> None:
    """The line says how to make a database that can."""
    name = f"in_{encoding.lower()}"
    line = refusal(postgres.create_database(name, encoding=encoding))
    assert f"has the encoding {encoding}" in line
    assert "ENCODING 'UTF8'" in line
    postgres.drop_database(name)


@pytest.mark.parametrize("refused", ["schema", "synchronous_commit"])
def test_what_is_refused_leaves_no_connection(postgres: PostgresServer, postgres_database: str, refused: str) -> None:
    """A process that tries again and again does not use up the server."""
    database = postgres_database.rpartition("/")[2]
    open_store(postgres_database).close()
    if refused == "schema":
        postgres.execute("UPDATE head SET schema_version = 99", database=database)
    else:
        postgres.execute(f'ALTER DATABASE "{database}" SET synchronous_commit = off')
    refusal(postgres_database)
    until(lambda: sessions(postgres, postgres_database) == 0)


def test_nothing_stays_connected_after_a_close(postgres: PostgresServer, postgres_database: str) -> None:
    """Neither the writer nor readers nor the listener; closing twice is once."""
    store = open_store(postgres_database)
    store.head()
    store.on_append(lambda: None)
    assert sessions(postgres, postgres_database) >= 2
    store.close()
    store.close()
    until(lambda: sessions(postgres, postgres_database) == 0)
    with pytest.raises(StoreError):
        store.head()


def test_many_open_a_new_database_at_once(postgres_database: str) -> None:
    """One makes the schema, the others find it: all have the same ledger."""

    def open_it(_: int) -> str:
        store = open_store(postgres_database)
        ledger_id = store.head().ledger_id
        store.close()
        return ledger_id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(open_it, range(16)))) == 1


# -- what an address may say ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_the_limit_holds_under_any_isolation_level_of_the_address(postgres_database: str, isolation: str) -> None:
    """Four processes, each by its own connections, bring forty users to the last seat, time and again."""
    url = f"{postgres_database}?options=" + quote(f"-c default_transaction_isolation={isolation}".replace(" r", "\\ r"))
    with ExitStack() as stack:
        ledgers = [stack.enter_context(ledger_at(url)) for _ in range(4)]
        with ledgers[0].reading.connect() as connection:
            shown = connection.exec_driver_sql("SHOW default_transaction_isolation").scalar_one()
        assert shown == isolation
        issue(ledgers[0], seats_max=1)
        for seats in range(1, 6):
            observe(ledgers[0], seats_max=seats)
            answers = at_once(
                *[
                    partial(ledgers[n % 4].seats.activate, LICENSE, user=colleague(100 * seats + n), caller=CLIENT)
                    for n in range(40)
                ]
            )
            assert sum(isinstance(answer, SeatAnswer) for answer in answers) == 1
            assert sum(isinstance(answer, NoSeatIsFreeError) for answer in answers) == 39
        assert len(set(activated(everything(ledgers[1])))) == 5
        assert [license_now(one).seats_active for one in ledgers] == [5] * 4


def test_of_several_hosts_the_one_that_can_be_written_is_taken(
    postgres: PostgresServer, postgres_database: str
) -> None:
    """The first does not answer, the second does."""
    database = postgres_database.rpartition("/")[2]
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{postgres.port}"
    with ledger_at(f"postgresql://postgres:{PASSWORD}@{hosts}/{database}?target_session_attrs=read-write") as ledger:
        issue(ledger, seats_max=1)
        assert ledger.head().position == 3


def test_a_server_that_can_only_be_read_is_refused(postgres: PostgresServer, postgres_database: str) -> None:
    """A standby is no place for a ledger; where the address asks for another, there is none."""
    database = postgres_database.rpartition("/")[2]
    postgres.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
    assert "session is read-only" in refusal(f"{postgres_database}?target_session_attrs=read-write")


def test_the_address_has_the_last_word_about_time_limits_and_names(
    postgres: PostgresServer, postgres_database: str
) -> None:
    """What it says is left as it is; what it does not say is set."""
    store = open_store(f"{postgres_database}?application_name=ours&connect_timeout=2")
    names = postgres.execute("SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name = 'ours'")
    assert names == [("ours",)]
    store.close()
    store = open_store(postgres_database)
    assert sessions(postgres, postgres_database) >= 1
    shown = [store.rows.exec_driver_sql(f"SHOW {name}").scalar_one() for name in _LIMITS]
    assert shown == [*_LIMITS.values()]
    store.close()


_LIMITS: Final = {
    "lock_timeout": "12s",
    "idle_in_transaction_session_timeout": "8s",
    "timezone": "UTC",
}


def test_tables_are_made_in_the_first_schema_of_the_search_path(
    postgres: PostgresServer, postgres_database: str
) -> None:
    """Two ledgers can share a database, each in a schema of its own."""
    database = postgres_database.rpartition("/")[2]
    for schema in ("one", "other"):
        postgres.execute(f"CREATE SCHEMA {schema}", database=database)
    one, other = (f"{postgres_database}?options=" + quote(f"-c search_path={schema}") for schema in ("one", "other"))
    with ledger_at(one) as first, ledger_at(other) as second:
        issue(first, seats_max=1)
        assert first.ledger_id != second.ledger_id
        assert (first.head().position, second.head().position) == (3, 0)
        issue(second, seats_max=1)
    assert postgres.execute("SELECT to_regclass('public.head')", database=database) == [(None,)]


def test_the_clock_of_decisions_is_the_databases(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock goes wrong records the times of the others."""
    with ledger_at(postgres_database) as ledger:
        monkeypatch.setattr("ledger.times.system_now", lambda: NOON.replace(year=1999))
        issue(ledger, seats_max=1)
        before, after = rows_of(ledger, "SELECT clock_timestamp() - interval '1 minute', clock_timestamp()")[0]
        assert before < everything(ledger)[0].recorded_at < after


# -- who stops in the middle -------------------------------------------------------------------------------------------

_WRITTEN: Final = {
    "nothing": Rows(),
    "an answer": Rows(answers={b"key": RememberedAnswer(request_hash=b"", answer=b"", answered_at=NOON)}),
    "a counter": Rows(new_users={("key", 1): 1}),
}


@pytest.mark.parametrize("written", _WRITTEN)
def test_whoever_stops_with_the_lock_loses_it(postgres_database: str, written: str) -> None:
    """Whatever it wrote last, the server ends its session and lets another in."""
    stopped, other = open_store(postgres_database), open_store(postgres_database)
    stopped.rows.exec_driver_sql("SET idle_in_transaction_session_timeout = '100ms'")
    stopped.rows.commit()
    other.rows.exec_driver_sql("SET lock_timeout = '5s'")
    other.rows.commit()
    stopped.write(_WRITTEN[written], stopped.begin())
    assert other.begin().position == 0
    other.rollback()
    with pytest.raises(StoreError, match="idle-in-transaction"):
        stopped.commit()
    for store in (stopped, other):
        store.close()


# -- PostgreSQL 18 -------------------------------------------------------------------------------------------------


def test_postgresql_18_keeps_the_contract_too(postgres18_database: str) -> None:
    """Opened, written by two at once, refused when full, told of appends, elected, opened again."""
    told = threading.Event()
    with ledger_at(postgres18_database) as one, ledger_at(postgres18_database) as other:
        assert other.on_append(told.set)
        until(told.is_set)
        told.clear()
        issue(one, seats_max=20)
        until(told.is_set)
        calls = [
            partial((one, other)[n % 2].seats.activate, LICENSE, user=colleague(n), caller=CLIENT) for n in range(30)
        ]
        answers = at_once(*calls)
        assert sum(isinstance(answer, SeatAnswer) for answer in answers) == 20
        assert sum(isinstance(answer, NoSeatIsFreeError) for answer in answers) == 10
        assert one.campaign("views").holds()
        assert not other.campaign("views").holds()
        history = everything(one)
        assert everything(other) == history
    with ledger_at(postgres18_database) as again:
        assert everything(again) == history
        assert license_now(again).seats_active == 20
