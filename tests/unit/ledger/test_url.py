"""Addresses of databases: read whole, shown without what is secret."""

from pathlib import Path

import pytest

from ledger.store.url import DatabaseUrl


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ada:secret@host/ledger", "postgresql://ada@host/ledger"),
        ("postgres://ada:secret@host:5433/ledger", "postgresql://ada@host:5433/ledger"),
        ("postgresql://ada:s%40cr%2Fet@host/ledger", "postgresql://ada@host/ledger"),
        ("postgresql://host/ledger?user=ada&password=s@cret&sslmode=require", "postgresql://ada@host/ledger"),
        (
            "postgresql://ada@a:5433,b:5434/ledger?target_session_attrs=read-write",
            "postgresql://ada@a:5433,b:5434/ledger",
        ),
        ("postgresql://a,b/ledger?port=5433", "postgresql://a:5433,b:5433/ledger"),
        ("postgresql:///ledger?host=/run/postgresql", "postgresql:///run/postgresql/ledger"),
        ("postgresql://", "postgresql:///"),
    ],
)
def test_an_address_of_postgresql_is_kept_whole_and_shown_without_its_password(text: str, shown: str) -> None:
    """The driver gets every option; people see where it is and as whom."""
    url = DatabaseUrl.parse(text)
    assert (url.text, url.sqlite_path, url.shown) == (text, None, shown)
    assert repr(url) == f"DatabaseUrl({shown})"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:sec/ret@host/ledger",
        "postgresql://ada:123/secret@host/ledger",
        "postgresql://ada:s@cret@host/ledger",
        "postgresql://ada:sec%ret@host/ledger",
        "postgresql://ada:sec ret@host/ledger",
        "postgresql://ada:secret%00@host/ledger",
        "postgresql://ada:secret@[::1/ledger",
        "postgresql://ada@host/ledger?password=sec&ret=1",
        "mysql://ada:secret@host/ledger",
        "postgresql+psycopg://ada:secret@host/ledger",
        "sqlite://host/secret.db",
        "sqlite:///:memory:",
        "sqlite://",
        "secret",
        "",
    ],
)
def test_what_is_no_address_is_refused_in_one_line_without_the_password(text: str) -> None:
    """The line says what is expected, and repeats nothing that may be secret."""
    with pytest.raises(ValueError, match=r"^an address like [^\n]+$") as refused:
        DatabaseUrl.parse(text)
    assert "ret" not in str(refused.value)
    assert "sec" not in str(refused.value)


def test_an_address_of_a_file_is_the_file() -> None:
    """Relative and absolute."""
    assert DatabaseUrl.parse("sqlite:///ledger.db").sqlite_path == Path("ledger.db")
    assert DatabaseUrl.parse("sqlite:////var/ledger.db").sqlite_path == Path("/var/ledger.db")
    assert DatabaseUrl.parse("sqlite:////var/ledger.db").shown == "/var/ledger.db"
    assert DatabaseUrl.of_file(Path("/var/ledger.db")) == DatabaseUrl.parse("sqlite:////var/ledger.db")
