"""What the consumer of a Kafka topic needs to know."""

from dataclasses import dataclass
from typing import Final

from projections.kafka.connection import KafkaConnection, KafkaUnusableError

GROUP: Final = "licensing-ledger"
"""The group of all processes of a ledger that read its messages topic."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaInSettings:
    """Where AWS's messages lie in Kafka.

    Attributes:
        connection: how the brokers are reached.
        messages_topic: the topic with AWS's messages.
        dead_letter_topic: where those are copied that can't be understood; null to keep them in the inbox alone.
        group: the consumer group; each ledger that reads the same topic has its own.
    """

    connection: KafkaConnection
    messages_topic: str
    dead_letter_topic: str | None = None
    group: str = GROUP

    def check(self) -> None:
        """See that they can be meant.

        Raises:
            KafkaUnusableError: a message that can't be understood would come again for ever.
        """
        if self.dead_letter_topic == self.messages_topic:
            raise KafkaUnusableError(
                f"The messages topic and the dead-letter topic are both {self.messages_topic}. Set"
                " LEDGER_KAFKA_DEAD_LETTER_TOPIC to another one."
            )
