"""Drift: where what AWS sells and what the ledger holds are not the same. The words in which it is reported.

The consumers find it; the interface, the pages and the command line show it.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from ledger.license.events import LicenseId


class DriftKind(StrEnum):
    """In what a license differs from what AWS sells."""

    MISSING_HERE = "missing-here"
    MISSING_THERE = "missing-there"
    NUMBER = "number"
    DATE = "date"
    KEY = "key"
    UNREADABLE = "unreadable"


KINDS: Final[Mapping[DriftKind, str]] = {
    DriftKind.MISSING_HERE: "AWS has it, the ledger does not",
    DriftKind.MISSING_THERE: "The ledger has it, AWS shows nothing",
    DriftKind.NUMBER: "The number of seats differs",
    DriftKind.DATE: "The renewal date differs",
    DriftKind.KEY: "AWS calls it by another key",
    DriftKind.UNREADABLE: "AWS's rows can't be read",
}
"""Each kind in words."""


class Standing(StrEnum):
    """Where a difference stands when the report is made; a dry run leaves as mendable what it would have mended."""

    LEFT = "left"
    WITHHELD = "withheld"
    MENDABLE = "mendable"
    ON_ITS_WAY = "on-its-way"
    MENDED = "mended"


STANDINGS: Final[Mapping[Standing, str]] = {
    Standing.WITHHELD: "held back",
    Standing.LEFT: "left",
    Standing.MENDABLE: "to be mended",
    Standing.ON_ITS_WAY: "on its way",
    Standing.MENDED: "mended",
}
"""Each standing in words, those that need a person first."""

NEED_A_PERSON: Final = frozenset({Standing.LEFT, Standing.WITHHELD})
OPEN: Final = NEED_A_PERSON | {Standing.MENDABLE}
"""What makes ledger and AWS disagree: the rest is mended, or about to be."""


class AlarmCode(StrEnum):
    """What somebody has to look at."""

    SEES_NOTHING = "sees-nothing"
    LOSSES_WITHHELD = "losses-withheld"
    UNEXPLAINED = "unexplained"
    NOT_SWEPT = "not-swept"
    FAILED = "failed"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What one side says of a license.

    Attributes:
        seats_max: the bought number.
        renews_at: the date; null where nothing runs.
    """

    seats_max: int
    renews_at: datetime | None

    def ends_before(self, other: "Terms") -> bool:
        """Whether it ends earlier, where both have a date."""
        return self.renews_at is not None and other.renews_at is not None and self.renews_at < other.renews_at


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One license in which the two sides differ.

    Attributes:
        kinds: in what.
        standing: what became of it.
        license_id: the license; null for one that the ledger does not have.
        product_code: of the license.
        customer_id: whose it is, as far as either side says.
        key: by which AWS names it.
        here: what the ledger says; null if it has none.
        there: what AWS says; null if it shows nothing.
        is_loss: whether mending it takes something away.
        reason: why it stands so, in words; null if there is nothing to say.
        seats_active: how many users had a seat when it was found.
        seats_deleted: how many of them lose it by mending, or have lost it: all or none.
        after: what the ledger said when it was mended; null where it was not, or nothing runs.
    """

    kinds: tuple[DriftKind, ...]
    standing: Standing
    license_id: LicenseId | None
    product_code: str
    customer_id: str | None
    key: str | None
    here: Terms | None
    there: Terms | None
    is_loss: bool
    reason: str | None
    seats_active: int = 0
    seats_deleted: int = 0
    after: Terms | None = None


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """What would be lost within 24 hours, by what was found now and by what reconciliations let go before.

    Attributes:
        licenses: how many licenses lose something.
        seats: how many seats they lose together.
        licenses_before: how many licenses ran before that.
        seats_before: how many seats they had together.
        percent_max: how many of a hundred, of either, may be lost without a person.
    """

    licenses: int
    seats: int
    licenses_before: int
    seats_before: int
    percent_max: float


class CandidateSide(msgspec.Struct, frozen=True, kw_only=True):
    """One of two licenses, of which the one may be the other one renewed.

    Attributes:
        seats_max: how many seats it has, or had at its end; null if it never began.
        seats_active: how many users have one.
    """

    seats_max: int | None
    seats_active: int


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Two licenses of one account and product, of which the newer may be the older one renewed. Never applied.

    Attributes:
        license_id: the older one.
        ended_at: when it ended, or is to end.
        successor_id: the newer one.
        began_at: when that began.
        key: of the newer one, by which an operator says that it succeeds the older one.
        product_code: of both.
        customer_id: of both.
        older: what the older one has.
        newer: what the newer one has.
        obstacle: why it can't be said now that it succeeds the older one, in words; null if it can.
    """

    license_id: LicenseId
    ended_at: datetime
    successor_id: LicenseId
    began_at: datetime
    key: str
    product_code: str
    customer_id: str
    older: CandidateSide | None = None
    newer: CandidateSide | None = None
    obstacle: str | None = None


class Unexplained(msgspec.Struct, frozen=True, kw_only=True):
    """A license that runs, and of which AWS has shown nothing for a day or longer without saying why.

    Attributes:
        license_id: the license.
        since: of the first reading that showed nothing.
        product_code: of the license.
        customer_id: whose it is.
        here: what the ledger says.
    """

    license_id: LicenseId
    since: datetime
    product_code: str
    customer_id: str | None
    here: Terms


class _Verbs(NamedTuple):
    is_issued: str
    begins: str
    knows: str
    ends: str
    goes: str
    becomes: str
    deletes: str


_WOULD: Final = _Verbs(
    is_issued="is issued",
    begins="begins",
    knows="comes to know",
    ends="ends",
    goes="goes",
    becomes="becomes",
    deletes="deletes",
)
_DID: Final = _Verbs(
    is_issued="was issued",
    begins="began",
    knows="knows",
    ends="ended",
    goes="went",
    becomes="became",
    deletes="deleted",
)


def what_it_would_do(one: Difference) -> str:
    """What mending a difference does, in words."""
    return _told(one, one.there, _WOULD)


def what_was_done(one: Difference) -> str:
    """What mending a difference did, in words."""
    return _told(one, one.after, _DID)


def _told(one: Difference, after: Terms | None, verbs: _Verbs) -> str:
    if DriftKind.MISSING_HERE in one.kinds:
        return f"It {verbs.is_issued}."
    if one.here is None:
        return f"It {verbs.begins} to run."
    return " ".join(_consequences(one, one.here, after, verbs)) or f"The ledger {verbs.knows} it by AWS's key."


def _consequences(one: Difference, before: Terms, after: Terms | None, verbs: _Verbs) -> Iterator[str]:
    users = "1 user" if one.seats_active == 1 else f"{one.seats_active:,} users"
    if after is None:
        yield f"It {verbs.ends}, and its {users} can't use the client." if one.seats_active else f"It {verbs.ends}."
        return
    if after.seats_max != before.seats_max:
        way = "up" if after.seats_max > before.seats_max else "down"
        deletes = f", which {verbs.deletes} its {users}" if one.seats_deleted else ""
        yield f"The number {verbs.goes} {way} from {before.seats_max:,} to {after.seats_max:,}{deletes}."
    if after.ends_before(before) or before.ends_before(after):
        yield f"The date {verbs.becomes} {'earlier' if after.ends_before(before) else 'later'}."


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person has to look at, and what to do."""

    code: AlarmCode
    detail: str


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one reconciliation found.

    Attributes:
        number: grows from one reconciliation to the next.
        begun_at: when it began.
        finished_at: when it was done.
        dry_run: it only looked.
        apply_losses: it applied losses however many there were.
        agrees: the ledger and AWS agree now, but for what is on its way.
        licenses: how many licenses were compared.
        rows: how many rows AWS showed.
        pages: in how many pages.
        agreements: how many agreements had news.
        counts: how many differences stand how.
        losses: what was weighed; null where nothing would be lost.
        alarms: what a person has to look at first.
        differences: the first thousand, what is open before what is done.
        unexplained: what AWS shows nothing of.
        candidates: possible successions.
        notes: what could not be asked, in words.
    """

    number: int
    begun_at: datetime
    finished_at: datetime
    dry_run: bool
    apply_losses: bool
    agrees: bool
    licenses: int
    rows: int
    pages: int
    agreements: int
    counts: dict[Standing, int]
    alarms: tuple[Alarm, ...]
    differences: tuple[Difference, ...]
    unexplained: tuple[Unexplained, ...]
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]
    losses: Losses | None = None


class DriftSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What stands above a report, of which the rest need not be read; as the report has it."""

    number: int
    finished_at: datetime
    dry_run: bool
    agrees: bool
    counts: dict[Standing, int]
    alarms: tuple[Alarm, ...]

    @property
    def need_look(self) -> int:
        """How much somebody has to look at."""
        return sum(self.counts.get(standing, 0) for standing in NEED_A_PERSON) or len(self.alarms)


class Verdict(StrEnum):
    """Whether ledger and AWS agree."""

    AGREE = "agree"
    DIFFER = "differ"
    UNKNOWN = "unknown"


_TELLS_NOTHING: Final = frozenset({AlarmCode.SEES_NOTHING, AlarmCode.FAILED})


def verdict(report: DriftReport | DriftSummary) -> Verdict:
    """What a report says; of what could not be read it says nothing."""
    if report.agrees:
        return Verdict.AGREE
    raised = {alarm.code for alarm in report.alarms}
    differs = any(report.counts.get(standing) for standing in OPEN)
    if raised & _TELLS_NOTHING or (AlarmCode.NOT_SWEPT in raised and not differs):
        return Verdict.UNKNOWN
    return Verdict.DIFFER


class DriftProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a reconciliation is.

    Attributes:
        number: of its report to come.
        begun_at: when it began; null if others go before it.
        doing: what is done now, in words.
        done: how much of that is done.
        total: of how much, as far as that is known.
        trouble: why it does not go on; null if it does.
    """

    number: int
    begun_at: datetime | None
    doing: str
    done: int
    total: int | None
    trouble: str | None
