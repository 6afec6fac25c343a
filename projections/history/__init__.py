"""The history of a license: every event, with the name of the user it is about."""

from projections.history.view import AppendPart, HistoryEntry, HistoryQuery, HistoryView, Span

__all__ = ["AppendPart", "HistoryEntry", "HistoryQuery", "HistoryView", "Span"]
