"""From which event a publisher goes on."""

from collections.abc import Mapping
from dataclasses import replace

from projections.kafka.beginning import Beginning, begin
from projections.kafka.records import Tail, Topic
from projections.kafka.saved import Saved

TOPIC = Topic(name="events", topic_id="first", partitions=2, cleanup="delete", batch_bytes_max=None)
SAVED = Saved(topic="events", topic_id="first", partitions=2, position=40, command_id="5a90", ends=[30, 12], term=1)
ENDS = {0: 31, 1: 13}


def begun(
    saved: Saved | None, *, ends: Mapping[int, int], reached: Mapping[int, int], topic: Topic = TOPIC
) -> Beginning:
    """Where to begin with partitions that end so."""
    return begin(saved, topic, {one: Tail(end=end, last=None) for one, end in ends.items()}, reached=reached)


def test_a_new_topic_begins_at_the_first_event() -> None:
    """Nothing was saved, and nothing is there."""
    assert begun(None, ends={0: 0, 1: 0}, reached={}) == Beginning(position=0)


def test_what_was_saved_goes_on_from_there() -> None:
    """The brokers have what was saved, and the partition where little happens is behind the other."""
    assert begun(SAVED, ends=ENDS, reached={0: 40, 1: 35}) == Beginning(position=40)


def test_what_was_published_but_not_saved_is_not_published_again() -> None:
    """A publisher was killed before it saved its place: what both partitions are past is skipped."""
    assert begun(SAVED, ends={0: 50, 1: 20}, reached={0: 70, 1: 60}) == Beginning(position=60)


def test_a_partition_of_which_nothing_is_kept_any_more_says_nothing() -> None:
    """The brokers dropped old records; the saved place stands."""
    assert begun(SAVED, ends=ENDS, reached={0: 40}) == Beginning(position=40)


def test_a_place_that_was_lost_is_found_in_the_topic() -> None:
    """The row is gone: each partition has everything up to its last record."""
    assert begun(None, ends=ENDS, reached={0: 40, 1: 35}) == Beginning(position=35)


def test_a_topic_that_was_made_again_begins_at_the_first_event() -> None:
    """It has another id, and whoever reads it is told everything anew."""
    again = begun(SAVED, ends={0: 0, 1: 0}, reached={}, topic=replace(TOPIC, topic_id="second"))
    assert again.position == 0
    assert "made again" in str(again.lost)


def test_offsets_that_went_back_are_published_again() -> None:
    """The brokers have less than they acknowledged: what all partitions have is where it goes on."""
    lost = begun(SAVED, ends={0: 31, 1: 12}, reached={0: 40, 1: 20})
    assert lost.position == 20
    assert "offsets went back" in str(lost.lost)


def test_an_empty_partition_after_a_loss_begins_at_the_first_event() -> None:
    """Nothing is known of what it had."""
    assert begun(SAVED, ends={0: 31, 1: 0}, reached={0: 40}).position == 0
