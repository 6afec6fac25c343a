"""The HTTP door: the JSON interface and the pages."""
