"""How a Kafka cluster is reached, for those who write to it and those who read from it."""

from dataclasses import dataclass, field
from typing import Any


class KafkaUnusableError(Exception):
    """Kafka can't be used as it is; the text is one line for people that says what is wrong and what to do."""


class KafkaIsAwayError(KafkaUnusableError):
    """No broker answers now, or not in time; it may come back by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaConnection:
    """Where the brokers are and how they are spoken to.

    Attributes:
        bootstrap: the brokers to ask first, each `host:port`.
        api_version: the version of Kafka to speak, such as (2, 3); null asks the broker.
        security_protocol: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
        sasl_mechanism: such as `PLAIN` or `SCRAM-SHA-512`; null without SASL.
        sasl_username: who signs in.
        sasl_password: the secret to it.
        ssl_cafile: a PEM file of the authorities that are trusted; null trusts the system's.
        ssl_certfile: a PEM file of the client's certificate, where the brokers want one.
        ssl_keyfile: a PEM file of its key.
        ssl_password: the secret that opens the key.
    """

    bootstrap: tuple[str, ...]
    api_version: tuple[int, ...] | None = None
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """The brokers for people."""
        return ",".join(self.bootstrap)

    def options(self) -> dict[str, Any]:
        """What every client of kafka-python is made with; only what is set."""
        told = {
            "bootstrap_servers": list(self.bootstrap),
            "api_version": self.api_version,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
            "ssl_password": self.ssl_password,
        }
        return {name: value for name, value in told.items() if value is not None}
