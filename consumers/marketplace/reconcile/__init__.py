"""Reconciliation: does the ledger agree with AWS? What differs is reported, and mended where it can be.

A run sweeps all that AWS sells of each product, hears the news of agreements, compares, reads again what differs, and
lets the observer mend it by the decisions that a message would lead to. Losses that together are too many are withheld
until somebody has looked. The elected process carries a run on, and goes on where another was killed.
"""
