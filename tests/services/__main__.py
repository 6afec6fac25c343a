"""PostgreSQL and Kafka for a developer: prints the settings to reach them, and runs until Ctrl-C."""

import shlex
import signal
import sys
from contextlib import ExitStack

from tests.services import kafka, postgres
from tests.services.kafka import KafkaCluster
from tests.services.postgres import PostgresServer

EVENTS_TOPIC = "ledger.events"
LICENSES_TOPIC = "ledger.licenses"
MESSAGES_TOPIC = "marketplace.messages"
DEAD_LETTER_TOPIC = "marketplace.dead-letters"


def main() -> str | None:
    """Run both; in words what is missing if one can't be run."""
    debian, java = postgres.installation(), kafka.installation()
    if isinstance(debian, str):
        return debian
    if isinstance(java, str):
        return java
    with ExitStack() as stack:
        server = PostgresServer(debian, fsync=True)
        stack.callback(server.remove)
        server.start()
        brokers = KafkaCluster(java)
        stack.callback(brokers.remove)
        brokers.start()
        # The ledger makes the other two when it first publishes.
        brokers.create_topic(MESSAGES_TOPIC, partitions=12)
        brokers.create_topic(DEAD_LETTER_TOPIC)
        _tell(server, brokers)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
        sys.stdout.write("Stopping; their data go with them\n")
    return None


def _tell(server: PostgresServer, brokers: KafkaCluster) -> None:
    settings = {
        "LEDGER_DATABASE_URL": server.create_database("ledger"),
        "LEDGER_KAFKA_BOOTSTRAP": brokers.bootstrap,
        "LEDGER_KAFKA_EVENTS_TOPIC": EVENTS_TOPIC,
        "LEDGER_KAFKA_LICENSES_TOPIC": LICENSES_TOPIC,
        "LEDGER_KAFKA_MESSAGES_TOPIC": MESSAGES_TOPIC,
        "LEDGER_KAFKA_DEAD_LETTER_TOPIC": DEAD_LETTER_TOPIC,
    }
    sys.stdout.write("PostgreSQL and Kafka run until Ctrl-C. For another shell:\n\n")
    sys.stdout.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
    sys.stdout.write("\n")
    sys.stdout.flush()


if __name__ == "__main__":
    # Blocked from the beginning, so that whenever they come the servers are stopped.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    sys.exit(main())
