"""What was typed into the fields of a search."""

import flask


def typed(name: str) -> str:
    """What a field of this name holds, without spaces around it; empty if nothing was typed.

    A NUL stands in no text that is searched, and PostgreSQL takes no question with one.
    """
    return flask.request.values.get(name, "").replace("\0", "").strip()
