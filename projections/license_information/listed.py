"""Several names in one column, one a line, so that a whole one is found by a part of the text."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement


def with_one(listed: str, name: str) -> str:
    """The names, and one more unless it is among them."""
    return listed if _line(name) in listed else (listed or "\n") + name + "\n"


def names_in(listed: str) -> Sequence[str]:
    """The names, in the order in which they were listed."""
    return tuple(listed.split("\n")[1:-1])


def has_one(column: ColumnElement[str], name: str) -> ColumnElement[bool]:
    """Whether a name is among those of a column."""
    return column.contains(_line(name), autoescape=True)


def _line(name: str) -> str:
    return f"\n{name}\n"
