"""Times: aware UTC in the program, whole microseconds since 1970 in columns."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def system_now() -> datetime:
    """The machine's clock. Handed in where the program is put together; nothing else asks it."""
    return datetime.now(UTC)


def microseconds(moment_: datetime) -> int:
    """Whole microseconds since 1970."""
    return (moment_ - _EPOCH) // _MICROSECOND


def written(moment_: datetime, *, timespec: str = "auto") -> str:
    """A UTC time in RFC 3339, to the precision that `datetime.isoformat` knows by this name."""
    return moment_.isoformat(timespec=timespec).replace("+00:00", "Z")


def moment(microseconds_: int) -> datetime:
    """The aware UTC time of a column."""
    return _EPOCH + timedelta(microseconds=microseconds_)
