"""The pages of the sandbox Marketplace, where a person plays contracts and watches AWS and the ledger side by side.

Every button does what a buyer or AWS would do. Nothing needs a script; where there is one, what both sides say is
looked at again by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from math import ceil
from typing import Any, Final, NamedTuple

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError

from consumers.sandbox import forms, sides, words
from consumers.sandbox.contracts import (
    AgreementStatus,
    Contract,
    Generation,
    Intent,
    MarketplaceRefusedError,
    Product,
)
from consumers.sandbox.control import status_of
from consumers.sandbox.faults import FaultPlan, Faults
from consumers.sandbox.ledger_window import LedgerWindow
from consumers.sandbox.marketplace import Marketplace
from consumers.sandbox.mischief import MischiefPlan
from consumers.sandbox.outcomes import Happening, Outcome
from consumers.sandbox.schemas import (
    DecisionSchema,
    NoticeSchema,
    PurchaseSchema,
    RenewalSchema,
    SeatsSchema,
    SuccessorSchema,
)

CHAINS_PER_PAGE: Final = 20
HAPPENINGS_SHOWN: Final = 200
MESSAGES_PER_PAGE: Final = 25
MESSAGES_BESIDE: Final = 10
"""So many of the messages about a contract stand on its page."""
_ACCOUNT_IN_EXAMPLES: Final = "111122223333"

Act = Callable[[str], Outcome]


class _Problem(NamedTuple):
    """What was wrong, and at which form of the page."""

    status: HTTPStatus
    form: str
    """Empty if it is about the page as a whole."""
    errors: forms.Errors

    def beside(self, offered: frozenset[str]) -> "_Problem":
        """Tell it at the top of the page where its form is none of those that are offered."""
        if self.form in offered:
            return self
        said = [sentence for sentences in self.errors.values() for sentence in sentences]
        return self._replace(form="", errors={"": said})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Journey:
    """What happened when the clock was moved last."""

    start: datetime
    end: datetime
    happened: tuple[Happening, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sheet:
    """One of the pages of a long list."""

    items: Sequence[Any]
    number: int
    """From 1 on."""
    last: int
    """The number of the last one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageParts:
    """What the pages stand on."""

    marketplace: Marketplace
    faults: Faults
    fulfillment_url: str | None
    """Where "Set up your account" sends the buyer."""
    environment: Callable[[], Mapping[str, str]]
    """What a boto3 client needs to talk to the sandbox, shown to copy."""
    window: Callable[[], LedgerWindow | None]
    """To look at the ledger; null where none is known."""


class Pages:
    """The pages over one Marketplace."""

    def __init__(self, parts: PageParts) -> None:
        """Show and change what these hold."""
        self._parts = parts
        self._marketplace = parts.marketplace
        self._journey: _Journey | None = None

    def blueprint(self) -> Blueprint:
        """Tie paths and methods to what they do."""
        page = Blueprint("page", __name__)
        page.get("/")(self.contracts)
        page.post("/buy")(self.buy)
        page.get("/contracts/<agreement_id>")(self.contract)
        page.post("/contracts/<agreement_id>/<act>")(self.act)
        page.get("/clock")(self.clock)
        page.post("/clock")(self.advance)
        page.post("/clock/auto")(self.set_auto)
        page.get("/messages")(self.messages)
        page.post("/messages/<int:number>/send")(self.send_again)
        page.get("/mischief")(self.mischief)
        page.post("/mischief")(self.make_mischief)
        page.post("/mischief/stop")(self.stop_mischief)
        page.post("/flush")(self.flush)
        page.post("/behave")(self.behave)
        return page

    def contracts(self) -> ResponseReturnValue:
        """Show what was bought, and a form to buy."""
        return self._contracts_page()

    def buy(self) -> ResponseReturnValue:
        """Let a buyer accept an offer."""
        try:
            terms = PurchaseSchema().load(forms.purchase(_typed(), self._product()))
            outcome = self._marketplace.buy(**terms)
        except (ValidationError, MarketplaceRefusedError) as error:
            return self._contracts_page(_problem("buy", error))
        return _done(outcome, "Account {contract.account_id} bought {seats}.")

    def contract(self, agreement_id: str) -> ResponseReturnValue:
        """Show one contract, and all that can become of it."""
        return self._contract_page(agreement_id)

    def act(self, agreement_id: str, act: str) -> ResponseReturnValue:
        """Do something to a contract."""
        acts = self._acts()
        if act not in acts:
            return self._contract_page(
                agreement_id, _Problem(HTTPStatus.NOT_FOUND, "", {"": ["There is no such act."]})
            )
        do, said = acts[act]
        try:
            outcome = do(agreement_id)
        except (ValidationError, MarketplaceRefusedError) as error:
            return self._contract_page(agreement_id, _problem(act, error))
        return _done(outcome, said)

    def clock(self) -> ResponseReturnValue:
        """Show the clock, and what happened when it was moved last."""
        return self._clock_page()

    def advance(self) -> ResponseReturnValue:
        """Move the clock forward."""
        time = self._marketplace.time
        try:
            to = forms.moment(_typed(), now=time.now, next_due=time.next.at if time.next else None)
            happened = self._marketplace.advance(to, chosen_at=time.now)
        except (ValidationError, MarketplaceRefusedError) as error:
            return self._clock_page(_problem("clock", error))
        self._journey = _Journey(start=time.now, end=to, happened=happened)
        flash(f"It is {words.moment(to)}. {_count(len(happened), 'thing')} happened in between.")
        return _to("page.clock")

    def set_auto(self) -> ResponseReturnValue:
        """Let what falls due happen by itself, or not."""
        auto = "auto" in request.form
        self._marketplace.set_auto(auto=auto, renewals_keep_license="renewals_keep_license" in request.form)
        flash("What falls due happens by itself." if auto else "What falls due waits until the clock is moved.")
        return _to("page.clock")

    def messages(self) -> ResponseReturnValue:
        """Show what was sent."""
        return self._messages_page()

    def send_again(self, number: int) -> ResponseReturnValue:
        """Send a message once more."""
        try:
            sent = self._marketplace.send_again(number)
        except MarketplaceRefusedError as error:
            return self._messages_page(_problem("", error))
        flash(f"Message {number} was sent again." if sent.delivered else f"The queue did not take message {number}.")
        asked = request.args
        return redirect(
            url_for("page.messages", page=asked.get("page"), agreement_id=asked.get("agreement_id")),
            HTTPStatus.SEE_OTHER,
        )

    def mischief(self) -> ResponseReturnValue:
        """Show the plan of mischief, and what came of it."""
        return self._mischief_page()

    def make_mischief(self) -> ResponseReturnValue:
        """Make mischief by another plan."""
        try:
            plan = forms.mischief(_typed())
        except ValidationError as error:
            return self._mischief_page(_problem("mischief", error))
        self._marketplace.mischief.set(plan)
        flash("The mischief begins." if plan.is_any else "Nothing is planned: the sandbox behaves.")
        return _to("page.mischief")

    def stop_mischief(self) -> ResponseReturnValue:
        """Make none; what is on its way stays on its way."""
        self._marketplace.mischief.set(MischiefPlan())
        flash("The mischief has stopped.")
        return _to("page.mischief")

    def flush(self) -> ResponseReturnValue:
        """Deliver what is on its way."""
        flash(f"{_count(self._marketplace.flush(), 'message')} delivered.")
        return _to("page.mischief")

    def behave(self) -> ResponseReturnValue:
        """End all faults."""
        self._parts.faults.clear()
        flash("The sandbox behaves again.")
        return _to("page.mischief")

    def _acts(self) -> Mapping[str, tuple[Act, str]]:
        market, typed = self._marketplace, _typed()
        whose = "The contract of account {contract.account_id}"
        return {
            "seats": (
                lambda id_: market.set_seats(id_, **SeatsSchema().load(forms.seats(typed, self._product_of(id_)))),
                "Account {contract.account_id} has {seats}.",
            ),
            "renew": (partial(self._succeed, Intent.RENEW), f"{whose} was renewed: {{seats}}, until {{until}}."),
            "replace": (partial(self._succeed, Intent.REPLACE), f"{whose} was replaced: {{seats}}, until {{until}}."),
            "extend": (
                lambda id_: market.renew(id_, **RenewalSchema().load(forms.end(typed))),
                f"{whose} goes on until {{until}}.",
            ),
            "at-end": (
                lambda id_: market.decide_end(id_, **DecisionSchema().load(forms.decision(typed))),
                f"{whose}: at its end {{at_end}}.",
            ),
            "notices": (
                lambda id_: market.give_notice(id_, **NoticeSchema().load(forms.notice(typed))),
                f"{whose} is as before.",
            ),
            "start": (market.start, f"{whose} has started."),
            "opt-in": (market.opt_in, f"{whose} is one of Concurrent Agreements too."),
            "cancel": (market.cancel, f"{whose} is cancelled."),
            "terminate": (market.terminate, f"{whose} was terminated by AWS."),
            "expire": (market.expire, f"{whose} came to its end: {{status}}."),
            "archive": (market.archive, f"{whose} is archived."),
        }

    def _succeed(self, intent: Intent, agreement_id: str) -> Outcome:
        terms = forms.successor(_typed(), self._product_of(agreement_id), intent=intent.value)
        return self._marketplace.succeed(agreement_id, SuccessorSchema().load(terms))

    def _product_of(self, agreement_id: str) -> Product:
        return self._marketplace.product_of(self._marketplace.find(agreement_id))

    def _product(self) -> Product:
        code = request.values.get("product")
        return next((one for one in self._marketplace.products if one.code == code), self._marketplace.product)

    def _contracts_page(self, problem: _Problem | None = None) -> ResponseReturnValue:
        market = self._marketplace
        firsts = list(dict.fromkeys(contract.initial_agreement_id for contract in reversed(market.contracts)))
        sheet = _sheet(firsts, size=CHAINS_PER_PAGE)
        shown = [market.find(one) for one in sheet.items]
        return self._rendered(
            "contracts.html",
            problem,
            product=self._product(),
            lines=self._compared([sides.chain_of(market.book, contract) for contract in shown]),
            sheet=sheet,
            generations=Generation,
            defaults={"account_id": _ACCOUNT_IN_EXAMPLES, "until": words.year_after(market.now())},
            environment=self._parts.environment(),
        )

    def _contract_page(self, agreement_id: str, problem: _Problem | None = None) -> ResponseReturnValue:
        market = self._marketplace
        try:
            contract = market.find(agreement_id)
        except MarketplaceRefusedError as error:
            return self._contracts_page(_problem("", error))
        (line,) = self._compared([sides.chain_of(market.book, contract)])
        offered = _offered(contract)
        return self._rendered(
            "contract.html",
            problem and problem.beside(offered),
            contract=contract,
            offered=offered,
            product=market.product_of(contract),
            line=line,
            token=market.issue_token(agreement_id) if contract.is_active else None,
            fulfillment_url=self._parts.fulfillment_url,
            next_end=words.year_after(contract.ends_at),
            sent=[message for message in market.messages if message.agreement_id == agreement_id],
            beside=MESSAGES_BESIDE,
        )

    def _compared(self, chains: list[tuple[Contract, ...]]) -> list[sides.Sides]:
        market = self._marketplace
        window = self._parts.window()
        return list(sides.compare(chains, window=window, at=market.now(), waiting=market.waiting))

    def _clock_page(self, problem: _Problem | None = None) -> ResponseReturnValue:
        return self._rendered("clock.html", problem, journey=self._journey, shown_max=HAPPENINGS_SHOWN)

    def _messages_page(self, problem: _Problem | None = None) -> ResponseReturnValue:
        about = request.args.get("agreement_id")
        messages = [one for one in self._marketplace.messages if about in {None, one.agreement_id}]
        return self._rendered("messages.html", problem, about=about, sheet=_sheet(messages, size=MESSAGES_PER_PAGE))

    def _mischief_page(self, problem: _Problem | None = None) -> ResponseReturnValue:
        state = self._marketplace.mischief.state
        told = words.mischief(state.plan, at=self._marketplace.now())
        return self._rendered("mischief.html", problem, state=state, told=told, waiting=self._marketplace.waiting)

    def _rendered(self, template: str, problem: _Problem | None, **shown: Any) -> ResponseReturnValue:  # noqa: ANN401 -- what a template shows
        market = self._marketplace
        rendered = render_template(
            template,
            problem=problem,
            typed=request.form,
            words=words,
            products=market.products,
            time=market.time,
            find=market.find,
            window=self._parts.window(),
            misbehaves=self._parts.faults.plan != FaultPlan(),
            makes_mischief=market.mischief.state.plan.is_in_force(at=market.now()),
            **shown,
        )
        return rendered, HTTPStatus.OK if problem is None else problem.status


def _offered(contract: Contract) -> frozenset[str]:
    """The acts that the page of a contract has a form for."""
    offered = {"notices"}
    if contract.is_active:
        offered |= {"seats", "extend", "at-end", "expire", "cancel", "terminate"}
    elif contract.status is not AgreementStatus.ARCHIVED:
        offered.add("archive")
    if contract.is_active and not contract.has_started:
        offered.add("start")
    if contract.is_active and contract.generation is Generation.LEGACY:
        offered.add("opt-in")
    if contract.can_be_followed:
        offered |= {"renew", "replace"}
    return frozenset(offered)


def _sheet(items: Sequence[Any], *, size: int) -> _Sheet:
    """Take the page that is asked for, or the last one if there are not as many."""
    last = max(1, ceil(len(items) / size))
    number = min(max(1, request.args.get("page", default=1, type=int)), last)
    return _Sheet(items=items[(number - 1) * size : number * size], number=number, last=last)


def _typed() -> forms.Typed:
    return request.form.to_dict()


def _problem(form: str, error: ValidationError | MarketplaceRefusedError) -> _Problem:
    status = status_of(error) if isinstance(error, MarketplaceRefusedError) else HTTPStatus.UNPROCESSABLE_ENTITY
    return _Problem(status, form, forms.errors_of(error))


def _done(outcome: Outcome, said: str) -> ResponseReturnValue:
    contract = outcome.contract
    told = said.format(
        contract=contract,
        seats=words.seats_of(contract),
        until=words.day(contract.ends_at),
        at_end=words.ENDS[contract.at_end],
        status=contract.status.value.lower(),
    )
    flash(f"{told} {words.about_messages(outcome)}")
    return _to("page.contract", agreement_id=contract.agreement_id)


def _to(endpoint: str, *, agreement_id: str | None = None) -> ResponseReturnValue:
    return redirect(url_for(endpoint, agreement_id=agreement_id), HTTPStatus.SEE_OTHER)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
