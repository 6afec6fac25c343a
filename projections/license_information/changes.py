"""What a batch of events does to License Information."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final, Self, assert_never

import sqlalchemy
from sqlalchemy import Connection, Table

from ledger.envelope import RecordedEvent
from ledger.license import events
from ledger.license.events import KeyKind
from ledger.license.holding import Holder
from ledger.license.state import SeatStatus
from ledger.system import events as system_events
from ledger.system.events import STREAM as SYSTEM_STREAM
from ledger.times import microseconds
from ledger.users import identity_of
from projections.license_information.listed import with_one
from projections.seats.changes import SeatMove
from projections.statements import Row, insert_rows, select_rows, update_rows

_MICROSECOND: Final = timedelta(microseconds=1)
_STATUSES: Final = tuple(status.value for status in SeatStatus)


@dataclass(kw_only=True, slots=True)
class LicenseRow:
    """A row of the table, while a batch works on it."""

    license_key: int
    license_id: str
    version: int = 0
    product_code: str = ""
    account: str | None = None
    identifier: str | None = None
    product: str | None = None
    products: str = ""
    known_as: str = ""
    license_arn: str | None = None
    agreement: str | None = None
    company_name: str | None = None
    seats_max: int | None = None
    renews_at_microseconds: int | None = None
    lapse_reason: str | None = None
    ended_at_microseconds: int | None = None
    renewal_intent: str | None = None
    renewal_source: str | None = None
    renewal_announced_at_microseconds: int | None = None
    folded_into: str | None = None
    seats: dict[str, int]

    @classmethod
    def new(cls, license_id: str, *, license_key: int) -> Self:
        """A license without events."""
        return cls(license_key=license_key, license_id=license_id, seats=dict.fromkeys(_STATUSES, 0))

    @classmethod
    def of(cls, table: Table, row: Row) -> Self:
        """A license as it stands."""
        told = dict(zip(table.columns.keys(), row, strict=True))
        seats = {status: told[f"seats_{status}"] for status in _STATUSES}
        return cls(**{field.name: told[field.name] for field in fields(cls) if field.name != "seats"}, seats=seats)

    def stored(self) -> Row:
        """In the order of the table's columns."""
        company_key = identity_of(self.company_name or "")
        return (
            self.license_key,
            self.license_id,
            self.version,
            self.product_code,
            self.account,
            self.identifier,
            self.product,
            self.products,
            self.known_as,
            self.license_arn,
            self.agreement,
            self.company_name,
            company_key,
            "\n".join((company_key, self.license_id, identity_of(self.known_as))),
            self.seats_max,
            self.renews_at_microseconds,
            self.lapse_reason,
            self.ended_at_microseconds,
            self.renewal_intent,
            self.renewal_source,
            self.renewal_announced_at_microseconds,
            self.folded_into,
            *self.seats.values(),
        )


class LicenseChanges:
    """The net effect of a batch: one write for each license, however many events it had."""

    def __init__(self, before: Sequence[LicenseRow] = (), *, last_key: int = 0) -> None:
        """Begin with the licenses as they stand, and the last number that a license has."""
        self._rows = {row.license_id: row for row in before}
        self._last_written = self._last_key = last_key
        self._touched: dict[str, LicenseRow] = {}
        self._policy: system_events.AccessPolicySet | None = None

    @classmethod
    def load(cls, connection: Connection, table: Table, batch: Sequence[RecordedEvent]) -> Self:
        """Read the licenses that a batch is about, all at once."""
        license_ids = {recorded.stream for recorded in batch} - {SYSTEM_STREAM}
        last_key = connection.execute(sqlalchemy.select(sqlalchemy.func.max(table.c.license_key))).scalar() or 0
        found = select_rows(connection, table, table.c.license_id, license_ids)
        return cls([LicenseRow.of(table, row) for row in found], last_key=last_key)

    @property
    def rows_held(self) -> int:
        """How many licenses are held in memory."""
        return len(self._rows)

    def key_of(self, stream: str) -> int:
        """The number of a license, a new one if it was never heard of; 0 for the system's stream."""
        row = self._rows.get(stream)
        if row is None and stream != SYSTEM_STREAM:
            self._last_key += 1
            row = self._rows[stream] = LicenseRow.new(stream, license_key=self._last_key)
        return 0 if row is None else row.license_key

    def apply(self, recorded: RecordedEvent, moved: SeatMove | None) -> None:
        """One more event, and the seat that it moved."""
        match recorded.event:
            case events.SeatActivated() | events.SeatBlocked() | events.SeatUnblocked() | events.SeatDeleted():
                _count(self._row(recorded), moved)
            case events.LicenseIssued(product_code=product_code):
                _list(self._row(recorded), product_code)
            case events.LicenseIdentified() as event:
                _name(self._row(recorded), event)
            case events.CompanyRegistered(company_name=company_name):
                self._row(recorded).company_name = company_name
            case (
                events.RenewalAnnounced()
                | events.SuccessionDecided()
                | events.ListingSucceeded()
                | events.TwinAbsorbed()
                | events.LicenseFolded()
            ) as event:
                _follow(self._row(recorded), event)
            case (
                events.SubscriptionStarted()
                | events.SeatLimitRaised()
                | events.SeatLimitLowered()
                | events.SubscriptionRenewed()
                | events.SubscriptionShortened()
                | events.SubscriptionLapsed()
                | events.SubscriptionResumed()
                | events.AgreementSucceeded()
            ) as event:
                _subscribe(self._row(recorded), event)
            case system_events.AccessPolicySet() as event:
                self._policy = event
            case system_events.KeyIssued() | system_events.KeyRevoked():
                pass  # About who may ask, not about a license.
            case _ as unknown:
                assert_never(unknown)

    def write(self, connection: Connection, licenses: Table, access_policy: Table) -> None:
        """Write each license that was touched, once, and the policy if another one holds now.

        What is held is then as it is written.
        """
        rows = self._touched.values()
        insert_rows(connection, licenses, [row.stored() for row in rows if row.license_key > self._last_written])
        update_rows(connection, licenses, [row.stored() for row in rows if row.license_key <= self._last_written])
        self._touched, self._last_written = {}, self._last_key
        if self._policy is not None:
            connection.execute(sqlalchemy.delete(access_policy))
            insert_rows(connection, access_policy, [_policy_row(self._policy)])
            self._policy = None

    def _row(self, recorded: RecordedEvent) -> LicenseRow:
        row = self._touched[recorded.stream] = self._rows[recorded.stream]
        row.version = recorded.version
        return row


def _count(row: LicenseRow, moved: SeatMove | None) -> None:
    if moved is None:
        return
    row.seats[moved.now] += 1
    if moved.was is not None:
        row.seats[moved.was] -= 1


def _list(row: LicenseRow, product_code: str) -> None:
    row.product_code = product_code
    row.products = with_one(row.products, product_code)


def _name(row: LicenseRow, event: events.LicenseIdentified) -> None:
    holder = Holder(row.account, row.identifier).known_by(event.kind, event.value)
    row.account, row.identifier = holder.account, holder.identifier
    row.known_as = with_one(row.known_as, event.value)
    match event.kind:
        case KeyKind.ACCOUNT | KeyKind.CUSTOMER:
            pass  # That is the holder.
        case KeyKind.PRODUCT:
            row.product = event.value
            row.products = with_one(row.products, event.value)
        case KeyKind.LICENSE_ARN:
            row.license_arn = event.value
        case KeyKind.AGREEMENT:
            row.agreement = event.value
        case _ as unknown:
            assert_never(unknown)


def _subscribe(row: LicenseRow, event: events.SubscriptionEvent) -> None:
    if isinstance(event, events.SubscriptionStarted):
        row.seats_max, row.renews_at_microseconds = event.seats_max, microseconds(event.renews_at)
        row.lapse_reason = row.ended_at_microseconds = None
        return
    if row.seats_max is None:
        return  # As in the license's own state: a change of what never started changes nothing.
    match event:
        case events.SeatLimitRaised(seats_max_after=seats_max) | events.SeatLimitLowered(seats_max_after=seats_max):
            row.seats_max = seats_max
        case (
            events.SubscriptionRenewed(renews_at_after=renews_at)
            | events.SubscriptionShortened(renews_at_after=renews_at)
        ):
            row.renews_at_microseconds = microseconds(renews_at)
        case events.SubscriptionLapsed(reason=reason, ended_at=ended_at):
            row.lapse_reason, row.ended_at_microseconds = reason.value, microseconds(ended_at)
        case events.SubscriptionResumed():
            row.lapse_reason = row.ended_at_microseconds = None
        case events.AgreementSucceeded():
            pass  # The new keys follow as LicenseIdentified in the same append.
        case _ as unknown:
            assert_never(unknown)


def _follow(
    row: LicenseRow,
    event: events.RenewalAnnounced
    | events.SuccessionDecided
    | events.ListingSucceeded
    | events.TwinAbsorbed
    | events.LicenseFolded,
) -> None:
    match event:
        case events.RenewalAnnounced(renewal=renewal, source=source, announced_at=announced_at):
            row.renewal_intent, row.renewal_source = renewal.value, source
            row.renewal_announced_at_microseconds = microseconds(announced_at)
        case events.LicenseFolded(into=into):
            row.folded_into = into
        case events.ListingSucceeded(product_code_after=product_code):
            _list(row, product_code)
        case events.SuccessionDecided() | events.TwinAbsorbed():
            pass  # The keys follow as LicenseIdentified in the same append.
        case _ as unknown:
            assert_never(unknown)


def _policy_row(event: system_events.AccessPolicySet) -> Row:
    waits = (event.expiry_grace_seconds, event.blind_wait_seconds)
    return tuple(timedelta(seconds=seconds) // _MICROSECOND for seconds in waits)
