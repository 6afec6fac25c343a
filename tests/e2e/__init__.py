"""Tests of the composed system, as its users meet it."""
