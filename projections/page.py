"""One page of a list, and the key from which the next one goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

PageKey: TypeAlias = tuple[str | int | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """Some items of a list, all true at one position.

    Attributes:
        items: in the list's order.
        next: the key of the last item, after which the next page begins; null if this is the last page.
        position: the position of the ledger at which the items are true.
        as_of: the clock of an answer about the past; null if the answer is about now.
    """

    items: Sequence[T]
    next: PageKey | None
    position: int
    as_of: datetime | None = None
