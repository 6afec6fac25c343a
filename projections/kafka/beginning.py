"""From which event a publisher goes on: what was saved, held against what the brokers have."""

from collections.abc import Mapping
from dataclasses import dataclass

from projections.kafka.records import Tail, Topic
from projections.kafka.saved import Saved


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """Where to go on.

    Attributes:
        position: the events after it are published next.
        lost: what the brokers have no more, in one line; null if they have all that they acknowledged.
    """

    position: int
    lost: str | None = None


def begin(saved: Saved | None, topic: Topic, tails: Mapping[int, Tail], *, reached: Mapping[int, int]) -> Beginning:
    """Where to go on with a topic.

    The saved position may be behind the brokers, by the one transaction that a killed publisher had no time to save,
    or ahead of them, if the topic was made again or brokers lost what they had acknowledged. In every partition the
    positions only grow, so each is complete up to its last record, and the topic up to the least of these.

    Args:
        saved: what was saved; null if nothing was ever published to a topic of this name.
        topic: as it is now.
        tails: its ends.
        reached: the position of the last record in each partition; a partition without one is absent.
    """
    complete = min(reached.values()) if len(reached) == topic.partitions else 0
    if saved is None:
        return Beginning(position=complete)
    if saved.topic_id != topic.topic_id:
        return Beginning(
            position=complete,
            lost=f"The topic {topic.name} was made again. What it had is published again, from position {complete}.",
        )
    if any(tail.end <= saved.ends[partition] for partition, tail in tails.items()):
        return Beginning(
            position=complete,
            lost=(
                f"The topic {topic.name} has lost records that the brokers had acknowledged (offsets went back). What"
                f" is missing is published again, from position {complete}."
            ),
        )
    return Beginning(position=max(saved.position, complete))
