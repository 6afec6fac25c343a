"""The names by which AWS knows a license, brought to the one form in which the ledger holds them."""

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from ledger.license.events import KeyKind

Name: TypeAlias = tuple[KeyKind, str]

_LICENSE_ARN: Final = re.compile(
    r"(?:arn:)?aws[a-z-]*:license-manager:[a-z0-9-]*:[0-9]*:(?:license[:/])?(?:l|lic)-([0-9a-z]{1,64})",
    re.ASCII | re.IGNORECASE,
)
# DescribeAgreement of botocore's model `marketplace-agreement` (2020-03-01): AgreementId.
_AGREEMENT_ID: Final = re.compile(r"[A-Za-z0-9_/-]{1,64}", re.ASCII)
# `meteringmarketplace` (2016-01-14): CustomerAWSAccountId is digits, CustomerIdentifier and ProductCode are opaque.
_ACCOUNT_ID: Final = re.compile(r"[0-9]{1,255}", re.ASCII)
_OPAQUE: Final = re.compile(r"[!-~]{1,255}", re.ASCII)


class NameIsMalformedError(ValueError):
    """What stands where AWS puts a name is none; the text says so in words."""

    def __init__(self, what: str) -> None:
        """Say what it was to be; the value itself may be anything, and is kept with the message."""
        super().__init__(f"{what} is not of the form that AWS gives it.")


def license_arn(text: object) -> str:
    """The ARN of a license in the form of AWS's real events: `arn:aws:license-manager::294406891311:license:l-…`.

    AWS spells it in three ways: so in captured events, as `aws:license-manager:us-east-1:…:l-…` in its documentation,
    and as `…:license/lic-…` in its samples. What follows `l-` is the same in all, and alone decides.

    Raises:
        NameIsMalformedError: it is no such ARN.
    """
    found = _LICENSE_ARN.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise NameIsMalformedError("The license's ARN")
    # The account belongs to AWS; it is neither the buyer's nor the seller's.
    return f"arn:aws:license-manager::294406891311:license:l-{found[1].lower()}"


def agreement_id(text: object) -> str:
    """The id of an agreement.

    Raises:
        NameIsMalformedError: it is none.
    """
    return _matching(_AGREEMENT_ID, text, what="The agreement's id")


def account_id(text: object) -> str:
    """The buyer's AWS account.

    Raises:
        NameIsMalformedError: it is none.
    """
    return _matching(_ACCOUNT_ID, text, what="The buyer's account")


def product_id(text: object) -> str:
    """The product as the console shows it: `prod-…`.

    Raises:
        NameIsMalformedError: it is none.
    """
    return _matching(_OPAQUE, text, what="The product's id")


def product_code(text: object) -> str:
    """The product as AWS's calls name it.

    Raises:
        NameIsMalformedError: it is none.
    """
    return _matching(_OPAQUE, text, what="The product code")


def customer(code: str, identifier: object) -> str:
    """A legacy customer: `product_code/customer_identifier`, since one identifier may hold several products.

    Raises:
        NameIsMalformedError: it is none.
    """
    return f"{code}/{_matching(_OPAQUE, identifier, what='The customer identifier')}"


def customer_identifier(value: str, *, code: str) -> str:
    """The identifier alone, as AWS's calls take it."""
    return value.removeprefix(f"{code}/")


def value_of(names: Iterable[Name], kind: KeyKind) -> str | None:
    """The first name of a kind; null if there is none."""
    return next((value for known, value in names if known is kind), None)


def _matching(pattern: re.Pattern[str], text: object, *, what: str) -> str:
    # AWS's documentation prints some of its ids with a blank before them.
    stripped = text.strip() if isinstance(text, str) else ""
    if not pattern.fullmatch(stripped):
        raise NameIsMalformedError(what)
    return stripped
