"""Tests without I/O: a second or two in all."""
