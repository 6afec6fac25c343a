"""docker-compose.yml as Docker Compose reads it: variables put in, services in the order in which they are started."""

import graphlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

_VARIABLE: Final = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\})")


class VariableIsMissingError(Exception):
    """A variable without which the file can't be used is not set; the text is what the file says to that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheck:
    """How it is found out whether a service is well; times in seconds.

    Attributes:
        test: the command and its arguments.
        interval: between two runs.
        timeout: of one run.
        retries: so many failures in a row, and the service is not well.
        start_period: in which failures do not count.
        start_interval: between two runs in that time.
    """

    test: Sequence[str]
    interval: float
    timeout: float
    retries: int
    start_period: float
    start_interval: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One service.

    Attributes:
        name: by which the others find it.
        image: what it runs.
        is_built: from the Dockerfile.
        entrypoint: the command; null is the image's.
        command: its arguments; null are the image's.
        environment: of its processes, beside the image's.
        ports: published ones: of the machine, then of the service.
        volumes: the folder of the service for each volume.
        waits_for: the condition for each service that has to be there before.
        health_check: null if there is none.
        said: all that the file says of it.
    """

    name: str
    image: str
    is_built: bool
    entrypoint: Sequence[str] | None
    command: Sequence[str] | None
    environment: Mapping[str, str]
    ports: Mapping[int, int]
    volumes: Mapping[str, str]
    waits_for: Mapping[str, str]
    health_check: HealthCheck | None
    said: Mapping[str, Any]


def read_compose(path: Path, environment: Mapping[str, str]) -> dict[str, Service]:
    """The services, each after those that it waits for.

    Raises:
        VariableIsMissingError: the environment lacks a variable.
    """
    said = interpolated(yaml.safe_load(path.read_text()), environment)["services"]
    waits = {name: list(service.get("depends_on", {})) for name, service in said.items()}
    return {name: _service(name, said[name]) for name in graphlib.TopologicalSorter(waits).static_order()}


def variables_of(path: Path) -> set[str]:
    """The names of all variables in a file."""
    return {found["name"] for found in _VARIABLE.finditer(path.read_text()) if found["name"]}


def interpolated(document: Any, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 -- whatever YAML holds
    """A document with all variables put in.

    Raises:
        VariableIsMissingError: the environment lacks one.
    """
    match document:
        case str():
            return _VARIABLE.sub(lambda found: _value(found, environment), document)
        case list():
            return [interpolated(one, environment) for one in document]
        case dict():
            return {name: interpolated(one, environment) for name, one in document.items()}
        case _:
            return document


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found["escaped"]:
        return "$"
    value = environment.get(found["name"], "")
    if value or found["kind"] is None:
        return value
    if found["kind"] == "?":
        raise VariableIsMissingError(f"{found['name']}: {found['text']}")
    return found["text"]


def _service(name: str, said: Mapping[str, Any]) -> Service:
    return Service(
        name=name,
        image=said["image"],
        is_built="build" in said,
        entrypoint=said.get("entrypoint"),
        command=said.get("command"),
        environment=said.get("environment", {}),
        ports=dict(_published(port) for port in said.get("ports", ())),
        volumes=dict(volume.split(":", 1) for volume in said.get("volumes", ())),
        waits_for={one: told["condition"] for one, told in said.get("depends_on", {}).items()},
        health_check=_health_check(said["healthcheck"]) if "healthcheck" in said else None,
        said=said,
    )


def _published(port: str) -> tuple[int, int]:
    _, outside, inside = port.split(":")
    return int(outside), int(inside)


def _health_check(said: Mapping[str, Any]) -> HealthCheck:
    kind, *test = said["test"]
    if kind != "CMD":
        raise ValueError(f"a health check of the kind {kind} is not understood")
    return HealthCheck(
        test=test,
        interval=_seconds(said["interval"]),
        timeout=_seconds(said["timeout"]),
        retries=said["retries"],
        start_period=_seconds(said["start_period"]),
        start_interval=_seconds(said["start_interval"]),
    )


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+s", text):
        raise ValueError(f"{text} is not a number of seconds")
    return float(text.removesuffix("s"))
