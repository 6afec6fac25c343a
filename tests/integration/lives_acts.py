"""What buyers, sellers, administrators and AWS do in a random contract life."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Final

from consumers.sandbox import (
    AtEnd,
    Contract,
    Generation,
    Intent,
    MischiefPlan,
    Notice,
    Offer,
    PredecessorEnds,
    SuccessorTerms,
)
from ledger.errors import RefusedError
from ledger.license.events import BlockReason, Contact, KeyKind
from ledger.registration import MarketplaceIsUnavailableError, RegistrationTokenIsExpiredError
from ledger.users import parse_user
from tests.integration.consumers_stage import ADMIN, MINUTE, NOON, USERS
from tests.integration.lives import MISCHIEF_LASTS, QUIET_LASTS, STEP_MAX, Life, World

PURCHASES: Final = 5
STEP_MIN: Final = timedelta(minutes=10)

Act = Callable[[World, Life], None]
_ADA: Final = Contact(name="Ada Lovelace", email="ada@example.com", phone=None)


def mischief(dice: Random) -> MischiefPlan:
    """Some bad days."""
    return MischiefPlan(
        seed=dice.getrandbits(32),
        duplicate=dice.choice((0.0, 0.3)),
        drop=dice.choice((0.0, 0.1, 0.5)),
        reorder=dice.choice((0.0, 0.3)),
        respell=dice.choice((0.0, 0.5)),
        delay_seconds=dice.choice(((0.0, 0.0), (0.0, 7_200.0))),
        throttle=dice.choice((0.0, 0.1)),
        fail=dice.choice((0.0, 0.1)),
        hang=dice.choice((0.0, 0.02)),
        hang_seconds=0.01,
        empty_pages=dice.choice((0.0, 0.2)),
        missing_row=dice.choice((0.0, 0.05)),
        as_buyer=dice.choice((0.0, 0.05)),
        expired_tokens=dice.choice((0.0, 0.2)),
        until=NOON + MISCHIEF_LASTS,
    )


# -- buying ------------------------------------------------------------------------------------------------------------


def buy(world: World) -> None:
    """A customer accepts an offer: a new one, or one that has bought before."""
    dice, at = world.dice, world.clock()
    is_legacy, via_partner = dice.choice(((False, False), (False, False), (False, True), (True, False)))
    before = [life.account_id for life in world.lives if not life.is_legacy]
    again = bool(before) and not is_legacy and dice.random() < 0.3
    account_id = dice.choice(before) if again else f"{len(world.lives) + 1:012d}"
    starts_at = at + timedelta(hours=dice.randint(1, 72)) if not is_legacy and dice.random() < 0.2 else None
    has_trial = dice.random() < 0.2
    life = world.begin(account_id=account_id, is_legacy=is_legacy, via_partner=via_partner)
    seats, until = dice.randint(1, 9), (starts_at or at) + world.some_days()
    trial_ends_at = min((starts_at or at) + timedelta(days=7), until) if has_trial else None
    world.tell(f"{buy.__doc__} Legacy: {is_legacy}, by a partner: {via_partner}, trial until {trial_ends_at}.")
    outcome = world.sandbox.marketplace.buy(
        account_id=account_id,
        seats=seats,
        until=until,
        generation=Generation.LEGACY if is_legacy else Generation.CONCURRENT,
        offer=Offer(starts_at=starts_at, trial_ends_at=trial_ends_at, via_partner=via_partner),
    )
    world.heard(outcome, life)


def come_back(world: World, life: Life) -> None:
    """A legacy customer who left subscribes again, under the same name."""
    if not life.is_legacy or _open(world, life):
        return
    if any(one.generation is not Generation.LEGACY for one in world.chain(life)):
        # What is sold after the listing has opted in is a license of its own.
        return
    outcome = world.sandbox.marketplace.buy(
        account_id=life.account_id,
        seats=world.dice.randint(1, 9),
        until=world.clock() + world.some_days(),
        generation=Generation.LEGACY,
    )
    life.ended_unheard = False
    world.heard(outcome, life)


def opt_in(world: World, life: Life) -> None:
    """The listing opts into concurrent agreements."""
    contract = _running(world, life)
    if contract is None or contract.generation is not Generation.LEGACY:
        return
    if contract.ends_at - world.clock() > timedelta(days=1):
        world.heard(world.sandbox.marketplace.opt_in(contract.agreement_id), life)


def buy_beside(world: World, life: Life) -> None:
    """A customer whose listing has opted in buys once more, which is a license of its own."""
    contract = _running(world, life)
    bought_once = len({one.initial_agreement_id for one in world.chain(life)}) == 1
    if not life.is_legacy or contract is None or contract.generation is not Generation.OPTED_IN or not bought_once:
        return
    beside = world.begin(account_id=life.account_id, is_beside=True)
    outcome = world.sandbox.marketplace.buy(
        account_id=life.account_id,
        seats=world.dice.randint(1, 9),
        until=world.clock() + world.some_days(),
        generation=Generation.OPTED_IN,
    )
    world.heard(outcome, beside)


def tell_link(world: World, life: Life) -> None:
    """AWS comes to tell of a private renewal that it is one."""
    before = next((one for one in world.lives if one.number < life.number and _went_before(world, one, life)), None)
    if before is not None and life.follows is None:
        world.link(life, follows=before)
        number = world.dice.randint(1, 9)
        contract = _running(world, life)
        if contract is not None:
            world.heard(world.sandbox.marketplace.set_seats(contract.agreement_id, seats=number), life)


def _went_before(world: World, before: Life, life: Life) -> bool:
    """Whether the other life's last contract ended, unfollowed, as this one's first began, in private."""
    if before.account_id != life.account_id or before.via_partner or life.via_partner or life.is_beside:
        return False
    if any(one.follows is before for one in world.lives):
        return False
    last, first = world.chain(before)[-1], world.chain(life)[0]
    return not last.is_active and last.ends_at == first.starts_at and first.previous_agreement_id is None


def register(world: World, life: Life) -> None:
    """The buyer clicks "Set up your account", which AWS may not stand by, and may send the form."""
    opened = _open(world, life)
    if not opened:
        return
    token = world.sandbox.marketplace.issue_token(world.dice.choice(opened).agreement_id).token
    try:
        resolved = world.registration().resolve(token, cause="request")
        if world.dice.random() < 0.3:
            world.ledger.companies.register(
                resolved.license_id, company_name="Analytical Engines", contact=_ADA, caller=ADMIN
            )
    except (MarketplaceIsUnavailableError, RegistrationTokenIsExpiredError) as error:
        world.tell(f"  {type(error).__name__}")


# -- what becomes of a contract ----------------------------------------------------------------------------------------


def set_seats(world: World, life: Life) -> None:
    """The buyer has more seats, or fewer."""
    contract = _running(world, life)
    if contract is not None:
        number = world.dice.randint(1, 9)
        world.heard(world.sandbox.marketplace.set_seats(contract.agreement_id, seats=number), life)


def prolong(world: World, life: Life) -> None:
    """The same agreement goes on to a later date; not where another one is signed already, which follows it."""
    contract = _running(world, life)
    if contract is not None and len(_open(world, life)) == 1:
        until = contract.ends_at + world.some_days()
        world.heard(world.sandbox.marketplace.renew(contract.agreement_id, until=until), life)


def succeed(world: World, life: Life) -> None:
    """Another agreement takes the place of the one that runs, now or later."""
    contract = _running(world, life)
    if contract is None or len(_open(world, life)) > 1 or _is_unread(world, life, contract):
        return
    dice, at = world.dice, world.clock()
    # A legacy buyer has one agreement at a time.
    kind = "now" if life.is_legacy else dice.choice(("now", "visible-before", "signed-before", "private"))
    # Nobody is told that rows of one license are of two agreements of a channel partner.
    may_keep = kind != "private" and not (kind == "visible-before" and life.via_partner)
    starts_at = contract.ends_at if kind == "signed-before" else None
    same_day = kind == "now" and contract.ends_at > at and dice.random() < 0.2
    terms = SuccessorTerms(
        until=contract.ends_at if same_day else max(contract.ends_at, at) + world.some_days(),
        intent=dice.choice((Intent.RENEW, Intent.REPLACE)),
        seats=dice.choice((None, dice.randint(1, 9))),
        starts_at=starts_at if starts_at is not None and starts_at > at else None,
        keeps_license=may_keep and dice.random() < 0.4,
        is_linked=kind != "private",
        predecessor_ends=PredecessorEnds.ON_ITS_DATE if kind == "visible-before" and contract.ends_at > at else None,
    )
    world.tell(f"  {kind}, {terms.intent}, keeps its license: {terms.keeps_license}")
    world.succeeded(world.sandbox.marketplace.succeed(contract.agreement_id, terms), life, terms)


def break_off(world: World, life: Life) -> None:
    """The buyer cancels, or AWS terminates."""
    opened = _open(world, life)
    if opened:
        contract = world.dice.choice(opened)
        marketplace = world.sandbox.marketplace
        end = world.dice.choice((marketplace.cancel, marketplace.terminate))
        world.heard(end(contract.agreement_id), life)


def decide_end(world: World, life: Life) -> None:
    """The buyer does not want it to renew, or does again, or is to have another offer then."""
    contract = _running(world, life)
    if contract is not None:
        at_end = world.dice.choice(tuple(AtEnd))
        world.heard(world.sandbox.marketplace.decide_end(contract.agreement_id, at_end=at_end), life)


def give_notice(world: World, life: Life) -> None:
    """AWS says something that changes nothing."""
    opened = _open(world, life)
    if opened:
        notice = world.dice.choice(tuple(Notice))
        world.heard(world.sandbox.marketplace.give_notice(opened[-1].agreement_id, notice), life)


# -- what happens in the ledger ----------------------------------------------------------------------------------------


def sign_in(world: World, life: Life) -> None:
    """Users take seats, as far as there are any."""
    for license_ in world.licenses_of(life):
        for user in USERS:
            try:
                world.ledger.seats.activate(license_.license_id, user=parse_user(user), caller=ADMIN)
            except RefusedError:
                return


def block(world: World, life: Life) -> None:
    """An administrator keeps somebody out."""
    for license_ in world.licenses_of(life):
        world.ledger.seats.block_user(
            license_.license_id,
            user=parse_user(world.dice.choice(USERS)),
            reason=BlockReason.LEFT,
            note=None,
            caller=ADMIN,
        )


# -- a life ------------------------------------------------------------------------------------------------------------

_ACTS: Final[Sequence[tuple[Act, int]]] = (
    (set_seats, 4),
    (prolong, 1),
    (succeed, 4),
    (break_off, 1),
    (come_back, 2),
    (opt_in, 3),
    (buy_beside, 2),
    (tell_link, 2),
    (decide_end, 1),
    (give_notice, 1),
    (register, 2),
    (sign_in, 6),
    (block, 1),
)


def live(world: World) -> None:
    """Play the lives of a seed: mischief first, then quiet days."""
    dice, marketplace = world.dice, world.sandbox.marketplace
    # By somebody whose contract outlives the story the credentials are known to be the seller's.
    marketplace.buy(account_id="999999999999", seats=1, until=NOON + timedelta(days=3_000))
    plan = mischief(dice)
    world.tell(str(plan))
    marketplace.mischief.set(plan)
    acts, weights = zip(*_ACTS, strict=True)
    while world.clock() < NOON + MISCHIEF_LASTS:
        if len(world.lives) < PURCHASES and dice.random() < 0.5:
            buy(world)
        for life in list(world.lives):
            if dice.random() < 0.25:
                act = dice.choices(acts, weights)[0]
                world.tell(f"life {life.number}: {act.__doc__}")
                act(world, life)
        if dice.random() < 0.05:
            world.restart_ledger()
        if dice.random() < 0.05:
            world.restart_sandbox()
        world.pass_time(timedelta(minutes=dice.randint(STEP_MIN // MINUTE, STEP_MAX // MINUTE)))
    world.tell("Quiet days begin")
    world.sandbox.marketplace.flush()
    until = world.clock() + QUIET_LASTS
    while world.clock() < until or world.is_near_a_date():
        world.pass_quiet_time()


def _open(world: World, life: Life) -> list[Contract]:
    return [contract for contract in world.chain(life) if contract.is_active]


def _is_unread(world: World, life: Life, contract: Contract) -> bool:
    """Whether AWS shows a license under an ARN that the ledger has not seen: nothing links what follows to it."""
    arns = {license_.name(KeyKind.LICENSE_ARN) for license_ in world.licenses_of(life)}
    return contract.generation is Generation.OPTED_IN and contract.license_arn not in arns


def _running(world: World, life: Life) -> Contract | None:
    at = world.clock()
    return next((one for one in reversed(world.chain(life)) if one.is_active and one.is_live(at=at)), None)
