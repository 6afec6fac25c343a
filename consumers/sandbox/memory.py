"""The contracts of a sandbox in a file, so that a laptop's Marketplace is the same one tomorrow."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from consumers.sandbox.contracts import Contract


class ContractsFileIsUnreadableError(Exception):
    """The file holds something else; the text says what to do."""


def load_contracts(path: Path) -> tuple[Contract, ...]:
    """The contracts as they were last saved; none where the file is missing.

    Raises:
        ContractsFileIsUnreadableError: the file holds something else.
        OSError: it can't be read.
    """
    if not path.exists():
        return ()
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Contract, ...])
    except msgspec.MsgspecError as error:
        raise ContractsFileIsUnreadableError(f"{path} holds no contracts of a sandbox. Remove it.") from error


def save_contracts(path: Path, contracts: Sequence[Contract]) -> None:
    """Put all contracts into the file, in one step.

    Raises:
        OSError: it can't be written.
    """
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(contracts)))
    beside.replace(path)
