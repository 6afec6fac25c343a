"""Days as they are typed into a form; each is a day in UTC."""

from datetime import UTC, date, datetime, time
from typing import Final

# The day after it can still be named.
_LAST_DAY: Final = date(9999, 12, 30)


def read_day(text: str, field: str, errors: dict[str, str]) -> datetime | None:
    """The beginning of a day; null if none is typed, or it is none, which `errors` then says by field."""
    if not text:
        return None
    try:
        return datetime.combine(min(date.fromisoformat(text), _LAST_DAY), time(), UTC)
    except ValueError:
        errors[field] = "Write a day as year-month-day, such as 2027-03-01."
        return None
