"""The command line: one module per command, and the one place where the parts are put together."""
