"""Many rows at once: statements that SQLAlchemy compiles once, run with plain tuples."""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, TypeAlias

import sqlalchemy
from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    Table,
    Text,
    any_,
    cast,
)
from sqlalchemy.dialects.postgresql.base import PGDialect

Row: TypeAlias = tuple[Any, ...]


# SQLite takes 32,766 parameters at most.
_PARAMETERS_MAX: Final = 10_000


def select_rows(connection: Connection, table: Table, column: ColumnElement[str], values: Iterable[str]) -> list[Row]:
    """The rows whose column has one of these values, each a tuple in the order of the table's columns."""
    sought, found = list(values), list[Row]()
    selected = sqlalchemy.select(table)
    if isinstance(connection.dialect, PGDialect):
        # One array, since a place for each value would be a statement of its own for each number of them.
        return list(map(tuple, connection.execute(selected.where(column == any_(cast(sought, ARRAY(Text)))))))
    for begin in range(0, len(sought), _PARAMETERS_MAX):
        some = connection.execute(selected.where(column.in_(sought[begin : begin + _PARAMETERS_MAX])))
        found.extend(map(tuple, some))
    return found


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows, each a tuple in the order of the table's columns."""
    if not rows:
        return
    if isinstance(connection.dialect, PGDialect):
        _copy_rows(connection, table, rows)
        return
    # Handing over a null costs as much as five other values, and is what a column holds if nothing is said.
    told = tuple(place for place, _ in enumerate(rows[0]) if any(row[place] is not None for row in rows))
    values = list(rows) if len(told) == len(rows[0]) else [*map(itemgetter(*told), rows)]
    connection.exec_driver_sql(_insert(table, told, connection.dialect), values)


def update_rows(connection: Connection, table: Table, rows: Collection[Row], *, kept: tuple[str, ...] = ()) -> None:
    """Overwrite rows that are there, each a tuple in the order of the table's columns, found by primary key.

    Args:
        connection: within a transaction.
        table: where they are.
        rows: the new ones.
        kept: columns that never change; what is not set needs no work in its indexes.
    """
    if not rows:
        return
    if isinstance(connection.dialect, PGDialect):
        statement, places = _update_many(table, kept, connection.dialect)
        columns = list(zip(*rows, strict=True))
        connection.exec_driver_sql(statement, tuple(list(columns[place]) for place in places))
        return
    statement, order = _update(table, kept, connection.dialect)
    connection.exec_driver_sql(statement, [order(row) for row in rows])


def take_stock(connection: Connection, tables: Iterable[Table]) -> None:
    """Let PostgreSQL know at once what was filled into tables, or it looks through them instead of their indexes."""
    if isinstance(connection.dialect, PGDialect):
        for table in tables:
            connection.exec_driver_sql(f"ANALYZE {connection.dialect.identifier_preparer.quote(table.name)}")


def _copy_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Hand rows over in one stream, in PostgreSQL's binary form."""
    statement, types = _copy(table, connection.dialect)
    driver = connection.connection.driver_connection
    if driver is None:
        raise TypeError("the connection is closed")
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


@lru_cache(maxsize=32)
def _copy(table: Table, dialect: Dialect) -> tuple[str, list[str]]:
    quote = dialect.identifier_preparer.quote
    names = ", ".join(quote(column.name) for column in table.columns)
    types = [_type(column) for column in table.columns]
    return f"COPY {quote(table.name)} ({names}) FROM STDIN (FORMAT BINARY)", types


def _type(column: "sqlalchemy.Column[Any]") -> str:
    """PostgreSQL's own name of a column's type."""
    if isinstance(column.type, BigInteger):
        return "int8"
    return "int4" if isinstance(column.type, Integer) else "text"


@lru_cache(maxsize=32)
def _update_many(table: Table, kept: tuple[str, ...], dialect: Dialect) -> tuple[str, list[int]]:
    """One statement over arrays, one for each column, and the places of those columns in a row."""
    quote = dialect.identifier_preparer.quote
    places = [place for place, column in enumerate(table.columns) if column.name not in kept]
    columns = [table.columns[table.columns.keys()[place]] for place in places]
    arrays = ", ".join(f"%s::{_type(column)}[]" for column in columns)
    names = ", ".join(quote(column.name) for column in columns)
    to = ", ".join(f"{quote(one.name)} = told.{quote(one.name)}" for one in columns if not one.primary_key)
    found = " AND ".join(f"old.{quote(one.name)} = told.{quote(one.name)}" for one in columns if one.primary_key)
    statement = f"UPDATE {quote(table.name)} AS old SET {to} FROM unnest({arrays}) AS told ({names}) WHERE {found}"  # noqa: S608 -- own names
    return statement, places


@lru_cache(maxsize=32)
def _insert(table: Table, told: tuple[int, ...], dialect: Dialect) -> str:
    names = table.columns.keys()
    values: dict[str, BindParameter[Any]] = {names[place]: sqlalchemy.bindparam(names[place]) for place in told}
    return str(sqlalchemy.insert(table).values(values).compile(dialect=dialect))


@lru_cache(maxsize=32)
def _update(table: Table, kept: tuple[str, ...], dialect: Dialect) -> tuple[str, "itemgetter[Any]"]:
    keys, names = table.primary_key.columns, [column.name for column in table.columns]
    # A parameter of its own name, since those of the columns are taken by the new values.
    found = [column == sqlalchemy.bindparam(f"key_{column.name}") for column in keys]
    written = [column.name for column in table.columns if not column.primary_key and column.name not in kept]
    values: dict[str, BindParameter[Any]] = {name: sqlalchemy.bindparam(f"to_{name}") for name in written}
    compiled = sqlalchemy.update(table).where(*found).values(values).compile(dialect=dialect)
    order = [names.index(name.partition("_")[2]) for name in compiled.positiontup or ()]
    return str(compiled), itemgetter(*order)
