"""The `eventsourcing` library's PostgreSQL recorder, with positions that the writer gives.

Its table is taken as it is. Its lock, its sequence and its insert are not: positions are given under the lock of the
head's row, so that they are committed in their order and without gaps.
"""

from typing import Any, Final

import psycopg
from eventsourcing.postgres import ConnectionPool, PostgresApplicationRecorder, PostgresDatastore
from psycopg.sql import SQL, Composed, Identifier

from ledger.store.postgres_connections import defaults_of, set_limits
from ledger.store.url import DatabaseUrl

WAIT_FOR_CONNECTION_SECONDS: Final = 5.0


class UrlDatastore(PostgresDatastore):
    """The library's datastore, with a bounded pool of connections to an address that libpq gets whole."""

    def __init__(self, url: DatabaseUrl, *, schema: str, connections_max: int) -> None:
        """Nothing is connected yet."""
        super().__init__(
            dbname="", host="", port="", user="", password="", originator_id_type="text", schema=schema
        )  # the pool made of these is never opened
        self.pool = ConnectionPool(
            url.text,
            connection_class=psycopg.Connection[Any],
            kwargs={"autocommit": True, **defaults_of(url, purpose="reader")},
            configure=set_limits,
            min_size=1,
            max_size=connections_max,
            timeout=WAIT_FOR_CONNECTION_SECONDS,
            open=False,
        )


class PositionedPostgresRecorder(PostgresApplicationRecorder):
    """Stored events in PostgreSQL, each at a position that the caller gives."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = "stored_events") -> None:
        """Name the statements that know of the position."""
        super().__init__(datastore, events_table_name=events_table_name)
        names = {"schema": Identifier(datastore.schema), "table": Identifier(events_table_name)}
        # Plain arrays in binary: a third less work than the library's array of a composite type.
        self.insert_positioned = (
            SQL(
                "INSERT INTO {schema}.{table} (notification_id, originator_id, originator_version, topic, state)"
                " SELECT * FROM unnest(%b::bigint[], %b::text[], %b::bigint[], %b::text[], %b::bytea[])"
            )
            .format(**names)
            .as_string()
        )

    @property
    def table_statements(self) -> list[Composed]:
        """What makes the table and its index; the library's types and functions serve its own insert alone."""
        return [
            one for one in self.sql_create_statements if one.as_string().startswith(("CREATE TABLE", "CREATE UNIQ"))
        ]
