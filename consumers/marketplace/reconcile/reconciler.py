"""The reconciler: carries a run on, one small step at a time, so that whatever else is due goes before the next one."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Final

import sqlalchemy
import structlog

from consumers.marketplace.budget import Budget, NoCallIsLeftError
from consumers.marketplace.clients import Clients
from consumers.marketplace.entitlements import NoAnswerError, NoObservationError
from consumers.marketplace.inbox import MARKETPLACE
from consumers.marketplace.lineage import Lineages
from consumers.marketplace.reconcile import candidates, findings, hearing, held, reporting, runs, searching, sweeping
from consumers.marketplace.reconcile.checking import Checker
from consumers.marketplace.reconcile.comparing import Found, Row, compare, heard_of, missing_here
from consumers.marketplace.reconcile.findings import Stage
from consumers.marketplace.reconcile.mending import Mender
from consumers.marketplace.reconcile.runs import TROUBLE_MAX, Phase, Run
from consumers.marketplace.reconcile.searching import SearchIsRefusedError
from consumers.marketplace.reconcile.sweeping import TokenIsForgottenError
from consumers.marketplace.reconcile.tables import RUNS, UNSEEN
from consumers.marketplace.settings import MarketplaceSettings
from ledger.errors import QueueIsFullError, UnavailableError
from ledger.ledger import Ledger
from ledger.license.state import License
from ledger.store import StoreError
from ledger.times import microseconds
from ledger.transaction import Caller, Transaction, Work
from ledger.writer import SYSTEM_CALLER

if TYPE_CHECKING:
    from ledger.license.events import LicenseId

LICENSES_AT_ONCE: Final = 200
"""How many licenses are compared in one step."""
SEARCHES_MAX: Final = 3

_ASKED_OFTEN: Final = "{reason} It was tried {times} times; the next reconciliation tries again."
_NOT_CONFIGURED: Final = "It is not among the products of this ledger any more."
_NOT_SEARCHED: Final = "News of agreements could not be read: {reason}"
_OF_OTHER_PRODUCTS: Final = "Licenses of the product {code} were not compared: it is not among those of this ledger."
_LOGGER: Final = structlog.get_logger(__name__)


class Step(Enum):
    """What became of a step."""

    NOTHING_DUE = "nothing-due"
    DONE = "done"
    NO_ANSWER = "no-answer"


class Reconciler:
    """Compares the ledger with AWS, when somebody asks for it or when it is time."""

    def __init__(
        self,
        ledger: Ledger,
        settings: MarketplaceSettings,
        clients: Clients,
        *,
        budget: Budget,
        now: Callable[[], datetime],
    ) -> None:
        """Reconcile this ledger; ask with these clients, as often as the budget lets; `now` is the clock, aware UTC."""
        self._ledger = ledger
        self._settings = settings
        self._clients = clients
        self._budget = budget
        self._now = now
        lineages = Lineages(ledger, clients, budget=budget, now=now)
        self._checker = Checker(ledger, settings, clients, budget=budget, lineages=lineages, now=now)
        self._mender = Mender(ledger, settings, lineages=lineages)
        self._steps: Mapping[Phase, Callable[[Run], Step]] = {
            Phase.ASKED: self._begin,
            Phase.SWEEPING: self._sweep,
            Phase.SEARCHING: self._search,
            Phase.COMPARING: self._compare,
            Phase.CHECKING: self._check,
            Phase.WEIGHING: self._weigh,
            Phase.MENDING: self._mend,
            Phase.SETTLING: self._settle,
        }

    def step(self, *, at: datetime) -> Step:
        """Do the next thing of the run that is under way, or begin one if it is time.

        Raises:
            LedgerError, StoreError: the database can't be written or read.
        """
        with self._ledger.reading.connect() as reading:
            run = runs.current(reading, dry_only=self._settings.reconcile_dry_only)
            every = self._settings.reconcile_every
            due = run is None and every is not None and runs.is_due(reading, every=every, at=at)
            is_old = run is not None and sweeping.are_old(reading, run, at=at)
        if due and every is not None:
            runs.ask_if_due(self._ledger, every=every)
            return Step.DONE
        if run is None:
            return Step.NOTHING_DUE
        if is_old:
            return self._begin_again(run)
        try:
            return self._steps[run.phase](run)
        except NoCallIsLeftError:
            return Step.NOTHING_DUE
        except NoAnswerError as error:
            return Step.NOTHING_DUE if isinstance(error.__cause__, NoCallIsLeftError) else self._troubled(run, error)
        except (QueueIsFullError, UnavailableError, StoreError):
            raise
        except Exception as error:
            _LOGGER.exception("a reconciliation could not go on", number=run.number)
            return self._troubled(run, NoAnswerError(f"The program failed: {type(error).__name__}."))

    def _troubled(self, run: Run, error: NoAnswerError) -> Step:
        """It is tried again, what else there is before it; after many failures in a row it goes on without."""
        if run.failures + 1 >= TROUBLE_MAX:
            return self._go_on_without(run, error)

        def decide(transaction: Transaction) -> None:
            if not runs.is_at(transaction, run):
                return
            match run.phase:
                case Phase.SWEEPING:
                    sweeping.put_back(transaction, run)
                case Phase.CHECKING:
                    findings.put_back(transaction, run, Stage.FOUND)
                case Phase.MENDING:
                    findings.put_back(transaction, run, Stage.RELEASED)
                case _:
                    pass
            runs.note_trouble(transaction, run, reason=error.reason)

        self._write(decide)
        return Step.NO_ANSWER

    def _go_on_without(self, run: Run, error: NoAnswerError) -> Step:
        reason = _ASKED_OFTEN.format(reason=error.reason, times=TROUBLE_MAX)

        def decide(transaction: Transaction) -> bool:
            if not runs.is_at(transaction, run):
                return True
            match run.phase:
                case Phase.SWEEPING:
                    return sweeping.give_up_rest(transaction, run, reason=reason)
                case Phase.SEARCHING:
                    _go_on_without_search(transaction, run, reason=reason)
                case Phase.CHECKING:
                    findings.leave(transaction, run, Stage.FOUND, reason=reason)
                case Phase.MENDING:
                    findings.leave(transaction, run, Stage.RELEASED, reason=reason)
                case _:
                    return False
            return True

        if not self._ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True)):
            reporting.report_failure(self._ledger, run, reason=error.reason)
        return Step.DONE

    # -- reading AWS ---------------------------------------------------------------------------------------------------

    def _begin(self, run: Run) -> Step:
        def decide(transaction: Transaction) -> None:
            if not runs.is_at(transaction, run):
                return
            after = searching.begin_after(transaction)
            sweeping.begin(transaction, run, product_codes=sorted(self._settings.products))
            runs.write(
                transaction,
                run,
                phase=Phase.SWEEPING,
                begun_at=microseconds(transaction.at),
                agreements_after=None if after is None else microseconds(after),
            )

        return self._write(decide)

    def _begin_again(self, run: Run) -> Step:
        """It stood still for a day or longer: what agreed then may not agree now."""

        def decide(transaction: Transaction) -> None:
            if runs.is_at(transaction, run):
                sweeping.begin_old_anew(transaction, run)
                runs.begin_again(transaction, run)

        return self._write(decide)

    def _sweep(self, run: Run) -> Step:
        with self._ledger.reading.connect() as reading:
            sweep = sweeping.unfinished(reading, run)
        if sweep is None:
            return self._go_to(run, Phase.SEARCHING)
        if sweep.product_code not in self._settings.products:
            return self._write(lambda transaction: sweeping.give_up(transaction, run, sweep, reason=_NOT_CONFIGURED))
        try:
            page = sweeping.read_page(self._clients, sweep, dimensions=self._settings.products, budget=self._budget)
        except TokenIsForgottenError:
            return self._write(lambda transaction: sweeping.begin_anew(transaction, run, sweep))
        except NoAnswerError:
            raise
        except NoObservationError as error:
            reason = error.reason
            return self._write(lambda transaction: sweeping.give_up(transaction, run, sweep, reason=reason))
        at = self._now()
        if any(row.is_live(at=at) for row in page.rows):
            self._clients.trust.note(sweep.product_code, at=at)
        return self._write(lambda transaction: sweeping.keep_page(transaction, run, sweep, page))

    def _search(self, run: Run) -> Step:
        try:
            page = searching.read_page(self._clients, run, budget=self._budget, at=self._now())
        except SearchIsRefusedError as error:
            return self._search_refused(run, reason=str(error))

        def decide(transaction: Transaction) -> None:
            if not runs.is_at(transaction, run):
                return
            for contradiction in hearing.hear(transaction, run, page.agreements):
                runs.add_note(transaction, run, contradiction)
            done = page.next_token is None
            runs.write(
                transaction,
                run,
                agreements=run.agreements + len(page.agreements),
                agreements_token=page.next_token,
                searched=int(done),
                phase=Phase.COMPARING if done else Phase.SEARCHING,
            )

        self._ledger.submit(Work(decide=decide, caller=Caller(MARKETPLACE), writes_rows=True))
        return Step.DONE

    def _search_refused(self, run: Run, *, reason: str) -> Step:
        """A token may have expired; then it begins anew. Else there is a report without news of agreements."""
        again = run.agreements_token is not None and run.search_restarts < SEARCHES_MAX

        def decide(transaction: Transaction) -> None:
            if not runs.is_at(transaction, run):
                return
            if again:
                restarts = run.search_restarts + 1
                runs.write(transaction, run, agreements_token=None, agreements=0, search_restarts=restarts)
                return
            _go_on_without_search(transaction, run, reason=reason)

        return self._write(decide)

    # -- comparing -----------------------------------------------------------------------------------------------------

    def _compare(self, run: Run) -> Step:
        licenses = held.licenses_after(self._ledger, run.compared_to, limit=LICENSES_AT_ONCE)
        if not licenses:
            return self._compare_rest(run)
        with self._ledger.reading.connect() as reading:
            swept = self._settings.products.keys() - sweeping.not_swept(reading, run).keys()
            rows = held.rows_of(reading, run, licenses)
            claims = held.claims_on(reading, rows)
            have_ended: set[str] = {row[0] for row in reading.execute(hearing.heard_to_have_ended(run))}
        at = self._now()
        known = [one for one in licenses if one.folded_into is None]
        ours = [one for one in known if one.product_code in swept]
        rows_by_owner: dict[LicenseId, list[Row]] = {}
        for row in rows:
            owner = claims.owner(row)
            if owner is not None:
                rows_by_owner.setdefault(owner, []).append(row)
        # What rows of two agreements add up to is told by the agreements; most licenses have one row.
        several = [owner for owner, of_owner in rows_by_owner.items() if len(of_owner) > 1]
        with self._ledger.reading.connect() as reading:
            agreements = held.agreements_of(reading, several)
        compared = (
            compare(
                one,
                rows_by_owner.get(one.license_id, ()),
                claims=claims,
                at=at,
                agreements=agreements.get(one.license_id, ()),
            )
            for one in ours
        )
        found = [one for one in compared if one is not None]
        news = self._news(run, known, found)

        def decide(transaction: Transaction) -> None:
            if not runs.is_at(transaction, run):
                return
            findings.add(transaction, run, [*found, *news])
            candidates.note(transaction, run, ours, found)
            _forget_unseen(transaction, ours, found)
            for code in sorted({one.product_code for one in licenses} - self._settings.products.keys()):
                runs.add_note(transaction, run, _OF_OTHER_PRODUCTS.format(code=code))
            runs.write(
                transaction, run, compared_to=licenses[-1].license_id, **_counted(ours, have_ended=have_ended, at=at)
            )

        return self._write(decide)

    def _news(self, run: Run, licenses: Sequence[License], found: Sequence[Found]) -> list[Found]:
        """Those of whose agreements there is news, and which did not differ before it: they may after it."""
        differ = {one.license_id for one in found}
        may_differ = [one for one in licenses if one.running and one.license_id not in differ]
        with self._ledger.reading.connect() as reading:
            heard = hearing.among(reading, run, [one.license_id for one in may_differ])
        served = self._settings.products
        return [heard_of(one) for one in may_differ if one.license_id in heard and one.product_code in served]

    def _compare_rest(self, run: Run) -> Step:
        """What AWS shows and the ledger does not have; and whether AWS shows anything at all."""
        at = self._now()
        with self._ledger.reading.connect() as reading:
            rows = held.rows_of_nobody(reading, run)
            found = missing_here(rows, claims=held.claims_on(reading, rows), at=at)
            this = RUNS.c.number == run.number
            awaited = reading.scalar(sqlalchemy.select(RUNS.c.licenses_awaited).where(this))
            sees_nothing = bool(awaited) and not sweeping.saw_live_row(reading, run, at=at)

        def decide(transaction: Transaction) -> None:
            if not runs.is_at(transaction, run):
                return
            findings.add(transaction, run, found)
            if sees_nothing:
                findings.drop_all(transaction, run, but=hearing.heard_to_have_ended(run))
            runs.write(transaction, run, phase=Phase.CHECKING, sees_nothing=int(sees_nothing))

        return self._write(decide)

    def _check(self, run: Run) -> Step:
        with self._ledger.reading.connect() as reading:
            found = findings.at_stage(reading, run, Stage.FOUND)
        if not found:
            return self._go_to(run, Phase.WEIGHING)
        self._checker.check(run, found[0])
        return Step.DONE

    # -- mending -------------------------------------------------------------------------------------------------------

    def _weigh(self, run: Run) -> Step:
        self._mender.weigh(run)
        return Step.DONE

    def _mend(self, run: Run) -> Step:
        return Step.DONE if self._mender.mend(run) else self._go_to(run, Phase.SETTLING)

    def _settle(self, run: Run) -> Step:
        if self._mender.settle(run):
            return Step.DONE
        with self._ledger.reading.connect() as reading:
            if findings.at_stage(reading, run, Stage.REQUESTED):
                return Step.NOTHING_DUE
        reporting.report(self._ledger, run)
        return Step.DONE

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _go_to(self, run: Run, phase: Phase) -> Step:
        def decide(transaction: Transaction) -> None:
            if runs.is_at(transaction, run):
                runs.write(transaction, run, phase=phase)

        return self._write(decide)

    def _write(self, decide: Callable[[Transaction], None]) -> Step:
        self._ledger.submit(Work(decide=decide, caller=SYSTEM_CALLER, writes_rows=True))
        return Step.DONE


def _go_on_without_search(transaction: Transaction, run: Run, *, reason: str) -> None:
    runs.add_note(transaction, run, _NOT_SEARCHED.format(reason=reason))
    runs.write(transaction, run, phase=Phase.COMPARING)


def _counted(
    licenses: Sequence[License], *, have_ended: Collection[str], at: datetime
) -> "dict[str, sqlalchemy.ColumnElement[int]]":
    """The counters of a run, with these licenses added."""
    run_ = [(one, subscription) for one in licenses if (subscription := one.running) is not None]
    awaited = [one for one, subscription in run_ if subscription.renews_at > at and one.license_id not in have_ended]
    return {
        "licenses": RUNS.c.licenses + len(licenses),
        "licenses_running": RUNS.c.licenses_running + len(run_),
        "seats_running": RUNS.c.seats_running + sum(subscription.seats_max for _, subscription in run_),
        "licenses_awaited": RUNS.c.licenses_awaited + len(awaited),
    }


def _forget_unseen(transaction: Transaction, licenses: Sequence[License], found: Sequence[Found]) -> None:
    """AWS shows these licenses again, or they run no more."""
    not_shown: set[LicenseId | None] = {one.license_id for one in found if one.there is None}
    shown = [one.license_id for one in licenses if one.license_id not in not_shown]
    if shown:
        transaction.rows.execute(sqlalchemy.delete(UNSEEN).where(UNSEEN.c.license_id.in_(shown)))
