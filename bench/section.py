"""A section: measurements that belong to one table, and the servers that they need."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from bench.table import Measured, Row


class ServerIsMissingError(Exception):
    """A section can't be measured here; in one line, what is not installed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement, made in a process of its own.

    Attributes:
        key: by which its figures are found.
        side: the module, `embedded.ours` for one.
        name: of the function.
        sizes: its arguments.
    """

    key: str
    side: str
    name: str
    sizes: dict[str, int | str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A section whose servers run.

    Attributes:
        steps: its measurements in their order.
        rows: makes the rows of the table of what was measured.
        facts: lines about what was measured, beside those about the machine.
    """

    steps: Sequence[Step]
    rows: Callable[[Measured], list[Row]]
    facts: Sequence[str]


class Prepare(Protocol):
    """Starts the servers of a section, and ends them."""

    def __call__(self, *, tiny: bool) -> AbstractContextManager[Prepared]:
        """Prepare the section; tiny shows that everything runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Measurements of one table.

    Attributes:
        name: on the command line and in the README.
        headings: of the table.
        prepare: starts what it needs.
    """

    name: str
    headings: Row
    prepare: Prepare
