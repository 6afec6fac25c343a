"""Measurements of the ledger against stock `eventsourcing`, in one run: `python -m bench`."""
