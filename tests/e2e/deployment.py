"""The services of docker-compose.yml as processes of this machine, started as Docker Compose starts them.

What they run is what the file says: commands, environment, health checks, order. Put in place are only addresses (every
service gets a port of 127.0.0.1), folders of volumes, and the images: ours as the Dockerfile makes it, PostgreSQL's and
Kafka's by the servers of the tests. Ours run as the image's user, with the image's environment and nothing else.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.e2e.compose import Service
from tests.e2e.image import USER, Image
from tests.services import kafka, postgres
from tests.services.postgres import PostgresServer
from tests.services.processes import Home, free_port

STOP_SECONDS: Final = 30.0

_SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_KAFKA_SCRIPTS: Final = "/opt/kafka/bin"
# As the scripts of that name call them.
_KAFKA_COMMANDS: Final[Mapping[str, str]] = {
    "kafka-broker-api-versions.sh": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
}
# What the image of Kafka reads by itself; all else named KAFKA_... goes into server.properties.
_NOT_IN_PROPERTIES: Final = {"KAFKA_HEAP_OPTS"}


class ServiceIsNotWellError(Exception):
    """A service did not become what others wait for; the text ends with what it printed."""


class Deployment:
    """Starts the services; none outlives the test."""

    def __init__(
        self,
        services: Mapping[str, Service],
        image: Image,
        *,
        of_postgres: postgres.Installation,
        of_kafka: kafka.Installation,
    ) -> None:
        """Give each service its ports; nothing is started yet."""
        self._services: Final = services
        self._image: Final = image
        self._of_postgres: Final = of_postgres
        self._of_kafka: Final = of_kafka
        self._home: Final = Home("deployment")
        self._home.path.chmod(0o755)
        self._ports: Final = {address: free_port() for address in sorted(_addresses(services))}
        self._published: Final = {
            outside: self._ports[name, inside]
            for name, service in services.items()
            for outside, inside in service.ports.items()
        }
        self._postgres: PostgresServer | None = None
        self.processes: Final = dict[str, "subprocess.Popen[str]"]()
        self._write_kafka_scripts()

    def url(self, name: str) -> str:
        """Where a service with one published port is found from outside."""
        (inside,) = self._services[name].ports.values()
        return f"http://127.0.0.1:{self._ports[name, inside]}"

    def address(self, name: str, port: int) -> str:
        """Where a service is found by the others."""
        return f"127.0.0.1:{self._ports[name, port]}"

    def log(self, name: str) -> Path:
        """What a service printed."""
        return self._home.log(name)

    def volume(self, name: str) -> Path:
        """The folder of a volume."""
        return self._home.path / "volumes" / name

    def start(self) -> None:
        """Start every service when those that it waits for are there, and wait until all that can be asked are well.

        Raises:
            ServiceIsNotWellError: one is not, as soon as Docker Compose would say so.
        """
        for service in self._services.values():
            for name, condition in service.waits_for.items():
                self._await(self._services[name], condition)
            self._start(service)
        for service in self._services.values():
            if service.health_check is not None:
                self._await(service, "service_healthy")

    def stop(self) -> dict[str, int]:
        """Stop those that the Dockerfile makes, the last started first, as Docker does; their exit codes."""
        codes = {}
        for name in reversed([name for name, service in self._services.items() if service.is_built]):
            self.processes[name].send_signal(signal.SIGTERM)
            codes[name] = self.processes[name].wait(STOP_SECONDS)
            self._forget(name)
        return codes

    def remove(self) -> None:
        """Remove everything, running or not."""
        for name in list(self.processes):
            self.processes[name].kill()
            self.processes[name].wait()
            self._forget(name)
        if self._postgres is not None:
            self._postgres.remove()
        self._home.remove()

    def _forget(self, name: str) -> None:
        del self.processes[name]
        self._home.ended(name)

    # -- starting ------------------------------------------------------------------------------------------------------

    def _start(self, service: Service) -> None:
        if service.image.startswith("postgres:"):
            self._start_postgres(service)
        elif service.image.startswith("apache/kafka:") and service.entrypoint is None:
            self._start_broker(service)
        else:
            self._launch(service, self._command(service))

    def _command(self, service: Service) -> list[str]:
        entrypoint = service.entrypoint or self._image.entrypoint
        command = service.command or (self._image.command if service.entrypoint is None else ())
        return [self._put_in_place(one, service) for one in (*entrypoint, *command)]

    def _launch(self, service: Service, command: Sequence[str | Path]) -> None:
        with self.log(service.name).open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self._workdir(service),
                env=self._environment(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                user=USER if self._is_other_user(service) else None,
                group=USER if self._is_other_user(service) else None,
                extra_groups=[] if self._is_other_user(service) else None,
            )
        self.processes[service.name] = process
        (self._home.path / f"{service.name}.pid").write_text(str(process.pid))

    def _start_postgres(self, service: Service) -> None:
        """As the image does: a server with a superuser and a database of that name; its settings are the command's."""
        program, *options = service.command or ()
        assert program == "postgres"
        settings = dict(option.split("=", 1) for option in options if option != "-c")
        self._postgres = server = PostgresServer(self._of_postgres, fsync=True, settings=settings)
        server.start()
        name, password = service.environment["POSTGRES_USER"], service.environment["POSTGRES_PASSWORD"]
        server.execute(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{password}'")
        server.create_database(service.environment["POSTGRES_DB"])
        self._ports["postgres", 5432] = server.port

    def _start_broker(self, service: Service) -> None:
        """As the image does: settings from the environment, a folder that is formatted once, and the broker."""
        told = {
            name: self._put_in_place(value, service)
            for name, value in service.environment.items()
            if name.startswith("KAFKA_") and name not in _NOT_IN_PROPERTIES
        }
        properties = self._home.path / f"{service.name}.properties"
        properties.write_text("".join(f"{_property(name)}={value}\n" for name, value in told.items()))
        self._home.run(
            f"{service.name}-format",
            self._of_kafka.command(
                "kafka.tools.StorageTool",
                *("format", f"--cluster-id={service.environment['CLUSTER_ID']}", f"--config={properties}"),
            ),
        )
        heap = service.environment["KAFKA_HEAP_OPTS"].split()
        options = (*heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        self._launch(service, self._of_kafka.command("kafka.Kafka", properties, options=options))

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _await(self, service: Service, condition: str) -> None:
        if condition == "service_completed_successfully":
            code = self.processes[service.name].wait(60)
            if code != 0:
                raise ServiceIsNotWellError(f"{service.name} ended with {code}:\n{self.log(service.name).read_text()}")
            return
        assert condition == "service_healthy"
        check = service.health_check
        assert check is not None, f"{service.name} has no health check, so nobody can wait for it"
        begun, failures = time.monotonic(), 0
        while not self._is_well(service):
            process = self.processes.get(service.name)
            in_start_period = time.monotonic() - begun < check.start_period
            failures += not in_start_period
            if failures >= check.retries or (process is not None and process.poll() is not None):
                raise ServiceIsNotWellError(f"{service.name} is not well:\n{self.log(service.name).read_text()}")
            time.sleep(check.start_interval if in_start_period else check.interval)

    def _is_well(self, service: Service) -> bool:
        check = service.health_check
        assert check is not None
        try:
            asked = subprocess.run(
                [self._put_in_place(one, service) for one in check.test],
                env=self._environment(service),
                cwd=self._workdir(service),
                timeout=check.timeout,
                capture_output=True,
                check=False,
                user=USER if self._is_other_user(service) else None,
            )
        except subprocess.TimeoutExpired:
            return False
        return asked.returncode == 0

    # -- putting in place ----------------------------------------------------------------------------------------------

    def _put_in_place(self, text: str, service: Service) -> str:
        """A text of the file with the addresses and folders that they are here."""
        if text.isdigit() and (service.name, int(text)) in self._ports:
            return str(self._ports[service.name, int(text)])
        for (name, port), here in self._ports.items():
            own = rf"|127\.0\.0\.1:{port}" if name == service.name else ""
            text = re.sub(rf"(?<![\w.-])({re.escape(name)}:{port}{own})\b", f"127.0.0.1:{here}", text)
        for outside, here in self._published.items():
            text = re.sub(rf"\blocalhost:{outside}\b", f"localhost:{here}", text)
        for name, folder in service.volumes.items():
            text = re.sub(rf"(?<![\w/]){re.escape(folder)}\b", str(self.volume(name)), text)
        return text.replace(_KAFKA_SCRIPTS, str(self._home.path / "kafka-bin"))

    def _environment(self, service: Service) -> dict[str, str]:
        """The image's environment and the service's; nothing of this machine's."""
        of_image = self._image.environment if service.is_built else {"PATH": self._system_path(service)}
        both = dict(of_image) | dict(service.environment)
        return {name: self._put_in_place(value, service) for name, value in both.items()}

    def _system_path(self, service: Service) -> str:
        programs = [self._of_kafka.java.parent] if service.image.startswith("apache/kafka:") else []
        if self._postgres is not None and service.image.startswith("postgres:"):
            programs = [self._postgres.binaries]
        return ":".join([*map(str, programs), _SYSTEM_PATH])

    def _workdir(self, service: Service) -> Path:
        """The volume that is there, or a folder that can't be written, as is all of a read-only file system."""
        for name in service.volumes:
            return self._made_for(service, self.volume(name))
        return Path("/proc")

    def _made_for(self, service: Service, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        if self._is_other_user(service):
            os.chown(folder, USER, USER)
        return folder

    def _is_other_user(self, service: Service) -> bool:
        return service.is_built and os.geteuid() == 0

    def _write_kafka_scripts(self) -> None:
        folder = self._home.path / "kafka-bin"
        folder.mkdir()
        for name, main in _KAFKA_COMMANDS.items():
            command = " ".join(f"'{part}'" for part in self._of_kafka.command(main))
            script = folder / name
            script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            script.chmod(0o755)


def _addresses(services: Mapping[str, Service]) -> set[tuple[str, int]]:
    """Every port of a service that anything in the file names."""
    texts = [
        text
        for service in services.values()
        for text in (*service.environment.values(), *(service.command or ()), *(service.entrypoint or ()))
    ]
    named = "|".join(map(re.escape, services))
    found = {(name, int(port)) for text in texts for name, port in re.findall(rf"(?<![\w.-])({named}):(\d+)", text)}
    return found | {(name, port) for name, service in services.items() for port in service.ports.values()}


def _property(name: str) -> str:
    """The name that a variable of Kafka's image has in server.properties."""
    return name.removeprefix("KAFKA_").lower().replace("__", "-").replace("_", ".")
