"""The events that both sides send: those of some licenses, by turns, so that every partition gets some."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.ledgers import fill, new_license, opened
from bench.load import names
from bench.servers import fresh_database
from ledger.ledger import Ledger
from ledger.store.url import DatabaseUrl
from projections.kafka import METADATA

LICENSES = 12
_TURN = 100


@contextmanager
def ledger_with(events: int, *, server: str) -> Iterator[tuple[Ledger, DatabaseUrl]]:
    """A ledger in a fresh database with so many events or some more, and where it is."""
    with fresh_database(server) as database, opened(url := DatabaseUrl.parse(database), tables=[METADATA]) as ledger:
        licenses = [new_license(ledger) for _ in range(LICENSES)]
        users = names("user", events)
        for turn, begin in enumerate(range(0, events, _TURN)):
            fill(ledger, licenses[turn % LICENSES], users[begin : begin + _TURN])
        yield ledger, url
