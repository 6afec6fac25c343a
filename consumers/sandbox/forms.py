"""What a person typed into a form of the page, brought to what the Marketplace takes."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from marshmallow import ValidationError

from consumers.sandbox import contracts
from consumers.sandbox.clock import ClockGoesForwardError
from consumers.sandbox.contracts import MarketplaceRefusedError, NoRenewal, Product
from consumers.sandbox.mischief import HANG_SECONDS, MischiefPlan
from consumers.sandbox.schemas import MischiefSchema, read_start

Typed = Mapping[str, str]
Errors = Mapping[str, Sequence[str]]
"""Sentences by field; those of the form as a whole stand at `""`."""

SHARES: Final = (
    "drop",
    "duplicate",
    "reorder",
    "respell",
    "throttle",
    "fail",
    "hang",
    "empty_pages",
    "missing_row",
    "as_buyer",
    "expired_tokens",
)
"""Members of a plan of mischief that are shares; the page has them in percent."""

_PERCENT: Final = 100
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_FIELD_OF_REFUSAL: Final[Mapping[type[MarketplaceRefusedError], str]] = {
    contracts.AccountIdMalformedError: "account_id",
    contracts.AnotherContractIsActiveError: "account_id",
    contracts.SeatsOutOfRangeError: "seats",
    contracts.StartIsPastError: "starts_at",
    contracts.EndNotLaterError: "until",
    contracts.TrialEndOutsideError: "trial_ends_at",
    ClockGoesForwardError: "to",
}
_STEPS: Final[Mapping[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}


def errors_of(error: ValidationError | MarketplaceRefusedError) -> Errors:
    """Tell beside which field a reason belongs."""
    if isinstance(error, MarketplaceRefusedError):
        return {_FIELD_OF_REFUSAL.get(type(error), ""): [str(error)]}
    return {"" if name == "_schema" else name: _sentences(said) for name, said in error.messages_dict.items()}


def purchase(typed: Typed, product: Product) -> dict[str, Any]:
    """Read the terms of a purchase, for its schema.

    Raises:
        ValidationError: a number is none.
    """
    read = _present(typed, ("account_id", "generation", "at_end", "starts_at", "trial_ends_at"))
    return read | {
        "product_code": product.code,
        "seats": _seats(typed, product),
        "until": _end(typed),
        "via_partner": "via_partner" in typed,
    }


def successor(typed: Typed, product: Product, *, intent: str) -> dict[str, Any]:
    """Read the terms of an agreement that takes the place of another one, for its schema.

    Raises:
        ValidationError: a number is none.
    """
    return _present(typed, ("starts_at", "predecessor_ends")) | {
        "intent": intent,
        "seats": _seats(typed, product),
        "until": _end(typed),
        "keeps_license": typed.get("license") == "same",
        "is_linked": "unlinked" not in typed,
    }


def seats(typed: Typed, product: Product) -> dict[str, Any]:
    """Read another number of seats, for its schema.

    Raises:
        ValidationError: a number is none.
    """
    return {"seats": _seats(typed, product)}


def end(typed: Typed) -> dict[str, Any]:
    """Read a later end, for its schema."""
    return {"until": _end(typed)}


def decision(typed: Typed) -> dict[str, Any]:
    """Read what becomes of a contract at its end, for its schema: somebody opts out, or there is a reason."""
    if typed.get("by") in [*NoRenewal]:
        return _present(typed, ("at_end",)) | {"reason": typed["by"]}
    return _present(typed, ("at_end", "by"))


def notice(typed: Typed) -> dict[str, Any]:
    """Read which notice is given, for its schema: `ending-30` is 30 days before the end."""
    name, _, days = typed.get("notice", "").partition("-")
    if name == "ending" and _whole(days) is not None:
        return {"notice": name, "days": _whole(days)}
    return {"notice": typed.get("notice", "")}


def moment(typed: Typed, *, now: datetime, next_due: datetime | None) -> datetime:
    """Read where the clock is to be moved: by a step, to what falls due next, or to a date.

    Raises:
        ValidationError: it is no date, or nothing falls due.
    """
    step = typed.get("step", "")
    if step in _STEPS:
        return now + _STEPS[step]
    if step == "next":
        if next_due is None:
            raise ValidationError({"": ["Nothing falls due."]})
        return max(next_due, now)
    day, time = typed.get("to", ""), typed.get("to_time", "")
    try:
        return read_start(f"{day}T{time}Z" if time else day)
    except ValidationError as error:
        raise ValidationError({"to": error.messages}) from error


def mischief(typed: Typed) -> MischiefPlan:
    """Read a plan of mischief, whose shares are in percent.

    Raises:
        ValidationError: a number is none, or out of its range.
    """
    wrong: dict[str, list[str]] = {}
    plan: dict[str, Any] = {}
    for name in SHARES:
        percent = _number(typed.get(name) or "0")
        if percent is None or not 0 <= percent <= _PERCENT:
            wrong[name] = ["Give a percentage from 0 to 100."]
        else:
            plan[name] = percent / _PERCENT
    delays = [_number(typed.get(name) or "0") for name in ("delay_least", "delay_most")]
    if None in delays:
        wrong["delay_seconds"] = ["Give two numbers of seconds."]
    seed = _whole(typed.get("seed", "").strip())
    if seed is None or seed < 0:
        wrong["seed"] = ["Give a whole number from 0 on."]
    hang_seconds = _number(typed.get("hang_seconds") or str(HANG_SECONDS))
    if hang_seconds is None:
        wrong["hang_seconds"] = ["Give a number of seconds."]
    if wrong:
        raise ValidationError(wrong)
    when = {name: _day_and_time(typed, name) or None for name in ("since", "until")}
    read = plan | when | {"seed": seed, "delay_seconds": delays, "hang_seconds": hang_seconds}
    return MischiefPlan(**MischiefSchema().load(read))


def _present(typed: Typed, names: Sequence[str]) -> dict[str, Any]:
    return {name: typed[name].strip() for name in names if typed.get(name, "").strip()}


def _end(typed: Typed) -> str:
    return _day_and_time(typed, "until")


def _day_and_time(typed: Typed, name: str) -> str:
    day, time = typed.get(name, "").strip(), typed.get(f"{name}_time", "").strip()
    return f"{day}T{time}Z" if time else day


def _seats(typed: Typed, product: Product) -> Mapping[str, int]:
    # Where there are several dimensions, one that is left empty is not bought.
    empty = "0" if len(product.dimensions) > 1 else ""
    read = {name: _whole(typed.get(f"seats.{name}", "").strip() or empty) for name in product.dimensions}
    numbers = {name: number for name, number in read.items() if number is not None}
    if len(numbers) < len(read):
        raise ValidationError({"seats": ["Give a whole number, such as 5."]})
    return numbers


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text) else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _sentences(said: object) -> Sequence[str]:
    # Fields of several parts, such as the two delays, tell their sentences by part.
    if isinstance(said, Mapping):
        return [sentence for part in said.values() for sentence in _sentences(part)]
    return [str(one) for one in said] if isinstance(said, Sequence) and not isinstance(said, str) else [str(said)]
