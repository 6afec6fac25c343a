"""The tests, by level: a sentence for each expected behavior."""
