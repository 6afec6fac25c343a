"""The write side: facts, rules and the store. It imports none of the other packages."""
