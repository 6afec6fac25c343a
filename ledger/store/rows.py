"""Rows beside the events: SQLAlchemy on the writer's own connection, inside its transaction."""

import sqlalchemy
from sqlalchemy.pool import StaticPool


def rows_on(writer: object, *, dialect: str) -> sqlalchemy.Connection:
    """SQLAlchemy on a connection of the driver, which leaves the transaction to whoever has that.

    Args:
        writer: the driver's connection.
        dialect: the address of no database, by which SQLAlchemy knows the engine, such as `sqlite://`.
    """
    return sqlalchemy.create_engine(
        dialect,
        creator=lambda: writer,
        poolclass=StaticPool,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        # What people sent stays out of errors, and so out of logs.
        hide_parameters=True,
    ).connect()
