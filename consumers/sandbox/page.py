"""The control page of the sandbox Marketplace: every button does what a buyer or AWS would do."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError

from consumers.sandbox.contracts import AgreementStatus, Contract, Generation, MarketplaceRefusedError
from consumers.sandbox.control import status_of
from consumers.sandbox.faults import FaultPlan, Faults
from consumers.sandbox.marketplace import Marketplace
from consumers.sandbox.outcomes import Outcome
from consumers.sandbox.schemas import PurchaseSchema, RenewalSchema, SeatsSchema

_BUY = "buy"
_ACCOUNT_IN_EXAMPLES = "111122223333"
_LABELS = {
    "account_id": "AWS account",
    "seats": "Seats",
    "until": "Until",
    "generation": "Listing",
    "auto_renews": "Renews",
}


class _Problem(NamedTuple):
    """What was wrong, and which form of the page it stands at: that of a contract, or the one for buying."""

    status: HTTPStatus
    place: str
    sentence: str


class ControlPage:
    """The page over one Marketplace."""

    def __init__(
        self,
        *,
        marketplace: Marketplace,
        faults: Faults,
        fulfillment_url: str | None,
        environment: Callable[[], Mapping[str, str]],
    ) -> None:
        """Show and change these contracts.

        Args:
            marketplace: the contracts.
            faults: how the sandbox misbehaves.
            fulfillment_url: where "Set up your account" sends the buyer.
            environment: what a boto3 client needs to talk to the sandbox, shown to copy.
        """
        self._marketplace = marketplace
        self._faults = faults
        self._fulfillment_url = fulfillment_url
        self._environment = environment

    def blueprint(self) -> Blueprint:
        """Tie paths and methods to what they do."""
        page = Blueprint("page", __name__)
        contract = "/contracts/<agreement_id>"
        page.get("/")(self.control)
        page.post("/buy")(self.buy)
        page.post(f"{contract}/seats")(self.seats)
        page.post(f"{contract}/renew")(self.renew)
        page.post(f"{contract}/cancel")(self.cancel)
        page.post(f"{contract}/expire")(self.expire)
        page.post("/behave")(self.behave)
        return page

    def control(self) -> ResponseReturnValue:
        """Show contracts, messages and what can be done."""
        return self._shown()

    def buy(self) -> ResponseReturnValue:
        """Let a buyer accept the offer."""
        # A box that is not checked is not sent at all.
        terms = _typed() | {"auto_renews": "auto_renews" in request.form}
        return self._attempted(
            _BUY,
            lambda: self._marketplace.buy(**PurchaseSchema().load(terms)),
            "Account {contract.account_id} bought {contract.seats} seats.",
        )

    def seats(self, agreement_id: str) -> ResponseReturnValue:
        """Give a contract another number of seats."""
        return self._attempted(
            agreement_id,
            lambda: self._marketplace.set_seats(agreement_id, **SeatsSchema().load(_typed())),
            "Account {contract.account_id} has {contract.seats} seats.",
        )

    def renew(self, agreement_id: str) -> ResponseReturnValue:
        """Let a contract go on to a later date."""
        return self._attempted(
            agreement_id,
            lambda: self._marketplace.renew(agreement_id, **RenewalSchema().load(_typed())),
            "The contract of account {contract.account_id} goes on until {contract.ends_at:%-d %B %Y}.",
        )

    def cancel(self, agreement_id: str) -> ResponseReturnValue:
        """Let the buyer cancel."""
        return self._attempted(
            agreement_id,
            lambda: self._marketplace.cancel(agreement_id),
            "The contract of account {contract.account_id} is cancelled.",
        )

    def expire(self, agreement_id: str) -> ResponseReturnValue:
        """Let the end date pass now."""
        return self._attempted(
            agreement_id,
            lambda: self._marketplace.expire(agreement_id),
            "The contract of account {contract.account_id} has expired.",
        )

    def behave(self) -> ResponseReturnValue:
        """End all misbehavior."""
        self._faults.clear()
        return _back("The sandbox behaves again.")

    def _attempted(self, place: str, act: Callable[[], Outcome], done: str) -> ResponseReturnValue:
        try:
            outcome = act()
        except ValidationError as error:
            return self._shown(_Problem(HTTPStatus.UNPROCESSABLE_ENTITY, place, _sentences(error.messages_dict)))
        except MarketplaceRefusedError as refusal:
            return self._shown(_Problem(status_of(refusal), place, str(refusal)))
        return _back(f"{done.format(contract=outcome.contract)} {_about_messages(outcome)}")

    def _shown(self, problem: _Problem | None = None) -> ResponseReturnValue:
        marketplace = self._marketplace
        rendered = render_template(
            "control.html",
            product=marketplace.product,
            cards=[_card(contract, marketplace) for contract in reversed(marketplace.contracts)],
            messages=[(message, _pretty(message.body)) for message in marketplace.messages],
            misbehaves=self._faults.plan != FaultPlan(),
            fulfillment_url=self._fulfillment_url,
            environment=self._environment(),
            generations=Generation,
            problem=problem,
            typed=request.form,
            defaults={
                "account_id": _ACCOUNT_IN_EXAMPLES,
                "seats": "5",
                "until": _a_year_after(marketplace.now()),
            },
        )
        return rendered, HTTPStatus.OK if problem is None else problem.status


def _back(said: str) -> ResponseReturnValue:
    flash(said)
    return redirect(url_for("page.control"), HTTPStatus.SEE_OTHER)


def _card(contract: Contract, marketplace: Marketplace) -> Mapping[str, Any]:
    active = contract.status is AgreementStatus.ACTIVE
    return {
        "contract": contract,
        "active": active,
        "state": _state(contract, at=marketplace.now()),
        "token": marketplace.issue_token(contract.agreement_id).token if active else None,
        "next_end": _a_year_after(contract.ends_at),
    }


def _a_year_after(at: datetime) -> str:
    """Name the same day a year later, for a date field; the last year there is has none."""
    day = at.astimezone(UTC).date()
    if day.year == date.max.year:
        return ""
    # The 29th of February has no anniversary in most years.
    return day.replace(year=day.year + 1, day=min(day.day, 28) if day.month == 2 else day.day).isoformat()  # noqa: PLR2004


def _state(contract: Contract, *, at: datetime) -> str:
    day = f"{contract.ends_at.astimezone(UTC):%-d %B %Y}"
    if contract.status is not AgreementStatus.ACTIVE:
        return f"{contract.status.value.capitalize()} on {day}"
    if not contract.is_live(at=at):
        return f"Active, but its date passed on {day}: no seats until it is renewed"
    return f"Active, {'renews' if contract.auto_renews else 'ends'} on {day}"


def _typed() -> dict[str, Any]:
    """What was typed, with whole numbers as numbers: a form knows only text."""
    typed: dict[str, Any] = {name: value.strip() for name, value in request.form.items()}
    seats_typed = typed.get("seats")
    if seats_typed is not None and seats_typed.removeprefix("-").isdecimal():
        typed["seats"] = int(seats_typed)
    return typed


def _sentences(errors: Mapping[str, Any]) -> str:
    return " ".join(f"{_LABELS.get(field, field)}: {' '.join(map(str, said))}" for field, said in errors.items())


def _about_messages(outcome: Outcome) -> str:
    if not outcome.messages:
        return "Nothing is different, so AWS sends nothing."
    lost = sum(not message.delivered for message in outcome.messages)
    if lost:
        return f"The queue did not take {lost} of {len(outcome.messages)} messages."
    return f"Messages sent: {len(outcome.messages)}."


def _pretty(body: str) -> str:
    return json.dumps(json.loads(body), indent=2)
