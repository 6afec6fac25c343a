"""Reports of a quiet night and of a bad one."""

from datetime import timedelta
from typing import Final

import msgspec

from consumers.marketplace.reconcile.alarming import SEES_NOTHING, losses_withheld
from consumers.marketplace.reconcile.candidates import IN_USE
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
from tests.e2e.pages.story import Story

KEY: Final = "arn:aws:license-manager::294406891311:license:l-9d01d15f86334a8894365cd7350556ff"
WITHHELD: Final = "Too much would be lost at once."
STANDS: Final = (
    "AWS was read again, and the ledger stands by what it holds. If the next reconciliation finds it again, compare the"
    " license's history with AWS Marketplace."
)
NO_EVIDENCE: Final = (
    "AWS does not say that it has ended, so that nothing is taken. Ask AWS or the customer; if it has ended,"
    " `licensing-ledger lapse` records that."
)
OF_ANOTHER: Final = (
    "AWS names it for another account than the ledger, so that nothing changes. Ask AWS Marketplace's seller support"
    " whose it is."
)
ODD: Final = (
    "A row of a dimension that counts users has a negative number. Nothing changes until AWS shows a row that can be"
    " read. Tell AWS's seller support of it."
)


def agreeing(story: Story, *, number: int = 11) -> DriftReport:
    """A quiet night."""
    return DriftReport(
        number=number,
        begun_at=story.clock() - timedelta(minutes=2),
        finished_at=story.clock() - timedelta(minutes=1),
        dry_run=False,
        apply_losses=False,
        agrees=True,
        licenses=1_204,
        rows=1_204,
        pages=49,
        agreements=3,
        counts=dict.fromkeys(Standing, 0),
        alarms=(),
        differences=(),
        unexplained=(),
        candidates=(),
        notes=(),
    )


def bad_night(story: Story, *, number: int = 12) -> DriftReport:
    """Everything that a report can say."""
    at = story.clock()
    differences = (
        difference(
            story.noon, DriftKind.MISSING_THERE, Standing.WITHHELD, here=25, there=None, reason=WITHHELD, users=3
        ),
        difference(story.dusk, DriftKind.NUMBER, Standing.LEFT, here=120, there=90, reason=STANDS),
        difference(story.noon, DriftKind.KEY, Standing.LEFT, here=25, there=25, reason=OF_ANOTHER),
        difference(story.dusk, DriftKind.UNREADABLE, Standing.LEFT, here=80, there=None, reason=ODD),
        difference(story.dawn, DriftKind.MISSING_THERE, Standing.LEFT, here=10, there=None, reason=NO_EVIDENCE),
        difference(
            story.dawn, DriftKind.NUMBER, Standing.ON_ITS_WAY, here=10, there=4, reason="A second reading waits."
        ),
        difference(story.night, DriftKind.NUMBER, Standing.MENDED, here=10, there=2, users=4),
        difference(None, DriftKind.MISSING_HERE, Standing.MENDED, here=None, there=5),
    )
    losses = Losses(licenses=63, seats=1_904, licenses_before=1_204, seats_before=20_117, percent_max=5.0)
    return DriftReport(
        number=number,
        begun_at=at - timedelta(minutes=2),
        finished_at=at - timedelta(minutes=1),
        dry_run=False,
        apply_losses=False,
        agrees=False,
        losses=losses,
        licenses=1_204,
        rows=1_201,
        pages=49,
        agreements=17,
        counts={Standing.WITHHELD: 1, Standing.LEFT: 4, Standing.ON_ITS_WAY: 1, Standing.MENDED: 2},
        alarms=(
            Alarm(
                code=AlarmCode.LOSSES_WITHHELD,
                detail=losses_withheld(losses, differences[:1]),
            ),
        ),
        differences=differences,
        unexplained=(
            Unexplained(
                license_id=story.noon,
                since=at - timedelta(days=2),
                product_code="4vx8kn2qpr7mty3wdz6hbcj5s",
                customer_id="123456789012",
                here=Terms(seats_max=25, renews_at=at + timedelta(days=300)),
            ),
        ),
        candidates=(
            Candidate(
                license_id=story.night,
                ended_at=at - timedelta(days=9),
                successor_id=story.noon,
                began_at=at - timedelta(days=8),
                key="agmt-9x2k4m7q",
                product_code="4vx8kn2qpr7mty3wdz6hbcj5s",
                customer_id="123456789012",
                older=CandidateSide(seats_max=10, seats_active=4),
                newer=CandidateSide(seats_max=25, seats_active=0),
            ),
            Candidate(
                license_id=story.night,
                ended_at=at - timedelta(days=9),
                successor_id=story.dusk,
                began_at=at - timedelta(days=7),
                key="agmt-3v8n1p5r",
                product_code="4vx8kn2qpr7mty3wdz6hbcj5s",
                customer_id="123456789012",
                older=CandidateSide(seats_max=10, seats_active=4),
                newer=CandidateSide(seats_max=120, seats_active=80),
                obstacle=IN_USE,
            ),
        ),
        notes=("News of agreements could not be read: AccessDeniedException.",),
    )


def difference(
    license_id: LicenseId | None,
    kind: DriftKind,
    standing: Standing,
    *,
    here: int | None,
    there: int | None,
    reason: str | None = None,
    users: int = 0,
) -> Difference:
    """One difference, of seats without dates."""
    is_mended = standing is Standing.MENDED
    return Difference(
        kinds=(kind,),
        standing=standing,
        license_id=license_id,
        product_code="4vx8kn2qpr7mty3wdz6hbcj5s",
        customer_id="123456789012",
        key=KEY,
        here=None if here is None else Terms(seats_max=here, renews_at=None),
        there=None if there is None else Terms(seats_max=there, renews_at=None),
        is_loss=standing is Standing.WITHHELD,
        reason=reason,
        seats_active=users,
        seats_deleted=0 if there is None else users,
        after=Terms(seats_max=there, renews_at=None) if is_mended and there is not None else None,
    )


def blind_night(story: Story, *, number: int = 13) -> DriftReport:
    """Credentials of another account, and a contract that AWS had said was cancelled."""
    ended = difference(story.dawn, DriftKind.MISSING_THERE, Standing.MENDED, here=7, there=None, users=2)
    return msgspec.structs.replace(
        agreeing(story, number=number),
        agrees=False,
        rows=0,
        counts={Standing.MENDED: 1},
        alarms=(Alarm(code=AlarmCode.SEES_NOTHING, detail=SEES_NOTHING),),
        differences=(ended,),
    )


def dry_night(story: Story, *, number: int = 14, differing: int = 3) -> DriftReport:
    """A look before anything is mended."""
    raised = difference(story.noon, DriftKind.NUMBER, Standing.MENDABLE, here=25, there=30)
    return msgspec.structs.replace(
        agreeing(story, number=number),
        dry_run=True,
        agrees=False,
        counts={Standing.MENDABLE: differing},
        differences=(raised,) * differing,
    )
