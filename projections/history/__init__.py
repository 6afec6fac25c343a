"""The history of a license: every event, with the name of the user it is about."""

from projections.history.view import HistoryEntry, HistoryQuery, HistoryView

__all__ = ["HistoryEntry", "HistoryQuery", "HistoryView"]
