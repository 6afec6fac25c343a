"""Comparing AWS's rows with licenses: what is found, whatever the order, and that what is mended is found no more."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.marketplace.agreement import Agreement, AgreementStatus
from consumers.marketplace.reconcile.comparing import Claims, Found, Row, compare, missing_here
from ledger.drift import DriftKind, Terms
from ledger.license.events import KeyKind, LapseReason, LicenseId
from ledger.license.state import Lapse, License, Subscription

NOON: Final = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MAY: Final = datetime(2027, 5, 31, tzinfo=UTC)
PRODUCT: Final = "74az0btybm649octamy0sktos"
ADAS: Final = LicenseId("ada")
GRACES: Final = LicenseId("grace")
ADAS_ARN: Final = "arn:aws:license-manager::294406891311:license:l-ada"
RENEWED_ARN: Final = "arn:aws:license-manager::294406891311:license:l-ada2"
GRACES_CUSTOMER: Final = f"{PRODUCT}/X01GRACE"

ADAS_FIVE: Final = Row(product_code=PRODUCT, license_arn=ADAS_ARN, account="111122223333", seats=5, expires_at=MAY)
ADA: Final = License(
    license_id=ADAS,
    version=3,
    product_codes=(PRODUCT,),
    names=((KeyKind.LICENSE_ARN, ADAS_ARN), (KeyKind.ACCOUNT, "111122223333")),
    subscription=Subscription(seats_max=5, renews_at=MAY),
)
GRACE: Final = License(
    license_id=GRACES,
    version=3,
    product_codes=(PRODUCT,),
    names=((KeyKind.CUSTOMER, GRACES_CUSTOMER),),
    subscription=Subscription(seats_max=3, renews_at=MAY),
)
GRACES_THREE: Final = Row(product_code=PRODUCT, customer=GRACES_CUSTOMER, seats=3, expires_at=MAY)


def claims_of(*licenses: License) -> Claims:
    """Whose the keys of these licenses are."""
    return Claims(
        owners={
            name: license_.license_id
            for license_ in licenses
            for name in license_.names
            if name[0] in (KeyKind.LICENSE_ARN, KeyKind.CUSTOMER)
        },
        with_arn={one.license_id for one in licenses if one.name(KeyKind.LICENSE_ARN) is not None},
    )


def compared(license_: License, *rows: Row) -> Found | None:
    """What is found of a license, if these are AWS's rows."""
    return compare(license_, rows, claims=claims_of(license_), at=NOON)


def kinds(license_: License, *rows: Row) -> tuple[DriftKind, ...]:
    """In what a license differs from these rows."""
    found = compared(license_, *rows)
    return () if found is None else found.kinds


def test_what_both_say_alike_is_no_difference() -> None:
    """Rows of one license add up, and the latest date counts."""
    assert kinds(ADA, ADAS_FIVE) == ()
    parts = (replace(ADAS_FIVE, seats=2, expires_at=MAY - timedelta(days=1)), replace(ADAS_FIVE, seats=3))
    assert kinds(ADA, *parts) == ()


def test_more_seats_and_a_later_date_are_no_loss() -> None:
    """Both are told of at once."""
    found = compared(ADA, replace(ADAS_FIVE, seats=8, expires_at=MAY + timedelta(days=1)))
    assert found is not None
    assert (found.kinds, found.is_loss, found.seats_lost) == ((DriftKind.NUMBER, DriftKind.DATE), False, 0)
    assert found.there == Terms(seats_max=8, renews_at=MAY + timedelta(days=1))


@pytest.mark.parametrize(
    ("row", "kind", "seats_lost"),
    [
        (replace(ADAS_FIVE, seats=3), DriftKind.NUMBER, 2),
        (replace(ADAS_FIVE, expires_at=MAY - timedelta(days=1)), DriftKind.DATE, 5),
        (replace(ADAS_FIVE, expires_at=NOON), DriftKind.MISSING_THERE, 5),
    ],
)
def test_fewer_seats_an_earlier_date_and_nothing_are_losses(row: Row, kind: DriftKind, seats_lost: int) -> None:
    """Whoever ends earlier loses all seats; a row whose date has passed shows nothing."""
    found = compared(ADA, row)
    assert found is not None
    assert (found.kinds, found.is_loss, found.seats_lost) == ((kind,), True, seats_lost)


def test_a_license_that_ended_or_never_began_needs_no_rows() -> None:
    """Rows without seats begin nothing."""
    ended = replace(
        ADA,
        subscription=Subscription(seats_max=5, renews_at=MAY, lapse=Lapse(reason=LapseReason.EXPIRED, ended_at=NOON)),
    )
    pending = replace(ADA, subscription=None)
    for license_ in (ended, pending):
        assert kinds(license_) == ()
        assert kinds(license_, replace(ADAS_FIVE, seats=0)) == ()
        found = compared(license_, ADAS_FIVE)
        assert found is not None
        assert (found.kinds, found.here, found.is_loss) == ((DriftKind.NUMBER,), None, False)


def test_a_row_that_cant_be_read_says_nothing_about_the_others() -> None:
    """The license is reported, and loses nothing."""
    found = compared(ADA, replace(ADAS_FIVE, seats=3), Row(product_code=PRODUCT, license_arn=ADAS_ARN, odd="No date."))
    assert found is not None
    assert (found.kinds, found.is_loss) == ((DriftKind.UNREADABLE,), False)
    assert (found.reason or "").startswith("No date. Nothing changes until AWS shows a row that can be read.")


def test_rows_of_an_old_and_a_new_agreement_do_not_add_up() -> None:
    """While both are live the larger number and the later date count; the new one alone once the old one has ended."""
    in_2028 = MAY.replace(year=2028)
    ada = replace(
        ADA,
        names=(*ADA.names, (KeyKind.LICENSE_ARN, RENEWED_ARN)),
        subscription=Subscription(seats_max=5, renews_at=in_2028),
    )
    rows = (ADAS_FIVE, replace(ADAS_FIVE, license_arn=RENEWED_ARN, seats=3, expires_at=in_2028))
    assert kinds(ada, *rows) == ()
    first = Agreement(agreement_id="agmt-1", license_arn=ADAS_ARN, status=AgreementStatus.RENEWED, starts_at=NOON)
    then = Agreement(agreement_id="agmt-2", license_arn=RENEWED_ARN, starts_at=NOON)
    found = compare(ada, rows, claims=claims_of(ada), at=NOON, agreements=(first, then))
    assert found is not None
    assert found.there == Terms(seats_max=3, renews_at=in_2028)


def test_a_legacy_license_without_an_arn_has_the_rows_of_its_customer() -> None:
    """The ARN that such a row carries is a key that the ledger does not know yet."""
    assert kinds(GRACE, GRACES_THREE) == ()
    assert claims_of(GRACE).owner(replace(GRACES_THREE, license_arn=ADAS_ARN)) == GRACES
    found = compared(GRACE, replace(GRACES_THREE, license_arn=ADAS_ARN))
    assert found is not None
    assert found.kinds == (DriftKind.KEY,)
    assert (KeyKind.LICENSE_ARN, ADAS_ARN) in found.names


def test_a_legacy_license_with_an_arn_has_only_the_rows_of_that() -> None:
    """Others of the same customer are licenses of their own."""
    claims = claims_of(replace(GRACE, names=(*GRACE.names, (KeyKind.LICENSE_ARN, ADAS_ARN))))
    second = replace(GRACES_THREE, license_arn=RENEWED_ARN)
    assert claims.owner(second) is None
    (found,) = missing_here([second, second], claims=claims, at=NOON)
    assert found.kinds == (DriftKind.MISSING_HERE,)
    assert found.names[0] == (KeyKind.LICENSE_ARN, RENEWED_ARN)
    assert found.there == Terms(seats_max=6, renews_at=MAY)


@pytest.mark.parametrize(
    "row",
    [
        replace(ADAS_FIVE, account="444422221111"),
        replace(ADAS_FIVE, product_code="another"),
        replace(ADAS_FIVE, customer=GRACES_CUSTOMER),
    ],
)
def test_a_row_that_names_somebody_else_needs_a_person(row: Row) -> None:
    """Nothing is mended by a row of another account, of another product or with another license's key."""
    found = compare(ADA, [row], claims=claims_of(ADA, GRACE), at=NOON)
    assert found is not None
    assert (found.kinds, found.is_loss) == ((DriftKind.KEY,), False)
    assert found.reason is not None


def test_what_the_ledger_does_not_have_is_told_once_for_each_license() -> None:
    """Rows without seats or whose date has passed begin nothing."""
    rows = [
        replace(ADAS_FIVE, seats=2),
        replace(ADAS_FIVE, seats=3),
        GRACES_THREE,
        replace(ADAS_FIVE, license_arn=RENEWED_ARN, seats=0),
        replace(ADAS_FIVE, license_arn=f"{RENEWED_ARN}3", expires_at=NOON),
    ]
    found = missing_here(rows, claims=Claims(), at=NOON)
    assert [one.there for one in found] == [Terms(seats_max=5, renews_at=MAY), Terms(seats_max=3, renews_at=MAY)]


# -- whatever AWS and the ledger say -----------------------------------------------------------------------------------

ARNS: Final = tuple(f"arn:aws:license-manager::294406891311:license:l-{letter}" for letter in "abcdef")
CUSTOMERS: Final = tuple(f"{PRODUCT}/{name}" for name in ("X01", "X02"))
DATES: Final = (NOON - timedelta(days=1), NOON, NOON + timedelta(days=1), MAY)

ROWS: Final = st.lists(
    st.builds(
        Row,
        product_code=st.just(PRODUCT),
        license_arn=st.sampled_from((None, *ARNS)),
        customer=st.sampled_from((None, *CUSTOMERS)),
        account=st.none(),
        seats=st.integers(0, 9),
        expires_at=st.sampled_from(DATES),
        odd=st.none(),
    ),
    max_size=12,
)


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[License, ...]:
    """Licenses, each key of one of them alone."""
    arns = list(draw(st.permutations(ARNS)))
    licenses = []
    for number in range(draw(st.integers(0, 4))):
        names = [(KeyKind.LICENSE_ARN, arns.pop())] if draw(st.booleans()) else []
        if number < len(CUSTOMERS) and draw(st.booleans()):
            names.append((KeyKind.CUSTOMER, CUSTOMERS[number]))
        subscription = draw(
            st.none()
            | st.builds(
                Subscription,
                seats_max=st.integers(0, 9),
                renews_at=st.sampled_from(DATES),
                lapse=st.none() | st.just(Lapse(reason=LapseReason.EXPIRED, ended_at=NOON)),
            )
        )
        if names:
            licenses.append(
                License(
                    license_id=LicenseId(str(number)),
                    version=1,
                    product_codes=(PRODUCT,),
                    names=tuple(names),
                    subscription=subscription,
                )
            )
    return tuple(licenses)


def everything(licenses: Sequence[License], rows: Sequence[Row]) -> list[Found]:
    """All differences between a ledger and AWS."""
    claims = claims_of(*licenses)
    found = [
        compare(one, [row for row in rows if claims.owner(row) == one.license_id], claims=claims, at=NOON)
        for one in licenses
    ]
    return [*(one for one in found if one is not None), *missing_here(rows, claims=claims, at=NOON)]


def mended(licenses: Sequence[License], found: Sequence[Found]) -> list[License]:
    """The ledger, after each difference that can be mended was."""
    by_id = {one.license_id: one for one in licenses}
    for number, one in enumerate(found):
        license_id = one.license_id or LicenseId(f"new-{number}")
        before = by_id.get(license_id, License(license_id=license_id, version=1, product_codes=(PRODUCT,)))
        subscription = None
        if one.there is not None and one.there.renews_at is not None:
            subscription = Subscription(seats_max=one.there.seats_max, renews_at=one.there.renews_at)
        if one.reason is None:
            by_id[license_id] = replace(
                before, names=tuple(dict.fromkeys((*before.names, *one.names))), subscription=subscription
            )
    return list(by_id.values())


@given(ledgers(), ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_makes_no_difference(licenses: tuple[License, ...], rows: list[Row], chance: object) -> None:
    """AWS promises none, and pages end anywhere."""
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's Random
    before, after = (
        {(one.license_id, one.kinds, frozenset(one.names), one.there) for one in everything(licenses, order)}
        for order in (rows, shuffled)
    )
    assert before == after


@given(ledgers(), ROWS)
def test_every_live_row_is_accounted_for_once(licenses: tuple[License, ...], rows: list[Row]) -> None:
    """It is of one license, or of one that is missing here; nothing is told twice."""
    found = everything(licenses, rows)
    known = [one.license_id for one in found if one.license_id is not None]
    assert len(known) == len(set(known))
    claims = claims_of(*licenses)
    for row in rows:
        told = [one for one in found if one.license_id is None and row.names and row.names[0] in one.names]
        unknown = row.is_live(at=NOON) and bool(row.names) and claims.owner(row) is None
        if unknown and row.seats:
            assert len(told) >= 1


@given(ledgers(), ROWS)
def test_what_was_mended_is_found_no_more(licenses: tuple[License, ...], rows: list[Row]) -> None:
    """But for what only a person can mend, and what a new key brings to light."""
    found = everything(licenses, rows)
    after = list(licenses)
    for _ in range(3):
        after = mended(after, everything(after, rows))
    assert [one for one in everything(after, rows) if one.reason is None] == []
    assert len(found) <= len(licenses) + len(rows)


@given(ledgers(), ROWS)
def test_only_what_runs_can_lose(licenses: tuple[License, ...], rows: list[Row]) -> None:
    """And never more seats than it has."""
    by_id = {one.license_id: one for one in licenses}
    for one in everything(licenses, rows):
        if one.is_loss:
            assert one.license_id is not None
            subscription = by_id[one.license_id].running
            assert subscription is not None
            assert 0 <= one.seats_lost <= subscription.seats_max
        else:
            assert one.seats_lost == 0
