"""Every error has its problem."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import ledger
from api.problems import PROBLEMS, InvalidProblem, Problem, problem_of
from ledger.errors import KeyIsClaimedError, LedgerError, QueueIsFullError, TimeIsInvalidError, TooManyNewUsersError
from ledger.license.access import AccessCode
from ledger.license.decisions import NoSeatIsFreeError, SecondReadingIsNeededError
from ledger.store import StoreError


def _errors(cls: type[LedgerError]) -> Iterator[type[LedgerError]]:
    for module in pkgutil.walk_packages(ledger.__path__, "ledger."):
        importlib.import_module(module.name)
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _errors(subclass)


# What only the consumers meet.
_NEVER_ANSWERED = {SecondReadingIsNeededError, KeyIsClaimedError}
ANSWERED = [error for error in _errors(LedgerError) if hasattr(error, "CODE") and error not in _NEVER_ANSWERED]


@pytest.mark.parametrize("error", ANSWERED)
def test_each_error_of_the_ledger_has_a_code_that_is_known(error: type[LedgerError]) -> None:
    """Whatever the ledger refuses with, the interface has a status and a title for it."""
    assert error.CODE in PROBLEMS


def test_each_code_that_refuses_access_is_known() -> None:
    """But for those that only `access` answers with."""
    only_answered = {AccessCode.ALLOWED, AccessCode.NO_SEAT}
    assert {code.value for code in AccessCode if code not in only_answered} <= set(PROBLEMS)


def test_a_refusal_brings_what_helps_to_act() -> None:
    """The members of the error stand in the document."""
    document = problem_of(NoSeatIsFreeError(seats_max=3, seats_active=3)).document(request_id="r")
    assert document["status"] == 409
    assert (document["seats_max"], document["seats_active"]) == (3, 3)
    assert list(document)[:5] == ["type", "title", "status", "detail", "code"]


def test_who_has_to_wait_is_told_how_long() -> None:
    """`Retry-After` in seconds."""
    assert problem_of(QueueIsFullError()).headers == {"Retry-After": "1"}
    assert problem_of(TooManyNewUsersError(users_max=1, retry_after_seconds=60)).headers == {"Retry-After": "60"}
    assert problem_of(StoreError("disk I/O error")).headers == {"Retry-After": "1"}


def test_a_time_that_is_not_valid_names_its_parameter() -> None:
    """`errors` has the field."""
    assert problem_of(TimeIsInvalidError("Too late.")).members == {"errors": {"as_of": ["Too late."]}}


def test_a_failure_tells_nothing_of_the_inside() -> None:
    """Neither the type nor the text of an unexpected error gets out."""
    problem = problem_of(ZeroDivisionError("the secret is 42"))
    assert (problem.status, problem.code) == (500, "INTERNAL")
    assert "42" not in str(problem.document(request_id="r"))


def test_a_problem_may_come_with_another_status() -> None:
    """A blocked user is 403 at the door and 409 at the deletion."""
    assert Problem("USER_BLOCKED", "…").status == 403
    assert Problem("USER_BLOCKED", "…", status=409).document(request_id="r")["status"] == 409


def test_names_of_fields_are_made_printable_and_short() -> None:
    """They are the caller's, and may be anything."""
    problem = InvalidProblem({"\ud800": ["x"], "a" * 500: {"\udfff": ["y"]}})
    assert problem.members["errors"] == {"?": ["x"], "a" * 100: {"?": ["y"]}}
