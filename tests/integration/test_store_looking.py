"""A look at a ledger's database tells what is there, and makes nothing."""

from pathlib import Path

import pytest
import sqlalchemy

from ledger.ledger import Ledger
from ledger.store import StoreCannotOpenError
from ledger.store.looking import last_position
from ledger.store.tables import HEAD
from ledger.store.url import DatabaseUrl
from ledger.times import system_now
from tests.integration.consumers_stage import open_ledger
from tests.integration.ledgers import url_of


def opened(database: Path) -> Ledger:
    """The ledger of a database, made if it is not there."""
    return open_ledger(url_of(database), clock=system_now)


def test_where_no_ledger_was_made_there_is_none(database: Path) -> None:
    """And none is made by looking."""
    assert last_position(url_of(database)) is None
    assert last_position(url_of(database)) is None


def test_the_last_position_is_that_of_the_head(database: Path) -> None:
    """Also while the ledger is open."""
    ledger = opened(database)
    try:
        assert last_position(url_of(database)) == ledger.head().position
    finally:
        ledger.close()
    assert last_position(url_of(database)) == 0


def test_a_ledger_of_another_version_is_told(database: Path) -> None:
    """With the sentence that `serve` has for it."""
    opened(database).close()
    ledger = opened(database)
    with ledger.reading.begin() as connection:
        connection.execute(sqlalchemy.update(HEAD).values(schema_version=99))
    ledger.close()
    with pytest.raises(StoreCannotOpenError, match="has schema 99, newer than this program's"):
        last_position(url_of(database))


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    """In one line, with its name."""
    path = tmp_path / "ledger.db"
    path.write_text("Dear ledger, this is a letter, which is longer than the first page of a database would be.\n" * 40)
    with pytest.raises(StoreCannotOpenError, match=r"ledger\.db can't be read: file is not a database"):
        last_position(DatabaseUrl.of_file(path))


def test_a_server_that_is_away_is_told_without_its_password() -> None:
    """In one line, soon."""
    url = DatabaseUrl.parse("postgresql://ledger:opensesame@127.0.0.1:1/ledger")
    with pytest.raises(StoreCannotOpenError, match="can't be read") as caught:
        last_position(url)
    assert "opensesame" not in str(caught.value)
    assert "\n" not in str(caught.value)
