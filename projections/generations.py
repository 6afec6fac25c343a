"""Generations: each rebuild of the views makes its own set of tables, and one row says which set answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy
from sqlalchemy import BigInteger, Boolean, Column, ColumnElement, Connection, Integer, MetaData, Table, Text

from ledger.envelope import RecordedEvent

# One more whenever a table of a view, or what is put into it, changes: views of another version are made again.
VERSION: Final = 4

METADATA: Final = MetaData()
_GENERATIONS: Final = Table(
    "generations",
    METADATA,
    Column("generation", Integer, primary_key=True),
    Column("is_live", Boolean, nullable=False),
    Column("ledger_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("command_id", Text),
    # A number is never given twice: a rebuild that was overtaken must not take another's tables for its own.
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True)
class Generation:
    """One set of the views' tables, and how far it has come.

    Attributes:
        number: it ends the names of the tables.
        is_live: readers are answered from it.
        ledger_id: the ledger whose events it holds.
        version: of the views' definition.
        position: all events of the ledger up to here are in it, and none after.
        command_id: of the last of these events, by which another history is known; null if there is none.
    """

    number: int
    is_live: bool
    ledger_id: str
    version: int
    position: int
    command_id: str | None


def make_schema(connection: Connection) -> None:
    """Make the table of generations, or bring it up to date."""
    METADATA.create_all(connection)
    told = {column["name"] for column in sqlalchemy.inspect(connection).get_columns(_GENERATIONS.name)}
    if _GENERATIONS.c.command_id.name not in told:
        # Of version 1, whose views are made again by that.
        connection.exec_driver_sql("ALTER TABLE generations ADD COLUMN command_id TEXT")


def suffix(number: int) -> str:
    """How the names of a generation's tables end."""
    return f"_g{number}"


def live(connection: Connection) -> Generation | None:
    """The generation that answers."""
    row = connection.execute(_SELECT_LIVE).first()
    return None if row is None else Generation(*row)


def lock(connection: Connection, number: int) -> Generation | None:
    """A generation as it stands, and until the transaction's end; null if it was dropped."""
    row = connection.execute(_LOCK_ONE, {"number": number}).first()
    return None if row is None else Generation(*row)


def add(connection: Connection, *, ledger_id: str, is_live: bool) -> Generation:
    """Begin a new generation, empty."""
    values = {"is_live": is_live, "ledger_id": ledger_id, "version": VERSION, "position": 0}
    made = connection.execute(sqlalchemy.insert(_GENERATIONS).values(values)).inserted_primary_key
    if made is None:
        msg = "the database gave the new generation no number"
        raise TypeError(msg)
    return Generation(made[0], is_live, ledger_id, VERSION, 0, None)


def advance(connection: Connection, generation: Generation, *, last: RecordedEvent) -> Generation:
    """Record how far a generation has come."""
    reached = {"number": generation.number, "reached": last.position, "reached_by": last.command_id}
    connection.execute(_UPDATE_POSITION, reached)
    return replace(generation, position=last.position, command_id=last.command_id)


def is_rebuilding(connection: Connection) -> bool:
    """Whether a generation is being made, or was left half made."""
    return (
        connection.execute(sqlalchemy.select(_GENERATIONS.c.generation).where(~_GENERATIONS.c.is_live)).first()
        is not None
    )


def make_live(connection: Connection, generation: Generation) -> None:
    """Let a generation answer from now on."""
    connection.execute(sqlalchemy.update(_GENERATIONS).values(is_live=_GENERATIONS.c.generation == generation.number))


def drop_all_but(connection: Connection, numbers: Sequence[int]) -> None:
    """Drop every other generation, also one of a rebuild that was killed, or is still under way elsewhere."""
    _drop(connection, _GENERATIONS.c.generation.not_in(numbers))


def drop(connection: Connection, generation: Generation) -> None:
    """Drop one generation, which does not answer any more."""
    _drop(connection, _GENERATIONS.c.generation == generation.number)


def _drop(connection: Connection, which: ColumnElement[bool]) -> None:
    # Who writes into the tables holds the row: once it is ours, nobody does.
    locked = sqlalchemy.select(_GENERATIONS.c.generation).where(which).with_for_update()
    endings = tuple(suffix(number) for number in connection.execute(locked).scalars())
    if not endings:
        return
    # By their names: tables of another version may not be known to this program.
    for name in sqlalchemy.inspect(connection).get_table_names():
        if name.endswith(endings):
            Table(name, MetaData()).drop(connection)
    connection.execute(sqlalchemy.delete(_GENERATIONS).where(which))


_SELECT: Final = sqlalchemy.select(
    _GENERATIONS.c.generation,
    _GENERATIONS.c.is_live,
    _GENERATIONS.c.ledger_id,
    _GENERATIONS.c.version,
    _GENERATIONS.c.position,
    _GENERATIONS.c.command_id,
)
_SELECT_LIVE: Final = _SELECT.where(_GENERATIONS.c.is_live)
_LOCK_ONE: Final = _SELECT.where(_GENERATIONS.c.generation == sqlalchemy.bindparam("number")).with_for_update()
_UPDATE_POSITION: Final = (
    sqlalchemy.update(_GENERATIONS)
    .where(_GENERATIONS.c.generation == sqlalchemy.bindparam("number"))
    .values(position=sqlalchemy.bindparam("reached"), command_id=sqlalchemy.bindparam("reached_by"))
)
