"""The HTTP door without a server."""
