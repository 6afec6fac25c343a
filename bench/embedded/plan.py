"""What is measured, how often and at what size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.section import Step

CALLERS: Final = (1, 8, 32, 128)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is done in each measurement."""

    rounds: int = 3
    ours: int = 6_000
    ours_alone: int = 1_000
    peers_each: int = 1_280
    peers_one: int = 256
    view_events: int = 40_000
    peers_view_events: int = 4_000
    commits: int = 1_000
    latencies: int = 40
    seats_few: int = 100
    seats_many: int = 100_000
    crowd: int = 64
    history_events: int = 200_000


TINY: Final = Sizes(
    rounds=1,
    ours=256,
    ours_alone=32,
    peers_each=256,
    peers_one=128,
    view_events=500,
    peers_view_events=100,
    commits=20,
    latencies=3,
    seats_few=10,
    seats_many=50,
    crowd=16,
    history_events=3_000,
)


def steps(sizes: Sizes) -> Iterator[Step]:
    """All measurements in their order: those that are compared alternate, since others may use the machine too."""
    for _ in range(sizes.rounds):
        yield Step("disk", "embedded.ours", "disk", {"commits": sizes.commits})
        for callers in CALLERS:
            yield from _activations(callers, sizes)
        yield Step("views", "embedded.ours", "views", {"events": sizes.view_events})
        yield Step("views/stock", "embedded.peers", "views", {"events": sizes.peers_view_events})
        yield Step("latency", "embedded.ours", "latency", {"samples": sizes.latencies})
    crowd: dict[str, int | str] = {"seats_few": sizes.seats_few, "seats_many": sizes.seats_many, "samples": sizes.crowd}
    yield Step("crowd", "embedded.ours", "crowd", crowd)
    yield Step("history", "embedded.ours", "history", {"events": sizes.history_events})
    yield Step("history/stock", "embedded.peers", "history", {"events": sizes.history_events})


def _activations(callers: int, sizes: Sizes) -> Iterator[Step]:
    ours = sizes.ours_alone if callers == 1 else sizes.ours
    fastest: dict[str, int | str] = {"callers": callers, "count": sizes.peers_each, "licenses": "each-fastest"}
    each: dict[str, int | str] = {"callers": callers, "count": sizes.peers_each // 2, "licenses": "each"}
    one: dict[str, int | str] = {"callers": callers, "count": sizes.peers_one, "licenses": "one"}
    yield Step(f"activations/{callers}", "embedded.ours", "activations", {"callers": callers, "count": ours})
    yield Step(f"activations/{callers}/each-fastest", "embedded.peers", "activations", fastest)
    yield Step(f"activations/{callers}/each", "embedded.peers", "activations", each)
    yield Step(f"activations/{callers}/one", "embedded.peers", "activations", one)
