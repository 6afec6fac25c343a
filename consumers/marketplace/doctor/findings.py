"""What the doctor finds: each one line, with what is so in words and what to do about it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Verdict(StrEnum):
    """How bad it is, from nothing to do to nothing works."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    COULD_NOT_LOOK = "could not look"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: what was looked at, in a word or three.
        verdict: how bad it is. Whatever the ledger itself can't do without is `wrong` where it does not work; `could
            not look` is for what only the doctor looks at, and for what hangs on something that is wrong already.
        told: what is so. Never a secret, nor a text of AWS's, which may hold anything.
        remedy: what to do; null where there is nothing to be done.
    """

    check: str
    verdict: Verdict
    told: str
    remedy: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """Something to look at, which may take seconds.

    Attributes:
        title: what is looked at, for who waits.
        look: looks; its findings come as they are made.
        needs_credentials: whether there is nothing to see if AWS does not take them.
    """

    title: str
    look: Callable[[], Iterator[Finding]]
    needs_credentials: bool = True


Findings: TypeAlias = Iterator[Finding]


def is_wrong(findings: Sequence[Finding]) -> bool:
    """Whether anything is."""
    return any(finding.verdict is Verdict.WRONG for finding in findings)


def ok(check: str, told: str) -> Finding:
    """All is well."""
    return Finding(check=check, verdict=Verdict.OK, told=told)


def warning(check: str, told: str, remedy: str) -> Finding:
    """It works, but may not for long, or not as meant."""
    return Finding(check=check, verdict=Verdict.WARNING, told=told, remedy=remedy)


def wrong(check: str, told: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(check=check, verdict=Verdict.WRONG, told=told, remedy=remedy)


def could_not_look(check: str, told: str, remedy: str | None = None) -> Finding:
    """Nothing is known of it."""
    return Finding(check=check, verdict=Verdict.COULD_NOT_LOOK, told=told, remedy=remedy)
