"""The table of holdings, made again from the events where a ledger of an earlier version has none."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import sqlalchemy

from ledger.envelope import RecordedEvent
from ledger.license.events import KeyKind, LicenseIdentified, LicenseIssued
from ledger.license.holding import holdings_of
from ledger.store.tables import HOLDINGS

TYPES: Final = (LicenseIssued.TYPE, LicenseIdentified.TYPE)


def is_missing(rows: sqlalchemy.Connection) -> bool:
    """Whether the database has no such table yet."""
    return not sqlalchemy.inspect(rows).has_table(HOLDINGS.name)


def fill(rows: sqlalchemy.Connection, recorded: Iterable[RecordedEvent]) -> None:
    """Write as what each license is held, by all events of these types, in their order."""
    codes: dict[str, str] = {}
    names: dict[str, list[tuple[KeyKind, str]]] = defaultdict(list)
    for one in recorded:
        match one.event:
            case LicenseIssued(product_code=product_code):
                codes[one.stream] = product_code
            case LicenseIdentified(kind=kind, value=value):
                names[one.stream].append((kind, value))
    held = {
        (holding, license_id) for license_id, code in codes.items() for holding in holdings_of(code, names[license_id])
    }
    if held:
        values = [{**holding._asdict(), "license_id": license_id} for holding, license_id in held]
        rows.execute(sqlalchemy.insert(HOLDINGS), values)
