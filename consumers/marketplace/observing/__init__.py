"""Observing a license: what AWS shows is read, and what changed is recorded."""

from consumers.marketplace.observing.observer import Observer, Outcome

__all__ = ["Observer", "Outcome"]
