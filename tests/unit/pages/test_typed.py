"""What was typed into a search, as the database can be asked for it."""

import flask
import pytest

from api.pages.typed import typed


@pytest.mark.parametrize(
    ("query", "read"),
    [("q=+Ada+Lovelace+", "Ada Lovelace"), ("q=%00", ""), ("q=A%00da+%00", "Ada"), ("q=", ""), ("", "")],
)
def test_a_search_is_for_what_can_stand_in_a_text(query: str, read: str) -> None:
    """Spaces around it don't count, and a NUL is none of it."""
    with flask.Flask(__name__).test_request_context(f"/?{query}"):
        assert typed("q") == read
