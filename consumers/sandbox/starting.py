"""What keeps a sandbox from starting."""


class SandboxCannotStartError(Exception):
    """Something outside of the sandbox is in its way; the text is one line that says what, and what to do."""
