"""The book of contracts: found by any of their names, and read page by page without reading all of them."""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import RLock

from consumers.sandbox.contracts import Contract, ContractNotFoundError
from ledger.times import microseconds

Place = tuple[int, str]
"""Of a contract in a list sorted by a time: the time in microseconds since 1970, and the agreement id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A contract and its place in the book."""

    number: int
    """Counts the contracts as they were signed, from 0."""
    contract: Contract


class Book:
    """All contracts, the first signed first. Safe to use from many threads; nobody waits for more than a look-up."""

    def __init__(self, contracts: Iterable[Contract] = ()) -> None:
        """Begin with these contracts, the first signed first."""
        self._lock = RLock()
        self._contracts: list[Contract] = []
        self._number_by_agreement: dict[str, int] = {}
        self._numbers: dict[str, dict[str, list[int]]] = {
            "license_arn": defaultdict(list),
            "account_id": defaultdict(list),
            "customer_identifier": defaultdict(list),
            "initial_agreement_id": defaultdict(list),
            "previous_agreement_id": defaultdict(list),
            "product_code": defaultdict(list),
        }
        self._places: dict[str, list[Place]] = {"ends_at": [], "last_update_at": [], "starts_at": []}
        for contract in contracts:
            self.put(contract)

    def __len__(self) -> int:
        """How many contracts there are."""
        return len(self._contracts)

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """All contracts."""
        with self._lock:
            return tuple(self._contracts)

    def find(self, agreement_id: str) -> Contract:
        """Look a contract up.

        Raises:
            ContractNotFoundError: there is none.
        """
        with self._lock:
            try:
                return self._contracts[self._number_by_agreement[agreement_id]]
            except KeyError:
                raise ContractNotFoundError(agreement_id) from None

    def put(self, contract: Contract) -> None:
        """Write a new contract down, or what became of one."""
        with self._lock:
            number = self._number_by_agreement.setdefault(contract.agreement_id, len(self._contracts))
            if number < len(self._contracts):
                self._move(self._contracts[number], contract)
                self._rename(number, contract)
                self._contracts[number] = contract
                return
            self._contracts.append(contract)
            for time, places in self._places.items():
                insort(places, place(contract, time))
            for name, numbers in self._numbers.items():
                value = getattr(contract, name)
                if value is not None:
                    numbers[value].append(number)

    def having(self, name: str, *values: str) -> Sequence[Contract]:
        """Give the contracts with one of these values of a name: a field such as `license_arn`."""
        with self._lock:
            return [self._contracts[number] for number in self._numbers_of(name, values)]

    def successor(self, agreement_id: str) -> Contract | None:
        """Give the agreement that took the place of one and goes on, as far as AWS knows; null if none did."""
        followed = self.having("previous_agreement_id", agreement_id)
        return next((contract for contract in followed if contract.goes_on), None)

    def entries(self, names: Mapping[str, Iterable[str]], *, start: int) -> Iterator[Entry]:
        """Give the contracts with one of the values of each name, from this number on.

        Those that are signed while one reads come at the end.
        """
        with self._lock:
            shortest = min((self._numbers_of(name, values) for name, values in names.items()), key=len)
        for number in shortest[bisect_left(shortest, start) :]:
            with self._lock:
                contract = self._contracts[number]
            if all(getattr(contract, name) in values for name, values in names.items()):
                yield Entry(number=number, contract=contract)

    def sorted_by(self, time: str, *, after: Place | None, descending: bool) -> Iterator[tuple[Place, Contract]]:
        """Give the contracts in the order of a time: a field such as `ends_at`.

        Args:
            time: which one.
            after: begin behind this place.
            descending: whether the latest comes first.
        """
        with self._lock:
            places = self._places[time]
            if descending:
                rest = places[: len(places) if after is None else bisect_left(places, after)][::-1]
            else:
                rest = places[0 if after is None else bisect_right(places, after) :]
        for one in rest:
            yield one, self.find(one[1])

    def _move(self, before: Contract, after: Contract) -> None:
        for time, places in self._places.items():
            old, new = place(before, time), place(after, time)
            if old != new:
                del places[bisect_left(places, old)]
                insort(places, new)

    def _rename(self, number: int, after: Contract) -> None:
        before = self._contracts[number]
        for name, numbers in self._numbers.items():
            old, new = getattr(before, name), getattr(after, name)
            if old != new and old is not None:
                numbers[old].remove(number)
            if old != new and new is not None:
                insort(numbers[new], number)

    def _numbers_of(self, name: str, values: Iterable[str]) -> Sequence[int]:
        lists = [self._numbers[name].get(value, []) for value in dict.fromkeys(values)]
        return lists[0] if len(lists) == 1 else sorted(number for numbers in lists for number in numbers)


def place(contract: Contract, time: str) -> Place:
    """Tell the place of a contract in a list sorted by a time."""
    return microseconds(getattr(contract, time)), contract.agreement_id
