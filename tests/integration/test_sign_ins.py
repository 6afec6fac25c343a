"""Sign-ins to the pages are rows that hold on either engine: sessions, links and visits from AWS Marketplace."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from api.sign_ins import LINK_LASTS, REGISTRATION_LASTS, SIGN_IN_LASTS, LinkIsSpentError, SignIns
from ledger.registration import Resolved
from ledger.system.events import KeyRole
from tests.integration.api_stage import ADMIN_OF_IT, Stage, open_stage
from tests.stories import ACCOUNT, ADMIN, LICENSE, PRODUCT_CODE

SECOND = timedelta(seconds=1)


@pytest.fixture
def stage(database: Path) -> Iterator[Stage]:
    """Ada's and Grace's company has a license and an administrator."""
    with open_stage(database) as stage:
        yield stage


def test_a_key_begins_a_session_that_ends_by_itself(stage: Stage) -> None:
    """Of twelve hours; signing out ends it before."""
    sign_ins = SignIns(stage.ledger)
    session, other = (sign_ins.sign_in_with_key(ADMIN_OF_IT) for _ in range(2))
    sign_ins.sign_out(other)
    assert sign_ins.find(other) is None
    stage.clock.move(SIGN_IN_LASTS - SECOND)
    principal = sign_ins.find(session)
    assert principal is not None
    assert (principal.role, principal.names(LICENSE)) == (KeyRole.ADMIN, True)
    stage.clock.move(2 * SECOND)
    assert sign_ins.find(session) is None


def test_a_link_signs_in_once_within_ten_minutes(stage: Stage) -> None:
    """As administrator of its license."""
    sign_ins = SignIns(stage.ledger)
    link, unused = (sign_ins.link(LICENSE, caller=ADMIN) for _ in range(2))
    principal = sign_ins.find(sign_ins.redeem(link))
    assert principal is not None
    assert principal.scope.licenses == (LICENSE,)
    with pytest.raises(LinkIsSpentError):
        sign_ins.redeem(link)
    assert sign_ins.is_open(unused)
    stage.clock.move(LINK_LASTS + SECOND)
    with pytest.raises(LinkIsSpentError):
        sign_ins.redeem(unused)


def test_whom_aws_named_is_remembered_for_an_hour(stage: Stage) -> None:
    """By a random value that the browser carries."""
    sign_ins = SignIns(stage.ledger)
    resolved = Resolved(
        license_id=LICENSE, customer_id=ACCOUNT[1], product_code=PRODUCT_CODE, seats_max=None, renews_at=None
    )
    registration = sign_ins.keep_registration(resolved, cause="request")
    registrant = sign_ins.registrant(registration)
    assert registrant is not None
    assert (registrant.license_id, registrant.customer_id) == (LICENSE, ACCOUNT[1])
    stage.clock.move(REGISTRATION_LASTS + SECOND)
    assert sign_ins.registrant(registration) is None
