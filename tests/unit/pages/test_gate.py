"""Where a sign-in leads."""

import pytest

from api.pages.gate import local_path


@pytest.mark.parametrize("target", ["/", "/licenses/x/users?q=Ada%20L&status=active", "/licenses/x#note"])
def test_a_path_of_this_site_is_kept(target: str) -> None:
    """Who signs in goes on where they wanted to."""
    assert local_path(target) == target


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "licenses",
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "/\t/evil.example/",
        "\t//evil.example/",
        "javascript:alert(1)",
        "/licenses\\..\\x",
        "/licenses\r\nSet-Cookie: a=b",
    ],
)
def test_any_other_target_is_home(target: str | None) -> None:
    """Nobody is sent to another site by a link to the sign-in."""
    assert local_path(target) == "/"
