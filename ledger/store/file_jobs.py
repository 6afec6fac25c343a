"""A job of which only one process on a machine may do it, held by the lock of a file."""

import fcntl
import os
from pathlib import Path
from typing import Final

_DIGITS_MAX: Final = 20


class FileJob:
    """One job. The system undoes the lock with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        """Name the file; it holds the number of the last term."""
        self._path = path
        self._file: int | None = None
        self._holder = ""
        self._term = 0

    def take(self, holder: str) -> int | None:
        """Take or keep the job; returns the number of the term, null if another has it."""
        if self._file is not None:
            return self._term if holder == self._holder else None
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        self._file, self._holder = file, holder
        self._term = int(os.pread(file, _DIGITS_MAX, 0) or b"0") + 1
        os.pwrite(file, str(self._term).encode(), 0)
        return self._term

    def leave(self, holder: str) -> None:
        """Let another have it."""
        if holder == self._holder:
            self.close()

    def close(self) -> None:
        """Let another have it, whoever held it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
