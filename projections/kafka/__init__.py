"""Kafka out: every event, and the License Information of each license, for other systems."""

from projections.kafka.connection import KafkaConnection, KafkaIsAwayError, KafkaUnusableError
from projections.kafka.publisher import Publisher, PublisherSettings, PublisherStatus
from projections.kafka.saved import METADATA

__all__ = [
    "METADATA",
    "KafkaConnection",
    "KafkaIsAwayError",
    "KafkaUnusableError",
    "Publisher",
    "PublisherSettings",
    "PublisherStatus",
]
