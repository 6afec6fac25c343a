"""What people complain of about AWS Marketplace's integrations, each with the number of its source: not so here.

What no program can answer, such as who may subscribe to AWS's topics, is told by `doctor` and in `docs/marketplace.md`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from consumers.marketplace import Consumer
from consumers.sandbox import FaultPlan, Generation, SuccessorTerms
from consumers.sandbox.signing import passing_key
from ledger.license.access import LicenseStatus
from ledger.license.events import KeyKind
from ledger.store.url import DatabaseUrl
from ledger.users import parse_user
from projections.license_information import LicenseInformation, LicenseQuery
from projections.views import Views, ViewsSettings
from tests.integration.consumers_stage import (
    ADMIN,
    ANALYTICAL_ENGINES,
    COMPILERS_INC,
    END_OF_MAY,
    END_OF_NEXT_MAY,
    ENGINES,
    NOON,
    PRODUCT_CODE,
    UNLIMITED,
    USERS,
    Stage,
    database,
    staged,
)

ENTITLEMENT_TOPIC = f"arn:aws:sns:us-east-1:287250355862:aws-mp-entitlement-notification-{PRODUCT_CODE}"
TOPIC_OF_ONES_OWN = "arn:aws:sns:us-east-1:993604559884:marketplace"


@pytest.fixture(params=ENGINES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A consumer with the patience of production."""
    with database(request.param, tmp_path) as url, staged(url) as stage:
        yield stage


@contextmanager
def listing(stage: Stage, folder: Path) -> Iterator[Callable[[LicenseQuery], Sequence[LicenseInformation]]]:
    """The list of licenses as it is shown, to be asked."""
    views = Views.open(ViewsSettings(url=DatabaseUrl.of_file(folder / "ledger.views")), stage.ledger)
    try:
        views.run_once()
        yield lambda query: views.licenses.list(query, after=None, limit=2, at=stage.clock()).items
    finally:
        views.stop()


def test_serverless_saas_integration_100_identifiers_change_and_the_license_stays(stage: Stage) -> None:
    """A customer identifier at first, then an account and a LicenseArn."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    stage.activate(*USERS)
    stage.sandbox.marketplace.opt_in(contract.agreement_id)
    token = stage.sandbox.marketplace.issue_token(contract.agreement_id).token
    resolved = stage.registration.resolve(token, cause="request")
    license_ = stage.license()
    assert resolved.license_id == license_.license_id
    assert license_.name(KeyKind.CUSTOMER) == f"{PRODUCT_CODE}/{contract.customer_identifier}"
    assert license_.name(KeyKind.ACCOUNT) == ANALYTICAL_ENGINES
    assert license_.name(KeyKind.LICENSE_ARN) == contract.license_arn
    assert license_.seats_active == 5


def test_serverless_saas_integration_44_and_boto3_1258_an_answer_without_entitlements(stage: Stage) -> None:
    """The member is absent: no handler fails over it, and nobody loses a seat."""
    stage.bought(seats=5)
    stage.activate(*USERS)
    stage.sandbox.faults.set(FaultPlan(as_buyer=True))
    stage.sandbox.marketplace.send_again(stage.sandbox.marketplace.messages[0].number)
    stage.pass_time(timedelta(hours=1))
    assert (stage.license().seats_max, stage.license().seats_active) == (5, 5)
    assert set(stage.statuses()) == {"done"}


def test_repost_qunsve0zjysmcgy89llgjoiw_a_message_that_says_nothing_is_read_after(stage: Stage) -> None:
    """It names no number: who, and what has changed, AWS's entitlements tell."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=8)
    (body,) = stage.held_back()
    said = json.loads(json.loads(body)["Message"])
    assert set(said) == {"action", "customer-identifier", "product-code"}
    stage.send(body)
    stage.consume()
    assert stage.events()[-1] == "seat-limit-raised"


def test_rhsm_subscriptions_6403_and_6539_contracts_of_one_account_stay_apart(stage: Stage) -> None:
    """One ends, and the other does not."""
    first, second = stage.buy(seats=3), stage.buy(seats=7)
    stage.consume()
    stage.sandbox.marketplace.cancel(first.agreement_id)
    stage.consume()
    ended, running = stage.licenses()
    assert running.name(KeyKind.LICENSE_ARN) == second.license_arn
    assert ended.subscription is not None
    assert ended.subscription.lapse is not None
    assert running.subscription is not None
    assert (running.seats_max, running.subscription.lapse) == (7, None)


def test_intelligent_document_processing_644_wrong_credentials_lock_nobody_out(stage: Stage) -> None:
    """A buyer's credentials answer 200 and empty, for ever."""
    stage.bought(seats=5)
    stage.activate(*USERS)
    stage.sandbox.faults.set(FaultPlan(as_buyer=True))
    stage.clock.at = END_OF_MAY
    for _ in range(24):
        stage.pass_time(timedelta(hours=1))
    answer = stage.ledger.seats.access(stage.license().license_id, user=parse_user("ada"), caller=ADMIN)
    assert answer.code == "ALLOWED"


def test_jentic_one_1184_who_looks_again_takes_no_other_seat(stage: Stage) -> None:
    """The only seat is its user's, however often the client asks."""
    stage.bought(seats=1)
    license_id = stage.license().license_id
    for _ in range(3):
        stage.activate("ada")
        answer = stage.ledger.seats.access(license_id, user=parse_user("ada"), caller=ADMIN)
        assert answer.code == "ALLOWED"
    assert stage.license().seats_active == 1


def test_trackit_302_who_has_bought_is_let_in_from_the_first_minute(stage: Stage) -> None:
    """A gate is worth nothing that keeps out whom it is for: messages first, or the buyer first."""
    stage.bought(seats=1)
    later = stage.buy(seats=1, account_id=COMPILERS_INC)
    stage.held_back()
    token = stage.sandbox.marketplace.issue_token(later.agreement_id).token
    stage.registration.resolve(token, cause="request-1")
    for license_, user in zip(stage.licenses(), ("ada", "grace"), strict=True):
        stage.ledger.seats.activate(license_.license_id, user=parse_user(user), caller=ADMIN)
        answer = stage.ledger.seats.access(license_.license_id, user=parse_user(user), caller=ADMIN)
        assert answer.code == "ALLOWED"


def test_serverless_saas_integration_11_and_developer_portal_164_a_topic_of_ones_own_is_said_to_be_none_of_awss(
    stage: Stage,
) -> None:
    """Its messages change nothing, and the inbox names the topic that was subscribed by mistake."""
    settings = replace(stage.settings, sns_topic_arns=frozenset({ENTITLEMENT_TOPIC}))
    stage.consumer.stand_back()
    consumer = Consumer(stage.ledger, settings, stage.clients, now=stage.clock, readings_per_second=UNLIMITED)
    stage.buy(seats=5, generation=Generation.LEGACY)
    said = json.loads(stage.held_back()[-1])
    stage.send(json.dumps(passing_key().sign(said | {"TopicArn": TOPIC_OF_ONES_OWN})))
    while consumer.run_once():
        pass
    assert stage.licenses() == []
    ((status, reason),) = stage.inbox()
    assert status == "failed"
    assert reason is not None
    assert TOPIC_OF_ONES_OWN in reason


def test_serverless_saas_integration_45_a_new_customer_is_told_from_a_change(stage: Stage) -> None:
    """By what the ledger holds, since the messages are the same."""
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    stage.consume()
    assert stage.events()[-1] == "subscription-started"
    stage.sandbox.marketplace.set_seats(contract.agreement_id, seats=6)
    stage.consume()
    assert stage.events()[-1] == "seat-limit-raised"
    assert stage.events().count("license-issued") == 1


def test_serverless_saas_integration_10_and_user_guide_10_and_11_tokens_for_tests_resolve_again_and_again(
    stage: Stage,
) -> None:
    """The sandbox issues them, where AWS has none for tests; who leaves and subscribes again is the same customer."""
    marketplace = stage.sandbox.marketplace
    contract = stage.buy(seats=5, generation=Generation.LEGACY)
    token = marketplace.issue_token(contract.agreement_id).token
    first = stage.registration.resolve(token, cause="request-1")
    assert stage.registration.resolve(token, cause="request-2").license_id == first.license_id
    marketplace.cancel(contract.agreement_id)
    stage.consume()
    stage.clock.move(timedelta(days=1))
    again = stage.buy(seats=3, generation=Generation.LEGACY)
    token = marketplace.issue_token(again.agreement_id).token
    assert stage.registration.resolve(token, cause="request-3").license_id == first.license_id


def test_repost_quwmzs1m1uqxwp_customers_see_status_number_and_date(stage: Stage, tmp_path: Path) -> None:
    """What AWS's reviewers look for stands on the page of a license, and since when in its history."""
    stage.bought(seats=5)
    stage.activate("ada")
    with listing(stage, tmp_path) as found:
        (shown,) = found(LicenseQuery())
    assert (shown.status, shown.renewal_date) == (LicenseStatus.ACTIVE, END_OF_MAY)
    assert (shown.seats_max, shown.seats_active) == (5, 1)
    started = [one for one in stage.ledger.feed(after=0, limit=100) if one.event.TYPE == "license.subscription-started"]
    assert [one.recorded_at >= NOON for one in started] == [True]


def test_neondatabase_website_2852_a_customer_is_found_by_any_id_that_they_can_quote(
    stage: Stage, tmp_path: Path
) -> None:
    """The account, the agreement and the LicenseArn are on their page, and each finds the license, old ones too."""
    before = stage.bought(seats=5)
    stage.buy(seats=3, account_id=COMPILERS_INC)
    now = stage.sandbox.marketplace.succeed(before.agreement_id, SuccessorTerms(until=END_OF_NEXT_MAY)).contract
    stage.consume()
    with listing(stage, tmp_path) as found:
        for quoted in (ANALYTICAL_ENGINES, now.agreement_id, now.license_arn, before.agreement_id, before.license_arn):
            (shown,) = found(LicenseQuery(q=quoted))
            assert (shown.customer_id, shown.seats_max) == (ANALYTICAL_ENGINES, 5)
            assert (shown.agreement_id, shown.license_arn) == (now.agreement_id, now.license_arn)


def test_api_gateway_developer_portal_382_and_522_the_arn_as_documented_and_as_sent_is_one(stage: Stage) -> None:
    """AWS's documentation and its real events spell it in different ways."""
    contract = stage.bought(seats=5)
    event = json.loads(stage.sandbox.marketplace.messages[0].body)
    digits = contract.license_arn.rsplit("l-", 1)[1]
    event["detail"]["license"]["arn"] = f"aws:license-manager:us-east-1:123456789012:l-{digits}"
    stage.send(json.dumps(event | {"id": "another"}))
    stage.consume()
    assert stage.license().seats_max == 5
    assert len(stage.licenses()) == 1
