"""Many rows at once: statements that SQLAlchemy compiles once, run with plain tuples."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

import sqlalchemy
from sqlalchemy import BindParameter, Connection, Dialect, Table

Row: TypeAlias = tuple[Any, ...]


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, each a tuple in the order of the table's columns."""
    if rows:
        connection.exec_driver_sql(_insert(table, connection.dialect), list(rows))


def update_rows(connection: Connection, table: Table, rows: Collection[Row]) -> None:
    """Overwrite rows that are there, each a tuple in the order of the table's columns, found by primary key."""
    if rows:
        statement, order = _update(table, connection.dialect)
        connection.exec_driver_sql(statement, [order(row) for row in rows])


@lru_cache(maxsize=32)
def _insert(table: Table, dialect: Dialect) -> str:
    return str(sqlalchemy.insert(table).compile(dialect=dialect))


@lru_cache(maxsize=32)
def _update(table: Table, dialect: Dialect) -> tuple[str, "itemgetter[Any]"]:
    keys, names = table.primary_key.columns, [column.name for column in table.columns]
    # A parameter of its own name, since those of the columns are taken by the new values.
    found = [column == sqlalchemy.bindparam(f"key_{column.name}") for column in keys]
    values: dict[str, BindParameter[Any]] = {
        column.name: sqlalchemy.bindparam(f"to_{column.name}") for column in table.columns if not column.primary_key
    }
    compiled = sqlalchemy.update(table).where(*found).values(values).compile(dialect=dialect)
    order = [names.index(name.partition("_")[2]) for name in compiled.positiontup or ()]
    return str(compiled), itemgetter(*order)
