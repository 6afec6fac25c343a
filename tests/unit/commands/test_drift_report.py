"""The drift report on a terminal of eighty columns: nothing is cut, and what is to be copied stays whole."""

import io
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.console import Console

from commands.drift_report import SHOWN_MAX, tell
from consumers.marketplace.reconcile.alarming import losses_withheld
from ledger.drift import (
    Alarm,
    AlarmCode,
    Candidate,
    CandidateSide,
    Difference,
    DriftKind,
    DriftReport,
    Losses,
    Standing,
    Terms,
    Unexplained,
)
from ledger.license.events import LicenseId

NOON: Final = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ADAS: Final = LicenseId("0417a56d-f2a7-4b18-a058-eb817ce0227e")
GRACES: Final = LicenseId("1acddb66-0279-41e2-b786-9bc98880b8a1")
ARN: Final = "arn:aws:license-manager::294406891311:license:l-4976aedb2d7d4591b65c3676af296840"
UNTIL_MAY: Final = Terms(seats_max=15, renews_at=datetime(2027, 5, 31, tzinfo=UTC))
TWO: Final = Terms(seats_max=2, renews_at=datetime(2027, 5, 31, tzinfo=UTC))
WIDTH: Final = 80


def difference(license_id: LicenseId, standing: Standing, *, there: Terms | None, reason: str | None) -> Difference:
    """A license with three users that has, or is to have, fewer seats."""
    return Difference(
        kinds=(DriftKind.MISSING_THERE if there is None else DriftKind.NUMBER,),
        standing=standing,
        license_id=license_id,
        product_code="softphone",
        customer_id="777777777777",
        key=ARN,
        here=UNTIL_MAY,
        there=there,
        is_loss=True,
        reason=reason,
        seats_active=3,
        seats_deleted=0 if there is None else 3,
        after=there if standing is Standing.MENDED else None,
    )


WITHHELD: Final = tuple(
    difference(one, Standing.WITHHELD, there=there, reason="Too much would be lost at once.")
    for one, there in ((ADAS, None), (GRACES, TWO))
)
LOSSES: Final = Losses(licenses=3, seats=42, licenses_before=10, seats_before=85, percent_max=5.0)


def report(*differences: Difference) -> DriftReport:
    """A report of these differences and of all else that there can be."""
    return DriftReport(
        number=3,
        begun_at=NOON,
        finished_at=NOON,
        dry_run=False,
        apply_losses=False,
        agrees=False,
        licenses=10,
        rows=7,
        pages=1,
        agreements=0,
        counts={standing: sum(one.standing is standing for one in differences) for standing in Standing},
        alarms=(Alarm(code=AlarmCode.LOSSES_WITHHELD, detail=losses_withheld(LOSSES, WITHHELD)),),
        differences=differences,
        unexplained=(
            Unexplained(
                license_id=ADAS, since=NOON, product_code="softphone", customer_id="777777777777", here=UNTIL_MAY
            ),
        ),
        candidates=(
            Candidate(
                license_id=ADAS,
                ended_at=NOON,
                successor_id=GRACES,
                began_at=NOON + timedelta(days=1),
                key=ARN,
                product_code="softphone",
                customer_id="777777777777",
                older=CandidateSide(seats_max=15, seats_active=3),
                newer=CandidateSide(seats_max=20, seats_active=0),
            ),
        ),
        notes=(),
        losses=LOSSES,
    )


def told(made: DriftReport) -> list[str]:
    """The lines that a terminal shows."""
    screen = io.StringIO()
    tell(made, Console(file=screen, width=WIDTH, color_system=None))
    return screen.getvalue().splitlines()


def test_a_command_stands_whole_on_one_line() -> None:
    """As it is to be copied: without marks, and broken by nothing but the terminal itself."""
    lines = told(report(*WITHHELD))
    assert any("licensing-ledger reconcile --apply-losses" in line for line in lines)
    proposed = f"  licensing-ledger succeed {ADAS} --by {ARN}"
    assert proposed in lines
    assert all("`" not in line for line in lines)
    assert [line for line in lines if len(line) > WIDTH] == [proposed]


def test_a_reason_is_told_once_for_all_that_stand_alike() -> None:
    """Below it each license with what it has, and with what applying or mending does."""
    mended = difference(GRACES, Standing.MENDED, there=TWO, reason=None)
    lines = told(report(*WITHHELD, mended))
    begins = lines.index("Held back: Too much would be lost at once.")
    assert lines[begins + 1] == f"  {ADAS}  customer 777777777777"
    text = " ".join(" ".join(lines).split())
    assert text.count("Too much would be lost at once.") == 1
    assert "Ledger: 15 seats until 2027-05-31. AWS: nothing. It ends, and its 3 users can't use the client." in text
    assert "The number goes down from 15 to 2, which deletes its 3 users." in text
    assert "Mended" in lines
    assert "The number went down from 15 to 2, which deleted its 3 users." in text


def test_what_is_left_out_is_said() -> None:
    """With where to find it."""
    many = [difference(ADAS, Standing.WITHHELD, there=None, reason="Too much.")] * (SHOWN_MAX + 7)
    assert any("And 7 more: the page /drift shows a thousand" in line for line in told(report(*many)))
