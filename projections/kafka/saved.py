"""How far each topic has come, as a row in the ledger's own database.

There, and not beside the views, which may be thrown away at any time. It is written under the append lock, so that a
publisher that lost its election can't put an older place over a newer one. It is not the only word: what the brokers
have counts too, see `beginning`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

from ledger.ledger import Ledger
from ledger.store import StoreError
from ledger.transaction import Transaction, Work
from ledger.writer import SYSTEM_CALLER

METADATA: Final = MetaData()
_TABLE: Final = Table(
    "kafka_topics",
    METADATA,
    Column("topic", Text, primary_key=True),
    Column("topic_id", Text, nullable=False),
    Column("partitions", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("command_id", Text, nullable=False),
    Column("ends", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """How far a topic has come, after the brokers acknowledged it.

    Attributes:
        topic: its name.
        topic_id: given anew when the topic is made again; empty where the brokers tell none.
        partitions: how many it has.
        position: of the last event published, 0 before the first.
        command_id: of that event; empty before the first.
        ends: the offset of the last record in each partition that was acknowledged; -1 where there was none.
        term: of the election of the publisher that saved it.
    """

    topic: str
    topic_id: str
    partitions: int
    position: int
    command_id: str
    ends: Sequence[int]
    term: int


def load(ledger: Ledger, topic: str) -> Saved | None:
    """How far a topic has come; null if nothing was ever published to it.

    Raises:
        StoreError: the database can't be read.
    """
    try:
        with ledger.reading.connect() as connection:
            row = connection.execute(sqlalchemy.select(_TABLE).where(_TABLE.c.topic == topic)).first()
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise StoreError(f"The ledger's database can't be read: {str(error).splitlines()[0]}") from error
    return None if row is None else Saved(**{**row._mapping, "ends": json.loads(row.ends)})  # noqa: SLF001 -- its API


def save(ledger: Ledger, saved: Saved) -> bool:
    """Save how far a topic has come; false, and nothing saved, if a publisher elected later saved it already.

    Raises:
        LedgerError: the database can't be written now.
    """

    def decide(transaction: Transaction) -> bool:
        rows, mine = transaction.rows, _TABLE.c.topic == saved.topic
        term = rows.execute(sqlalchemy.select(_TABLE.c.term).where(mine)).scalar()
        if term is not None and term > saved.term:
            return False
        rows.execute(sqlalchemy.delete(_TABLE).where(mine))
        rows.execute(
            sqlalchemy.insert(_TABLE).values(
                topic=saved.topic,
                topic_id=saved.topic_id,
                partitions=saved.partitions,
                position=saved.position,
                command_id=saved.command_id,
                ends=json.dumps(list(saved.ends)),
                term=saved.term,
            )
        )
        return True

    return ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))
