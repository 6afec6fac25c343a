"""Kafka for the tests: one broker or three of Apache Kafka itself, on KRaft."""

import atexit
import base64
import functools
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kafka.errors
from kafka.admin import KafkaAdminClient

from tests.services import absent
from tests.services.certificates import certify
from tests.services.processes import Home, Process, await_ready, free_port, listens

SASL_USERNAME: Final = "ledger"
SASL_PASSWORD: Final = "of-the-tests"

_JARS: Final = Path(__file__).parents[2] / ".services" / "kafka"
_SOON_S: Final = 60

FAST_START: Final = ("-Xms128m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""For Java: start within two seconds in little memory."""
HIGH_THROUGHPUT: Final = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC")
"""For Java: as an operator would have it, for measurements."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """Java, and the jars of Kafka."""

    java: Path
    jars: Path

    def command(self, main: str, *arguments: str | Path, options: Sequence[str] = FAST_START) -> list[str | Path]:
        """How to run one of Kafka's programs."""
        return [
            self.java,
            *options,
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            *("-cp", f"{self.jars}/*", main),
            *arguments,
        ]


def installation() -> Installation | str:
    """What Kafka runs on; in words what is missing if something is."""
    java_home = os.environ.get("JAVA_HOME")
    java = f"{java_home}/bin/java" if java_home else shutil.which("java")
    if java is None:
        return "Java is missing (Debian's package default-jre-headless): `make services` says all that is"
    if not any(_JARS.glob("kafka_*.jar")):
        return f"Kafka is not in {_JARS}: `make services` brings it there"
    return Installation(java=Path(java), jars=_JARS)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Broker:
    number: int
    plain: int
    controller: int
    sasl: int
    tls: int

    @property
    def name(self) -> str:
        return f"broker-{self.number}"


class KafkaCluster:
    """One broker or three, numbered from 1, not yet started; nothing of them is left once they are removed.

    With three, a topic has three replicas and a record is acknowledged when two have it. Topics are never made by being
    used. A broker keeps its ports when it is started again.
    """

    def __init__(
        self,
        software: Installation,
        *,
        brokers: int = 1,
        settings: Mapping[str, str] | None = None,
        java_options: Sequence[str] = FAST_START,
    ) -> None:
        """Make the brokers' folders.

        Args:
            software: What to run.
            brokers: How many.
            settings: Further settings of server.properties.
            java_options: FAST_START or HIGH_THROUGHPUT.
        """
        self._software: Final = software
        self._java_options: Final = java_options
        self._home: Final = Home("kafka")
        self._certificate: Final = certify(self._home.path)
        self._brokers: Final = {
            number: _Broker(number=number, plain=free_port(), controller=free_port(), sasl=free_port(), tls=free_port())
            for number in range(1, brokers + 1)
        }
        self._running: Final = dict[int, Process]()
        self._keystore: Final = self._home.path / "keystore.pem"
        self._keystore.write_text(self._certificate.key.read_text() + self._certificate.certificate.read_text())
        for broker in self._brokers.values():
            self._properties(broker).write_text(self._settings_of(broker, settings or {}))
        self._format()

    @property
    def bootstrap(self) -> str:
        """Where clients come in, without TLS and SASL: all brokers, with commas between them."""
        return _addresses(broker.plain for broker in self._brokers.values())

    @property
    def sasl_bootstrap(self) -> str:
        """Where they have to say SASL_USERNAME and SASL_PASSWORD, by SASL_PLAINTEXT and PLAIN."""
        return _addresses(broker.sasl for broker in self._brokers.values())

    @property
    def tls_bootstrap(self) -> str:
        """Where they have to speak TLS and trust the `certificate`; they may show it and the `key` too."""
        return _addresses(broker.tls for broker in self._brokers.values())

    @property
    def certificate(self) -> Path:
        """The certificate of all brokers, PEM."""
        return self._certificate.certificate

    @property
    def key(self) -> Path:
        """Its key, PEM."""
        return self._certificate.key

    def log(self, number: int) -> Path:
        """What a broker has to say."""
        return self._home.log(self._brokers[number].name)

    def pid(self, number: int) -> int:
        """The process of a running broker."""
        return self._running[number].pid

    def start(self) -> None:
        """Start all brokers and wait until they are one cluster.

        Raises:
            RuntimeError: They do not become one.
        """
        for number in self._brokers:
            self._launch(number)
        for number in self._brokers:
            self._await(number)

    def stop(self) -> None:
        """Kill all brokers; what they have on disk stays."""
        for number in list(self._running):
            self.kill(number)

    def remove(self) -> None:
        """Remove the brokers with all their data, running or not."""
        self.stop()
        self._home.remove()

    def kill(self, number: int) -> None:
        """Kill a broker, as `kill -9` does."""
        process = self._running.pop(number)
        process.kill()
        process.wait()
        self._home.ended(self._brokers[number].name)

    def start_broker(self, number: int) -> None:
        """Start a broker that was killed and wait until the cluster has it back; see `await_in_sync` too.

        Raises:
            RuntimeError: It does not come back.
        """
        self._launch(number)
        self._await(number)

    def create_topic(
        self, name: str, *, partitions: int = 1, replicas: int = -1, configs: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and wait until each partition has its leader; as many replicas as there are brokers."""
        topic = {"num_partitions": partitions, "replication_factor": replicas, "configs": configs or {}}
        with self.admin() as admin:
            admin.create_topics({name: topic}, wait_for_metadata=True)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until it is gone."""
        with self.admin() as admin:
            admin.delete_topics([name])
            _await(f"{name} to be deleted", lambda: name not in admin.list_topics())

    def leader(self, topic: str, partition: int = 0) -> int:
        """The number of the broker that leads a partition; -1 while there is none."""
        with self.admin() as admin:
            number: int = self._partitions(admin, topic)[partition]["leader_id"]
        return number

    def await_in_sync(self, topic: str) -> None:
        """Wait until every replica of a topic has all of it.

        Raises:
            TimeoutError: They have not within a minute.
        """
        with self.admin() as admin:
            _await(
                f"the replicas of {topic} to be in sync",
                lambda: all(
                    len(partition["isr_nodes"]) == len(partition["replica_nodes"])
                    for partition in self._partitions(admin, topic)
                ),
            )

    def admin(self) -> KafkaAdminClient:
        """A client for what else there is to see and set up; it is a context manager."""
        running = [self._brokers[number] for number in self._running]
        return KafkaAdminClient(bootstrap_servers=_addresses(broker.plain for broker in running))

    @staticmethod
    def _partitions(admin: KafkaAdminClient, topic: str) -> list[dict[str, Any]]:
        described: list[dict[str, Any]] = admin.describe_topics([topic])[0]["partitions"]
        return sorted(described, key=lambda partition: int(partition["partition_index"]))

    def _launch(self, number: int) -> None:
        broker = self._brokers[number]
        self._running[number] = self._home.start(
            broker.name,
            self._software.command("kafka.Kafka", self._properties(broker), options=self._java_options),
        )

    def _await(self, number: int) -> None:
        await_ready(f"broker {number}", self._running[number], self.log(number), lambda: self._is_in_cluster(number))

    def _is_in_cluster(self, number: int) -> bool:
        port = self._brokers[number].plain
        if not listens(port):
            return False
        try:
            with KafkaAdminClient(bootstrap_servers=_addresses([port]), bootstrap_timeout_ms=1_000) as admin:
                brokers = admin.describe_cluster()["brokers"]
        except kafka.errors.KafkaError:
            return False
        return any(broker["broker_id"] == number and not broker["is_fenced"] for broker in brokers)

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        for broker in self._brokers.values():
            options = ("format", f"--cluster-id={cluster}", f"--config={self._properties(broker)}")
            self._home.run("format", self._software.command("kafka.tools.StorageTool", *options))

    def _properties(self, broker: _Broker) -> Path:
        return self._home.path / f"{broker.name}.properties"

    def _settings_of(self, broker: _Broker, further: Mapping[str, str]) -> str:
        count = len(self._brokers)
        settings = {
            **_SETTINGS,
            **_replication(count),
            "node.id": str(broker.number),
            "controller.quorum.voters": ",".join(
                f"{voter.number}@127.0.0.1:{voter.controller}" for voter in self._brokers.values()
            ),
            "listeners": f"CONTROLLER://127.0.0.1:{broker.controller},{_listeners(broker)}",
            "advertised.listeners": _listeners(broker),
            "log.dirs": str(self._home.path / broker.name),
            "listener.name.tls.ssl.keystore.location": str(self._keystore),
            "listener.name.tls.ssl.truststore.location": str(self._certificate.certificate),
            **further,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


_SETTINGS: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAIN",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL",
    "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
    "listener.name.sasl.plain.sasl.jaas.config": (
        f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{SASL_USERNAME}="{SASL_PASSWORD}";'
    ),
    "listener.name.tls.ssl.keystore.type": "PEM",
    "listener.name.tls.ssl.truststore.type": "PEM",
    "listener.name.tls.ssl.client.auth": "requested",
    "auto.create.topics.enable": "false",
    # A group is there at once, and its offsets do not take fifty partitions.
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    # A dead broker is noticed in seconds, though not so soon that a busy machine makes one look dead.
    "broker.heartbeat.interval.ms": "1000",
    "broker.session.timeout.ms": "5000",
    # Little memory and few threads.
    "log.cleaner.dedupe.buffer.size": "8388608",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def _replication(brokers: int) -> dict[str, str]:
    replicas = str(min(3, brokers))
    in_sync = "2" if brokers > 1 else "1"
    return {
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
    }


def _listeners(broker: _Broker) -> str:
    return f"PLAIN://127.0.0.1:{broker.plain},SASL://127.0.0.1:{broker.sasl},TLS://127.0.0.1:{broker.tls}"


def _addresses(ports: Iterable[int]) -> str:
    return ",".join(f"127.0.0.1:{port}" for port in ports)


def _await(what: str, come_true: Callable[[], bool]) -> None:
    until = time.monotonic() + _SOON_S
    while not come_true():
        if time.monotonic() > until:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.1)


@functools.cache
def shared() -> KafkaCluster:
    """The one broker that tests share when they leave it running; started when first asked for.

    Leaves the test if Kafka is not installed.
    """
    return _kept(brokers=1)


@functools.cache
def shared_cluster() -> KafkaCluster:
    """The three brokers that tests share; who kills one brings it back."""
    return _kept(brokers=3)


def _kept(*, brokers: int) -> KafkaCluster:
    software = installation()
    if isinstance(software, str):
        absent(software)
    cluster = KafkaCluster(software, brokers=brokers)
    atexit.register(cluster.remove)
    cluster.start()
    return cluster
