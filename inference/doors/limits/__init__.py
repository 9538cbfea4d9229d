"""Who may ask now: rates, requests in flight and fair shares, for every door."""

from inference.doors.limits.admission import Flight, Gate, gate

__all__ = ["Flight", "Gate", "gate"]
