"""Tests of the write side without any I/O."""
