"""The Dockerfile, carried out without Docker: each stage is a folder, and its paths stand in that folder.

What cannot be had this way is the base image: the Python of this machine stands for it.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

USER: Final = 10_001
"""As the Dockerfile says; a test sees that it does."""

_SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
# Of this machine, what leads to the packages: its proxies and certificates.
_OF_THE_NETWORK: Final = re.compile(r"PIP_.*|.*_PROXY|SSL_CERT_.*|HOME", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """What stands behind the name, in JSON or as words."""
        if self.text.startswith("["):
            said: list[str] = json.loads(self.text)
            return said
        return shlex.split(self.text)


def read_dockerfile(path: Path) -> list[list[Instruction]]:
    """The instructions of each stage, FROM first."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    stages: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, text = line.split(maxsplit=1)
        if name == "FROM":
            stages.append([])
        stages[-1].append(Instruction(name=name, text=text))
    return stages


@dataclass(kw_only=True)
class Image:
    """What comes out: the last stage.

    Attributes:
        root: the folder that its file system stands in.
        base: the Python that stands for the base image.
        paths: of the image that stand in that folder; all others are this machine's.
        environment: of every process.
    """

    root: Path
    base: Path
    paths: set[str] = field(default_factory=set)
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = "0:0"
    workdir: str = "/"
    volumes: Sequence[str] = ()
    ports: Sequence[int] = ()

    def here(self, path: str) -> Path:
        """Where a path of the image stands on this machine."""
        return self.root / path.lstrip("/")

    def put_in_place(self, text: str) -> str:
        """A text with all paths of the image as they are on this machine."""
        known = "|".join(sorted(map(re.escape, self.paths), key=len, reverse=True))
        return re.sub(rf"(?<![\w./-])({known})(?![\w.-])", lambda found: str(self.here(found[1])), text)


def build(dockerfile: Path, folder: Path) -> Image:
    """Carry out a Dockerfile beside its context."""
    python = python_for_all()
    stages: dict[str, Path] = {}
    image: Image | None = None
    for number, (start, *instructions) in enumerate(read_dockerfile(dockerfile)):
        base = folder / f"base-{number}"
        subprocess.run([python, "-m", "venv", base], check=True)
        root = folder / "root"
        root.mkdir()
        image = Image(root=root, base=base)
        for instruction in instructions:
            _carry_out(instruction, image, context=dockerfile.parent, stages=stages)
        if number + 1 < len(read_dockerfile(dockerfile)):
            # Every stage is made at the same place, since programs in it know their own path.
            stages[start.words[-1]] = root.rename(folder / f"stage-{number}")
    if image is None:
        raise ValueError(f"{dockerfile} has no stage")
    return image


def python_for_all() -> Path:
    """A Python that every user of this machine may run."""
    user = USER if os.geteuid() == 0 else None
    for candidate in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        python = Path(candidate).resolve()
        try:
            subprocess.run([python, "-c", "import ensurepip, venv"], check=True, user=user, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    raise RuntimeError("no Python of this machine can be run by every user and has venv and ensurepip")


def _carry_out(instruction: Instruction, image: Image, *, context: Path, stages: Mapping[str, Path]) -> None:
    words = instruction.words
    match instruction.name:
        case "RUN":
            _run(instruction.text, image)
        case "COPY":
            _copy(words, image, context=context, stages=stages)
        case "WORKDIR":
            image.workdir = words[0]
            image.paths.add(words[0])
            image.here(words[0]).mkdir(parents=True, exist_ok=True)
        case "ENV":
            _set_environment(words, image)
        case "USER":
            image.user = words[0]
        case "ENTRYPOINT" | "CMD" | "VOLUME" | "EXPOSE":
            _tell(instruction.name, words, image)
        case "STOPSIGNAL":
            # Said to Docker alone; the tests stop with the same.
            assert words == ["SIGTERM"]
        case _:
            raise ValueError(f"the instruction {instruction.name} is not understood")


def _set_environment(words: Sequence[str], image: Image) -> None:
    before = {"PATH": f"{image.base / 'bin'}:{_SYSTEM_PATH}", **image.environment}
    for name, value in (word.split("=", 1) for word in words):
        image.environment[name] = re.sub(r"\$(\w+)", lambda found: before[found[1]], image.put_in_place(value))


def _tell(name: str, words: Sequence[str], image: Image) -> None:
    match name:
        case "ENTRYPOINT":
            image.entrypoint = words
        case "CMD":
            image.command = words
        case "VOLUME":
            image.volumes = words
        case _:
            image.ports = [int(word) for word in words]


def _run(command: str, image: Image) -> None:
    if os.geteuid() != 0:
        # Who is not root owns all that it makes, and can't give it away.
        command = re.sub(r" --(owner|group)=\S+", "", command)
    image.paths |= set(re.findall(r"(?<![\w./-])(/(?:opt|data)[\w./-]*)", command)) - {"/opt"}
    kept = {name: value for name, value in os.environ.items() if _OF_THE_NETWORK.fullmatch(name)}
    path = image.environment.get("PATH", f"{image.base / 'bin'}:{_SYSTEM_PATH}")
    done = subprocess.run(
        ["/bin/sh", "-c", image.put_in_place(command)],
        cwd=image.here(image.workdir),
        env=kept | image.environment | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"


def _copy(words: Sequence[str], image: Image, *, context: Path, stages: Mapping[str, Path]) -> None:
    options = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
    *sources, target = (word for word in words if not word.startswith("--"))
    if target.startswith("/"):
        image.paths.add(target)
    to = image.here(os.path.join(image.workdir, target))  # noqa: PTH118 -- an absolute target stays as it is
    if "from" in options:
        (source,) = sources
        shutil.copytree(stages[options["from"]] / source.lstrip("/"), to, symlinks=True)
        return
    for source in sources:
        found = [path for path in _sent(context) if path == source or path.startswith(f"{source}/")]
        assert found, f"{source} is not in the context"
        for path in found:
            inside = path.removeprefix(source).lstrip("/")
            copied = to / (inside or Path(source).name) if inside or target.endswith("/") else to
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(context / path, copied)


def _sent(context: Path) -> Iterator[str]:
    """The files that .dockerignore lets through: the last line that speaks of a file or of a folder above it counts."""
    lines = [line for line in (context / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    # All else is shut out by the first line, and need not be looked at.
    assert lines[0] == "*"
    rules = [(line.startswith("!"), _pattern(line.lstrip("!"))) for line in lines]
    for line in lines:
        named = context / line.removeprefix("!")
        for path in [named, *named.rglob("*")] if line.startswith("!") else ():
            told = path.relative_to(context).as_posix()
            if path.is_file() and [lets for lets, pattern in rules if pattern.match(told)][-1]:
                yield told


def _pattern(line: str) -> re.Pattern[str]:
    translated = re.escape(line).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
    return re.compile(rf"{translated}(/.*)?$")
