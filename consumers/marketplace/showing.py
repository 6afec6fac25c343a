"""Showing: what came from outside as it can stand in a sentence for people."""

import json
from typing import Final

LENGTH_MAX: Final = 80


def shown(value: object, *, length_max: int = LENGTH_MAX) -> str:
    """A value of JSON, short and printable.

    Args:
        value: whatever it is.
        length_max: how many characters of it are shown.
    """
    # There are depths of these that Python just reads, and does not write.
    text = "a list or an object" if isinstance(value, list | dict) else json.dumps(value)
    return text if len(text) <= length_max else f"{text[:length_max]}…"
