"""The door for AWS Marketplace's messages that come through Kafka.

`Forwarder` brings them from the SQS queue to a topic, `KafkaSource` from the topic into the same inbox into which they
come from the queue itself; from there on nothing differs.
"""

from consumers.kafka.forwarding import Forwarder
from consumers.kafka.settings import KafkaInSettings
from consumers.kafka.source import KafkaSource

__all__ = ["Forwarder", "KafkaInSettings", "KafkaSource"]
