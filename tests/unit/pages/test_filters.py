"""How templates write what sentences hold."""

from api.pages.filters import marked


def test_what_stands_between_backticks_is_code() -> None:
    """Everything else is text, whoever wrote it."""
    assert marked("AWS is right? Run `licensing-ledger reconcile --apply-losses`, or wait.") == (
        "AWS is right? Run <code>licensing-ledger reconcile --apply-losses</code>, or wait."
    )
    assert marked("<b>`<i>`") == "&lt;b&gt;<code>&lt;i&gt;</code>"
