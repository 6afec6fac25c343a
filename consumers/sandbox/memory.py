"""What a sandbox keeps in a file, so that a laptop's Marketplace is the same one tomorrow.

A file of lines, each a JSON document that says how one thing is from then on: the later line counts. So a change costs
one line however many contracts there are. The file is written anew, each thing once, when it is opened and when most of
its lines are stale.
"""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import msgspec

from consumers.sandbox.contracts import AgreementStatus, AtEnd, Contract, Generation, Intent, Party, Product
from consumers.sandbox.courier import Waiting
from consumers.sandbox.mischief import MischiefState
from consumers.sandbox.starting import SandboxCannotStartError

STALE_LINES_MAX = 20_000
_SINGLE = ("secret", "time", "mischief", "waiting")


class StateFileIsUnreadableError(SandboxCannotStartError):
    """The file holds something else."""


class StateFileIsInUseError(SandboxCannotStartError):
    """Another sandbox keeps what it knows in the file: each would lose what the other one writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"Another sandbox has {path}. Stop it first, or start this one in another folder.")


class TimeState(msgspec.Struct, frozen=True, kw_only=True):
    """How the clock of a sandbox stands."""

    ahead: timedelta
    """How far it was moved."""
    auto: bool = False
    """Whether what falls due happens by itself."""
    renewals_keep_license: bool = False
    """Whether an agreement that renews by itself gives the license of the one before."""
    notices_until: datetime
    """Notices up to this moment were given, or are left out."""


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What there is to keep, all of it or what is new."""

    contracts: tuple[Contract, ...] = ()
    secret: bytes | None = None
    """Signs the registration tokens."""
    time: TimeState | None = None
    mischief: MischiefState | None = None
    waiting: tuple[Waiting, ...] | None = None
    """Messages on their way; kept when the sandbox is stopped."""


class _FirstContract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as the first version of the file had it: a list of all, for one product with one dimension."""

    agreement_id: str
    offer_id: str
    license_arn: str
    account_id: str
    customer_identifier: str | None
    seats: int
    accepted_at: datetime
    ends_at: datetime
    status: AgreementStatus
    auto_renews: bool


class StateFile:
    """The file of one sandbox. Safe to use from many threads."""

    def __init__(self, path: Path, *, product: Product) -> None:
        """Open the file, which may be missing. No other sandbox can open it before it is closed.

        Args:
            path: of the file.
            product: what contracts are of in a file of the first version.

        Raises:
            StateFileIsInUseError: another sandbox has it.
            StateFileIsUnreadableError: it holds something else.
            OSError: it can't be read or written.
        """
        self._path = path
        self._lock = Lock()
        self._latest: dict[str, bytes] = {}
        with ExitStack() as opened:
            opened.enter_context(_hold(path))
            for line in _read(path, product):
                self._note(line)
            self._file = self._write_anew()
            self._opened = opened.pop_all()

    @property
    def state(self) -> State:
        """All that is kept."""
        with self._lock:
            lines = [_decode(encoded) for encoded in self._latest.values()]
        newest = {name: getattr(line, name) for line in lines for name in _SINGLE if getattr(line, name) is not None}
        return State(contracts=tuple(contract for line in lines for contract in line.contracts), **newest)

    def keep(self, changed: State) -> None:
        """Write down what is new.

        Raises:
            OSError: it can't be written.
        """
        with self._lock:
            lines = [self._note(line) for line in _split(changed)]
            self._file.write(b"".join(lines))
            self._file.flush()
            self._stale += len(lines)
            if self._stale > STALE_LINES_MAX + len(self._latest):
                self._file.close()
                self._file = self._write_anew()

    def close(self) -> None:
        """Close the file, and let others open it."""
        self._file.close()
        self._opened.close()

    def _note(self, line: State) -> bytes:
        encoded = msgspec.json.encode(line) + b"\n"
        self._latest[_key_of(line)] = encoded
        return encoded

    def _write_anew(self) -> BinaryIO:
        beside = self._path.with_name(f"{self._path.name}.new")
        beside.write_bytes(b"".join(self._latest.values()))
        beside.replace(self._path)
        self._stale = 0
        return self._path.open("ab")


def _hold(path: Path) -> BinaryIO:
    """Keep others from the file; the lock goes with the process, however it ends."""
    # In a file of its own, since the one that it is for is replaced.
    held = path.with_name(f"{path.name}.lock").open("ab")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        held.close()
        raise StateFileIsInUseError(path) from error
    return held


def _read(path: Path, product: Product) -> Iterator[State]:
    if not path.exists():
        return
    content = path.read_bytes()
    if content.startswith(b"["):
        yield from _read_first_version(path, content, product)
        return
    *lines, rest = content.split(b"\n")
    # A line without its end was being written when the sandbox was killed: nobody heard of it.
    if rest and not lines:
        raise StateFileIsUnreadableError(_unreadable(path))
    for line in lines:
        try:
            yield _decode(line)
        except msgspec.MsgspecError as error:
            raise StateFileIsUnreadableError(_unreadable(path)) from error


def _read_first_version(path: Path, content: bytes, product: Product) -> Iterator[State]:
    try:
        contracts = msgspec.json.decode(content, type=tuple[_FirstContract, ...])
    except msgspec.MsgspecError as error:
        raise StateFileIsUnreadableError(_unreadable(path)) from error
    for one in contracts:
        told = msgspec.structs.asdict(one)
        seats, auto_renews = told.pop("seats"), told.pop("auto_renews")
        contract = Contract(
            **told,
            initial_agreement_id=one.agreement_id,
            previous_agreement_id=None,
            product_code=product.code,
            generation=Generation.CONCURRENT if one.customer_identifier is None else Generation.LEGACY,
            via_partner=False,
            intent=Intent.NEW,
            quantities={product.dimension: seats},
            starts_at=one.accepted_at,
            last_update_at=one.accepted_at,
            trial_ends_at=None,
            at_end=AtEnd.RENEW if auto_renews else AtEnd.EXPIRE,
            opted_out_by=None if auto_renews else Party.ACCEPTOR,
            has_started=True,
        )
        yield State(contracts=(contract,))


def _unreadable(path: Path) -> str:
    return f"{path} holds no state of a sandbox. Remove it."


def _decode(line: bytes) -> State:
    return msgspec.json.decode(line, type=State)


def _split(changed: State) -> Iterator[State]:
    for contract in changed.contracts:
        yield State(contracts=(contract,))
    for name in _SINGLE:
        value = getattr(changed, name)
        if value is not None:
            yield State(**{name: value})


def _key_of(line: State) -> str:
    if line.contracts:
        return line.contracts[0].agreement_id
    return next(name for name in _SINGLE if getattr(line, name) is not None)
