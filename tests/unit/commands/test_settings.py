"""The products and their dimensions, as an operator writes them."""

import pytest

from commands.parts import marketplace_settings
from commands.settings import SettingIsWrongError, Settings


def products(codes: str, *, dimension: str | None = None) -> dict[str, tuple[str, ...]]:
    """The products of an environment."""
    told = {"LEDGER_PRODUCT_CODES": codes} | ({} if dimension is None else {"LEDGER_DIMENSION": dimension})
    return dict(Settings(told).products)


@pytest.mark.parametrize(
    ("codes", "dimension", "expected"),
    [
        ("softphone", "users", {"softphone": ("users",)}),
        ("softphone,recorder", "users", {"softphone": ("users",), "recorder": ("users",)}),
        ("softphone:users", None, {"softphone": ("users",)}),
        ("softphone:users+admins,recorder:seats", None, {"softphone": ("users", "admins"), "recorder": ("seats",)}),
        ("softphone:admins,recorder", "users", {"softphone": ("admins",), "recorder": ("users",)}),
        (
            " softphone : users + admins , recorder : seats ",
            None,
            {"softphone": ("users", "admins"), "recorder": ("seats",)},
        ),
        ("softphone:concurrent_softphone_users", None, {"softphone": ("concurrent_softphone_users",)}),
        (f"softphone:{'x' * 255}", None, {"softphone": ("x" * 255,)}),
    ],
)
def test_a_product_has_its_own_dimensions_or_the_one_of_all(
    codes: str, dimension: str | None, expected: dict[str, tuple[str, ...]]
) -> None:
    """In the order in which they are told; blanks around them mean nothing."""
    assert products(codes, dimension=dimension) == expected


@pytest.mark.parametrize(
    ("codes", "dimension", "words"),
    [
        ("softphone,", "users", "commas between them"),
        (",", "users", "commas between them"),
        (":users", None, "commas between them"),
        ("soft phone:users", None, "commas between them"),
        ("softphone+recorder:users", None, "commas between them"),
        ("softphone,softphone", "users", "named once each"),
        ("softphone:users,softphone:admins", None, "named once each"),
        ("softphone:", "users", "1 to 255 characters"),
        ("softphone:users+", None, "1 to 255 characters"),
        ("softphone:+users", None, "1 to 255 characters"),
        ("softphone:users:admins", None, "1 to 255 characters"),
        ("softphone:two words", None, "1 to 255 characters"),
        (f"softphone:{'x' * 256}", None, "1 to 255 characters"),
        ("softphone:users+users", None, "dimensions are named once each"),
        ("softphone", "x" * 256, "1 to 255 characters"),
        ("softphone", "users+admins", "1 to 255 characters"),
        ("softphone", None, "'softphone'. Add it, such as softphone:users, or set LEDGER_DIMENSION."),
        ("softphone:users,recorder", None, "'recorder'. Add it, such as recorder:users, or set LEDGER_DIMENSION."),
    ],
)
def test_what_names_no_product_or_no_dimension_is_one_line(codes: str, dimension: str | None, words: str) -> None:
    """It names the setting and says what it has to be."""
    with pytest.raises(SettingIsWrongError) as refused:
        products(codes, dimension=dimension)
    line = str(refused.value)
    assert line.startswith("LEDGER_")
    assert words in line
    assert "\n" not in line


def test_the_consumer_gets_the_dimensions_of_each_product() -> None:
    """Their order means nothing there: they add up."""
    told = {"LEDGER_PRODUCT_CODES": "softphone:users+admins,recorder", "LEDGER_DIMENSION": "seats"}
    settings = marketplace_settings(Settings(told))
    assert settings.products == {"softphone": frozenset({"users", "admins"}), "recorder": frozenset({"seats"})}
    assert settings.product_codes == ("softphone", "recorder")
