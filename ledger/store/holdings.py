"""The table of holdings, made again from the events where a ledger of an earlier version has none."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import sqlalchemy

from ledger.envelope import RecordedEvent
from ledger.license.events import LicenseId, LicenseIdentified, LicenseIssued, ListingSucceeded
from ledger.license.holding import holdings_of
from ledger.license.state import License
from ledger.store.tables import HOLDINGS

TYPES: Final = (LicenseIssued.TYPE, LicenseIdentified.TYPE, ListingSucceeded.TYPE)


def is_missing(rows: sqlalchemy.Connection) -> bool:
    """Whether the database has no such table yet."""
    return not sqlalchemy.inspect(rows).has_table(HOLDINGS.name)


def fill(rows: sqlalchemy.Connection, recorded: Iterable[RecordedEvent]) -> None:
    """Write as what each license is held, by all events of these types, in their order."""
    licenses: dict[str, License] = {}
    for one in recorded:
        license_ = licenses.get(one.stream) or License(license_id=LicenseId(one.stream))
        match one.event:
            case LicenseIssued(product_code=code) | ListingSucceeded(product_code_after=code):
                licenses[one.stream] = replace(license_, product_codes=(*license_.product_codes, code))
            case LicenseIdentified(kind=kind, value=value):
                licenses[one.stream] = replace(license_, names=(*license_.names, (kind, value)))
    held = {(holding, license_id) for license_id, license_ in licenses.items() for holding in holdings_of(license_)}
    if held:
        values = [{**holding._asdict(), "license_id": license_id} for holding, license_id in held]
        rows.execute(sqlalchemy.insert(HOLDINGS), values)
