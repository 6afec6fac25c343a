"""What becomes of the contracts of the sandbox."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from consumers.sandbox import AgreementStatus, Generation, Marketplace, Message, Offer
from consumers.sandbox.contracts import (
    SEATS_MAX,
    AccountIdMalformedError,
    AnotherContractIsActiveError,
    ContractHasEndedError,
    ContractNotFoundError,
    EndNotLaterError,
    SeatsOutOfRangeError,
    TooManyContractsError,
    TrialEndOutsideError,
)
from consumers.sandbox.tokens import TOKEN_LIFETIME, TokenHasExpiredError, TokenIsInvalidError
from tests.unit.sandbox.story import (
    ANALYTICAL_ENGINES,
    COMPILERS_INC,
    END_OF_MAY,
    END_OF_NEXT_MAY,
    NOON,
    SOFTPHONE,
    Clock,
    Stage,
    numbered_ids,
)

DAY = timedelta(days=1)
FIVE_SEATS = {"account_id": ANALYTICAL_ENGINES, "seats": 5, "until": END_OF_MAY}


def titles(stage: Stage) -> list[str]:
    """Name the messages sent, in their order."""
    return [message.title for message in stage.sent]


def test_a_purchase_makes_an_active_contract_with_names_in_the_form_of_aws() -> None:
    """The contract runs from noon, and its ids look like those in events captured from AWS."""
    stage = Stage()
    contract = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    assert stage.marketplace.contracts == (contract,)
    assert (contract.seats, contract.accepted_at, contract.ends_at) == (5, NOON, END_OF_MAY)
    assert contract.status is AgreementStatus.ACTIVE
    assert re.fullmatch(r"agmt-[0-9a-z]{25}", contract.agreement_id)
    assert re.fullmatch(r"offer-[0-9a-z]{13}", contract.offer_id)
    assert re.fullmatch(r"arn:aws:license-manager::294406891311:license:l-[0-9a-f]{32}", contract.license_arn)
    assert contract.customer_identifier is None


def test_two_concurrent_contracts_of_one_buyer_stand_beside_each_other() -> None:
    """Concurrent agreements: one account can hold many licenses of one product."""
    stage = Stage()
    first = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    second = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=3, until=END_OF_MAY).contract
    assert stage.marketplace.contracts == (first, second)
    assert first.license_arn != second.license_arn


def test_a_legacy_buyer_has_one_active_contract_at_a_time() -> None:
    """A second purchase is refused until the first contract has ended; then the buyer keeps the old identifier."""
    marketplace = Stage().marketplace
    first = marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, generation=Generation.LEGACY
    ).contract
    with pytest.raises(AnotherContractIsActiveError):
        marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY, generation=Generation.LEGACY)
    marketplace.cancel(first.agreement_id)
    again = marketplace.buy(
        account_id=ANALYTICAL_ENGINES, seats=2, until=END_OF_MAY, generation=Generation.LEGACY
    ).contract
    other = marketplace.buy(account_id=COMPILERS_INC, seats=2, until=END_OF_MAY, generation=Generation.LEGACY).contract
    assert again.customer_identifier == first.customer_identifier
    assert other.customer_identifier != first.customer_identifier


def test_seats_go_up_and_down_with_two_messages_each() -> None:
    """Each new number amends the agreement and pokes about the license."""
    stage = Stage()
    agreement_id = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract.agreement_id
    for seats in (8, 3, 0):
        stage.sent.clear()
        assert stage.marketplace.set_seats(agreement_id, seats=seats).contract.seats == seats
        assert titles(stage) == ["Purchase Agreement Amended - Proposer", "License Updated - Manufacturer"]


def test_the_same_number_of_seats_again_sends_nothing() -> None:
    """What changes nothing is no amendment."""
    stage = Stage()
    contract = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    stage.sent.clear()
    outcome = stage.marketplace.set_seats(contract.agreement_id, seats=5)
    assert (outcome.contract, outcome.messages, stage.sent) == (contract, (), [])


def test_a_renewal_moves_the_end_of_the_same_agreement() -> None:
    """Ids and seats stay; only the date is later."""
    stage = Stage()
    before = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    stage.sent.clear()
    after = stage.marketplace.renew(before.agreement_id, until=END_OF_NEXT_MAY).contract
    assert (after.agreement_id, after.license_arn, after.seats) == (before.agreement_id, before.license_arn, 5)
    assert after.ends_at == END_OF_NEXT_MAY
    assert titles(stage) == ["Purchase Agreement Amended - Proposer", "License Updated - Manufacturer"]


@pytest.mark.parametrize(
    ("end", "status"),
    [(Marketplace.cancel, AgreementStatus.CANCELLED), (Marketplace.expire, AgreementStatus.EXPIRED)],
    ids=["cancelled", "expired"],
)
def test_an_end_is_told_by_ended_and_then_deprovisioned(
    end: Callable[[Marketplace, str], object], status: AgreementStatus
) -> None:
    """The agreement ends now, and nothing can be done with it afterwards."""
    stage = Stage()
    agreement_id = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract.agreement_id
    stage.sent.clear()
    end(stage.marketplace, agreement_id)
    contract = stage.marketplace.find(agreement_id)
    assert (contract.status, contract.ends_at) == (status, NOON)
    assert titles(stage) == ["Purchase Agreement Ended - Proposer", "License Deprovisioned - Manufacturer"]
    too_late: tuple[Callable[[], object], ...] = (
        lambda: end(stage.marketplace, agreement_id),
        lambda: stage.marketplace.set_seats(agreement_id, seats=9),
        lambda: stage.marketplace.renew(agreement_id, until=END_OF_NEXT_MAY),
        lambda: stage.marketplace.issue_token(agreement_id),
    )
    for change in too_late:
        with pytest.raises(ContractHasEndedError):
            change()
    assert len(stage.sent) == 2


def test_a_contract_past_its_date_keeps_that_date_when_it_is_let_expire() -> None:
    """It ended on its own date, not when somebody said so; until then it is active without a live seat."""
    stage = Stage()
    contract = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    stage.clock.at = END_OF_MAY
    assert contract.status is AgreementStatus.ACTIVE
    assert not contract.is_live(at=stage.clock.at)
    stage.clock.move(timedelta(days=3))
    assert stage.marketplace.expire(contract.agreement_id).contract.ends_at == END_OF_MAY


@pytest.mark.parametrize(
    ("terms", "refusal"),
    [
        ({"seats": 0}, SeatsOutOfRangeError),
        ({"seats": -1}, SeatsOutOfRangeError),
        ({"seats": SEATS_MAX + 1}, SeatsOutOfRangeError),
        ({"until": NOON}, EndNotLaterError),
        ({"offer": Offer(trial_ends_at=NOON)}, TrialEndOutsideError),
        ({"offer": Offer(trial_ends_at=NOON + DAY, starts_at=NOON + 2 * DAY)}, TrialEndOutsideError),
        ({"offer": Offer(trial_ends_at=END_OF_NEXT_MAY)}, TrialEndOutsideError),
        ({"account_id": "12345678901"}, AccountIdMalformedError),
        ({"account_id": "１" * 12}, AccountIdMalformedError),  # noqa: RUF001  full-width digits are the point
    ],
)
def test_a_purchase_that_aws_would_not_take_makes_no_contract(
    terms: dict[str, object], refusal: type[Exception]
) -> None:
    """It is refused with a reason, and nothing is sent."""
    stage = Stage()
    with pytest.raises(refusal):
        stage.marketplace.buy(**{**FIVE_SEATS, **terms})  # type: ignore[arg-type]
    assert stage.marketplace.contracts == ()
    assert stage.sent == []


def test_a_change_that_aws_would_not_take_changes_nothing() -> None:
    """A negative number of seats and an end that is not later are refused."""
    stage = Stage()
    contract = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    with pytest.raises(SeatsOutOfRangeError):
        stage.marketplace.set_seats(contract.agreement_id, seats=-1)
    with pytest.raises(EndNotLaterError):
        stage.marketplace.renew(contract.agreement_id, until=END_OF_MAY)
    assert stage.marketplace.contracts == (contract,)
    assert len(stage.sent) == 2


def test_an_unknown_agreement_is_named_in_the_refusal() -> None:
    """Whoever mistyped an id sees it."""
    with pytest.raises(ContractNotFoundError, match="agmt-nobody"):
        Stage().marketplace.cancel("agmt-nobody")


def test_a_full_sandbox_takes_no_more_contracts() -> None:
    """Everything has a limit; what it keeps is not emptied by starting it again."""
    marketplace = Stage().marketplace
    marketplace.contracts_max = 3
    for _ in range(3):
        marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=1, until=END_OF_MAY)
    with pytest.raises(TooManyContractsError, match=r"stop it and remove its file\.$"):
        marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=1, until=END_OF_MAY)


def test_a_token_resolves_to_its_contract_again_and_again_until_it_expires() -> None:
    """AWS answers the same for four hours, and not a moment longer."""
    stage = Stage()
    stage.marketplace.buy(account_id=COMPILERS_INC, seats=1, until=END_OF_MAY)
    contract = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    issued = stage.marketplace.issue_token(contract.agreement_id)
    assert issued.expires_at == NOON + TOKEN_LIFETIME == NOON + timedelta(hours=4)
    stage.clock.at = issued.expires_at - timedelta(microseconds=1)
    assert stage.marketplace.resolve_token(issued.token) == contract
    assert stage.marketplace.resolve_token(issued.token) == contract
    stage.clock.at = issued.expires_at
    with pytest.raises(TokenHasExpiredError):
        stage.marketplace.resolve_token(issued.token)


def test_a_token_that_was_not_issued_here_is_invalid() -> None:
    """Made up, cut, altered, not ASCII: none resolves."""
    stage = Stage()
    contract = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    token = stage.marketplace.issue_token(contract.agreement_id).token
    altered = ("B" if token[0] == "A" else "A") + token[1:]
    for made_up in ("", "x", "token", token[:-4], altered, token + token, "Ada", "ÄÖÜ"):
        with pytest.raises(TokenIsInvalidError):
            stage.marketplace.resolve_token(made_up)


def test_no_token_looks_like_an_option_of_the_command_line() -> None:
    """The AWS command line takes what begins with "-" for one."""
    stage = Stage()
    contract = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    for _ in range(500):
        stage.clock.at += timedelta(microseconds=1)
        assert stage.marketplace.issue_token(contract.agreement_id).token[0].isalnum()


def test_messages_are_kept_newest_first_with_those_that_the_queue_did_not_take() -> None:
    """A queue that is down loses messages, as in life; the contract is changed all the same."""
    stage = Stage()
    contract = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    stage.queue_takes = False
    outcome = stage.marketplace.set_seats(contract.agreement_id, seats=6)
    assert [message.delivered for message in outcome.messages] == [False, False]
    assert [(message.title.split(" - ")[0], message.delivered) for message in stage.marketplace.messages] == [
        ("License Updated", False),
        ("Purchase Agreement Amended", False),
        ("License Updated", True),
        ("Purchase Agreement Created", True),
    ]
    assert stage.marketplace.find(contract.agreement_id).seats == 6


def test_a_message_is_sent_after_the_contract_has_changed() -> None:
    """Whoever reads the message at once finds in AWS what it is about."""
    seen: list[int] = []

    def read_at_once(message: Message) -> bool:
        seen.append(marketplace.find(message.agreement_id).seats)
        return True

    marketplace = Marketplace(products=(SOFTPHONE,), clock=Clock(), ids=numbered_ids(), deliver=read_at_once)
    contract = marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=5, until=END_OF_MAY).contract
    marketplace.set_seats(contract.agreement_id, seats=3)
    assert seen == [5, 5, 3, 3]


def test_messages_of_many_threads_go_out_in_the_order_of_their_changes() -> None:
    """The last message about a contract is sent with the last number that it got."""
    stage = Stage()
    agreement_id = stage.marketplace.buy(account_id=ANALYTICAL_ENGINES, seats=1, until=END_OF_MAY).contract.agreement_id
    with ThreadPoolExecutor(max_workers=8) as threads:
        outcomes = list(
            threads.map(lambda seats: stage.marketplace.set_seats(agreement_id, seats=seats), range(2, 102))
        )
    assert len(stage.sent) == 2 + 2 * 100
    last = next(outcome for outcome in outcomes if outcome.messages[-1].body == stage.sent[-1].body)
    assert stage.marketplace.find(agreement_id) == last.contract
