"""Who may ask now: rates, requests in flight and fair shares, for every door."""

from inference.doors.limits.admission import Gate, gate

__all__ = ["Gate", "gate"]
