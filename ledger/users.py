"""Users: the name that a client signs in with, and the identity behind its spellings."""

import unicodedata
from dataclasses import dataclass

NAME_LENGTH_MAX = 256
NOTE_LENGTH_MAX = 500

# Controls, surrogates, and the marks that turn the direction of text: with them two names that look alike could differ.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


class InvalidTextError(ValueError):
    """A name or note that can't be recorded; its text says in words why."""


@dataclass(frozen=True, slots=True)
class User:
    """A user as heard of: the spelling as it was given, and the identity it stands for.

    Attributes:
        name: the spelling, in NFC and stripped, 1-256 code points.
        identity: the name casefolded; two spellings of one identity are one user.
    """

    name: str
    identity: str


def parse_user(text: str) -> User:
    """Read the name of a user.

    Raises:
        InvalidTextError: nothing of it is seen, it has over 256 code points, or control, bidi or surrogate ones.
    """
    _refuse_unprintable(text, allowed="")
    name = unicodedata.normalize("NFC", text).strip()
    identity = identity_of(name)
    if all(_is_invisible(character) for character in identity):
        msg = "A user needs a name of at least one character that can be seen."
        raise InvalidTextError(msg)
    if len(name) > NAME_LENGTH_MAX or len(identity) > NAME_LENGTH_MAX:
        msg = f"A user's name has at most {NAME_LENGTH_MAX} characters."
        raise InvalidTextError(msg)
    return User(name, identity)


def identity_of(name: str) -> str:
    """The identity behind a spelling: NFC, stripped, casefolded."""
    return unicodedata.normalize("NFC", name.strip().casefold())


def parse_note(text: str) -> str | None:
    """Read the free text beside a block; a blank one is none.

    Raises:
        InvalidTextError: it has more than 500 code points, or control (but line breaks), bidi or surrogate ones.
    """
    text = text.replace("\r\n", "\n")
    _refuse_unprintable(text, allowed="\n\t")
    note = unicodedata.normalize("NFC", text).strip()
    if len(note) > NOTE_LENGTH_MAX:
        msg = f"A note has at most {NOTE_LENGTH_MAX} characters."
        raise InvalidTextError(msg)
    return note or None


def parse_line(text: str, *, what: str, length_max: int = NAME_LENGTH_MAX) -> str:
    """Read one line of text, such as a company's name.

    Raises:
        InvalidTextError: it is empty, too long, or has control, bidi or surrogate code points.
    """
    _refuse_unprintable(text, allowed="")
    line = unicodedata.normalize("NFC", text).strip()
    if not line:
        msg = f"{what} is empty."
        raise InvalidTextError(msg)
    if len(line) > length_max:
        msg = f"{what} has at most {length_max} characters."
        raise InvalidTextError(msg)
    return line


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) == "Cf"


def _refuse_unprintable(text: str, *, allowed: str) -> None:
    if text.isascii() and text.isprintable():
        return
    for character in text:
        if character in allowed:
            continue
        if unicodedata.category(character) in _REFUSED_CATEGORIES or character in _BIDI:
            msg = f"Remove the character U+{ord(character):04X}: control and text direction characters can't be used."
            raise InvalidTextError(msg)
