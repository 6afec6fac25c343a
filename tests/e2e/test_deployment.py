"""Dockerfile and docker-compose.yml: what they say is done as it stands there, and a story is played through it."""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import kafka
import pytest
import urllib3

from commands.settings import AWS_ACCOUNTS, BLIND_WAIT, PREFIX, RECONCILE_EVERY, SETTINGS, Settings
from tests.e2e.compose import Service, VariableIsMissingError, read_compose, variables_of
from tests.e2e.composed import OPERATOR_KEY, START_SECONDS, Served, wait_for
from tests.e2e.deployment import Deployment
from tests.e2e.image import USER, Image, build, read_dockerfile
from tests.e2e.stories import buy, issue_client_key, sign_in
from tests.services import absent
from tests.services import kafka as brokers
from tests.services import postgres as servers
from tests.services.processes import Home, free_port

ROOT = Path(__file__).parents[2]
DOCKERFILE, COMPOSE = ROOT / "Dockerfile", ROOT / "docker-compose.yml"
# As in a filled in .env; the password is one that an address could not hold as it is.
SECRETS = {"POSTGRES_PASSWORD": "of/this@story:only", "LEDGER_ADMIN_KEY": OPERATOR_KEY}
SERVICES = read_compose(COMPOSE, SECRETS)
OURS = {name: service for name, service in SERVICES.items() if service.is_built}
EVENTS, LICENSES, MESSAGES = "licensing-ledger-events", "licensing-ledger-licenses", "marketplace-messages"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """What the Dockerfile makes."""
    home = Home("image")
    home.path.chmod(0o755)
    yield build(DOCKERFILE, home.path)
    home.remove()


@pytest.fixture
def deployment(image: Image) -> Iterator[Deployment]:
    """The services, not yet started."""
    of_postgres, of_kafka = servers.installation_18(), brokers.installation()
    if isinstance(of_postgres, str):
        absent(of_postgres)
    if isinstance(of_kafka, str):
        absent(of_kafka)
    made = Deployment(SERVICES, image, of_postgres=of_postgres, of_kafka=of_kafka)
    yield made
    made.remove()


# -- the files as they stand -------------------------------------------------------------------------------------------


def test_without_its_secrets_nothing_is_started() -> None:
    """Compose stops and says what to set, and .env.example names every variable there is."""
    for missing in SECRETS:
        with pytest.raises(VariableIsMissingError, match=f"{missing}: set it in .env to a"):
            read_compose(COMPOSE, {name: value for name, value in SECRETS.items() if name != missing})
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE)) == variables_of(COMPOSE)
    assert set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE)) == set(SECRETS)


@pytest.mark.parametrize("service", OURS.values(), ids=OURS)
def test_every_setting_named_is_one(service: Service) -> None:
    """Each LEDGER_ variable of a service is known and can be read."""
    settings = Settings(service.environment)
    assert settings.unknown == []
    assert {name for name in service.environment if name.startswith(PREFIX)} <= {one.name for one in SETTINGS}


def test_whoever_reads_aws_compares_it_with_the_ledger_from_time_to_time() -> None:
    """Once a day if nothing is said, and as .env says; who takes messages is named there too."""
    assert Settings(SERVICES["consumer"].environment).optional(RECONCILE_EVERY) == timedelta(days=1)
    said = {"LEDGER_RECONCILE_EVERY": "PT6H", "LEDGER_AWS_ACCOUNTS": "123456789012", "LEDGER_BLIND_WAIT": "P1D"}
    told = {name: Settings(service.environment) for name, service in read_compose(COMPOSE, SECRETS | said).items()}
    assert told["consumer"].optional(RECONCILE_EVERY) == timedelta(hours=6)
    assert told["consumer"].optional(AWS_ACCOUNTS) == frozenset({"123456789012"})
    assert {told[name][BLIND_WAIT] for name in ("consumer", "ledger-1", "ledger-2")} == {timedelta(days=1)}


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_tells_how_it_is_or_why_not(service: Service) -> None:
    """It has a health check, or the file says why it needs none."""
    assert (service.health_check is None) == bool(service.said.get("x-without-healthcheck"))


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_gets_no_more_rights_than_it_needs(service: Service) -> None:
    """None keeps a capability or can gain one, and ours write nothing but /tmp and a volume at /data."""
    assert service.said["cap_drop"] == ["ALL"]
    assert service.said["security_opt"] == ["no-new-privileges:true"]
    if service.is_built:
        assert service.said["read_only"] is True
        assert service.said["tmpfs"] == ["/tmp"]  # noqa: S108 -- in the container
        assert set(service.volumes.values()) <= {"/data"}


def test_what_is_published_is_published_to_this_machine_alone() -> None:
    """No port is open to others, and neither the database nor Kafka has one."""
    published = [port for service in SERVICES.values() for port in service.said.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert {name for name, service in SERVICES.items() if service.ports} == {"ledger-1", "ledger-2", "sandbox"}


def test_images_are_of_one_version() -> None:
    """Each is pinned; Kafka's is the one that is tested, and PostgreSQL's of the same major version."""
    images = {service.image for service in SERVICES.values()}
    images |= {stage[0].words[0] for stage in read_dockerfile(DOCKERFILE)}
    assert all(re.search(r":\d+\.\d+", one) for one in images), images
    tested = (ROOT / "tests" / "services" / "kafka-pom.xml").read_text()
    (of_kafka,) = {service.image for name, service in SERVICES.items() if name.startswith("kafka")}
    assert f"<version>{of_kafka.removeprefix('apache/kafka:')}</version>" in tested
    assert SERVICES["postgres"].image.startswith("postgres:18.")


# -- the image ---------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_the_image_runs_without_rights_and_tools(image: Image) -> None:
    """Its user has a number and is not root; nothing of what builds is left; it has the ledger's port and command."""
    assert (image.user, image.entrypoint) == (f"{USER}:{USER}", ["licensing-ledger"])
    assert (image.workdir, image.volumes, image.ports) == ("/data", ["/data"], [8080])
    ours = image.here("/opt/licensing-ledger")
    for folder in (ours, image.base):
        installed = {path.name.split("-")[0] for path in folder.glob("lib/python*/site-packages/*")}
        assert not installed & {"pip", "setuptools", "wheel", "hatchling", "editables"}
    assert {path.name for path in image.root.iterdir()} == {"opt", "data"}


@pytest.mark.timeout(600)
def test_alone_it_serves_from_its_volume(image: Image) -> None:
    """Without any setting it keeps an SQLite file in /data, and writes nothing else, as a user without a home."""
    before, port = _files(image.root), free_port()
    environment = image.environment | {"LEDGER_PORT": str(port)}
    user = USER if os.geteuid() == 0 else None
    process = subprocess.Popen(
        [*image.entrypoint, *image.command],
        env=environment,
        cwd=image.here(image.workdir),
        user=user,
        extra_groups=[] if user else None,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _answers(f"http://127.0.0.1:{port}/healthz/ready"), what="the ledger")
    finally:
        process.terminate()
        assert process.wait(20) == 0
    written = {path.relative_to(image.root).parts[0] for path, _ in _files(image.root) - before}
    assert written == {"data"}


@pytest.mark.timeout(600)
def test_a_story_through_the_whole_deployment(deployment: Deployment, image: Image) -> None:
    """What is bought comes by SQS and Kafka; who signs in at one ledger is seen at the other and in the topics."""
    before = _files(image.root)
    deployment.start()
    one, other = (_served(deployment, name) for name in ("ledger-1", "ledger-2"))
    _, license_id = buy(one, account="111122223333", seats=5)
    assert _record(deployment, MESSAGES, lambda value: value["detail-type"].startswith("License Updated"))
    client = issue_client_key(one, license_id)
    answer = sign_in(one, license_id, "Ada", client)
    assert (answer["code"], answer["allowed"]) == ("ALLOWED", True)

    seats = other.call("GET", f"/v1/licenses/{license_id}/seats?limit=10")
    assert [(seat["user"], seat["status"]) for seat in seats.json["items"]] == [("Ada", "active")]
    event = _record(deployment, EVENTS, lambda value: value.get("id") == str(answer["position"]))
    assert (event["type"], event["subject"]) == ("license.seat-activated", license_id)
    information = _record(deployment, LICENSES, lambda value: value["seats_active"] == 1)
    assert (information["license_id"], information["seats_max"]) == (license_id, 5)

    assert deployment.stop() == dict.fromkeys(OURS, 0)
    assert _files(image.root) == before
    contracts = "licensing-ledger.sandbox.json"
    kept = {path.name for path in deployment.volume("sandbox").iterdir()}
    assert kept == {contracts, f"{contracts}.lock", "licensing-ledger.sandbox.signing.pem"}


def _served(deployment: Deployment, name: str) -> Served:
    return Served(
        process=deployment.processes[name],
        log=deployment.log(name),
        url=deployment.url(name),
        sandbox_url=deployment.url("sandbox"),
    )


def _files(folder: Path) -> set[tuple[Path, int]]:
    """Every file with the time of its last change."""
    return {(path, path.lstat().st_mtime_ns) for path in folder.rglob("*") if not path.is_dir()}


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _record(deployment: Deployment, topic: str, wanted: Callable[[Any], bool]) -> Any:  # noqa: ANN401 -- what JSON holds
    """The first record of a topic that is wanted; waits until it is there."""
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=deployment.address("kafka-1", 9092),
        auto_offset_reset="earliest",
        consumer_timeout_ms=int(START_SECONDS * 1000),
    )
    with contextlib.closing(consumer):
        consumer.assign([kafka.TopicPartition(topic, one) for one in consumer.partitions_for_topic(topic)])
        for record in consumer:
            value = json.loads(record.value)
            if wanted(value):
                return value
    raise AssertionError(f"waited in vain for a record of {topic}")
