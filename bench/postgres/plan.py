"""What is measured on PostgreSQL, how often and at what size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.section import Step

_OURS: Final = "postgres.ours"
_PEERS: Final = "postgres.peers"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is done in each measurement, and by how many processes with how many callers each."""

    loads: tuple[tuple[int, int], ...] = ((1, 1), (1, 8), (1, 32), (1, 128), (2, 32), (4, 32))
    rounds: int = 3
    ours: int = 12_000
    ours_alone: int = 2_000
    peers_each: int = 2_560
    peers_one: int = 512
    pgbench: int = 50_000
    pgbench_alone: int = 10_000
    following_events: int = 200_000
    rebuild_events: int = 1_000_000
    peers_view_events: int = 8_000
    latencies: int = 40


TINY: Final = Sizes(
    loads=((1, 1), (2, 32)),
    rounds=1,
    ours=512,
    ours_alone=32,
    peers_each=256,
    peers_one=128,
    pgbench=320,
    pgbench_alone=32,
    following_events=500,
    rebuild_events=1_000,
    peers_view_events=100,
    latencies=3,
)


def steps(sizes: Sizes, *, server: str, pgbench: str) -> Iterator[Step]:
    """All measurements in their order: those that are compared alternate, since others may use the machine too."""
    for _ in range(sizes.rounds):
        for processes, callers in sizes.loads:
            yield from _activations(processes, callers, sizes, server=server, pgbench=pgbench)
        following: dict[str, int | str] = {"server": server, "events": sizes.following_events}
        stock: dict[str, int | str] = {"server": server, "events": sizes.peers_view_events}
        yield Step("following", _OURS, "following", following)
        yield Step("views/stock", _PEERS, "views", stock)
        yield Step("latency", _OURS, "latency", {"server": server, "samples": sizes.latencies})
    yield Step("rebuild", _OURS, "rebuild", {"server": server, "events": sizes.rebuild_events})


def key_of(processes: int, callers: int) -> str:
    """The key of the activations by so many."""
    return f"activations/{processes}x{callers}"


def _activations(processes: int, callers: int, sizes: Sizes, *, server: str, pgbench: str) -> Iterator[Step]:
    key = key_of(processes, callers)
    who: dict[str, int | str] = {"server": server, "processes": processes, "callers": callers}
    ours = sizes.ours_alone if processes * callers == 1 else sizes.ours
    yield Step(key, _OURS, "activations", who | {"count": ours, "licenses": "one"})
    if processes > 1:
        yield Step(f"{key}/each", _OURS, "activations", who | {"count": ours, "licenses": "each"})
    for licenses, count in (("one", sizes.peers_one), ("each", sizes.peers_each), ("each-fastest", sizes.peers_each)):
        yield Step(f"{key}/stock-{licenses}", _PEERS, "activations", who | {"count": count, "licenses": licenses})
    clients = processes * callers
    inserts = sizes.pgbench_alone if clients == 1 else sizes.pgbench
    run: dict[str, int | str] = {"server": server, "program": pgbench, "clients": clients, "count": inserts}
    yield Step(f"{key}/pgbench", _PEERS, "pgbench", run)
