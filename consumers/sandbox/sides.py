"""AWS and the ledger side by side: the agreements of a chain, their license, and whether the two agree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from consumers.sandbox.book import Book
from consumers.sandbox.contracts import Contract, Generation
from consumers.sandbox.ledger_window import LedgerDidNotAnswerError, LedgerWindow, ShownLicense

_SAME = timedelta(seconds=1)
"""The ledger holds AWS's dates to the second or the millisecond, by the call that told them."""


_GIVES_SEATS = frozenset({"active", "overdue"})


class Verdict(StrEnum):
    """Whether both sides agree."""

    AGREE = "agree"
    DIFFER = "differ"
    UNKNOWN = "unknown"
    """The ledger was not asked, or did not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """One chain of agreements at AWS, and its license in the ledger."""

    chain: tuple[Contract, ...]
    """The newest agreement first."""
    live: tuple[Contract, ...]
    """Those whose rows GetEntitlements shows."""
    shown: ShownLicense | None
    """Null where the ledger has none, or was not asked."""
    verdict: Verdict
    reason: str
    """In a sentence for people."""

    @property
    def newest(self) -> Contract:
        """The agreement that was signed last."""
        return self.chain[0]

    @property
    def seats(self) -> int:
        """What the buyer may use: while two agreements of a chain are live, the larger number counts."""
        return max((contract.seats for contract in self.live), default=0)

    @property
    def ends_at(self) -> datetime:
        """Until when, as the agreements stand."""
        return max(contract.ends_at for contract in self.live or self.chain[:1])


def chain_of(book: Book, contract: Contract) -> tuple[Contract, ...]:
    """All agreements of the chain of renewals and replacements that one belongs to, the newest first."""
    return tuple(reversed(book.having("initial_agreement_id", contract.initial_agreement_id)))


def compare(
    chains: Iterable[tuple[Contract, ...]], *, window: LedgerWindow | None, at: datetime, waiting: int
) -> Sequence[Sides]:
    """Put chains of agreements beside what the ledger shows.

    Args:
        chains: each with its newest agreement first.
        window: to look at the ledger; null where none is known.
        at: the time of the sandbox.
        waiting: how many messages are on their way.
    """
    desk = _Desk(window)
    return [_sides(chain, desk, at=at, waiting=waiting) for chain in chains]


class _Desk:
    """Asks the ledger once for each buyer, and no more once it did not answer."""

    def __init__(self, window: LedgerWindow | None) -> None:
        self._window = window
        self._answers: dict[str, Sequence[ShownLicense]] = {}
        self.silence: str | None = None
        if window is None:
            self.silence = "The sandbox knows no ledger. Start it with --ledger-url and LEDGER_SANDBOX_KEY."
        elif not window.has_key:
            self.silence = "The sandbox has no key of the ledger. Start it with LEDGER_SANDBOX_KEY."

    def licenses_of(self, account_id: str) -> Sequence[ShownLicense]:
        if self._window is None or self.silence is not None:
            return ()
        if account_id not in self._answers:
            try:
                self._answers[account_id] = self._window.licenses_of(account_id)
            except LedgerDidNotAnswerError as error:
                self.silence = str(error)
        return self._answers.get(account_id, ())


def _sides(chain: tuple[Contract, ...], desk: _Desk, *, at: datetime, waiting: int) -> Sides:
    live = tuple(contract for contract in chain if contract.is_live(at=at))
    # Of what nobody links, such as a partner's renewal, the ledger has a license for each agreement.
    live_first = (*live, *(contract for contract in chain if contract not in live))
    shown = _find(live_first, desk.licenses_of(chain[0].account_id))
    if desk.silence is not None and shown is None:
        return Sides(chain=chain, live=live, shown=None, verdict=Verdict.UNKNOWN, reason=desk.silence)
    sides = Sides(chain=chain, live=live, shown=shown, verdict=Verdict.AGREE, reason="")
    difference = _difference(sides)
    if difference is None:
        return _judged(sides, Verdict.AGREE, _agreement(sides))
    if waiting:
        difference += f" {'A message is' if waiting == 1 else f'{waiting} messages are'} still on the way."
    return _judged(sides, Verdict.DIFFER, difference)


def _judged(sides: Sides, verdict: Verdict, reason: str) -> Sides:
    return replace(sides, verdict=verdict, reason=reason)


def _find(chain: Sequence[Contract], licenses: Sequence[ShownLicense]) -> ShownLicense | None:
    """Find the license of the first agreement that has one."""
    there = [license_ for license_ in licenses if license_.status != "folded"]
    for contract in chain:
        for license_ in there:
            if license_.agreement_id == contract.agreement_id or license_.license_arn == contract.license_arn:
                return license_
    if chain[0].generation is Generation.CONCURRENT:
        return None
    # A legacy buyer has one license of a product, whose only name is the buyer's.
    nameless = (one for one in there if one.license_arn is None and one.product_code == chain[0].product_code)
    return next(nameless, None)


def _difference(sides: Sides) -> str | None:
    shown = sides.shown
    if shown is None:
        return "AWS gives seats, and the ledger has no license yet." if sides.live else None
    if shown.status == "overdue" and not sides.live:
        return "AWS shows no seats any more. The ledger keeps them for a while, until AWS says what follows."
    seats = shown.seats_max if shown.status in _GIVES_SEATS else 0
    if sides.seats != seats:
        return f"AWS gives {_seats(sides.seats)}, and the ledger {_seats(seats)}."
    if sides.live and not _is_one_of(shown.renewal_date, [contract.ends_at for contract in sides.live]):
        return "The number of seats is the same, but the date is another."
    return None


def _is_one_of(date: datetime | None, dates: Iterable[datetime]) -> bool:
    return date is not None and any(abs(date - one) < _SAME for one in dates)


def _agreement(sides: Sides) -> str:
    if sides.shown is None:
        return "AWS gives no seats, and the ledger has no license."
    if not sides.live:
        return "AWS gives no seats, and the ledger none either."
    return f"Both say {_seats(sides.seats)}, until the same date."


def _seats(number: int) -> str:
    return {0: "no seats", 1: "1 seat"}.get(number, f"{number:,} seats")
