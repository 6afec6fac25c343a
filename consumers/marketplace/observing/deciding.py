"""Deciding, under the append lock, what a complete reading changes about a license."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from consumers.marketplace import endings, known_agreements, legacy, succession
from consumers.marketplace.agreement import SUCCEEDED, Agreement, AgreementStatus
from consumers.marketplace.endings import EndNotice
from consumers.marketplace.entitlements import LiveRow
from consumers.marketplace.licenses import identify_license, license_of_arn, names_current
from consumers.marketplace.messages import PokeKind
from consumers.marketplace.names import value_of
from consumers.marketplace.observations import FirstReading, Observation
from consumers.marketplace.observing.claim import Claim, numbers
from consumers.marketplace.observing.reading import Reading, names_read
from consumers.marketplace.settings import MarketplaceSettings
from consumers.marketplace.settling import BEGINNING
from consumers.marketplace.standing import MessageStatus, settle_succeeded, tell
from consumers.marketplace.succession import ContradictionError
from consumers.marketplace.waiting import WaitingMessage, is_overtaken
from ledger.inbox import ComingSeats
from ledger.license import decisions
from ledger.license.decisions import SecondReadingIsNeededError
from ledger.license.events import KeyKind, LicenseId
from ledger.license.state import License
from ledger.transaction import Transaction

_UNSEEN_WAIT: Final = timedelta(days=1)
"""So long a smaller number must be read while AWS says that an agreement runs of which it shows nothing."""
_LOGGER: Final = structlog.get_logger(__name__)

_STILL_SHOWN: Final = "AWS still shows the license's seats. It is read again until they are gone."
_OVERTAKEN: Final = "A later message tells that the license goes on, and AWS shows its seats."
_SUBSCRIBED_AGAIN: Final = "The customer has subscribed again since."
_SUCCESSOR_AWAITED: Final = "The agreement goes on as another one, which is awaited. Nothing is taken."
_NOT_SURE_YET: Final = "AWS shows no seats, and does not say that the agreement has ended. It may be renewed."
_UNSEEN: Final = "AWS shows nothing of an agreement that runs, so that this is looked at for a day."


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """A decision about a license: the license after it, and what is still waited for.

    Attributes:
        license: after its events.
        expires_at: when the earliest row passes; null if none was shown.
        first_reading: waits for its second.
        notices: the end notices that stay open.
        reason: why it is read again, in words.
        is_incomplete: whether AWS is about to show more, or less.
        coming: the smaller number that is shown already for the time after the present contract.
        is_another: whether another agreement than the one that was read stands behind the license now.
    """

    license: License
    expires_at: datetime | None = None
    first_reading: FirstReading | None = None
    notices: tuple[WaitingMessage, ...] = ()
    reason: str | None = None
    is_incomplete: bool = False
    coming: ComingSeats | None = None
    is_another: bool = False


def take_in(transaction: Transaction, license_id: LicenseId, reading: Reading) -> bool:
    """Keep what AWS told of agreements; whether one of them, or its ARN, was not known yet."""
    found_more = False
    for heard in reading.told:
        before = known_agreements.find(transaction.rows, heard.agreement_id)
        known = known_agreements.note(transaction, heard)
        if known.license_id is None:
            known = known_agreements.belong_to(transaction, known, license_id)
            found_more = True
        if before is not None and known.license_id == license_id and known.license_arn != before.license_arn:
            found_more = True
    if _become_one(transaction, license_id, reading.told):
        return True
    if succession.advance(transaction, license_id, running=_running(transaction, license_id, reading)):
        settle_succeeded(transaction, license_id)
    succession.announce(transaction, license_id)
    return found_more


def absorb_namesake(transaction: Transaction, claim: Claim, reading: Reading) -> None:
    """A license that was issued for the only ARN under which AWS shows a legacy customer now is this one's twin."""
    license_id = claim.license.license_id
    arns = {row.license_arn for row in reading.rows}
    arn = arns.pop() if len(arns) == 1 else None
    if reading.issued_at is None or arn is None:
        return
    namesake = license_of_arn(transaction, arn, product_code=claim.license.product_code)
    if namesake in (None, license_id) or not decisions.is_bare(transaction.license(namesake)):
        return
    agreements = known_agreements.of_license(transaction.rows, namesake)
    if legacy.may_be_its_contract(agreements, issued_at=reading.issued_at):
        succession.fold(transaction, namesake, into=license_id)


def decide(
    transaction: Transaction, claim: Claim, reading: Reading, observation: Observation, *, settings: MarketplaceSettings
) -> Decided:
    """Record what a reading changes about the license and its messages."""
    rows = tuple(row for row in reading.rows if _is_of(transaction, row, claim.license.license_id))
    if rows:
        return _decide_shown(transaction, claim, rows, observation, settings=settings)
    return _decide_not_shown(transaction, claim, reading, observation, settings=settings)


def _decide_shown(
    transaction: Transaction,
    claim: Claim,
    rows: Sequence[LiveRow],
    observation: Observation,
    *,
    settings: MarketplaceSettings,
) -> Decided:
    """AWS shows seats: their number and date are what the license comes to say."""
    license_id = claim.license.license_id
    agreements = known_agreements.of_license(transaction.rows, license_id)
    _name_by_rows(transaction, claim, rows, agreements)
    license_ = transaction.license(license_id)
    arns = [value for kind, value in license_.names if kind is KeyKind.LICENSE_ARN]
    shown = succession.generations(rows, agreements, license_arns=arns)
    bought = succession.bought(shown, at=transaction.at)
    seats_max, renews_at = bought.seats_max, bought.renews_at
    expires_at = min(row.expires_at for row in rows)
    first = observation.first_reading
    same = first is not None and (first.seats_max, first.renews_at) == (seats_max, renews_at)
    confirmed = first is not None and same and transaction.at >= first.due_at
    try:
        events = decisions.observe_subscription(license_, seats_max=seats_max, renews_at=renews_at, confirmed=confirmed)
    except SecondReadingIsNeededError as needed:
        unseen = bool(succession.unseen(shown, agreements, at=transaction.at))
        reason = f"{needed.detail} {_UNSEEN}" if unseen else needed.detail
        due_at = transaction.at + (_UNSEEN_WAIT if unseen else settings.decrease_confirm)
        if first is None or not same or (not unseen and due_at < first.due_at):
            first = FirstReading(seats_max=seats_max, renews_at=renews_at, due_at=due_at)
        tell(transaction, numbers(claim.messages), MessageStatus.WAITING, reason=reason)
        return Decided(
            license=license_, expires_at=expires_at, first_reading=first, reason=reason, is_incomplete=unseen
        )
    license_ = transaction.append(license_id, events)
    notices = _notices_still_open(transaction, claim)
    is_ending = bool(notices) or succession.has_been_lost(license_, agreements)
    return Decided(
        license=license_,
        expires_at=expires_at,
        notices=notices,
        reason=_STILL_SHOWN if is_ending else None,
        is_incomplete=is_ending,
        coming=succession.coming(shown, at=transaction.at),
    )


def _name_by_rows(
    transaction: Transaction, claim: Claim, rows: Sequence[LiveRow], agreements: Sequence[Agreement]
) -> None:
    """The license is known by what its rows agree on, but an ARN of another agreement waits for that one's turn."""
    elsewhere = {one.license_arn for one in agreements if one.agreement_id != claim.license.name(KeyKind.AGREEMENT)}
    names = tuple(
        (kind, value)
        for kind, value in names_read(claim.license, rows)
        if not (kind is KeyKind.LICENSE_ARN and value in elsewhere)
    )
    identify_license(transaction, claim.license.license_id, names=names)


def _notices_still_open(transaction: Transaction, claim: Claim) -> tuple[WaitingMessage, ...]:
    """AWS shows seats: what says that they ended stays open, unless a later message says that they go on."""
    rows, license_id = transaction.rows, claim.license.license_id
    notices = [message for message in claim.messages if _ends_current(transaction, message, license_id)]
    overtaken = [message for message in notices if is_overtaken(rows, license_id, message, by=_taking_back(message))]
    still_open = tuple(message for message in notices if message not in overtaken)
    tell(transaction, [message.number for message in claim.messages if message not in notices], MessageStatus.DONE)
    tell(transaction, numbers(overtaken), MessageStatus.IGNORED, reason=_OVERTAKEN)
    tell(transaction, numbers(still_open), MessageStatus.WAITING, reason=_STILL_SHOWN)
    return still_open


def _decide_not_shown(
    transaction: Transaction,
    claim: Claim,
    reading: Reading,
    observation: Observation,
    *,
    settings: MarketplaceSettings,
) -> Decided:
    """AWS shows no seats, which ends the subscription only on evidence."""
    license_ = transaction.license(claim.license.license_id)
    notices = _notices_that_count(transaction, claim)
    subscription = license_.running
    if subscription is None:
        tell(transaction, numbers(notices), MessageStatus.DONE)
        return Decided(license=license_)
    if not _is_awaited(claim, license_):
        # Another agreement came to light by this reading, and is read next.
        return Decided(license=license_, first_reading=observation.first_reading, is_another=True)
    reason = endings.reason_to_lapse(
        subscription,
        notices=[_end_notice(message) for message in notices],
        agreement_status=reading.status,
        trusted=reading.trusted,
        renewal_wait=settings.renewal_wait,
        successor_wait=max(transaction.policy.blind_wait, transaction.policy.expiry_grace),
        at=transaction.at,
    )
    if reason is not None:
        lapsed = decisions.lapse_subscription(license_, reason=reason, at=transaction.at)
        tell(transaction, numbers(notices), MessageStatus.DONE)
        settle_succeeded(transaction, license_.license_id)
        return Decided(license=transaction.append(license_.license_id, lapsed))
    awaited = reading.status in SUCCEEDED
    status, why = (MessageStatus.PARKED, _SUCCESSOR_AWAITED) if awaited else (MessageStatus.WAITING, _NOT_SURE_YET)
    tell(transaction, numbers(notices), status, reason=why)
    return Decided(
        license=license_,
        first_reading=observation.first_reading,
        notices=() if awaited else notices,
        reason=why,
        is_incomplete=True,
    )


def _notices_that_count(transaction: Transaction, claim: Claim) -> tuple[WaitingMessage, ...]:
    """AWS shows no seats: an end counts, but for that of a customer who has subscribed again since."""
    rows, license_id = transaction.rows, claim.license.license_id
    notices = [message for message in claim.messages if _ends_current(transaction, message, license_id)]
    overtaken = [
        message
        for message in notices
        if message.poke.kind is PokeKind.UNSUBSCRIBE_SUCCESS
        and is_overtaken(rows, license_id, message, by=_taking_back(message))
    ]
    tell(transaction, [message.number for message in claim.messages if message not in notices], MessageStatus.DONE)
    tell(transaction, numbers(overtaken), MessageStatus.IGNORED, reason=_SUBSCRIBED_AGAIN)
    return tuple(message for message in notices if message not in overtaken)


def _is_of(transaction: Transaction, row: LiveRow, license_id: LicenseId) -> bool:
    """Whether a row counts for this license: one that carries another license's ARN is that license's."""
    arn = value_of(row.names, KeyKind.LICENSE_ARN)
    return arn is None or license_of_arn(transaction, arn, product_code=None) in (None, license_id)


def _is_awaited(claim: Claim, license_: License) -> bool:
    """Whether no other agreement than the one that was read has come to stand behind the license."""
    return claim.license.name(KeyKind.AGREEMENT) in (None, license_.name(KeyKind.AGREEMENT))


def _become_one(transaction: Transaction, license_id: LicenseId, told: Sequence[Agreement]) -> bool:
    """Let a license and its twins become one, where AWS told of one chain of agreements; whether any did."""
    before = transaction.position
    product_code = transaction.license(license_id).product_code
    for heard in told:
        known = known_agreements.find(transaction.rows, heard.agreement_id) or heard
        try:
            succession.license_behind(transaction, known, product_code=product_code)
        except ContradictionError as error:
            _LOGGER.warning("agreements contradict each other", agreement=heard.agreement_id, reason=str(error))
    return transaction.position > before


def _running(transaction: Transaction, license_id: LicenseId, reading: Reading) -> Collection[str]:
    """The agreements of which a reading shows that they run: AWS said so, or showed their seats."""
    shown = succession.generations(reading.rows, known_agreements.of_license(transaction.rows, license_id))
    seen = {one.agreement.agreement_id for one in shown if one.agreement is not None}
    return seen | {one.agreement_id for one in reading.told if one.status is AgreementStatus.ACTIVE}


def _ends_current(transaction: Transaction, message: WaitingMessage, license_id: LicenseId) -> bool:
    """Whether a message says that what stands behind the license now has ended."""
    return message.poke.ends and names_current(transaction, license_id, message.poke.names)


def _taking_back(message: WaitingMessage) -> Collection[PokeKind]:
    """What takes an end notice back if it comes later, and AWS shows seats."""
    match message.poke.kind:
        case PokeKind.UNSUBSCRIBE_SUCCESS:
            return {PokeKind.SUBSCRIBE_SUCCESS}
        case PokeKind.LICENSE_DEPROVISIONED:
            # What an agreement begins with tells, later on, that it goes on.
            return BEGINNING
        case _:
            # An agreement that ended stays so.
            return ()


def _end_notice(message: WaitingMessage) -> EndNotice:
    return EndNotice(kind=message.poke.kind, status=message.poke.status, received_at=message.received_at)
