"""Cursors of the pages."""

import pytest

from api.pages import cursors
from api.problems import Problem

SECRET = b"s" * 32


def test_a_cursor_goes_on_where_the_page_ended() -> None:
    """Keys of texts, numbers and nulls come back as they were."""
    after = ("ada lovelace", 7, None)
    cursor = cursors.write(after, of="users of noon", secret=SECRET)
    assert cursor is not None
    assert cursors.read(cursor, of="users of noon", secret=SECRET) == after


def test_the_end_of_a_list_has_no_cursor() -> None:
    """Nothing follows, so that no link to a next page is shown."""
    assert cursors.write(None, of="users of noon", secret=SECRET) is None


def test_without_a_cursor_a_list_begins() -> None:
    """The first page has none in its address."""
    assert cursors.read("", of="users of noon", secret=SECRET) is None


@pytest.mark.parametrize("damaged", ["{cut}", "{whole}A", "é", "AAAA", "{whole}{whole}"])
def test_a_damaged_cursor_is_refused(damaged: str) -> None:
    """Only what was given out is looked at."""
    cursor = cursors.write(("ada", 1), of="users of noon", secret=SECRET)
    assert cursor is not None
    with pytest.raises(Problem):
        cursors.read(damaged.format(cut=cursor[:-2], whole=cursor), of="users of noon", secret=SECRET)


def test_a_cursor_of_another_list_is_refused() -> None:
    """A key of one list means nothing in another."""
    cursor = cursors.write(("ada", 1), of="users of noon", secret=SECRET)
    assert cursor is not None
    with pytest.raises(Problem):
        cursors.read(cursor, of="users of dusk", secret=SECRET)
