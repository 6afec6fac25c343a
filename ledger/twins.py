"""Twins: licenses that were folded into others. Who asks for one is answered from the license in its place."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ledger.errors import LicenseIsFoldedError
from ledger.license.events import LicenseId
from ledger.transaction import Transaction, Work
from ledger.writer import SYSTEM_CALLER, Writer

R = TypeVar("R")


def in_its_place(license_id: LicenseId, ask: Callable[[LicenseId], R]) -> R:
    """Ask about a license; about the one in its place if it was folded, and so on.

    Args:
        license_id: as somebody may have noted it before it was folded.
        ask: raises `LicenseIsFoldedError` where it is told a twin.
    """
    # It ends: only a license that is not folded takes up another one, and none is ever unfolded.
    while True:
        try:
            return ask(license_id)
        except LicenseIsFoldedError as folded:
            license_id = folded.into


class Twins:
    """Where the twins went."""

    def __init__(self, writer: Writer) -> None:
        """Ask through a writer."""
        self._writer = writer

    def follow(self, licenses: Sequence[LicenseId]) -> tuple[LicenseId, ...]:
        """These licenses, and after them those that stand in the place of the folded ones among them, each once."""
        followed = tuple(dict.fromkeys(licenses))
        newest = followed
        while newest:
            newest = tuple(dict.fromkeys(into for into in self._took_up(newest) if into not in followed))
            followed += newest
        return followed

    def _took_up(self, licenses: tuple[LicenseId, ...]) -> Sequence[LicenseId]:
        def decide(transaction: Transaction) -> Sequence[LicenseId]:
            folded = [transaction.any_license(license_id).folded_into for license_id in licenses]
            return [into for into in folded if into is not None]

        return self._writer.submit(Work(decide=decide, caller=SYSTEM_CALLER, licenses=licenses, only_asks=True))
