"""The seats of a license, with the names of their users."""

from projections.seats.view import SeatQuery, SeatsView

__all__ = ["SeatQuery", "SeatsView"]
