"""The names of users, notes and lines: what is taken, what is refused, and which spellings are one user."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.users import InvalidTextError, parse_line, parse_note, parse_user

JOSE_COMPOSED = "Jos\u00e9"
JOSE_DECOMPOSED = "Jose\u0301"
# The eszett casefolds to two letters, so that 256 of them are an identity of 512.
ESZETT = "\u00df"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada Lovelace", "ada lovelace"),
        ("ADA", "ada"),
        (JOSE_COMPOSED, JOSE_DECOMPOSED),
        (JOSE_COMPOSED.upper(), JOSE_DECOMPOSED),
        ("  ada ", "ada"),
        ("\u3000ada\u00a0", "ada"),
        (f"stra{ESZETT}e", "STRASSE"),
        ("\u039f\u03b4\u03cc\u03c2", "\u039f\u0394\u038c\u03a3"),
    ],
)
def test_spellings_of_one_name_are_one_user(one: str, other: str) -> None:
    """Case, normal form and spaces around do not make another user."""
    assert parse_user(one).identity == parse_user(other).identity


@pytest.mark.parametrize(("one", "other"), [("ada", "adah"), ("ada b", "ada  b"), ("jose", JOSE_COMPOSED)])
def test_other_names_are_other_users(one: str, other: str) -> None:
    """Accents and inner spaces count."""
    assert parse_user(one).identity != parse_user(other).identity


def test_the_spelling_is_kept_in_normal_form() -> None:
    """What is shown is how the user wrote it, composed and without the spaces around."""
    user = parse_user(f" {JOSE_DECOMPOSED} ")
    assert (user.name, user.identity) == (JOSE_COMPOSED, JOSE_COMPOSED.casefold())


@pytest.mark.parametrize("blank", ["", " ", "\u00a0\u2003\u3000", "\u200b\ufeff"])
def test_a_name_of_nothing_is_refused(blank: str) -> None:
    """Empty, or spaces of any kind, or marks that nobody sees."""
    with pytest.raises(InvalidTextError, match="at least one character"):
        parse_user(blank)


def test_the_longest_name_has_256_code_points() -> None:
    """Code points are counted, not bytes; the spaces around do not count."""
    assert len(parse_user(" " + "\U0001f469" * 256 + " ").name) == 256
    with pytest.raises(InvalidTextError, match="at most 256"):
        parse_user("\U0001f469" * 257)


def test_the_identity_is_limited_too() -> None:
    """A name that grows beyond 256 when casefolded is refused, since the identity has the same limit."""
    assert parse_user(ESZETT * 128).identity == "s" * 256
    assert len(parse_user("\u01f0" * 256).identity) == 256
    with pytest.raises(InvalidTextError, match="at most 256"):
        parse_user(ESZETT * 129)


@pytest.mark.parametrize(
    "character",
    [
        *("\x00", "\x07", "\t", "\n", "\r", "\x1b", "\x7f", "\x80", "\x85", "\x9f"),
        *("\u2028", "\u2029"),
        *("\ud800", "\udfff"),
        *("\u061c", "\u200e", "\u200f", "\u202a", "\u202d", "\u202e", "\u2066", "\u2069"),
    ],
)
@pytest.mark.parametrize("name", ["{}ada", "a{}da", "ada{}", "{}"])
def test_a_character_that_cannot_be_seen_is_refused_by_its_number(character: str, name: str) -> None:
    """Control, line, surrogate and direction characters, wherever they stand; the sentence names them in ASCII."""
    with pytest.raises(InvalidTextError, match=f"U\\+{ord(character):04X}") as refused:
        parse_user(name.format(character))
    assert str(refused.value).isascii()


@pytest.mark.parametrize(
    "name",
    ["o'neil", 'Robert"); DROP TABLE seats;--', "山田太郎", "עדה", "\U0001f469\u200d\U0001f680", "%00", "../ada", "0"],
)
def test_unusual_names_are_names(name: str) -> None:
    """Punctuation, other scripts, and joined signs are taken as they are."""
    assert parse_user(name).name == name


@given(st.text(max_size=300))
def test_whatever_is_taken_is_in_normal_form_and_reads_the_same_again(text: str) -> None:
    """Reading the kept spelling gives the same user; the limits hold for the spelling and for the identity."""
    try:
        user = parse_user(text)
    except InvalidTextError:
        return
    assert parse_user(user.name) == user
    assert 1 <= len(user.name) <= 256
    assert 1 <= len(user.identity) <= 256
    assert unicodedata.is_normalized("NFC", user.name)
    user.name.encode()
    assert parse_user(user.identity).identity == user.identity


@given(st.text(max_size=40))
def test_normal_forms_of_a_name_are_one_user(text: str) -> None:
    """What a keyboard composes and what a file system decomposes is the same name."""
    try:
        user = parse_user(text)
    except InvalidTextError:
        return
    assert parse_user(unicodedata.normalize("NFD", text)) == user
    assert parse_user(unicodedata.normalize("NFC", text)) == user


@pytest.mark.parametrize("blank", ["", "  ", "\r\n", "\n\t"])
def test_a_blank_note_is_none(blank: str) -> None:
    """A field left empty says nothing."""
    assert parse_note(blank) is None


def test_a_note_may_have_lines() -> None:
    """A browser's line ends are made one kind."""
    assert parse_note(" Left.\r\nBack in May. ") == "Left.\nBack in May."


def test_the_longest_note_has_500_code_points() -> None:
    """One more is refused."""
    assert parse_note("n" * 500) == "n" * 500
    with pytest.raises(InvalidTextError, match="at most 500"):
        parse_note("n" * 501)


@pytest.mark.parametrize("character", ["\x00", "\u202e", "\ud83d", "\r", "\x1b"])
def test_a_note_has_no_other_control_characters(character: str) -> None:
    """Line breaks and tabs alone are taken."""
    with pytest.raises(InvalidTextError, match="Remove the character"):
        parse_note(f"Left{character}.")


def test_a_line_says_what_it_is_when_it_is_refused() -> None:
    """The sentence names the field."""
    assert parse_line(" Analytical Engines ", what="The company's name") == "Analytical Engines"
    with pytest.raises(InvalidTextError, match="The company's name is empty"):
        parse_line("  ", what="The company's name")
    with pytest.raises(InvalidTextError, match="The company's name has at most 10"):
        parse_line("Analytical Engines", what="The company's name", length_max=10)
    with pytest.raises(InvalidTextError, match=r"U\+000A"):
        parse_line("Analytical\nEngines", what="The company's name")
