"""Alarms: what somebody has to look at, how much of it there is, and what to do, in words."""

from collections.abc import Iterator, Sequence
from typing import Final

from ledger.drift import Difference, Losses

SEES_NOTHING: Final = (
    "AWS shows nothing at all to these credentials, though licenses run here. Credentials of an account that is not the"
    " seller's see nothing. Nothing was taken because of it: users work on, but what is bought goes unnoticed."
    " Run `licensing-ledger doctor`, which tells whose credentials these are."
)
_CUSTOMERS_MAX: Final = 2
"""How many customers an alarm names; the report names them all."""


def losses_withheld(losses: Losses, withheld: Sequence[Difference]) -> str:
    """How much is held back, and what it does to let it go."""
    earlier = losses.licenses - len(withheld)
    before = f" {earlier:,} of them lost it before." if earlier > 0 else ""
    return (
        f"{counted(losses.licenses)} of {losses.licenses_before:,} would lose {losses.seats:,} of"
        f" {counted(losses.seats_before, 'seat')} within 24 hours, and no more than {losses.percent_max:g} % of either"
        f" go without a person.{before} So {counted(len(withheld))} {'is' if len(withheld) == 1 else 'are'} held back."
        f" Look at what is held back; if AWS is right, `licensing-ledger reconcile --apply-losses`"
        f" {_joined([*_applying(withheld)])}."
    )


def unexplained(licenses: int) -> str:
    """AWS shows nothing of so many, and does not say why."""
    return (
        f"AWS has shown nothing for a day or longer of {counted(licenses)}, before the renewal date and without saying"
        " that the contract ended. Nothing was taken. Ask AWS or the customer; `licensing-ledger lapse` ends what has"
        " ended."
    )


def not_swept(product_code: str, *, reason: str) -> str:
    """A product could not be read."""
    return f"The product {product_code} could not be read, and nothing is said about its licenses: {reason}"


def counted(number: int, one: str = "license") -> str:
    """A number with its noun."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


def _applying(withheld: Sequence[Difference]) -> Iterator[str]:
    ending = [one for one in withheld if one.there is None]
    deleting = [one for one in withheld if one.seats_deleted]
    if ending:
        users = sum(one.seats_active for one in ending)
        shuts_out = f", whose {counted(users, 'user')} can't use the client then" if users else ""
        yield f"ends {counted(len(ending))}{shuts_out}"
    if len(ending) < len(withheld):
        yield f"takes seats or time from {counted(len(withheld) - len(ending))}"
    if deleting:
        yield f"deletes {counted(sum(one.seats_deleted for one in deleting), 'user')} of {_whose(deleting)}"


def _whose(differences: Sequence[Difference]) -> str:
    customers = list(dict.fromkeys(one.customer_id or "a customer without a name" for one in differences))
    if len(customers) > _CUSTOMERS_MAX:
        return f"{len(customers):,} customers"
    return f"customer{'s' if len(customers) > 1 else ''} {' and '.join(customers)}"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
